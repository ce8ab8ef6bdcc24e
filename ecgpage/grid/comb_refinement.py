"""Measure the distance and direction of a strictly periodic grid's lines exactly, by the places of its peaks.

The picture is turned upright and averaged over narrow bands along the lines. The power of their spectra is summed: neither
slanted lines nor panels that begin anew beside each other blur it. Each harmonic's peak tells the distance; the higher, the
more exactly. A program that moves lines onto whole pixels moves no peak. The phases of neighbouring bands tell the slant.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ecgpage.core.types import Array, Grey
from ecgpage.grid.comb import HARMONICS, MAX_FREQUENCY, CombSpectrum, GridComb, weigh_surprises
from ecgpage.grid.spectrum import FINE_LINES

BAND_PX: Final = 24
"""Width, working pixels, of the bands that are averaged along the lines."""
FINER: Final = 4
"""Places in a spectrum for each of its bins."""
SHORTEST_PX: Final = 256
"""Length, working pixels, of the pieces of a band that are transformed by themselves, at least."""
NEAR: Final = 0.015
"""Natural log of the ratio of the exact distance to the given one, at most."""
NEAR_STEP: Final = 0.0002
POWER: Final = 0.3
"""Mean surprise of what is no grid over that of a grid's harmonics."""
REACH_BINS: Final = 0.8
"""Bins around its expected place within which a harmonic's peak is looked for."""
FLOOR_BINS: Final = 41
"""Width, bins, of the running median that is taken for the spectrum without grid."""
LEAST_HEIGHT: Final = 1.6
"""Natural log of a peak's power over the spectrum without grid, from which it counts."""
PEAK_BINS: Final = 0.15
"""Standard deviation, bins, of a clear peak's place, at least."""
FAR_BINS: Final = 0.6
"""Bins from its expected place beyond which a peak is no harmonic."""
P_EQUAL: Final = 0.65
"""Chance that lines are equally far apart along x and y."""
UNEQUAL: Final = 0.06
"""Range of the natural log of the ratio of the two distances otherwise."""
STRETCHED: Final = 0.006
"""Standard deviation of the natural log of that ratio over all pages."""
STEP_LINES: Final = 5
"""Length of the short pieces, 5-mm lines."""
STEP_ROUNDED_PX: Final = 0.15
"""Working pixels by which a step is off where lines were moved onto whole pixels, at least."""
LOCAL_COSTS: Final = 3.0
"""Natural log of the chance that one pattern covers the page over that of panels that begin anew."""
MOST_AGAINST: Final = 8.0
"""Log likelihood by which steps or slants may count against a distance, at most."""
SKEW_RAD: Final = float(np.deg2rad(0.1))
"""Standard deviation of the angle between the two directions of lines from a right one."""
LEAST_BANDS: Final = 6
"""Number of bands by which a slant is told, at least."""
SMALL_TURN_RAD: Final = float(np.deg2rad(0.4))
"""Direction up to which lines hardly leave their pixel within a band: such a picture is not turned."""
TURNED_AGAIN_RAD: Final = float(np.deg2rad(0.2))
"""Error of the direction from which all is measured again."""
MOST_MISSED: Final = 2.0
"""Log likelihood by which a harmonic's peak may count against a distance, at most."""
NONE_SHOWS: Final = 10.0
"""Log likelihood that counts against a distance of which no two harmonics have peaks."""


@dataclass(frozen=True)
class MeasuredComb:
    """What the harmonics of a comb tell."""

    comb: GridComb
    """The comb with its exact distances and direction."""
    error: tuple[float, float]
    """Standard deviations of the natural logs of its distances; infinite where no harmonic shows."""
    slant_rad: tuple[float, float]
    """Slant of the near-vertical and of the other lines, radians from the image's axes; NaN where it does not show."""


@dataclass(frozen=True)
class _Axis:
    """What is measured across one direction of lines."""

    pitch: float
    """Working px."""
    error: float
    slant: float
    """px along the lines' own direction across them, from the direction that was taken."""
    odds: float
    """Natural log of the likelihood ratio of its harmonics."""


