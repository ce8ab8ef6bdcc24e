"""The grid of a page from the straight lines that draw it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.image.pdf_paths import Stroke, Word
from ecgpage.vector.curves import PT_PER_MM

Style = tuple[tuple[int, int, int], float]
"""Colour and width, pt, of a line."""
MIN_STROKE_PT: Final = 1.5
"""Length, pt, up to which a straight stroke may be a piece of a curve."""
STRAIGHT_PT: Final = 0.05
"""Deviation, pt, up to which a line is upright or level."""
SAME_PLACE_PT: Final = 0.1
"""Distance, pt, of lines that are one."""
MIN_LENGTH_PT: Final = 20 * PT_PER_MM
"""Length, pt, of all strokes at one place together from which they are a line of a grid: marks of an axis are shorter."""
MIN_LINES: Final = 6
"""Fewest lines of a grid along one axis."""
MIN_SHARE: Final = 0.7
"""Share of lines that stand at multiples of the distance, at least."""
MAX_OFF: Final = 0.06
"""Distance of such a line from its place, as a share of the distance."""
PITCHES_MM: Final = (1.0, 5.0)
"""Distances, mm, of lines of ECG paper."""
SQUARE_LINES: Final = 5
"""Lines of 1 mm to one that is drawn stronger."""
MIN_TILES: Final = 8
"""Fewest letters of a row of squares that are letters."""
MIN_PITCH_PT: Final = 1.0
"""Least distance, pt, of lines of a grid."""
ALIKE: Final = 0.03
"""Difference of the two axes' distances up to which they are one."""


@dataclass(frozen=True)
class DrawnGrid:
    """Lines at equal distances along both axes."""

    first: tuple[float, float]
    """x and y, seen, pt, of a line along each axis, a strong one where there are such."""
    pitch: tuple[float, float]
    """Distance, pt, of the lines along x and y."""
    has_squares: bool
    """Whether every fifth line is drawn in another way: the others stand 1 mm apart."""
    extent: tuple[float, float, float, float]
    """x0, y0, x1, y1, seen, pt."""

    @property
    def pitch_mm(self) -> float:
        """Distance, mm, of the lines on ECG paper: 1 where squares of five show, else what the paper's size is nearest to."""
        if self.has_squares:
            return PITCHES_MM[0]
        size = np.log(np.mean(self.pitch) / PT_PER_MM)
        return min(PITCHES_MM, key=lambda mm: abs(float(size - np.log(mm))))


@dataclass(frozen=True)
class _Line:
    """All strokes of one style at one place."""

    at: float
    length: float
    style: Style


def find_drawn_grid(strokes: Sequence[Stroke]) -> tuple[DrawnGrid | None, NDArray[np.bool_]]:
    """The grid, None where there is none, and which strokes (n,) draw it."""
    is_grid = np.zeros(len(strokes), np.bool_)
    where: list[list[tuple[float, float, int]]] = [[], []]
    for k, stroke in enumerate(strokes):
        low, high = stroke.points.min(axis=0), stroke.points.max(axis=0)
        size = high - low
        if size.min() < STRAIGHT_PT and size.max() > MIN_STROKE_PT:
            axis = int(size.argmin())
            where[axis].append((float(low[axis] + high[axis]) / 2, float(size.max()), k))
    fits = []
    styles: set[Style] = set()
    for axis in (0, 1):
        lines = _gather(where[axis], strokes)
        fit = _fit_lattice(lines)
        if fit is None:
            return None, is_grid
        fits.append(fit)
        counts = Counter(line.style for line in lines)
        styles |= {style for style, count in counts.items() if count >= MIN_LINES}
    pitch = (fits[0].pitch, fits[1].pitch)
    for axis in (0, 1):
        for place, _, k in where[axis]:
            off = (place - fits[axis].first) / pitch[axis]
            is_grid[k] = abs(off - round(off)) < MAX_OFF and _style(strokes[k]) in styles
    marked = [strokes[k].points for k in map(int, np.flatnonzero(is_grid))]
    low = np.min([p.min(axis=0) for p in marked], axis=0)
    high = np.max([p.max(axis=0) for p in marked], axis=0)
    grid = DrawnGrid(
        (fits[0].first, fits[1].first),
        pitch,
        fits[0].has_squares or fits[1].has_squares,
        (float(low[0]), float(low[1]), float(high[0]), float(high[1])),
    )
    return grid, is_grid


