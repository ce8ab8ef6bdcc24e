"""Read the shipped example pages, draw what was found on them, print a short table.

    python -m bench.demo [--out out/demo] [--evidence [CLASS]]

Needs what ``requirements-light.txt`` names. Answers and scores are those of ``run_model.py`` and ``evaluate_model.py``.
OUT gets a WFDB record and an overlay for each page; ``--evidence`` also draws where the signal supports a class: the most
probable one, or CLASS.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.challenge import ptbxl_100hz, wfdb_header
from ecgpage.challenge.habits import challenge_options
from ecgpage.challenge.record_scores import score_leads
from ecgpage.core.conventions import LEADS
from ecgpage.core.runtime import choose_runtime
from ecgpage.core.types import Image
from ecgpage.diagnosis.diagnoser import Diagnoser, RecordDiagnosis
from ecgpage.diagnosis.saliency import measure_saliency
from ecgpage.export.overlay import draw_overlay
from ecgpage.export.saliency_overlay import draw_saliency
from ecgpage.image.decode import read_image
from ecgpage.pipeline import Digitizer
from ecgpage.reader import summarize
from ecgpage.results import RecordReading

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
GAP = -32768
"""Digital value of a sample that is not printed."""


@dataclass(frozen=True)
class Reference:
    """What is known of an example page."""

    fs: float
    """Samples per second, Hz."""
    mv: NDArray[np.float64]
    """(n, 12) true signals, mV, leads in the order ``LEADS``, NaN where nothing is printed."""
    labels: list[str]
    picture: str
    """Name of the page's file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument(
        "--evidence", nargs="?", const="", metavar="CLASS", help="draw what speaks for a class"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu")
    digitizer = Digitizer.load(ROOT / "model", challenge_options(), runtime)
    diagnoser = Diagnoser.load(ROOT / "model", runtime=runtime)
    print(f"{'record':<12} {'leads found':>11} {'SNR dB':>7}  {'labels (true)':<16} overlay")
    for header in sorted((ROOT / "examples" / "reference").glob("*.hea")):
        truth = load_reference(header)
        picture = ROOT / "examples" / "input" / truth.picture
        reading = ptbxl_100hz.read_record(digitizer, [picture], truth.fs, len(truth.mv))
        found = diagnoser.diagnose(reading, truth.fs)
        summarize(reading, found, truth.fs).save(args.out, "wfdb", header.stem)
        written = load_signals(args.out / header.name)
        overlay = args.out / f"{header.stem}.png"
        write_overlay(overlay, read_image(picture), reading, found, diagnoser, truth.fs, args.evidence)
        leads = int(np.isfinite(reading.mv).any(axis=0).sum())
        snr = np.nanmean(score_leads(truth.mv, written, truth.fs))
        labels = f"{', '.join(found.answer.labels)} ({', '.join(truth.labels)})"
        print(f"{header.stem:<12} {leads:>8}/12 {snr:>7.2f}  {labels:<16} {os.path.relpath(overlay)}")


def load_reference(path: Path) -> Reference:
    """Record of a header of the examples."""
    header = path.read_text(encoding="ascii")
    comments = dict(line[2:].split(": ", 1) for line in header.splitlines() if line.startswith("# "))
    fs = wfdb_header.rate(header) or 0.0
    return Reference(fs, load_signals(path), comments["Labels"].split(", "), comments["Image"])


def load_signals(path: Path) -> NDArray[np.float64]:
    """(n, 12) signals, mV, of a header whose samples are 16-bit numbers in one file, leads in the order ``LEADS``."""
    header = path.read_text(encoding="ascii")
    names, gains = wfdb_header.names(header), np.array(wfdb_header.gains(header))
    (file,) = {line.given("file") for line in wfdb_header.signal_lines(header)}
    steps = np.fromfile(path.parent / file, "<i2").reshape(-1, len(names))
    mv = np.where(steps == GAP, np.nan, (steps - np.array(wfdb_header.baselines(header))) / gains)
    return np.asarray(mv[:, [names.index(lead) for lead in LEADS]])


def write_overlay(
    path: Path,
    image: Image,
    reading: RecordReading,
    found: RecordDiagnosis,
    diagnoser: Diagnoser,
    fs: float,
    evidence: str | None,
) -> None:
    """Write the overlay of a page that was recognised; with ``evidence`` (a class, or "" for the most probable one) it shows
    where the signal supports the class.
    """
    page = reading.pages[0]
    if page is None:
        return
    if evidence is None:
        overlay = draw_overlay(image, page)
    else:
        p = found.answer.probabilities
        label = evidence or max(p, key=lambda c: p[c])
        speaks = measure_saliency(diagnoser.signal, reading.mv, fs, label)
        caption = f"{label}, probability {p[label]:.2f}: orange speaks for it, blue against"
        overlay = draw_saliency(image, page, speaks, caption)
    cv2.imwrite(str(path), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
