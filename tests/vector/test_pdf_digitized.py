"""PDF pages from the file to the answer: by their lines where they show an ECG, by their picture where they do not."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ecgpage.image.documents import read_pages
from ecgpage.pipeline import Digitizer
from ecgpage.reader import Reader
from tests.image.pdf_bytes import Page, picture, place, write_pdf
from tests.vector.ecg_pdfs import FS, PT_PER_MM, draw_3x4, ecg, grid, pdf_of, polyline, snr_db

pytestmark = pytest.mark.medium
MV = ecg()
N_SAMPLES = round(10 * FS)


@cache
def digitizer() -> Digitizer:
    return Digitizer.load(Path(__file__).parents[2] / "model")


def test_the_answer_says_that_lines_were_read(tmp_path: Path) -> None:
    drawn = draw_3x4(MV)
    (page,) = read_pages(pdf_of(drawn.content))
    found = Reader("cpu").digitize(page)
    assert found.status == "ok"
    assert {reading.source for reading in found.readings.values()} == {"path"}
    assert snr_db(drawn.truth, found.signal) > 80
    found.save(tmp_path, ["json"])
    report = json.loads((tmp_path / "ecg.json").read_text())
    assert {lead["source"] for lead in report["leads"].values()} == {"path"}
    assert report["leads"]["V5"]["expected_snr_db"] > 70


def test_lines_are_sampled_at_any_rate() -> None:
    drawn = draw_3x4(MV)
    (page,) = read_pages(pdf_of(drawn.content))
    reading = digitizer().read_page(page.image, 100.0, 1000, drawing=page.drawing)
    assert snr_db(drawn.truth[::5], reading.signals.mv) > 80


def test_names_are_read_on_the_picture_where_the_text_has_none() -> None:
    drawn = draw_3x4(MV, names=False)
    (page,) = read_pages(pdf_of(drawn.content))
    reading = digitizer().read_page(page.image, FS, N_SAMPLES, drawing=page.drawing)
    assert {r.source for r in reading.signals.readings} == {"path"}
    assert snr_db(drawn.truth, reading.signals.mv) > 80
    assert any("picture" in note for note in reading.layout.notes)


@pytest.mark.parametrize("size", [1.0, 0.9])
def test_the_grid_may_be_a_picture_below_the_curves(size: float) -> None:
    """At its own size it is known exactly, at any other as well as the picture tells."""
    unit = size * PT_PER_MM
    wide, high = 270 * unit, 200 * unit
    (paper,) = read_pages(pdf_of(grid(270, 200, unit), size=(wide, high)))
    drawn = draw_3x4(MV, unit=unit, with_grid=False, marks=False)
    content = b"".join(
        line + b"\n" for line in drawn.content.split(b"\n") if not line.startswith(b"%.5f " % (4 * unit))
    )
    below = place((wide, 0, 0, high, 0, 0))
    (page,) = read_pages(write_pdf([Page(below + content, {"P": picture(paper.image)}, (wide, high))]))
    reading = digitizer().read_page(page.image, FS, N_SAMPLES, drawing=page.drawing)
    assert {r.source for r in reading.signals.readings} == {"path"}
    assert snr_db(drawn.truth, reading.signals.mv) > (80 if size == 1.0 else 25)


def test_a_picture_with_lines_around_it_is_read_as_a_picture() -> None:
    """A scan in a report: its frame, rulers and a trend of the heart rate are no ECG."""
    (page,) = read_pages(pdf_of(draw_3x4(MV).content))
    wide, high = 270 * PT_PER_MM, 200 * PT_PER_MM
    x = np.linspace(30, 400, 300)
    around = b"0 0 1 RG 1 w\n" + b"".join(
        polyline(x, high + 20 + 8 * k + 3 * np.sin(x / 9 + k)) for k in range(4)
    )
    size = (wide, high + 60)
    content = place((wide, 0, 0, high, 0, 0)) + around
    (mixed,) = read_pages(write_pdf([Page(content, {"P": picture(page.image)}, size)]))
    assert mixed.drawing is not None
    reading = digitizer().read_page(mixed.image, FS, N_SAMPLES, drawing=mixed.drawing)
    assert {r.source for r in reading.signals.readings} == {"network"}
    assert any("read from the picture of the PDF" in note for note in reading.layout.notes)
