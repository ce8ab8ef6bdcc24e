"""Curves of a page: lines that run from left to right, put together from the pieces in which they are drawn.

Conventions:
    seen    points of the page as shown, x right, y down (``ecgpage.image.pdf_paths``)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.image.pdf_paths import Stroke

PT_PER_MM: Final = 72 / 25.4
"""Points of a page to a millimetre of paper, printed at its own size."""
TOUCH_PT: Final = 0.02
"""Distance, pt, of two ends that are one: files keep two decimals at least."""
BACK_PT: Final = 0.1
"""Distance, pt, by which a curve may step back: rounding to the pixels of a printer driver."""
MIN_WIDTH_PT: Final = 15.0 * PT_PER_MM
"""Least width, pt, of a curve; the shortest leads are drawn over 25 mm."""
MIN_POINTS: Final = 20
"""Fewest points of a curve: frames, arrows and letters have fewer or run back."""
SHORT_PIECE_PT: Final = 20.0 * PT_PER_MM
"""Width, pt, below which a piece may go on behind a gap; wider ones are leads of their own."""
MAX_STEPS: Final = 1.6
"""Gap between two pieces in steps from point to point up to which one goes on in the other: the pen was lifted between two
samples."""
MAX_JUMP_PT: Final = 6.0 * PT_PER_MM
"""Height, pt, of a jump over such a gap, at most."""
MAX_LINE_PT: Final = 8.0 * PT_PER_MM
"""Length, pt, from which a straight upright or level stroke is no piece of a curve."""


@dataclass(frozen=True)
class Curve:
    """A line that runs from left to right."""

    points: Array
    """(n, 2) x, y, seen, pt; x ascends, or stays where the line is upright."""
    colour: tuple[int, int, int]
    width_pt: float

    @property
    def x0(self) -> float:
        return float(self.points[0, 0])

    @property
    def x1(self) -> float:
        return float(self.points[-1, 0])

    @property
    def level(self) -> float:
        """y, pt, at which the curve is most of its way."""
        return level_of(self.points)


def level_of(points: Array) -> float:
    """Median y of a line (n, 2) along x: points may stand closer where it is steep."""
    x, y = points.T
    weight = np.zeros(len(x))
    weight[:-1] += np.diff(x) / 2
    weight[1:] += np.diff(x) / 2
    if weight.sum() <= 0:
        return float(np.median(y))
    order = np.argsort(y)
    total = np.cumsum(weight[order])
    return float(y[order][np.searchsorted(total, total[-1] / 2)])


def find_curves(strokes: Iterable[Stroke]) -> list[Curve]:
    """Curves among strokes that are no lines of a grid, in the order of drawing."""
    styles: dict[tuple[tuple[int, int, int], float], list[Array]] = {}
    for stroke in strokes:
        if _is_long_straight(stroke.points):
            continue
        forward = _run_forward(stroke.points)
        if forward is not None:
            styles.setdefault((stroke.colour, round(stroke.width_pt, 2)), []).append(forward)
    found = []
    for (colour, width), pieces in styles.items():
        found += [Curve(line, colour, width) for line in _join_gaps(_join_ends(pieces)) if _is_curve(line)]
    return found


def _is_long_straight(points: Array) -> bool:
    size = points.max(axis=0) - points.min(axis=0)
    return bool(size.min() < TOUCH_PT and size.max() > MAX_LINE_PT and len(points) < MIN_POINTS)


def _run_forward(points: Array) -> Array | None:
    """The line from left to right; None where it runs to and fro."""
    steps = np.diff(points[:, 0])
    if steps.sum() < 0:
        points, steps = points[::-1], -steps[::-1]
    if len(steps) and steps.min() < -BACK_PT:
        return None
    if len(steps) and steps.min() < 0:
        points = points.copy()
        points[:, 0] = np.maximum.accumulate(points[:, 0])
    return points


def _is_curve(line: Array) -> bool:
    return len(line) >= MIN_POINTS and float(line[-1, 0] - line[0, 0]) >= MIN_WIDTH_PT


def _join_ends(pieces: list[Array]) -> list[Array]:
    """Lines made of pieces that begin where others end; the next one in the order of drawing goes first."""
    if len(pieces) < 2:
        return pieces
    cells: dict[tuple[int, int], list[int]] = {}
    for k, piece in enumerate(pieces):
        cells.setdefault(_cell(piece[0]), []).append(k)
    follows: dict[int, int] = {}
    taken: set[int] = set()
    for k, piece in enumerate(pieces):
        x, y = _cell(piece[-1])
        near = [
            j
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            for j in cells.get((x + dx, y + dy), ())
            if j not in taken and j != k and (np.abs(pieces[j][0] - piece[-1]) < TOUCH_PT).all()
        ]
        if near:
            follows[k] = min(near, key=lambda j: (j < k, abs(j - k)))
            taken.add(follows[k])
    lines, used = [], set()
    for k in range(len(pieces)):
        if k in taken or k in used:
            continue
        chain = [k]
        while chain[-1] in follows and follows[chain[-1]] not in used:
            used.add(chain[-1])
            chain.append(follows[chain[-1]])
        used.add(chain[-1])
        lines.append(np.vstack([pieces[k], *(pieces[j][1:] for j in chain[1:])]))
    return lines


def _cell(point: NDArray[np.float64]) -> tuple[int, int]:
    return int(point[0] // TOUCH_PT), int(point[1] // TOUCH_PT)


def _join_gaps(lines: list[Array]) -> list[Array]:
    """Lines with short pieces joined that begin a step or so behind the end of another, at its height."""
    lines = sorted(lines, key=lambda line: float(line[0, 0]))
    while True:
        starts = np.array([line[0] for line in lines]).reshape(-1, 2)
        follows: dict[int, tuple[float, int]] = {}
        comes: dict[int, tuple[float, int]] = {}
        steps = [_step(line) for line in lines]
        for k, line in enumerate(lines):
            low, high = np.searchsorted(starts[:, 0], line[-1, 0] + np.array([1e-9, MAX_STEPS * steps[k]]))
            for j in range(low, high):
                narrow = min(line[-1, 0] - line[0, 0], lines[j][-1, 0] - lines[j][0, 0])
                jump = abs(float(starts[j, 1] - line[-1, 1]))
                # a stroke without width is a mark, such as a separator; one with other steps is no part of the same line
                gap = float(starts[j, 0] - line[-1, 0])
                if (
                    j == k
                    or gap > MAX_STEPS * steps[j]
                    or not 0 < narrow < SHORT_PIECE_PT
                    or jump > MAX_JUMP_PT
                ):
                    continue
                follows[k] = min(follows.get(k, (np.inf, -1)), (jump, j))
                comes[j] = min(comes.get(j, (np.inf, -1)), (jump, k))
        mutual = {k: j for k, (_, j) in follows.items() if comes[j][1] == k}
        if not mutual:
            return lines
        heads = [k for k in range(len(lines)) if k not in set(mutual.values())]
        joined = []
        for k in heads:
            chain = [k]
            while chain[-1] in mutual:
                chain.append(mutual[chain[-1]])
            joined.append(np.vstack([lines[j] for j in chain]))
        lines = sorted(joined, key=lambda line: float(line[0, 0]))


def _step(line: Array) -> float:
    """Usual distance, pt, along x from point to point; 0 for a line without any."""
    steps = np.diff(line[:, 0])
    steps = steps[steps > TOUCH_PT / 4]
    return float(np.median(steps)) if len(steps) else 0.0


@dataclass(frozen=True)
class Box:
    """An upright rectangle that is open below or above: a calibration pulse."""

    x0: float
    x1: float
    foot: float
    """y, pt."""
    top: float
    """y, pt; less than ``foot``."""


MIN_PULSE_MM: Final = (1.5, 2.0)
"""Least width and height, mm, of a calibration pulse at a page's own size."""
MAX_PULSE_MM: Final = (14.0, 45.0)
MAX_LEADING_PT: Final = 10.0 * PT_PER_MM
"""Distance, pt, from a curve's beginning within which a pulse is drawn with it."""
SAME_PT: Final = 0.35
"""Distance, pt, of ends that belong together: drivers round to their pixels."""


