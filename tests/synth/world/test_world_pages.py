"""Pages of devices and viewers: what their truth says is what their pixels show."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.synth import mixes_hash
from ecgpage.synth.mixes import Mix
from ecgpage.synth.page.model import segment_path
from ecgpage.synth.picture import photograph_sheet
from ecgpage.synth.scene.page_map import PageMap, flat_map
from ecgpage.synth.truth import page_truth
from ecgpage.synth.world import WORLD_MIXES, WorldMix, draw_world_page, world_hash
from ecgpage.synth.world.invent import invent_device_page
from ecgpage.synth.world.mixes import SCENES
from ecgpage.synth.world.model import DevicePage, GridPanel, GridStyle, Label
from ecgpage.synth.world.picture import lengthened
from ecgpage.synth.world.sheet import draw_device_page, draw_panel, label_patch
from ecgpage.synth.world.truth import scale_at, world_facts
from tests.synth.pages import FS, ecg

MM = 25.4


def invented(seed: int) -> tuple[DevicePage, NDArray[np.float32]]:
    """A page, and a signal as long as it draws."""
    page = invent_device_page(5000, FS, np.random.default_rng(seed))
    last = max(s.stop for s in page.segments)
    return page, lengthened(ecg(seed), FS, last, np.random.default_rng(seed))


def bare(page: DevicePage) -> DevicePage:
    """The page with nothing but its traces, black on white."""
    places = tuple(replace(p, ink=None) for p in page.places)
    segments = tuple(replace(s, name_at=None) for s in page.segments)
    return replace(
        page, panels=(), frames=(), bars=(), texts=(), stamps=(), pulses=(), separators=(), plotter=None, wear=0.0,
        ink=(0.0, 0.0, 0.0), paper=replace(page.paper, color=(255.0, 255.0, 255.0)), places=places, segments=segments,
    )  # fmt: skip


def quiet(mix: Mix) -> Mix:
    """The same camera and paper without anything that changes tones."""
    keep = {
        name: getattr(mix, name)
        for name in (
            "folds",
            "fold_bend",
            "crumples",
            "crumple_slope",
            "curl",
            "wave",
            "feed",
            "rotation",
            "tilt",
            "lens",
        )
    }
    return replace(Mix(), **keep, long_side=(1500, 1600))


def off_trace(image: NDArray[np.uint8], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance, px, of the ink's centre from the flat parts of a trace (n, 2), across it; none where ink is shared."""
    ink = 255.0 - image.min(axis=2).astype(np.float32)
    level = np.abs(np.gradient(xy[:, 1])) < 0.15 * np.abs(np.gradient(xy[:, 0])) + 1e-9
    calm = np.convolve(~level, np.ones(41), "same") == 0
    at = xy[calm][::23]
    reach = np.arange(-7, 7.01, 0.25)
    inside = (at > 9).all(axis=1) & (at < np.array(ink.shape[::-1]) - 9).all(axis=1)
    at = at[inside]
    if len(at) == 0:
        return np.zeros(0)
    x = np.repeat(at[:, :1], len(reach), axis=1).astype(np.float32)
    y = (at[:, 1:] + reach).astype(np.float32)
    profile = cv2.remap(ink, x, y, cv2.INTER_LINEAR)
    alone = (
        (profile[:, :6].max(axis=1) < 20) & (profile[:, -6:].max(axis=1) < 20) & (profile.max(axis=1) > 60)
    )
    return np.asarray((profile @ reach / np.maximum(profile.sum(axis=1), 1))[alone], np.float64)


@pytest.mark.medium
def test_ink_lies_on_the_truth_of_screens() -> None:
    errors = []
    for seed in range(12):
        page, signal = invented(seed)
        page = bare(page)
        scale = page.px_per_mm * page.stretch[0], page.px_per_mm * page.stretch[1]
        image = draw_device_page(page, signal, scale)
        for segment in page.segments:
            xy = np.stack(segment_path(page, segment, signal), axis=1) * scale - 0.5
            errors.append(off_trace(image, xy))
    error = np.concatenate(errors)
    assert len(error) > 400
    assert abs(error.mean()) < 0.06
    assert np.sqrt((error**2).mean()) < 0.3  # jagged traces lie on whole pixels


