"""DICOM objects that wrap a picture or a PDF are read as these; those that hold an ECG's samples are refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    TwelveLeadECGWaveformStorage,
    generate_uid,
)

from ecgpage.core.conventions import EcgPageError
from ecgpage.image.documents import count_pages, read_pages
from tests.image.pdf_bytes import Page, picture, place, write_pdf

HIGH, WIDE = 240, 320


@pytest.fixture
def rgb() -> np.ndarray:
    ramp = np.linspace(0, 255, WIDE)[None, :, None] * np.array([1.0, 0.5, 0.25])
    page = np.broadcast_to(ramp, (HIGH, WIDE, 3)).astype(np.uint8).copy()
    page[20:60, 20:60] = 255
    return page


def new_object(kind: str, syntax: str = ExplicitVRLittleEndian) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = kind, syntax
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    return data


def pictured(
    pixels: np.ndarray, kind: str = SecondaryCaptureImageStorage, **attributes: object
) -> FileDataset:
    """Object of pixels (frames, H, W[, 3])."""
    data = new_object(kind)
    data.NumberOfFrames, data.Rows, data.Columns = pixels.shape[:3]
    data.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    data.PhotometricInterpretation = "RGB" if pixels.ndim == 4 else "MONOCHROME2"
    data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def written(data: Dataset, folder: Path | None = None) -> bytes | Path:
    """The object as a file in a folder, or as bytes."""
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    if folder is None:
        return file.getvalue()
    path = folder / "object.dcm"
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.parametrize("from_path", [True, False])
def test_a_secondary_capture_is_its_picture(rgb: np.ndarray, tmp_path: Path, from_path: bool) -> None:
    data = pictured(rgb[None], NominalScannedPixelSpacing=[0.127, 0.127])
    (page,) = read_pages(written(data, tmp_path if from_path else None))
    np.testing.assert_array_equal(page.image, rgb)
    assert page.dpi == pytest.approx(200)


@pytest.mark.parametrize("from_path", [True, False])
def test_the_frames_of_an_object_are_its_pages(rgb: np.ndarray, tmp_path: Path, from_path: bool) -> None:
    frames = np.stack([rgb, 255 - rgb, rgb[:, ::-1]])
    source = written(
        pictured(frames, MultiFrameTrueColorSecondaryCaptureImageStorage), tmp_path if from_path else None
    )
    assert count_pages(source) == 3
    for page in read_pages(source, pages=[3, 1, 2]):
        np.testing.assert_array_equal(page.image, frames[page.number - 1])


def test_a_jpeg_within_an_object_is_decoded(rgb: np.ndarray) -> None:
    file = io.BytesIO()
    PilImage.fromarray(rgb).save(file, "JPEG", quality=95, subsampling=0)
    data = pictured(rgb[None], PhotometricInterpretation="YBR_FULL")
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([file.getvalue()])
    data["PixelData"].is_undefined_length = True
    (page,) = read_pages(written(data))
    assert np.abs(page.image.astype(int) - rgb).mean() < 3


@pytest.mark.parametrize(
    ("attributes", "levels"),
    [
        ({"BitsStored": 12, "HighBit": 11}, [0, 128, 255]),
        ({"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}, [255, 127, 0]),
        ({"BitsStored": 12, "HighBit": 11, "WindowCenter": 1024, "WindowWidth": 2048}, [0, 255, 255]),
        ({"BitsStored": 12, "HighBit": 11, "RescaleSlope": 2, "RescaleIntercept": -100}, [0, 128, 255]),
    ],
    ids=["12 bit", "white is 0", "window", "rescaled"],
)
def test_grey_is_shown_as_a_viewer_shows_it(attributes: dict[str, object], levels: list[int]) -> None:
    grey = np.repeat(np.array([0, 2048, 4095], np.uint16), 100)[None, None].repeat(HIGH, axis=1)
    (page,) = read_pages(written(pictured(grey, **attributes)))
    np.testing.assert_allclose(page.image[10, [50, 150, 250], 0], levels, atol=1)


def test_a_palette_gives_its_colours() -> None:
    data = pictured(np.zeros((1, HIGH, WIDE), np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour, level in (("Red", 200), ("Green", 30), ("Blue", 90)):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = np.full(256, level * 257, np.uint16)
        setattr(data, f"{colour}PaletteColorLookupTableData", table.tobytes())
    (page,) = read_pages(written(data))
    assert tuple(page.image[0, 0]) == (200, 30, 90)


@pytest.mark.parametrize("from_path", [True, False])
def test_an_encapsulated_pdf_gives_its_pages(rgb: np.ndarray, tmp_path: Path, from_path: bool) -> None:
    landscape = (792, 0, 0, 612, 0, 0)
    pdf = write_pdf([Page(place(landscape), {"P": picture(p)}) for p in (rgb, 255 - rgb)])
    data = new_object(EncapsulatedPDFStorage)
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    data.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2) + b"\0" * 2**17  # more than is read at once
    source = written(data, tmp_path if from_path else None)
    assert count_pages(source) == 2
    for page, expected in zip(read_pages(source), (rgb, 255 - rgb), strict=True):
        np.testing.assert_array_equal(page.image, expected)


def test_waveforms_are_refused_because_they_are_digital_already(tmp_path: Path) -> None:
    data = new_object(TwelveLeadECGWaveformStorage)
    data.WaveformSequence = [Dataset()]
    path = written(data, tmp_path)
    with pytest.raises(EcgPageError, match=r"object\.dcm: is already digital, .* waveforms"):
        count_pages(path)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({}, "neither a picture nor a PDF"),
        (
            {"EncapsulatedDocument": b"<xml/>", "MIMETypeOfEncapsulatedDocument": "text/XML"},
            "text/XML, no PDF",
        ),
    ],
)
def test_other_objects_are_refused(attributes: dict[str, object], says: str) -> None:
    data = new_object(SecondaryCaptureImageStorage)
    for name, value in attributes.items():
        setattr(data, name, value)
    with pytest.raises(EcgPageError, match=says):
        list(read_pages(written(data)))


def test_pixels_that_are_cut_off_are_refused(rgb: np.ndarray, tmp_path: Path) -> None:
    path = written(pictured(rgb[None]), tmp_path)
    assert isinstance(path, Path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(EcgPageError, match=r"object\.dcm: its pixels cannot be decoded"):
        list(read_pages(path))
