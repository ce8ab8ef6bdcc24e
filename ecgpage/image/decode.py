"""Decode any picture into the one form that the stages read: uint8 (H, W, 3) RGB, upright as its EXIF says."""

import io
import logging
import os
import warnings
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image

log = logging.getLogger(__name__)

Source = str | os.PathLike[str] | bytes | NDArray[np.uint8]
"""A picture: the path of its file, the file's bytes, or its pixels, uint8 (H, W) grey or (H, W, 3) RGB."""
UNNAMED: Final = "picture"
"""What errors call a picture that comes without a path."""
ORIENTATION = 0x0112
"""EXIF tag."""
MAX_SIDE_PX = 6000
"""Longer pictures are box-averaged by a whole factor first: A4 at 500 dpi already has 20 px/mm."""
MAX_PIXELS = 250_000_000
"""Refuse what would not fit into memory (a 12,000 x 12,000 picture has 144 million)."""
MIN_SIDE_PX = 200
"""Below this a 12-lead page has less than one pixel per millimetre."""


def read_image(source: Source) -> Image:
    """Picture as uint8 (H, W, 3) RGB, upright as its EXIF says, from a path, a file's bytes or an array.

    Takes 8- and 16-bit, grey, palette, RGB(A) and CMYK pictures; transparency lies on white; a side of more than MAX_SIDE_PX
    is averaged down by a whole factor.

    Raises ``EcgPageError`` (file, reason, way out) when the file is missing, unreadable, truncated, too large or too small,
    and when an array is no picture.
    """
    name = name_source(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PilImage.DecompressionBombWarning)
            with _open_picture(source) as picture:
                return _convert(picture, name)
    except FileNotFoundError:
        raise EcgPageError(
            f"{name}: no such image; check the path, and put an image that a header names beside the header"
        ) from None
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError) as error:
        unknown = isinstance(error, UnidentifiedImageError)  # whose text names an object in memory for bytes
        reason = "no known format" if unknown else str(error)
        raise EcgPageError(
            f"{name}: cannot be decoded ({reason}); save the page again as PNG or JPEG"
        ) from error


def name_source(source: Source) -> str:
    """What messages call a picture: its path, else UNNAMED."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else UNNAMED


def darkest_channel(image: Image) -> NDArray[np.uint8]:
    """(H, W) smallest of the three channels: coloured lines keep their contrast."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


def brightest_channel(image: Image) -> NDArray[np.uint8]:
    """(H, W) largest of the three channels: coloured lines fade, ink that is dark in all colours stays."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _open_picture(source: Source) -> PilImage.Image:
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,)):
            raise EcgPageError(
                f"{UNNAMED}: an array of {source.dtype} {source.shape} is no picture; "
                "give uint8 (H, W) grey or (H, W, 3) RGB"
            )
        if source.size == 0:
            raise EcgPageError(f"{UNNAMED}: the array {source.shape} is empty; give a picture with pixels")
        return PilImage.fromarray(source)
    return PilImage.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _convert(picture: PilImage.Image, name: str) -> Image:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise EcgPageError(f"{name}: {width} x {height} px is more than can be read; scan at 600 dpi or less")
    if min(width, height) < MIN_SIDE_PX:
        raise EcgPageError(
            f"{name}: {width} x {height} px is too small for an ECG page; scan at 100 dpi or more"
        )
    factor = -(-max(width, height) // MAX_SIDE_PX)
    if factor > 1:
        log.info("%s: %d x %d px, averaged by %d", name, width, height, factor)
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