@pytest.mark.medium
@pytest.mark.parametrize("scene", ["scan", "photo"])
def test_ink_lies_on_the_truth_of_scans_and_photos(scene: str) -> None:
    errors = []
    for seed in range(4):
        page, signal = invented(seed + 40)
        page = replace(bare(page), stretch=(1.01, 0.99), trace_width=0.3)

        def draw(model: object, mv: NDArray[np.floating], dpi: float) -> NDArray[np.uint8]:
            assert isinstance(model, DevicePage)
            return draw_device_page(model, mv, (dpi / MM, dpi / MM))

        image, page_map, _ = photograph_sheet(
            page, signal, quiet(SCENES[scene]), np.random.default_rng(seed), draw=draw, stretch=page.stretch
        )
        truth = page_truth(page, signal, page_map, (image.shape[0], image.shape[1]))
        errors += [off_trace(image, s.xy) for s in truth.segments]
        across, down = scale_at(page_map, (page.paper.width / 2, page.paper.height / 2))
        if scene == "scan":
            assert across / down == pytest.approx(1.01 / 0.99, rel=0.006)
    error = np.concatenate(errors)
    assert len(error) > 100
    assert abs(error.mean()) < 0.08
    assert np.sqrt((error**2).mean()) < 0.35


@pytest.mark.parametrize("kind", ["lines", "dots", "dashes"])
@pytest.mark.parametrize("snap", [False, True])
@pytest.mark.parametrize("scale", [(3.1, 3.06), (7.956, 7.92), (12.3, 12.5)])
def test_lines_and_dots_stand_at_the_true_pitch(kind: str, snap: bool, scale: tuple[float, float]) -> None:
    style = GridStyle(
        (0, 0, 0), (0, 0, 0), kind, "none", 0.15, 0.15, dot_step=0.5, snap=snap  # type: ignore[arg-type]
    )  # fmt: skip
    panel = GridPanel((6.0, 4.0, 96.0, 84.0), (8.3, 81.7), style, (1.008, 0.995))
    image = np.full((round(90 * scale[1]), round(100 * scale[0]), 3), 255, np.uint8)
    draw_panel(image, panel, scale)
    for axis in (0, 1):
        ink = (255.0 - image[..., 0]).sum(axis=axis)
        period = 5 * panel.pitch[axis] * scale[axis]
        at = np.arange(len(ink)) + 0.5 - panel.origin[axis] * scale[axis]
        wave = (ink * np.exp(-2j * np.pi * at / period)).sum()
        others = [abs((ink * np.exp(-2j * np.pi * at / (period * f))).sum()) for f in (0.95, 1.05)]
        assert abs(wave) > 3 * max(others)
        assert abs(np.angle(wave)) / (2 * np.pi) * period < (0.3 if snap else 0.06)  # px
        low, high = panel.box[axis] * scale[axis], panel.box[axis + 2] * scale[axis]
        assert not ink[: int(low) - 1].any()
        assert not ink[int(high) + 2 :].any()


@pytest.mark.medium
def test_words_stand_in_their_boxes_and_pulses_too() -> None:
    for seed in range(10):
        page, signal = invented(seed + 100)
        page = replace(
            page, panels=(), frames=(), bars=(), stamps=(), separators=(), ink=(0.0, 0.0, 0.0),
            texts=tuple(replace(t, color=None) for t in page.texts), paper=replace(page.paper, color=(255.0,) * 3),
        )  # fmt: skip
        scale = page.px_per_mm
        facts = world_facts(
            page, flat_map(scale * MM), [1.0] * len(page.segments), (10, 10), "screen", (scale, scale)
        )
        page = replace(page, segments=(), places=())
        ink = draw_device_page(page, signal, (scale, scale)).min(axis=2) < 128
        outside = ink.copy()
        pen = 3 + int(page.trace_width * scale / 2)
        boxes = [t.box for t in facts.texts] + [p.box for p in facts.pulses]
        for x0, y0, x1, y1 in boxes:
            outside[max(int(y0) - pen, 0) : int(y1) + pen + 1, max(int(x0) - pen, 0) : int(x1) + pen + 1] = (
                False
            )
        assert outside.sum() == 0
        for pulse in facts.pulses:
            height = (pulse.box[3] - pulse.box[1]) / scale
            assert height == pytest.approx(pulse.height_mm, abs=0.01)


