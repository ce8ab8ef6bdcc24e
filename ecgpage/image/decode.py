"""Decode any picture into the one form that the stages read: uint8 (H, W, 3) RGB, upright as its EXIF says."""

import logging
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image

log = logging.getLogger(__name__)

ORIENTATION = 0x0112
"""EXIF tag."""
MAX_SIDE_PX = 6000
"""Longer pictures are box-averaged by a whole factor first: A4 at 500 dpi already has 20 px/mm."""
MAX_PIXELS = 250_000_000
"""Refuse what would not fit into memory (a 12,000 x 12,000 picture has 144 million)."""
MIN_SIDE_PX = 200
"""Below this a 12-lead page has less than one pixel per millimetre."""


def read_image(path: str | Path) -> Image:
    """Decode a picture file to uint8 (H, W, 3) RGB.

    Takes 8- and 16-bit, grey, palette, RGB(A) and CMYK pictures; transparency lies on white; EXIF orientation is applied.

    Raises ``EcgPageError`` (file, reason, way out) when the file is missing, unreadable, truncated, too large or too small.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PilImage.DecompressionBombWarning)
            return _decode(path)
    except FileNotFoundError:
        raise EcgPageError(
            f"{path}: no such image; the header names it, so put it beside the header"
        ) from None
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise EcgPageError(
            f"{path}: cannot be decoded ({error}); save the page again as PNG or JPEG"
        ) from error


def darkest_channel(image: Image) -> NDArray[np.uint8]:
    """(H, W) smallest of the three channels: coloured lines keep their contrast."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


def brightest_channel(image: Image) -> NDArray[np.uint8]:
    """(H, W) largest of the three channels: coloured lines fade, ink that is dark in all colours stays."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _decode(path: Path) -> Image:
    with PilImage.open(path) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise EcgPageError(
                f"{path}: {width} x {height} px is more than can be read; scan at 600 dpi or less"
            )
        if min(width, height) < MIN_SIDE_PX:
            raise EcgPageError(
                f"{path}: {width} x {height} px is too small for an ECG page; scan at 100 dpi or more"
            )
        factor = -(-max(width, height) // MAX_SIDE_PX)
        if factor > 1:
            log.info("%s: %d x %d px, averaged by %d", path, width, height, factor)
            picture.draft("RGB", (width // factor, height // factor))  # JPEG decodes at a fraction at once
            factor = -(-max(picture.size) // MAX_SIDE_PX)
        orientation = picture.getexif().get(ORIENTATION, 1)
        rgb = _to_rgb(picture)
        if factor > 1:
            rgb = rgb.reduce(factor)
        if orientation != 1:
            rgb.getexif()[ORIENTATION] = orientation  # conversions drop it
            rgb = ImageOps.exif_transpose(rgb)
        return np.array(rgb)


def _to_rgb(picture: PilImage.Image) -> PilImage.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, np.float32)
        full = (
            1.0 if picture.mode == "F" and values.max() <= 1 else (65535.0 if values.max() > 255 else 255.0)
        )
        return PilImage.fromarray(np.clip(values / full * 255 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = PilImage.new("RGBA", rgba.size, "white")
        return PilImage.alpha_composite(white, rgba).convert("RGB")
    return (
        picture if picture.mode == "RGB" else picture.convert("RGB")
    )  # converted to its own mode it would be copied
