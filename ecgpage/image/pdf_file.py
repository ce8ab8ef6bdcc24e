"""Read the pages of a PDF: a scanned page at its own pixels, others drawn by PDFium."""

import logging
import math
import os
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image as PilImage

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.image.decode import MAX_PIXELS, MAX_SIDE_PX, convert_picture
from ecgpage.image.pdf_paths import PageDrawing, read_drawing

log = logging.getLogger(__name__)

PDFIUM: Final = threading.RLock()
"""Held during every call of PDFium, which knows no threads."""
PDF_DPI: Final = 300.0
"""Resolution, px/inch, at which pages are drawn: 11.8 px/mm, a little more than the stages work at."""
POINTS_PER_INCH: Final = 72.0
"""Units of a PDF page to an inch."""
MIN_COVER: Final = 0.95
"""Share of the page that a scanned picture covers at least."""
MIN_SHOWN: Final = 0.98
"""Share of a scanned picture that lies on the page at least: what a page cuts off may be meant to be hidden."""
MAX_SKEW: Final = 1e-3
"""Sine of the angle from which a picture counts as aslant."""
LOOK_PX: Final = 256
"""Longer side, px, of the small drawing that a scanned picture is compared with."""
MAX_DIFFERENCE: Final = (10.0, 64.0)
"""Mean and largest difference, grey levels of 255, blurred over 5 px, up to which the two are the same page. Not measured."""
NO_PDF: Final = b"no PDF"
"""What PDFium does not open."""
PASSWORD_ERROR, SECURITY_ERROR = 4, 5
"""Numbers of PDFium's errors (fpdfview.h)."""


class PdfFile:
    """An open PDF; pages are numbered from 1."""

    def __init__(
        self, source: str | os.PathLike[str] | bytes, name: str, password: str | None, dpi: float | None
    ) -> None:
        """Open a file, or raise ``EcgPageError``; ``dpi``: resolution of drawing, None for the pages' own."""
        self._name, self._dpi = name, dpi
        self.drawing: PageDrawing | None = None
        """Lines and words of the page that was read last; None where it is a scan or has none."""
        try:
            import pypdfium2  # noqa: PLC0415 - the Challenge's set has no PDFium
        except ImportError:
            raise EcgPageError(
                f"{name}: reading PDF needs pypdfium2: pip install pypdfium2, or save the page as PNG"
            ) from None
        self._failure = pypdfium2.PdfiumError
        content = source if isinstance(source, bytes) else os.fspath(source)
        with PDFIUM:
            with suppress(
                pypdfium2.PdfiumError
            ):  # PDFium may keep the number of an earlier error: now it is this one's
                pypdfium2.PdfDocument(NO_PDF)
            try:
                self._document = pypdfium2.PdfDocument(content, password=password)
                self._document.init_forms()
                self.count = len(self._document)
            except pypdfium2.PdfiumError as error:
                raise EcgPageError(f"{name}: {_explain(error.err_code, password)}") from None
            if not self.count:
                self._document.close()
                raise EcgPageError(f"{name}: {_explain(None, None)}")

    def __enter__(self) -> "PdfFile":
        return self

    def __exit__(self, *_: object) -> None:
        with PDFIUM:
            self._document.close()

    def read(self, number: int) -> tuple[Image, float]:
        """Page uint8 (H, W, 3) RGB and its pixels per inch of paper; ``EcgPageError`` when it cannot be drawn."""
        name = self._name if self.count == 1 else f"{self._name}, page {number}"
        drawing = None
        with PDFIUM:
            try:
                page = self._document[number - 1]
                try:
                    scan = take_scan(page) if self._dpi is None else None
                    image, dpi = draw_page(page, self._dpi or PDF_DPI, name) if scan is None else scan
                    if scan is None:
                        drawing = read_drawing(page)
                finally:
                    page.close()
            except self._failure as error:
                raise EcgPageError(
                    f"{name}: cannot be drawn ({error}); print it again as PDF, or save it as PNG"
                ) from None
        width = image.shape[1]
        image = convert_picture(PilImage.fromarray(image), name)
        dpi *= image.shape[1] / width
        self.drawing = None if drawing is None else replace(drawing, px_per_pt=dpi / POINTS_PER_INCH)
        return image, dpi


def _explain(code: int | None, password: str | None) -> str:
    """Why PDFium did not open a file, and the way out."""
    if code == PASSWORD_ERROR and password:
        return "the password does not open it; check --password"
    if code == PASSWORD_ERROR:
        return "needs a password: --password"
    if code == SECURITY_ERROR:
        return "is encrypted in a way that is not known; print it again as PDF without protection"
    return "is damaged, cut off or without pages; export or copy it again"


def draw_page(page: Any, dpi: float, name: str) -> tuple[Image, float]:
    """Page of pypdfium2 as uint8 (H, W, 3) RGB, and its px/inch: ``dpi``, less where a side would exceed MAX_SIDE_PX."""
    longest = max(page.get_size()) / POINTS_PER_INCH
    if longest * dpi > MAX_SIDE_PX:
        log.info("%s: %.0f inches long, drawn at %.0f dpi", name, longest, MAX_SIDE_PX / longest)
        dpi = MAX_SIDE_PX / longest
    scale = dpi / POINTS_PER_INCH * (1 - 1e-6)  # sizes are rounded up: 3300.0003 px are 3300
    return _render(page, scale), dpi


