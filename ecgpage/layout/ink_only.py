"""Read the layout of a flat page: which lead is drawn where, over which seconds.

Nothing about positions is assumed. Rows are the long connected lines of ink; the columns come from the separator ticks
that stand in several rows at one common pitch, or, where there are none, from the number of rows; calibration pulses give
the gain and the zero level. Names follow the grammar of printed layouts (3 x 4, 6 x 2, 12 x 1 with rhythm strips).
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import GAIN_MM_PER_MV, LEADS, SPEED_MM_PER_S, EcgPageError
from ecgpage.grid.flat_page import X_PX_PER_MM, Y_PX_PER_MM, FlatPage, Grey
from ecgpage.grid.tracking import BOX_MM

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

MAX_ROWS: Final = 14
ROW_STEP_MM: Final = 0.5
"""Height of the cells in which rows are searched; they are 1 mm wide."""
MIN_ROW_SHARE: Final = 0.6
"""A row is at least this long compared with the longest."""
SHORT_ROW: Final = 0.3
"""When paths through the ink get as short as this, compared with the second longest, there are no more rows."""
MIN_ROW_INK: Final = 0.45
MIN_PRESENCE: Final = 0.72
"""A trace is inked nearly everywhere between its ends, a line of text is not."""
MAX_GAP: Final = 1.8
"""Neighbouring rows stand at most so many usual distances apart."""
FRAME_RMS_MM: Final = 0.3
"""A printed frame or table edge is straighter than any trace."""
RISEN_MM: Final = (1.5, 2.0, 2.5, 3.0)
"""Places above and below a line where heart beats that rise from it have ink,"""
RISEN_AT: Final = 2
"""in so many of them at least."""
MIN_RISEN: Final = 0.02
"""In fewer millimetres of a frame anything does."""
TICK_HEIGHT_MM: Final = 4.5
TICK_WIDTH_MM: Final = 0.4
MIN_TICK: Final = 0.3
SAME_COMB: Final = 0.65
"""A comb with fewer teeth wins only where the finer one has less than this share of its support."""
MAX_ZERO_MM: Final = 12.0
ON_LINE_MM: Final = 0.25
LINE_AHEAD_MM: Final = 0.0635
"""Grid lines of the Challenge's generator stand half a pixel (200 dpi) right of where its time axis puts them."""
PULSE_WIDTH_MM: Final = 5.0
PULSE_HEIGHTS_MM: Final = (10.0, 5.0, 20.0)
MIN_PULSE: Final = 0.4
COLUMNS_BY_ROWS: Final = {1: 1, 2: 1, 3: 4, 4: 4, 5: 4, 6: 2, 7: 2, 8: 2, 12: 1, 13: 1}
"""Columns of the usual layouts when no separators are printed."""
GRID_ROWS: Final = {4: 3, 2: 6, 1: 12}
"""Rows that hold the twelve leads in so many columns; more rows are rhythm strips."""


@dataclass(frozen=True)
class Row:
    """One line of traces across the page."""

    x_mm: Array
    """(n,) page x, 1 mm apart."""
    y_mm: Array
    """(n,) page y of the line of ink near the baseline."""
    ink: Array
    """(n,) ink there, 0 to 1."""

    @property
    def start_mm(self) -> float:
        return float(self.x_mm[_runs(self.ink)[0]])

    @property
    def length_mm(self) -> int:
        return int((self.ink > 0.3).sum())

    @property
    def level_mm(self) -> float:
        """Median page y."""
        return float(np.median(self.y_mm[self.ink > 0.3])) if self.length_mm else float(np.median(self.y_mm))

    @property
    def presence(self) -> float:
        """Share of the way from the first to the last ink that is inked."""
        first, last = _runs(self.ink)
        return float((self.ink[first : last + 1] > 0.3).mean())

    @property
    def end_mm(self) -> float:
        return float(self.x_mm[_runs(self.ink)[1]])

    def level_at(self, x_mm: float) -> float:
        """Page y of the row at one page x."""
        return float(np.interp(x_mm, self.x_mm, self.y_mm))

    def y_at(self, x_mm: Array) -> Array:
        """Page y of the row at page x."""
        return np.asarray(np.interp(x_mm, self.x_mm, self.y_mm), np.float64)


