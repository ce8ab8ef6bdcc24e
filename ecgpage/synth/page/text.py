"""Print text with TrueType fonts.

The DejaVu, STIX and Computer Modern fonts come with Matplotlib's data; Matplotlib itself is not imported.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

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


@lru_cache(maxsize=1)
def font_folder() -> Path:
    """Folder of the TrueType files."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise EcgPageError("fonts not found: they come with matplotlib's data files; install matplotlib")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=256)
def _font(name: str, size: float) -> ImageFont.FreeTypeFont:
    # the basic layout rounds each letter's advance, like the reference pages
    return ImageFont.truetype(str(font_folder() / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _glyphs(text: str, font: str, size: float) -> tuple[NDArray[np.float32], int, int]:
    """Coverage of ``text``, and the place of its top-left pixel relative to the start of its baseline."""
    typeface = _font(font, size)
    left, top, right, bottom = (int(v) for v in typeface.getbbox(text, anchor="ls"))
    canvas = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=typeface, anchor="ls")
    coverage = np.asarray(canvas).astype(np.float32) * np.float32(1 / 255)
    return coverage, left, top


def text_patch(text: str, x: float, y: float, font: str, size: float) -> Patch:
    """Ink of ``text``; its baseline starts at edge pixels (x, y) made whole; ``size`` is in px per em."""
    coverage, left, top = _glyphs(text, font, round(size, 2))
    return Patch(round(y) + top, round(x) + left, coverage)
