"""Find the time lag and the offset of an estimated lead exactly as the Challenge defines them, but fast.

The definition draws both leads as sparse binary images (level x sample), smooths them with a small Gaussian
and takes the largest value of their full two-dimensional cross-correlation. Two facts make that cheap without
changing the result:

* Smoothed images are nowhere negative, so a *circular* correlation of any period is never below the linear
  one: wrapping can only add. A small transform therefore bounds every lag from above, and for an estimate
  that resembles its reference only a few lags come near the bound.
* The images are sparse, so the exact value at one lag is a short sum.

Conventions
    lead    float64 (n_samples,), mV, NaN where there is no sample
    image   float64 (levels, n_samples), row 0 the lowest level; before smoothing one pixel per finite sample
    lag     (rows, columns): the estimate is that many levels higher and samples later than the reference
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

Lead = NDArray[np.float64]
"""Lead (n_samples,), mV, NaN where there is no sample."""
Image = NDArray[np.float64]
"""Image (levels, n_samples), row 0 the lowest level."""
Index = NDArray[np.int64]
"""Row or column numbers."""
Lag = tuple[int, int]
"""Levels by which the estimate is higher and samples by which it is later than the reference."""

LEVELS = 256
"""Number of amplitude levels to which the Challenge's evaluation quantises."""
SIGMA = 0.5
"""Standard deviation, px, of the Gaussian smoothing in the Challenge's evaluation."""

FOLDED_ROWS = 64
"""Period, in levels, of the first, small transform."""
MOST_EXACT_SUMS = 50
"""Number of lags that are summed exactly; for more of them a larger transform is cheaper."""
FLOAT32_SLACK = 1e-5
"""Rounding error allowed for float32 transforms, as a share of the images' norms; they err by about 1e-7."""
TIE = 1e-9
"""Relative difference of two correlations below which rounding decides, so that the definition is followed literally."""


def as_lead(x: ArrayLike) -> Lead:
    """Lead from any one-dimensional sequence; infinities count as missing."""
    lead = np.array(x, dtype=np.float64)
    lead[~np.isfinite(lead)] = np.nan
    return lead


def quantize(mv: Lead, low: float, high: float, levels: int = LEVELS) -> Index:
    """Row of each sample, 0 to levels - 1: round((levels - 1)(mv - low)/(high - low) + 1) cut to 1..levels, less 1."""
    level = np.round((levels - 1) * (mv - low) / (high - low) + 1)
    return np.clip(level, 1, levels).astype(np.int64) - 1


def draw(lead: Lead, low: float, high: float, width: int, levels: int = LEVELS) -> Image:
    """Binary image (levels, width) of a lead: one pixel per finite sample."""
    image = np.zeros((levels, width))
    columns = np.flatnonzero(np.isfinite(lead[:width]))
    image[quantize(lead[columns], low, high, levels), columns] = 1.0
    return image


def correlate_images(ref: Image, est: Image) -> Image:
    """Full cross-correlation of two images; entry (i, j) belongs to the lag (est rows - 1 - i, est columns - 1 - j)."""
    return np.asarray(fftconvolve(ref, est[::-1, ::-1], mode="full"), dtype=np.float64)


def align(ref: Lead, est: Lead, *, levels: int = LEVELS, sigma: float = SIGMA) -> tuple[Lead, int, float]:
    """Estimated lead moved onto its reference, its delay in samples and its offset in mV.

    Delay and offset are positive for an estimate that was late and too high. The length may differ from the input: NaNs
    precede an early estimate. Nothing moves when a lead has no finite sample or both are one constant.
    """
    finite = np.concatenate([ref[np.isfinite(ref)], est[np.isfinite(est)]])
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if not (np.isfinite(ref).any() and np.isfinite(est).any() and high > low):
        return est.copy(), 0, 0.0
    rows, columns = find_lag(ref, est, low, high, levels=levels, sigma=sigma)
    millivolts = float(rows / (levels - 1) * (high - low))
    return shift(est, columns, millivolts), columns, millivolts


