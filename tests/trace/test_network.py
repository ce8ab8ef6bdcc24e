"""The trace network: conventions of crops, steps and bins, tiles, and the shipped weights on drawn leads."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ecgpage.core.conventions import EcgPageError
from ecgpage.grid.grid_map import GridMap
from ecgpage.synth.challenge_picture import draw_challenge_page
from ecgpage.synth.crops import draw_crop
from ecgpage.synth.page.challenge import challenge_page
from ecgpage.synth.page.model import Grid
from ecgpage.trace.crop_reader import CropReader
from ecgpage.trace.crops import TILE_PX, cut_crop, tile_edges
from ecgpage.trace.decoding import BINS, bin_heights, likeliest_path, mean_around
from ecgpage.trace.geometry import ROWS, STRIDE
from ecgpage.trace.network import TraceNet
from ecgpage.train.trace import mean_around_mode

MODEL = Path(__file__).parents[2] / "model"
FS = 500.0


@pytest.fixture(scope="module")
def net() -> TraceNet:
    torch.manual_seed(1)
    return TraceNet().eval()


@pytest.fixture(scope="module")
def shipped() -> CropReader:
    return CropReader.load(MODEL)


def synthetic_ecg(seed: int = 1, seconds: float = 10.0) -> np.ndarray:
    """(n, 12) mV: bumps at the places of P, Q, R, S and T, of other sizes in each lead."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * FS)) / FS
    signal = np.zeros((len(t), 12))
    p, t_wave = (-0.16, 0.025, 0.12), (0.25, 0.05, 0.25)
    qrs = ((-0.03, 0.01, -0.1), (0.0, 0.012, 1.0), (0.03, 0.012, -0.25))
    for beat in np.arange(0.4, seconds, 0.83):
        for delay, width, size in (p, *qrs, t_wave):
            bump = np.exp(-0.5 * ((t - beat - delay) / width) ** 2)
            signal += size * bump[:, None] * rng.uniform(0.6, 1.4, 12)
    return signal


def square_grid(px_per_mm: float, boxes: tuple[int, int]) -> GridMap:
    """Map of a picture whose left and upper edges are page x = 0 and y = 0."""
    ny, nx = boxes
    y, x = np.meshgrid(np.arange(ny) * 5.0, np.arange(nx) * 5.0, indexing="ij")
    nodes = np.stack([x, y], axis=-1) * px_per_mm - 0.5
    return GridMap(nodes, (0.0, 0.0), np.ones((ny, nx)), 0.0, "drawn")


def at_mode(logits: np.ndarray) -> np.ndarray:
    """Heights (b, t) of logits (b, BINS, t) around their modes; training asks for the same with gradients."""
    found = mean_around(logits, logits.argmax(1))
    np.testing.assert_allclose(mean_around_mode(torch.from_numpy(logits)).numpy(), found, atol=1e-4)
    return found


def ink_logits(crop: np.ndarray) -> np.ndarray:
    """What a perfect network would say of a crop with one dark line: log of the ink in each bin and step."""
    ink = np.clip(255.0 - crop, 0, None)
    bins = ink.reshape(BINS, 2, -1).sum(axis=1)  # (BINS, W)
    return np.log(bins.repeat(2, axis=1) + 1e-6).astype(np.float32)[None]


@pytest.mark.parametrize("width", [320, 640])
def test_one_output_for_every_half_pixel_of_any_width(net: TraceNet, width: int) -> None:
    with torch.inference_mode():
        logits, drawn, error = net(torch.rand(2, 1, ROWS, width))
    assert logits.shape == (2, BINS, 2 * width)
    assert drawn.shape == error.shape == (2, 2 * width)