def find_pulses(strokes: Iterable[Stroke]) -> list[Box]:
    """Calibration pulses: two upright edges of one height with a level top between them."""
    upright: list[tuple[float, float, float]] = []
    level: list[tuple[float, float, float]] = []
    for stroke in strokes:
        for a, b in _straight_runs(stroke.points):
            if abs(a[0] - b[0]) <= SAME_PT:
                low, high = sorted((float(a[1]), float(b[1])))
                upright.append((float(a[0] + b[0]) / 2, low, high))
            else:
                low, high = sorted((float(a[0]), float(b[0])))
                level.append((float(a[1]), low, high))
    edges = np.array(upright).reshape(-1, 3)
    found: dict[tuple[int, int, int], Box] = {}
    for y, x0, x1 in level:
        if not MIN_PULSE_MM[0] < (x1 - x0) / PT_PER_MM < MAX_PULSE_MM[0]:
            continue
        tops = np.abs(edges[:, 1] - y) < SAME_PT
        left, right = (edges[tops & (np.abs(edges[:, 0] - x) < SAME_PT)] for x in (x0, x1))
        pairs = [(a, b) for a in left for b in right if abs(a[2] - b[2]) < 2 * SAME_PT]
        for a, b in pairs:
            height = (a[2] + b[2]) / 2 - y
            if MIN_PULSE_MM[1] < height / PT_PER_MM < MAX_PULSE_MM[1] and _is_open(
                level, x0, x1, (a[2] + b[2]) / 2
            ):
                key = (round(x0), round(x1), round(y))
                found.setdefault(key, Box(float(a[0]), float(b[0]), float(a[2] + b[2]) / 2, y))
    return list(found.values())