def test_times_and_places_of_columns_agree() -> None:
    seen = set()
    for seed in range(150):
        page, _ = invented(seed)
        seen |= {("columns", page.column_times), ("strip", page.strip_times)}
        facts = world_facts(
            page, flat_map(4.0 * MM), [1.0] * len(page.segments), (100, 100), "screen", (4.0, 4.0)
        )
        assert re.fullmatch(r"(cabrera |limb |chest )?\d+x\d+( by rows)?(\+\d)?", facts.layout)
        columns = sorted({s.column for s in facts.segments if s.column is not None})
        spans = [{(s.t0, s.t1, s.x0_mm, s.x1_mm) for s in facts.segments if s.column == k} for k in columns]
        assert all(len(span) == 1 for span in spans)
        times = [next(iter(span)) for span in spans]
        for t0, t1, x0, x1 in times:
            assert x1 - x0 == pytest.approx((t1 - t0) * facts.speed, abs=1e-6)
        for (a0, a1, _, x1), (b0, _, x0, _) in pairwise(times):
            assert x0 >= x1 - 0.001
            if facts.column_times == "consecutive":
                assert b0 >= a1 - 1 / FS
            else:
                assert b0 == a0
        for strip in (s for s in facts.segments if s.column is None):
            if facts.strip_times == "other":
                assert strip.t0 > max(t[1] for t in times)
            else:
                assert strip.t0 == times[0][0]
                assert strip.t1 <= 10.0
    assert len(seen) == 6


def test_printed_scales_are_true() -> None:
    counted = 0
    for seed in range(120):
        page, _ = invented(seed)
        for text in page.texts:
            if getattr(text, "kind", "") != "scale":
                continue
            counted += 1
            speeds = re.findall(r"([\d.]+) ?mm ?/ ?s", text.text, re.IGNORECASE)
            assert {float(v) for v in speeds} == {page.speed}
            gains = [float(v) for v in re.findall(r"([\d.]+) ?mm ?/ ?mV", text.text, re.IGNORECASE)]
            allowed = {abs(s.gain) for s in page.segments} | {page.gain, page.gain / 2}
            assert set(gains) <= allowed
    assert counted > 40


@pytest.mark.medium
@pytest.mark.parametrize("name", sorted(WORLD_MIXES))
def test_the_same_seed_gives_the_same_page(name: str) -> None:
    one, two, other = (draw_world_page(ecg(), FS, mix=name, seed=s) for s in ((5, 1), (5, 1), (5, 2)))
    np.testing.assert_array_equal(one.image, two.image)
    assert one.facts == two.facts
    assert one.image.shape != other.image.shape or (one.image != other.image).any()
    assert one.image.dtype == np.uint8
    read = json.loads(one.facts.to_json())
    assert [s["lead"] for s in read["segments"]] == [s.lead for s in one.truth.segments]
    assert len(one.masked_signal) == len(one.signal) >= 5000


@pytest.mark.medium
def test_most_traces_can_be_seen_on_finished_pages() -> None:
    mix = WorldMix((("screen", 1.0),), p_noise=0.0, p_artifacts=0.0)
    darker = []
    for seed in range(12):
        drawn = draw_world_page(ecg(seed), FS, mix=mix, seed=seed)
        picture = drawn.image.astype(np.float32)
        paper = np.median(picture.reshape(-1, 3), axis=0)
        for segment in drawn.truth.segments:
            at = segment.xy[segment.visible][::5]
            if len(at) == 0:
                continue
            here, beside = (sample(picture, at + np.array([0, d])) for d in (0.0, 6.0))
            darker.append((np.abs(here - paper).max(axis=1) > np.abs(beside - paper).max(axis=1)).mean())
    assert np.mean(darker) > 0.8