def find_glyph_grid(words: Sequence[Word]) -> DrawnGrid | None:
    """The grid of a page whose printer driver sends a square of it as a letter of a font of its own; None without one.

    Such a grid is rows of one letter, each row below the other at the distance of the letters.
    """
    rows: dict[str, list[Word]] = {}
    for word in words:
        if len(word.text) >= MIN_TILES and len(set(word.text)) == 1 and word.turn % 2 == 0:
            rows.setdefault(word.text[0], []).append(word)
    for own in rows.values():
        tops = np.unique(np.round([word.box[1] for word in own], 2))
        if len(tops) < MIN_LINES:
            continue
        across = float(np.median([word.pitch_pt for word in own]))
        fit = _settle(tops, float(np.median(np.diff(tops))))
        if fit is None or abs(fit[1] / across - 1) > ALIKE:
            continue
        boxes = np.array([word.box for word in own])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        extent = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return DrawnGrid((extent[0], fit[0]), (across, fit[1]), False, extent)
    return None


def _style(stroke: Stroke) -> Style:
    return stroke.colour, round(stroke.width_pt, 2)


def _gather(found: list[tuple[float, float, int]], strokes: Sequence[Stroke]) -> list[_Line]:
    """Lines along one axis: strokes of one style at one place, long enough together."""
    styles: dict[Style, list[tuple[float, float]]] = {}
    for place, length, k in found:
        style = _style(strokes[k])
        styles.setdefault(style, []).append((place, length))
    lines = []
    for style, places in styles.items():
        places.sort()
        at: Array = np.array([p for p, _ in places])
        for members in np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > SAME_PLACE_PT) + 1):
            length = sum(places[int(k)][1] for k in members)
            if length >= MIN_LENGTH_PT:
                lines.append(_Line(float(at[members].mean()), length, style))
    return sorted(lines, key=lambda line: line.at)


@dataclass(frozen=True)
class _Lattice:
    first: float
    pitch: float
    has_squares: bool


def _fit_lattice(lines: list[_Line]) -> _Lattice | None:
    """Equal distances fitted to lines along one axis; None where they stand anyhow."""
    at = np.array([line.at for line in lines])
    if len(at) < MIN_LINES:
        return None
    places = at[np.concatenate([[True], np.diff(at) > SAME_PLACE_PT])]
    steps = np.diff(places)
    steps = steps[steps > MIN_PITCH_PT]
    if len(places) < MIN_LINES or not len(steps):
        return None
    best: tuple[float, float, float] | None = None
    for guess in np.unique(np.quantile(steps, [0.1, 0.25, 0.5]).round(3)):
        fit = _settle(places, float(guess))
        if fit is not None and (best is None or fit[2] > best[2] + 0.05):
            best = fit
    if best is None:
        return None
    first, pitch, _ = best
    squares = _find_squares(lines, first, pitch)
    return _Lattice(first + (squares or 0) * pitch, pitch, squares is not None)


def _settle(places: Array, pitch: float) -> tuple[float, float, float] | None:
    """First line, distance and share of lines at their places, by least squares from a first guess of the distance."""
    order = np.argsort([-_count_near(places, p, pitch) for p in places[:: max(1, len(places) // 12)]])
    start = float(places[:: max(1, len(places) // 12)][order[0]])
    near = np.abs((places - start) / pitch - np.rint((places - start) / pitch)) < MAX_OFF
    # the further from the start, the better is the distance known by what is near
    for reach in (10, 30, 100, 1000):
        number = np.rint((places - start) / pitch)
        near = (np.abs((places - start) / pitch - number) < MAX_OFF) & (np.abs(number) <= reach)
        if near.sum() < 3 or np.ptp(number[near]) == 0:
            return None
        pitch, start = (float(v) for v in np.polyfit(number[near], places[near], 1))
    share = float(near.mean())
    if near.sum() < MIN_LINES or share < MIN_SHARE:
        return None
    number = np.rint((places[near] - start) / pitch)
    filled = len(np.unique(number)) / (np.ptp(number) + 1)
    if filled < MIN_SHARE / 2:
        return None
    return start, pitch, share * float(filled)


def _count_near(places: Array, start: float, pitch: float) -> int:
    number = (places - start) / pitch
    return int(((np.abs(number - np.rint(number)) < MAX_OFF) & (np.abs(number) < 12)).sum())


def _find_squares(lines: list[_Line], first: float, pitch: float) -> int | None:
    """Number, 0 to 4, of the first line drawn stronger, where lines of one style stand at every fifth place and others
    between them; None without such lines.
    """
    styles: dict[Style, set[int]] = {}
    for line in lines:
        number = (line.at - first) / pitch
        if abs(number - round(number)) < MAX_OFF:
            styles.setdefault(line.style, set()).add(round(number))
    everywhere = set().union(*styles.values()) if styles else set()
    for own in styles.values():
        places = {n % SQUARE_LINES for n in own}
        if len(own) >= 3 and len(places) == 1 and len(everywhere) > 2 * len(own):
            return places.pop()
    return None