def _render(page: Any, scale: float) -> Image:
    """Page as uint8 (H, W, 3) RGB, ``scale`` pixels to a point, on white."""
    return np.array(page.render(scale=scale, rev_byteorder=True).to_numpy()[..., :3])


def take_scan(page: Any) -> tuple[Image, float] | None:
    """The one picture that fills a page of pypdfium2, as it is seen on it, at its own pixels.

    Returns uint8 (H, W, 3) RGB and its px/inch of paper; None for a page that shows anything else, or shows the picture
    cropped, masked or aslant.
    """
    found = _find_only_picture(page)
    if found is None:
        return None
    matrix = _total_matrix(found)
    (a, b), (c, d) = matrix[0], matrix[1]
    sides = math.hypot(a, b), math.hypot(c, d)
    aside = abs(a) < MAX_SKEW * sides[0] and abs(d) < MAX_SKEW * sides[1]
    upright = abs(b) < MAX_SKEW * sides[0] and abs(c) < MAX_SKEW * sides[1]
    width, height = found.get_px_size()
    if not (aside or upright) or min(sides) <= 0 or width * height > MAX_PIXELS or not _fills(page, matrix):
        return None
    pixels = _picture_pixels(found)
    if aside:
        pixels = np.swapaxes(pixels, 0, 1)[:: -1 if b > 0 else 1, :: -1 if c > 0 else 1]
    else:
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    pixels = np.ascontiguousarray(np.rot90(pixels, -page.get_rotation() // 90))
    return (pixels, width / sides[0] * POINTS_PER_INCH) if _looks_like(page, pixels) else None


def _find_only_picture(page: Any) -> Any | None:
    """The page object of the one picture of a page; None where something else is seen, or the picture is see-through."""
    from pypdfium2 import raw  # noqa: PLC0415

    if raw.FPDFPage_GetAnnotCount(page):
        return None
    found = None
    for thing in page.get_objects():
        if thing.type == raw.FPDF_PAGEOBJ_FORM or _is_unseen(thing, found is None):
            continue
        if thing.type != raw.FPDF_PAGEOBJ_IMAGE or found is not None:
            return None
        found = thing
    return None if found is None or raw.FPDFPageObj_HasTransparency(found) else found


def _is_unseen(thing: Any, below: bool) -> bool:
    """Whether a page object shows nothing: the hidden text of a searchable scan, a clip, and, ``below`` all, white paper."""
    import ctypes  # noqa: PLC0415

    from pypdfium2 import raw  # noqa: PLC0415

    if thing.type == raw.FPDF_PAGEOBJ_TEXT:
        return bool(raw.FPDFTextObj_GetTextRenderMode(thing) == raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    if thing.type != raw.FPDF_PAGEOBJ_PATH:
        return False
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(thing, fill, stroke)
    if stroke.value:
        return False
    colour = [ctypes.c_uint() for _ in range(4)]
    raw.FPDFPageObj_GetFillColor(thing, *colour)
    return not fill.value or (below and all(c.value == 255 for c in colour))


def _total_matrix(picture: Any) -> Array:
    """(3, 2) rows (a, b), (c, d), (e, f) that put the unit square of a picture onto the page, points, y up."""
    total = picture.get_matrix()
    holder = picture.container
    while holder is not None:
        total, holder = total.multiply(holder.get_matrix()), holder.container
    return np.reshape(np.array(total.get(), np.float64), (3, 2))


def _fills(page: Any, matrix: Array) -> bool:
    """Whether a picture covers the page and hardly reaches beyond it."""
    left, bottom, right, top = page.get_bbox()
    corners = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) @ matrix
    low, high = corners.min(0), corners.max(0)
    shared = np.minimum(high, (right, top)) - np.maximum(low, (left, bottom))
    area = float(np.prod(np.maximum(shared, 0)))
    return area >= MIN_COVER * (right - left) * (top - bottom) and area >= MIN_SHOWN * float(
        np.prod(high - low)
    )


def _picture_pixels(picture: Any) -> Image:
    """uint8 (H, W, 3) RGB as stored, neither turned nor mirrored."""
    stored = picture.get_bitmap(
        render=False
    ).to_numpy()  # a view: PDFium frees it with the last reference to it
    if stored.ndim == 2 or stored.shape[2] == 1:
        return np.repeat(stored.reshape(*stored.shape[:2], 1), 3, axis=2)
    return np.array(stored[..., 2::-1])


def _looks_like(page: Any, pixels: Image) -> bool:
    """Whether a page drawn small shows just these pixels: no mask, clip, odd colours or decoding changes them."""
    drawn = _render(page, LOOK_PX / max(page.get_size()))
    small = cv2.resize(pixels, drawn.shape[1::-1], interpolation=cv2.INTER_AREA)
    apart = np.abs(cv2.blur(drawn, (5, 5)).astype(np.float32) - cv2.blur(small, (5, 5)))
    return bool(apart.mean() < MAX_DIFFERENCE[0] and apart.max() < MAX_DIFFERENCE[1])