def sample(picture: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Colours (n, 3) at positions (n, 2)."""
    x, y = at.astype(np.float32).T
    return cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR)[0]


@pytest.mark.medium
def test_pictures_cut_inside_the_traces_say_so() -> None:
    mix = WorldMix((("screen", 1.0),), p_cut=1.0, p_margin=0.0, p_window=0.0)
    cuts = []
    for seed in range(8):
        drawn = draw_world_page(ecg(), FS, mix=mix, seed=seed)
        left = min(s.start_px[0] for s in drawn.facts.segments)
        right = max(s.end_px[0] for s in drawn.facts.segments) - drawn.image.shape[1] + 1
        scale = drawn.facts.trace_px_per_mm[0]
        assert drawn.facts.cut_mm[0] == pytest.approx(max(-left - 0.5, 0) / scale, abs=1e-6)
        assert drawn.facts.cut_mm[1] == pytest.approx(max(right - 0.5, 0) / scale, abs=1e-6)
        cuts.append(max(drawn.facts.cut_mm))
    assert 0 < max(cuts) < 4.2


def test_a_strip_of_another_time_goes_on_behind_the_record() -> None:
    signal = ecg()
    longer = lengthened(signal, FS, 11_000, np.random.default_rng(1))
    assert len(longer) >= 11_000
    np.testing.assert_array_equal(longer[:4900], signal[:4900])
    np.testing.assert_allclose(longer[:, 2], longer[:, 1] - longer[:, 0], atol=1e-5)  # Einthoven
    assert np.abs(np.diff(longer, axis=0)).max() < 1.3 * np.abs(np.diff(signal, axis=0)).max()


def test_a_short_record_is_refused() -> None:
    with pytest.raises(EcgPageError, match="too short"):
        draw_world_page(ecg()[:2000], FS)


def test_the_old_mixes_stay_as_they_are_and_the_new_ones_have_a_hash_of_their_own() -> None:
    assert mixes_hash() == "94b031e5ef43"
    assert len(world_hash()) == 12
    assert world_hash() != mixes_hash()


def test_texts_that_run_upwards_stand_where_their_box_is() -> None:
    upright = label_patch(Label("LOT 123", 20.0, 30.0, 3.0), (4.0, 4.0))
    turned = label_patch(Label("LOT 123", 20.0, 30.0, 3.0, turned=True), (4.0, 4.0))
    assert turned.coverage.shape == upright.coverage.shape[::-1]
    assert turned.row + turned.coverage.shape[0] <= 30 * 4 + 3
    assert turned.col >= 20 * 4 - 12


@pytest.mark.medium
def test_the_grid_of_a_scan_lies_where_its_truth_says() -> None:
    phases = []
    for seed in range(12):
        page, signal = invented(seed)
        style, box = page.panels[0].style, page.panels[0].box
        has_grid = (style.minor_kind, style.major_kind) != ("none", "none") and not style.dropout
        if not has_grid or box[2] - box[0] < 60 or box[3] - box[1] < 40:
            continue
        page = replace(bare(page), panels=page.panels[:1], segments=(), places=(), stretch=(1.008, 0.993))

        def draw(model: object, mv: NDArray[np.floating], dpi: float) -> NDArray[np.uint8]:
            assert isinstance(model, DevicePage)
            return draw_device_page(model, mv, (dpi / MM, dpi / MM))

        image, page_map, _ = photograph_sheet(
            page, signal, quiet(SCENES["scan"]), np.random.default_rng(seed), draw=draw, stretch=page.stretch
        )
        phases += [grid_phase(image, page_map, page.panels[0], axis) for axis in (0, 1)]
    assert len(phases) > 14
    assert np.median(np.abs(phases)) < 0.03  # mm
    assert np.max(np.abs(phases)) < 0.12  # lines lie on whole pixels


def grid_phase(image: NDArray[np.uint8], page_map: PageMap, panel: GridPanel, axis: int) -> float:
    """Distance, printed mm, of the seen lines from the true ones along x or y, over up to 20 periods."""
    period = 5.0 if panel.style.minor_kind == "none" else 1.0
    low, high = np.array(panel.box[:2]) + 6, np.array(panel.box[2:]) - 6
    count = min(int((high[axis] - low[axis]) / panel.pitch[axis] / period), 20)
    # an odd number of samples a square: none of them stands at the same place of each pixel
    along = low[axis] + np.arange(count * 83) / 83 * period * panel.pitch[axis]
    across = np.linspace(low[1 - axis], high[1 - axis], 40)
    points = np.stack(np.meshgrid(along, across, indexing="ij"), axis=-1).reshape(-1, 2)
    at = page_map.image_from_page(points[:, ::-1] if axis else points)
    parts = np.array_split(at, 1 + len(at) // 20_000)  # OpenCV takes no longer ones
    picture = image.astype(np.float32)
    light = np.concatenate([sample(picture, part).sum(axis=1) for part in parts]).reshape(len(along), -1)
    profile = light.mean(axis=1)
    number = (along - panel.origin[axis]) / panel.pitch[axis]
    wave = ((profile - profile.mean()) * np.exp(-2j * np.pi * number / period)).sum()
    return float(np.angle(-wave)) / (2 * np.pi) * period
