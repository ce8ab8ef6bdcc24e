"""Measure how PDFs are read that hold their curves as lines.

    python -m bench.vector_pdfs world --data FOLDER [--picture]
    python -m bench.vector_pdfs drawn --data FOLDER --out PAGES [--records 8] [--picture]

``world``: the PDFs of devices in ``FOLDER/world/pdf`` against ``FOLDER/world/truth``. The offset of each lead is removed,
then one lag within 120 ms and one time scale within 0.5 % a page, as that folder's README says; both are searched finely,
since they decide from 40 dB on. ``drawn``: records of fold 9 drawn by two plotting packages (``bench.plotted_pages``,
which says what to install) in three layouts each, with all points and simplified as Matplotlib does it; the truth is the
line through the samples, an offset of each lead is removed and nothing else. ``--picture`` reads the same pages as pictures.
Prints Markdown tables.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from bench.world import FS, load_truth, snr_of_leads, stretch
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.image.documents import read_pages
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
MAX_LAG_S: Final = 0.12
MAX_SCALE: Final = 0.005
DRAWN: Final = {
    "ecg_plot": ("12x1 of 10 s", "6x2, both 0-5 s", "3x4, all 0-2.5 s, 200"),
    "pmecg": ("3x4+II", "6x2, grey", "Cabrera"),
}
"""Beginnings of the names of the settings that are drawn, for each package."""
REPORT_FOLD: Final = "9"
MOST_MV: Final = 5.0
"""Largest voltage, mV, of a record: packages do not move a lead that lies 10 mV off zero onto the page."""


@dataclass
class Score:
    """What was found on one kind of page."""

    name: str
    snr: list[float] = field(default_factory=list)
    """Of each lead, dB."""
    plain: list[float] = field(default_factory=list)
    """Without removing lag and scale, dB."""
    expected: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    failed: int = 0

    def row(self) -> str:
        """Line of the table."""
        snr, plain, expected = (np.array(v or [np.nan]) for v in (self.snr, self.plain, self.expected))
        return (
            f"| {self.name} | {', '.join(sorted(self.sources))} | {np.mean(snr):.1f} | {np.min(snr):.1f} "
            f"| {np.mean(plain):.1f} | {np.nanmean(expected):.1f} | {np.median(self.opening or [np.nan]):.2f} "
            f"| {np.median(self.seconds or [np.nan]):.2f} | {self.failed} |"
        )


HEAD: Final = (
    "| pages | read by | SNR dB, mean | least | without lag and scale | expected | CPU s to open and draw | to read "
    "| failed |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def read_pdf(
    digitizer: Digitizer, path: Path, as_picture: bool
) -> Iterator[tuple[int, PageReading | None, float, float]]:
    """Page number, reading (None where it failed), seconds of the processor to open it and to read it."""
    began = time.process_time()
    for page in read_pages(path):
        opened = time.process_time()
        try:
            reading = digitizer.read_page(
                page.image, float(FS), 10 * FS, drawing=None if as_picture else page.drawing
            )
        except EcgPageError as error:
            print(f"{path.name}, page {page.number}: {error}", file=sys.stderr)
            reading = None
        yield page.number, reading, opened - began, time.process_time() - opened
        began = time.process_time()


def add(
    score: Score, reading: PageReading | None, truth: Array, seconds: tuple[float, float], fit: bool
) -> None:
    """Count one page."""
    printed = np.atleast_1d(np.isfinite(truth).any(axis=0))
    score.opening.append(seconds[0])
    score.seconds.append(seconds[1])
    if reading is None:
        score.failed += 1
        score.snr += [0.0] * int(printed.sum())
        return
    mv = reading.signals.mv.astype(np.float64)
    n = max(len(mv), len(truth))
    mv, truth = (np.pad(m, ((0, n - len(m)), (0, 0)), constant_values=np.nan) for m in (mv, truth))
    plain = snr_of_leads(truth, mv)[printed]
    score.plain += plain.tolist()
    score.snr += (fit_page(truth, reading)[printed] if fit else plain).tolist()
    score.expected += [r.snr_db for r, p in zip(reading.signals.readings, printed, strict=True) if p]
    score.sources |= {r.source for r, p in zip(reading.signals.readings, printed, strict=True) if p}


def sample_lines(reading: PageReading, n: int, scale: float, lag: float) -> Array:
    """Signals (n, 12), mV, of the lines that were read, the time axis stretched, ``lag`` samples later: sampled once."""
    mv = np.full((n, len(LEADS)), np.nan)
    at = (np.arange(n) - lag) / scale / FS
    lines = {(round(t.segment.x0_mm, 3), t.segment.row): t for t in reading.traces}
    for segment in reading.signals.segments:  # strips last
        trace = lines[round(segment.x0_mm, 3), segment.row]
        x = segment.x0_mm + (at - segment.start_s) * reading.layout.speed_mm_per_s
        y = np.interp(x, trace.x_mm, trace.y_mm, np.nan, np.nan)
        values = (segment.zero_mm - y) / segment.gain_mm_per_mv
        lead = LEADS.index(segment.lead)
        mv[:, lead] = np.where(np.isfinite(values), values, mv[:, lead])
    return mv


def fit_page(truth: Array, reading: PageReading) -> NDArray[np.float64]:
    """SNR (12), dB, at the lag and scale of the page at which its mean is best."""
    printed = np.isfinite(truth).any(axis=0)
    is_line = all(r.source in ("path", "none") for r in reading.signals.readings)
    mv = np.pad(
        reading.signals.mv.astype(np.float64),
        ((0, max(0, len(truth) - len(reading.signals.mv))), (0, 0)),
        constant_values=np.nan,
    )
    best, at = -np.inf, np.zeros(len(LEADS))
    scale, lag = 1.0, 0.0

    def snr_at(a: float, b: float) -> NDArray[np.float64]:
        moved = sample_lines(reading, len(truth), a, b) if is_line else stretch(mv, a, b)
        return np.asarray(snr_of_leads(truth, moved), np.float64)

    steps = (MAX_SCALE / 5, 5.0)
    for _ in range(40):
        moved = False
        for a in np.clip(scale + steps[0] * np.array([-1.0, 0.0, 1.0]), 1 - MAX_SCALE, 1 + MAX_SCALE):
            for b in np.clip(lag + steps[1] * np.array([-1.0, 0.0, 1.0]), -MAX_LAG_S * FS, MAX_LAG_S * FS):
                found = snr_at(float(a), float(b))
                if found[printed].mean() > best:
                    best, at, moved = float(found[printed].mean()), found, True
                    centre = float(a), float(b)
        if moved:
            scale, lag = centre
        else:
            steps = steps[0] / 2, steps[1] / 2
    return at


def score_world(digitizer: Digitizer, data: Path, as_picture: bool) -> list[Score]:
    """Scores of the PDFs of devices, page by page."""
    scores = []
    for path in sorted((data / "world" / "pdf").glob("*.pdf")):
        for number, reading, *seconds in read_pdf(digitizer, path, as_picture):
            folder = data / "world" / "truth"
            truths = [folder / f"{path.stem}_page{number}.csv", folder / f"{path.stem}.csv"]
            score = Score(f"{path.stem}, page {number}")
            truth = load_truth(next(t for t in truths if t.exists()))
            add(score, reading, truth, (seconds[0], seconds[1]), fit=True)
            scores.append(score)
    return scores


def score_drawn(digitizer: Digitizer, data: Path, out: Path, count: int, as_picture: bool) -> list[Score]:
    """Scores of drawn records, each setting with all points and simplified."""
    import matplotlib as mpl  # noqa: PLC0415 - only here
    from matplotlib import pyplot as plt  # noqa: PLC0415

    from bench.plotted_pages import SETTINGS, check_packages  # noqa: PLC0415
    from ecgpage.synth.training_records import TrainingRecords  # noqa: PLC0415

    check_packages()
    out.mkdir(parents=True, exist_ok=True)
    records = TrainingRecords(data, {REPORT_FOLD})
    chosen = _choose(records, count)
    scores = []
    for simplify in (False, True):
        for setting in SETTINGS:
            if not setting.name.startswith(DRAWN[setting.package]):
                continue
            score = Score(f"{setting.package}, {setting.name}{', simplified' if simplify else ''}")
            for index in chosen:
                signal, fs = records.signal(index)
                with mpl.rc_context({"path.simplify": simplify}):
                    figure, pieces = setting.draw(signal.T.astype(np.float32), fs)
                    path = out / f"page-{index}.pdf"
                    figure.savefig(path)
                truth = np.full((10 * FS, len(LEADS)), np.nan)
                for piece in sorted(pieces, key=lambda p: p.column is None):
                    first, last = piece.start, piece.start + piece.last - piece.first
                    at = np.arange(int(np.ceil(first / fs * FS)), int(np.floor((last - 1) / fs * FS)) + 1)
                    lead = LEADS.index(piece.lead)
                    samples = signal[first:last, lead].astype(np.float64)
                    drawn = np.asarray(piece.line.get_ydata(), np.float64)[piece.first : piece.last]
                    samples[~np.isfinite(drawn)] = np.nan  # the pen was lifted between two leads
                    truth[at, lead] = np.interp(at / FS, np.arange(first, last) / fs, samples)
                plt.close(figure)
                for _, reading, *seconds in read_pdf(digitizer, path, as_picture):
                    add(score, reading, truth, (seconds[0], seconds[1]), fit=False)
            scores.append(score)
            print(score.row(), flush=True)
    return scores


def _choose(records: object, count: int) -> list[int]:
    """Records, half of them at 500 Hz, none of which the packages would draw off the page."""
    order = np.random.default_rng(9).permutation(len(records))  # type: ignore[arg-type]
    fine: list[int] = []
    coarse: list[int] = []
    for index in map(int, order):
        signal, fs = records.signal(index)  # type: ignore[attr-defined]
        if np.abs(signal).max() > MOST_MV:
            continue
        kind = fine if fs >= FS else coarse
        kind.append(index)
        if min(len(fine), len(coarse)) >= count // 2:
            break
    return fine[: count // 2] + coarse[: count - count // 2]


def summarize(scores: Sequence[Score]) -> str:
    """The rows, and one over all."""
    total = Score("all")
    for score in scores:
        total.snr += score.snr
        total.plain += score.plain
        total.expected += score.expected
        total.seconds += score.seconds
        total.opening += score.opening
        total.sources |= score.sources
        total.failed += score.failed
    return "\n".join([HEAD, *(score.row() for score in scores), total.row()])


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description="PDFs that hold their curves, read.")
    parser.add_argument("command", choices=("world", "drawn"))
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with world/, ptbxl100/ and hires500/"
    )
    parser.add_argument("--out", type=Path, default=Path("out/vector_pdfs"), help="folder of drawn pages")
    parser.add_argument("--records", type=int, default=8, help="records a setting")
    parser.add_argument("--picture", action="store_true", help="read the pages as pictures")
    parser.add_argument("--model", type=Path, default=ROOT / "model", help="folder with the weights")
    options = parser.parse_args()
    digitizer = Digitizer.load(options.model)
    if options.command == "world":
        scores = score_world(digitizer, options.data, options.picture)
    else:
        scores = score_drawn(digitizer, options.data, options.out, options.records, options.picture)
    print(summarize(scores))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EcgPageError as error:
        sys.exit(str(error))
