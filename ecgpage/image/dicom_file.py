"""Read the pages of a DICOM object that wraps pictures (Secondary Capture and others) or an Encapsulated PDF."""

import io
import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.image.decode import convert_picture
from ecgpage.image.pdf_file import PdfFile
from ecgpage.image.pdf_paths import PageDrawing

MM_PER_INCH: Final = 25.4
"""Millimetres to an inch."""
DEFERRED_BYTES: Final = 65536
"""Size from which values of a file are read only when they are wanted."""
SPACINGS: Final = ("NominalScannedPixelSpacing", "PixelSpacing", "ImagerPixelSpacing")
"""Attributes that state the size of a pixel, mm, the first for scanned paper (PS3.3 C.8.6.1)."""


class DicomFile:
    """An open DICOM object; pages are numbered from 1."""

    def __init__(
        self, source: str | os.PathLike[str] | bytes, name: str, password: str | None, dpi: float | None
    ) -> None:
        """Open a file, or raise ``EcgPageError``; ``password``, ``dpi``: those of an Encapsulated PDF."""
        self._name, self._source = name, source
        try:
            import pydicom  # noqa: PLC0415 - not everybody has DICOM
        except ImportError:
            raise EcgPageError(f'{name}: reading DICOM needs pydicom: pip install "ecgpage[dicom]"') from None
        try:
            self._data = pydicom.dcmread(
                self._open(), force=True, defer_size=None if isinstance(source, bytes) else DEFERRED_BYTES
            )
        except Exception as error:  # a parser raises whatever a damaged file leads it to
            raise EcgPageError(
                f"{name}: cannot be read as DICOM ({error}); export the object again"
            ) from error
        if "WaveformSequence" in self._data:
            raise EcgPageError(
                f"{name}: is already digital, it holds the ECG's waveforms and no picture; "
                "take them by a DICOM reader, such as waveform_array of pydicom"
            )
        self._pdf = self._open_pdf(password, dpi) if "EncapsulatedDocument" in self._data else None
        if self._pdf is None and "PixelData" not in self._data:
            raise EcgPageError(
                f"{name}: holds neither a picture nor a PDF; export the ECG as one of them"
                if "SOPClassUID" in self._data
                else f"{name}: is no DICOM object; export the page again"
            )

    def __enter__(self) -> "DicomFile":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pdf is not None:
            self._pdf.__exit__(*error)

    @property
    def count(self) -> int:
        """Number of pages."""
        return int(self._data.get("NumberOfFrames") or 1) if self._pdf is None else self._pdf.count

    @property
    def drawing(self) -> PageDrawing | None:
        """Lines and words of the page that was read last, where a PDF is encapsulated; else None."""
        return None if self._pdf is None else self._pdf.drawing

    def read(self, number: int) -> tuple[Image, float | None]:
        """Page uint8 (H, W, 3) RGB and its pixels per inch, None where none are stated; ``EcgPageError`` when undecodable."""
        if self._pdf is not None:
            return self._pdf.read(number)
        from pydicom.pixels import pixel_array  # noqa: PLC0415

        name = self._name if self.count == 1 else f"{self._name}, page {number}"
        try:
            stored = pixel_array(self._open(), index=number - 1)
            picture = PilImage.fromarray(to_8_bit(stored, self._data))
        except Exception as error:  # as above
            raise EcgPageError(
                f"{name}: its pixels cannot be decoded ({error}); export the page as PNG or JPEG"
            ) from error
        image = convert_picture(picture, name)
        return image, self._find_dpi(image.shape[1] / picture.width)

    def _open(self) -> Any:
        """What pydicom reads."""
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else os.fspath(self._source)

    def _open_pdf(self, password: str | None, dpi: float | None) -> PdfFile:
        """The Encapsulated PDF."""
        kind = str(self._data.get("MIMETypeOfEncapsulatedDocument", ""))
        content = bytes(self._data.EncapsulatedDocument)
        if b"%PDF-" not in content[:1024]:
            raise EcgPageError(
                f"{self._name}: encapsulates {kind or 'a document'}, no PDF; export it as PDF or picture"
            )
        return PdfFile(content, self._name, password, dpi)

    def _find_dpi(self, shrunk: float) -> float | None:
        """Pixels per inch of a page that was reduced to ``shrunk`` of its size."""
        for keyword in SPACINGS:
            spacing = self._data.get(keyword)
            if spacing is not None and len(spacing) == 2 and float(spacing[1]) > 0:
                return MM_PER_INCH / float(spacing[1]) * shrunk
        return None


def to_8_bit(stored: NDArray[Any], data: Any) -> NDArray[np.uint8]:
    """uint8 (H, W) or (H, W, 3) as a viewer shows it, from one frame of pixels as stored, and their dataset.

    Applies palette, rescaling, window or lookup table (PS3.3 C.7.6.3, C.11), and turns MONOCHROME1 over.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut  # noqa: PLC0415

    kind = str(data.get("PhotometricInterpretation", ""))
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(stored, data)
        return (stored >> 8).astype(np.uint8) if stored.dtype == np.uint16 else stored.astype(np.uint8)
    bits = int(data.BitsStored)
    if stored.ndim == 3:
        return np.asarray(stored >> (bits - 8) if bits > 8 else stored, np.uint8)
    rescaled = apply_modality_lut(stored, data)
    shown = apply_voi_lut(rescaled, data).astype(np.float64)
    if "VOILUTSequence" in data or "ModalityLUTSequence" in data:
        low, high = shown.min(), shown.max()
    else:
        ends = (
            np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1])
            if data.PixelRepresentation
            else (0, 2**bits - 1)
        )
        slope, offset = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        low, high = sorted(slope * end + offset for end in ends)
    grey = np.clip((shown - low) / max(high - low, 1e-9), 0, 1)
    return np.rint(255 * (1 - grey if kind == "MONOCHROME1" else grey)).astype(np.uint8)