def measure_comb(spectrum: CombSpectrum, comb: GridComb) -> MeasuredComb:
    """Exact distances and direction of a comb that was found in a spectrum's picture."""
    measured = _measure_turned(spectrum, comb)
    if abs(measured.comb.angle_rad - comb.angle_rad) > TURNED_AGAIN_RAD:  # it was blurred
        return _measure_turned(spectrum, measured.comb)
    return measured


def _measure_turned(spectrum: CombSpectrum, comb: GridComb) -> MeasuredComb:
    """Exact distances and direction in the picture turned upright by the comb's direction."""
    scale = spectrum.scale
    height, width = spectrum.contrast.shape
    upright, angle = spectrum.contrast, 0.0
    if abs(comb.angle_rad) > SMALL_TURN_RAD:
        angle = comb.angle_rad
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(np.rad2deg(angle)), 1.0)
        upright = np.asarray(
            cv2.warpAffine(upright, turn, (width, height), flags=cv2.INTER_CUBIC), np.float32
        )
    tried = [
        _measure_axis(upright, comb.pitch_px[0] * scale),
        _measure_axis(np.ascontiguousarray(upright.T), comb.pitch_px[1] * scale),
    ]
    across, down = max(itertools.product(*tried), key=_weigh_pair)
    pitch, error = _share([across.pitch, down.pitch], [across.error, down.error])
    # a slanted near-vertical line moves right as it goes down where the page is turned the other way
    slants = (angle - across.slant, angle + down.slant)
    known = [s for s in slants if np.isfinite(s)]
    exact = replace(
        comb,
        pitch_px=(pitch[0] / scale, pitch[1] / scale),
        angle_rad=float(np.mean(known)) if known else comb.angle_rad,
    )
    return MeasuredComb(exact, error, slants)