@dataclass(frozen=True)
class Segment:
    """One lead drawn without a break."""

    lead: str
    row: int
    x0_mm: float
    """Page x of the first sample."""
    x1_mm: float
    start_s: float
    """Time of the first sample in the record."""
    duration_s: float
    zero_mm: float
    """Page y of 0 mV as far as known: the foot of the calibration pulse, else the row's usual level."""
    gain_mm_per_mv: float = GAIN_MM_PER_MV
    """Negative where the lead is drawn upside down."""
    is_strip: bool = False

    def baseline(self, rows: list[Row]) -> float:
        """Usual page y of its ink."""
        row = rows[self.row]
        inside = (row.x_mm >= self.x0_mm) & (row.x_mm <= self.x1_mm)
        return float(np.median(row.y_mm[inside])) if inside.any() else float(np.median(row.y_mm))


@dataclass(frozen=True)
class Pulse:
    """One calibration pulse; left edge, foot and size in page mm."""

    x_mm: float
    foot_mm: float
    height_mm: float
    score: float
    width_mm: float = PULSE_WIDTH_MM


@dataclass(frozen=True)
class PagePlan:
    """What is drawn where."""

    rows: list[Row]
    segments: list[Segment]
    pulses: list[Pulse]
    ticks_mm: list[float]
    """Page x of the separators, the same in all rows."""
    speed_mm_per_s: float
    gain_mm_per_mv: float
    confidence: float
    """How well ink, separators and pulses agree with the layout, 0 to 1."""
    notes: tuple[str, ...] = ()


def read_layout(page: FlatPage, duration_s: float) -> PagePlan:
    """Plan of an upright page that shows ``duration_s`` seconds of a 12-lead record.

    Raises ``EcgPageError`` when the rows do not fit any known layout.
    """
    rows = find_rows(page)
    if not rows:
        raise EcgPageError("no rows of traces on the grid; is this an ECG page?")
    width_mm = duration_s * SPEED_MM_PER_S
    ticks = tick_signals(page, rows)
    columns, first_mm, support = _find_columns(page, rows, ticks, width_mm)
    notes: list[str] = []
    has_ticks = columns > 1
    if not has_ticks:
        columns = COLUMNS_BY_ROWS.get(len(rows), 0)
        notes.append("no separators seen: columns follow from the number of rows")
    if columns == 0 or len(rows) < GRID_ROWS.get(columns, 99):
        raise EcgPageError(
            f"{len(rows)} rows of traces in {columns} columns fit no known layout; see README, layouts"
        )
    pulses = _find_pulses(page, rows)
    if not has_ticks:
        first_mm = _start_without_ticks(rows, pulses, width_mm)
    first_mm = start_on_line(first_mm)
    grid_rows = _choose_grid_rows(rows, support if has_ticks else np.zeros(len(rows)), columns)
    found = [p for p in pulses if p is not None]
    gain = float(np.median([p.height_mm for p in found])) if found else GAIN_MM_PER_MV
    if not found:
        notes.append("10 mm/mV assumed: no calibration pulse seen")
    notes.append("25 mm/s assumed")
    segments = _name_segments(rows, pulses, grid_rows, columns, first_mm, duration_s)
    segments = [replace(s, gain_mm_per_mv=gain) for s in segments]
    pitch = width_mm / columns
    ticks_mm = [first_mm + pitch * k for k in range(1, columns)] if has_ticks else []
    confidence = _confidence(rows, grid_rows, support, found, first_mm, width_mm)
    return PagePlan(rows, segments, found, ticks_mm, SPEED_MM_PER_S, gain, confidence, tuple(notes))


def upright_score(page: FlatPage, plan: PagePlan) -> float:
    """How much speaks for the page being upright rather than upside down, about -2 to 3.

    Pulses stand before the traces, names near the beginning of a lead, strips below the twelve leads.
    """
    score = 1.0 if plan.pulses else 0.0
    first, last = (
        [_ink_beside(page, plan, s, at_end) for s in plan.segments if not s.is_strip]
        for at_end in (False, True)
    )
    score += float(
        np.clip(4 * (np.mean(first) - np.mean(last)) / (np.mean(first) + np.mean(last) + 1e-6), -1, 1)
    )
    strips = [s.row for s in plan.segments if s.is_strip]
    if strips:
        score += 1.0 if min(strips) > max(s.row for s in plan.segments if not s.is_strip) else -1.0
    return score


