"""Devices, marks, cameras and electrodes change what is seen, not what is true."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.synth import Mix, draw_picture
from ecgpage.synth.page.layout import LAYOUTS, PageStyle, build_page
from ecgpage.synth.page.looks import random_plotter, shuffled
from ecgpage.synth.page.model import Grid, Plotter, ink_path, plotted, segment_path
from ecgpage.synth.page.rasterize import draw_page
from ecgpage.synth.page.region import draw_region
from ecgpage.synth.scene import camera, marks
from ecgpage.synth.scene.relief import ReliefSpec, make_relief
from ecgpage.synth.signal_artifacts import change_rate, detach_electrode
from tests.synth.pages import FS, ecg

HEIGHTS = arrays(np.float64, st.integers(20, 200), elements=st.floats(-20, 20))
STEPS = st.floats(0.05, 0.6)


@given(y=HEIGHTS, step=STEPS)
@example(y=np.full(21, 20.0), step=0.3331)  # the last step is hardly begun
@settings(max_examples=40, deadline=None)
def test_held_points_enclose_the_area_of_the_trace(y: NDArray[np.float64], step: float) -> None:
    x = 12.0 + np.arange(len(y)) * 0.05
    px, py = plotted(Plotter(step, stairs=True), x, y, 0.0)
    known = np.isfinite(py)
    assert (np.diff(px) >= 0).all()
    # the flanks take a hundredth of each step
    assert np.trapezoid(py[known], px[known]) == pytest.approx(
        np.trapezoid(y, x), abs=0.05 * (1 + np.abs(y).sum() * 0.05)
    )


@given(y=HEIGHTS, step=STEPS, quantum=st.floats(0.05, 0.4), stairs=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_bitmap_knows_whole_dots_only(
    y: NDArray[np.float64], step: float, quantum: float, stairs: bool
) -> None:
    x = np.arange(len(y)) * 0.05
    _, py = plotted(Plotter(step, quantum, stairs=stairs), x, y, 3.0)
    dots = (py[np.isfinite(py)] - 3.0) / quantum
    np.testing.assert_allclose(dots, np.round(dots), atol=1e-6)


@given(slope=st.floats(-3, 3), step=STEPS, smooth=st.booleans())
@settings(max_examples=40, deadline=None)
def test_straight_lines_stay_where_they_are(slope: float, step: float, smooth: bool) -> None:
    x = np.arange(300) * 0.05
    px, py = plotted(Plotter(step, smooth=smooth), x, slope * x, 0.0)
    inner = np.isfinite(py)
    inner[[0, -1, -2]] = False  # the ends are held
    np.testing.assert_allclose(py[inner], slope * px[inner], atol=1e-9)


def test_gaps_stay_gaps_on_any_plotter() -> None:
    x = np.arange(200) * 0.05
    y = np.sin(x)
    y[80:120] = np.nan
    px, py = plotted(Plotter(0.2), x, y, 0.0)
    inside = (px > x[80]) & (px < x[119])
    assert not np.isfinite(py[inside]).any()
    assert np.isfinite(py).sum() > 30


@pytest.mark.parametrize("seed", range(6))
def test_a_coarse_plotter_draws_within_its_step_of_the_truth(seed: int) -> None:
    page = replace(build_page(PageStyle(), 5000, FS), plotter=random_plotter(np.random.default_rng(seed)))
    assert page.plotter is not None
    signal = ecg(seed)
    for segment in page.segments[:4]:
        x, y = segment_path(page, segment, signal)
        px, py = ink_path(page, segment, signal)
        reach = round(page.plotter.step / (x[1] - x[0])) + 1
        for at, height in zip(px[:-1:5], py[:-1:5], strict=True):
            k = int(np.searchsorted(x, at))
            near = y[max(k - reach, 0) : k + reach + 1]
            assert near.min() - page.plotter.quantum <= height <= near.max() + page.plotter.quantum
    with_device = draw_page(page, signal, 100)
    assert (with_device != draw_page(replace(page, plotter=None), signal, 100)).any()


@pytest.mark.medium
@pytest.mark.parametrize("name", sorted(marks.COVERS))
def test_nothing_shows_where_the_truth_says_hidden(name: str) -> None:
    mix = Mix(marks=((name, 1.0),), grid_fade=(1.0, 1.0), minor_fade=(1.0, 1.0), dpi=80.0)
    shares, off = [], []
    for seed in range(40):
        drawn = draw_picture(ecg(seed), FS, mix=mix, seed=seed)
        for segment in drawn.truth.segments:
            hidden = ~segment.visible
            shares.append(hidden.mean())
            if hidden.sum() > 10:
                column, row = np.round(segment.xy[hidden]).astype(int).T
                seen = drawn.image[row, column].astype(float)
                off.append(np.abs(seen - np.median(seen, axis=0)).max(axis=1))
    # the cover's own colour, but for its half-transparent rim
    assert np.mean(np.concatenate(off) < 8) > 0.93
    assert 0 < np.mean(shares) < 0.3


def test_a_punched_hole_hides_its_disc_and_no_more() -> None:
    image = np.full((200, 300, 3), 255, np.uint8)
    patch = marks.punch(image, (100.0, 80.0), 20.0, 30.0)
    cover = marks.covered([patch], (200, 300), 4.0, (8.0, 4.0))
    assert cover is not None
    turn = np.linspace(0, 2 * np.pi, 50)
    rim = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    centre = np.array([100.0 - 8.0, 80.0 - 4.0]) / 4.0
    assert cover.at(centre + rim * 18.5 / 4).all()
    assert not cover.at(centre + rim * 21.5 / 4).any()
    assert not cover.at(np.array([[np.nan, 3.0], [-50.0, 2.0], [1e4, 1e4]])).any()
    assert marks.covered([], (200, 300), 4.0, (0.0, 0.0)) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_fax_has_two_tones_and_keeps_lines_in_place(seed: int) -> None:
    gray = np.full((400, 600), 235, np.uint8)
    gray[:, 296:304] = 20  # centre at edge pixel 300
    gray[196:204] = 20
    sent = camera.fax(gray, 8.0, np.random.default_rng(seed))
    assert sent.shape == gray.shape
    assert ((sent < 30) | (sent > 225)).mean() > 0.9
    ink = 255.0 - sent
    column = (ink[20:180, 280:320].sum(axis=0) * np.arange(280.5, 320)).sum() / ink[20:180, 280:320].sum()
    row = (ink[180:220, 20:280].sum(axis=1) * np.arange(180.5, 220)).sum() / ink[180:220, 20:280].sum()
    assert abs(column - 300) < 1.2  # half a dot of the coarsest fax
    assert abs(row - 200) < 2.2


@pytest.mark.parametrize("seed", range(10))
def test_one_bit_scans_keep_strokes_and_paper(seed: int) -> None:
    gray = np.full((200, 300), 215, np.uint8)
    gray[:, 148:153] = 25
    scanned = camera.one_bit(gray, np.random.default_rng(seed))
    assert set(np.unique(scanned)) <= {0, 255}
    assert (scanned[:, 149:152] == 0).mean() > 0.9
    assert (scanned[:, 200:] == 255).mean() > 0.75


def test_tone_mapping_makes_halos_and_leaves_flat_paper_alone() -> None:
    flat = np.full((80, 120), 180, np.uint8)
    np.testing.assert_array_equal(camera.hdr(flat, 1.0, 0.5, 12.0), flat)
    flat[:, 58:62] = 60
    mapped = camera.hdr(flat, 1.0, 0.0, 12.0).astype(int)
    assert mapped[40, 66] > 182  # the halo
    assert mapped[40, 60] < 60
    assert abs(mapped[40, 5] - 180) <= 2


@given(pitch=st.floats(1.05, 25), angle=st.floats(0, 3.14), depth=st.floats(0.01, 0.5))
@settings(max_examples=25, deadline=None)
def test_screen_pixels_only_darken(pitch: float, angle: float, depth: float) -> None:
    factor = camera.screen_pattern((90, 140), pitch, angle, depth, 0.3)
    assert factor.max() <= 1 + 1e-4
    assert factor.min() >= 1 - depth - 1e-4
    if pitch > 3:  # finer waves may be sampled at the same places
        assert np.ptp(factor) > depth / 2


def beats(lead: NDArray[np.float32]) -> NDArray[np.intp]:
    """Sample numbers of the upstrokes of the invented ECG's sharp waves."""
    high = np.abs(lead) > 0.6 * np.abs(lead).max()
    return np.flatnonzero(np.diff(high.astype(int)) == 1)


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.2, 1.5])
def test_a_changed_heart_rate_moves_the_beats_and_keeps_the_laws(factor: float) -> None:
    signal = ecg(4)
    changed = change_rate(signal, FS, factor, np.random.default_rng(1))
    assert changed.shape == signal.shape
    lead = int(np.argmax(np.abs(signal).max(axis=0)))
    before, after = (np.median(np.diff(beats(s[:, lead]))) for s in (signal, changed))
    assert before / after == pytest.approx(factor, rel=0.03)
    np.testing.assert_allclose(changed[:, 2], changed[:, 1] - changed[:, 0], atol=1e-5)
    # no jump at the seam that the faster signal does not have anyway
    assert np.abs(np.diff(changed, axis=0)).max() < 1.3 * factor * np.abs(np.diff(signal, axis=0)).max()


