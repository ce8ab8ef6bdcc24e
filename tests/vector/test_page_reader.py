"""A page that is drawn with lines is read by them, however a PDF writes them, or refused with the reason."""

import io

import numpy as np
import pypdfium2
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.grid.grid_map import GridMap
from ecgpage.image.documents import read_pages
from ecgpage.layout.boxes import PageBoxes
from ecgpage.signal.assembly import assemble
from ecgpage.signal.expected_snr import FLAT_MV
from ecgpage.signal.types import PageSignals
from ecgpage.vector.page_reader import PathPage, read_path_page
from tests.image.pdf_bytes import Page, stream, write_pdf
from tests.vector.ecg_pdfs import FS, PT_PER_MM, Drawn, draw_3x4, ecg, grid, pdf_of, polyline, snr_db, text

MV = ecg()
FORM = b"/Type /XObject /Subtype /Form /BBox [-2000 -2000 2000 2000] "


def read(pdf: bytes) -> tuple[PathPage, PageSignals]:
    """Reading of the first page by its lines alone: nothing is found on its picture."""
    (page, *_) = read_pages(pdf)
    assert page.drawing is not None
    found = read_path_page(page.drawing, page.image, 10.0)
    return found, assemble(found.traces, found.layout, FS, round(10 * FS))


def check(pdf: bytes, drawn: Drawn, least_db: float = 80.0) -> PathPage:
    found, signals = read(pdf)
    assert {r.source for r in signals.readings} == {"path"}
    assert snr_db(drawn.truth, signals.mv) > least_db
    return found


def test_samples_come_back_as_they_were_drawn() -> None:
    drawn = draw_3x4(MV)
    found = check(pdf_of(drawn.content), drawn, 85.0)
    assert (found.layout.speed_mm_per_s, found.layout.gain_mm_per_mv) == (25.0, 10.0)
    assert len(found.layout.segments) == 13
    assert [s.lead for s in found.layout.segments if s.is_strip] == ["II"]
    assert not found.layout.notes
    assert found.grid.source == "1 mm lines"


def test_the_expected_snr_is_honest() -> None:
    drawn = draw_3x4(MV)
    rounded = draw_3x4(MV, line=lambda x, y: polyline(np.asarray(x), np.round(np.asarray(y) / 0.24) * 0.24))
    for page, least, most in ((drawn, 85.0, 120.0), (rounded, 20.0, 45.0)):
        _, signals = read(pdf_of(page.content))
        expected = [r.snr_db for r in signals.readings]
        assert least < np.median(expected) < most
        for k, promised in enumerate(expected):
            alone = np.full_like(page.truth, np.nan)
            alone[:, k] = page.truth[:, k]
            if np.nanstd(alone) > FLAT_MV:  # flatter ones are rated by how they look
                assert abs(snr_db(alone, signals.mv) - promised) < 10.0


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_may_be_turned(turn: int) -> None:
    """The content is written so that the page is upright when it is turned."""
    drawn = draw_3x4(MV)
    wide, high = 270 * PT_PER_MM, 200 * PT_PER_MM
    matrix = {
        0: (1, 0, 0, 1, 0, 0),
        90: (0, 1, -1, 0, high, 0),
        180: (-1, 0, 0, -1, wide, high),
        270: (0, -1, 1, 0, 0, wide),
    }[turn]
    size = (wide, high) if turn % 180 == 0 else (high, wide)
    content = b"%g %g %g %g %g %g cm\n" % matrix + drawn.content
    found = check(pdf_of(content, size=size, rotate=turn), drawn)
    x, y = found.grid.to_image(np.array([found.layout.segments[0].x0_mm]), np.array([0.0]))
    assert np.isfinite([x, y]).all()


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_page_that_lies_on_its_side_is_read_by_its_text(quarter: int) -> None:
    drawn = draw_3x4(MV)
    wide, high = 270 * PT_PER_MM, 200 * PT_PER_MM
    matrix = {1: (0, 1, -1, 0, high, 0), 2: (-1, 0, 0, -1, wide, high), 3: (0, -1, 1, 0, 0, wide)}[quarter]
    content = b"%g %g %g %g %g %g cm\n" % matrix + drawn.content
    check(pdf_of(content, size=(high, wide) if quarter % 2 else (wide, high)), drawn)


