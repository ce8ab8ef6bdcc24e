"""Draw the reliability diagram of each class: share of pages with the diagnosis against its predicted probability.

    python -m bench.probability_calibration --table fold9.npz --model model --out calibration.png

The table holds the predictions of both branches (``ecgpage.train.stack_table`` or ``bench.leaderboard``); the stack of the
model folder makes the probabilities.
"""

import argparse
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")

from matplotlib import pyplot as plt

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.diagnosis.stack import Stack
from ecgpage.train.stack import Table, probabilities_of

RANGES: Final = 10
"""Number of equal ranges of probability, a point for each."""


def calibration(truth: NDArray[np.bool_], p: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Mean probability, share of pages that have the class, and number of pages, for each range that holds any.

    ``truth`` and ``p`` are (n,); NaN in ``p`` is left out.
    """
    known = np.isfinite(p)
    truth, p = truth[known], p[known]
    place = np.minimum((p * RANGES).astype(int), RANGES - 1)
    inside = [place == k for k in range(RANGES)]
    return [(float(p[i].mean()), float(truth[i].mean()), int(i.sum())) for i in inside if i.any()]


def wilson(
    share: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval, within 0 and 1, of a share seen in ``count`` pages (Wilson 1927)."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - half, centre + half


def plot(truth: NDArray[np.bool_], p: NDArray[np.float64], path: Path) -> None:
    """Draw the diagrams of all classes for ``truth`` and ``p`` (n, 11); bars are 95 % intervals of the share."""
    figure, axes = plt.subplots(3, 4, figsize=(11, 8.5), sharex=True, sharey=True, layout="constrained")
    for c, axis in enumerate(axes.flat):
        if c >= len(CLASSES):
            axis.set_axis_off()
            continue
        axis.plot([0, 1], [0, 1], color="0.7", lw=1)
        said, held, count = np.array(calibration(truth[:, c], p[:, c])).reshape(-1, 3).T
        low, high = wilson(held, count)
        axis.vlines(said, low, high, lw=1, color="tab:red", alpha=0.5)
        axis.plot(said, held, "o", ms=4, color="tab:red")
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
    plot(table.truth, probabilities_of(Stack.load(args.model), table), args.out)


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        raise SystemExit(str(error)) from None
