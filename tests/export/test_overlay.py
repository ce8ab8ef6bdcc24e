"""Overlays show the ECG upright with what was read on it, hide what may name a patient, and hide no failure."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.types import Array, Image
from ecgpage.export.overlay import BLUR_NOTE, Area, describe_scale, draw_overlay, lay_sheet
from ecgpage.export.overlay_marks import Sheet
from ecgpage.export.page_view import MIN_WIDTH_PX, tell_angle, view_page
from tests.export.drawn_page import HEADER_MM, LEVELS_MM, Drawn, draw_page, turned_map

TURNS = (0.0, 90.0, 180.0, 270.0, 0.5, 17.0, -35.0, 200.0)
"""Angles, degrees, at which pages lie."""


def sheet_of(drawn: Drawn, **options: object) -> Sheet:
    sheet = lay_sheet(drawn.image, drawn.page, **{"width_px": 1200, **options})  # type: ignore[arg-type]
    assert isinstance(sheet, Sheet)
    return sheet


def colours(sheet: Sheet, x_mm: Array, y_mm: Array) -> np.ndarray:
    """(n, 3) colours at places of the page that lie on the sheet."""
    at = np.rint(sheet.place(x_mm, y_mm)).astype(int)
    inside = ((at >= 0) & (at < sheet.canvas.shape[1::-1])).all(axis=1)
    return sheet.canvas[at[inside, 1], at[inside, 0]].astype(int)


def header(sheet: Sheet) -> np.ndarray:
    """(n, 3) colours of the header as far as it is on the sheet."""
    x0, y0, x1, y1 = HEADER_MM
    x, y = np.meshgrid(np.linspace(x0 + 1, x1 - 1, 40), np.linspace(y0 + 1, y1 - 1, 10))
    return colours(sheet, x.ravel(), y.ravel())


def is_red(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 0] > 150) & (rgb[..., 1] < 90) & (rgb[..., 2] < 90)


def is_amber(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 0] > rgb[..., 1] + 30) & (rgb[..., 1] > rgb[..., 2] + 20)


# the picture


@pytest.mark.parametrize("degrees", TURNS)
def test_a_page_is_shown_upright(degrees: float) -> None:
    sheet = sheet_of(draw_page(degrees))
    ends = sheet.place(np.array([20.0, 260.0]), np.array([70.0, 70.0]))
    assert ends[1, 0] - ends[0, 0] > 0.8 * sheet.canvas.shape[1]
    assert abs(ends[1, 1] - ends[0, 1]) < 0.02 * sheet.canvas.shape[1]


def test_a_page_that_lies_straight_keeps_its_pixels() -> None:
    assert tell_angle(draw_page(0.5).page.grid) == 0.0
    assert np.degrees(tell_angle(draw_page(17.0).page.grid)) == pytest.approx(17, abs=0.5)


@pytest.mark.parametrize("degrees", TURNS)
def test_ink_is_where_the_view_places_it(degrees: float) -> None:
    drawn = draw_page(degrees)
    sheet = sheet_of(drawn, area="page")
    x0, y0, x1, y1 = HEADER_MM
    x, y = np.meshgrid(np.linspace(x0 - 3, x1 + 3, 300), np.linspace(y0 - 3, y1 + 3, 60))
    black = colours(sheet, x.ravel(), y.ravel()).max(axis=1) < 160
    within = ((x > x0) & (x < x1) & (y > y0) & (y < y1)).ravel()
    assert (black == within).mean() > 0.97


@pytest.mark.parametrize("degrees", [0.0, 90.0, 17.0])
@pytest.mark.parametrize("width_px", [700, 1600, 3000])
def test_a_dot_is_placed_to_a_tenth_of_a_pixel(degrees: float, width_px: int) -> None:
    grid, (wide, high) = turned_map(degrees)
    picture = np.zeros((high, wide, 3), np.uint8)
    left, top = wide // 3, high // 2
    picture[top - 8 : top + 9, left - 8 : left + 9] = 255
    view = view_page(picture, grid, None, width_px)
    rows, columns = np.mgrid[: view.size_px[1], : view.size_px[0]]
    ((x, y),) = view.place(np.array([float(left)]), np.array([float(top)]))
    near = (abs(rows - y) < 20 * view.scale) & (abs(columns - x) < 20 * view.scale)
    light = np.where(near, view.show(picture)[..., 0], 0).astype(float)
    assert abs((light * columns).sum() / light.sum() - x) < 0.1
    assert abs((light * rows).sum() / light.sum() - y) < 0.1


@pytest.mark.parametrize("degrees", TURNS[1::3])
def test_the_header_is_blanked_unless_the_page_is_asked_for(degrees: float) -> None:
    drawn = draw_page(degrees)
    assert (header(sheet_of(drawn)) == 255).all()
    assert (header(sheet_of(drawn, area="none")) == 255).all()
    assert header(sheet_of(drawn, area="page")).mean() < 120


def test_a_tall_beat_does_not_open_the_header_beside_it() -> None:
    drawn = draw_page()
    trace = drawn.page.traces[3]  # V4, the last of the first row
    tall = replace(trace, y_mm=np.where(np.abs(trace.x_mm - 250) < 1, 8.0, trace.y_mm))
    page = replace(drawn.page, traces=[*drawn.page.traces[:3], tall, *drawn.page.traces[4:]])
    sheet = sheet_of(replace(drawn, page=page))
    left = np.linspace(21, 170, 50)
    assert (colours(sheet, left, np.full(50, 12.0)) == 255).all()
    assert is_red(colours(sheet, np.array([250.0]), np.array([8.0]))).all()


def test_without_a_picture_only_what_was_read_remains() -> None:
    one, other = (draw_overlay(d.image, d.page, area="none") for d in (draw_page(), draw_page(noise=1)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("px_per_mm", "width_px"), [(2.5, 1800), (6.0, 1800), (8.0, 2400), (6.0, 900)])
def test_an_overlay_is_wide_enough_to_read_and_no_wider_than_allowed(px_per_mm: float, width_px: int) -> None:
    drawn = draw_page(px_per_mm=px_per_mm)
    width = draw_overlay(drawn.image, drawn.page, width_px=width_px).shape[1]
    assert min(MIN_WIDTH_PX, width_px) - 2 <= width <= width_px


def test_the_picture_that_was_given_is_left_alone() -> None:
    drawn = draw_page()
    before = drawn.image.copy()
    draw_overlay(drawn.image, drawn.page)
    np.testing.assert_array_equal(drawn.image, before)


def test_an_unknown_area_is_refused() -> None:
    drawn = draw_page()
    with pytest.raises(ValueError, match="ecg, page, none"):
        draw_overlay(drawn.image, drawn.page, area="header")  # type: ignore[arg-type]


# what was read


@pytest.mark.parametrize("degrees", [0.0, 17.0, 180.0])
@pytest.mark.parametrize("area", ["ecg", "page"])
def test_traces_are_red_where_they_were_read(degrees: float, area: Area) -> None:
    drawn = draw_page(degrees)
    sheet = sheet_of(drawn, area=area)
    red = [is_red(colours(sheet, t.x_mm[100:], t.y_mm[100:])).mean() for t in drawn.page.traces]
    assert min(red) > 0.85  # names may lie on the beginning
    off = np.linspace(20, 260, 200)
    assert not is_red(colours(sheet, off, np.full(200, LEVELS_MM[1] + 7.5))).any()


def test_lines_of_the_grid_follow_the_map() -> None:
    drawn = draw_page()
    sheet = sheet_of(drawn)
    x = np.linspace(150, 260, 300)
    on, between = (colours(sheet, x, np.full(300, y)) for y in (75.0, 77.5))
    level = on.mean(axis=0) - between.mean(axis=0)
    assert level[0] < -40  # teal takes red away
    assert level[0] < level[1] - 15


def test_no_grid_is_drawn_where_none_was_seen() -> None:
    drawn = draw_page()
    assumed = replace(drawn.page, grid=replace(drawn.page.grid, source="length of the rows"))
    sheet = sheet_of(replace(drawn, page=assumed))
    x = np.linspace(150, 260, 300)
    plain = colours(sheet, x, np.full(300, 75.0))
    assert (plain.max(axis=1) - plain.min(axis=1) < 5).all()


@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_a_gap_is_hatched_and_nothing_else_is(degrees: float) -> None:
    sheet = sheet_of(draw_page(degrees, gaps={"V2": (150.0, 180.0)}))
    x, y = np.meshgrid(np.linspace(151, 179, 80), np.linspace(60, 70, 30))
    assert 0.05 < is_amber(colours(sheet, x.ravel(), y.ravel())).mean() < 0.6
    assert not is_red(colours(sheet, x.ravel(), y.ravel())).any()
    around = np.concatenate([np.linspace(20, 145, 300), np.linspace(185, 260, 200)])
    for level in LEVELS_MM:
        assert not is_amber(colours(sheet, around, np.full(500, level + 3.3))).any()


def test_a_lead_that_was_not_read_has_its_reason_instead_of_its_trace() -> None:
    plain, lacking = (sheet_of(draw_page(unread=u)) for u in ({}, {"aVF": "covered by a label"}))
    x, y = np.meshgrid(np.linspace(80, 138, 300), np.linspace(85, 95, 80))
    assert is_red(colours(plain, x.ravel(), y.ravel())).any()
    here = colours(lacking, x.ravel(), y.ravel())
    assert not is_red(here).any()
    assert is_amber(here).mean() > 0.05
    other = sheet_of(draw_page(unread={"aVF": "more noise than signal"}))
    assert (lacking.canvas != other.canvas).any()  # the reason is written there


def test_a_strip_that_repeats_no_lead_is_hatched() -> None:
    drawn = draw_page()
    signals = replace(drawn.page.signals, segments=drawn.page.signals.segments[:-1])
    sheet = sheet_of(replace(drawn, page=replace(drawn.page, signals=signals)))
    x = np.linspace(40, 250, 500)
    assert is_amber(colours(sheet, x, np.full(500, LEVELS_MM[3] + 4.0))).mean() > 0.05


# the caption


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "25 mm/s, 10 mm/mV, read"),
        (
            {"notes": ("25 mm/s assumed: no pulse", "10 mm/mV assumed: no pulse")},
            "25 mm/s, 10 mm/mV, assumed",
        ),
        ({"notes": ("10 mm/mV assumed: no pulse",)}, "25 mm/s read, 10 mm/mV assumed"),
        ({"speed_mm_per_s": 50.0, "notes": ("25 mm/s assumed",)}, "50 mm/s assumed, 10 mm/mV read"),
    ],
)
def test_the_scale_says_whether_it_was_read(changes: dict[str, object], says: str) -> None:
    assert describe_scale(draw_page(layout=changes).page.layout) == says


def test_two_gains_are_both_told() -> None:
    layout = draw_page().page.layout
    halved = [replace(s, gain_mm_per_mv=-5.0) if s.lead.startswith("V") else s for s in layout.segments]
    assert describe_scale(replace(layout, segments=halved)) == "25 mm/s, 10 and 5 mm/mV, read"


def caption(overlay: Image, sheet: Sheet) -> Image:
    return overlay[sheet.canvas.shape[0] :]


def test_the_caption_grows_with_what_it_has_to_say() -> None:
    drawn = draw_page()
    notes = draw_page(layout={"notes": ("25 mm/s assumed: no pulse", "4 leads named by the layout alone")})
    short, long = (caption(draw_overlay(d.image, d.page), sheet_of(d, width_px=1800)) for d in (drawn, notes))
    assert (short < 128).any()
    assert long.shape[0] > 1.3 * short.shape[0]
    assert (long[short.shape[0] :] < 128).any()


# pages that failed


def test_a_page_that_failed_shows_where_the_ecg_was_located() -> None:
    drawn = draw_page(17.0)
    located = drawn.page.located
    overlay = draw_overlay(drawn.image, None, located=located, reasons=["I + III and II do not agree"])
    sheet = lay_sheet(drawn.image, None, located=located)
    assert isinstance(sheet, Sheet)
    assert (header(sheet) == 255).all()
    assert not is_red(sheet.canvas).any()
    for level in LEVELS_MM[:3]:
        x = np.linspace(30, 250, 600)
        assert is_amber(colours(sheet, x, np.full(600, level + 4.0))).mean() > 0.05
    assert is_amber(caption(overlay, sheet).astype(int)).any()


def letters(image: Image) -> float:
    """Largest step, grey levels, from one pixel to the next."""
    return float(np.abs(np.diff(image.astype(int), axis=1)).max())


def test_a_page_on_which_nothing_was_located_is_blurred() -> None:
    drawn = draw_page()
    reasons = ["no ECG grid found"]
    shown = {area: lay_sheet(drawn.image, None, area=area) for area in ("ecg", "page", "none")}
    assert all(isinstance(picture, np.ndarray) for picture in shown.values())
    assert letters(shown["ecg"]) < 25  # type: ignore[arg-type]
    assert letters(shown["page"]) > 150  # type: ignore[arg-type]
    assert shown["ecg"].std() > 5  # type: ignore[union-attr]
    assert (shown["none"] == 255).all()
    overlay, told = (draw_overlay(drawn.image, None, reasons=r) for r in (reasons, [*reasons, BLUR_NOTE]))
    assert overlay.shape[0] > shown["ecg"].shape[0]  # type: ignore[union-attr]
    assert told.shape[0] > overlay.shape[0]
