"""Read a page from the lines that it is drawn of: curves and text -> grid, layout and traces, as the stages give them.

The curves stand where the leads' boxes stand on a picture, so that the names are settled by the same grammar
(``ecgpage.layout.arrangement``), and speed and gain by the same evidence (``ecgpage.layout.scales``). The traces hold the
points of the curves; times and assembly are those of pictures (``ecgpage.signal``).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.pdf_paths import PageDrawing, Stroke
from ecgpage.layout.arrangement import Arrangement, Cell, arrange
from ecgpage.layout.boxes import HALF_BOX_MM, PageBoxes, PrintedNames
from ecgpage.layout.known_layouts import CHEST
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.printed_scales import weigh_known_print, weigh_print
from ecgpage.layout.scales import SPEED_ODDS, find_group, tell_scale
from ecgpage.layout.types import (
    NO_PRINT,
    PageLayout,
    PrintedScales,
    Pulse,
    Row,
    ScaleEvidence,
    Segment,
)
from ecgpage.trace.reader import PATH, Trace
from ecgpage.vector.curves import Box, Curve, find_curves, find_pulses, level_of, without_pulses
from ecgpage.vector.drawn_grid import DrawnGrid, find_drawn_grid, find_glyph_grid
from ecgpage.vector.leads import Piece, cut_by_names, find_line, match_names, measure_errors, sample_step
from ecgpage.vector.page_scale import PageScale, find_scale_of_page, snap_rate
from ecgpage.vector.printed import GAIN, SPEED, find_names, find_scale, usual_turn
from ecgpage.vector.visibility import are_seen

log = logging.getLogger(__name__)

SURE: Final = 0.999
"""Chance that a name in the text of a page is what it says."""
MIN_CURVES: Final = 3
"""Fewest curves of a page that is read by them."""
MIN_LEADS: Final = 3
"""Fewest leads, likewise."""
SAME_ROW_MM: Final = 3.0
"""Distance, mm, of a pulse's foot from a lead's usual level up to which it gives the lead's 0 mV."""
SURE_LAYOUT: Final = 0.75
"""Confidence, 0 to 1, of a layout named by the text of a page: below it the picture is read too."""
MIN_CONFIDENCE: Final = 0.35
"""Confidence, 0 to 1, of any layout, as on pictures (``ReaderOptions.min_confidence``)."""
FINE_HZ: Final = 240.0
"""Samples a second below which it is said that a curve has no more."""
NAME_PLACE_MM: Final = (2.0, -4.0)
"""Place, mm, right of and below its lead's beginning, at which a matched name is handed to the layout."""


@dataclass(frozen=True)
class PathPage:
    """What the lines of a page say."""

    grid: GridMap
    """From page mm to pixels of the picture of the page."""
    layout: PageLayout
    traces: list[Trace]
    """One for each segment of the layout, with the points of its curve."""
    boxes: PageBoxes


def has_curves(drawing: PageDrawing) -> bool:
    """Whether a page is drawn with curves that may be an ECG's, as quickly as it can be told."""
    long = sum(len(stroke.points) for stroke in drawing.strokes)
    return len(drawing.strokes) >= MIN_CURVES and long >= 200


def read_path_page(
    drawing: PageDrawing,
    image: Image,
    duration_s: float,
    options: LayoutOptions = LayoutOptions(),
    picture_grid: Callable[[], GridMap] | None = None,
    picture_boxes: Callable[[GridMap], PageBoxes] | None = None,
) -> PathPage:
    """Grid, layout and traces of a page from its lines; ``EcgPageError`` with the reason when they do not show an ECG.

    Args:
        drawing: what the page is drawn of.
        image: uint8 (H, W, 3) RGB, the page drawn: what is not seen there is no curve.
        duration_s: time that the page shows at most, s.
        options: those of pictures.
        picture_grid: finds the grid on the picture, where none is drawn with lines; may raise ``EcgPageError``.
        picture_boxes: finds leads and names on the picture, where the text does not name them.
    """
    turn, upright, lines = _turn_upright(drawing)

    def to_pixels(points: Array) -> Array:
        return upright.to_pixels(points, -turn)

    rest, curves = lines.rest, lines.curves
    drawn = lines.grid or find_glyph_grid(upright.words)
    if len(curves) < MIN_CURVES:
        raise EcgPageError("its lines hold no curves")
    seen = are_seen(curves, image, to_pixels)
    notes = []
    if not all(seen):
        notes.append(f"{len(seen) - sum(seen)} curves of the PDF are not seen on the page: left out")
        curves = [curve for curve, is_seen in zip(curves, seen, strict=True) if is_seen]
    written = _Written.read(upright, notes)
    pulses = find_pulses(rest)
    curves = without_pulses(curves, pulses)
    scale = find_scale_of_page(
        drawn, pulses, written.gain, lambda: _measure_picture(picture_grid, upright.px_per_pt, turn)
    )
    scale = snap_rate(scale, curves)
    notes += scale.notes
    grid = _make_map(scale, upright.size_pt, to_pixels)
    names = match_names(find_names(upright.words), curves)
    pieces = cut_by_names(curves, names)
    boxes, levels = _make_boxes(pieces, pulses, scale, written)
    arrangement = _arrange(boxes, levels, options)
    if (arrangement is None or arrangement.confidence < SURE_LAYOUT) and picture_boxes is not None:
        on_picture, boxes = _add_picture(picture_boxes(grid), boxes, pieces, scale)
        seen_there = _arrange(boxes, on_picture, options)
        notes.append("names of the leads read on the picture of the page: its text does not name them all")
        pieces = [Piece(curve.points, sample_step(curve.points)) for curve in curves]
        arrangement = seen_there
    if arrangement is None or arrangement.confidence < MIN_CONFIDENCE:
        raise EcgPageError("its curves stand in no layout that is known")
    found = _lay_out(arrangement, pieces, pulses, scale, written, boxes, duration_s, options, notes)
    if len({trace.segment.lead for trace in found[1]}) < MIN_LEADS:
        raise EcgPageError("its curves are not those of the leads that are named")
    return PathPage(grid, *found, boxes)


