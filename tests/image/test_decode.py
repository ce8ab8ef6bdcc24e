"""Any picture file becomes the same uint8 RGB array, or an error that names file, reason and way out."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from ecgpage.core.conventions import EcgPageError
from ecgpage.image.decode import MAX_SIDE_PX, balance_paper, darkest_channel, read_image

HEIGHT, WIDTH = 240, 320


@pytest.fixture
def rgb() -> np.ndarray:
    ramp = np.linspace(0, 255, WIDTH)[None, :, None] * np.array([1.0, 0.5, 0.25])
    return np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def saved(folder: Path, picture: PilImage.Image, name: str, **options: object) -> Path:
    path = folder / name
    picture.save(path, **options)  # type: ignore[arg-type]
    return path


def test_png_is_read_as_it_is(tmp_path: Path, rgb: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(saved(tmp_path, PilImage.fromarray(rgb), "a.png")), rgb)


def test_16_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    deep = np.broadcast_to(np.linspace(0, 65535, WIDTH), (HEIGHT, WIDTH)).astype(np.uint16)
    image = read_image(saved(tmp_path, PilImage.fromarray(deep), "deep.png"))
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[0, :, 0], np.linspace(0, 255, WIDTH), atol=1.0)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_other_modes_become_rgb(tmp_path: Path, rgb: np.ndarray, mode: str) -> None:
    image = read_image(saved(tmp_path, PilImage.fromarray(rgb).convert(mode), "m.png"))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8


def test_cmyk_jpeg_is_read(tmp_path: Path) -> None:
    grey = PilImage.new("RGB", (WIDTH, HEIGHT), (200, 200, 200)).convert("CMYK")
    image = read_image(saved(tmp_path, grey, "c.jpg"))
    np.testing.assert_allclose(image, 200, atol=6)


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    clear = PilImage.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0))
    assert (read_image(saved(tmp_path, clear, "t.png")) == 255).all()


def test_exif_orientation_is_applied(tmp_path: Path, rgb: np.ndarray) -> None:
    picture = PilImage.fromarray(rgb)
    exif = picture.getexif()
    exif[0x0112] = 6  # the top of the picture is at its right
    image = read_image(saved(tmp_path, picture, "turned.jpg", exif=exif, quality=95))
    assert image.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_allclose(image[:, 10, 0], rgb[10, :, 0], atol=6)


def test_the_bytes_of_a_file_are_read_as_the_file(tmp_path: Path, rgb: np.ndarray) -> None:
    path = saved(tmp_path, PilImage.fromarray(rgb), "a.jpg")
    np.testing.assert_array_equal(read_image(path.read_bytes()), read_image(path))


@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, :, 0], np.s_[:, ::-1]], ids=["rgb", "grey", "strided"])
def test_an_array_is_read_as_the_picture_saved_from_it(tmp_path: Path, rgb: np.ndarray, part: object) -> None:
    array = rgb[part]  # type: ignore[call-overload]
    path = saved(tmp_path, PilImage.fromarray(array), "a.png")
    np.testing.assert_array_equal(read_image(array), read_image(path))


def test_the_array_that_was_given_is_not_shared(rgb: np.ndarray) -> None:
    read_image(rgb)[:] = 0
    assert rgb.any()


@pytest.mark.parametrize(
    ("shape", "dtype", "says"),
    [
        ((HEIGHT, WIDTH, 3), np.float32, "no picture"),
        ((HEIGHT, WIDTH, 4), np.uint8, "no picture"),
        ((WIDTH,), np.uint8, "no picture"),
        ((HEIGHT, 0, 3), np.uint8, "empty"),
        ((HEIGHT, 20, 3), np.uint8, "too small"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(shape: tuple[int, ...], dtype: type, says: str) -> None:
    with pytest.raises(EcgPageError, match=says):
        read_image(np.zeros(shape, dtype))


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(EcgPageError, match="picture: cannot be decoded"):
        read_image(b"not a picture")


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_huge_scan_is_averaged_down(tmp_path: Path, extension: str) -> None:
    wide = PilImage.new("L", (12000, 900), 128)
    image = read_image(saved(tmp_path, wide, f"wide.{extension}"))
    assert max(image.shape) <= MAX_SIDE_PX
    np.testing.assert_allclose(image, 128, atol=1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such image"),
        (lambda path: path.write_bytes(b"not a picture"), "cannot be decoded"),
        (lambda path: path.write_bytes(b""), "cannot be decoded"),
        (lambda path: PilImage.new("L", (1, 1)).save(path), "too small"),
    ],
    ids=["missing", "text", "empty", "1x1"],
)
def test_bad_files_are_named_with_a_reason(tmp_path: Path, make, says: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "page.png"
    make(path)
    with pytest.raises(EcgPageError, match=says) as error:
        read_image(path)
    assert str(path) in str(error.value)


def test_a_truncated_png_is_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, rgb.shape, np.uint8)
    path = saved(tmp_path, PilImage.fromarray(noisy), "cut.png")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(EcgPageError, match="cannot be decoded"):
        read_image(path)


@pytest.mark.parametrize("size", [(100_000, 2_100), (250_000, 3_000)])
def test_more_pixels_than_can_be_read_are_refused_by_the_head(size: tuple[int, int]) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    with pytest.raises(EcgPageError, match="than can be read; scan at 600 dpi or less"):
        read_image(b"\x89PNG\r\n\x1a\n" + chunk + end)


def test_a_pdf_says_what_reads_it() -> None:
    with pytest.raises(EcgPageError, match=r"is a PDF; .*read_pages"):
        read_image(b"%PDF-1.7\n")


def test_no_format_that_starts_a_program_is_opened() -> None:
    with pytest.raises(EcgPageError, match="no known format"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 400\nshowpage\n")


def test_orange_lines_on_paper_in_blue_light_get_their_contrast() -> None:
    paper, line = (170, 210, 245), (175, 130, 105)  # as dark in red as the lines are in blue
    image = np.full((64, 64, 3), paper, np.uint8)
    image[:, 5::16] = line
    balanced = balance_paper(image)
    assert balanced is not None
    plain, seen = darkest_channel(image), darkest_channel(balanced)
    assert int(plain[0, 1]) - int(plain[0, 5]) == 65
    assert int(seen[0, 1]) - int(seen[0, 5]) > 130


def test_white_paper_is_balanced() -> None:
    image = np.random.default_rng(3).integers(225, 240, (64, 64, 3), dtype=np.uint8)
    image[:, 5::16] = (250, 150, 150)
    assert balance_paper(image) is None