def _ink_beside(page: FlatPage, plan: PagePlan, segment: Segment, at_end: bool) -> float:
    """Share of ink above and below the trace in the 8 mm at the segment's beginning or end, where a name may stand."""
    x0 = segment.x1_mm - 8.5 if at_end else segment.x0_mm + 0.7
    columns = slice(max(0, round(page.column(x0))), max(0, round(page.column(x0 + 7.8))))
    level = segment.baseline(plan.rows)
    bands = []
    for low, high in ((3.0, 9.0), (-9.0, -3.0)):
        rows = slice(max(0, round(page.row(level + low))), max(0, round(page.row(level + high))))
        bands.append((page.ink[rows, columns] > 0.5).mean() if page.ink[rows, columns].size else 0.0)
    return float(np.sum(bands))


# ---------------------------------------------------------------------------------------------- rows


def find_rows(page: FlatPage) -> list[Row]:
    """Rows of traces from top to bottom: the cheapest left-to-right paths through the ink, one after the other."""
    step_y = int(ROW_STEP_MM * Y_PX_PER_MM)
    height, width = (page.ink.shape[0] // step_y * step_y, page.ink.shape[1] // X_PX_PER_MM * X_PX_PER_MM)
    cells = page.ink[:height, :width].reshape(height // step_y, step_y, width // X_PX_PER_MM, X_PX_PER_MM)
    left = np.clip(cells.mean(axis=1).max(axis=2), 0, 1)
    x_mm = page.x0_mm + np.arange(left.shape[1]) + 0.5
    rows: list[Row] = []
    for _ in range(MAX_ROWS):
        path, ink = cheapest_path(left)
        level = np.asarray(page.y0_mm + (path + 0.5) * ROW_STEP_MM, np.float64)
        rows.append(Row(x_mm, level, ink))
        lengths = sorted(row.length_mm for row in rows)
        if len(rows) > 2 and lengths[0] < SHORT_ROW * lengths[-2]:
            break  # the next ones are fainter still
        for offset in range(-4, 5):
            left[np.clip(path + offset, 0, left.shape[0] - 1), np.arange(left.shape[1])] = 0
    usual = lengths[-2]
    good = [
        row
        for row in rows
        if row.length_mm >= MIN_ROW_SHARE * usual
        and row.ink[row.ink > 0.3].mean() > MIN_ROW_INK
        and row.presence > MIN_PRESENCE
        and not _is_frame(page, row)
    ]
    return _regular(sorted(good, key=lambda row: row.level_mm))


def _regular(rows: list[Row]) -> list[Row]:
    """The longest run of rows without a gap much larger than the usual one: printed headers and edges stand apart."""
    if len(rows) < 3:
        return rows
    gaps = np.diff([row.level_mm for row in rows])
    breaks = [0, *(np.flatnonzero(gaps > MAX_GAP * np.median(gaps)) + 1), len(rows)]
    runs = [rows[a:b] for a, b in itertools.pairwise(breaks)]
    return max(runs, key=len)


def cheapest_path(cells: Grey, reach: int = 6, bend: float = 0.25) -> tuple[NDArray[np.intp], Array]:
    """Path through (rows, columns) cells that gathers most ink; moves up to ``reach`` cells a column cost ``bend`` each."""
    height, width = cells.shape
    cost = np.ascontiguousarray((1.0 - cells).T)  # (width, height)
    dear = np.full(height + 2 * reach, np.inf, cost.dtype)
    total = dear[reach : reach + height]
    total[:] = cost[0]
    moves = np.arange(-reach, reach + 1)
    from_there = np.lib.stride_tricks.sliding_window_view(dear, height)  # follows what is written to total
    bends = (bend * np.abs(moves))[:, None].astype(cost.dtype)
    options = np.empty(from_there.shape, cost.dtype)
    chosen = np.zeros((width, height), np.intp)
    for x in range(1, width):
        np.add(from_there, bends, out=options)
        options.argmin(axis=0, out=chosen[x])
        np.add(options.min(axis=0), cost[x], out=total)
    came = np.arange(height) + moves[chosen]
    path = np.empty(width, np.intp)
    path[-1] = total.argmin()
    for x in range(width - 1, 0, -1):
        path[x - 1] = came[x, path[x]]
    return path, cells[path, np.arange(width)].astype(float)


def _runs(ink: Array, least: int = 8) -> tuple[int, int]:
    """First and last index of the inked part, ignoring specks shorter than ``least``."""
    seen = (np.convolve(ink > 0.25, np.ones(least), "same") >= 0.7 * least) & (ink > 0.25)
    where = np.flatnonzero(seen)
    return (int(where[0]), int(where[-1])) if len(where) else (0, len(ink) - 1)


def _is_frame(page: FlatPage, row: Row) -> bool:
    """Whether the path runs along a straight printed line with nothing that rises from it."""
    seen = row.ink > 0.3
    line = np.polyfit(row.x_mm[seen], row.y_mm[seen], 2)
    error = np.abs(row.y_mm[seen] - np.polyval(line, row.x_mm[seen]))
    if np.quantile(error, 0.85) > 2 * FRAME_RMS_MM:
        return False
    within = np.arange(X_PX_PER_MM) - X_PX_PER_MM // 2  # strokes are narrower than the millimetres of a row
    columns = np.rint(page.column(row.x_mm[seen])).astype(int)[:, None] + within
    columns = np.clip(columns, 0, page.ink.shape[1] - 1)
    base = np.rint(page.row(row.y_mm[seen])).astype(int)[:, None]
    risen = np.zeros(len(columns), np.bool_)
    for sign in (-1, 1):
        heights = [int(sign * mm * Y_PX_PER_MM) for mm in RISEN_MM]
        inked = [page.ink[np.clip(base + h, 0, page.ink.shape[0] - 1), columns] > 0.5 for h in heights]
        risen |= (np.sum(inked, axis=0) >= RISEN_AT).any(axis=1)
    return bool(risen.mean() < MIN_RISEN)


# ---------------------------------------------------------------------------------------------- columns


def tick_signals(page: FlatPage, rows: list[Row]) -> Array:
    """(rows, width) how much each column of the raster looks like a thick vertical tick across the row's baseline."""
    kernel = np.ones((int(TICK_HEIGHT_MM * Y_PX_PER_MM), int(TICK_WIDTH_MM * X_PX_PER_MM)), np.uint8)
    # the median takes noise out of the ticks, and traces, which are thinner, altogether
    clean = cv2.medianBlur(np.clip(page.ink * 200, 0, 200).astype(np.uint8), 5)
    thick = cv2.erode(clean, kernel).astype(np.float32) / 200
    columns = np.arange(page.ink.shape[1])
    x_mm = page.x_mm(columns.astype(float))
    signals = np.zeros((len(rows), len(columns)))
    for k, row in enumerate(rows):
        base = page.row(row.y_at(x_mm))
        for offset_mm in np.arange(-2.5, 2.6, 0.25):
            at = np.clip(np.rint(base + offset_mm * Y_PX_PER_MM).astype(int), 0, page.ink.shape[0] - 1)
            signals[k] = np.maximum(signals[k], thick[at, columns])
    return signals


def _find_columns(page: FlatPage, rows: list[Row], ticks: Array, width_mm: float) -> tuple[int, float, Array]:
    """Number of columns, page x of the first sample and the support of each row; (1, nan, zeros) without separators."""
    near = cv2.dilate(ticks.astype(np.float32), np.ones((1, int(1.2 * X_PX_PER_MM)), np.uint8)).astype(float)
    found: list[tuple[int, float, float, Array]] = []
    starts = np.arange(0, max(1, page.ink.shape[1] - int(0.9 * width_mm * X_PX_PER_MM)))
    for columns in (6, 4, 3, 2):
        pitch = width_mm / columns * X_PX_PER_MM
        at = np.rint(starts[:, None] + pitch * np.arange(1, columns)).astype(int)
        support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].mean(axis=2)  # (rows, starts)
        score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
        middle = float(np.median(starts[score > score.max() - 1e-6]))
        found.append((columns, float(score.max()), middle, support[:, round(middle)]))
    strongest = max(score for _, score, _, _ in found)
    if strongest < MIN_TICK:
        return 1, float("nan"), np.zeros(len(rows))
    # a comb of four also fits two columns by its middle tooth alone, with a third of the score
    columns, _, start, support = next(f for f in found if f[1] > SAME_COMB * strongest)
    pitch = width_mm / columns * X_PX_PER_MM
    centres = tick_centres(page, rows, ticks, start, pitch, columns)
    edges = [at - pitch * k for k, at in centres]
    return columns, float(page.x_mm(float(np.median(edges)) if edges else start)), support


def separator_pitch(page: FlatPage, rows: list[Row], width_mm: float) -> float | None:
    """Distance of the separators over a quarter of ``width_mm``, of a page in four columns on a map of rough scale; None when
    no such separators show.
    """
    if not rows:
        return None
    ticks = tick_signals(page, rows)
    near = cv2.dilate(ticks.astype(np.float32), np.ones((1, int(0.6 * X_PX_PER_MM)), np.uint8)).astype(float)
    quarter = width_mm / 4 * X_PX_PER_MM
    best = (0.0, 1.0, 0.0)
    for stretch in np.linspace(0.94, 1.06, 61):
        starts = np.arange(0, max(1, page.ink.shape[1] - int(3.2 * stretch * quarter)))
        at = np.rint(starts[:, None] + stretch * quarter * np.arange(1, 4)).astype(int)
        support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].min(axis=2)  # (rows, starts)
        score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
        best = max(
            best, (float(score.max()), float(stretch), float(np.median(starts[score > score.max() - 1e-6])))
        )
    score_of_best, stretch, start = best
    if score_of_best < MIN_TICK:
        return None
    centres = tick_centres(page, rows, ticks, start, stretch * quarter, 4)
    numbers = sorted({k for k, _ in centres})
    if len(numbers) < 3:
        return None
    # the median over the rows: a beat of one row may be taken for a separator
    middles = [float(np.median([at for k, at in centres if k == number])) for number in numbers]
    slope = np.polyfit(numbers, middles, 1)[0]
    return float(slope / quarter)


