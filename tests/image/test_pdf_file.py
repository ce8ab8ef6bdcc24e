"""Every page of a PDF comes back, a scan at its own pixels, everything else as it is drawn, or with the reason why not."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pypdfium2
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image as PilImage
from scipy.ndimage import gaussian_filter

from ecgpage.core.conventions import EcgPageError
from ecgpage.image.decode import MAX_SIDE_PX
from ecgpage.image.documents import count_pages, read_pages
from tests.image.pdf_bytes import Page, coded_picture, picture, place, stream, write_pdf

WIDE, HIGH = 480, 360
WHOLE = (792.0, 0.0, 0.0, 612.0, 0.0, 0.0)
"""Matrix of a picture that fills a landscape letter page."""


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """Smooth picture that differs in all corners and colours."""
    noise = np.random.default_rng(1).uniform(0, 255, (HIGH, WIDE, 3))
    smooth = gaussian_filter(noise, (20, 20, 0))
    return np.clip((smooth - 127.5) * 20 + 127.5, 0, 255).astype(np.uint8)


def numbers(source: bytes | Path, **options: object) -> list[tuple[int, int]]:
    return [(page.number, page.count) for page in read_pages(source, **options)]  # type: ignore[arg-type]


def bars() -> np.ndarray:
    """(H, W) bool: white paper with five black bars."""
    page = np.ones((HIGH, WIDE), bool)
    for k in range(5):
        page[:, 20 + 40 * k : 30 + 40 * k] = False
    return page


# pages that are drawn


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three landscape letter pages with a black square of half an inch, 1, 2 and 3 inches from left and top."""
    path = tmp_path_factory.mktemp("pdf") / "drawn.pdf"
    with mpl.rc_context(), PdfPages(path) as pdf:
        for inches in (1, 2, 3):
            figure = Figure((11, 8.5))
            axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            axes.set(xlim=(0, 11), ylim=(8.5, 0))
            axes.axis("off")
            axes.fill_between([inches, inches + 0.5], inches, inches + 0.5, color="black", lw=0)
            pdf.savefig(figure)
    return path


