"""Estimate the weights of grades and of expected SNR on drawn pages, and measure both on pages of others.

    python -m bench.grade_pages ...                                   # reads the pages: see there
    python -m bench.grade_evidence estimate --work READINGS --out ecgpage/signal/grade_weights.py
    python -m bench.grade_evidence report --work READINGS [--verdicts FILE.csv ...] [--plot docs/grade.webp]

``estimate`` uses the sets ``TRAINING`` alone: drawn looks, and one package. ``report`` prints Markdown tables of all sets:
how many pages graded A are wrong, how many right ones are graded A, and how far expected SNR are off. A page is right where
its scale is within 1 %, every lead that is given has its name, and all times are within 40 ms (1 mm). Verdicts are lines of
page and "right..." or "wrong..." for pictures without truth.
"""

import argparse
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl

mpl.use("Agg")

import cv2
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.grade_pages import FS, SETS, KeptReading, load_kept
from bench.probability_calibration import calibration, wilson
from bench.sheets import write_small
from ecgpage.core.types import Array
from ecgpage.signal.assembly import assemble
from ecgpage.signal.expected_snr import FLAT_MV, Expectation
from ecgpage.signal.grade import MIN_PROBABILITY, QUESTIONS, PageGrade, grade_page
from ecgpage.signal.grade_evidence import EVIDENCE, PageEvidence, gather_evidence
from ecgpage.signal.options import SignalOptions

TRAINING: Final = ("device", "ecg_plot", "challenge")
"""Sets on which weights are estimated."""
SCALE_OFF: Final = 0.01
"""Part by which a scale may be off."""
TIME_OFF_S: Final = 0.04
"""Time, s, by which a lead may be off: 1 mm."""
PRIOR: Final = 0.5
"""Weight of a question's own evidence, in its spread over right pages, before any page is seen."""
PRIOR_SPREAD: Final = 0.3
"""Standard deviation of all weights then."""
LEAST_SPREAD: Final = 0.3
"""Spread of evidence over right pages, at least."""
PARTS: Final = 5
"""Number of parts of the cross-validation."""
LIMITS: Final = (0.97, 0.95, 0.93, 0.9, 0.85, 0.8)
"""Probabilities from which pages are counted: what a grade's limit would mean."""
HUBER_DB: Final = 3.0
"""Error, dB, of an expected SNR above which it counts linearly."""
SNR_START: Final = (1.0, 1.0, 5e-8, 0.03, 0.03, 1.0, 1e-4)
"""Weights of expected noise from which their estimation starts."""
KIND_WEIGHT: Final = {"challenge": 0.5}
"""Weight of the leads of a set: the Challenge's pages are those that the networks know."""


@dataclass(frozen=True)
class JudgedPage:
    """What speaks for a page, and what of it is right; None where that is not known."""

    kind: str
    name: str
    evidence: PageEvidence
    grade: PageGrade
    right: dict[str, bool]
    """Question -> whether it is right; empty where only ``is_right`` is known."""
    is_right: bool | None
    leads: tuple[tuple[float, Expectation], ...]
    """True SNR, dB, and expectation of leads."""
    facts: Mapping[str, str]


def judge_pages(kept: Sequence[KeptReading], verdicts: Mapping[str, str]) -> list[JudgedPage]:
    """All pages that were read, graded by the present weights."""
    return [_judge(page, verdicts) for page in kept if page.reading is not None]


def _judge(page: KeptReading, verdicts: Mapping[str, str]) -> JudgedPage:
    reading = page.reading
    assert reading is not None
    layout = replace(reading.layout, speed_mm_per_s=reading.signals.speed_mm_per_s)
    pixel_mm = 1 / reading.grid.px_per_mm
    traces = [replace(trace, pixel_mm=pixel_mm) for trace in reading.traces]
    signals = assemble(traces, layout, float(FS), 10 * FS, SignalOptions(min_snr_db=-np.inf))
    evidence = gather_evidence(reading.grid, reading.layout, traces, reading.signals, page.side_px, float(FS))
    right: dict[str, bool] = {}
    is_right: bool | None = None
    if page.given is not None:
        off = max(abs(page.given.x_scale - 1), abs(page.given.y_scale - 1))
        right = {
            "scale": bool(off < SCALE_OFF),
            "names": bool(page.given.names),
            "times": bool(page.given.time_off_s < TIME_OFF_S),
        }
        is_right = all(right.values())
    verdict = verdicts.get(page.name) or page.facts.get("verdict")
    if verdict:
        is_right = verdict.startswith("right")
    expected = {r.lead: r.expectation for r in signals.readings}
    leads = tuple((db, e) for lead, db in page.snr_db.items() if (e := expected[lead]) is not None)
    grade = grade_page(evidence, reading.signals.readings)
    return JudgedPage(page.kind, page.name, evidence, grade, right, is_right, leads, page.facts)