def tick_centres(
    page: FlatPage, rows: list[Row], ticks: Array, start: float, pitch: float, columns: int
) -> list[tuple[int, float]]:
    """Number in the comb, from 1, and centre of the ink (columns of the raster, sub-pixel) of each single tick."""
    reach = int(1.5 * X_PX_PER_MM)
    found: list[tuple[int, float]] = []
    for k in range(1, columns):
        middle = round(start + pitch * k)
        for r, row in enumerate(rows):
            if ticks[r, max(0, middle - reach) : middle + reach].max(initial=0.0) < MIN_TICK:
                continue
            base = round(page.row(row.level_at(page.x_mm(float(middle)))))
            half = int(2.2 * Y_PX_PER_MM)
            patch = np.clip(
                page.ink[max(0, base - half) : base + half, middle - reach : middle + reach + 1], 0, 1
            )
            if patch.shape[1] < 2 * reach:
                continue
            profile = np.quantile(patch, 0.3, axis=0)
            if profile.max() > MIN_TICK:
                mass = np.clip(profile - 0.25 * profile.max(), 0, None)
                centre = (mass * np.arange(patch.shape[1])).sum() / mass.sum() + middle - reach
                found.append((k, float(centre)))
    return found


def _start_without_ticks(rows: list[Row], pulses: list[Pulse | None], width_mm: float) -> float:
    """Page x of the first sample from the ends of the rows and the pulses before them."""
    right = [p.x_mm + PULSE_WIDTH_MM for p in pulses if p is not None]
    if right:
        return float(np.median(right))
    start, end = np.median([r.start_mm for r in rows]), np.median([r.end_mm for r in rows])
    return float((start + end - width_mm) / 2)


