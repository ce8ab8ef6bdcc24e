"""Every page of every file comes back as it was written, one at a time, or with the reason why not."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import TiffImagePlugin
from scipy.ndimage import gaussian_filter

from ecgpage.core.conventions import EcgPageError
from ecgpage.image.decode import MAX_SIDE_PX, read_image
from ecgpage.image.documents import SUFFIXES, count_pages, read_pages
from tests.image.pdf_bytes import write_pdf

HEIC = Path(__file__).with_name("turned.heic")
"""320 x 240 px, stored on its side: red grows to the right as stored, a white mark at the top left as stored; both the
container (irot) and its EXIF (orientation 6) say that it must be turned."""
WIDE, HIGH = 480, 360


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """Smooth picture that differs in all corners and colours."""
    noise = np.random.default_rng(1).uniform(0, 255, (HIGH, WIDE, 3))
    smooth = gaussian_filter(noise, (20, 20, 0))
    return np.clip((smooth - 127.5) * 20 + 127.5, 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PilImage.fromarray(image).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def numbers(source: bytes | Path, **options: object) -> list[tuple[int, int]]:
    return [(page.number, page.count) for page in read_pages(source, **options)]  # type: ignore[arg-type]


# pictures


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_picture_is_one_page_as_it_was_saved(
    rgb: np.ndarray, kind: str, options: dict[str, object]
) -> None:
    data = encoded(rgb, kind, **options)
    (page,) = read_pages(data)
    assert (page.number, page.count, count_pages(data)) == (1, 1, 1)
    np.testing.assert_array_equal(page.image, rgb)


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 95}), ("AVIF", {"quality": 95}), ("GIF", {})]
)
def test_a_picture_with_losses_is_nearly_as_it_was_saved(
    rgb: np.ndarray, kind: str, options: dict[str, object]
) -> None:
    (page,) = read_pages(encoded(rgb, kind, **options))
    assert np.abs(page.image.astype(int) - rgb).mean() < 6


def test_a_path_is_read_as_its_bytes(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "page.jpg"
    path.write_bytes(encoded(rgb, "JPEG", dpi=(200, 200)))
    (page,), (same,) = read_pages(path), read_pages(path.read_bytes())
    np.testing.assert_array_equal(page.image, same.image)
    assert page.dpi == same.dpi == pytest.approx(200)


def test_a_picture_that_states_no_resolution_has_none(rgb: np.ndarray) -> None:
    (page,) = read_pages(encoded(rgb, "PNG"))
    assert page.dpi is None


def test_a_heic_that_says_twice_how_it_lies_is_turned_once() -> None:
    (page,) = read_pages(HEIC)
    assert page.image.shape == (320, 240, 3)
    assert page.image[30:70, 185:215].min() > 230  # the mark, now at the top right
    rows = page.image[:, :150, 0].mean(axis=1)
    assert rows[-10:].mean() - rows[:10].mean() > 200  # red grows downwards
    np.testing.assert_array_equal(page.image, read_image(HEIC))


def test_an_avif_is_turned_as_its_exif_says(rgb: np.ndarray) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6
    (page,) = read_pages(encoded(rgb, "AVIF", quality=95, exif=exif))
    assert np.abs(page.image.astype(int) - np.rot90(rgb, -1)).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "MPO"])
def test_of_a_moving_picture_or_a_phones_second_view_only_the_first_counts(
    rgb: np.ndarray, kind: str
) -> None:
    file = io.BytesIO()
    other = PilImage.fromarray(255 - rgb)
    PilImage.fromarray(rgb).save(file, kind, save_all=True, append_images=[other])
    (page,) = read_pages(file.getvalue())
    assert page.count == 1
    assert np.abs(page.image.astype(int) - rgb).mean() < 10


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_scan_12000_px_wide_is_averaged_and_so_is_its_resolution(kind: str) -> None:
    scan = np.full((9000, 12000), 255, np.uint8)
    scan[:, 3000:6000] = 40
    (page,) = read_pages(encoded(scan, kind, dpi=(1000, 1000), compression="packbits", compress_level=1))
    assert page.image.shape == (4500, MAX_SIDE_PX, 3)
    assert page.dpi == pytest.approx(500, abs=0.1)
    assert [int(page.image[100, x, 0]) for x in (1400, 1600, 2900, 3100)] == [255, 40, 40, 255]


# TIFF of several pages


def fax(number: int) -> PilImage.Image:
    """Black and white page with ``number`` bars."""
    page = np.full((HIGH, WIDE), 255, np.uint8)
    for k in range(number):
        page[:, 20 + 40 * k : 30 + 40 * k] = 0
    return PilImage.fromarray(page).convert("1")


@pytest.fixture
def faxes(tmp_path: Path) -> Path:
    path = tmp_path / "faxes.tif"
    options = {"compression": "group4", "dpi": (200, 200)}
    fax(1).save(path, save_all=True, append_images=[fax(2), fax(3)], **options)  # type: ignore[arg-type]
    return path


def test_all_pages_of_a_g4_tiff_are_read_in_order(faxes: Path) -> None:
    pages = list(read_pages(faxes))
    assert [(p.number, p.count, p.dpi) for p in pages] == [(1, 3, 200), (2, 3, 200), (3, 3, 200)]
    for page in pages:
        np.testing.assert_array_equal(page.image[..., 1], np.asarray(fax(page.number).convert("L")))


def test_pages_are_read_in_the_order_that_is_asked_for(faxes: Path) -> None:
    assert numbers(faxes, pages=[3, 1]) == [(3, 3), (1, 3)]
    (last,) = read_pages(faxes, pages=[3])
    np.testing.assert_array_equal(last.image[..., 1], np.asarray(fax(3).convert("L")))


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_page_that_is_not_there_is_named(faxes: Path, number: int) -> None:
    with pytest.raises(EcgPageError, match=rf"faxes\.tif: has 3 pages, page {number} is not among them"):
        numbers(faxes, pages=[number])


def test_smaller_copies_and_masks_in_a_tiff_are_no_pages() -> None:
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as tiff:
        for number, kind in ((1, 0), (2, 1), (3, 0), (4, 4)):
            fax(number).save(tiff, "TIFF", tiffinfo={254: kind})
            tiff.newFrame()
    data = file.getvalue()
    assert count_pages(data) == 2
    for page, number in zip(read_pages(data), (1, 3), strict=True):
        np.testing.assert_array_equal(page.image[..., 1], np.asarray(fax(number).convert("L")))


def test_the_flat_pixels_of_a_fax_become_square() -> None:
    file = io.BytesIO()
    fax(3).save(file, "TIFF", compression="group4", dpi=(204, 98))
    (page,) = read_pages(file.getvalue())
    assert page.dpi == pytest.approx(204, abs=0.1)
    assert page.image.shape == (round(HIGH * 204 / 98), WIDE, 3)


def test_a_damaged_page_names_its_number_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    fax(1).save(path, save_all=True, append_images=[fax(2), fax(3)], compression="tiff_deflate")
    with PilImage.open(path) as tiff:
        tiff.seek(1)
        offset, size = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = b"\xa7" * size
    path.write_bytes(data)
    with pytest.raises(EcgPageError, match=r"damaged\.tif, page 2: cannot be decoded"):
        numbers(path, pages=[2])
    assert numbers(path, pages=[1]) + numbers(path, pages=[3]) == [(1, 3), (3, 3)]


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_tiff_that_was_cut_off_cannot_be_decoded(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.tif"
    fax(1).save(path, save_all=True, append_images=[fax(2), fax(3)])
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(EcgPageError, match=r"cut\.tif.*: cannot be decoded"):
        numbers(path)


# files that hold no page


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.pdf", b"", "the file is empty"),
        ("a.png", b"", "the file is empty"),
        ("a.pdf", b"Dear colleague, find the ECG attached.", "is no PDF, whatever its name says"),
        ("a.pdf", b"%PDF-1.4\n", "damaged, cut off or without pages"),
        ("a.pdf", write_pdf([]), "damaged, cut off or without pages"),
        ("a.jpg", b"Dear colleague, find the ECG attached.", "no known format"),
        ("a.dcm", b"Dear colleague, find the ECG attached.", "is no DICOM object"),
    ],
    ids=["empty pdf", "empty picture", "text as pdf", "cut off", "no pages", "text as picture", "text as dicom"],
)  # fmt: skip
def test_a_file_that_holds_no_page_says_why(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for look in (count_pages, numbers):
        with pytest.raises(EcgPageError, match=says) as error:
            look(path)
        assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match=r"none\.pdf: no such image"):
        count_pages(tmp_path / "none.pdf")


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="directory"):
        count_pages(tmp_path)


@pytest.mark.parametrize(
    ("library", "source", "says"),
    [("pypdfium2", b"%PDF-1.4", "pip install pypdfium2"), ("pi_heif", HEIC, "pip install pi-heif"),
     ("pydicom", b"\0" * 128 + b"DICM", r'pip install "ecgpage\[dicom\]"')],
)  # fmt: skip
def test_a_library_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, source: bytes | Path, says: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EcgPageError, match=says):
        numbers(source)


def test_the_formats_have_their_endings() -> None:
    assert {".pdf", ".heic", ".tif", ".jpg", ".png", ".dcm", ".webp", ".avif", ".jp2"} <= set(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