@dataclass(frozen=True)
class _Lines:
    """Lines of a page: grid, curves among the rest."""

    grid: DrawnGrid | None
    rest: list[Stroke]
    curves: list[Curve]

    @classmethod
    def sort(cls, drawing: PageDrawing) -> "_Lines":
        """The lines of a page as it is turned."""
        grid, is_grid = find_drawn_grid(drawing.strokes)
        rest = [stroke for stroke, of_grid in zip(drawing.strokes, is_grid, strict=True) if not of_grid]
        return cls(grid, rest, find_curves(rest))


def _turn_upright(drawing: PageDrawing) -> tuple[int, PageDrawing, _Lines]:
    """Quarter turns of the page by its text, the page turned back, and its lines.

    Curves must run from left to right then: text beside an axis may run upwards on an upright page.
    """
    turn = usual_turn(drawing.words)
    found = []
    for way in dict.fromkeys((turn, 0) if turn % 2 == 0 else (0, turn)):
        upright = drawing.rotate(-way)
        lines = _Lines.sort(upright)
        if len(lines.curves) >= MIN_CURVES:
            return way, upright, lines
        found.append((way, upright, lines))
    return found[0]


@dataclass(frozen=True)
class _Written:
    """Speed, mm/s, and gain, mm/mV, in the text; None where there is none."""

    speed: float | None
    gain: float | None

    @classmethod
    def read(cls, drawing: PageDrawing, notes: list[str]) -> "_Written":
        """Both, with a note where the text gives several."""
        speed, speeds = find_scale(drawing.text, SPEED)
        gain, gains = find_scale(drawing.text, GAIN)
        for what, values in (("speeds", speeds), ("gains", gains)):
            if len(values) > 1:
                notes.append(f"several {what} are written on the page: {', '.join(f'{v:g}' for v in values)}")
        return cls(speed, gain)


def _measure_picture(
    picture_grid: Callable[[], GridMap] | None, px_per_pt: float, turn: int
) -> tuple[float, float] | None:
    """Points of a millimetre along x and y by the grid of the picture; None where none is found."""
    if picture_grid is None:
        return None
    try:
        grid = picture_grid()
    except EcgPageError:
        return None
    if not grid.is_printed:
        return None
    x, y = (pitch / SQUARE_MM / px_per_pt for pitch in grid.pitch_px)
    return (x, y) if turn % 2 == 0 else (y, x)


def _make_map(scale: PageScale, size_pt: tuple[float, float], to_pixels: Callable[[Array], Array]) -> GridMap:
    """Map from page mm to pixels of the picture, with nodes on the lines of the grid where one is drawn."""
    low = np.floor(scale.to_mm(np.zeros((1, 2)))[0] / SQUARE_MM) - 1
    high = np.ceil(scale.to_mm(np.array([size_pt]))[0] / SQUARE_MM) + 1
    x, y = np.meshgrid(*(np.arange(a, b + 1) * SQUARE_MM for a, b in zip(low, high, strict=True)))
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    nodes = to_pixels(scale.to_pt(places)).reshape(*x.shape, 2)
    x0, y0, x1, y1 = scale.extent_mm
    half = SQUARE_MM / 2
    quality = (x >= x0 - half) & (x <= x1 + half) & (y >= y0 - half) & (y <= y1 + half)
    origin = (float(low[0]) * SQUARE_MM, float(low[1]) * SQUARE_MM)
    return GridMap(nodes, origin, quality.astype(np.float64), 0.0, scale.source)


