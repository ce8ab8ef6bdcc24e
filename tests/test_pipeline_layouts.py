"""Signals of whole pages in other layouts: names wherever they stand, columns that start again, leads upside down."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.grid.grid_map import AXES, GridMap
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer
from ecgpage.results import RefusedPageError
from ecgpage.synth import DrawnPage
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.model import Page, Text
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.drawn import FS, lawful_record
from tests.layout.pages import MODEL, SHUFFLED, draw_clean, draw_styled
from tests.plotted import Plot, draw_plot


@cache
def digitizer() -> Digitizer:
    return Digitizer.load(MODEL)


def read_signals(page: DrawnPage) -> np.ndarray:
    """Signals (5000, 12) mV of a page whose grid and leads are known."""
    grid = exact_grid(page)
    boxes = true_boxes(page, grid)
    return digitizer().read_page(page.image, FS, 5000, grid=grid, boxes=boxes).signals.mv


def put_leads(page: Page, order: Sequence[int]) -> Page:
    """The page with other leads, and their names, in the places of the twelve."""
    moved = []
    for segment in page.segments:
        k = order[LEADS.index(segment.lead)]
        new = replace(segment, lead=LEADS[k], name=LEADS[k], channel=k)
        moved.append(segment if segment.strip else new)
    return replace(page, segments=tuple(moved))


def correlate(page: DrawnPage, mv: np.ndarray) -> list[float]:
    """Correlation of each lead with what was drawn of it, where both are known."""
    found = []
    for truth, read in zip(page.masked_signal.T, mv.T, strict=True):
        both = np.isfinite(truth) & np.isfinite(read)
        found.append(float(np.corrcoef(truth[both], read[both])[0, 1]) if both.sum() > 500 else 0.0)
    return found


@pytest.mark.medium
def test_the_output_follows_the_names_wherever_they_stand() -> None:
    page = draw_clean(put_leads(build_page(PageStyle(layout="3x4", top=30.0), 5000, FS), SHUFFLED), 200.0)
    reading = digitizer().read_page(page.image, FS, 5000, grid=exact_grid(page))
    assert [s.lead for s in reading.layout.segments] == [LEADS[k] for k in SHUFFLED]
    assert min(correlate(page, reading.signals.mv)) > 0.9


@pytest.mark.medium
def test_columns_that_all_start_at_the_beginning_are_told_by_the_strip() -> None:
    page = draw_styled(200.0, layout="3x4+1", continuous=False)
    mv = read_signals(page)
    others = np.isfinite(mv[:, [k for k, lead in enumerate(LEADS) if lead != "II"]])
    assert others[:1240].mean() > 0.95
    assert not others[1300:].any()
    assert min(correlate(page, mv)) > 0.9


@pytest.mark.medium
def test_minus_avr_in_cabrera_order_comes_out_upright() -> None:
    page = draw_styled(200.0, layout="cabrera 6x2")
    mv = read_signals(page)
    assert min(correlate(page, mv)) > 0.9


def test_boxes_of_another_page_whose_names_are_unclear_are_not_read() -> None:
    other, page = draw_styled(layout="6x2"), draw_styled(layout="12x1")
    boxes = true_boxes(other, exact_grid(other))
    unclear = replace(boxes, names=np.full_like(boxes.names, 0.5))
    with pytest.raises(RefusedPageError, match="no 12-lead ECG"):
        digitizer().read_page(page.image, FS, 5000, grid=exact_grid(page), boxes=unclear)


# --- rival grids ----------------------------------------------------------------------------------------------


def coarser(grid: GridMap, factor: int = 2) -> GridMap:
    """Map that takes every ``factor``-th line for the next one."""
    return replace(grid, nodes=grid.nodes[::factor, ::factor], quality=grid.quality[::factor, ::factor])


def read_among(
    page: DrawnPage, grids: Sequence[GridMap], monkeypatch: pytest.MonkeyPatch
) -> tuple[PageLayout, int]:
    """Layout of a page of which these grids are found, and the number of grids that were looked at."""
    taken: list[GridMap] = []

    def candidates(*_: object) -> Iterator[GridMap]:
        for grid in grids:
            taken.append(grid)
            yield grid

    reader = Digitizer.load(MODEL)
    monkeypatch.setattr(reader, "_grids", candidates)
    return reader.read_layout(page.image)[1], len(taken)


def printed_page() -> DrawnPage:
    texts = (Text("25 mm/s", 30.0, 198.0, 3.5), Text("10 mm/mV", 60.0, 198.0, 3.5))
    return draw_styled(150.0, layout="3x4+1", texts=texts, bottom=25.0)


@pytest.mark.medium
def test_a_page_that_fits_its_grid_is_read_on_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    page = printed_page()
    grid = replace(exact_grid(page), log_odds=10.0)
    layout, looked_at = read_among(page, [grid, coarser(grid)], monkeypatch)
    assert looked_at == 1
    assert (layout.speed_mm_per_s, layout.gain_mm_per_mv) == (25.0, 10.0)
    assert layout.scale_margin > 3.0


@pytest.mark.medium
def test_print_pulses_and_lengths_overrule_a_grid_of_another_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = printed_page()
    grid = replace(exact_grid(page), log_odds=10.0)
    wrong = replace(coarser(grid), log_odds=11.0)
    layout, looked_at = read_among(page, [wrong, grid], monkeypatch)
    assert looked_at == 2
    assert (layout.speed_mm_per_s, layout.gain_mm_per_mv) == (25.0, 10.0)
    ends = [(s.x0_mm, s.x1_mm) for s in layout.segments]
    assert max(b for _, b in ends) - min(a for a, _ in ends) == pytest.approx(250.0, abs=2.0)


@pytest.mark.medium
def test_print_that_beats_like_a_grid_where_none_shows_is_weighed_against_the_scale_of_pulses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = printed_page()
    true = replace(exact_grid(page), source="calibration pulses and length of the rows")
    ny, nx = true.quality.shape
    finer = true.to_image(*np.meshgrid(4.6 * np.arange(nx), 4.6 * np.arange(ny)))
    chance = replace(true, nodes=np.stack(finer, axis=-1), source="periodic grid", log_odds=0.5)
    layout, looked_at = read_among(page, [chance, true], monkeypatch)
    assert looked_at == 2
    ends = [(s.x0_mm, s.x1_mm) for s in layout.segments]
    assert max(b for _, b in ends) - min(a for a, _ in ends) == pytest.approx(250.0, abs=2.0)


@pytest.mark.medium
def test_a_plot_whose_squares_are_not_square_is_read_by_the_numbers_of_its_axes() -> None:
    plot = Plot(77.0, 40.0, seconds=4.0)
    reading = digitizer().read_page(draw_plot(plot), FS, 5000)
    assert reading.grid.source == AXES
    assert [s.lead for s in sorted(reading.layout.segments, key=lambda s: (s.row, s.x0_mm))] == list(LEADS)
    assert (reading.layout.speed_mm_per_s, reading.layout.gain_mm_per_mv) == (25.0, 10.0)
    assert not any("assumed" in note for note in reading.layout.notes)
    assert {round(s.start_s, 2) for s in reading.signals.segments} == {0.0}
    assert all(s.duration_s == pytest.approx(4.0, abs=0.02) for s in reading.signals.segments)
    mv, drawn = reading.signals.mv[: round(4 * FS)], lawful_record()[: round(4 * FS)]
    sizes = np.nanmax(mv[50:-50], axis=0) - np.nanmin(mv[50:-50], axis=0)
    assert sizes == pytest.approx(np.ptp(drawn[50:-50], axis=0), rel=0.12)
