"""Draw a device's page flat, at a scale of its own along x and y."""

from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image
from ecgpage.synth.page.model import Axis, Box, Color, Text, ink_path
from ecgpage.synth.page.rasterize import draw_curve
from ecgpage.synth.page.stroke import Patch, blend, span_coverage
from ecgpage.synth.page.text import text_patch
from ecgpage.synth.world.model import DevicePage, GridPanel, Label, Place

Scale = tuple[float, float]
"""Resolution, px/mm, along x and y."""
Layer = tuple[Axis, Axis, Color]
"""Coverage of a grid's pixels down (rows,) and across (columns,), whose product is the ink's, and its colour."""

COVERAGES: Final = 32
"""Number of coverages of a pixel that grids tell apart."""
MAJOR_EVERY: Final = 5
"""Number of printed mm from one 5-mm line to the next."""
PATCH_MM: Final = 9.0
"""Size, mm, of the patches in which a copied grid drops out."""
SHIFT: Final = 4
"""Bits of OpenCV's fixed-point positions."""


def draw_device_page(page: DevicePage, signal: NDArray[np.floating], scale: Scale) -> Image:
    """Draw ``page`` with ``signal`` (n_samples, n_channels) mV: uint8 (H, W, 3) RGB."""
    sx, sy = scale
    shape = round(page.paper.height * sy), round(page.paper.width * sx)
    image: Image = np.broadcast_to(np.array(page.paper.color, np.uint8), (*shape, 3)).copy()
    for panel in page.panels:
        draw_panel(image, panel, scale)
    for bar in page.bars:
        _fill(image, bar.box, scale, bar.color or page.ink, least=page.crisp)
    for frame in page.frames:
        for edge in _edges(frame.box, frame.width):
            _fill(image, edge, scale, frame.color or page.ink, least=page.crisp)
    for stamp in page.stamps:
        left, top, right, bottom = (round(v * s) for v, s in zip(stamp.box, (sx, sy, sx, sy), strict=True))
        size = (max(right - left, 1), max(bottom - top, 1))
        mask = cv2.resize(stamp.mask, size, interpolation=cv2.INTER_AREA)
        blend(image, Patch(top, left, mask.astype(np.float32) * np.float32(1 / 255)), page.ink)
    for segment, place in zip(page.segments, page.places, strict=True):
        x, y = ink_path(page, segment, signal)
        _draw_trace(image, x, y, page, place, scale)
    for pulse in page.pulses:
        _draw_trace(image, pulse.x, pulse.y, page, Place(0, None), scale)
    for tick in page.separators:
        half = tick.width / 2
        box = tick.x - half, tick.y0, tick.x + half, tick.y1
        _fill(image, box, scale, page.ink, least=page.crisp)
    for text in (*filter(None, map(page.printed_name, page.segments)), *page.texts):
        blend(image, label_patch(text, scale), text.color or page.ink)
    return image


def label_patch(text: Text, scale: Scale) -> Patch:
    """Ink of a text at a scale, px/mm."""
    sx, sy = scale
    if not (isinstance(text, Label) and text.turned):
        return text_patch(text.text, text.x * sx, text.y * sy, text.font, text.size * sy)
    flat = text_patch(text.text, 0.0, 0.0, text.font, text.size * sy)
    turned = np.ascontiguousarray(np.rot90(flat.coverage))
    return Patch(round(text.y * sy) - flat.col - turned.shape[0], round(text.x * sx) + flat.row, turned)


def _fill(image: Image, box: Box, scale: Scale, color: Color, *, least: bool) -> None:
    """Fill an upright box, mm; ``least``: it lies on whole pixels and is at least one pixel wide."""
    sx, sy = scale
    x0, y0, x1, y1 = box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy
    if least:
        (x0, x1), (y0, y1) = _on_pixels(x0, x1), _on_pixels(y0, y1)
    row, down = span_coverage(y0, y1, image.shape[0])
    column, across = span_coverage(x0, x1, image.shape[1])
    part = image[row : row + len(down), column : column + len(across)]
    if part.size and down.min() == across.min() == 1:
        part[:] = np.array(color, np.float64).round().astype(np.uint8)
    else:
        alpha = np.outer(down, across)[..., None]
        part[:] = (part + (np.array(color, np.float32) - part) * alpha + np.float32(0.5)).astype(np.uint8)


def _on_pixels(low: float, high: float) -> tuple[float, float]:
    """Ends of a line or box made whole, at least one pixel apart, its middle kept as far as that allows."""
    width = max(round(high - low), 1)
    first = float(np.floor((low + high - width) / 2 + 0.5))
    return first, first + width