def start_on_line(first_mm: float) -> float:
    """The start on the 5-mm line that it lies on within the error of ticks and pulses, else as it is.

    Pages that are plotted together with their grid begin their rows on a line, and the lattice, smoothed over all lines,
    is known better than single ticks, which are drawn on whole pixels.
    """
    on_line = BOX_MM * round(first_mm / BOX_MM) - LINE_AHEAD_MM
    return on_line if abs(first_mm - on_line) < ON_LINE_MM else first_mm


def _choose_grid_rows(rows: list[Row], support: Array, columns: int) -> list[int]:
    """The rows that hold the twelve leads: those with separators, else the upper ones."""
    need = GRID_ROWS.get(columns, 0)
    if need == 0:
        raise EcgPageError(f"pages with {columns} columns are not read yet; see README, layouts")
    by_support = (
        np.argsort(-support, kind="stable")[:need] if support.max(initial=0.0) > 0 else np.arange(need)
    )
    return sorted(int(k) for k in by_support)


# ---------------------------------------------------------------------------------------------- pulses


def _find_pulses(page: FlatPage, rows: list[Row]) -> list[Pulse | None]:
    """The calibration pulse at the left end of each row, None where there is none."""
    starts = np.array([row.start_mm for row in rows])
    first = float(np.median(starts))
    return [_find_pulse(page, row, first) for row in rows]


