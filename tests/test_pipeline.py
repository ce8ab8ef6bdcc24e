"""Draw a page, read it back, compare: clean, without the network, turned, photographed; refuse what is no ECG."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgpage.challenge.habits import challenge_options
from ecgpage.challenge.record_scores import score_leads
from ecgpage.core.conventions import LEADS, EcgPageError, NoGridError
from ecgpage.core.types import Image
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.flat_page import FlatPage
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.rivals import SeenLayout
from ecgpage.layout.shown_time import shown_seconds
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer, ReaderOptions
from ecgpage.results import PageReading, RefusedPageError, choose_failure
from ecgpage.signal.grade import Letter
from ecgpage.signal.page_kind import KINDS, Kind
from ecgpage.signal.types import LeadReading
from ecgpage.synth import MIXES, DrawnPage
from ecgpage.synth.picture import photograph
from tests.drawn import FS, clean_page, record
from tests.layout.pages import draw_styled, flatten_exactly, page_boxes

pytestmark = pytest.mark.medium  # the first test that reads loads the networks

MODEL = Path(__file__).parent.parent / "model"
N_SAMPLES = 5000


@cache
def digitizer() -> Digitizer:
    return Digitizer.load(MODEL, challenge_options())  # clean pages are the generator's


@cache
def clean_reading() -> PageReading:
    return digitizer().read_page(clean_page().image, FS, N_SAMPLES)


def mean_snr(page: DrawnPage, mv: np.ndarray) -> float:
    """Challenge SNR, mean over the leads, dB."""
    return float(np.mean(score_leads(page.masked_signal, mv, FS)))


def test_a_clean_page_is_read_by_the_network() -> None:
    reading = clean_reading()
    assert {r.source for r in reading.signals.readings} == {"network"}
    assert mean_snr(clean_page(), reading.signals.mv) > 20.0


@pytest.mark.parametrize(
    ("ink", "grid", "ground"),
    [
        ((0, 255, 0), (60, 60, 60), (0, 0, 0)),
        ((0, 0, 255), (250, 190, 190), (255, 255, 255)),
        pytest.param((255, 0, 0), (200, 220, 255), (255, 255, 255), marks=pytest.mark.slow),
        pytest.param((255, 255, 0), (70, 0, 0), (0, 0, 0), marks=pytest.mark.slow),
    ],
)
def test_a_page_in_pure_colours_is_read_like_a_black_one(
    ink: tuple[int, int, int], grid: tuple[int, int, int], ground: tuple[int, int, int]
) -> None:
    """As monitors and viewers show them."""
    image = clean_page().image.astype(np.float32)
    bright = image.max(axis=2, keepdims=True)
    inked = 1 - bright / 255
    lined = (1 - image.min(axis=2, keepdims=True) / np.maximum(bright, 13)) * (1 - inked)
    lined /= lined.max()
    page = (np.array(ground) * (1 - lined) + np.array(grid) * lined) * (1 - inked) + np.array(ink) * inked
    reading = digitizer().read_page(np.asarray(np.rint(page), np.uint8), FS, N_SAMPLES)
    assert mean_snr(clean_page(), reading.signals.mv) > 20.0
    assert not reading.layout.notes


def test_a_reading_without_a_sample_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another grid may show the traces."""
    signals = clean_reading().signals
    empty = replace(clean_reading(), signals=replace(signals, mv=np.full_like(signals.mv, np.nan)))
    monkeypatch.setattr(Digitizer, "_conclude", lambda *_: empty)
    with pytest.raises(RefusedPageError, match="no trace of an ECG"):
        digitizer().read_page(clean_page().image, FS, N_SAMPLES, grid=clean_reading().grid)