def without_pulses(curves: Sequence[Curve], pulses: Sequence[Box]) -> list[Curve]:
    """Curves that begin behind a pulse that is drawn in one go with them."""
    found = []
    for curve in curves:
        points = curve.points
        for pulse in sorted(pulses, key=lambda box: box.x1):
            if not points[0, 0] - SAME_PT < pulse.x0 < points[0, 0] + MAX_LEADING_PT:
                continue
            corner = np.flatnonzero((np.abs(points - (pulse.x1, pulse.foot)) < SAME_PT).all(axis=1))
            on_top = (np.abs(points - (pulse.x0, pulse.top)) < SAME_PT).all(axis=1).any()
            if len(corner) and on_top:
                last = int(corner[-1])
                steps = np.diff(points[last:, 0])
                # a foot that is longer than the steps of the samples belongs to the pulse
                has_foot = len(steps) > MIN_POINTS and steps[0] > 3 * float(np.median(steps))
                points = points[last + has_foot :]
        if _is_curve(points):
            found.append(replace(curve, points=points))
    return found


def _is_open(level: list[tuple[float, float, float]], x0: float, x1: float, foot: float) -> bool:
    """Whether no line closes a pulse below: that is a frame."""
    return not any(abs(y - foot) < SAME_PT and a < x0 + SAME_PT and b > x1 - SAME_PT for y, a, b in level)


def _straight_runs(points: Array) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Ends of the upright and level parts of a line, longer than SAME_PT."""
    steps = np.diff(points, axis=0)
    far = np.abs(steps)
    kind = np.where(far[:, 0] <= SAME_PT, 1, 0) * (far[:, 1] > far[:, 0]) + 2 * (
        (far[:, 1] <= TOUCH_PT) & (far[:, 0] > far[:, 1])
    )
    k = 0
    while k < len(kind):
        if not kind[k]:
            k += 1
            continue
        end = k + 1
        while end < len(kind) and kind[end] == kind[k]:
            if kind[k] == 1 and (steps[end, 1] > 0) != (steps[k, 1] > 0):
                break
            end += 1
        a, b = points[k], points[end]
        if np.abs(b - a).max() > 4 * SAME_PT and (kind[k] == 2 or abs(a[0] - b[0]) <= SAME_PT):
            yield a, b
        k = end