def _make_boxes(
    pieces: list[Piece], pulses: list[Box], scale: PageScale, written: _Written
) -> tuple[PageBoxes, Array]:
    """The pieces as sure boxes, page mm, with a name printed at each that has one; and their levels (n,), mm."""
    leads, levels, names, places = [], [], [], []
    for piece in pieces:
        mm = scale.to_mm(piece.points)
        level = level_of(mm)
        top, bottom = min(mm[:, 1].min(), level - HALF_BOX_MM), max(mm[:, 1].max(), level + HALF_BOX_MM)
        leads.append((mm[0, 0], top, mm[-1, 0], bottom))
        levels.append(level)
        if piece.name is not None:
            names.append(piece.name)
            # wherever the page has it: it was matched on the whole page
            places.append((mm[0, 0] + NAME_PLACE_MM[0], level + NAME_PLACE_MM[1]))
    chances = np.zeros((len(names), len(LEADS)))
    chances[np.arange(len(names)), [LEADS.index(name.lead) for name in names]] = SURE
    minus = np.array([SURE if name.is_turned else 0.0 for name in names])
    corners = np.array([(b.x0, b.top, b.x1, b.foot) for b in pulses]).reshape(-1, 2)
    boxes = PageBoxes(
        leads=np.array(leads).reshape(-1, 4),
        scores=np.ones(len(leads)),
        names=np.full((len(leads), len(LEADS)), 1 / len(LEADS)),
        pulses=scale.to_mm(corners).reshape(-1, 4),
        printed=PrintedNames(np.array(places).reshape(-1, 2), chances, minus),
        speed_mm_per_s=written.speed,
        gain_mm_per_mv=written.gain,
    )
    return boxes, np.array(levels)


def _add_picture(
    found: PageBoxes, own: PageBoxes, pieces: list[Piece], scale: PageScale
) -> tuple[Array, PageBoxes]:
    """Levels (n,), mm, of the boxes of a picture: those of the curves in them; and the boxes with the scales of the text."""
    curves = [scale.to_mm(piece.points) for piece in pieces]
    spans = np.array([(mm[0, 0], mm[-1, 0], level_of(mm)) for mm in curves])
    levels = []
    for x0, y0, x1, y1 in found.leads:
        middle = (y0 + y1) / 2
        here = (spans[:, 0] < x1) & (spans[:, 1] > x0) & (spans[:, 2] > y0) & (spans[:, 2] < y1)
        near = spans[here, 2]
        levels.append(float(near[np.abs(near - middle).argmin()]) if len(near) else float(middle))
    both = replace(
        found,
        pulses=own.pulses,
        speed_mm_per_s=own.speed_mm_per_s or found.speed_mm_per_s,
        gain_mm_per_mv=own.gain_mm_per_mv or found.gain_mm_per_mv,
    )
    return np.array(levels), both


def _arrange(boxes: PageBoxes, levels: Array, options: LayoutOptions) -> Arrangement | None:
    try:
        return arrange(boxes, levels, options=options)
    except EcgPageError as error:
        log.debug("curves: %s", error)
        return None


def _lay_out(
    arrangement: Arrangement,
    pieces: list[Piece],
    pulses: list[Box],
    scale: PageScale,
    written: _Written,
    boxes: PageBoxes,
    duration_s: float,
    options: LayoutOptions,
    notes: list[str],
) -> tuple[PageLayout, list[Trace]]:
    """Layout and traces of the cells that hold a curve."""
    lines = [
        replace(piece, points=scale.to_mm(piece.points), step=piece.step / scale.pt_per_mm[0])
        for piece in pieces
    ]
    cells = [
        (cell, line)
        for cell in arrangement.cells
        if (line := find_line(arrangement, cell, lines)) is not None
    ]
    steps = [line.step for _, line in cells if line.step > 0]
    missing = [cell.lead for cell in arrangement.cells if all(cell is not other for other, _ in cells)]
    if missing:
        notes.append(f"no curve where {', '.join(missing)} should stand")
    rows = [
        _make_row([line for cell, line in cells if cell.row == k], y)
        for k, y in enumerate(arrangement.levels_mm)
    ]
    placed = _place_pulses(pulses, scale, arrangement)
    found = [pulse for _, pulse in placed]
    short = [line for cell, line in cells if not cell.is_strip]
    seen = ScaleEvidence(
        _print_of(written, boxes, options),
        tuple((find_group(arrangement, arrangement.columns, row, pulse), pulse) for row, pulse in placed),
        _drawn_length(short or [line for _, line in cells]),
        arrangement.columns.count,
        duration_s,
    )
    told = tell_scale(seen, notes, options)
    speed, gains = told.speed_mm_per_s, told.gains
    if steps and speed / float(np.median(steps)) < FINE_HZ:
        notes.append(
            f"the curves hold {speed / float(np.median(steps)):.0f} samples a second: straight lines between them"
        )
    if arrangement.misnamed:
        notes.append(f"{arrangement.misnamed} leads are named by the layout against the names on the page")
    if not arrangement.known_order:
        notes.append("leads stand in no usual order: each name as it was read")
    segments = [_make_segment(cell, line, arrangement, speed, gains, placed) for cell, line in cells]
    usual = gains["limb"] if any(s.lead not in CHEST for s in segments) else gains["chest"]
    layout = PageLayout(
        rows,
        segments,
        found,
        [],
        speed,
        usual,
        arrangement.confidence,
        tuple(notes),
        # what the text says and nothing seen contradicts is settled
        speed_odds={} if speed == written.speed else told.speed_odds,
        scale_margin=told.margin,
        scale_evidence=seen,
    )
    traces = [
        Trace(
            segment, line.points[:, 0], line.points[:, 1], PATH,
            measure_errors(line.points, line.step),
        )
        for segment, (_, line) in zip(segments, cells, strict=True)
    ]  # fmt: skip
    return layout, traces