# --- estimation -----------------------------------------------------------------------------------------------


def fit_logistic(x: Array, y: NDArray[np.bool_], count: Array, own: NDArray[np.bool_]) -> Array:
    """(n + 1) weights, the constant last, of evidence (pages, n) that make the truth (pages,) likeliest.

    Each page counts ``count`` (pages,) times. Evidence is measured in its spread over right pages. It never speaks against
    what it is oriented for: no weight is below 0. Weights have a normal prior, around ``PRIOR`` for what is the question's
    ``own`` evidence (n,), around 0 for others.
    """
    middle, spread = x[y].mean(axis=0), x[y].std(axis=0) + LEAST_SPREAD
    z = (x - middle) / spread
    usual, wide = np.where(own, PRIOR, 0.0), PRIOR_SPREAD

    def cost(weights: Array) -> tuple[float, Array]:
        odds = z @ weights[:-1] + weights[-1]
        p = 1 / (1 + np.exp(-odds))
        off = (weights[:-1] - usual) / wide
        miss = count * (p - y)
        value = float(count @ np.logaddexp(0, np.where(y, -odds, odds))) + 0.5 * float((off**2).sum())
        slope = np.append(z.T @ miss + off / wide, miss.sum())
        return value, slope

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    found: Array = minimize(cost, np.append(usual, 2.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[:-1] / spread
    return np.append(weights, found[-1] - middle @ weights)


def chain(pages: Sequence[JudgedPage]) -> dict[str, tuple[Array, NDArray[np.bool_], Array]]:
    """Question -> evidence, truth and weight of the pages that are right in the questions before it.

    All sets count alike, however many pages they have: drawn devices are far harder than what people have as a rule.
    """
    asked = list(pages)
    kinds = [page.kind for page in pages]
    share = {kind: len(kinds) / len(set(kinds)) / kinds.count(kind) for kind in set(kinds)}
    found = {}
    for question in QUESTIONS:
        x = np.array([page.evidence.as_row() for page in asked]).reshape(-1, len(EVIDENCE))
        right = np.array([page.right[question] for page in asked], np.bool_)
        found[question] = x, right, np.array([share[page.kind] for page in asked])
        asked = [page for page in asked if page.right[question]]
    return found


def fit_grades(pages: Sequence[JudgedPage]) -> dict[str, Array]:
    """Question -> weights (n + 1,)."""
    return {question: fit_logistic(*asked, list_own(question)) for question, asked in chain(pages).items()}


def list_own(question: str) -> NDArray[np.bool_]:
    """(n,) which numbers of ``EVIDENCE`` speak of a question first of all."""
    names, times = EVIDENCE.index("name_margin"), EVIDENCE.index("times_margin")
    place = np.arange(len(EVIDENCE))
    return np.searchsorted([names, times], place, side="right") == QUESTIONS.index(question)


def predict(weights: Mapping[str, Array], pages: Sequence[JudgedPage]) -> Array:
    """(pages,) probability that a page is right."""
    x = np.array([page.evidence.as_row() for page in pages]).reshape(-1, len(EVIDENCE))
    odds = [x @ weights[q][:-1] + weights[q][-1] for q in QUESTIONS]
    return np.asarray(np.prod([1 / (1 + np.exp(-one)) for one in odds], axis=0))


def cross_validate(pages: Sequence[JudgedPage]) -> Array:
    """(pages,) probability of each page by weights that were estimated without it."""
    part = np.random.default_rng(0).permutation(len(pages)) % PARTS
    found = np.zeros(len(pages))
    for k in range(PARTS):
        others = [page for page, p in zip(pages, part, strict=True) if p != k]
        own = [page for page, p in zip(pages, part, strict=True) if p == k]
        found[part == k] = predict(fit_grades(others), own)
    return found


def fit_snr(pages: Sequence[JudgedPage]) -> tuple[Array, float]:
    """Weights (7,) of the terms of expected noise with the least Huber loss, dB, and the spread of what is left, dB."""
    leads = [(page.kind, db, e) for page in pages if page.is_right for db, e in page.leads if e.beyond]
    terms = np.array([(*e.terms, *e.beyond) for _, _, e in leads])
    power = np.maximum([e.power for _, _, e in leads], FLAT_MV**2)
    true = np.array([db for _, db, _ in leads])
    count = np.array([KIND_WEIGHT.get(kind, 1.0) for kind, _, _ in leads])
    start = np.log(SNR_START)

    def off_db(weights: Array) -> Array:
        return np.asarray(10 * np.log10(power / (terms @ np.exp(weights))) - true)

    def loss(weights: Array) -> float:
        off = np.abs(off_db(weights))
        huber = np.where(off < HUBER_DB, off**2 / 2, HUBER_DB * (off - HUBER_DB / 2))
        return float((count * huber).mean() + 0.02 * ((weights - start) ** 2).mean())

    tries = [start, *(start + np.random.default_rng(k).normal(0, 1, len(start)) for k in range(3))]
    found = [
        minimize(loss, one, method="Nelder-Mead", options={"maxfev": 6000, "maxiter": 6000}) for one in tries
    ]
    best: Array = min(found, key=lambda r: float(r.fun)).x
    return np.exp(best), float(1.25 * np.mean(np.abs(off_db(best))))


def write_weights(path: Path, pages: Sequence[JudgedPage]) -> None:
    """Write the module of weights."""
    weights = fit_grades(pages)
    right = [page.evidence.as_row() for page in pages if page.is_right]
    snr, spread = fit_snr(pages)
    counts = ", ".join(f"{sum(page.kind == kind for page in pages)} {kind}" for kind in TRAINING)
    tables = {q: dict(zip((*EVIDENCE, ""), w, strict=True)) for q, w in weights.items()}
    usual = dict(zip(EVIDENCE, np.mean(right, axis=0), strict=True))
    lines = [
        '"""Weights of grades and of expected SNR: written by ``python -m bench.grade_evidence estimate``, not by hand.',
        "",
        f"Pages: {counts}.",
        '"""',
        "",
        "from collections.abc import Mapping",
        "from typing import Final",
        "",
        "WEIGHTS: Final[Mapping[str, Mapping[str, float]]] = {",
        *(_table(name, table) for name, table in tables.items()),
        "}",
        '"""Question -> name of a number of ``PageEvidence`` -> log odds, by one of it, of being right; "": constant."""',
        "USUAL: Final[Mapping[str, float]] = {",
        *(f'    "{name}": {value:.2f},' for name, value in usual.items()),
        "}",
        '"""Mean evidence of pages that are right."""',
        f"SNR_WEIGHTS: Final = (({', '.join(f'{v:.3g}' for v in snr[:3])}), ({', '.join(f'{v:.3g}' for v in snr[3:])}))",
        '"""Weights of the terms of ``ecgpage.signal.expected_snr.Expectation``, and of those beyond them."""',
        f"SNR_SPREAD_DB: Final = {spread:.1f}",
        '"""Standard deviation, dB, of true SNR around expected ones."""',
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(question: str, table: Mapping[str, float]) -> str:
    kept = {name: value for name, value in table.items() if not name or value >= 0.005}
    inside = "\n".join(f'        "{name}": {value:.2f},' for name, value in kept.items())
    return f'    "{question}": {{\n{inside}\n    }},'


# --- report ---------------------------------------------------------------------------------------------------


def tabulate(pages: Sequence[JudgedPage], refused: Mapping[str, int]) -> str:
    """Markdown table of grades by set."""
    head = (
        "| pages | judged | refused | right | mean P | A | A wrong | right graded A | wrong graded A or B |"
    )
    lines = [head, "|---" * 9 + "|"]
    measured = [kind for kind in SETS if kind not in TRAINING]
    known = [page for page in pages if page.is_right is not None]
    groups = [(kind, [p for p in known if p.kind == kind]) for kind in SETS]
    groups.append(("all but drawn for training", [p for p in known if p.kind in measured]))
    for name, group in groups:
        if group:
            lines.append(_grade_line(name, group, refused.get(name, 0)))
    return "\n".join(lines)


def _grade_line(name: str, group: Sequence[JudgedPage], refused: int) -> str:
    right = np.array([bool(p.is_right) for p in group])
    letter = np.array([p.grade.letter for p in group])
    p = np.array([page.grade.probability for page in group])
    a = letter == "A"
    of_a = f"{(a & ~right).sum()} of {a.sum()}"
    return (
        f"| {name} | {len(group)} | {refused} | {right.mean():.0%} | {np.nanmean(p):.2f} | {a.mean():.0%} | {of_a} "
        f"| {(a & right).sum() / max(1, right.sum()):.0%} | {(~right & (a | (letter == 'B'))).sum()} of {(~right).sum()} |"
    )


def tabulate_snr(pages: Sequence[JudgedPage]) -> str:
    """Markdown table of expected SNR by set, of pages that are right."""
    lines = [
        "| pages | leads | true dB | reader's own: bias, within 3 dB | expected: bias, within 3 dB |",
        "|---" * 5 + "|",
    ]
    for kind in SETS:
        own = [
            lead for page in pages if page.kind == kind and page.is_right is not False for lead in page.leads
        ]
        if not own:
            continue
        true = np.array([db for db, _ in own])
        told = [
            np.array([e.reader_snr_db for _, e in own]) - true,
            np.array([e.snr_db for _, e in own]) - true,
        ]
        cells = " | ".join(f"{off.mean():+.1f}, {(np.abs(off) <= 3).mean():.0%}" for off in told)
        lines.append(f"| {kind} | {len(own)} | {true.mean():.1f} | {cells} |")
    return "\n".join(lines)


def plot(pages: Sequence[JudgedPage], path: Path) -> None:
    """Reliability of the probability of a page, and expected against true SNR, on the sets not trained on."""
    other = [page for page in pages if page.kind not in TRAINING]
    known = [page for page in other if page.is_right is not None]
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    truth = np.array([bool(p.is_right) for p in known])
    said, held, count = np.array(calibration(truth, np.array([p.grade.probability for p in known]))).T
    axes[0].plot([0, 1], [0, 1], color="0.7", lw=1)
    axes[0].axvspan(MIN_PROBABILITY["A"], 1, color="tab:green", alpha=0.15, lw=0)
    axes[0].vlines(said, *wilson(held, count), lw=1, color="tab:red", alpha=0.5)
    axes[0].plot(said, held, "o", ms=5, color="tab:red")
    axes[0].set(
        xlabel="probability that the page is right", ylabel="share that is right", title=f"{len(known)} pages"
    )
    leads = [lead for page in other if page.is_right is not False for lead in page.leads]
    axes[1].plot([0, 45], [0, 45], color="0.6", lw=1)
    axes[1].fill_between([0, 45], [-3, 42], [3, 48], color="0.9", lw=0)
    axes[1].plot(
        [e.snr_db for _, e in leads], [db for db, _ in leads], "o", ms=3, alpha=0.4, color="tab:red", mew=0
    )
    axes[1].set(
        xlim=(0, 45),
        ylim=(-5, 45),
        xlabel="expected SNR, dB",
        ylabel="true SNR, dB",
        title=f"{len(leads)} leads",
    )
    figure.canvas.draw()
    write_small(path, np.asarray(figure.canvas.buffer_rgba(), np.uint8)[..., :3].copy())  # type: ignore[attr-defined]
    plt.close(figure)


def load_verdicts(paths: Sequence[Path]) -> dict[str, str]:
    """Page -> verdict, of files of such lines."""
    found: dict[str, str] = {}
    for path in paths:
        with path.open(encoding="utf-8") as file:
            found |= {Path(row[0]).stem: row[1] for row in csv.reader(file)}
    return found


def main() -> int:
    """Run one of the commands."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    if options.command == "estimate":
        pages = [p for p in judge_pages(load_kept(options.work, TRAINING), {}) if p.right]
        p, right = cross_validate(pages), np.array([page.is_right for page in pages], np.bool_)
        print(f"{len(pages)} pages, {right.mean():.0%} right; by weights of other pages, of probability")
        for least in LIMITS:
            a = p >= least
            share = (a & right).sum() / right.sum()
            print(f"from {least}: {share:.0%} of the right ones, {(a & ~right).sum()} wrong of {a.sum()}")
        write_weights(options.out, pages)
        return 0
    kept = load_kept(options.work)
    refused = {kind: sum(page.reading is None for page in kept if page.kind == kind) for kind in SETS}
    pages = judge_pages(kept, load_verdicts(options.verdicts))
    print(tabulate(pages, refused) + "\n\n" + tabulate_snr(pages))
    if options.list:
        for page in pages:
            print(page.kind, page.name, page.is_right, page.right, page.grade, "; ".join(page.grade.reasons))
    if options.plot:
        plot(pages, options.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    estimate = commands.add_parser("estimate", help="estimate the weights")
    estimate.add_argument("--work", type=Path, required=True, help="folder of readings")
    estimate.add_argument("--out", type=Path, required=True, help="module to write")
    report = commands.add_parser("report", help="measure grades and expected SNR")
    report.add_argument("--work", type=Path, required=True, help="folder of readings")
    report.add_argument("--verdicts", type=Path, nargs="*", default=[], help="CSV files of page, verdict")
    report.add_argument("--plot", type=Path, help="picture, .webp")
    report.add_argument("--list", action="store_true", help="a line for each page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
