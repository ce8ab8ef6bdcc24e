"""Report the scores of a leaderboard run beside the published results: tables, text, picture."""

import csv
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt

from ecgpage.synth import MIXES

PUBLISHED: Final = Path(__file__).with_name("published_2024.tsv")
"""File of the published results, which names its source."""
KINDS: Final = tuple(MIXES)
"""Kinds of page."""
OWN_KINDS: Final = ("generator-clean", "generator-distorted")
"""Kinds of the Challenge's generator, which its hidden pages lack."""
CHALLENGE_KINDS: Final = tuple(kind for kind in KINDS if kind not in OWN_KINDS)
"""Kinds of the Challenge's hidden pages."""
PHOTOS: Final = tuple(kind for kind in CHALLENGE_KINDS if kind.startswith(("photo", "monitor")))
"""Kinds that are photographed."""
CLEAN_SCANS: Final = ("scan-color", "scan-bw")
"""Kinds of the Challenge's own leaderboard."""
WEAK_DB: Final = 6.0
"""SNR, dB, below which a lead counts as weak."""
FEW: Final = 20
"""Number of records, below which they are drawn as every kind."""
CAUTION: Final = (
    "Drawn pages are not the hidden pages of the Challenge, and this package was trained on drawn pages: the published "
    "figures stand beside for orientation, not as a ranking."
)


# --- scores -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """Scores of the pages of one kind or of several."""

    kind: str
    pages: int
    unread: int
    """Number of pages without any signal."""
    snr: float
    """Mean SNR, dB."""
    weak: float
    """Share of the leads below ``WEAK_DB``."""
    lost: float
    """Share of the leads below 0 dB: worse than no signal."""
    f: float
    """Macro F by the Challenge's rule: over the classes that these pages have."""
    low: float
    high: float
    """Upper end of the 95 % bootstrap interval of macro F, over all classes that are true or predicted anywhere."""
    seconds: float
    """Mean time, s, to read a page, without diagnosis and start."""


# --- the report ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """Results of one ranked team in one task."""

    task: str
    rank: int
    team: str
    values: dict[str, float]
    """SNR, dB, or macro F of ``leaderboard`` and each kind; NaN where not published."""

    @property
    def mean(self) -> float:
        """Mean over the eight kinds; NaN unless all are published."""
        return float(np.mean([self.values[kind] for kind in CHALLENGE_KINDS]))


def read_published() -> list[Published]:
    """Ranked teams of both tasks, from ``PUBLISHED``."""
    lines = [line for line in PUBLISHED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [
        Published(
            row["task"],
            int(row["rank"]),
            row["team"],
            {key: float(row[key]) if row[key] else math.nan for key in ("leaderboard", *CHALLENGE_KINDS)},
        )
        for row in csv.DictReader(lines, delimiter="\t")
    ]


def own_values(scores: dict[str, Score], task: str) -> dict[str, float]:
    """Value of this package in a task by kind; ``leaderboard`` is that of ``CLEAN_SCANS`` together."""
    value = {name: s.snr if task == "digitization" else s.f for name, s in scores.items()}
    return {kind: value.get(kind, math.nan) for kind in KINDS} | {"leaderboard": value.get("scans", math.nan)}


def by_kind(scores: dict[str, Score]) -> str:
    """Markdown table of this package's scores by kind."""
    lines = [
        f"| drawn pages | n | without signal | SNR dB | leads below {WEAK_DB:g} dB | below 0 | macro F (95 %) | s a page |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in scores.values():
        f = f"{s.f:.3f} ({s.low:.3f}–{s.high:.3f})"
        leads = f"{100 * s.weak:.1f} % | {100 * s.lost:.2f} %"
        lines.append(f"| {s.kind} | {s.pages} | {s.unread} | {s.snr:.2f} | {leads} | {f} | {s.seconds:.1f} |")
    return "\n".join(lines)


def beside_published(scores: dict[str, Score], task: str) -> str:
    """Markdown table of one task by kind: this package on drawn pages above the ranked teams on hidden ones."""
    columns = ("leaderboard", *CHALLENGE_KINDS)
    digits = 2 if task == "digitization" else 3

    def cell(value: float) -> str:
        return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"

    lines = ["| # | | " + " | ".join([*columns, "mean 8", *OWN_KINDS]) + " |"]
    lines.append("|---|---|" + "---|" * (len(columns) + 1 + len(OWN_KINDS)))
    own = own_values(scores, task)
    values = [own[c] for c in columns] + [float(np.mean([own[k] for k in CHALLENGE_KINDS]))]
    cells = " | ".join(f"**{cell(v)}**" for v in [*values, *(own[kind] for kind in OWN_KINDS)])
    lines.append(f"| | **this package, drawn pages** | {cells} |")
    for team in (p for p in read_published() if p.task == task):
        cells = " | ".join(cell(v) for v in [*(team.values[c] for c in columns), team.mean])
        lines.append(f"| {team.rank} | {team.team} | {cells} |" + " |" * len(OWN_KINDS))
    return "\n".join(lines)


def describe(name: str, scores: dict[str, Score], branches: dict[str, tuple[float, float, float]]) -> str:
    """Markdown of the whole report on the run ``name``."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    ways = "\n".join(
        f"| {way} | {f:.3f} ({low:.3f}–{high:.3f}) |" for way, (f, low, high) in branches.items()
    )
    return "\n\n".join(
        [
            f"# Leaderboard: {scores['all'].pages} drawn pages ({name})",
            f"Commit {commit.stdout.strip() or 'unknown'}. {CAUTION} Published figures: see `bench/published_2024.tsv`.",
            by_kind(scores),
            "`scans`, `photos`, `all`: pages of these kinds together; macro F is over the classes that they have.",
            "## Digitization, SNR in dB",
            beside_published(scores, "digitization"),
            "## Diagnosis, macro F",
            beside_published(scores, "classification"),
            "## What answers",
            f"| all pages | macro F (95 %) |\n|---|---|\n{ways}",
        ]
    )


def plot(scores: dict[str, Score], path: Path) -> None:
    """Draw both tasks by kind: the ranked teams grey, this package red."""
    figure, axes = plt.subplots(2, 1, figsize=(11, 8), sharex=True, layout="constrained")
    places = {kind: k for k, kind in enumerate(("leaderboard", *CHALLENGE_KINDS, *OWN_KINDS))}
    for axis, task, unit in zip(
        axes, ("digitization", "classification"), ("SNR, dB", "macro F"), strict=True
    ):
        for team in (p for p in read_published() if p.task == task):
            axis.plot([places[k] for k in team.values], list(team.values.values()), "o", color="0.6", ms=4)
        own = own_values(scores, task)
        axis.plot(
            [places[k] for k in own],
            list(own.values()),
            "D",
            color="tab:red",
            label="this package, drawn pages",
        )
        if task == "classification":
            for kind, s in scores.items():
                if kind in places:
                    axis.plot([places[kind]] * 2, [s.low, s.high], color="tab:red", lw=1)
        axis.set_ylabel(unit)
        axis.grid(axis="y", color="0.9")
    axes[0].plot([], [], "o", color="0.6", ms=4, label="ranked teams, hidden pages")
    axes[0].legend(loc="upper right", bbox_to_anchor=(0.8, 1.0))
    axes[0].set_title("Drawn pages are not the hidden pages: for orientation, not as a ranking", fontsize=10)
    axes[1].set_xticks(list(places.values()), list(places), rotation=30, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
