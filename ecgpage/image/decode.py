"""Decode any picture into the one form that the stages read: uint8 (H, W, 3) RGB, upright as its EXIF says."""

import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
SAMPLED_PX: Final = 8
"""Distance, px, of the pixels by which the paper's colour is told."""
BRIGHT_SHARE: Final = 0.6
"""Share of the pixels that are darker than the paper."""
LEAST_GAIN: Final = 1.12
"""Brightness of the brightest channel over the darkest one from which paper is coloured."""
MOST_GAIN: Final = 2.0
UNNAMED: Final = "picture"
"""What errors call a picture that comes without a path."""
ORIENTATION: Final = 0x0112
"""EXIF tag."""
FORMATS: Final[tuple[str, ...]] = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "JPEG",
    "JPEG2000",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
)
"""Formats that Pillow decodes by itself; none of those for which it starts programs (EPS)."""
HEVC_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
"""Brands, bytes 8 to 11, of HEIF files with HEVC pictures (ISO/IEC 23008-12), which phones call HEIC."""
DAMAGED: Final = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError, struct.error,
)  # fmt: skip
"""What Pillow raises on damaged files: its plugins do not turn every error of their own into one of decoding."""
MAX_SIDE_PX = 6000
"""Longer pictures are box-averaged by a whole factor first: A4 at 500 dpi already has 20 px/mm."""
MAX_PIXELS = 250_000_000
"""Refuse what would not fit into memory (a 12,000 x 12,000 picture has 144 million)."""
MIN_SIDE_PX = 200
"""Below this a 12-lead page has less than one pixel per millimetre."""


def read_image(source: Source) -> Image:
    """Picture as uint8 (H, W, 3) RGB, upright as its EXIF says, from a path, a file's bytes or an array.

    Takes PNG, JPEG, BMP, WebP, AVIF, JPEG 2000, GIF, TIFF and HEIC, of several pictures the first or main one; 8 and 16 bit,
    grey, palette, RGB(A) and CMYK; transparency lies on white; a side of more than MAX_SIDE_PX is averaged down by a whole
    factor. ``ecgpage.image.documents`` reads all pages of a file, and PDF and DICOM.

    Raises ``EcgPageError`` (file, reason, way out) when the file is missing, unreadable, truncated, too large or too small,
    and when an array is no picture.
    """
    name = name_source(source)
    with explain_errors(name), open_picture(source) as picture:
        return convert_picture(picture, name)


@contextmanager
def explain_errors(name: str) -> Iterator[None]:
    """Turn what opening and decoding of the file ``name`` raise into ``EcgPageError``: file, reason, way out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PilImage.DecompressionBombWarning)
            yield
    except FileNotFoundError:
        raise EcgPageError(
            f"{name}: no such image; check the path, and put an image that a header names beside the header"
        ) from None
    except PilImage.DecompressionBombError as error:
        raise EcgPageError(f"{name}: has more pixels than can be read; scan at 600 dpi or less") from error
    except DAMAGED as error:
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


def balance_paper(image: Image) -> Image | None:
    """A uint8 (H, W, 3) RGB picture in which the paper is as bright in each channel as in the brightest; None where it nearly
    is.

    In blue light white paper is as dark in red as orange lines are in blue: the smallest channel hides them.
    """
    sample = image[::SAMPLED_PX, ::SAMPLED_PX].reshape(-1, 3)
    bright = sample.max(axis=1)
    paper = np.median(sample[bright >= np.quantile(bright, BRIGHT_SHARE)], axis=0)
    gains = np.clip(paper.max() / np.maximum(paper, 1.0), 1.0, MOST_GAIN)
    if gains.max() < LEAST_GAIN:
        return None
    levels = np.arange(256)[:, None] * gains
    table = np.minimum(np.rint(levels), 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(image, table), np.uint8)


def brightest_channel(image: Image) -> NDArray[np.uint8]:
    """(H, W) largest of the three channels: coloured lines fade, ink that is dark in all colours stays."""
    red, green, blue = cv2.split(image)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def open_picture(source: Source) -> PilImage.Image:
    """Picture of a path, bytes or an array, not decoded yet; raises what ``explain_errors`` explains."""
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,)):
            raise EcgPageError(
                f"{UNNAMED}: an array of {source.dtype} {source.shape} is no picture; "
                "give uint8 (H, W) grey or (H, W, 3) RGB"
            )
        if source.size == 0:
            raise EcgPageError(f"{UNNAMED}: the array {source.shape} is empty; give a picture with pixels")
        return PilImage.fromarray(source)
    formats, head = FORMATS, read_head(source, 64)
    if head.lstrip().startswith(b"%PDF-"):
        raise EcgPageError(
            f"{name_source(source)}: is a PDF; ecgpage.image.documents.read_pages gives its pages"
        )
    if _is_heic(head):
        if not _register_heic():
            raise EcgPageError(
                f"{name_source(source)}: reading HEIC needs pi-heif: pip install pi-heif, or save the page as JPEG"
            )
        formats = (*FORMATS, "HEIF")
    return PilImage.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)


def read_head(source: str | os.PathLike[str] | bytes, size: int) -> bytes:
    """First ``size`` bytes of a file, fewer where it is shorter; raises ``OSError``."""
    if isinstance(source, bytes):
        return source[:size]
    with open(source, "rb") as file:
        return file.read(size)


def _is_heic(head: bytes) -> bool:
    """Whether a file with this beginning holds HEIF pictures other than AVIF, which Pillow decodes by itself."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    return brand in HEVC_BRANDS or (brand in (b"mif1", b"msf1") and b"avif" not in head)


def _register_heic() -> bool:
    """Whether Pillow now decodes HEIC, by pi-heif, which turns pictures itself and takes the EXIF tag away."""
    try:
        from pi_heif import register_heif_opener  # noqa: PLC0415 - the Challenge's set has no pi-heif
    except ImportError:
        return False
    register_heif_opener()
    return True


def convert_picture(picture: PilImage.Image, name: str) -> Image:
    """Picture as ``read_image`` gives it, its current frame where it has several; raises what ``explain_errors`` explains.

    Raises ``EcgPageError`` when it is too large or too small.
    """
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
    if factor > 1 and picture.mode in ("1", "L", "CMYK") and "transparency" not in picture.info:
        picture = picture.convert("L") if picture.mode == "1" else picture
        picture, factor = picture.reduce(factor), 1  # a third of the memory
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
