"""Grades: how likely the scale, the names and the times of a page are right, beside the expected SNR of its leads.

A logistic model weighs the evidence of a page (``ecgpage.signal.grade_evidence``). Its three answers are conditional: names
given the scale, times given both, so that their product is the probability that the whole page is right. Its weights stand
in ``ecgpage.signal.grade_weights``; a script estimates them on drawn pages whose truth is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from scipy.stats import norm

from ecgpage.signal.grade_evidence import PageEvidence
from ecgpage.signal.grade_weights import SNR_SPREAD_DB, USUAL, WEIGHTS
from ecgpage.signal.types import LeadReading

Letter = Literal["A", "B", "C", "–"]
QUESTIONS: Final = ("scale", "names", "times")
"""What a page may be wrong in."""
MIN_PROBABILITY: Final = {"A": 0.9, "B": 0.8}
"""Probability from which a page, or a lead, gets a grade; pages graded A are right with 0.95 in the mean."""
MIN_SNR_DB: Final = 6.0
"""True SNR, dB, of a lead that can be used: its noise is a quarter of its power."""
MOST_REASONS: Final = 3
"""Number of reasons that a grade names, at most."""
LEAST_REASON: Final = 0.4
"""Log odds below those of a usual page from which evidence is a further reason."""
ABSENT: Final = "–"
REASONS: Final[Mapping[str, str]] = {
    "scale_margin": "another scale is nearly as likely",
    "doubt_margin": "what is printed fits a grid of another distance as well",
    "printed_grid": "the scale does not rest on a printed grid",
    "square_grid": "the grid's squares are not square",
    "exact_map": "the map of the grid is inexact",
    "known_map": "the grid was not followed below all leads",
    "usual_paper": "the page would have an unusual size",
    "read_speed": "no speed was read that is the one told",
    "read_gain": "no gain was read that is the one told",
    "pulse_heights": "no calibration pulse has the height of the gain told",
    "pulse_widths": "no calibration pulse has the width of the speed told",
    "usual_total": "the leads last unusually long or short",
    "usual_rate": "the heart rate would be unusual",
    "usual_size": "the signals would be unusually large or small",
    "name_margin": "the leads may have other names",
    "boxed": "leads were named by their places alone",
    "alike": "leads look like others than they are named",
    "usual_order": "the leads stand in no usual order",
    "read_names": "few names of leads were read",
    "name_pattern": "the printed names form no pattern of a known layout",
    "explained": "something that looks like a lead stands outside the layout",
    "confidence": "the leads were seen unclearly",
    "limb_leads": "the limb leads do not agree with each other",
    "limb_sizes": "the limb leads disagree in size",
    "all_leads": "not all leads are given",
    "times_margin": "other times of the columns are nearly as likely",
    "ends_agree": "leads are not seen to begin and end where they are taken to",
    "ends_near": "leads are seen to begin or end elsewhere",
    "even_columns": "the columns are of uneven width",
    "separators": "no separators stand between the columns",
    "few_columns": "the page has several columns",
    "beats_agree": "the beats of leads of the same time do not agree",
    "exact_times": "the limb leads are shifted against each other",
    "covered": "parts of the traces were not found",
    "clear_traces": "the traces are unclear",
}
"""Number of ``PageEvidence`` -> what to say where it speaks against a page."""


@dataclass(frozen=True)
class LeadGrade:
    """Grade of one lead."""

    letter: Letter
    probability: float
    """Probability that its scale, name and time are right and that it can be used; NaN where it is not given."""


@dataclass(frozen=True)
class PageGrade:
    """Grade of a page and of its leads.

    A: right, as far as can be told; B: look at the overlay; C: something is assumed or disagrees; –: nothing is given.
    """

    letter: Letter
    scale: float
    """Probability that speed, gain and grid are right."""
    names: float
    """Probability that all leads have their own names, if the scale is right."""
    times: float
    """Probability that all leads have their times, if scale and names are right."""
    reasons: tuple[str, ...] = ()
    """Why it is not A."""
    leads: Mapping[str, LeadGrade] = field(default_factory=dict)
    """Lead -> its grade, all twelve."""

    @property
    def probability(self) -> float:
        """Probability that scale, names and times are right."""
        return self.scale * self.names * self.times

    @property
    def doubts(self) -> tuple[str, ...]:
        """A line with all that speaks against the page; none where nothing does."""
        return (f"grade {self}: {', '.join(self.reasons)}",) if self.reasons else ()

    def __str__(self) -> str:
        if self.letter == ABSENT:
            return ABSENT
        parts = ", ".join(f"{name} {getattr(self, name):.0%}" for name in QUESTIONS)
        return f"{self.letter} ({parts})"


NOT_GIVEN: Final = PageGrade(ABSENT, float("nan"), float("nan"), float("nan"))
"""Grade of a page that was not read."""


def grade_page(evidence: PageEvidence, readings: Sequence[LeadReading]) -> PageGrade:
    """Grade of a page and of its leads; ``readings``: outcome of each lead."""
    scale, names, times = (weigh(evidence, question) for question in QUESTIONS)
    right = scale * names * times
    leads = {r.lead: _grade_lead(r, right) for r in readings}
    if all(one.letter == ABSENT for one in leads.values()):
        return PageGrade(ABSENT, scale, names, times, (), leads)
    letter = _letter(right)
    reasons = () if letter == "A" else name_reasons(evidence)
    return PageGrade(letter, scale, names, times, reasons, leads)


def join_grades(pages: Sequence[PageGrade]) -> PageGrade:
    """Grade of a record of several pages: of each lead the best, of the rest that of the worst page that gives any."""
    given = [page for page in pages if page.letter != ABSENT]
    if not given:
        return NOT_GIVEN
    worst = min(given, key=lambda page: page.probability)
    leads: dict[str, LeadGrade] = {}
    for page in given:
        for lead, grade in page.leads.items():
            known = leads.get(lead)
            if known is None or known.letter == ABSENT or grade.probability > known.probability:
                leads[lead] = grade
    return replace(worst, leads=leads)


def weigh(evidence: PageEvidence, question: str) -> float:
    """Probability that a page is right in one of ``QUESTIONS``."""
    weights = WEIGHTS[question]
    odds = weights[""] + sum(w * getattr(evidence, name) for name, w in weights.items() if name)
    return float(1 / (1 + np.exp(-odds)))


def name_reasons(evidence: PageEvidence) -> tuple[str, ...]:
    """What speaks most against a page, beside pages that are right."""
    lost: dict[str, float] = {}
    for question in QUESTIONS:
        for name, weight in WEIGHTS[question].items():
            if name:
                lost[name] = max(lost.get(name, 0.0), weight * (USUAL[name] - getattr(evidence, name)))
    worst = sorted(lost, key=lambda name: -lost[name])[:MOST_REASONS]
    worst = [name for k, name in enumerate(worst) if k == 0 or lost[name] > LEAST_REASON]
    return tuple(REASONS[name] for name in worst)


def _grade_lead(reading: LeadReading, page: float) -> LeadGrade:
    """Grade of a lead of a page that is right with the probability ``page``."""
    if reading.source == "none":
        return LeadGrade(ABSENT, float("nan"))
    usable = 1.0
    if np.isfinite(reading.snr_db):
        usable = float(norm.cdf((reading.snr_db - MIN_SNR_DB) / SNR_SPREAD_DB))
    return LeadGrade(max(_letter(page), _letter(usable)), page * usable)


def _letter(probability: float) -> Letter:
    if probability >= MIN_PROBABILITY["A"]:
        return "A"
    return "B" if probability >= MIN_PROBABILITY["B"] else "C"
