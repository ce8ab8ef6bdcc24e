"""Draw lines, hatching and text onto pictures: smooth edges, positions to a fraction of a pixel, any size.

Positions are pixels of the canvas, (x, y) with pixel centres at whole numbers; colours are RGB.
"""

import functools
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from ecgpage.core.types import Array, Image
from ecgpage.export.texts import to_ascii

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Mask = NDArray[np.uint8]
"""(h, w) opacity, 0 to 255."""
SHIFT: Final = 4
"""Fractional bits of positions in drawing."""
FINER: Final = 4
"""Factor by which lines are drawn larger before they are averaged down: thin lines of many short steps need the room."""
LARGE_PX: Final = 500_000
"""Area, px, from which on a factor of two must do, as it does for grids."""
MOST_PX: Final = 200
"""Largest thickness of lines."""
THIN_PX: Final = 3.0
"""Width of lines below which OpenCV has no width within one pixel."""
DRAWN_PX: Final = {1: 1.4} | {k: k + 1.4 for k in range(2, MOST_PX, 2)}
"""Thickness asked of OpenCV -> width, px, of the smooth line that it draws (5.0.0; odd ones are drawn as the next)."""
MEASURED_PX: Final = 64.0
"""Size of the font at which widths are measured: small sizes are rounded to whole pixels."""
WHITE: Final[Colour] = (255, 255, 255)
"""Of blanked parts and of rims around text."""


def draw_lines(
    canvas: Image,
    lines: Sequence[Array],
    colour: Colour,
    width_px: float,
    opacity: float = 1.0,
    *,
    within: Mask | None = None,
) -> None:
    """Draw lines, (n, 2) positions each, ``width_px`` wide; where lines cross, the colour is not stronger.

    ``within``: (h, w) mask of the canvas outside of which nothing is drawn.
    """
    lines = [line for line in lines if len(line) > 1 and np.isfinite(line).all()]
    if not lines:
        return
    reach = width_px + 1
    low = np.maximum(np.floor(np.min([line.min(0) for line in lines], axis=0) - reach), 0).astype(int)
    high = np.minimum(
        np.ceil(np.max([line.max(0) for line in lines], axis=0) + reach) + 1, canvas.shape[1::-1]
    )
    wide, tall = (high - low).astype(int)
    if wide <= 0 or tall <= 0:
        return
    finer = FINER if wide * tall < LARGE_PX else 2
    fine = np.zeros((tall * finer, wide * finer), np.uint8)
    thickness, drawn = _choose_thickness(width_px * finer)
    for line in lines:
        at = (line - low + 0.5) * finer - 0.5
        cv2.polylines(fine, [_fixed(at)], False, 255, thickness, cv2.LINE_AA, SHIFT)
    mask = np.asarray(cv2.resize(fine, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8)
    if within is not None:
        mask = np.minimum(mask, within[low[1] : low[1] + tall, low[0] : low[0] + wide])
    paleness = min(1.0, width_px * finer / drawn)
    paint(canvas, mask, colour, opacity * paleness, corner=(int(low[0]), int(low[1])))


def _choose_thickness(width_px: float) -> tuple[int, float]:
    """Thickness to ask of OpenCV, and width, px, of the line that it draws: a thin line may be wider and paler."""
    least = width_px - 1 if width_px > THIN_PX else width_px
    return next((item for item in DRAWN_PX.items() if item[1] >= least), (MOST_PX, MOST_PX + 1.4))


def fill(shape: tuple[int, int], outline: Array) -> Mask:
    """(h, w) mask of the inside of a closed outline (n, 2)."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [_fixed(outline)], 255, cv2.LINE_AA, SHIFT)
    return mask


def hatch(mask: Mask, period_px: float, width_px: float) -> Mask:
    """The part of a mask that lies on strokes from lower left to upper right."""
    height, width = mask.shape
    strokes = np.zeros_like(mask)
    step = period_px * 2**0.5
    for start in np.arange(0, width + height, step):
        ends = np.array([[start, -1.0], [start - height - 1, height]])
        cv2.polylines(strokes, [_fixed(ends)], False, 255, max(1, round(width_px)), cv2.LINE_AA, SHIFT)
    return np.minimum(mask, strokes)


def paint(
    canvas: Image, mask: Mask, colour: Colour, opacity: float = 1.0, *, corner: tuple[int, int] = (0, 0)
) -> None:
    """Lay a colour over the canvas where a mask, its left upper corner at ``corner``, says; cut off at the edges."""
    height, width = canvas.shape[:2]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    (x, y), high, wide = corner, rows[-1] + 1, columns[-1] + 1
    y0, x0 = max(rows[0], -y), max(columns[0], -x)
    y1, x1 = min(high, height - y), min(wide, width - x)
    if y1 <= y0 or x1 <= x0:
        return
    share = (mask[y0:y1, x0:x1].astype(np.float32) * (opacity / 255))[..., None]
    under = canvas[y + y0 : y + y1, x + x0 : x + x1]
    under[:] = np.rint(under + share * (np.array(colour, np.float32) - under)).astype(np.uint8)


def measure_text(text: str, size: float) -> float:
    """Width of a line of text, in the unit of its size."""
    return float(_font(MEASURED_PX).getlength(to_ascii(text))) * size / MEASURED_PX


def write(
    canvas: Image,
    text: str,
    at: tuple[float, float],
    size_px: float,
    colour: Colour,
    *,
    anchor: str = "ls",
    halo: Colour | None = None,
) -> None:
    """Write a line of text.

    Args:
        canvas: uint8 (h, w, 3) RGB; text beyond its edges is cut off.
        text: what to write; letters beyond ASCII lose their accents.
        at: position of the anchor.
        size_px: size of the font; capital letters are 0.7 of it high.
        colour: of the letters.
        anchor: place of the position within the text, as Pillow names it: "l", "m" or "r", then "a" for the top, "m" or "s"
            for the baseline.
        halo: colour of a rim that sets the text off from what is below.
    """
    font, text = _font(size_px), to_ascii(text)
    rim = max(1, round(size_px / 7)) if halo else 0
    left, top, right, bottom = (
        round(v) for v in font.getbbox(text, anchor=anchor, stroke_width=rim)
    )  # from the anchor
    x, y = round(at[0]), round(at[1])
    for width, ink in ((rim, halo), (0, colour)):
        if ink is None:
            continue
        letters = PilImage.new("L", (right - left + 2, bottom - top + 2))
        ImageDraw.Draw(letters).text(
            (-left + 1, -top + 1), text, 255, font, anchor=anchor, stroke_width=width
        )
        paint(canvas, np.asarray(letters), ink, corner=(x + left - 1, y + top - 1))


def wrap(text: str, size: float, width: float) -> list[str]:
    """Lines of a text that are no wider than ``width``, in the unit of its size; words are kept whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and measure_text(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@functools.lru_cache(maxsize=32)
def _font(size_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size_px)


def _fixed(points: Array) -> NDArray[np.int32]:
    """Positions in fractions of a pixel, as OpenCV takes them, kept within its range."""
    return np.clip(np.rint(points * 2**SHIFT), -(2**24), 2**24).astype(np.int32)
