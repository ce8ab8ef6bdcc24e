"""Compare the expected with the true SNR of each lead.

    python -m bench.expected_snr --data FOLDER [--fold 9] [--records 5] [--real] [--width 700] [--fit] [--plot FILE.png]

FOLDER holds ``hires500`` and, for ``--real``, ``real/scans`` and ``real/photos``. Draws ``--records`` pages of each kind,
from different records while the fold lasts, and reads them, keeping leads that are expected to be noise. The true SNR is
that of ``evaluate_model``. ``--width`` shrinks the pictures, so that leads fail. ``--fit`` prints the weights
(``ecgpage.signal.expected_snr.NOISE``) that fit these drawn pages best; fold 8 is meant for it. Prints a Markdown table by
kind. ``--work`` keeps the readings, from which another start continues: delete it after a change.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ecgpage.challenge.habits import challenge_options
from ecgpage.core.types import Array

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import matplotlib as mpl
import numpy as np
import torch
from scipy.optimize import minimize
from tqdm import tqdm

mpl.use("Agg")

from matplotlib import pyplot as plt

from bench.overlays import read_scored
from ecgpage.challenge.scoring import score_lead
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Image
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading
from ecgpage.signal.assembly import assemble
from ecgpage.signal.expected_snr import FLAT_MV, NOISE, Expectation
from ecgpage.signal.options import SignalOptions
from ecgpage.synth import MIXES, draw_picture, mixes_hash
from ecgpage.synth.sources import Pack
from helper_code import find_records

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
FS: Final = 500.0
"""Sampling frequency, Hz, of records and readings."""
N_SAMPLES: Final = 5000
"""Number of samples of a reading: 10 s."""
REAL_KINDS: Final = ("scans", "photos")
"""Kinds of real pages."""
NEAR_DB: Final = 3.0
"""Error, dB, of the expected SNR, up to which it counts as near."""
HUBER_DB: Final = 3.0
"""Error, dB, above which it counts linearly in the fit."""


@dataclass(frozen=True)
class Lead:
    """One lead of one page."""

    lead: str
    true_db: float
    power: float
    terms: tuple[float, float, float]
    """Terms of the expected noise (``ecgpage.signal.expected_snr.Expectation``)."""

    @property
    def expected_db(self) -> float:
        return Expectation(self.power, self.terms).snr_db


@dataclass(frozen=True)
class Page:
    """One page; without leads where it was refused."""

    kind: str
    name: str
    leads: list[Lead]
    reason: str = ""


# --- reading ------------------------------------------------------------------------------------------------


def judged(kind: str, name: str, page: PageReading, fs: float, truth: Array) -> Page:
    """Expected and true SNR of all leads, also those that would be left out; ``truth`` (n, 12) mV, NaN where not drawn."""
    signals = assemble(page.traces, page.layout, fs, len(truth), SignalOptions(min_snr_db=-np.inf))
    leads = []
    for k, reading in enumerate(signals.readings):
        if reading.expectation is not None and np.isfinite(truth[:, k]).any():
            db = score_lead(truth[:, k], signals.mv[:, k].astype(np.float64), fs).snr
            if np.isfinite(db):
                leads.append(Lead(LEADS[k], db, reading.expectation.power, reading.expectation.terms))
    return Page(kind, name, leads)


class Reader:
    """Reader of pages by kind and name; readings are stored and not repeated."""

    def __init__(self, data: Path, fold: str, count: int, width: int | None, model: Path) -> None:
        """Read ``count`` pages of each drawn kind, from records of ``fold``, at most ``width`` px wide."""
        self.data, self.fold, self.count, self.width = data, fold, count, width
        self.digitizer = Digitizer.load(model, challenge_options())
        pack = data / "hires500"
        self.pack = Pack(pack / "signals.xz", pack / "records.csv", fs=FS)
        self.records = [k for k, row in enumerate(self.pack.rows) if row.get("strat_fold") == fold]

    def tasks(self, *, real: bool) -> list[tuple[str, str]]:
        """Kind and name of all pages: drawn kinds in turn, then the real ones."""
        found = [(kind, str(number)) for number in range(self.count) for kind in MIXES]
        folders = [(kind, self.data / "real" / kind / "input") for kind in REAL_KINDS if real]
        return found + [(kind, record) for kind, folder in folders for record in find_records(str(folder))]

    def read(self, kind: str, name: str) -> Page:
        """Read one page; ``reason`` tells why it was refused."""
        try:
            if kind in REAL_KINDS:
                scored = read_scored(self.digitizer, self.data / "real" / kind, name)
                return judged(kind, name, scored.page, scored.fs, scored.truth)
            number, m = int(name), list(MIXES).index(kind)
            record = self.pack.read(self.records[(m * self.count + number) % len(self.records)])
            drawn = draw_picture(record.signal, record.fs, mix=kind, seed=(int(self.fold), m, number))
            page = self.digitizer.read_page(_shrunk(drawn.image, self.width), FS, N_SAMPLES)
            return judged(kind, name, page, FS, drawn.masked_signal.astype(np.float64))
        except EcgPageError as error:
            return Page(kind, name, [], str(error))

    def read_all(self, path: Path, *, real: bool) -> list[Page]:
        """Read all pages, in the order of ``tasks``; ``path`` keeps them, a line each."""
        path.parent.mkdir(parents=True, exist_ok=True)
        pages = {(p.kind, p.name): p for p in (load(line) for line in _lines(path))}
        tasks = self.tasks(real=real)
        with path.open("a", encoding="utf-8") as file:
            for task in tqdm([task for task in tasks if task not in pages], file=sys.stderr):
                pages[task] = self.read(*task)
                file.write(json.dumps(asdict(pages[task])) + "\n")
                file.flush()
        return [pages[task] for task in tasks]


def load(line: str) -> Page:
    """Page of a line that ``Reader`` stored."""
    values = json.loads(line)
    leads = [Lead(v["lead"], v["true_db"], v["power"], tuple(v["terms"])) for v in values["leads"]]
    return Page(values["kind"], values["name"], leads, values["reason"])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _shrunk(image: Image, width: int | None) -> Image:
    if width is None or image.shape[1] <= width:
        return image
    size = (width, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


# --- tables -------------------------------------------------------------------------------------------------


def row(kind: str, pages: Sequence[Page]) -> str:
    """Line of the table."""
    leads = [lead for page in pages for lead in page.leads]
    refused = sum(not page.leads for page in pages)
    if not leads:
        return f"| {kind} | {len(pages)} | {refused} | 0 |" + " – |" * 8
    true, expected = (np.array([getattr(lead, key) for lead in leads]) for key in ("true_db", "expected_db"))
    off = expected - true
    together = float(np.corrcoef(expected, true)[0, 1])
    left_out = expected < SignalOptions().min_snr_db
    return (
        f"| {kind} | {len(pages)} | {refused} | {len(leads)} | {expected.mean():.1f} | {true.mean():.1f} "
        f"| {off.mean():+.2f} | {off.std():.2f} | {together:.2f} | {(np.abs(off) <= NEAR_DB).mean():.0%} "
        f"| {(left_out & (true <= 0)).sum()} / {(left_out & (true > 0)).sum()} | {(~left_out & (true <= 0)).sum()} |"
    )


def table(pages: Sequence[Page]) -> str:
    """Markdown table: a line for each kind, and one for all."""
    kinds = list(dict.fromkeys(page.kind for page in pages))
    lines = [
        "| pages | n | refused | leads | expected dB | true dB | bias | spread | correlation | within 3 dB "
        "| left out rightly / wrongly | kept below 0 dB |",
        "|---" * 12 + "|",
        *(row(kind, [p for p in pages if p.kind == kind]) for kind in kinds),
        row("all", pages),
    ]
    return "\n".join(lines)


def fit(leads: Sequence[Lead]) -> Array:
    """Weights (3,) of the noise's terms with the least Huber loss, dB."""
    terms = np.array([lead.terms for lead in leads])  # (n, 3)
    power = np.maximum([lead.power for lead in leads], FLAT_MV**2)
    true = np.array([lead.true_db for lead in leads])

    def loss(log_weights: Array) -> float:
        off = np.abs(10 * np.log10(power / (terms @ np.exp(log_weights))) - true)
        return float(np.mean(np.where(off < HUBER_DB, off**2 / 2, HUBER_DB * (off - HUBER_DB / 2))))

    found = minimize(loss, np.log(NOISE), method="Nelder-Mead", options={"maxfev": 5000, "maxiter": 5000})
    return np.exp(found.x)


