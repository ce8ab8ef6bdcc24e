"""Read the pages of any file that people keep ECGs in, one at a time: pictures, TIFF, HEIC, PDF, DICOM.

What a file is, its content says, not its name. ``ecgpage.image.decode`` stays the one converter of pictures to RGB.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import TracebackType
from typing import Final, Protocol

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import TiffImagePlugin

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.image.decode import convert_picture, explain_errors, name_source, open_picture, read_head
from ecgpage.image.dicom_file import DicomFile
from ecgpage.image.pdf_file import PdfFile
from ecgpage.image.pdf_paths import PageDrawing

Document = str | os.PathLike[str] | bytes
"""A file: its path or its bytes."""
SUFFIXES: Final = (
    ".avif", ".bmp", ".dcm", ".dib", ".dicom", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpf", ".jpg", ".jpx", ".pdf", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""Endings, in small letters, of the files that are worth opening in a folder."""
DICOM_SUFFIXES: Final = (".dcm", ".dicom")
"""Endings of DICOM files; old ones lack the mark by which others are known."""
HEAD_BYTES: Final = 1024
"""Bytes within which the mark of a PDF must stand (PDF reference 1.7, implementation note 13)."""
SUBFILE: Final = 254
"""TIFF tag NewSubfileType: bit 0 for a smaller copy of another picture, bit 2 for a mask."""
FAX_RATIO: Final = (1.5, 2.6)
"""Ratio of the two resolutions of a TIFF from which its pixels count as a fax's, which are 1.04, 2.08 or 0.52 high."""


@dataclass(frozen=True)
class InputPage:
    """One page of a file."""

    number: int
    """Place in the file, from 1."""
    count: int
    """Number of pages in the file."""
    image: Image = field(repr=False)
    """uint8 (H, W, 3) RGB, upright as the file says."""
    dpi: float | None
    """Pixels of ``image`` to an inch of paper, by what the file states; None where it states nothing.

    Phones and viewers state 72 or 96 without knowing the paper.
    """
    drawing: PageDrawing | None = field(default=None, repr=False)
    """Lines and words of a PDF page that is drawn with them; None for all others."""


def count_pages(source: Document, *, password: str | None = None) -> int:
    """Number of pages of a file, without decoding them; errors are those of ``read_pages``."""
    with _open(source, password, None) as document:
        return document.count


def read_pages(
    source: Document,
    *,
    pages: Sequence[int] | None = None,
    password: str | None = None,
    dpi: float | None = None,
) -> Iterator[InputPage]:
    """Pages of a file one after the other, only one of them in memory.

    Args:
        source: path or bytes of a picture (``read_image`` says which), a PDF, or a DICOM object that holds pictures or a PDF.
        pages: numbers, from 1, of the pages that are wanted, in that order; all when None.
        password: password of an encrypted PDF.
        dpi: resolution, px/inch, at which PDF pages are drawn, less where a page is too large for it. When None, a page that
            is one scanned picture is taken at its own pixels, others are drawn at 300.

    Raises ``EcgPageError`` (file, reason, way out) when the file is missing, unreadable, damaged, encrypted or without pages,
    or holds an ECG that is digital already; when a library for it is missing; and when a page is not there or cannot be
    decoded. An error ends the iteration: to go on behind a damaged page, ask for one page at a time. Raises ``ValueError``
    when ``dpi`` is not positive.
    """
    if dpi is not None and not (np.isfinite(dpi) and dpi > 0):
        raise ValueError(f"dpi={dpi} is no resolution; give a positive number of pixels per inch")
    with _open(source, password, dpi) as document:
        for number in range(1, document.count + 1) if pages is None else pages:
            if not 1 <= number <= document.count:
                pages_there = "1 page" if document.count == 1 else f"{document.count} pages"
                raise EcgPageError(
                    f"{name_source(source)}: has {pages_there}, page {number} is not among them"
                )
            image, found_dpi = document.read(number)
            yield InputPage(number, document.count, image, found_dpi, document.drawing)


class _Pages(Protocol):
    """An open file of pages."""

    @property
    def count(self) -> int:
        """Number of pages."""

    def read(self, number: int) -> tuple[Image, float | None]:
        """Page ``number``, from 1, uint8 (H, W, 3) RGB, and its pixels per inch, None where nothing is stated."""

    @property
    def drawing(self) -> PageDrawing | None:
        """Lines and words of the page that was read last; None where it has none."""

    def __enter__(self) -> "_Pages": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _open(source: Document, password: str | None, dpi: float | None) -> _Pages:
    """The open file, by what its content says that it is."""
    name = name_source(source)
    with explain_errors(name):
        head = read_head(source, HEAD_BYTES)
    suffix = PurePath(name).suffix.lower()
    if not head:
        raise EcgPageError(f"{name}: the file is empty; export or copy the page again")
    if head[128:132] == b"DICM" or suffix in DICOM_SUFFIXES:
        return DicomFile(source, name, password, dpi)
    if b"%PDF-" in head:
        return PdfFile(source, name, password, dpi)
    if suffix == ".pdf":
        raise EcgPageError(f"{name}: is no PDF, whatever its name says; export the page again")
    return _PictureFile(source, name)


class _PictureFile:
    """A file of one picture, or a TIFF of several pages."""

    drawing: PageDrawing | None = None

    def __init__(self, source: Document, name: str) -> None:
        self._name = name
        with explain_errors(name):
            self._picture = open_picture(source)
            self._frames = _list_frames(self._picture)

    def __enter__(self) -> "_PictureFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._picture.close()

    @property
    def count(self) -> int:
        return len(self._frames)

    def read(self, number: int) -> tuple[Image, float | None]:
        name = self._name if self.count == 1 else f"{self._name}, page {number}"
        with explain_errors(name):
            if self.count > 1:
                self._picture.seek(self._frames[number - 1])
            stored, longest = _stored_dpi(self._picture), max(self._picture.size)
            image = convert_picture(self._picture, name)
        if stored is None:
            return image, None
        shrunk = max(image.shape[:2]) / longest
        if self._picture.format == "TIFF" and FAX_RATIO[0] < max(stored) / min(stored) < FAX_RATIO[1]:
            image = _square_pixels(image, stored)
        return image, max(stored) * shrunk


def _list_frames(picture: PilImage.Image) -> list[int]:
    """Places of the pages in a file: of a TIFF all but smaller copies and masks, of others the main picture."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return [picture.tell()]
    frames = []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        if not int(picture.tag_v2.get(SUBFILE, 0)) & 0b101:
            frames.append(frame)
    picture.seek(frames[0] if frames else 0)
    return frames or [0]


def _stored_dpi(picture: PilImage.Image) -> tuple[float, float] | None:
    """Resolution along x and y, px/inch, that the file states; None where it states none."""
    try:
        x, y = (float(value) for value in picture.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if np.isfinite([x, y]).all() and min(x, y) > 1 else None


def _square_pixels(image: Image, dpi: tuple[float, float]) -> Image:
    """The picture with the coarser of its two resolutions brought to the finer one."""
    factors = max(dpi) / dpi[0], max(dpi) / dpi[1]
    return np.asarray(
        cv2.resize(image, None, fx=factors[0], fy=factors[1], interpolation=cv2.INTER_LINEAR), np.uint8
    )
