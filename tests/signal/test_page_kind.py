"""The kind of a page follows from how its beats stand to each other; only what the kind allows is kept."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.layout.boxes import PrintedNames
from ecgpage.layout.types import PageLayout, Row, Segment
from ecgpage.signal.assembly import assemble
from ecgpage.signal.grade_evidence import EVIDENCE, PageEvidence
from ecgpage.signal.grade_weights import USUAL
from ecgpage.signal.kept_leads import KeptPage, keep_leads, keep_rhythm
from ecgpage.signal.page_kind import (
    BEAT_EVIDENCE,
    KIND_EVIDENCE,
    KINDS,
    Kind,
    gather_kind_evidence,
    likeliest,
    tell_kind,
)
from ecgpage.signal.page_kind_weights import KIND_WEIGHTS
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.reader import Trace

FS = 500.0
SPEED = 25.0
USUAL_PAGE = PageEvidence(**{name: USUAL[name] for name in EVIDENCE})
"""Whatever else is seen looks like any page of twelve leads."""


def draw(
    lead: str,
    row: int,
    x0: float,
    x1: float,
    beats_s: list[float],
    *,
    is_strip: bool = False,
    is_named: bool = True,
) -> Trace:
    """Trace of a lead whose beats stand at these times from its beginning, s; each lead has a form of its own."""
    x = np.arange(x0, x1, STEP_MM)
    time = (x - x0) / SPEED
    r, s, t = np.random.default_rng(LEADS.index(lead)).uniform((-0.6, -0.9, -0.2), (1.2, 0.3, 0.3))
    mv = np.random.default_rng(row).normal(0, 0.004, len(x))
    for at in beats_s:
        for late, width, size in ((0.0, 0.012, r), (0.035, 0.014, s), (0.26, 0.05, t)):
            mv += size * np.exp(-0.5 * ((time - at - late) / width) ** 2)
    level = 30.0 + 25.0 * row
    segment = Segment(lead, row, x0, x1, 0.0, (x1 - x0) / SPEED, level, 10.0, is_strip, is_named)
    return Trace(segment, x, level - 10.0 * mv, "network", np.full(len(x), 0.05))


def beats(first: float, seconds: float, apart: float = 0.8) -> list[float]:
    return list(np.arange(first, seconds, apart))


def twelve_leads() -> list[Trace]:
    starts = [(2.5 * c, 20 + 62.5 * c) for c in range(4)]
    columns = [
        draw(LEADS[3 * c + r], r, x0, x0 + 62.5, [b - at for b in beats(0.3, 10) if at <= b < at + 2.5])
        for c, (at, x0) in enumerate(starts)
        for r in range(3)
    ]
    return [*columns, draw("II", 3, 20, 270, beats(0.3, 10), is_strip=True)]


def averaged_beats() -> list[Trace]:
    cells = [
        draw(LEADS[3 * c + r], r, 20 + 62.5 * c, 50 + 62.5 * c, [0.45]) for c in range(4) for r in range(3)
    ]
    return [*cells, draw("II", 3, 20, 270, beats(0.3, 10), is_strip=True)]


def one_lead() -> list[Trace]:
    """Three rows of lead II, read as three leads of one time."""
    names = ("I", "II", "III")
    same = [draw("II", r, 20, 270, beats(0.1 + 0.3 * r, 10, 0.75 + 0.07 * r)) for r in range(3)]
    return [
        replace(t, segment=replace(t.segment, lead=lead, is_named=False))
        for t, lead in zip(same, names, strict=True)
    ]


def noise() -> list[Trace]:
    """Six rows of waves that have nothing in common."""
    found = []
    for row, lead in enumerate(LEADS[:6]):
        blank = draw(lead, row, 20, 270, [])
        rng = np.random.default_rng(row)
        waves = np.cumsum(rng.normal(0, 1, len(blank.x_mm)))
        found.append(replace(blank, y_mm=blank.y_mm + 4 * np.sin(waves / 9)))
    return found


def read(traces: list[Trace]) -> KeptPage:
    rows = [Row(np.arange(300.0), np.full(300, 30.0 + 25.0 * r), np.ones(300)) for r in range(6)]
    layout = PageLayout(rows, [t.segment for t in traces], [], [], SPEED, 10.0, 0.9)
    return KeptPage(layout, traces, assemble(traces, layout, FS, 5000))


PAGES: dict[Kind, Callable[[], list[Trace]]] = {
    "leads": twelve_leads,
    "averaged beats": averaged_beats,
    "one lead": one_lead,
    "other": noise,
}


@pytest.mark.parametrize("kind", KINDS)
def test_beats_tell_the_kind_of_a_page_that_looks_usual_otherwise(kind: Kind) -> None:
    page = read(PAGES[kind]())
    found = tell_kind(USUAL_PAGE, gather_kind_evidence(page.layout, page.traces, page.signals))
    if kind == "other":  # any kind but leads will do: nothing is given then
        assert likeliest(found) != "leads"
    else:
        assert likeliest(found) == kind
    assert sum(found.values()) == pytest.approx(1.0)


def test_weights_are_those_of_known_evidence() -> None:
    assert set(KIND_WEIGHTS) == set(KINDS) - {"leads"}
    assert all(set(table) <= {*KIND_EVIDENCE, ""} for table in KIND_WEIGHTS.values())
    assert set(BEAT_EVIDENCE) <= set(KIND_EVIDENCE)


def test_a_page_without_any_beat_is_weighed_too() -> None:
    page = read([draw("II", 0, 20, 270, [])])
    evidence = gather_kind_evidence(page.layout, page.traces, page.signals)
    assert np.isfinite(evidence.as_row()).all()


# --- what is kept


def given(page: KeptPage) -> list[str]:
    known = [bool(np.isfinite(column).any()) for column in page.signals.mv.T]
    assert [r.source != "none" for r in page.signals.readings] == known
    return [lead for lead, is_known in zip(LEADS, known, strict=True) if is_known]


def test_of_averaged_beats_the_named_strip_alone_is_kept() -> None:
    page = read(averaged_beats())
    kept = keep_rhythm(
        "averaged beats", page, PrintedNames(np.zeros((0, 2)), np.zeros((0, 12)), np.zeros(0)), FS, 5000
    )
    assert given(kept) == ["II"]
    assert np.isfinite(kept.signals.mv[:, 1]).mean() > 0.99
    assert all(r.reason for r in kept.signals.readings if r.source == "none")
    unnamed = [replace(t, segment=replace(t.segment, is_named=False)) for t in page.traces]
    with pytest.raises(EcgPageError, match="averaged beats"):
        keep_rhythm("averaged beats", replace(page, traces=unnamed), _names(), FS, 5000)


def _names(**words: tuple[float, float]) -> PrintedNames:
    """Names, each at a page x, y, mm."""
    chances = np.zeros((len(words), len(LEADS)))
    for k, name in enumerate(words):
        chances[k, LEADS.index(name)] = 0.99
    return PrintedNames(np.array(list(words.values())).reshape(-1, 2), chances, np.zeros(len(words)))


def test_one_lead_is_given_under_its_printed_name_or_not_at_all() -> None:
    page = read(one_lead())
    kept = keep_rhythm("one lead", page, _names(V5=(22.0, 24.0)), FS, 5000)
    assert given(kept) == ["V5"]
    for names in (_names(), _names(V5=(150.0, 24.0)), _names(V5=(22.0, 24.0), II=(22.0, 49.0))):
        with pytest.raises(EcgPageError, match="one lead over several rows"):
            keep_rhythm("one lead", page, names, FS, 5000)


def part(named: tuple[str, ...], leads: tuple[str, ...] = ("V1", "V2", "V3")) -> KeptPage:
    return read(
        [draw(lead, r, 20, 270, beats(0.3, 10), is_named=lead in named) for r, lead in enumerate(leads)]
    )


def test_of_a_part_of_the_leads_those_with_names_are_kept() -> None:
    whole = part(("V1", "V2", "V3"))
    assert keep_leads(whole.signals, 0.0) is whole.signals
    some = part(("V1",))
    assert given(replace(some, signals=keep_leads(some.signals, 0.9))) == ["V1"]
    with pytest.raises(EcgPageError, match="part of the leads"):
        keep_leads(part(()).signals, 0.9)


def test_limb_leads_in_their_places_need_no_names_where_nothing_speaks_against_them() -> None:
    page = part((), LEADS[:6])
    assert keep_leads(page.signals, 0.9) is page.signals
    with pytest.raises(EcgPageError, match="part of the leads"):
        keep_leads(page.signals, 0.3)


def test_twelve_leads_are_kept_whatever_was_read_of_their_names() -> None:
    page = read([replace(t, segment=replace(t.segment, is_named=False)) for t in twelve_leads()])
    assert keep_leads(page.signals, 0.1) is page.signals