def _find_pulse(page: FlatPage, row: Row, first_mm: float) -> Pulse | None:
    """Best pulse near the beginning of a row."""
    x_mm = np.arange(first_mm - 14.0, first_mm + 6.0, 1 / X_PX_PER_MM)
    level = float(np.median(row.y_at(np.linspace(first_mm, first_mm + 15, 20))))
    return find_pulse(page, x_mm, level + np.arange(-5.0, 5.1, 0.5))


def find_pulse(
    page: FlatPage,
    x_mm: Array,
    feet_mm: Array,
    heights_mm: Sequence[float] = PULSE_HEIGHTS_MM,
    widths_mm: Sequence[float] = (PULSE_WIDTH_MM,),
    least: float = MIN_PULSE,
) -> Pulse | None:
    """Best pulse whose left stroke stands at one of x_mm: first on a coarse raster of feet, then finely around the best; None
    when it scores ``least`` or less.
    """
    coarse = [
        pulse
        for height in heights_mm
        for foot in feet_mm
        for pulse in pulses_at(page, x_mm, foot, height, widths_mm, roof_px=3)
    ]
    likely = max(coarse, key=lambda p: p.score)
    fine = [
        pulse
        for offset in np.arange(-5, 6) / Y_PX_PER_MM
        for pulse in pulses_at(
            page, x_mm, likely.foot_mm + offset, likely.height_mm, [likely.width_mm], roof_px=1
        )
    ]
    best = max(fine, key=lambda p: p.score)
    return best if best.score > least else None


def pulses_at(
    page: FlatPage, x_mm: Array, foot: float, height: float, widths_mm: Sequence[float], *, roof_px: int
) -> list[Pulse]:
    """The best pulse of this foot and height along x_mm for each width: two strokes that end at foot and roof, and the roof.

    ``x_mm`` (n,) is evenly spaced by one column of the raster.
    """
    n, steps = len(x_mm), [round(width * X_PX_PER_MM) for width in widths_mm]
    along = x_mm[0] + np.arange(n + max(steps)) / X_PX_PER_MM
    stroke = _stroke(page, along, foot - height + 0.4, foot - 0.6)
    # strokes that go on belong to a taller pulse
    beyond = np.maximum(
        _stroke(page, along, foot - height - 2.2, foot - height - 0.8),
        _stroke(page, along, foot + 1.0, foot + 2.4),
    )
    found = []
    for width, step in zip(widths_mm, steps, strict=True):
        roof = _roof(page, x_mm, foot - height, width, roof_px)
        score = np.minimum(np.minimum(stroke[:n], stroke[step : step + n]), roof)
        score -= np.maximum(beyond[:n], beyond[step : step + n])
        peak = int(score.argmax())
        found.append(Pulse(float(x_mm[peak]), foot, height, float(score[peak]), width))
    return found


