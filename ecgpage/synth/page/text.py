"""Print text with TrueType fonts and in the coarse dots of old devices.

The DejaVu, STIX and Computer Modern fonts come with Matplotlib's data; Matplotlib itself is not imported. Aileron and the
bitmap font are Pillow's own.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ecgpage.core.conventions import EcgPageError
from ecgpage.synth.page.stroke import Patch

FONTS: Final = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "cmss10", "cmr10", "cmtt10",
)  # fmt: skip
"""Names of the fonts that pages may use."""
COARSE_FONTS: Final = {
    "bitmap": 10.0,
    "coarse DejaVuSans": 11.0,
    "coarse DejaVuSansMono": 10.0,
    "coarse STIXGeneral": 13.0,
}
"""Fonts of the coarse dots of old devices, and the dots of an em; they know Latin letters alone."""
DEVICE_FONTS: Final = ("aileron", *COARSE_FONTS)
"""Names of further fonts, of devices and viewers."""


@lru_cache(maxsize=1)
def font_folder() -> Path:
    """Folder of the TrueType files."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise EcgPageError("fonts not found: they come with matplotlib's data files; install matplotlib")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=256)
def _font(name: str, size: float) -> ImageFont.FreeTypeFont:
    if name == "aileron":
        return _as_truetype(ImageFont.load_default(size))
    # the basic layout rounds each letter's advance, like the reference pages
    return ImageFont.truetype(str(font_folder() / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _glyphs(text: str, font: str, size: float) -> tuple[NDArray[np.float32], int, int]:
    """Coverage of ``text``, and the place of its top-left pixel relative to the start of its baseline."""
    if font in COARSE_FONTS:
        return _coarse_glyphs(text, font, size)
    typeface = _font(font, size)
    left, top, right, bottom = (int(v) for v in typeface.getbbox(text, anchor="ls"))
    canvas = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=typeface, anchor="ls")
    coverage = np.asarray(canvas).astype(np.float32) * np.float32(1 / 255)
    return coverage, left, top


def _as_truetype(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> ImageFont.FreeTypeFont:
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise EcgPageError("Pillow was built without FreeType: install its wheel, which has it")
    return font


def _coarse_glyphs(text: str, font: str, size: float) -> tuple[NDArray[np.float32], int, int]:
    """``_glyphs`` in the dots of an old device: drawn in one bit with a small font, each dot then enlarged."""
    dots = COARSE_FONTS[font]
    typeface: ImageFont.FreeTypeFont | ImageFont.ImageFont
    if font == "bitmap":
        typeface, anchor, ascent = ImageFont.load_default_imagefont(), None, 9
        left, top, right, bottom = (int(v) for v in typeface.getbbox(text))
    else:
        typeface, anchor, ascent = _font(font.removeprefix("coarse "), dots), "ls", 0
        left, top, right, bottom = (int(v) for v in typeface.getbbox(text, anchor=anchor))
    # in one bit, letters advance by whole dots and may run on beyond the box
    canvas = Image.new("1", (max(right - left + len(text), 1), max(bottom - top, 1)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=1, font=typeface, anchor=anchor)
    matrix = np.asarray(canvas, np.uint8) * np.uint8(255)
    used = np.flatnonzero(matrix.any(axis=0))
    matrix = matrix[:, : used[-1] + 1 if len(used) else 1]
    factor = size / dots
    shape = max(round(matrix.shape[1] * factor), 1), max(round(matrix.shape[0] * factor), 1)
    large = cv2.resize(matrix, shape, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)
    return (
        large.astype(np.float32) * np.float32(1 / 255),
        round(left * factor),
        round((top - ascent) * factor),
    )


def text_patch(text: str, x: float, y: float, font: str, size: float) -> Patch:
    """Ink of ``text``; its baseline starts at edge pixels (x, y) made whole; ``size`` is in px per em."""
    coverage, left, top = _glyphs(text, font, round(size, 2))
    return Patch(round(y) + top, round(x) + left, coverage)