def test_forms_in_forms_and_their_matrices() -> None:
    drawn = draw_3x4(MV, with_grid=False)
    inner = stream(
        FORM + b"/Matrix [0.5 0 0 0.5 30 10] /Resources << /Font << /F 3 0 R >> >>",
        b"2 0 0 2 -60 -20 cm\n" + drawn.content,
    )
    outer = stream(
        FORM + b"/Matrix [0 1 -1 0 0 0] /Resources << /XObject << /I 9002 0 R >> >>",
        b"q 0 -1 1 0 0 0 cm /I Do Q\n",
    )
    lines = stream(FORM + b"/Resources << >>", grid(270, 200))
    page = Page(
        b"/G Do q /O Do Q\n",
        {"G": lines},
        (270 * PT_PER_MM, 200 * PT_PER_MM),
    )
    content = write_pdf([page], more={9002: inner, 9001: outer}).replace(
        b"/XObject << /G", b"/XObject << /O 9001 0 R /G"
    )
    check(_repair(content), drawn)


def _repair(pdf: bytes) -> bytes:
    """The file with its table of places made anew by PDFium."""
    document = pypdfium2.PdfDocument(pdf)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def test_units_of_a_page_may_be_any() -> None:
    """A page drawn at 0.8 of its size: its grid tells."""
    drawn = draw_3x4(MV, unit=0.8 * PT_PER_MM)
    found = check(pdf_of(drawn.content), drawn)
    assert found.layout.gain_mm_per_mv == 10.0


@pytest.mark.parametrize("count", [1, 7, 100])
def test_curves_are_joined_from_pieces(count: int) -> None:
    """A path for every sample, or for every hundred, end to end."""

    def pieces(x: np.ndarray, y: np.ndarray) -> bytes:
        ends = range(0, len(x) - 1, count)
        return b"".join(polyline(x[k : k + count + 1], y[k : k + count + 1]) for k in ends)

    drawn = draw_3x4(MV, line=pieces)
    check(pdf_of(drawn.content), drawn)


def test_pieces_between_which_the_pen_was_lifted_are_joined() -> None:
    def pieces(x: np.ndarray, y: np.ndarray) -> bytes:
        return b"".join(polyline(x[k : k + 50], y[k : k + 50]) for k in range(0, len(x), 50))

    drawn = draw_3x4(MV, line=pieces)
    check(pdf_of(drawn.content), drawn)