def test_a_loose_electrode_drives_its_lead_to_the_limit() -> None:
    lead = ecg(1)[:, 6]
    for seed in range(5):
        gone = detach_electrode(lead, FS, np.random.default_rng(seed))
        start = int(np.flatnonzero(gone != lead)[0])
        np.testing.assert_array_equal(gone[:start], lead[:start])
        held = gone[start : start + 25]
        assert np.ptp(held) < 1e-6
        assert 1.0 <= abs(held[0]) <= 2.5


def test_heavy_lines_stand_every_25_mm_on_whole_pages_and_parts() -> None:
    grid = Grid((0.0, 0.0, 0.0), (230.0, 230.0, 230.0), 0.2, 0.1, snap=False, heavy_step=25.0)
    page = replace(build_page(PageStyle(grid=grid, name_place="none"), 5000, FS), segments=(), pulses=())
    image = draw_page(replace(page, separators=(), texts=()), ecg(), 254)
    dark = 255.0 - image[50:2000:7, :, 0].mean(axis=0)
    ink = np.array([dark[round(x * 10) - 4 : round(x * 10) + 5].sum() for x in np.arange(5.0, 270, 5.0)])
    heavy = np.arange(1, 54) % 5 == 0
    assert ink[heavy].min() > 1.5 * ink[~heavy].max()
    part, corner = draw_region(page, ecg(), (40, 30, 90, 70), 10.0)
    assert corner == (40, 30)
    np.testing.assert_allclose(part, draw_page(page, ecg(), 254)[300:700, 400:900], atol=3)