def square(image: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, lower edge of what is dark, px."""
    rows, columns = np.nonzero(image.max(axis=2) < 128)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.medium
def test_a_drawn_pdf_is_drawn_at_300_dpi(drawn: Path) -> None:
    pages = list(read_pages(drawn))
    assert count_pages(drawn) == len(pages) == 3
    for page in pages:
        assert (page.image.shape, page.dpi) == ((2550, 3300, 3), pytest.approx(300))
        near = np.array([1, 1, 1.5, 1.5]) * 300 + 300 * (page.number - 1)
        np.testing.assert_allclose(square(page.image), near, atol=1)


def test_a_pdf_is_drawn_at_the_resolution_that_is_asked_for(drawn: Path) -> None:
    (page,) = read_pages(drawn.read_bytes(), pages=[2], dpi=100)
    assert (page.image.shape, page.dpi) == ((850, 1100, 3), pytest.approx(100))
    np.testing.assert_allclose(square(page.image), [200, 200, 250, 250], atol=1)


@pytest.mark.parametrize("dpi", [0.0, -300.0, float("nan"), float("inf")])
def test_a_resolution_that_is_none_is_refused(drawn: Path, dpi: float) -> None:
    with pytest.raises(ValueError, match="no resolution"):
        numbers(drawn, dpi=dpi)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_drawn_page_is_turned_as_it_says(rotate: int) -> None:
    (page,) = read_pages(write_pdf([Page(b"36 504 72 72 re f", rotate=rotate)]), dpi=72)
    upright = np.full((612, 792), 255, np.uint8)
    upright[36:108, 36:108] = 0
    expected = np.rot90(upright, -rotate // 90)
    assert page.image.shape == (*expected.shape, 3)
    assert np.abs(page.image[..., 0].astype(int) - expected).mean() < 1


@pytest.mark.medium
def test_a_page_of_200_inches_is_drawn_coarser_within_the_limit() -> None:
    data = write_pdf([Page(b"1440 1440 1440 1440 re f", size=(14400, 14400))])
    (page,) = read_pages(data)
    assert page.image.shape == (MAX_SIDE_PX, MAX_SIDE_PX, 3)
    assert page.dpi == pytest.approx(30)
    np.testing.assert_allclose(square(page.image), [600, 4800, 1200, 5400], atol=1)


def test_a_page_like_a_stamp_is_refused() -> None:
    with pytest.raises(EcgPageError, match="too small"):
        numbers(write_pdf([Page(b"", size=(30, 20))]))


def test_pdfium_is_never_called_by_two_threads_at_once(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [page.image for page in read_pages(drawn, dpi=40)]
    inside, most, wrong = 0, 0, []
    render = pypdfium2.PdfPage.render

    def slow_render(*args: object, **options: object) -> object:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return render(*args, **options)

    def read() -> None:
        for page in read_pages(drawn, dpi=40):
            if not np.array_equal(page.image, alone[page.number - 1]):
                wrong.append(page.number)

    monkeypatch.setattr(pypdfium2.PdfPage, "render", slow_render)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, wrong) == (1, [])


def resident_mb() -> float:
    """Memory that this process holds, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
@pytest.mark.medium
def test_memory_stays_flat_over_400_pages(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(
        write_pdf(
            [
                Page(place(WHOLE), {"P": picture(np.full((750, 1000, 3), k % 200 + 20, np.uint8))})
                for k in range(400)
            ]
        )
    )
    early = 0.0
    for page in read_pages(path):
        assert int(page.image[0, 0, 0]) == (page.number - 1) % 200 + 20
        if page.number == 20:
            early = resident_mb()
    assert resident_mb() - early < 40  # all pages as pixels are 900 MB


# scans


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("matrix", "as_seen"),
    [
        (WHOLE, lambda a: a),
        ((-792, 0, 0, -612, 792, 612), lambda a: a[::-1, ::-1]),
        ((0, 612, -792, 0, 792, 0), lambda a: np.rot90(a, 1)),
        ((0, -612, 792, 0, 0, 612), lambda a: np.rot90(a, -1)),
        ((792, 0, 0, -612, 0, 612), lambda a: a[::-1]),
        ((0, 612, 792, 0, 0, 0), lambda a: np.rot90(a, 1)[:, ::-1]),
    ],
    ids=["upright", "half turn", "left turn", "right turn", "mirrored", "mirrored on its side"],
)
def test_a_scan_keeps_its_pixels_turned_as_matrix_and_page_say(
    rgb: np.ndarray, matrix: tuple[float, ...], as_seen: Callable[[np.ndarray], np.ndarray], rotate: int
) -> None:
    data = write_pdf([Page(place(matrix), {"P": picture(rgb)}, rotate=rotate)])
    (own,), (seen,) = read_pages(data), read_pages(data, dpi=50)
    np.testing.assert_array_equal(own.image, np.rot90(as_seen(rgb), -rotate // 90))
    small = PilImage.fromarray(own.image).resize(seen.image.shape[1::-1], PilImage.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - seen.image).mean() < 8  # PDFium sees the same


def test_the_resolution_of_a_scan_is_that_of_its_pixels(rgb: np.ndarray) -> None:
    (page,) = read_pages(write_pdf([Page(place(WHOLE), {"P": picture(rgb)})]))
    assert page.dpi == pytest.approx(WIDE / 11)


@pytest.mark.parametrize(
    ("before", "after", "extra"),
    [
        (b"1 1 1 rg 0 0 792 612 re f\n", b"", b""),
        (b"0 0 792 612 re W n\n", b"", b""),
        (b"", b"BT /F 12 Tf 3 Tr 100 100 Td (V1 25 mm/s) Tj ET\n", b""),
        (b"", b"", b"/CropBox [0 0 792 612] "),
    ],
    ids=["white paper below", "clipped by the page", "hidden text", "crop box of the page"],
)
def test_what_is_not_seen_leaves_a_scan_its_pixels(
    rgb: np.ndarray, before: bytes, after: bytes, extra: bytes
) -> None:
    content = before + place(WHOLE) + after
    (page,) = read_pages(write_pdf([Page(content, {"P": picture(rgb)}, extra=extra)]))
    np.testing.assert_array_equal(page.image, rgb)


def test_a_scan_within_a_form_keeps_its_pixels(rgb: np.ndarray) -> None:
    form = stream(
        b"/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Matrix [792 0 0 612 0 0] "
        b"/Resources << /XObject << /P 9001 0 R >> >>",
        b"q 1 0 0 1 0 0 cm /P Do Q",
    )
    data = write_pdf([Page(place((1, 0, 0, 1, 0, 0), "F1"), {"F1": form})], more={9001: picture(rgb)})
    (page,) = read_pages(data)
    np.testing.assert_array_equal(page.image, rgb)


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        (place(WHOLE) + b"BT /F 40 Tf 100 100 Td (V1) Tj ET", b""),
        (place(WHOLE) + b"0 0 0 rg 100 100 200 50 re f", b""),
        (place(WHOLE) + b"1 1 1 rg 100 100 200 50 re f", b""),
        (place(WHOLE) + place((100, 0, 0, 100, 0, 0)), b""),
        (place((742, 0, 0, 562, 25, 25)), b""),
        (place((1584, 0, 0, 1224, -396, -306)), b""),
        (place(WHOLE), b"/CropBox [0 0 600 612] "),
        (place((816, 0, 0, 630, -12, -9)), b""),
        (place((770, 60, -60, 590, 40, -20)), b""),
        (b"200 100 400 400 re W n " + place(WHOLE), b""),
        (b"", b""),
    ],
    ids=[
        "text", "black box", "white box", "second picture", "small", "larger than the page", "cropped",
        "cropped by a twentieth", "aslant", "clipped", "nothing",
    ],
)  # fmt: skip
def test_any_other_page_is_drawn(rgb: np.ndarray, content: bytes, extra: bytes) -> None:
    (page,) = read_pages(write_pdf([Page(content, {"P": picture(rgb)}, extra=extra)]))
    assert page.dpi == pytest.approx(300)
    assert page.image.shape[0] == 2550


def test_a_scan_with_a_note_on_it_is_drawn(rgb: np.ndarray) -> None:
    look = stream(b"/Type /XObject /Subtype /Form /BBox [0 0 3 3]", b"1 1 1 rg 0 0 3 3 re f")
    note = b"/Annots [<< /Type /Annot /Subtype /Stamp /F 4 /Rect [100 100 103 103] /AP << /N 9001 0 R >> >>] "
    data = write_pdf([Page(place(WHOLE), {"P": picture(rgb // 2)}, extra=note)], more={9001: look})
    (page,) = read_pages(data)
    assert page.image.shape == (2550, 3300, 3)
    assert (page.image[2127, 423] == 255).all()


def test_a_scan_with_a_mask_is_drawn_on_white(rgb: np.ndarray) -> None:
    mask = np.zeros((HIGH, WIDE), np.uint8)
    mask[: HIGH // 2] = 255
    data = write_pdf(
        [Page(place(WHOLE), {"P": picture(rgb, b"/SMask 9001 0 R")})], more={9001: picture(mask)}
    )
    (page,) = read_pages(data)
    assert page.image.shape == (2550, 3300, 3)
    assert (page.image[1300:] == 255).all()


@pytest.mark.parametrize("decode", [b"[0 1]", b"[1 0]"])
def test_black_and_white_scans_keep_black_and_white(decode: bytes) -> None:
    page = bars()
    bits = page if decode == b"[0 1]" else ~page
    entries = b"/BitsPerComponent 1 /ColorSpace /DeviceGray /Decode " + decode
    coded = coded_picture(WIDE, HIGH, entries, np.packbits(bits, axis=1).tobytes())
    (read,) = read_pages(write_pdf([Page(place(WHOLE), {"P": coded})]))
    at = [int((x + 0.5) * read.image.shape[1] / WIDE) for x in (10, 24, 45, 64, 184, 300)]
    assert [int(v) for v in read.image[50, at, 0]] == [255, 0, 255, 0, 0, 255]


def test_a_scan_with_a_palette_keeps_its_colours() -> None:
    index = np.zeros((HIGH, WIDE), np.uint8)
    index[:, WIDE // 2 :] = 1
    entries = b"/BitsPerComponent 8 /ColorSpace [/Indexed /DeviceRGB 1 <C81E1E1450DC>]"
    coded = coded_picture(WIDE, HIGH, entries, index.tobytes())
    (page,) = read_pages(write_pdf([Page(place(WHOLE), {"P": coded})]))
    assert [tuple(map(int, page.image[40, x])) for x in (10, -10)] == [(200, 30, 30), (20, 80, 220)]


# what is not read


def test_an_encrypted_pdf_asks_for_its_password(rgb: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "locked.pdf"
    path.write_bytes(write_pdf([Page(place(WHOLE), {"P": picture(rgb)})], password="Zürich".encode().hex()))
    for look in (count_pages, numbers):
        with pytest.raises(EcgPageError, match=r"locked\.pdf: needs a password: --password"):
            look(path)
        with pytest.raises(EcgPageError, match="the password does not open it"):
            look(path, password="wrong")
    (page,) = read_pages(path, password="Zürich".encode().hex())
    np.testing.assert_array_equal(page.image, rgb)


def test_a_password_that_nobody_asked_for_does_no_harm(drawn: Path) -> None:
    assert count_pages(drawn, password="secret") == 3


def test_a_truncated_pdf_is_refused_or_shows_what_it_still_holds(drawn: Path, tmp_path: Path) -> None:
    whole = drawn.read_bytes()
    for share in (0.05, 0.3, 0.6):
        path = tmp_path / "cut.pdf"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(EcgPageError, match=r"cut\.pdf"):
            numbers(path)


def test_a_pdf_is_known_by_its_content(drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(b"\n\n" + drawn.read_bytes())
    assert count_pages(path) == 3


def test_a_pdf_without_pages_is_not_blamed_for_the_password_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(write_pdf([Page(b"")], password="secret"))
    (tmp_path / "empty.pdf").write_bytes(write_pdf([]))
    with pytest.raises(EcgPageError, match="needs a password"):
        count_pages(tmp_path / "locked.pdf")
    with pytest.raises(EcgPageError, match="damaged, cut off or without pages"):
        count_pages(tmp_path / "empty.pdf")
