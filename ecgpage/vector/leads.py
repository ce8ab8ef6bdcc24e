"""Leads on the curves of a page: names beside them, rows cut into columns, and how exact their points are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.core.types import Array
from ecgpage.layout.arrangement import Arrangement, Cell
from ecgpage.vector.curves import PT_PER_MM, Curve, level_of
from ecgpage.vector.printed import Name

COLUMN_COUNTS: Final = (2, 3, 4, 6)
"""Numbers of leads that are drawn in one line."""
MARGIN_PT: Final = 25 * PT_PER_MM
"""Distance, pt, of a name left of its curve's beginning, at most."""
HEIGHTS_PT: Final = np.arange(-16.0, 16.1, 0.5) * PT_PER_MM
"""Distances, pt, of names below their curves' levels that are tried; negative above."""
HEIGHT_ERROR_PT: Final = 2.5 * PT_PER_MM
"""Spread, pt, of these distances on one page: names stand at the same height in each channel, levels do not."""
FAR_COST: Final = 0.1 / (16.0 * PT_PER_MM)
"""Cost of a distance, a pt, as a share of a name that fits."""
MAX_HEIGHT_OFF: Final = 3.0
"""Deviation from the page's usual distance, in spreads, from which a name belongs to no curve."""
EVEN: Final = 0.2
"""Deviation of names in a row from equal distances, as a share of a column."""
STEP_ERROR: Final = 0.1
"""Deviation of steps from multiples of the smallest, as a share of it, up to which points are samples of one rate."""
MIN_SHARED: Final = 0.5
"""Share of a cell's width over which a line must run to show its lead."""
FEW: Final = 0.02
"""Share of samples that are left out up to which a line is not simplified."""
NEAREST: Final = 0.2
"""Share of points that may lie closer than the tolerance: two left out in turn."""
FLOAT_PT: Final = 4e-5
"""Rounding, pt, of PDFium's coordinates, which are single floats."""


@dataclass(frozen=True)
class Piece:
    """Part of a curve that shows one lead, or a curve whose leads are not named."""

    points: Array
    """(n, 2) x, y, seen, pt, x not falling."""
    step: float
    """Distance, pt, of two samples along x; 0 where it is not known."""
    name: Name | None = None

    @property
    def end(self) -> float:
        """x, pt, at which the last sample ends and the next one would stand."""
        return float(self.points[-1, 0]) + self.step


def sample_step(points: Array) -> float:
    """Distance along x, pt, of the samples of a line (n, 2), some of which may be left out; 0 where points stand anyhow."""
    steps = np.diff(points[:, 0])
    steps = steps[steps > FLOAT_PT * 10]
    if len(steps) < 8:
        return 0.0
    step = float(np.quantile(steps, 0.1))
    for _ in range(3):
        count = np.rint(steps / step)
        near = count > 0
        if not near.any() or float(np.abs(steps[near] / step - count[near]).mean()) > STEP_ERROR:
            return 0.0
        step = float((steps[near] * count[near]).sum() / (count[near] ** 2).sum())
    total = float(points[-1, 0] - points[0, 0])
    return total / max(1.0, round(total / step))


def match_names(names: Sequence[Name], curves: Sequence[Curve]) -> dict[int, list[Name]]:
    """Curve -> names that stand beside it, from the left. Names stand at one height above or below their curves."""
    if not names or not curves:
        return {}
    level = np.array([curve.level for curve in curves])
    x0, x1 = np.array([(curve.x0, curve.x1) for curve in curves]).T
    x, y = np.array([(name.x, name.y) for name in names]).T
    along = x[:, None] - x0
    reaches = (along > -MARGIN_PT) & (x[:, None] < x1)
    down = y[:, None] - level
    off = np.abs(down - HEIGHTS_PT[:, None, None]) / HEIGHT_ERROR_PT
    off = np.where(reaches, off, np.inf)  # (heights, names, curves)
    fits = np.exp(-0.5 * off.min(axis=2) ** 2).sum(axis=1)
    best = int((fits * (1 - FAR_COST * np.abs(HEIGHTS_PT))).argmax())
    found: dict[int, list[Name]] = {}
    for k, name in enumerate(names):
        if off[best, k].min() > MAX_HEIGHT_OFF:
            continue
        # of the curves of that row the one at whose beginning the name stands
        row = np.flatnonzero(off[best, k] < off[best, k].min() + 0.5)
        cost = np.where(along[k, row] < 0, -2 * along[k, row], along[k, row])
        found.setdefault(int(row[cost.argmin()]), []).append(name)
    return {k: sorted(own, key=lambda name: name.x) for k, own in found.items()}


def cut_by_names(curves: Sequence[Curve], names: dict[int, list[Name]]) -> list[Piece]:
    """Pieces of the curves, one for each lead: where several names stand along a curve, it holds them one after the other."""
    counts = Counter(
        len(own)
        for k, own in names.items()
        if len(own) in COLUMN_COUNTS and _are_even(own, curves[k], len(own))
    )
    usual = counts.most_common(1)[0][0] if counts else 0
    pieces = []
    for k, curve in enumerate(curves):
        own = names.get(k, [])
        step = sample_step(curve.points)
        if usual and len(own) > 1 and _are_even(own, curve, usual):
            parts = cut_evenly(Piece(curve.points, step), usual)
            width = (curve.x1 + step - curve.x0) / usual
            for column, part in enumerate(parts):
                inside = [n for n in own if _column(n, own, curve, width) == column]
                pieces.append(Piece(part.points, step, inside[0] if inside else None))
        else:
            near = min(own, key=lambda name: abs(name.x0 - curve.x0), default=None)
            pieces.append(Piece(curve.points, step, near))
    return pieces


