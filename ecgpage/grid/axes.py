"""Scale by the numbers that stand along axes: seconds below the traces, millivolts beside them.

Programs that plot stretch what they draw to the size of the figure: squares need not be square, nor stand for 5 mm. What is
sure are the numbers. Two numbers beside each other tell how many pixels a unit takes; all pairs of a picture are weighed
together, for a digit may be misread, and the lines between the numbers give the distance its last tenths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import GAIN_MM_PER_MV, SPEED_MM_PER_S
from ecgpage.core.types import Array, Image
from ecgpage.grid.grid_map import AXES, SQUARE_MM, Axes, Axis, GridMap
from ecgpage.image.decode import brightest_channel, darkest_channel
from ecgpage.image.numbers import PrintedNumber, find_print

STEPS: Final = (0.1, 0.2, 0.25, 0.4, 0.5, 1.0, 2.0, 2.5)
"""Differences, s or mV, of neighbouring numbers."""
BY_CHANCE: Final = 0.02
"""Probability that two numbers beside each other differ as a scale says without standing on an axis; a judgement, as is the
next."""
OFF_AXIS: Final = 0.3
"""Share of the pairs on an axis that are misread, or stand in different panels."""
AXIS_LINES: Final = 0.05
"""Share of the lines of print that are an axis."""
PLACE_PX: Final = 1.5
"""Error, px, of the distance of two numbers, at most: their letters are placed on whole pixels."""
LEAST_ODDS: Final = 9.0
"""Natural log of the likelihood ratio of numbers that stand along an axis, at least: three clear pairs have 10."""
LEAST_PX: Final = (12.0, 8.0)
"""Pixels of a second and of a millivolt, at least: with fewer nothing can be read."""
NUMBER_PX: Final = 0.5
"""Standard deviation, px, of the place of a number."""
REFINED: Final = 3.0
"""Standard deviations by which lines may change the distance that numbers give."""
LINES_OF: Final = (1.0, 0.5, 0.2, 0.1, 0.04)
"""Seconds or millivolts from one line to the next."""
LEAST_LINE_PX: Final = 3.0
"""Pixels from line to line, at least."""
CLEAR_LINES: Final = 10.0
"""Power of lines over that where two and a half more or fewer would stand in a panel, at least."""
USUAL_SPEEDS: Final = (12.5, 25.0, 50.0)
"""Paper speeds, mm/s."""
USUAL_GAINS: Final = (2.5, 5.0, 10.0, 20.0)
"""Gains, mm/mV."""
FITS: Final = 0.03
"""Natural log of the ratio of a scale by numbers to a usual one, up to which it is that one."""
ONE_PATTERN: Final = 0.9
"""Power of the lines of all panels together over that of one pattern, from which they are one."""


def read_axes(image: Image) -> Axes:
    """Scale by the numbers of a uint8 (H, W, 3) RGB image that lies upright; they may be turned as along a time axis."""
    light = brightest_channel(image)
    printed = find_print(light)
    upright = printed.read_numbers()
    across, down = _list_pairs(upright, 0), _list_pairs(upright, 1)
    seconds = _fit(across, 1.0, LEAST_PX[0])
    if seconds is None:
        # written from below to above; turned clockwise they stand below each other
        turned = printed.turn_clockwise().read_numbers()
        seconds = _fit(_list_pairs(turned, 1), 1.0, LEAST_PX[0])
    millivolts = _fit(down, -1.0, LEAST_PX[1])
    dark = 255 - darkest_channel(image)
    return Axes(
        None if seconds is None else _refine(seconds, dark, 0),
        None if millivolts is None else _refine(millivolts, dark, 1),
    )


@dataclass(frozen=True)
class _Pair:
    """Two numbers beside each other on one line."""

    a: PrintedNumber
    b: PrintedNumber
    at: tuple[float, float]
    """Their places along the line, px."""

    @property
    def apart(self) -> float:
        return self.at[1] - self.at[0]


def _list_pairs(numbers: Sequence[PrintedNumber], axis: int) -> list[_Pair]:
    """Numbers that follow each other along x (``axis`` 0) on one line of print, or along y with ends or middles below each
    other.
    """
    found: list[_Pair] = []
    places = np.array([n.middle[axis] for n in numbers])
    level = np.array([(n.x0, n.x1, n.middle[0]) if axis else (n.y1,) for n in numbers])
    heights = np.array([n.height for n in numbers])
    for k, number in enumerate(numbers):
        off = np.abs(level - level[k]).min(axis=1)
        slack = 1.0 + 0.2 * number.height
        beside = (off <= slack) & (np.abs(np.log(heights / number.height)) < 0.25)
        beside &= places > places[k] + (0.9 * number.height if axis else number.height)
        if beside.any():
            following = np.flatnonzero(beside)
            j = int(following[places[following].argmin()])
            found.append(_Pair(number, numbers[j], (float(places[k]), float(places[j]))))
    return found


def _fit(pairs: Sequence[_Pair], sign: float, least_px: float) -> Axis | None:
    """Axis whose values grow with the place along it (``sign`` 1) or fall; None where no numbers make one."""
    tried = sorted({px for pair in pairs for px in _likely_scales(pair, sign) if px >= least_px})
    lines = _join_lines(pairs)
    best: tuple[float, float] | None = None
    for px in tried:
        told = [sum(_weigh(pair, sign / px) for pair in line) for line in lines]
        # any line of print may be an axis, few are
        odds = float(np.logaddexp(np.log(1 - AXIS_LINES), np.log(AXIS_LINES) + np.array(told)).sum())
        if best is None or odds > best[0]:
            best = odds, px
    if best is None or best[0] < LEAST_ODDS:
        return None
    odds, px = best
    chains = list(_chain([p for p in pairs if _weigh(p, sign / px) > 0], sign / px))
    if not chains:
        return None
    # values over places, with an offset for each panel
    at = np.concatenate([places - places.mean() for places, _ in chains])
    values = np.concatenate([told - told.mean() for _, told in chains])
    slope = sign * float((at @ values) / (at @ at))
    if slope <= 0:
        return None
    error = NUMBER_PX / float(np.sqrt(at @ at))
    panels = _join_panels(chains)
    # all numbers of a panel tell its place: the middle of a single one is half a pixel off
    offsets = [float((places - told * sign / slope).mean()) for places, told in panels]
    ends = tuple(
        (offset + float(told[0]) * sign / slope, offset + float(told[-1]) * sign / slope)
        for offset, (_, told) in zip(offsets, panels, strict=True)
    )
    return Axis(1 / slope, odds, error, ends, tuple(float(v[0]) for _, v in panels))


def _join_panels(chains: Sequence[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """Of axes that overlap the one with most numbers, in the order of their places."""
    kept: list[tuple[Array, Array]] = []
    for places, values in sorted(chains, key=lambda chain: -len(chain[0])):
        if all(places[-1] < other[0] or places[0] > other[-1] for other, _ in kept):
            kept.append((places, values))
    return sorted(kept, key=lambda chain: float(chain[0][0]))


def _join_lines(pairs: Sequence[_Pair]) -> list[list[_Pair]]:
    """Pairs that follow each other on one line."""
    following = {id(pair.a): pair for pair in pairs}
    later = {id(pair.b) for pair in pairs}
    lines: list[list[_Pair]] = []
    taken: set[int] = set()
    for first in sorted(pairs, key=lambda p: id(p.a) in later):
        line: list[_Pair] = []
        pair: _Pair | None = first
        while pair is not None and id(pair.a) not in taken:
            taken.add(id(pair.a))
            line.append(pair)
            pair = following.get(id(pair.b))
        if line:
            lines.append(line)
    return lines


def _rank_values(number: PrintedNumber) -> list[float]:
    """Values that a number may have, the likeliest first."""
    return sorted(number.chances, key=lambda value: -number.chances[value])


def _likely_scales(pair: _Pair, sign: float) -> Iterator[float]:
    """Pixels of a unit by the likeliest values of two numbers, where they differ by a usual step."""
    tops = [_rank_values(n)[:3] for n in (pair.a, pair.b)]
    for a in tops[0]:
        for b in tops[1]:
            step = sign * (b - a)
            if min(abs(step - usual) for usual in STEPS) < 1e-6:
                yield pair.apart / step


def _weigh(pair: _Pair, slope: float) -> float:
    """Natural log of the likelihood of two numbers on an axis of ``slope`` units a pixel over that of any two."""
    both = sum(chance for _, _, chance in _matches(pair, slope))
    return float(np.log(OFF_AXIS + (1 - OFF_AXIS) * both / BY_CHANCE)) if pair.a.chances else 0.0


def _matches(pair: _Pair, slope: float) -> Iterator[tuple[float, float, float]]:
    """Values of two numbers that differ as their distance says, and the probability of each such pair."""
    step, slack = pair.apart * slope, PLACE_PX * abs(slope)
    for a, chance in pair.a.chances.items():
        for b, other in pair.b.chances.items():
            if abs(b - a - step) <= slack:
                yield a, b, chance * other


def _chain(pairs: Sequence[_Pair], slope: float) -> Iterator[tuple[Array, Array]]:
    """Places (n,) and values (n,) of the numbers of each axis, of pairs that all have one scale."""
    following = {id(pair.a): pair for pair in pairs}
    later = {id(pair.b) for pair in pairs}
    for first in pairs:
        if id(first.a) in later:
            continue
        pair: _Pair | None = first
        places, values = [first.at[0]], [max(_matches(first, slope), key=lambda m: m[2])[0]]
        while pair is not None:
            places.append(pair.at[1])
            # what a number is to the one before it says which of its values holds
            values.append(max(_matches(pair, slope), key=lambda m: m[2])[1])
            pair = following.get(id(pair.b))
        steps = np.diff(values) - np.diff(places) * slope
        if (np.abs(steps) <= PLACE_PX * abs(slope) + 1e-9).all():
            yield np.array(places), np.array(values)


def _refine(axis: Axis, dark: NDArray[np.uint8], direction: int) -> Axis:
    """The axis with the distance of the lines that stand at whole parts of its unit; ``dark``: uint8 (H, W).

    Lines may begin anew in each panel, so that their power is added up; where all panels go on with one pattern it is that
    pattern's distance.
    """
    profile = np.median(dark, axis=direction).astype(np.float64)
    tried = np.exp(np.linspace(-REFINED * axis.error, REFINED * axis.error, 121))
    best = 0.0, 1.0
    for part in LINES_OF:
        line_px = axis.px_per_unit * part
        if line_px < LEAST_LINE_PX:
            continue
        waves = np.zeros((len(axis.panels_px), len(tried)), np.complex128)
        beside = 0.0
        for k, (first, last) in enumerate(axis.panels_px):
            beyond = 0.5 * axis.px_per_unit
            at = np.arange(max(0, round(first - beyond)), min(len(profile), round(last + beyond)))
            detail = (profile[at] - profile[at].mean()) * np.hanning(len(at))
            waves[k] = _measure_waves(detail, at, line_px * tried)
            # with two and a half more or fewer in the panel nothing of the lines is left
            between = 1 / (1 / line_px + np.array([-2.5, 2.5]) / len(at))
            beside += float((np.abs(_measure_waves(detail, at, between)) ** 2).mean())
        power = (np.abs(waves) ** 2).sum(axis=0)
        peak = int(power.argmax())
        if not 0 < peak < len(tried) - 1 or power[peak] < max(CLEAR_LINES * beside, best[0]):
            continue
        together = np.abs(waves.sum(axis=0)) ** 2 / (len(waves) * power)
        near = np.abs(np.log(tried / tried[peak])) < axis.error
        one = int(np.where(near, together * power, 0.0).argmax())
        best = float(power[peak]), float(tried[one if together[one] > ONE_PATTERN else peak])
    return replace(axis, px_per_unit=axis.px_per_unit * best[1])


def _measure_waves(detail: Array, at: NDArray[np.intp], period_px: Array) -> NDArray[np.complex128]:
    """(periods,) amplitudes of waves of each period in values (n,) at places (n,)."""
    return np.asarray(np.exp(-2j * np.pi * at / period_px[:, None]) @ detail)


def map_axes(axes: Axes, shape: tuple[int, int]) -> GridMap | None:
    """Map of a picture of ``shape`` (H, W) on which 25 mm are a second and 10 mm a millivolt; None without both numbers."""
    if axes.seconds is None or axes.millivolts is None:
        return None
    pitch = np.array(
        [axes.seconds.px_per_unit / SPEED_MM_PER_S, axes.millivolts.px_per_unit / GAIN_MM_PER_MV]
    )
    pitch *= SQUARE_MM
    count = np.maximum(2, np.floor(np.array(shape[::-1]) / pitch).astype(int))
    first = (np.array(shape[::-1]) - (count - 1) * pitch) / 2 - 0.5
    nodes = first + pitch * np.stack(np.meshgrid(np.arange(count[0]), np.arange(count[1])), axis=-1)
    return GridMap(nodes, (0.0, 0.0), np.ones(count[::-1]), float("nan"), AXES)


def fits_axes(grid: GridMap, axes: Axes) -> bool:
    """Whether a second and a millivolt by the numbers are those of a usual speed and gain on a map."""
    told = replace(grid, axes=axes).axes_mm
    return all(
        min(abs(float(np.log(mm / usual))) for usual in scales) < FITS
        for mm, scales in zip(told, (USUAL_SPEEDS, USUAL_GAINS), strict=True)
    )
