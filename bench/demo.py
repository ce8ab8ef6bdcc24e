"""Read the shipped example pages by the official command line, draw the signals read, print a short table.

python -m bench.demo [--out out/demo] [--evidence [CLASS]]

``--evidence`` also draws where the signal supports a class: the most probable one, or CLASS.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np

from ecgpage.challenge.habits import challenge_options
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.diagnosis.saliency import measure_saliency
from ecgpage.export.overlay import draw_overlay
from ecgpage.export.saliency_overlay import draw_saliency
from ecgpage.image.decode import read_image
from ecgpage.pipeline import Digitizer
from evaluate_model import evaluate_model
from helper_code import (
    find_records,
    get_image_files,
    get_num_samples,
    get_sampling_frequency,
    load_header,
    load_labels,
)

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument(
        "--evidence", nargs="?", const="", metavar="CLASS", help="draw what speaks for a class"
    )
    args = parser.parse_args()
    out = args.out
    source, reference = ROOT / "examples" / "input", ROOT / "examples" / "reference"
    command = [sys.executable, "run_model.py", "-d", str(source), "-m", "model", "-o", str(out)]
    print("$ python", " ".join(os.path.relpath(c, ROOT) if os.path.isabs(c) else c for c in command[1:]))
    subprocess.run(command, cwd=ROOT, check=True)
    scores = evaluate_model(str(reference), str(out))
    print(f"{'record':<12} {'leads found':>11} {'SNR dB':>7}  {'labels (true)':<24} overlay")
    for record in find_records(str(source)):
        found, picture = _draw(source / record, out / f"{record}.png", args.evidence)
        snr = np.nanmean([value for (name, _), value in scores[6].items() if name == record])
        labels = (
            f"{', '.join(load_labels(str(out / record)))} ({', '.join(load_labels(str(reference / record)))})"
        )
        print(f"{record:<12} {found:>8}/12 {snr:>7.2f}  {labels:<24} {os.path.relpath(picture)}")


def _draw(record: Path, picture: Path, evidence: str | None) -> tuple[int, Path]:
    """Number of leads with a value, and path of the overlay, which is written to ``picture``.

    With ``evidence`` (a class, or "" for the most probable one), the overlay shows where the signal supports it.
    """
    header = load_header(str(record))
    image_path = record.parent / get_image_files(str(record))[0]
    fs, n_samples = get_sampling_frequency(header), get_num_samples(header)
    reading = Digitizer.load(ROOT / "model", challenge_options()).read_record(
        [image_path], fs or 500.0, n_samples or 5000
    )
    page = reading.pages[0]
    if page is not None:
        image = read_image(image_path)
        if evidence is None:
            overlay = draw_overlay(image, page)
        else:
            diagnoser = Diagnoser.load(ROOT / "model")
            p = diagnoser.diagnose(reading, fs or 500.0).answer.probabilities
            label = evidence or max(p, key=lambda c: p[c])
            speaks = measure_saliency(diagnoser.signal, reading.mv, fs or 500.0, label)
            caption = f"{label}, probability {p[label]:.2f}: orange speaks for it, blue against"
            overlay = draw_saliency(image, page, speaks, caption)
        cv2.imwrite(str(picture), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
    return int(np.isfinite(reading.mv).any(axis=0).sum()), picture


if __name__ == "__main__":
    main()