def _column(name: Name, own: Sequence[Name], curve: Curve, width: float) -> int:
    """Column of a name by its distance from the first name or the beginning, whichever stands further left."""
    return round((name.x0 - max(curve.x0, min(n.x0 for n in own))) / width)


def _are_even(own: Sequence[Name], curve: Curve, count: int) -> bool:
    """Whether names stand at the beginnings of ``count`` columns of a curve, each of another one."""
    width = (curve.x1 - curve.x0) / count
    at = np.array([(name.x0 - curve.x0) / width for name in own])
    at = np.where(at < 0, 0.0, at)
    columns = np.round(at - np.median(at - np.floor(at)) + 0.01)
    off = at - columns
    return bool(
        len(set(columns)) == len(own) and columns.max() < count and np.abs(off - np.median(off)).max() < EVEN
    )


def cut_evenly(piece: Piece, count: int) -> list[Piece]:
    """A line that holds ``count`` leads of one length, cut between samples."""
    x0 = float(piece.points[0, 0])
    width = (piece.end - x0) / count
    return [cut(piece, x0 + k * width, x0 + (k + 1) * width) for k in range(count)]


def cut(piece: Piece, start: float, end: float) -> Piece:
    """The samples of a piece from x ``start`` up to the one before ``end``, pt."""
    x, y = piece.points.T
    half = piece.step / 2
    inside = (x >= start - half) & (x < end - half)
    points = piece.points[inside]
    last = end - piece.step
    for at, is_first in ((start, True), (last, False)):
        known = len(points) and abs(float(points[0 if is_first else -1, 0]) - at) <= max(half, FLOAT_PT)
        if not known and x[0] <= at <= x[-1]:
            added = np.array([[at, np.interp(at, x, y)]])
            points = np.vstack([added, points] if is_first else [points, added])
    return Piece(points, piece.step, piece.name)


def find_line(arrangement: Arrangement, cell: Cell, lines: Sequence[Piece]) -> Piece | None:
    """The line, page mm, that shows the lead of a cell, cut out of a longer one where need be; None where there is none."""
    columns = arrangement.columns
    start, end = columns.span(None if cell.is_strip else cell.column)
    levels = np.array(arrangement.levels_mm)
    best: tuple[float, Piece] | None = None
    for line in lines:
        x0, x1 = float(line.points[0, 0]), line.end
        shared = min(x1, end) - max(x0, start)
        level = level_of(line.points)
        if shared < MIN_SHARED * (end - start) or int(np.abs(levels - level).argmin()) != cell.row:
            continue
        score = shared / (end - start) - 0.02 * abs(level - levels[cell.row])
        if best is None or score > best[0]:
            best = (score, line)
    if best is None:
        return None
    line = best[1]
    whole = line.end - float(line.points[0, 0])
    if cell.is_strip or columns.count == 1 or whole < 1.5 * (end - start):
        return line
    count = round(whole / columns.pitch_mm)
    parts = cut_evenly(line, count)
    return min(parts, key=lambda part: abs(float(part.points[0, 0]) - start))


def measure_errors(points_mm: Array, step_mm: float) -> Array:
    """(n,) expected error, one standard deviation, mm, of the height of a line (n, 2), page mm.

    It is the rounding of coordinates, of x where the line is steep, and what a plotter left out that draws fewer points than
    it has. What a signal does between its samples, a line does not tell.
    """
    x, y = points_mm.T
    if len(x) < 4:
        return np.full(len(x), np.nan)
    slope = np.zeros(len(x))
    steps = np.diff(x)
    wide = steps > 1e-6
    slope[:-1][wide] = np.diff(y)[wide] / steps[wide]
    rounding = (_quantum(y) ** 2 + (_rounding_along(x, step_mm) * slope) ** 2) / 12
    # plotters measure what they leave out across the line
    return np.sqrt(rounding + _left_out(x, y, step_mm) ** 2 * (1 + slope**2))


def _quantum(values: Array) -> float:
    """Step, mm, in which coordinates are written: the least that two of them differ by."""
    apart = np.abs(np.diff(np.unique(values)))
    apart = apart[apart > FLOAT_PT / PT_PER_MM]
    return float(apart.min()) if len(apart) else FLOAT_PT / PT_PER_MM


def _rounding_along(x: Array, step_mm: float) -> float:
    """Step, mm, in which x is written: what samples stand off their even places, or else the least distance of two points."""
    if step_mm <= 0:
        return _quantum(x)
    number = np.rint((x - x[0]) / step_mm)
    off = x - np.polyval(np.polyfit(number, x, 1), number)
    return max(float(np.sqrt(12) * off.std()), FLOAT_PT / PT_PER_MM)


def _left_out(x: Array, y: Array, step_mm: float) -> float:
    """Error, mm, of a simplified line: no point that is kept lies closer to the line past it than the plotter's tolerance."""
    if step_mm > 0 and float((np.diff(x) > 1.5 * step_mm).mean()) < FEW:
        return 0.0
    points = np.stack([x, y], axis=1)
    chord = points[2:] - points[:-2]
    length = np.hypot(*chord.T)
    known = length > 1e-9
    aside = points[1:-1] - points[:-2]
    off = np.abs(chord[:, 0] * aside[:, 1] - chord[:, 1] * aside[:, 0])[known] / length[known]
    return float(np.quantile(off, NEAREST)) / 2 if len(off) else 0.0
