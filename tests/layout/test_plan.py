"""From boxes to the plan of a page: every layout as drawn, faulty boxes, scales, columns that start again, which way up."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import ecgpage.layout.plan
import ecgpage.pipeline
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.layout.boxes import PageBoxes, PrintedNames, SeveralPagesError
from ecgpage.layout.columns import Columns
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.gaps import measure_gap
from ecgpage.layout.orientation import upright_turn
from ecgpage.layout.plan import read_plan
from ecgpage.layout.rows import _is_frame
from ecgpage.layout.text_reader import WordReader
from ecgpage.layout.types import PagePlan, Row
from ecgpage.pipeline import Digitizer
from ecgpage.synth import DrawnPage
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.looks import shuffled
from ecgpage.synth.page.model import Page, Paper, Text
from ecgpage.synth.truth_adapters import compare_plan, exact_grid, true_boxes
from ecgpage.trace.network import TraceNet
from tests.drawn import FS
from tests.layout.pages import (
    MODEL,
    SHUFFLED,
    arrange_boxes,
    draw_clean,
    draw_styled,
    flatten_exactly,
    list_leads,
    page_boxes,
    read_drawn_plan,
)


def with_names(page: Page, order: Sequence[int]) -> Page:
    """The page with other leads, and their names, in the places of the twelve."""
    moved = []
    for segment in page.segments:
        k = order[LEADS.index(segment.lead)]
        new = replace(segment, lead=LEADS[k], name=LEADS[k], channel=k)
        moved.append(segment if segment.strip else new)
    return replace(page, segments=tuple(moved))


# ------------------------------------------------------------------------------------------ drawn pages


@pytest.mark.parametrize(
    "style",
    [
        {"gain": 5.0},
        {"gain": 20.0, "layout": "3x4"},
        {"speed": 50.0, "pulse_span": 5.0},
        {"pulse": "right"},
        {"pulse_foot": 0.0},
        {"separator": "gap", "gap": 4.0},
        {"layout": "6x2", "chest_gain": 10.0, "gain": 10.0, "pulse": "none", "separator": "none"},
    ],
    ids=str,
)
def test_scales_pulses_and_separators_are_read_as_they_were_drawn(style: dict[str, object]) -> None:
    page = draw_styled(**style)
    seen = compare_plan(page, exact_grid(page), read_drawn_plan(page))
    assert seen.is_right, seen.wrong
    assert seen.is_scaled, seen.wrong


def test_chest_leads_at_half_gain_have_their_own_scale() -> None:
    page = draw_styled(layout="12x1", chest_gain=5.0)
    gains = {s.lead: s.gain_mm_per_mv for s in read_drawn_plan(page).segments}
    assert gains == {lead: 5.0 if lead.startswith("V") else 10.0 for lead in LEADS}


def test_unclear_boxes_and_ink_that_contradict_each_other_are_refused() -> None:
    boxes = true_boxes(other := draw_styled(layout="6x2"), exact_grid(other))
    unclear = replace(boxes, names=np.full_like(boxes.names, 0.5))
    with pytest.raises(EcgPageError, match="another layout"):
        read_drawn_plan(draw_styled(layout="12x1"), unclear)


# ------------------------------------------------------------------------------------------ the whole pipeline


@cache
def network() -> TraceNet:
    return TraceNet.load(MODEL)


def digitized(page: DrawnPage, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[str]]:
    """Signals (5000, 12) mV of a page whose leads a detector sees without error, and the names of its segments."""
    monkeypatch.setattr(ecgpage.pipeline, "upright_turn", lambda *_: 0)
    monkeypatch.setattr(ecgpage.pipeline, "find_boxes", lambda flat, *_: true_boxes(page, flat.grid))
    monkeypatch.setattr(Digitizer, "_grids", lambda *_: iter([exact_grid(page)]))
    reading = Digitizer(network(), LeadDetector.load(MODEL)).read_page(page.image, FS, 5000)
    return reading.signals.mv, [s.lead for s in reading.plan.segments]


def agreement(page: DrawnPage, mv: np.ndarray) -> list[float]:
    """Correlation of each lead with what was drawn of it, where both are known."""
    found = []
    for truth, read in zip(page.masked_signal.T, mv.T, strict=True):
        both = np.isfinite(truth) & np.isfinite(read)
        found.append(float(np.corrcoef(truth[both], read[both])[0, 1]) if both.sum() > 500 else 0.0)
    return found


def test_the_output_follows_the_names_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    page = draw_clean(with_names(build_page(PageStyle(layout="3x4", top=30.0), 5000, FS), SHUFFLED), 200.0)
    monkeypatch.setattr(Digitizer, "_grids", lambda *_: iter([exact_grid(page)]))
    reading = Digitizer(network(), LeadDetector.load(MODEL), WordReader.load(MODEL)).read_page(
        page.image, FS, 5000
    )
    assert [s.lead for s in reading.plan.segments] == [LEADS[k] for k in SHUFFLED]
    assert min(agreement(page, reading.signals.mv)) > 0.9


def test_columns_that_all_start_at_the_beginning_are_told_by_the_strip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = draw_styled(200.0, layout="3x4+1", continuous=False)
    mv, _ = digitized(page, monkeypatch)
    others = np.isfinite(mv[:, [k for k, lead in enumerate(LEADS) if lead != "II"]])
    assert others[:1240].mean() > 0.95
    assert not others[1300:].any()
    assert min(agreement(page, mv)) > 0.9


def test_minus_avr_in_cabrera_order_comes_out_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    page = draw_styled(200.0, layout="cabrera 6x2")
    mv, _ = digitized(page, monkeypatch)
    assert min(agreement(page, mv)) > 0.9


# ------------------------------------------------------------------------------------------ boxes by hand


def without(boxes: PageBoxes, *lost: int) -> PageBoxes:
    kept = [k for k in range(len(boxes.leads)) if k not in lost]
    return PageBoxes(boxes.leads[kept], boxes.scores[kept], boxes.names[kept], boxes.pulses)


def joined(*parts: PageBoxes) -> PageBoxes:
    return PageBoxes(
        *(np.concatenate([getattr(p, key) for p in parts]) for key in ("leads", "scores", "names", "pulses"))
    )


def test_a_page_of_good_boxes_is_read_with_confidence() -> None:
    arrangement = arrange_boxes(page_boxes())
    assert list_leads(arrangement) == list(LEADS)
    assert [cell.lead for cell in arrangement.cells if cell.is_strip] == ["II"]
    assert arrangement.confidence > 0.7
    assert arrangement.columns.first_mm == pytest.approx(20.0, abs=0.1)
    assert arrangement.columns.pitch_mm == pytest.approx(62.5, abs=0.1)


def test_a_guess_at_part_of_a_strip_is_no_lead() -> None:
    strip = page_boxes((), strip="II")
    part = replace(strip, leads=strip.leads + np.array([180.0, 0, 0, 0]), scores=strip.scores - 0.1)
    arrangement = arrange_boxes(joined(strip, part))
    assert [cell.lead for cell in arrangement.cells] == ["II"]


def test_no_two_strips_show_one_lead() -> None:
    boxes = page_boxes()
    again = replace(boxes, leads=boxes.leads[-1:] + np.array([0, 30, 0, 30]), scores=boxes.scores[-1:])
    names = 0.5 * boxes.names[-1:] + 0.4 * np.eye(len(LEADS))[[LEADS.index("V1")]]
    arrangement = arrange_boxes(joined(boxes, replace(again, names=names)))
    assert sorted(cell.lead for cell in arrangement.cells if cell.is_strip) == ["II", "V1"]


@pytest.mark.parametrize("lost", [(0,), (5, 6), (0, 3, 6), (11, 12)], ids=str)
def test_leads_whose_box_was_missed_are_named_by_the_layout(lost: tuple[int, ...]) -> None:
    arrangement = arrange_boxes(without(page_boxes(), *lost))
    assert list_leads(arrangement) == list(LEADS)
    assert arrangement.missed == len([k for k in lost if k < 12])


@pytest.mark.parametrize("wrong", [((4, "V2"),), ((0, "III"), (7, "V6"))], ids=str)
def test_a_wrong_name_or_two_do_not_change_the_layout(wrong: tuple[tuple[int, str], ...]) -> None:
    boxes = page_boxes()
    for k, name in wrong:
        boxes.names[k] = 0.01
        boxes.names[k, LEADS.index(name)] = 0.95
    arrangement = arrange_boxes(boxes)
    assert list_leads(arrangement) == list(LEADS)
    assert arrangement.misnamed == len(wrong)


def test_a_box_beside_the_layout_is_left_out() -> None:
    stray = page_boxes(["V3"], strip=None, score=0.6)
    stray.leads[0] = (150.0, 2.0, 190.0, 14.0)
    assert list_leads(arrange_boxes(joined(page_boxes(), stray))) == list(LEADS)


def test_names_in_no_known_order_are_followed() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    arrangement = arrange_boxes(page_boxes(names))
    assert list_leads(arrangement) == names
    assert not arrangement.known_order


def test_cabrera_order_turns_avr_round() -> None:
    names = ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:])
    cells = {cell.lead: cell for cell in arrange_boxes(page_boxes(names)).cells if not cell.is_strip}
    assert tuple(cells) == names
    assert [lead for lead, cell in cells.items() if cell.is_inverted] == ["aVR"]


def test_two_pages_in_one_picture_are_refused() -> None:
    second = page_boxes()
    second.leads[:, [1, 3]] += 130.0
    with pytest.raises(SeveralPagesError, match="several ECG pages"):
        arrange_boxes(joined(page_boxes(), second))


def test_no_box_at_all_is_refused() -> None:
    with pytest.raises(EcgPageError, match="no lead"):
        arrange_boxes(without(page_boxes(), *range(13)))


# ------------------------------------------------------------------------------------------ the shipped detector


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_the_detector_tells_which_way_up_a_page_lies(quarter_turns: int) -> None:
    page = draw_styled(150.0, layout="6x2+1")
    detector = LeadDetector.load(MODEL)
    turned = flatten_page(page.image, exact_grid(page).rotate(quarter_turns))
    assert upright_turn(turned, detector) == -quarter_turns % 4


# ------------------------------------------------------------------------------------------ and the reader of words


@cache
def eyes() -> tuple[LeadDetector, WordReader]:
    return LeadDetector.load(MODEL), WordReader.load(MODEL)


def seen_plan(page: DrawnPage) -> PagePlan:
    """The plan that the shipped detector and reader make of a page."""
    seen = flatten_exactly(page)
    return read_plan(seen, find_boxes(seen, *eyes()), 10.0)


@pytest.mark.parametrize(
    ("layout", "name_place"), [("3x4+1", "above"), ("12x1", "left"), ("limb 6x1", "below")]
)
def test_names_and_rows_in_any_order_are_read_as_they_are_printed(layout: str, name_place: str) -> None:
    rng = np.random.default_rng(11)
    style = PageStyle(layout=layout, top=25.0, bottom=8.0, name_place=name_place, name_offset=6.0)  # type: ignore[arg-type]
    page = draw_clean(build_page(shuffled(style, rng), 5000, FS), 150.0)
    seen = compare_plan(page, exact_grid(page), seen_plan(page))
    assert seen.is_right, seen.wrong


def test_without_names_the_places_tell() -> None:
    page = draw_styled(150.0, name_place="none")
    seen = compare_plan(page, exact_grid(page), seen_plan(page))
    assert seen.is_right, seen.wrong


def test_speed_and_gain_are_read_where_no_pulse_tells_them() -> None:
    texts = (Text("50 mm/s", 30.0, 208.0, 3.5), Text("5 mm/mV", 60.0, 208.0, 3.5))
    page = draw_styled(150.0, speed=50.0, gain=5.0, pulse="none", texts=texts, bottom=15.0)
    plan = seen_plan(page)
    assert (plan.speed_mm_per_s, plan.gain_mm_per_mv) == (50.0, 5.0)
    assert any("written" in note for note in plan.notes)
    silent = seen_plan(draw_styled(150.0, pulse="none"))
    assert [note.split(" assumed")[0] for note in silent.notes] == ["25 mm/s", "10 mm/mV"]


def test_a_scale_at_the_foot_of_the_page_is_read_for_a_lead_far_above() -> None:
    texts = (Text("25mm/s", 15.0, 205.0, 3.5, "DejaVuSans"), Text("20mm/mV", 45.0, 205.0, 3.5, "DejaVuSans"))
    style = PageStyle(layout="strip", gain=20.0, pulse="none", top=25.0, bottom=120.0, texts=texts)
    plan = seen_plan(draw_clean(build_page(style, 5000, FS), 150.0))
    assert [abs(s.gain_mm_per_mv) for s in plan.segments] == [20.0]
    assert not any("assumed" in note for note in plan.notes)


# ------------------------------------------------------------------------------------------ mended readings


def wide_boxes(page: DrawnPage, by_mm: float) -> PageBoxes:
    """The true boxes of a page, reaching further at both ends than its leads."""
    boxes = true_boxes(page, exact_grid(page))
    return replace(boxes, leads=boxes.leads + np.array([-by_mm, 0, by_mm, 0]))


def ends_of(plan: PagePlan) -> list[tuple[float, float]]:
    return [(s.x0_mm, s.x1_mm) for s in plan.segments]


def test_a_strip_ends_where_its_ink_does_though_its_box_is_too_wide() -> None:
    page = draw_styled(layout="strip", pulse="none")
    plan = read_drawn_plan(page, wide_boxes(page, 4.0))
    assert compare_plan(page, exact_grid(page), plan).is_right, ends_of(plan)


def test_rows_go_on_as_far_as_their_ink_though_their_boxes_end_before() -> None:
    page = draw_styled(layout="3 strips", pulse="none")
    boxes = true_boxes(page, exact_grid(page))
    plan = read_drawn_plan(page, replace(boxes, leads=boxes.leads - np.array([0, 0, 55.0, 0])))
    assert compare_plan(page, exact_grid(page), plan).is_right, ends_of(plan)


def test_a_stray_pulse_at_the_other_end_does_not_move_it() -> None:
    page = draw_styled(layout="6x2")
    boxes = true_boxes(page, exact_grid(page))
    x1, y1 = boxes.leads[:, 2].max(), boxes.leads[0, 3]
    stray = np.array([[x1 - 4.0, y1 - 10.0, x1 + 3.0, y1]])
    plan = read_drawn_plan(page, replace(boxes, pulses=np.concatenate([boxes.pulses, stray])))
    assert compare_plan(page, exact_grid(page), plan).is_right, ends_of(plan)


@pytest.mark.parametrize("separator", ["gap", "marks", "dotted"])
def test_columns_stand_apart_whatever_is_between_them(separator: str) -> None:
    page = draw_styled(200.0, layout="3x4", separator=separator, gap=3.0, paper=Paper(297.0, 210.0))
    boxes = true_boxes(page, exact_grid(page))
    boxes.leads[:, 0] -= 1.2  # as if they touched
    boxes.leads[:, 2] += 1.2
    plan = read_drawn_plan(page, boxes)
    assert compare_plan(page, exact_grid(page), plan).is_right, ends_of(plan)


def test_faint_traces_and_a_beat_of_the_row_above_make_no_other_gap() -> None:
    columns = Columns(2, 20.0, 60.0, 58.0)
    page = flatten_exactly(draw_styled(layout="strip"))
    rows = [Row(np.arange(5.5, 255), np.full(250, y), np.ones(250)) for y in np.arange(40.0, 160.0, 20.0)]

    def inked(drawn: Callable[[int, np.ndarray], np.ndarray]) -> FlatPage:
        ink = np.zeros_like(page.ink)
        x_mm = page.x_mm(np.arange(ink.shape[1]))
        for k, row in enumerate(rows):
            at = round(page.row(row.level_mm))
            ink[at - 2 : at + 3] = drawn(k, x_mm)
        return replace(page, ink=ink)

    def apart(k: int, x_mm: np.ndarray) -> np.ndarray:
        return (np.abs(x_mm - 79.0) > 1.0) | ((k == 3) & (x_mm > 78.2) & (x_mm < 79.8))

    def faint(k: int, x_mm: np.ndarray) -> np.ndarray:
        return apart(9, x_mm) & ((x_mm * 7).astype(int) % 3 == 0)

    assert measure_gap(inked(apart), rows, columns) == pytest.approx(2.3, abs=0.25)
    assert measure_gap(inked(faint), rows, columns) == 0.0


def printed(boxes: PageBoxes, chances: np.ndarray, down_mm: float) -> PageBoxes:
    """The boxes with a word beside the beginning of each lead."""
    levels = boxes.leads[:, [1, 3]].mean(axis=1)
    places = np.column_stack([boxes.leads[:, 0] + 3.0, levels + down_mm])
    return replace(boxes, printed=PrintedNames(places, chances, np.zeros(len(places))))


def test_words_that_cannot_be_told_leave_the_detectors_names() -> None:
    boxes = page_boxes(strip=None)
    rng = np.random.default_rng(5)
    blurred = rng.dirichlet(np.full(len(LEADS), 3.0), len(boxes.leads)) * 0.9
    seen = arrange_boxes(printed(boxes, blurred, 9.0))
    assert list_leads(seen) == list(LEADS)
    assert seen.confidence > 0.6


def test_names_halfway_between_rows_go_with_the_leads_that_look_like_them() -> None:
    """They stand 15 mm below their rows, which are 30 mm apart: or are they those of the rows below?"""
    boxes = page_boxes(strip=None)
    for down_mm in (13.6, -13.6):
        chances = np.eye(len(LEADS))[[LEADS.index(lead) for lead in LEADS]] * 0.97
        names = [cell.lead for cell in arrange_boxes(printed(boxes, chances, down_mm)).cells]
        assert names == list(LEADS)


def test_a_row_of_narrow_beats_is_no_frame() -> None:
    """Beats 0.6 mm wide on a straight line, between the millimetres at which rows are known."""
    x_mm = np.arange(5.5, 255.0)
    page = flatten_exactly(draw_styled(layout="strip"))
    ink = np.zeros_like(page.ink)
    level = 60.0
    ink[round(page.row(level)) - 1 : round(page.row(level)) + 2, :] = 1.0
    row = Row(x_mm, np.full(len(x_mm), level), np.ones(len(x_mm)))
    assert _is_frame(replace(page, ink=ink), row)
    for at in np.arange(20.0, 240.0, 25.0) + 0.9:
        column = round(page.column(at))
        ink[round(page.row(level - 8)) : round(page.row(level)), column : column + 3] = 1.0
    assert not _is_frame(replace(page, ink=ink), row)