def _measure_axis(upright: Grey, pitch: float) -> list[_Axis]:
    """Distances that near-vertical lines in an (h, w) contrast may have; ``pitch``: about, px."""
    length = upright.shape[1]
    bands = upright[: upright.shape[0] // BAND_PX * BAND_PX].reshape(-1, BAND_PX, length).mean(axis=1)
    found = [_measure_pieces(bands, length, pitch)]
    while (length := length // 2) >= max(SHORTEST_PX, 6 * pitch):
        found.append(_measure_pieces(bands, length, pitch))
    local = _measure_steps(bands, max(found, key=lambda f: f.odds))
    if local is None:
        return found
    return [*(_weigh_against(f, local) for f in found), local]


def _measure_steps(bands: Grey, about: _Axis) -> _Axis | None:
    """Distance by how far the phases of short pieces of the bands (n, length) are from one to the next, in the middle of all
    steps: panels that begin anew change only the steps across their edges. None where there are too few.
    """
    piece = round(STEP_LINES * about.pitch)
    starts = np.arange(0, bands.shape[1] - piece + 1, piece // 2)
    if len(starts) < LEAST_BANDS:
        return None
    cut = np.stack([bands[:, s : s + piece] for s in starts], axis=1) * np.hanning(
        piece
    )  # (n, pieces, piece)
    moved, weights = [], []
    for k in (1, 2, 3, FINE_LINES):
        frequency = k / about.pitch
        wave = cut @ np.exp(-2j * np.pi * frequency * np.arange(piece))
        product = wave[:, 1:] * wave[:, :-1].conj() * np.exp(-2j * np.pi * frequency * (piece // 2))
        moved.append(np.angle(product) / (2 * np.pi * frequency * (piece // 2)))
        weights.append(np.abs(product) * k)
    along, weight = np.concatenate(moved), np.concatenate(weights)
    off = _weighted_median(along.ravel(), weight.ravel())
    spread = 1.48 * _weighted_median(np.abs(along - off).ravel(), weight.ravel())
    error = max(spread / np.sqrt(len(starts)), STEP_ROUNDED_PX / (piece // 2))
    return replace(about, pitch=about.pitch / (1 + off), error=float(error), odds=about.odds - LOCAL_COSTS)


def _weigh_against(axis: _Axis, local: _Axis) -> _Axis:
    """The distance with what neighbouring lines tell against it."""
    if not np.isfinite(axis.error):
        return axis
    apart = np.log(axis.pitch / local.pitch) / np.hypot(axis.error, local.error)
    return replace(axis, odds=axis.odds - min(0.5 * float(apart) ** 2, MOST_AGAINST))


def _weigh_pair(pair: tuple[_Axis, ...]) -> float:
    """Log likelihood of distances along x and y together."""
    across, down = pair
    apart, both = float(np.log(across.pitch / down.pitch)), float(np.hypot(across.error, down.error))
    unequal = (1 - P_EQUAL) / UNEQUAL
    equal = _weigh_equal(apart, both) if np.isfinite(both) else 0.0
    turned = abs(across.slant + down.slant) / SKEW_RAD  # lines across each other; NaN where one does not show
    skew = min(0.5 * float(turned) ** 2, MOST_AGAINST) if np.isfinite(turned) else 0.0
    return across.odds + down.odds + float(np.log(equal + unequal)) - skew


def _weigh_equal(apart: float, both: float) -> float:
    """Density of the natural log of the ratio of two distances with this error together, where they are equal."""
    return float(P_EQUAL * np.exp(-0.5 * (apart / both) ** 2) / (both * np.sqrt(2 * np.pi)))


def _measure_pieces(bands: Grey, piece: int, pitch: float) -> _Axis:
    """Distance by the spectra of pieces of the bands (n, length)."""
    length = bands.shape[1]
    starts = np.linspace(0, length - piece, 1 + int(np.ceil(2 * (length - piece) / piece))).astype(int)
    size = int(scipy.fft.next_fast_len(FINER * piece, True))
    window = np.hanning(piece).astype(np.float32)
    seen = np.stack(
        [scipy.fft.rfft((bands[:, s : s + piece]) * window, size, axis=1) for s in starts]
    )  # (pieces, bands, bins)
    level = np.log((np.abs(seen) ** 2).sum(axis=(0, 1)) + 1e-6)
    per_bin = size / piece
    coarse = np.arange(0, len(level), max(1, round(per_bin)))
    floor = median_filter(level[coarse], FLOOR_BINS, mode="nearest")
    level -= np.interp(np.arange(len(level)), coarse, floor)
    guess, odds = _guess_frequency(level, size, 1 / pitch)
    frequency, error, missed, used = _fit_harmonics(level, size, piece, guess)
    return _Axis(1 / frequency, error, _find_slant(seen, size, frequency, used), odds - missed)


def _guess_frequency(level: Array, size: int, frequency: float) -> tuple[float, float]:
    """The frequency, cycles per px, near a given one whose harmonics stand out of a log power (bins,) most, and the log
    likelihood ratio by which they do.
    """
    inside = level[: int(MAX_FREQUENCY * size) + 1]
    rank: NDArray[np.intp] = (-inside).argsort().argsort()
    weight = weigh_surprises(np.asarray(-np.log((rank + 1.0) / len(inside)), np.float64), POWER)
    tried = frequency * np.exp(np.arange(-NEAR, NEAR, NEAR_STEP))
    at = np.rint(HARMONICS[:, None] * tried * size).astype(int)
    seen = np.where(at < len(inside), weight[np.minimum(at, len(inside) - 1)], 0.0)
    odds = np.stack([seen.sum(axis=0), seen[HARMONICS % FINE_LINES == 0].sum(axis=0)]).max(axis=0)
    best = np.flatnonzero(odds >= odds.max() - 1e-9)
    return float(tried[best[len(best) // 2]]), float(odds.max())


def _fit_harmonics(
    level: Array, size: int, piece: int, frequency: float
) -> tuple[float, float, float, list[int]]:
    """Frequency, cycles per px, of which the peaks of a log power (bins,) are harmonics, its relative error, half the
    squared distances of the peaks from it, and the numbers of the harmonics that show.
    """
    per_bin = size / piece
    sums = np.array([1e-9 * frequency, 1e-9])  # a weak guess
    places: list[tuple[int, float, float]] = []
    for k in HARMONICS:
        expected = k * frequency * size
        if expected > MAX_FREQUENCY * size:
            break
        first = int(np.ceil(expected - REACH_BINS * per_bin))
        last = int(expected + REACH_BINS * per_bin)
        if first < 2 * per_bin or last >= len(level) - 1:
            continue
        top = first + int(level[first : last + 1].argmax())
        if level[top] < LEAST_HEIGHT or not level[top - 1] < level[top] > level[top + 1]:
            continue
        left, middle, right = level[top - 1 : top + 2]
        place = (top + 0.5 * (left - right) / (left - 2 * middle + right)) / size
        weight = 1 - float(np.exp(-(level[top] - LEAST_HEIGHT)))
        if abs(place * size - expected) > FAR_BINS * per_bin and len(places) > 1:
            continue
        places.append((int(k), float(place), weight))
        sums += weight * k * np.array([place, k])
        frequency = float(sums[0] / sums[1])
    if len(places) < 2:
        return frequency, float("inf"), NONE_SHOWS, [p[0] for p in places]
    number, place, weight = np.array(places).T
    for _ in range(4):
        off = (place - number * frequency) * piece  # bins
        robust = weight / (1 + (off / (2 * PEAK_BINS)) ** 2)
        frequency = float((robust * number * place).sum() / (robust * number**2).sum())
    off = (place - number * frequency) * piece
    spread = np.sqrt(PEAK_BINS**2 + (robust * off**2).sum() / robust.sum())
    error = spread / piece / frequency / np.sqrt((robust * number**2).sum())
    missed = float((weight * np.minimum(0.5 * (off / PEAK_BINS) ** 2, MOST_MISSED)).sum())
    return frequency, float(error), missed, [int(n) for n in number[robust > 0.3]]


def _find_slant(seen: Array, size: int, frequency: float, used: list[int]) -> float:
    """Slant of lines, px across a px along, by the phases of harmonics in neighbouring bands; NaN where too few show.

    ``seen``: (pieces, bands, bins).
    """
    if not used or seen.shape[1] < LEAST_BANDS:
        return float("nan")
    moved, weights = [], []
    for k in used:
        wave = seen[:, :, round(k * frequency * size)]
        product = wave[:, 1:] * wave[:, :-1].conj()
        moved.append(-np.angle(product) / (2 * np.pi * k * frequency))
        weights.append(np.abs(product) * k)
    return _weighted_median(np.concatenate(moved, axis=None), np.concatenate(weights, axis=None)) / BAND_PX


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _share(pitch: list[float], error: list[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both distances and their errors: one distance for both where they are likelier equal than not."""
    apart = float(np.log(pitch[0] / pitch[1]))
    both = float(np.hypot(error[0], error[1]))
    if not np.isfinite(both):
        known = int(error[1] < error[0])
        if not np.isfinite(error[known]):
            return (pitch[0], pitch[1]), (error[0], error[1])
        errors = [STRETCHED, STRETCHED]
        errors[known] = error[known]
        return (pitch[known], pitch[known]), (errors[0], errors[1])
    equal = _weigh_equal(apart, both)
    if equal < (1 - P_EQUAL) / UNEQUAL:
        return (pitch[0], pitch[1]), (error[0], error[1])
    weights = np.array(error, np.float64) ** -2.0
    mean = float(np.exp((weights * np.log(pitch)).sum() / weights.sum()))
    shared = float(1 / np.sqrt(weights.sum()))
    return (mean, mean), (shared, shared)