def shift(est: Lead, samples: int, millivolts: float) -> Lead:
    """Estimate without a delay of ``samples`` and an offset of ``millivolts``.

    A late lead loses its first samples; an early one is preceded by NaNs.
    """
    gap = np.full(abs(samples), np.nan)
    moved = np.concatenate([est[samples:], gap]) if samples >= 0 else np.concatenate([gap, est])
    return moved - millivolts


def find_lag(ref: Lead, est: Lead, low: float, high: float, *, levels: int, sigma: float) -> Lag:
    """Lag of the largest correlation of the smoothed images; both leads have a finite sample, low < high."""
    width = max(len(ref), len(est))
    kernel = gaussian_kernel(sigma)
    images = [
        smooth_sparsely(lead, low, high, width=width, kernel=kernel, levels=levels) for lead in (ref, est)
    ]
    spans = [image.span for image in images]
    for periods in ((min(FOLDED_ROWS, levels), max(spans)), (2 * levels - 1, sum(spans) - 1)):
        lags = best_lags(images[0], images[1], periods)
        if lags is not None and len(lags) == 1:
            return lags[0]
        if lags is not None:
            break  # a tie
    return find_lag_literally(ref, est, low, high, levels=levels, sigma=sigma)


def find_lag_literally(ref: Lead, est: Lead, low: float, high: float, *, levels: int, sigma: float) -> Lag:
    """Lag as ``find_lag`` gives it, computed literally and slowly: whole images, first maximum in C order."""
    width = max(len(ref), len(est))
    drawn = (draw(lead, low, high, width, levels) for lead in (ref, est))
    ref_image, est_image = (gaussian_filter(image, sigma) if sigma > 0 else image for image in drawn)
    correlation = correlate_images(ref_image, est_image)
    row, column = np.unravel_index(np.argmax(correlation), correlation.shape)
    return levels - 1 - int(row), width - 1 - int(column)


