"""Draw how probable a diagnosis is when the answer says so: a reliability diagram for each class.

    python -m bench.calibration --table fold9.npz --model model --out calibration.png

TABLE holds both branches' answers (``ecgpage.train.answers`` or ``bench.leaderboard``); the stack of the model folder
makes the probabilities.
"""

import argparse
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")

from matplotlib import pyplot as plt

from ecgpage.ecg import CLASSES, EcgPageError
from ecgpage.stack import Stack
from ecgpage.train.stack import Table

RANGES: Final = 10
"""Equal ranges of probability, a point for each."""


def calibration(truth: NDArray[np.bool_], p: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Mean probability, share of pages that have the class, and number of pages, for each range that holds any.

    ``truth`` and ``p`` are (n,); NaN is left out.
    """
    known = np.isfinite(p)
    truth, p = truth[known], p[known]
    place = np.minimum((p * RANGES).astype(int), RANGES - 1)
    inside = [place == k for k in range(RANGES)]
    return [(float(p[i].mean()), float(truth[i].mean()), int(i.sum())) for i in inside if i.any()]


def plot(truth: NDArray[np.bool_], p: NDArray[np.float64], path: Path) -> None:
    """Diagrams of all classes, (n, 11) each; the bars are two standard errors of a share."""
    figure, axes = plt.subplots(3, 4, figsize=(11, 8.5), sharex=True, sharey=True, layout="constrained")
    for c, axis in enumerate(axes.flat):
        if c >= len(CLASSES):
            axis.set_axis_off()
            continue
        axis.plot([0, 1], [0, 1], color="0.7", lw=1)
        said, held, count = np.array(calibration(truth[:, c], p[:, c])).reshape(-1, 3).T
        error = 2 * np.sqrt(held * (1 - held) / np.maximum(count, 1))
        axis.errorbar(said, held, error, marker="o", ms=4, lw=1, color="tab:red")
        axis.set_title(f"{CLASSES[c]} ({int(truth[:, c].sum())} of {len(truth)})", fontsize=9)
    figure.supxlabel("probability that the answer states")
    figure.supylabel("share of records that have the class")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="answers of both branches")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder with a stack")
    parser.add_argument("--out", type=Path, required=True, help="picture, .png")
    args = parser.parse_args()
    table = Table.load(args.table)
    p = np.where(table.read[:, None], Stack.load(args.model).probabilities(table.features), np.nan)
    plot(table.truth, p, args.out)


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        raise SystemExit(str(error)) from None