@pytest.mark.parametrize("down", [False, True])
def test_uneven_feed_moves_the_print_along_the_feed_alone(down: bool) -> None:
    relief = make_relief(ReliefSpec(feed=0.2, feed_down=down), (280.0, 216.0), np.random.default_rng(1))
    moved = relief.displacement((140.0, 108.0), 400.0).values
    assert moved[int(down)].std() == pytest.approx(0.2, rel=1e-6)
    assert np.abs(moved[int(not down)]).max() < 1e-12
    assert np.abs(relief.height).max() < 1e-9


def test_facets_are_flat_between_their_edges() -> None:
    relief = make_relief(ReliefSpec(facets=80, facet_slope=0.1), (280.0, 216.0), np.random.default_rng(3))
    along_x, along_y = relief.normals()
    assert np.hypot(along_x, along_y).mean() == pytest.approx(0.1, rel=0.15)
    bend = np.hypot(*np.gradient(along_x)) + np.hypot(*np.gradient(along_y))
    # half of the sheet hardly bends, the edges do
    assert np.percentile(bend, 50) < 0.15 * np.percentile(bend, 95)


@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "limb 6x1", "strip"])
def test_shuffled_pages_keep_their_places_and_name_no_lead_twice(layout: str) -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(20):
        order = shuffled(PageStyle(layout=layout), rng).order
        assert order is not None
        assert [len(c) for c in order.columns] == [len(c) for c in LAYOUTS[layout].columns]
        names = [name.removeprefix("-") for column in order.columns for name in column]
        assert len(set(names)) == len(names)
        assert set(names) <= set(LEADS)
        seen.add(tuple(names))
    assert len(seen) > 5