def _print_of(written: _Written, boxes: PageBoxes, options: LayoutOptions) -> PrintedScales:
    """What the text says of speed and gain; what was read on the picture for what it does not say."""
    read = NO_PRINT if boxes.words is None else weigh_print(boxes.words, tuple(SPEED_ODDS), options)
    known = weigh_known_print(written.speed, written.gain, tuple(SPEED_ODDS), options)
    if written.speed is not None:
        read = replace(read, speeds=known.speeds, speed=known.speed)
    if written.gain is not None:
        read = replace(read, gains=known.gains, gain=known.gain)
    return read


def _drawn_length(lines: list[Piece]) -> float:
    """Length, mm, of one row of lines without the blanks between them."""
    spans = sorted({(round(float(line.points[0, 0])), round(line.end)): line for line in lines}.items())
    total, end = 0.0, -np.inf
    for _, line in spans:
        start = max(float(line.points[0, 0]), end)
        total += max(0.0, line.end - start)
        end = max(end, line.end)
    return total


def _make_row(lines: list[Piece], level_mm: float) -> Row:
    """Row of the curves in it: the level of each over its length."""
    if not lines:
        return Row(np.arange(2.0), np.full(2, level_mm), np.zeros(2))
    first, last = min(float(p.points[0, 0]) for p in lines), max(p.end for p in lines)
    x = np.arange(np.floor(first), np.ceil(last) + 1)
    y, ink = np.full(len(x), level_mm), np.zeros(len(x))
    for line in lines:
        inside = (x >= line.points[0, 0] - 0.5) & (x <= line.end + 0.5)
        y[inside], ink[inside] = level_of(line.points), 1.0
    return Row(x, y, ink)


def _place_pulses(pulses: list[Box], scale: PageScale, arrangement: Arrangement) -> list[tuple[int, Pulse]]:
    """Pulses, page mm, each with the row at whose level its foot stands nearest."""
    placed = []
    levels = np.array(arrangement.levels_mm)
    for pulse in pulses:
        (x0, foot), (x1, top) = scale.to_mm(np.array([(pulse.x0, pulse.foot), (pulse.x1, pulse.top)]))
        row = int(np.abs(levels - foot).argmin())
        placed.append((row, Pulse(float(x0), float(foot), float(foot - top), 1.0, float(x1 - x0))))
    return sorted(placed, key=lambda one: (one[0], one[1].x_mm))


def _make_segment(
    cell: Cell,
    line: Piece,
    arrangement: Arrangement,
    speed: float,
    gains: dict[str, float],
    pulses: list[tuple[int, Pulse]],
) -> Segment:
    """One lead; each column is taken to follow the one before in time, which the signals may correct."""
    start_s = (cell.column or 0) * arrangement.columns.width_mm / speed
    gain = gains["chest" if cell.lead in CHEST else "limb"] * (-1 if cell.is_inverted else 1)
    level, x0 = level_of(line.points), float(line.points[0, 0])
    feet = [p.foot_mm for row, p in pulses if row == cell.row and abs(p.foot_mm - level) < SAME_ROW_MM]
    zero = feet[0] if feet else level
    seconds = (line.end - x0) / speed
    return Segment(
        cell.lead, cell.row, x0, line.end, start_s, seconds, zero, gain, cell.is_strip, cell.is_named
    )