def _stroke(page: FlatPage, x_mm: Array, top_mm: float, bottom_mm: float) -> Array:
    """Lower quartile of the ink along vertical lines at x_mm, best within +-0.1 mm."""
    rows = np.clip(
        np.rint(page.row(np.linspace(top_mm, bottom_mm, 16))).astype(int), 0, page.ink.shape[0] - 1
    )
    columns = np.rint(page.column(x_mm)).astype(int)
    values = [page.ink[rows[:, None], np.clip(columns + d, 0, page.ink.shape[1] - 1)] for d in (-1, 0, 1)]
    return _lower_quartile(np.clip(np.max(values, axis=0), 0, 1), 0)


def _roof(page: FlatPage, x_mm: Array, y_mm: float, width_mm: float, reach_px: int) -> Array:
    """Lower quartile of the ink along a level line from x_mm to x_mm + width_mm, best within +-reach_px rows."""
    at = x_mm[:, None] + np.linspace(0.4, width_mm - 0.4, 12)
    columns = np.clip(np.rint(page.column(at)).astype(int), 0, page.ink.shape[1] - 1)
    row = int(np.clip(round(page.row(y_mm)), reach_px, page.ink.shape[0] - 1 - reach_px))
    near = page.ink[row - reach_px : row + reach_px + 1][:, columns].max(axis=0)
    return _lower_quartile(np.clip(near, 0, 1), 1)


def _lower_quartile(values: Grey, axis: int) -> Array:
    """As ``np.quantile`` has it, several times faster for the few values of a line."""
    ordered = np.sort(values, axis=axis).astype(np.float64)
    place = 0.25 * (values.shape[axis] - 1)
    below = int(place)
    low, high = (np.take(ordered, k, axis=axis) for k in (below, below + 1))
    return np.asarray(low + (place - below) * (high - low), np.float64)


# ---------------------------------------------------------------------------------------------- names


def _name_segments(
    rows: list[Row],
    pulses: list[Pulse | None],
    grid_rows: list[int],
    columns: int,
    first_mm: float,
    duration_s: float,
) -> list[Segment]:
    """Leads in reading order down the columns, then the strips, which carry lead II until the signals say otherwise."""
    part_s = duration_s / columns
    segments = []
    for column in range(columns):
        for place, row in enumerate(grid_rows):
            lead = LEADS[column * len(grid_rows) + place]
            start_s = column * part_s
            x0 = first_mm + start_s * SPEED_MM_PER_S
            segments.append(Segment(lead, row, x0, x0 + part_s * SPEED_MM_PER_S, start_s, part_s, 0.0))
    for row in range(len(rows)):
        if row not in grid_rows:
            x1 = first_mm + duration_s * SPEED_MM_PER_S
            segments.append(Segment("II", row, first_mm, x1, 0.0, duration_s, 0.0, is_strip=True))
    return [replace(s, zero_mm=_zero_level(s, rows, pulses)) for s in segments]


def _zero_level(segment: Segment, rows: list[Row], pulses: list[Pulse | None]) -> float:
    """The pulse's foot, unless the segment runs so far from it that it cannot be its own."""
    pulse, baseline = pulses[segment.row], segment.baseline(rows)
    return pulse.foot_mm if pulse is not None and abs(pulse.foot_mm - baseline) < MAX_ZERO_MM else baseline


def _confidence(
    rows: list[Row],
    grid_rows: list[int],
    support: Array,
    pulses: list[Pulse],
    first_mm: float,
    width_mm: float,
) -> float:
    """Mean of: ink along the rows, separators where expected, the rows' ends where the time axis puts them."""
    ink = float(
        np.mean([row.ink[(row.x_mm > first_mm) & (row.x_mm < first_mm + width_mm)].mean() for row in rows])
    )
    ends = np.mean([abs(row.end_mm - first_mm - width_mm) < 4 for row in rows])
    evidence = [
        min(1.0, ink / 0.6),
        float(ends),
        min(1.0, float(np.mean(support[grid_rows])) / 0.6 if len(support) else 0),
    ]
    if pulses:
        evidence.append(1.0)
    return float(np.mean(evidence))