@pytest.mark.parametrize("letter", ["A", "C"])
def test_of_a_picture_and_its_negative_the_better_reading_counts(
    letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = replace(clean_reading(), grade=replace(clean_reading().grade, letter=letter))
    poor = replace(good, grade=replace(good.grade, scale=0.1, letter="C"))
    answers: Iterator[PageReading | EcgPageError] = iter(())

    def read(*_: object) -> PageReading:
        answer = next(answers)
        if isinstance(answer, EcgPageError):
            raise answer
        return answer

    monkeypatch.setattr("ecgpage.pipeline.list_positives", lambda image: [image, 255 - image])
    monkeypatch.setattr(Digitizer, "_read_positive", read)
    picture, refused = clean_page().image, EcgPageError("refused")
    for told in ([poor, good], [good, poor], [good, refused]):
        answers = iter(told)
        assert digitizer().read_page(picture, FS, N_SAMPLES) is good
    answers = iter([refused, good])
    if letter == "A":
        assert digitizer().read_page(picture, FS, N_SAMPLES) is good
    else:
        with pytest.raises(EcgPageError, match="refused"):
            digitizer().read_page(picture, FS, N_SAMPLES)


def test_nothing_is_invented_outside_the_printed_windows() -> None:
    printed = np.isfinite(clean_page().masked_signal)
    read = np.isfinite(clean_reading().signals.mv)
    assert not read[~printed].any()
    assert read[printed].mean() > 0.98


def test_the_layout_is_found_where_it_was_drawn() -> None:
    page, layout = clean_page(), clean_reading().layout
    assert [s.lead for s in layout.segments if not s.is_strip] == [
        "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
    ]  # fmt: skip
    drawn = {(t.lead, t.stop - t.start > 2000): t for t in page.truth.segments}
    for segment in layout.segments:
        start_px = clean_reading().grid.to_image(
            np.array([segment.x0_mm]), np.array([segment.baseline(layout.rows)])
        )[0][0]
        assert start_px == pytest.approx(drawn[segment.lead, segment.is_strip].xy[0, 0], abs=0.3)
    assert layout.gain_mm_per_mv == 10.0


@pytest.mark.parametrize("quarter_turns", [pytest.param(1, marks=pytest.mark.slow), 2, 3])
def test_a_turned_page_is_read_upright(quarter_turns: int) -> None:
    image = np.ascontiguousarray(np.rot90(clean_page().image, quarter_turns))
    reading = digitizer().read_page(image, FS, N_SAMPLES)
    assert mean_snr(clean_page(), reading.signals.mv) > 18.0


def test_a_page_lying_aslant_on_a_dark_table_is_read() -> None:
    page = clean_page()
    height, width = page.image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = np.array([[260, 190], [2210, 90], [2330, 1720], [150, 1780]], np.float32)
    plane = cv2.getPerspectiveTransform(corners, seen)
    table = np.zeros((1900, 2500, 3), np.uint8) + np.array([60, 45, 35], np.uint8)
    photo = cv2.warpPerspective(
        page.image, plane, (2500, 1900), table, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
    )
    reading = digitizer().read_page(np.asarray(photo, np.uint8), FS, N_SAMPLES)
    assert mean_snr(page, reading.signals.mv) > 15.0


@pytest.mark.parametrize(
    "image",
    [
        np.full((900, 1200, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8),
        cv2.applyColorMap(
            np.add.outer(np.arange(900) % 256, np.arange(1200) % 256).astype(np.uint8), cv2.COLORMAP_JET
        ),
    ],
    ids=["white", "noise", "something else"],
)
def test_what_is_no_ecg_is_refused_with_a_reason(image: np.ndarray) -> None:
    with pytest.raises(EcgPageError, match=r"grid|rows|recognised"):
        digitizer().read_page(image, FS, N_SAMPLES)


def test_an_empty_grid_is_refused() -> None:
    paper = np.full((1100, 1500, 3), 250, np.uint8)
    for at in range(20, 1480, 40):
        paper[:, at : at + 2] = paper[at : at + 2] = (230, 120, 120)
    with pytest.raises(EcgPageError):
        digitizer().read_page(paper, FS, N_SAMPLES)


@cache
def clean_grid() -> GridMap:
    return lock_grid(clean_page().image, find_grid_frequencies(clean_page().image))


def test_the_map_lies_on_the_page_to_a_tenth_of_a_pixel() -> None:
    """Constant offset aside: the lattice starts anywhere, and lines stand half a pixel off the generator's traces."""
    grid, page = clean_grid(), clean_page()
    seen = grid.quality > 0
    true_mm = page.truth.page_map.page_from_image(grid.nodes[seen])
    x, y = np.meshgrid(
        *(o + 5.0 * np.arange(n) for o, n in zip(grid.origin_mm, seen.shape[::-1], strict=True))
    )
    error_px = (true_mm - np.stack([x[seen], y[seen]], axis=-1)) * page.truth.px_per_mm
    assert (error_px - np.median(error_px, axis=0)).std(axis=0).max() < 0.1


def test_turning_the_map_turns_the_page() -> None:
    grid = clean_grid()
    turned = grid.rotate(2)
    np.testing.assert_allclose(turned.nodes[0, 0], grid.nodes[-1, -1])
    assert turned.quality.shape == grid.quality.shape
    assert grid.rotate(1).quality.shape == grid.quality.shape[::-1]


def test_a_page_without_a_grid_is_read_from_its_pulses_and_rows() -> None:
    page = replace(clean_page().truth.page, grid=None)
    rng = np.random.default_rng(1)
    drawn = photograph(page, record(), replace(MIXES["generator-clean"], rotation=(0.7, 0.7)), rng)
    reading = digitizer().read_page(drawn.image, FS, N_SAMPLES)
    assert any("no grid seen" in note for note in reading.layout.notes)
    assert reading.grid.px_per_mm == pytest.approx(drawn.truth.px_per_mm, rel=0.003)
    assert mean_snr(drawn, reading.signals.mv) > 12


def test_a_cloth_under_the_sheet_is_not_taken_for_the_page() -> None:
    page = cv2.resize(clean_page().image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    height, width = page.shape[:2]
    rows, columns = np.mgrid[: 2 * height, : 2 * width]
    weave = 190 + 25 * np.sign(np.sin(2 * np.pi * rows / 14)) * np.sign(np.sin(2 * np.pi * columns / 14))
    picture = np.repeat(weave.astype(np.uint8)[..., None], 3, axis=2)
    picture[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = page
    reading = digitizer().read_page(picture, FS, N_SAMPLES)
    assert [r.source for r in reading.signals.readings] == ["network"] * 12


# ------------------------------------------------------------------------------------------ shorter and longer records


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    cv2.imwrite(str(path), cv2.cvtColor(clean_page().image, cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.parametrize("n_samples", [0, 1, 1250, 3651, 5000, 10000])
def test_a_record_gets_the_first_samples_of_what_its_page_shows(
    page_file: Path, monkeypatch: pytest.MonkeyPatch, n_samples: int
) -> None:
    whole = clean_reading()
    monkeypatch.setattr(Digitizer, "read_page", lambda *_, **__: whole)
    reading = digitizer().read_record([page_file], FS, n_samples)
    shared = min(n_samples, N_SAMPLES)
    assert reading.reasons == []
    assert reading.mv.shape == (n_samples, 12)
    np.testing.assert_array_equal(reading.mv[:shared], whole.signals.mv[:shared])
    assert np.isnan(reading.mv[shared:]).all()
    np.testing.assert_array_equal(reading.shown[:N_SAMPLES], whole.signals.mv)


def test_a_record_shorter_than_its_page_is_read_as_if_it_were_whole(page_file: Path) -> None:
    reading = digitizer().read_record([page_file], FS, 1250)
    (page,) = reading.pages
    assert page is not None
    assert page.layout.speed_mm_per_s == 25.0
    np.testing.assert_array_equal(reading.mv, clean_reading().signals.mv[:1250])


@pytest.mark.parametrize(
    ("drawn_s", "record_s", "shown_s"),
    [(10, 2.5, 10), (10, 9.9, 10), (10, 10, 10), (10, 12, 12), (5, 5, 5), (8, 8, 8), (8, 0, 10)],
)
def test_rows_longer_than_the_record_show_a_whole_page(
    drawn_s: float, record_s: float, shown_s: float
) -> None:
    assert shown_seconds(flatten_exactly(draw_styled(seconds=drawn_s)), record_s) == shown_s


def showing(reading: PageReading, leads: tuple[str, ...]) -> PageReading:
    """The page as if it showed some of its leads only."""
    signals = reading.signals
    known = [lead in leads for lead in LEADS]
    readings = [
        r if r.lead in leads else LeadReading(r.lead, "none", 0.0, "not drawn on this page")
        for r in signals.readings
    ]
    mv = np.where(known, signals.mv, np.float32(np.nan))
    segments = [s for s in signals.segments if s.lead in leads]
    return replace(reading, signals=replace(signals, mv=mv, readings=readings, segments=segments))


def test_limb_and_chest_pages_of_a_record_are_joined(
    page_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter((showing(clean_reading(), LEADS[6:]), showing(clean_reading(), LEADS[:6])))
    monkeypatch.setattr(Digitizer, "read_page", lambda *_, **__: next(pages))
    reading = digitizer().read_record([page_file, page_file], FS, N_SAMPLES)
    np.testing.assert_array_equal(reading.mv, clean_reading().signals.mv)
    assert len(reading.counted) == 2
    assert reading.shown_leads == set(LEADS)


def test_a_page_without_leads_is_refused_and_not_located(
    page_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> dict[Kind, float]:
        return {kind: float(kind == "other") for kind in KINDS}

    monkeypatch.setattr(Digitizer, "weigh_kinds", other)
    monkeypatch.setattr(Digitizer, "_grids", lambda *_: iter([clean_grid()]))
    reading = digitizer().read_record([page_file], FS, N_SAMPLES)
    assert reading.is_empty
    assert reading.located == [None]
    assert "no leads of an ECG" in reading.reasons[0]


class TriedGrids(Digitizer):
    """Digitizer before whose eyes grids of given likelihoods pass; the first of them is doubtful."""

    def __init__(
        self, grids: list[GridMap], doubtful: set[float], flat: FlatPage, layout: PageLayout
    ) -> None:
        self.options = ReaderOptions()
        self.listed, self.doubtful, self.flat, self.layout = grids, doubtful, flat, layout
        self.tried: list[float] = []

    def _grids(self, image: Image, failures: list[EcgPageError]) -> Iterator[GridMap]:
        yield from self.listed

    def _is_doubtful(self, seen: SeenLayout) -> bool:
        return seen.flat.grid.log_odds in self.doubtful

    def _read_layout_on(
        self, image: Image, grid: GridMap, record_s: float, boxes: PageBoxes | None
    ) -> SeenLayout:
        self.tried.append(grid.log_odds)
        return SeenLayout(replace(self.flat, grid=grid), self.layout, page_boxes(), grid.log_odds)


def scaled(factor: float, log_odds: float) -> GridMap:
    """The map of the clean page with squares of another size."""
    return replace(clean_grid(), nodes=factor * clean_grid().nodes, log_odds=log_odds)


def passing(grids: list[GridMap], doubtful: set[float]) -> TriedGrids:
    flat = flatten_exactly(clean_page())
    layout = PageLayout([], [], [], [], 25.0, 10.0, 0.9)
    return TriedGrids(grids, doubtful, flat, layout)


def test_of_the_rivals_of_a_doubtful_grid_the_one_whose_lines_show_is_read_first() -> None:
    """A usual size of the page counts, too, but less than twenty nats of lines: a page at 50 mm/s is large."""
    reader = passing([scaled(3.0, 21.0), scaled(0.5, 20.0), scaled(1.2, 0.0)], {21.0})
    seen = reader.read_layout(clean_page().image)
    assert reader.tried == [21.0, 20.0]
    assert seen[0].grid.log_odds == 21.0


def test_the_layout_of_a_negative_is_read_from_its_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = passing([scaled(1.0, 12.0)], set())
    shown: list[Image] = []
    layout_on = reader._read_layout_on

    def look(image: Image, grid: GridMap, record_s: float, boxes: PageBoxes | None) -> SeenLayout:
        shown.append(image)
        return layout_on(image, grid, record_s, boxes)

    monkeypatch.setattr(reader, "_read_layout_on", look)
    reader.read_layout(255 - clean_page().image)
    assert np.array_equal(shown[0], clean_page().image)


def test_a_page_is_not_read_on_a_scale_far_less_likely_than_one_that_cannot_be_read() -> None:
    reader = passing([scaled(1.0, 12.0), scaled(2.0, 0.0), scaled(1.01, 0.5)], set())

    def refuse_first(seen: SeenLayout) -> float:
        if seen.flat.grid.log_odds == 12.0:
            raise RefusedPageError("misread", None)
        return seen.flat.grid.log_odds

    assert reader._on_some_grid(clean_page().image, None, 10.0, None, refuse_first) == 0.5
    reader.listed.pop()
    with pytest.raises(RefusedPageError, match="misread"):
        reader._on_some_grid(clean_page().image, None, 10.0, None, refuse_first)


def test_the_reason_given_is_the_one_that_came_furthest() -> None:
    none, layout, located = (
        NoGridError("no grid"),
        EcgPageError("no layout"),
        RefusedPageError("misread", None),
    )
    assert choose_failure([none, layout, located]) is located
    assert choose_failure([none, layout, NoGridError("none either")]) is layout
    assert choose_failure([none]) is none
