"""Draw a page model as a clean picture at any resolution.

Pixel (r, c) covers [c, c + 1) x [r, r + 1) of the page scaled by ``dpi / 25.4`` px/mm ("edge coordinates");
a point at edge coordinate e has its place at e - 0.5 where pixel centres are whole numbers.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image
from ecgpage.synth.page.model import (
    BLACK,
    Axis,
    Color,
    Grid,
    Page,
    Paper,
    Segment,
    Stamp,
    Text,
    Tick,
    ink_path,
)
from ecgpage.synth.page.stroke import Patch, blend, span_coverage, stroke_box, stroke_trace, worn
from ecgpage.synth.page.text import text_patch

MM_PER_INCH = 25.4
"""Length, mm, of an inch."""


def draw_page(page: Page, signal: NDArray[np.floating], dpi: float = 200.0) -> Image:
    """Draw ``page`` with ``signal`` (n_samples, n_channels) mV: uint8 (H, W, 3) RGB."""
    scale = dpi / MM_PER_INCH
    shape = page_shape(page.paper, dpi)
    image = draw_grid(page.grid, page.paper, dpi)
    if page.grid is not None and page.grid.heavy_step:
        _draw_heavy_lines(image, page.grid, page.paper, scale)
    for bar in page.bars:
        x0, y0, x1, y1 = (v * scale for v in bar.box)
        blend(image, stroke_box((x0, y0, x1, y1), shape), bar.color or page.ink)
    for stamp in page.stamps:
        _draw_stamp(image, stamp, page, scale)
    for segment in page.segments:
        x, y = ink_path(page, segment, signal)
        draw_curve(image, x * scale, y * scale, page.trace_width * scale, page.ink, wear=page.wear)
    for pulse in page.pulses:
        draw_curve(image, pulse.x * scale, pulse.y * scale, pulse.width * scale, page.ink)
    for tick in page.separators:
        blend(image, tick_patch(tick, scale, shape), page.ink)
    for text in (*page.texts, *filter(None, (name_text(page, segment) for segment in page.segments))):
        blend(image, page_text_patch(text, scale), text.color or page.ink)
    _draw_frame(image, page.paper.frame * scale)
    return image


def _draw_stamp(image: Image, stamp: Stamp, page: Page, scale: float) -> None:
    left, top, right, bottom = (round(v * scale) for v in stamp.box)
    size = (max(right - left, 1), max(bottom - top, 1))
    if stamp.background:
        blend(image, Patch(top, left, np.ones(size[::-1], np.float32)), page.paper.color)
    mask = cv2.resize(stamp.mask, size, interpolation=cv2.INTER_AREA)
    blend(image, Patch(top, left, mask.astype(np.float32) * np.float32(1 / 255)), page.ink)


def page_shape(paper: Paper, dpi: float) -> tuple[int, int]:
    """Rows and columns of the picture of ``paper``."""
    return round(paper.height * dpi / MM_PER_INCH), round(paper.width * dpi / MM_PER_INCH)


def draw_curve(image: Image, x: Axis, y: Axis, width: float, ink: Color, *, wear: float = 0.0) -> None:
    """Stroke a curve that runs from left to right (edge pixels), in place; NaN leaves a gap.

    ``wear`` as in ``Page.wear``.
    """
    known = np.isfinite(y)
    ends = np.flatnonzero(np.diff(known, prepend=False, append=False))
    for first, last in zip(ends[::2], ends[1::2], strict=True):
        patch = stroke_trace(x[first:last], y[first:last], width, (image.shape[0], image.shape[1]))
        if patch is not None:
            blend(image, worn(patch, wear, width) if wear else patch, ink)


def name_text(page: Page, segment: Segment) -> Text | None:
    """Printed name of a segment; None when it is not printed."""
    if segment.name_at is None:
        return None
    return Text(segment.name or segment.lead, *segment.name_at, page.name_size, page.name_font)


def page_text_patch(text: Text, scale: float) -> Patch:
    """Ink of a text at ``scale`` px/mm."""
    return text_patch(text.text, text.x * scale, text.y * scale, text.font, text.size * scale)


def snap_line(centre: Axis, width: float) -> Axis:
    """Centre of a line moved to whole pixels: between two if its rounded width is even, else onto one.

    Agrees with the reference pages to the pixel.
    """
    return np.floor(centre + 0.5) + (0.5 if round(width) % 2 else 0.0)


def tick_patch(tick: Tick, scale: float, shape: tuple[int, int]) -> Patch:
    """Ink of a separator: square ends stick out by half the width."""
    width = tick.width * scale
    ends = np.array([tick.x, tick.y0, tick.y1]) * scale
    x, y0, y1 = snap_line(ends, width) if tick.snap else ends
    return stroke_box((x - width / 2, y0 - width / 2, x + width / 2, y1 + width / 2), shape)


def draw_grid(grid: Grid | None, paper: Paper, dpi: float) -> Image:
    """Empty page with its grid: uint8 (H, W, 3).

    Each column and row of pixels falls into one of a few classes of line coverage, so only one pixel per pair
    of classes is mixed and the rest is looked up.
    """
    rows, columns = page_shape(paper, dpi)
    if grid is None:
        return np.broadcast_to(np.array(paper.color, np.uint8), (rows, columns, 3)).copy()
    scale = dpi / MM_PER_INCH
    area = grid.area_on(paper)
    x_class, x_minor, x_major = _axis_classes(grid, (area[0], area[2]), columns, scale)
    y_class, y_minor, y_major = _axis_classes(grid, (area[3], area[1]), rows, scale)
    color = np.empty((len(y_minor), len(x_minor), 3), np.float64)
    color[:] = paper.color
    for alpha, ink in _grid_layers(grid, y_minor, y_major, x_minor, x_major):
        color += (np.array(ink) - color) * alpha[..., None]
    palette = (color + 0.5).astype(np.uint8)
    lines = np.take(palette, x_class, axis=1).reshape(len(palette), -1)
    return np.take(lines, y_class, axis=0).reshape(rows, columns, 3)


def _draw_heavy_lines(image: Image, grid: Grid, paper: Paper, scale: float) -> None:
    """Draw the lines of ``Grid.heavy_step``, counted from the left and bottom edges like all others."""
    x0, y0, x1, y1 = grid.area_on(paper)
    half = 1.2 * grid.major_width
    shape = (image.shape[0], image.shape[1])
    for x in np.arange(x0, x1 + half, grid.heavy_step):
        blend(
            image,
            stroke_box(((x - half) * scale, y0 * scale, (x + half) * scale, y1 * scale), shape),
            grid.major,
        )
    for y in np.arange(y1, y0 - half, -grid.heavy_step):
        blend(
            image,
            stroke_box((x0 * scale, (y - half) * scale, x1 * scale, (y + half) * scale), shape),
            grid.major,
        )


def _grid_layers(
    grid: Grid,
    y_minor: Axis,
    y_major: Axis,
    x_minor: Axis,
    x_major: Axis,
) -> Iterator[tuple[Axis, Color]]:
    """Coverage (y classes, x classes) and colour of each layer: verticals, then over them horizontals."""
    minor, major = (grid.minor_kind, grid.minor), (grid.major_kind, grid.major)
    for (kind, ink), down, across in ((minor, y_minor, x_minor), (major, y_major, x_major)):
        if kind == "lines":
            yield np.outer(down[:, 1], across[:, 0] * across[:, 1]), ink
    for (kind, ink), down, across in ((minor, y_minor, x_minor), (major, y_major, x_major)):
        if kind == "lines":
            yield np.outer(down[:, 0] * down[:, 1], across[:, 1]), ink
        elif kind == "dots":
            yield np.outer(down.prod(axis=1), across.prod(axis=1)), ink


def _axis_classes(
    grid: Grid, span: tuple[float, float], length: int, scale: float
) -> tuple[NDArray[np.intp], Axis, Axis]:
    """Class of each pixel along one axis, and each class's (coverage, inside) for minor and major lines.

    Lines are counted from ``span[0]`` towards ``span[1]``, mm.
    """
    start, stop = span
    direction = 1 if stop > start else -1
    low, high = min(span) * scale, max(span) * scale
    count = int(abs(stop - start) / grid.minor_step + 1e-6)
    steps = np.arange(count + 1, dtype=np.float64) * grid.minor_step
    every = round(grid.major_step / grid.minor_step)
    is_major = np.arange(count + 1) % every == 0
    coverage = []
    for chosen, width in ((~is_major, grid.minor_width * scale), (is_major, grid.major_width * scale)):
        centre = (start + direction * steps[chosen]) * scale
        if grid.snap:
            there = grid.snap_dpi / MM_PER_INCH / scale if grid.snap_dpi else 1.0
            centre = snap_line(centre * there, width * there) / there
        coverage.append(_line_coverage(centre, width, length))
    inside = np.zeros(length)
    first, part = span_coverage(low - 1, high + 1, length)
    inside[first : first + len(part)] = part
    # all three in one number: sorting numbers is several times faster than sorting rows
    parts = (
        1000 if grid.snap and not grid.snap_dpi else 100
    )  # lines between pixels have as many coverages as there are lines
    minor, major, within = (np.rint(part * parts).astype(np.int64) for part in (*coverage, inside))
    key, index = np.unique((minor * 1024 + major) * 1024 + within, return_inverse=True)
    table = np.stack([key >> 20, (key >> 10) & 1023, key & 1023], axis=1) / parts
    return np.asarray(index, np.intp).reshape(-1), table[:, [0, 2]], table[:, [1, 2]]


def _line_coverage(centre: Axis, width: float, length: int) -> Axis:
    """Coverage (length,) of lines at ``centre``: the exact overlap of each pixel with each line."""
    edges = np.arange(length + 1, dtype=np.float64)
    if len(centre) == 0:
        return np.zeros(length)
    centre = np.sort(centre)
    # inked length to the left of each pixel edge, then its differences
    before = np.searchsorted(centre + width / 2, edges)
    current = np.minimum(before, len(centre) - 1)
    partial = np.clip(edges - (centre[current] - width / 2), 0, width) * (before < len(centre))
    return np.clip(np.diff(before * width + partial), 0, 1)


def _draw_frame(image: Image, width: float) -> None:
    """Draw a black line along the edge; its outer half is not seen."""
    if width <= 0:
        return
    rows, columns = image.shape[:2]
    half = width / 2
    for box in (
        (0, 0, columns, half),
        (0, rows - half, columns, rows),
        (0, 0, half, rows),
        (columns - half, 0, columns, rows),
    ):
        blend(image, stroke_box(box, (rows, columns)), BLACK)