@pytest.mark.medium
def test_a_shift_along_time_shifts_the_output(net: TraceNet) -> None:
    one = torch.rand(1, 1, ROWS, STRIDE, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        long = net(one.repeat(1, 1, 1, 20))[0]
    middle = long[..., 640 - 128 : 640 + 128].unflatten(2, (4, 2 * STRIDE))
    torch.testing.assert_close(middle[:, :, 0], middle[:, :, 3], atol=1e-4, rtol=1e-4)
    assert float((middle[:, :, 0] - middle[:, :, 0].roll(8, 2)).abs().max()) > 1e-3


def test_batches_and_single_crops_read_alike(shipped: CropReader) -> None:
    rng = np.random.default_rng(3)
    crops = [draw_crop(synthetic_ecg(k), FS, rng, width=320).image for k in range(2)]
    together = shipped.read_crops(crops)
    for crop, found in zip(crops, together, strict=True):
        alone = shipped.read_crops([crop])[0]
        np.testing.assert_allclose(alone.height_mm, found.height_mm, atol=0.05)


@pytest.mark.parametrize("height_mm", [0.0, 0.031, -7.37, 15.5])
def test_the_mean_around_the_mode_lies_between_the_bins(height_mm: float) -> None:
    logits = -0.5 * ((bin_heights() - height_mm) / 0.25) ** 2
    read = at_mode(logits[None, :, None])
    assert float(read[0, 0]) == pytest.approx(height_mm, abs=1e-3)


def test_the_way_does_not_jump_to_another_trace_for_a_step() -> None:
    own = -0.5 * ((bin_heights() - 2.0) / 0.25) ** 2
    other = -0.5 * ((bin_heights() + 15.0) / 0.25) ** 2
    logits = np.logaddexp(own, other - 1)[:, None].repeat(60, axis=1)  # (BINS, 60)
    logits[:, 30:32] = np.logaddexp(own - 1, other)[:, None]
    assert set(likeliest_path(logits[None])[0].tolist()) == {int(own.argmax())}
    assert int(logits[:, 30].argmax()) != int(own.argmax())


def test_the_way_follows_a_steep_edge() -> None:
    edge = np.concatenate([np.zeros(20), np.linspace(0, 12, 8), np.full(20, 12.0)]).astype(np.float32)
    logits = -0.5 * ((bin_heights()[:, None] - edge) / 0.25) ** 2
    read = mean_around(logits[None], likeliest_path(logits[None]))[0]
    np.testing.assert_allclose(read, edge, atol=0.02)


@pytest.mark.parametrize("height_mv", [0.0, 0.123, -0.461])
def test_ink_and_target_of_a_drawn_crop_agree_to_a_hundredth_of_a_millimetre(height_mv: float) -> None:
    bare = Grid(minor_kind="none", major_kind="none")
    page = challenge_page(5000, FS, pulse=False, header=None, grid=bare)
    page = replace(page, segments=[replace(page.segments[-1], name_at=None)])
    signal = np.full((5000, 12), height_mv)
    crop = draw_crop(signal, FS, np.random.default_rng(4), width=320, page=page, difficulty=0.0)
    assert crop.visible.any()
    dark = crop.image.astype(float)
    dark = np.where(dark < np.quantile(dark, 0.5) * 0.9, dark, 255.0)
    read = at_mode(ink_logits(dark))[0]
    assert np.median((read - crop.target * 10)[crop.visible]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("y_mm", [20.0, 21.37, 17.11])
def test_a_line_of_the_picture_is_read_at_its_page_height(y_mm: float) -> None:
    scale = 7.3
    image = np.full((300, 500), 255, np.uint8)
    edges = np.arange(301) / scale
    cover = np.clip((np.minimum(edges[1:], y_mm + 0.2) - np.maximum(edges[:-1], y_mm - 0.2)) * scale, 0, 1)
    image[:] = np.round(255 - 255 * cover)[:, None]
    crop = cut_crop(image, square_grid(scale, (9, 14)), 10.0, 40.0, 20.3)
    read = 20.3 - at_mode(ink_logits(crop))[0]
    assert float(read.mean()) == pytest.approx(y_mm, abs=0.01)


def test_a_step_falls_on_the_window_s_left_end() -> None:
    scale, edge_mm = 8.0, 22.0
    image = np.full((320, 600), 255, np.uint8)
    image[:, : round(edge_mm * scale)] = 0
    crop = cut_crop(image, square_grid(scale, (9, 16)), edge_mm, edge_mm + 20, 20.0)
    profile = crop.mean(axis=0)
    edge = np.interp(127.5, profile, np.arange(len(profile)) + 0.5)  # edge column
    assert 2 * edge - 0.5 == pytest.approx(3.0 / 0.05, abs=0.1)  # the step there
    assert crop.shape[1] % STRIDE == 0


@pytest.mark.parametrize("width", [320, TILE_PX, TILE_PX + STRIDE, 1376, 2592, 5024])
def test_tiles_cover_the_crop_and_overlap(width: int) -> None:
    edges = tile_edges(width)
    assert edges[0][0] == 0
    assert edges[-1][1] == width
    assert all(b - a <= TILE_PX and a % STRIDE == 0 for a, b in edges)
    assert all(before[1] - after[0] >= 64 for before, after in pairwise(edges))


def test_a_strip_is_read_whole(shipped: CropReader) -> None:
    crop = np.full((ROWS, 1376), 230, np.uint8)
    cv2.line(crop, (0, 150), (1376, 150), 0, 4)
    found = shipped.read_crops([crop])[0]
    assert found.height_mm.shape == (1, 2752)


def test_missing_weights_say_so(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="weights"):
        CropReader.load(tmp_path)


@pytest.mark.medium
def test_the_shipped_weights_read_a_clean_page(shipped: CropReader) -> None:
    """Twelve leads of a generator-style page at 200 dpi: at least 15 dB on average, 8 dB each."""
    signal = synthetic_ecg()
    page = challenge_page(5000, FS)
    drawn = draw_challenge_page(signal, FS, seed=1)
    scale = 200 / 25.4
    grid = square_grid(scale, (drawn.image.shape[0] // 39 + 2, drawn.image.shape[1] // 39 + 2))
    short = page.segments[:12]
    readings = shipped.read(drawn.image, grid, [(s.x0, s.x0 + 62.5, s.baseline) for s in short])
    scores = []
    for segment, reading in zip(short, readings, strict=True):
        at = (reading.x_mm - segment.x0) / 25 * FS
        part = signal[segment.start : segment.stop, segment.channel]
        true = np.interp(at, np.arange(len(part)), part)
        read = (segment.baseline - reading.y_mm) / 10
        seen = np.isfinite(read)
        assert seen.mean() > 0.9
        noise = (read - true)[seen]
        scores.append(10 * np.log10(true[seen].var() / noise.var()))
    assert np.mean(scores) > 15
    assert min(scores) > 8


@pytest.mark.parametrize("depth_mv", [1.0, 3.0])
def test_a_wave_that_leaves_the_crop_is_read_to_its_end(shipped: CropReader, depth_mv: float) -> None:
    """The second lead's S waves reach ``depth_mv`` below the level; a crop shows 2 mV."""
    signal = 0.1 * synthetic_ecg()
    t = np.arange(len(signal)) / FS
    for beat in np.arange(0.4, 10, 0.83):
        signal[:, 1] -= depth_mv * np.exp(-0.5 * ((t - beat) / 0.02) ** 2)
    segment = challenge_page(5000, FS).segments[1]
    drawn = draw_challenge_page(signal, FS, seed=1)
    scale = 200 / 25.4
    grid = square_grid(scale, (drawn.image.shape[0] // 39 + 2, drawn.image.shape[1] // 39 + 2))
    reading = shipped.read(drawn.image, grid, [(segment.x0, segment.x0 + 62.5, segment.baseline)])[0]
    part = signal[segment.start : segment.stop, segment.channel]
    true = np.interp((reading.x_mm - segment.x0) / 25 * FS, np.arange(len(part)), part)
    read = (segment.baseline - reading.y_mm) / 10
    assert np.isfinite(read).mean() > 0.98
    seen = np.isfinite(read)
    assert 10 * np.log10(true[seen].var() / (read - true)[seen].var()) > 18