def _edges(box: Box, width: float) -> list[Box]:
    """The four edges of a frame, centred on its outline."""
    x0, y0, x1, y1 = box
    h = width / 2
    return [
        (x0 - h, y0 - h, x1 + h, y0 + h),
        (x0 - h, y1 - h, x1 + h, y1 + h),
        (x0 - h, y0 - h, x0 + h, y1 + h),
        (x1 - h, y0 - h, x1 + h, y1 + h),
    ]


# --- traces ---------------------------------------------------------------------------------------------------


def _draw_trace(image: Image, x: Axis, y: Axis, page: DevicePage, place: Place, scale: Scale) -> None:
    """Stroke a path, page mm, within its clip."""
    sx, sy = scale
    width = page.trace_width * float(np.sqrt(sx * sy))
    if page.crisp:
        width = max(width, 1.0)
    view = image
    if place.clip is not None:
        left, top = max(round(place.clip[0] * sx), 0), max(round(place.clip[1] * sy), 0)
        view = image[top : round(place.clip[3] * sy), left : round(place.clip[2] * sx)]
        x, y = x - left / sx, y - top / sy
    if view.size == 0:
        return
    ink = place.ink or page.ink
    if page.jagged:
        _draw_jagged(view, x * sx, y * sy, max(round(width), 1), ink)
    else:
        draw_curve(view, x * sx, y * sy, width, ink, wear=page.wear)


def _draw_jagged(image: Image, x: Axis, y: Axis, width: int, ink: Color) -> None:
    """Polyline of whole pixels (edge pixels x (n,), y (n,)), in place; NaN leaves a gap."""
    known = np.isfinite(y)
    ends = np.flatnonzero(np.diff(known, prepend=False, append=False))
    lines = [
        np.round((np.stack([x[a:b], y[a:b]], axis=1) - 0.5) * (1 << SHIFT)).astype(np.int32)[:, None]
        for a, b in zip(ends[::2], ends[1::2], strict=True)
    ]
    if not lines:
        return
    low, high = float(np.nanmin(y)) - width, float(np.nanmax(y)) + width
    top = int(np.clip(low, 0, image.shape[0] - 1))
    band = image[top : int(np.clip(high, top, image.shape[0])) + 1]
    for line in lines:
        line[..., 1] -= top << SHIFT
    whole = np.ascontiguousarray(band)  # OpenCV draws into contiguous memory alone
    cv2.polylines(whole, lines, False, tuple(round(c) for c in ink), width, cv2.LINE_8, SHIFT)
    if whole is not band:
        band[:] = whole


# --- grids ----------------------------------------------------------------------------------------------------


