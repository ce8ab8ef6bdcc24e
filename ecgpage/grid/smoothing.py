"""Robust penalised fit of smooth surfaces to offsets on a lattice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.linalg.lapack import dpbsv

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array

RIDGE: Final = 1e-11
"""Share of the stiffness that is added to all weights: where nothing tells, the fit stays solvable."""
HALVES_ERROR: Final = 1.1
"""Error of a map over the distance of two maps from half of the places each; measured on drawn pages of ten kinds, fold 8."""
MIN_PLACES: Final = 12
"""Number of places on lines without which no surface is fitted."""
SNAP_WEIGHT: Final = 3.0
"""Weight with which a line's constant is drawn to zero; a clear place on the line weighs 1."""
BENT_TOGETHER: Final = ((0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0))
"""Columns further on and nodes further down of the nodes whose places the bending at one of them depends on."""
MAX_MISSED_MM: Final = 0.5
"""Millimetres beyond which a held-out line counts no more against a stiffness."""


@dataclass(frozen=True)
class SurfaceFit:
    """A smooth surface through the places of lines."""

    surface: Array
    """(n, m) mm."""
    rms: float
    """Weighted root mean square of what the surface leaves, mm; NaN without a fit."""


def smooth_lines(values: Array, weights: Array, stiffness: float, bias_mm: float) -> SurfaceFit:
    """Robust penalised fit of a smooth surface plus one constant for each line (column) to weighted values (n, m), mm.

    Constants are left out of the surface up to ``bias_mm`` and belong to it from twice as much on: what moves lines further
    is a scanner whose feed stutters or a crease, which moved the traces as well.
    """
    if (weights > 0).sum() < MIN_PLACES:
        return SurfaceFit(np.zeros_like(values), float("nan"))
    snap = np.zeros(values.shape[1])
    for _ in range(2):
        surface, robust = fit_surface(values - snap, weights, stiffness, rounds=3)
        snap = (robust * (values - surface)).sum(axis=0) / (robust.sum(axis=0) + SNAP_WEIGHT)
    rms = np.sqrt((robust * (values - snap - surface) ** 2).sum() / (robust.sum() + 1e-9))
    moved = snap * np.clip(np.abs(snap) / bias_mm - 1, 0, 1)
    return SurfaceFit(surface + moved, float(rms))


def estimate_surface_error(values: Array, weights: Array, stiffness: float) -> float:
    """Root mean square of a surface's error, mm, from two surfaces through every other place on each line; NaN without."""
    halves = []
    for k in (0, 1):
        kept = np.zeros(values.shape, bool)
        kept[k::2] = True
        halves.append(fit_surface(values, weights * kept, stiffness, rounds=2)[0])
    apart = (halves[0] - halves[1])[weights > 0]
    return HALVES_ERROR * float(np.sqrt((apart**2).mean())) if apart.size else float("nan")


def choose_stiffness(values: list[Array], weights: list[Array], choice: Sequence[float]) -> float:
    """The stiffness, of an ascending ``choice``, that predicts every third line best when it is held out as a whole.

    ``values`` and ``weights``: one (n, m) array a direction, lines are columns. The search goes downhill from the middle one.
    """

    @lru_cache
    def error(k: int) -> float:
        total = 0.0
        for value, weight in zip(values, weights, strict=True):
            held = np.zeros(value.shape, bool)
            held[:, ::3] = True
            surface, _ = fit_surface(value, weight * ~held, choice[k], rounds=2)
            missed = np.minimum(np.abs(value - surface)[held], MAX_MISSED_MM)
            total += float((weight[held] * missed).sum() / (weight[held].sum() + 1e-9))
        return total

    at = len(choice) // 2
    while True:
        best = min((k for k in (at, at - 1, at + 1) if 0 <= k < len(choice)), key=error)
        if best == at:
            return choice[at]
        at = best


def fit_surface(values: Array, weights: Array, stiffness: float, *, rounds: int) -> tuple[Array, Array]:
    """(n, m) surface through weighted values, penalised for bending, and the weights with those of odd values reduced.

    Raises ``EcgPageError`` when the weights leave the surface undetermined.
    """
    bending = _build_bending(values.shape)
    system = np.empty_like(bending)
    robust, surface = weights, np.zeros_like(values)
    for _ in range(rounds):
        np.multiply(bending, stiffness, out=system)
        system[0] += _ravel(robust) + (RIDGE * stiffness + 1e-9)
        _, solved, info = dpbsv(system, _ravel(robust * values), lower=1, overwrite_ab=1)
        if info:
            raise EcgPageError(
                "the ECG grid shows on too small a part of the picture; photograph the whole page"
            )
        surface = _unravel(solved, values.shape)
        error = np.abs(values - surface)
        scale = 1.48 * np.median(error[weights > 0]) + 0.01
        robust = weights * np.clip(1 - (error / (4 * scale)) ** 2, 0, None) ** 2
    return surface, robust


def _ravel(values: Array) -> Array:
    """A lattice as one column along its shorter side: the band of the fit's matrix is then narrowest."""
    return np.ravel(values, order="F" if values.shape[0] < values.shape[1] else "C")


def _unravel(raveled: Array, shape: tuple[int, ...]) -> Array:
    """The lattice that ``_ravel`` made a column of."""
    return raveled.reshape(shape, order="F" if shape[0] < shape[1] else "C")


def _build_bending(shape: tuple[int, ...]) -> Array:
    """(2 * shorter side + 1, lattice size) lower bands, the diagonal first, of the matrix of the bending energy: the sum of
    squared second differences, both directions and mixed, on a lattice of ``shape`` as ``_ravel`` orders it.
    """
    return _build_bands(max(shape), min(shape))


@lru_cache(maxsize=2)  # a lattice and the next larger one: a fine one has hundreds of MB
def _build_bands(n: int, m: int) -> Array:
    """``_build_bending`` of n columns of m nodes."""
    (once_n, twice_n), (once_m, twice_m) = (_square_differences(size) for size in (n, m))
    bands = np.zeros((2 * m + 1, n, m))
    for step, down in BENT_TOGETHER:
        if step >= n or abs(down) >= m:
            continue
        at_n, at_m = slice(0, n - step), slice(max(0, -down), m - max(0, down))
        energy = 2 * np.multiply.outer(once_n[step, at_n], once_m[abs(down), : m - abs(down)])
        if step == 0:
            energy += twice_m[abs(down), : m - abs(down)]
        if down == 0:
            energy += twice_n[step, at_n, None]
        bands[step * m + down, at_n, at_m] += energy
    return np.asfortranarray(bands.reshape(2 * m + 1, n * m))


def _square_differences(size: int) -> Array:
    """(2, 3, size) lower bands of the matrices of the sum of squared first and of squared second differences of a column."""
    bands = np.zeros((2, 3, size))
    for order, weights in enumerate(((-1, 1), (1, -2, 1))):
        for k, a in enumerate(weights):
            for j, b in enumerate(weights[: k + 1]):
                count = size - len(weights) + 1
                if count > 0:
                    bands[order, k - j, j : j + count] += a * b
    return bands