def test_curves_of_all_leads_drawn_sample_by_sample() -> None:
    """A recorder draws a step of every lead in turn."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(x: np.ndarray, y: np.ndarray) -> bytes:
        parts.append((x, y))
        return b""

    drawn = draw_3x4(MV, line=keep)
    out = [drawn.content]
    for k in range(1, max(len(x) for x, _ in parts)):
        out += [polyline(x[k - 1 : k + 1], y[k - 1 : k + 1]) for x, y in parts if k < len(x)]
    check(pdf_of(b"".join(out)), drawn)


def test_a_row_drawn_in_one_go_is_cut_at_its_names() -> None:
    rows: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {}

    def keep(x: np.ndarray, y: np.ndarray) -> bytes:
        rows.setdefault(len(rows) if len(x) > 2000 else len(rows) - 1 if x[0] > 50 else len(rows), []).append(
            (x, y)
        )
        return b""

    drawn = draw_3x4(MV, line=keep, marks=False)
    lines = [
        polyline(np.concatenate([x for x, _ in row]), np.concatenate([y for _, y in row]))
        for row in rows.values()
    ]
    assert len(lines) == 4
    check(pdf_of(drawn.content + b"0 0 0 RG 0.5 w\n" + b"".join(lines)), drawn)


def test_pulses_drawn_in_one_go_with_their_rows_are_cut_off() -> None:
    def with_pulse(x: np.ndarray, y: np.ndarray) -> bytes:
        if x[0] > 50:
            return polyline(x, y)
        foot = round(float(np.median(y)), 2)
        edges = x[0] + np.array([-7.9, -7, -7, -2, -2]) * PT_PER_MM
        heights = foot + np.array([0, 0, 10, 10, 0]) * PT_PER_MM
        return polyline(np.concatenate([edges, x]), np.concatenate([heights, y]))

    drawn = draw_3x4(MV, line=with_pulse)
    content = b"".join(
        line + b"\n" for line in drawn.content.split(b"\n") if not line.startswith(b"11.33858 ")
    )
    assert len(content) < len(drawn.content)
    check(pdf_of(content), drawn)


def test_what_a_clip_cuts_off_is_not_read() -> None:
    """The page is seen through a window that ends in the last column."""
    drawn = draw_3x4(MV)
    seen_mm = 12 + 25 * 9.0
    content = b"q 0 0 %g 2000 re W n\n" % (seen_mm * PT_PER_MM) + drawn.content + b"Q\n"
    _, signals = read(pdf_of(content))
    beyond = round(9.0 * FS) + 2
    assert not np.isfinite(signals.mv[beyond:]).any()
    assert snr_db(drawn.truth[: beyond - 4], signals.mv) > 80


def test_curves_that_are_covered_are_not_read() -> None:
    drawn = draw_3x4(MV)
    cover = b"1 g 0 0 2000 2000 re f\n"
    with pytest.raises(EcgPageError):
        read(pdf_of(drawn.content + cover))


def test_a_page_without_a_grid_has_its_own_size_if_pulses_agree() -> None:
    drawn = draw_3x4(MV, with_grid=False)
    found = check(pdf_of(drawn.content), drawn)
    assert "pulses" in found.grid.source


def test_names_come_from_the_picture_where_the_text_has_none() -> None:
    drawn = draw_3x4(MV, names=False)
    (page,) = read_pages(pdf_of(drawn.content))
    named = read(pdf_of(draw_3x4(MV).content))[0]
    chances = np.full((13, 12), 0.001)
    for k, segment in enumerate(named.layout.segments):
        chances[k, LEADS.index(segment.lead)] = 0.98

    def see(grid_map: GridMap) -> PageBoxes:
        """What a detector sees: each lead, a millimetre off."""
        shift = np.random.default_rng(0).normal(0, 0.4, (13, 4))
        boxes = [(s.x0_mm, s.zero_mm - 8, s.x1_mm, s.zero_mm + 8) for s in named.layout.segments]
        return PageBoxes(np.array(boxes) + shift, np.full(13, 0.95), chances, np.zeros((0, 4)))

    assert page.drawing is not None
    with pytest.raises(EcgPageError):
        read_path_page(page.drawing, page.image, 10.0)
    found = read_path_page(page.drawing, page.image, 10.0, picture_boxes=see)
    signals = assemble(found.traces, found.layout, FS, round(10 * FS))
    assert snr_db(drawn.truth, signals.mv) > 80
    assert any("picture" in note for note in found.layout.notes)


def test_speed_and_gain_are_those_of_the_text() -> None:
    """50 mm/s, 20 mm/mV: the same curves mean half the time and half the voltage."""
    drawn = draw_3x4(MV, marks=False)
    content = drawn.content.replace(b"25 mm/s   10 mm/mV", b"50 mm/s,  20 mm/mV")
    tall = b"0 0 0 RG " + b"".join(
        polyline(
            np.array([1, 1.5, 1.5, 11.5, 11.5, 11.8]) * PT_PER_MM,
            (level + np.array([0, 0, 20, 20, 0, 0])) * PT_PER_MM,
        )
        for level in (165, 127, 89)
    )
    kept = b"".join(line + b"\n" for line in content.split(b"\n") if not line.startswith(b"11.33858 "))
    found, _ = read(pdf_of(kept + tall))
    assert (found.layout.speed_mm_per_s, found.layout.gain_mm_per_mv) == (50.0, 20.0)


def test_lines_that_are_no_ecg_are_refused() -> None:
    plan = b"0 0 0 RG\n" + b"".join(polyline([20, 700], [k * 20, k * 20 + 5]) for k in range(25))
    with pytest.raises(EcgPageError):
        read(pdf_of(grid(270, 200) + plan + text(30, 30, "a plan of a house")))


def test_a_simplified_curve_is_as_good_as_its_points() -> None:
    """Only points off the line past their neighbours are drawn: what is read is the line through them."""
    truths: list[np.ndarray] = []

    def thin(x: np.ndarray, y: np.ndarray) -> bytes:
        kept = [0]
        for k in range(1, len(x) - 1):
            a = kept[-1]
            between = y[a] + (y[k + 1] - y[a]) * (x[a : k + 2] - x[a]) / (x[k + 1] - x[a])
            if np.abs(between - y[a : k + 2]).max() > 0.08:
                kept.append(k)
        kept.append(len(x) - 1)
        truths.append(np.interp(x, x[kept], y[kept]))
        return polyline(x[kept], y[kept])

    drawn = draw_3x4(MV, line=thin)
    _, signals = read(pdf_of(drawn.content))
    order = [COLUMN_LEAD[k] for k in range(12)]
    for k, lead in enumerate(order):
        column = k % 4
        values = truths[k] / PT_PER_MM / 10
        there = signals.mv[column * 1250 : (column + 1) * 1250, LEADS.index(lead)].astype(float)
        if lead == "II":
            continue
        known = np.isfinite(there)
        assert known.mean() > 0.99
        off = (there - values)[known]
        assert np.std(off) < 1e-3 * np.std(values)


COLUMN_LEAD = [column[row] for row in range(3) for column in (LEADS[:3], LEADS[3:6], LEADS[6:9], LEADS[9:])]
