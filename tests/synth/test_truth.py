"""What the renderer says it has drawn is what it has drawn."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.synth import MIXES, DrawnPage, Mix, any_look, draw_picture, mixes_hash
from ecgpage.synth.crops import CROP_ROWS, draw_crop
from ecgpage.synth.page.layout import LAYOUTS, PageStyle, build_page
from ecgpage.synth.page.looks import LOOKS, random_style
from ecgpage.synth.page.model import masked_signal, segment_path
from ecgpage.synth.page.rasterize import draw_page
from ecgpage.synth.page.region import draw_region
from ecgpage.synth.signal_artifacts import add_artifacts, make_wander, spread_over_leads
from tests.synth.pages import FS, ecg, read_back


def geometry_only(mix: Mix) -> Mix:
    """The same camera and paper, but nothing that changes tones, and no grid."""
    quiet = Mix()
    keep = {
        name: getattr(mix, name)
        for name in (
            "folds", "fold_bend", "crumples", "crumple_slope", "facets", "facet_slope", "curl", "wave", "p_book", "feed",
            "rotation", "tilt", "fill", "offset", "lens", "long_side", "crop", "sheet_margin", "p_quarter_turn",
        )
    }  # fmt: skip
    return replace(quiet, **keep, grid_fade=(1.0, 1.0), minor_fade=(1.0, 1.0))


@pytest.mark.parametrize("name", ["generator-clean", "generator-distorted", "photo-deteriorated", "monitor"])
@pytest.mark.parametrize("seed", [1, 2])
def test_reading_the_truth_back_gives_the_signal(name: str, seed: int) -> None:
    signal = ecg(seed)
    small = replace(
        geometry_only(MIXES[name]), long_side=None if MIXES[name].long_side is None else (400, 500)
    )
    drawn = draw_picture(signal, FS, mix=any_look(small, 0.5), seed=seed)
    truth = drawn.truth
    for segment, model in zip(truth.segments, truth.page.segments, strict=True):
        page = truth.page_map.page_from_image(segment.xy)
        seconds, mv = read_back(truth.page, model, page)
        known = np.isfinite(mv)
        expected = signal[segment.start : segment.stop, model.channel]
        np.testing.assert_allclose(mv[known], expected[known], atol=1e-6)  # 1 uV
        np.testing.assert_allclose(seconds, np.arange(segment.start, segment.stop) / FS, atol=1e-4)
        assert segment.box[0] <= np.nanmin(segment.xy[:, 0])
        assert segment.box[3] >= np.nanmax(segment.xy[:, 1])


@pytest.mark.medium
@pytest.mark.parametrize(
    "name", ["generator-clean", "generator-distorted", "scan-color", "photo-clean", "photo-deteriorated"]
)
def test_ink_lies_on_the_truth(name: str) -> None:
    drawn = draw_picture(ecg(3), FS, mix=geometry_only(MIXES[name]), seed=4)
    error = np.array(centroid_errors(drawn))
    assert len(error) > 100
    assert abs(error.mean()) < 0.03
    assert np.sqrt((error**2).mean()) < 0.1


def centroid_errors(drawn: DrawnPage) -> list[float]:
    """Distance of the ink's centre from the truth, px, across the trace where it is straight and alone."""
    ink = 255 - drawn.image.min(axis=2).astype(np.float32)
    offset = np.arange(-6, 6.01, 0.25)
    errors = []
    for segment in drawn.truth.segments:
        along = np.gradient(segment.xy, axis=0)
        length = np.hypot(*along.T)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None]
        turn = np.abs(np.gradient(np.unwrap(np.arctan2(along[:, 1], along[:, 0]))))
        straight = np.convolve(turn > 0.01, np.ones(31), "same") == 0
        for i in np.flatnonzero(straight)[::9]:
            at = (segment.xy[i] + offset[:, None] * across[i]).astype(np.float32)
            if at.min() < 5 or at[:, 0].max() > ink.shape[1] - 5 or at[:, 1].max() > ink.shape[0] - 5:
                continue
            profile = cv2.remap(ink, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
            profile = np.where(profile - profile.min() < 30, 0, profile - profile.min())
            if profile.sum() and not profile[:6].any() and not profile[-6:].any():
                errors.append(float(profile @ offset / profile.sum()))
    return errors


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_can_be_drawn_and_masks_what_it_does_not_draw(layout: str) -> None:
    signal = ecg()
    style = PageStyle(layout=layout, top=20, speed=50.0 if layout == "6x2" else 25.0)
    page = build_page(style, len(signal), FS)
    mask = np.isfinite(masked_signal(page, signal))
    names = {lead.removeprefix("-") for column in LAYOUTS[layout].columns for lead in column}
    strips = set(style.strip_leads[: LAYOUTS[layout].strips])
    assert {LEADS[k] for k in np.flatnonzero(mask.any(axis=0))} == names | strips
    for segment in page.segments:
        x, _ = segment_path(page, segment, signal)
        assert x[0] > 0
        assert x[-1] < page.paper.width
    image = draw_page(page, signal, 50)
    assert image.shape == (425, 550, 3)


def test_half_the_time_fits_at_twice_the_speed() -> None:
    slow, fast = (build_page(PageStyle(speed=v), 5000, FS) for v in (25.0, 50.0))
    strips = [max(s.stop for s in page.segments) / FS for page in (slow, fast)]
    assert strips[0] == 10
    assert 4.5 < strips[1] < 5.5


def test_columns_that_all_start_at_zero_do() -> None:
    page = build_page(PageStyle(continuous=False), 5000, FS)
    assert {s.start for s in page.segments} == {0}


def test_a_missing_lead_is_named() -> None:
    with pytest.raises(EcgPageError, match="V6"):
        build_page(PageStyle(), 5000, FS, lead_names=LEADS[:11])


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_every_look_draws(look: str) -> None:
    for seed in range(4):
        style = LOOKS[look](np.random.default_rng(seed))
        image = draw_page(build_page(style, 5000, FS), ecg(), 60)
        assert 0 < (image.min(axis=2) < 128).mean() < 0.7


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_region_looks_as_it_does_on_the_page(seed: int) -> None:
    rng = np.random.default_rng(seed)
    page = build_page(random_style(rng), 5000, FS)
    page = replace(page, stamps=(), paper=replace(page.paper, frame=0.0))
    signal, scale = ecg(), 4.0
    whole = draw_page(page, signal, scale * 25.4)
    x, y = rng.integers(40, 150), rng.integers(20, 90)
    part, corner = draw_region(page, signal, (x, y, x + 50, y + 30), scale)
    assert corner == (x, y)
    same = whole[y * 4 : y * 4 + 120, x * 4 : x * 4 + 200].astype(int)
    assert np.mean(np.abs(same - part).max(axis=2) > 3) < 0.002


@pytest.mark.medium
@pytest.mark.parametrize("name", sorted(MIXES))
def test_the_same_seed_gives_the_same_picture(name: str) -> None:
    mix = MIXES[name]
    small = mix if mix.long_side is None else replace(mix, long_side=(500, 600))
    one, two, other = (draw_picture(ecg(), FS, mix=small, seed=s) for s in ((5, 1), (5, 1), (5, 2)))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.image.shape != other.image.shape or (one.image != other.image).any()
    assert one.image.dtype == np.uint8
    assert one.masked_signal.shape == (5000, 12)


def test_map_goes_both_ways_at_any_point() -> None:
    page_map = draw_picture(ecg(), FS, mix=geometry_only(MIXES["photo-deteriorated"]), seed=9).truth.page_map
    page = np.random.default_rng(0).uniform((0, 0), (279, 215), (500, 2))
    image = page_map.image_from_page(page)
    np.testing.assert_allclose(page_map.page_from_image(image), page, atol=1e-6)


def test_signal_with_gaps_is_drawn_with_gaps() -> None:
    signal = ecg()
    signal[200:400, 0] = np.nan
    drawn = draw_picture(signal, FS, mix="generator-clean", seed=0)
    lead = next(s for s in drawn.truth.segments if s.lead == "I")
    np.testing.assert_array_equal(np.isfinite(lead.xy[:, 1]), np.isfinite(signal[:1250, 0]))
    assert not lead.visible[200:400].any()
    before, after = lead.xy[199], lead.xy[400]
    gap = drawn.image[: int(before[1]) + 15, int(before[0]) + 3 : int(after[0]) - 2]
    assert gap[int(before[1]) - 60 :].max(axis=2).min() > 60


def test_crop_target_runs_through_the_ink() -> None:
    found = []
    for seed in range(12):
        page = build_page(
            PageStyle(grid=None, name_place="none", pulse="none", separator="none", top=20), 5000, FS
        )
        crop = draw_crop(ecg(seed), FS, np.random.default_rng(seed), page=page, difficulty=0.3)
        assert crop.image.shape == (CROP_ROWS, 512)
        assert crop.target.shape == crop.visible.shape == crop.true.shape == (1024,)
        row = CROP_ROWS / 2 - crop.target * 80 - 0.5
        column = (np.arange(1024) + 0.5) / 2 - 0.5
        flat = crop.visible & (np.abs(np.gradient(row)) < 0.1)
        at = np.stack([column, row], axis=1)[flat].astype(np.float32)
        on = cv2.remap(crop.image, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)
        found.append(np.median(on) < np.median(crop.image) - 20)
    assert np.mean(found) > 0.9


def test_long_crops_hold_a_whole_strip() -> None:
    page = build_page(PageStyle(layout="strip", top=20), 5000, FS)
    crops = [draw_crop(ecg(k), FS, np.random.default_rng(k), width=2700, page=page) for k in range(3)]
    assert {crop.image.shape for crop in crops} == {(CROP_ROWS, 2700)}
    assert max(crop.visible.sum() for crop in crops) > 4900


def test_crop_errors_are_small_and_the_truth_is_free_of_them() -> None:
    crop = draw_crop(ecg(1), FS, np.random.default_rng(3), difficulty=0.0)
    np.testing.assert_allclose(crop.target[crop.visible], crop.true[crop.visible], atol=1e-4)


def test_artifacts_obey_einthoven_and_goldberger() -> None:
    rng = np.random.default_rng(0)
    one, two, three, right, left, foot = spread_over_leads(make_wander(np.arange(5000) / FS, rng), 12, rng).T[
        :6
    ]
    np.testing.assert_allclose(three, two - one, atol=1e-6)
    np.testing.assert_allclose(right + left + foot, 0, atol=1e-6)


def test_artifacts_leave_most_signals_alone_and_all_finite() -> None:
    np.testing.assert_array_equal(add_artifacts(ecg(), FS, np.random.default_rng(0), chance=0.0), ecg())
    noisy = add_artifacts(ecg(), FS, np.random.default_rng(0), chance=1.0)
    assert noisy.shape == (5000, 12)
    assert np.isfinite(noisy).all()


def test_mixes_are_named_by_their_hash() -> None:
    assert len(mixes_hash()) == 12