def gaussian_kernel(sigma: float) -> Lead:
    """Taps of ``scipy.ndimage.gaussian_filter`` with its defaults, cut at four sigma; one tap for sigma 0."""
    radius = int(4 * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return taps / taps.sum()


@dataclass(frozen=True)
class SparseImage:
    """Smoothed image as a list of weighted pixels; weights of a pixel listed twice add up."""

    rows: Index
    """(n,) level of each pixel."""
    columns: Index
    """(n,) sample of each pixel, counted from ``start``."""
    weights: NDArray[np.float64]
    """(n,) weight of each pixel, never negative."""
    start: int
    """First sample with any weight."""
    levels: int
    """Number of rows of the image."""

    @property
    def span(self) -> int:
        """Number of columns from the first to the last with any weight."""
        return int(self.columns.max()) + 1

    def dense(self) -> Image:
        """Whole image (levels, span)."""
        return self.fold(self.levels, self.span)

    def fold(self, rows: int, columns: int) -> Image:
        """Image (rows, columns) onto which everything beyond is wrapped and added."""
        index = (self.rows % rows) * columns + self.columns % columns
        sums = np.bincount(index, weights=self.weights, minlength=rows * columns)
        return sums.reshape(rows, columns).astype(np.float64, copy=False)


def smooth_sparsely(
    lead: Lead, low: float, high: float, *, width: int, kernel: Lead, levels: int
) -> SparseImage:
    """Sparse form of ``gaussian_filter(draw(...))``: pixels spread over the kernel, mirrored at the borders."""
    samples = np.flatnonzero(np.isfinite(lead))
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    rows = reflect(quantize(lead[samples], low, high, levels)[:, None] + offsets, levels)
    columns = reflect(samples[:, None] + offsets, width)
    start = int(columns.min())
    shape = (len(samples), len(kernel), len(kernel))
    return SparseImage(
        rows=np.broadcast_to(rows[:, :, None], shape).ravel(),
        columns=np.broadcast_to(columns[:, None, :] - start, shape).ravel(),
        weights=np.broadcast_to(np.outer(kernel, kernel), shape).ravel(),
        start=start,
        levels=levels,
    )


def reflect(index: Index, size: int) -> Index:
    """Indices mirrored into 0..size - 1 as ``mode='reflect'`` does: d c b a | a b c d | d c b a."""
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def best_lags(ref: SparseImage, est: SparseImage, periods: tuple[int, int]) -> list[Lag] | None:
    """Lags of the largest cross-correlation, several if they tie; None if too many come near it.

    ``periods`` (rows, columns) of the bounding circular correlation are rounded up to fast transform sizes.
    """
    bounds = bound_correlation(ref, est, periods)
    ref_dense = ref.dense()
    values: dict[Lag, float] = {}

    def sum_cell(cell: int) -> None:
        rest = float(bounds.values.flat[cell]) + bounds.slack
        for lag in lags_of_cell(cell, bounds.values.shape, ref, est):
            if rest < (1 - TIE) * max(values.values(), default=0.0):
                return  # the rest of the bound is too small for any lag not yet summed
            values[lag] = correlation_at(ref_dense, est, lag)
            rest -= values[lag]

    highest = int(bounds.values.argmax())
    sum_cell(highest)
    threshold = (1 - TIE) * max(values.values()) - bounds.slack
    near = np.flatnonzero(bounds.values >= threshold)
    for cell in near[np.argsort(-bounds.values.flat[near])]:
        if cell == highest:
            continue
        if len(near) > MOST_EXACT_SUMS or len(values) > MOST_EXACT_SUMS:
            return None
        sum_cell(int(cell))
    best = max(values.values())
    return [
        (rows, columns + est.start - ref.start)
        for (rows, columns), value in values.items()
        if value >= (1 - TIE) * best
    ]


@dataclass(frozen=True)
class Bounds:
    """Circular correlation: each cell is the sum over the lags that fall into it, up to ``slack``."""

    values: NDArray[np.float32]
    """(rows, columns); cell (i, j) gathers the lags equal to i and j modulo the shape."""
    slack: float
    """Largest rounding error of ``values``."""


def bound_correlation(ref: SparseImage, est: SparseImage, periods: tuple[int, int]) -> Bounds:
    """Circular correlation of both images folded to ``periods``, in float32."""
    rows = scipy.fft.next_fast_len(periods[0], real=False)
    columns = scipy.fft.next_fast_len(periods[1], real=True)
    folded = [image.fold(rows, columns).astype(np.float32) for image in (ref, est)]
    ref_spectrum, est_spectrum = (scipy.fft.rfft2(image) for image in folded)
    values = scipy.fft.irfft2(ref_spectrum.conj() * est_spectrum, s=(rows, columns))
    energies = [float(np.sum(np.square(image))) for image in folded]
    return Bounds(values, FLOAT32_SLACK * math.sqrt(energies[0] * energies[1]))


def lags_of_cell(cell: int, shape: tuple[int, ...], ref: SparseImage, est: SparseImage) -> list[Lag]:
    """Lags that a circular correlation of this shape gathers in one cell, the smallest first."""
    row, column = divmod(cell, shape[1])
    rows = range(row - (row + ref.levels - 1) // shape[0] * shape[0], est.levels, shape[0])
    columns = range(column - (column + ref.span - 1) // shape[1] * shape[1], est.span, shape[1])
    offset = est.start - ref.start
    return sorted(
        ((i, j) for i in rows for j in columns),
        key=lambda lag: abs(lag[0]) / ref.levels + abs(lag[1] + offset) / (ref.span + est.span),
    )


def correlation_at(ref_dense: Image, est: SparseImage, lag: Lag) -> float:
    """Cross-correlation at one lag, in float64; the lag's columns count between the images' first columns."""
    rows, columns = est.rows - lag[0], est.columns - lag[1]
    height, width = ref_dense.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return float(np.sum(ref_dense[rows[inside], columns[inside]] * est.weights[inside]))
