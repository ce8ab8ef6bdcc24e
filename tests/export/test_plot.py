"""The plot shows the signals to scale, leaves gaps empty, and says why a lead is missing."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.export.drawing import Drawing, Lines
from ecgpage.export.plot import plot_leads
from ecgpage.layout.types import PageLayout, Segment
from tests.export.pages import WHY, Page, make_page, random_page

FS = 500.0
SVG = "{http://www.w3.org/2000/svg}"


def waves(seconds: float = 10.0, fs: float = FS) -> np.ndarray:
    """(n, 12) mV: waves of 1 Hz and a size of each lead's own."""
    time_s = np.arange(round(seconds * fs)) / fs
    return np.sin(2 * np.pi * time_s)[:, None] * (0.2 + 0.1 * np.arange(12))


def as_printed(signal: np.ndarray, fs: float = FS, *, from_zero: bool = False) -> np.ndarray:
    """What a page of 3 x 4 leads with a strip of lead II shows of a signal; ``from_zero``: every column its first 2.5 s."""
    shown = np.full_like(signal, np.nan)
    for k in range(12):
        first = 0 if from_zero else round(k // 3 * 2.5 * fs)
        part = slice(first, first + round(2.5 * fs))
        shown[part, k] = signal[part, k]
    shown[:, 1] = signal[:, 1]
    return shown


def traces(drawing: Drawing) -> list[tuple[str, np.ndarray]]:
    """Lead and (n, 2) points, mm, of each line of a signal in the SVG."""
    root = ET.fromstring(drawing.to_svg())
    return [
        (
            line.get("data-lead", ""),
            np.array([pair.split(",") for pair in line.get("points", "").split()], float),
        )
        for line in root.iter(f"{SVG}polyline")
        if line.get("data-lead")
    ]


def texts(drawing: Drawing) -> list[str]:
    root = ET.fromstring(drawing.to_svg())
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def all_text(drawing: Drawing) -> str:
    return " ".join(texts(drawing))


# signals


def test_a_whole_page_has_twelve_leads_and_a_strip() -> None:
    drawn = traces(plot_leads(make_page(as_printed(waves()))))
    assert len(drawn) == 13
    assert sorted(lead for lead, _ in drawn) == sorted([*LEADS, "II"])


def test_the_lines_are_the_signals_to_scale() -> None:
    signal = as_printed(waves())
    drawn = traces(plot_leads(make_page(signal)))
    *cells, (strip_lead, strip) = drawn
    assert strip_lead == "II"
    left = strip[0, 0]
    for lead, points in [*cells, ("II", strip)]:
        column = LEADS.index(lead)
        time_s = (points[:, 0] - left) / 25
        level = np.interp(time_s, np.arange(len(signal)) / FS, signal[:, column])
        up_mm = points[0, 1] - points[:, 1]
        np.testing.assert_allclose(up_mm, 10 * (level - level[0]), atol=0.03)
        known = np.flatnonzero(np.isfinite(signal[:, column]))
        if points is not strip and lead != "II":
            assert time_s[0] == pytest.approx(known[0] / FS, abs=0.001)
            assert time_s[-1] == pytest.approx(known[-1] / FS, abs=0.001)
    assert strip[-1, 0] - left == pytest.approx(250, abs=0.1)


def test_rows_keep_apart_and_their_levels_lie_on_lines_of_the_paper() -> None:
    signal = waves() * 0
    signal[1000, 2], signal[1000, 0] = -2.5, 1.0
    cells = dict(traces(plot_leads(make_page(signal)))[:12])
    levels = [cells[lead][600, 1] for lead in ("I", "II", "III")]
    assert all(level % 5 == 0 for level in levels)
    assert min(np.diff(levels)) >= 20


def test_gaps_stay_gaps() -> None:
    signal = as_printed(waves())
    signal[300:500, 0] = np.nan
    drawn = [points for lead, points in traces(plot_leads(make_page(signal))) if lead == "I"]
    assert len(drawn) == 2
    assert drawn[1][0, 0] - drawn[0][-1, 0] == pytest.approx(201 / FS * 25, abs=0.02)


def test_columns_that_all_start_at_zero_are_shown_with_their_times() -> None:
    drawing = plot_leads(make_page(as_printed(waves(), from_zero=True)))
    assert len(traces(drawing)) == 13
    assert texts(drawing).count("0 - 2.5 s") == 9


@pytest.mark.parametrize(
    ("known_s", "strip"),
    [
        ({"II": 10.0}, "II"),
        ({"V1": 10.0}, "V1"),
        ({"V1": 10.0, "II": 9.0}, "II"),
        ({"II": 5.0}, "II"),
        ({}, None),
    ],
)
def test_the_strip_is_lead_ii_or_one_that_is_known_much_longer(
    known_s: dict[str, float], strip: str | None
) -> None:
    signal = waves()
    for k, lead in enumerate(LEADS):
        signal[round(known_s.get(lead, 2.5) * FS) :, k] = np.nan
    drawn = [lead for lead, _ in traces(plot_leads(make_page(signal)))]
    assert drawn[12:] == ([] if strip is None else [strip])


def test_of_a_longer_signal_the_first_ten_seconds_are_shown() -> None:
    drawing = plot_leads(make_page(waves(20.0)))
    assert max(points[:, 0].max() for _, points in traces(drawing)) < 272
    assert "the first 10 of 20 s" in all_text(drawing)


@pytest.mark.parametrize("seed", range(12))
def test_any_signal_gives_a_plot(seed: int) -> None:
    fs = (100.0, 250.0, 500.0)[seed % 3]
    page = random_page(seed, (1, 7, 499, 2503, 5000)[seed % 5], fs=fs)
    drawing = plot_leads(page)
    assert all(np.isfinite(points).all() for _, points in traces(drawing))
    assert drawing.to_image(2.0).shape[1] == 550


# words


def test_scale_names_and_counts_are_written() -> None:
    drawing = plot_leads(make_page(as_printed(waves())), "Record 7 <A & B>")
    words = texts(drawing)
    assert {*LEADS, "1 mV", "1 s", "Record 7 <A & B>", "25 mm/s, 10 mm/mV"} <= set(words)
    assert "12 of 12 leads read" in all_text(drawing)
    assert drawing.title == "Record 7 <A & B>"


def test_a_lead_that_was_not_read_says_why() -> None:
    signal = as_printed(waves())
    signal[:, 8] = np.nan
    drawing = plot_leads(make_page(signal))
    assert f"not read: {WHY}" in all_text(drawing)
    assert "11 of 12 leads read" in all_text(drawing)
    assert "V3" in texts(drawing)
    assert "V3" not in dict(traces(drawing))


def test_a_page_that_failed_has_twelve_reasons_and_its_own() -> None:
    page = make_page(np.full((5000, 12), np.nan), reasons=("no ECG grid found",))
    drawing = plot_leads(page)
    assert traces(drawing) == []
    assert all_text(drawing).count(f"not read: {WHY}") == 12
    assert "no ECG grid found" in texts(drawing)


def with_layout(signal: np.ndarray, start_s: float, seconds: float) -> Page:
    """Page on which lead V6 is printed for that time."""
    segment = Segment("V6", 0, 0.0, 25 * seconds, start_s, seconds, 20.0)
    return make_page(signal, layout=PageLayout([], [segment], [], [], 25.0, 10.0, 1.0))


@pytest.mark.parametrize(("seconds", "says"), [(2.5, "not read"), (1.0, "not printed")])
def test_a_gap_says_whether_anything_is_printed_there(seconds: float, says: str) -> None:
    signal = as_printed(waves())
    signal[round(8.8 * FS) :, 11] = np.nan
    words = texts(plot_leads(with_layout(signal, 7.5, seconds)))
    assert [word for word in words if word.startswith("not ")] == [says]


def test_a_gap_too_small_for_words_has_none() -> None:
    signal = as_printed(waves())
    signal[100:130, 0] = np.nan
    assert "not read" not in all_text(plot_leads(make_page(signal)))


# files


def test_the_picture_is_dark_on_the_line_and_paper_beside_it() -> None:
    signal = as_printed(waves() * 0 + 0.03)
    signal[300:500, 0] = np.nan
    drawing = plot_leads(make_page(signal))
    image = drawing.to_image(8.0).astype(int)
    for lead, points in traces(drawing):
        at = np.rint(points * 8 - 0.5).astype(int)[20:-20]
        assert image[at[:, 1], at[:, 0]].max() < 110, lead
        assert image[at[:, 1] + 10, at[:, 0]].min() > 150, lead
    first, second = (points for lead, points in traces(drawing) if lead == "I")
    middle = round((first[-1, 0] + second[0, 0]) * 4)
    assert image[round(first[-1, 1] * 8 - 0.5), middle].min() > 150


def test_a_png_prints_at_its_true_size(tmp_path: Path) -> None:
    path = plot_leads(make_page(as_printed(waves()))).save(tmp_path / "new" / "plot.png", px_per_mm=4.0)
    with PilImage.open(path) as picture:
        assert picture.size[0] == 275 * 4
        assert picture.info["dpi"][0] == pytest.approx(4 * 25.4, abs=0.1)


def test_an_svg_has_the_size_of_the_paper(tmp_path: Path) -> None:
    drawing = plot_leads(make_page(as_printed(waves())))
    path = drawing.save(tmp_path / "plot.svg")
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    width, height = drawing.size_mm
    assert (root.get("width"), root.get("height")) == (f"{width:g}mm", f"{height:g}mm")
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    assert drawing._repr_svg_() == path.read_text(encoding="utf-8")
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize(
    ("name", "says"), [("plot.pdf", "name it .svg or .png"), ("file/plot.svg", "cannot be written")]
)
def test_a_file_that_cannot_be_written_says_why(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EcgPageError, match=says):
        plot_leads(make_page(waves())).save(tmp_path / name)


def test_the_lines_of_a_drawing_keep_their_widths() -> None:
    line = Lines([np.array([[1.0, 5.0], [9.0, 5.0]])], (0, 0, 0), 0.5)
    dark = 255.0 - Drawing((10.0, 10.0), [line]).to_image(10.0)[:, 50, 0]
    assert dark.sum() / 255 == pytest.approx(5.0, abs=0.3)
    assert (np.arange(100) * dark).sum() / dark.sum() == pytest.approx(49.5, abs=0.2)
    thin = replace(line, width_mm=0.05)
    assert (255.0 - Drawing((10.0, 10.0), [thin]).to_image(10.0)[:, 50, 0]).sum() / 255 == pytest.approx(
        0.5, abs=0.1
    )


@pytest.mark.medium
def test_plots_need_neither_matplotlib_nor_pytorch() -> None:
    code = "import sys; import ecgpage.export.plot; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "torch"} & set(ran.stdout.split())