def plot(pages: Sequence[Page], path: Path) -> None:
    """Draw a diagram for each kind, with a point for each lead; the band is ``NEAR_DB`` wide on each side."""
    kinds = list(dict.fromkeys(page.kind for page in pages))
    columns = 4
    shape = (-(-len(kinds) // columns), columns)
    figure, axes = plt.subplots(
        *shape, figsize=(11, 2.8 * shape[0]), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    ends = np.array([-5.0, 42.0])
    for axis, kind in zip(axes.flat, kinds, strict=False):
        leads = [lead for page in pages if page.kind == kind for lead in page.leads]
        expected, true = (np.array([getattr(a, key) for a in leads]) for key in ("expected_db", "true_db"))
        axis.fill_between(ends, ends - NEAR_DB, ends + NEAR_DB, color="0.9", lw=0)
        axis.plot(ends, ends, color="0.6", lw=1)
        axis.plot(expected, true, "o", ms=3, alpha=0.5, color="tab:red", mew=0)
        near = (np.abs(expected - true) <= NEAR_DB).mean() if leads else float("nan")
        axis.set_title(f"{kind} ({len(leads)}), {near:.0%} within 3 dB", fontsize=8)
    for axis in axes.flat[len(kinds) :]:
        axis.set_axis_off()
    axes.flat[0].set_xlim(*ends)
    axes.flat[0].set_ylim(*ends)
    figure.supxlabel("expected SNR, dB")
    figure.supylabel("true SNR, dB")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fold", default="9", help="records that are drawn")
    parser.add_argument("--records", type=int, default=5, help="pages of each kind")
    parser.add_argument("--real", action="store_true", help="the real pages, too")
    parser.add_argument("--width", type=int, help="px to which drawn pictures are shrunk")
    parser.add_argument("--fit", action="store_true", help="print the best weights for these drawn pages")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="diagrams, .png")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--work", type=Path, default=Path("out/expected_snr"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    reader = Reader(args.data, args.fold, args.records, args.width, args.model)
    name = f"fold{args.fold}-{args.records}-{args.width or 'full'}-{mixes_hash()}.jsonl"
    pages = reader.read_all(args.work / name, real=args.real)
    print(f"page mixes {mixes_hash()}, fold {args.fold}\n\n{table(pages)}")
    if args.fit:
        drawn = [lead for page in pages if page.kind not in REAL_KINDS for lead in page.leads]
        print("\nbest weights: " + ", ".join(f"{weight:.2g}" for weight in fit(drawn)))
    if args.plot:
        plot(pages, args.plot)


if __name__ == "__main__":
    main()