def draw_panel(image: Image, panel: GridPanel, scale: Scale) -> None:
    """Draw a panel and its grid, in place; the panel's part of the image is of one colour before."""
    if panel.fill is not None:
        _fill(image, panel.box, scale, panel.fill, least=panel.style.snap)
    layers = list(_layers(panel, (image.shape[0], image.shape[1]), scale))
    if not layers:
        return
    rows = np.flatnonzero(np.max([down for down, _, _ in layers], axis=0))
    columns = np.flatnonzero(np.max([across for _, across, _ in layers], axis=0))
    if len(rows) == 0 or len(columns) == 0:
        return
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    down = [layer[0][rows[0] : rows[-1] + 1] for layer in layers]
    across = [layer[1][columns[0] : columns[-1] + 1] for layer in layers]
    # most rows and columns are alike: each pair of kinds is mixed once, the rest is looked up
    (row_kind, row_values), (column_kind, column_values) = _kinds(down), _kinds(across)
    color = np.empty((row_values.shape[1], column_values.shape[1], 3))
    color[:] = part[part.shape[0] // 2, 0]
    for (_, _, ink), y, x in zip(layers, row_values, column_values, strict=True):
        color += (np.array(ink) - color) * np.outer(y, x)[..., None]
    palette = (color + 0.5).astype(np.uint8)
    lines = np.take(palette, column_kind, axis=1).reshape(len(palette), -1)
    drawn = np.take(lines, row_kind, axis=0).reshape(part.shape)
    if panel.style.dropout:
        keep = _kept(part, panel, scale)
        drawn = np.asarray(cv2.blendLinear(drawn, np.ascontiguousarray(part), keep, 1 - keep), np.uint8)
    np.copyto(part, drawn)


def _kinds(values: list[Axis]) -> tuple[NDArray[np.intp], Axis]:
    """Kind (n,) of each pixel row or column, and each kind's coverage (layers, kinds), rounded to ``COVERAGES``."""
    whole = [np.rint(value * COVERAGES).astype(np.int64) for value in values]
    key = np.zeros_like(whole[0])
    for value in whole:
        key = key * (COVERAGES + 1) + value
    _, first, kind = np.unique(key, return_index=True, return_inverse=True)
    return np.asarray(kind, np.intp).reshape(-1), np.stack([value[first] for value in whole]) / COVERAGES


def _kept(image: Image, panel: GridPanel, scale: Scale) -> NDArray[np.float32]:
    """Share of the grid's ink (h, w) that is left of a panel's picture where it drops out in patches."""
    height, width = image.shape[:2]
    seed = [round(abs(v) * 1000) for v in (*panel.box, *panel.origin)]
    cells = max(round(height / scale[1] / PATCH_MM), 2), max(round(width / scale[0] / PATCH_MM), 2)
    coarse = np.random.default_rng(seed).random(cells, np.float32)
    field: NDArray[Any] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.float32(np.quantile(field[::7, ::7], panel.style.dropout))
    return np.clip((field - level) * 6 + np.float32(0.5), 0, 1)


def _layers(panel: GridPanel, shape: tuple[int, int], scale: Scale) -> Iterator[Layer]:
    """Layers of a grid from the lowest to the highest."""
    style = panel.style
    across, down = _Ruler(panel, 0, shape[1], scale), _Ruler(panel, 1, shape[0], scale)
    if style.minor_kind == "lines":
        yield down.inside, across.lines("minor"), style.minor
        yield down.lines("minor"), across.inside, style.minor
    elif style.minor_kind == "dashes":
        yield down.dashes(), across.lines("minor"), style.minor
        yield down.lines("minor"), across.dashes(), style.minor
    elif style.minor_kind == "dots":
        yield down.lines("all"), across.lines("all"), style.minor
    if style.major_kind == "lines":
        yield down.inside, across.lines("major"), style.major
        yield down.lines("major"), across.inside, style.major
    elif style.major_kind == "dashes":
        yield down.dashes(), across.lines("major"), style.major
        yield down.lines("major"), across.dashes(), style.major
    elif style.major_kind == "dots":
        yield down.dots(), across.lines("major"), style.major
        yield down.lines("major"), across.dots(), style.major
    if style.heavy_step:
        yield down.inside, across.lines("heavy"), style.major
        yield down.lines("heavy"), across.inside, style.major


class _Ruler:
    """Coverage of the pixels along one axis of a panel."""

    def __init__(self, panel: GridPanel, axis: int, length: int, scale: Scale) -> None:
        self.style, self.length = panel.style, length
        self.low, self.high = panel.box[axis] * scale[axis], panel.box[axis + 2] * scale[axis]
        self.origin = panel.origin[axis] * scale[axis]
        self.unit = panel.pitch[axis] * scale[axis]
        """Pixels of a printed mm."""
        self.inside = self._boxes(np.array([self.low]), np.array([self.high]))

    def lines(self, which: str) -> Axis:
        """Coverage (length,) by the lines across this axis: "minor", "major", "heavy" or "all" of the millimetres."""
        style = self.style
        step = style.heavy_step if which == "heavy" else 1.0
        number = self._numbers(step)
        major = number % MAJOR_EVERY == 0
        width = style.minor_width
        if which == "major":
            number, width = number[major], style.major_width
        elif which == "heavy":
            width = 2.4 * style.major_width
        elif which == "minor" and style.major_kind != "none":
            number = number[~major]
        return self._strokes(self.origin + number * step * self.unit, width * self.unit)

    def dots(self) -> Axis:
        """Coverage (length,) by the dots of a dotted 5-mm line."""
        step = self.style.dot_step
        centre = self.origin + self._numbers(step) * step * self.unit
        return self._strokes(centre, self.style.major_width * self.unit)

    def dashes(self) -> Axis:
        """Coverage (length,) by the dashes of a dashed line."""
        on, off = self.style.dash
        start = self.origin + self._numbers(on + off) * (on + off) * self.unit
        return self._boxes(start, np.minimum(start + on * self.unit, self.high))

    def _numbers(self, step: float) -> Axis:
        """Numbers of the lines ``step`` printed mm apart within the panel."""
        first = np.ceil((self.low - self.origin) / (step * self.unit) - 1e-6)
        last = np.floor((self.high - self.origin) / (step * self.unit) + 1e-6)
        return np.arange(int(first), int(last) + 1, dtype=np.float64)

    def _strokes(self, centre: Axis, width: float) -> Axis:
        if self.style.snap:
            width = max(round(width), 1)
            start = np.floor(centre - width / 2 + 0.5)
            return self._boxes(start, start + width)
        return self._boxes(centre - width / 2, centre + width / 2)

    def _boxes(self, start: Axis, stop: Axis) -> Axis:
        covered = np.zeros(self.length)
        for low, high in zip(start, stop, strict=True):
            first, part = span_coverage(float(low), float(high), self.length)
            covered[first : first + len(part)] += part
        return np.minimum(covered, 1.0)
