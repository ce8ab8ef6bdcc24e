"""Training the lead detector: pages from shards, what is done to them, learning, stored weights, detection."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.runtime import Runtime
from ecgpage.core.torch_runtime import TorchNetwork
from ecgpage.core.weights import load_card
from ecgpage.layout.detector import CLASSES, NAME, LeadDetector
from ecgpage.layout.detector_network import Predictor, load_network
from ecgpage.synth.flat_pages import PULSE_CLASS, DrawnFlatPage, draw_flat_page
from ecgpage.synth.page_shards import save_shard
from ecgpage.train.detector import (
    CONFIG,
    Recipe,
    Trainer,
    augment,
    average_precisions,
    cluster_anchors,
    scale_config,
    train,
)
from ecgpage.train.page_batches import Feeder, PagePool, collate
from tests.drawn import FS, record
from yolov7 import YoloV7

CPU = torch.device("cpu")
STILL = Recipe(scaled=0.0, contrast=0.0, brightness=0.0, noise=0.0)
"""Pages are moved, nothing else."""


def drawn(seed: int) -> DrawnFlatPage:
    """A drawn page of a golden record."""
    image, boxes, classes, layout, mix = draw_flat_page(record(), FS, [seed], any_look=1.0)
    return DrawnFlatPage(image, boxes, classes, np.zeros(11, np.bool_), False, 1, layout, mix, "ward fold 3")


def patches(shape: tuple[int, int], boxes: list[list[int]], classes: list[int]) -> DrawnFlatPage:
    """A white page with a dark patch for each box."""
    image = np.full(shape, 255, np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 20
    sides = np.array(boxes, np.float32).reshape(-1, 4)
    names = np.array(classes, np.int64)
    return DrawnFlatPage(image, sides, names, np.zeros(11, np.bool_), False, 1, "patches", "clean")


@pytest.fixture(scope="module")
def two_pages() -> list[DrawnFlatPage]:
    """Six chest leads in two columns; three strips with their pulses; square, so they stay in their places."""
    pages = [drawn(81), drawn(235)]
    assert [page.layout for page in pages] == ["chest 3x2", "3 strips"]
    fill = [((0, 640 - len(page.image)), (0, 0)) for page in pages]
    return [
        replace(page, image=np.pad(page.image, rows, constant_values=200))
        for page, rows in zip(pages, fill, strict=True)
    ]


# pages


def test_the_classes_are_those_of_the_drawn_pages() -> None:
    assert (*LEADS, "pulse") == CLASSES
    assert CLASSES.index("pulse") == PULSE_CLASS
    assert CONFIG.classes == len(CLASSES)


def test_a_batch_holds_the_pages_with_their_boxes_whatever_their_shape() -> None:
    pages = [patches((40, 128), [[10, 10, 70, 20], [90, 20, 96, 36]], [1, 12]), patches((64, 32), [], [])]
    batch = collate(pages, 64)
    assert batch.images.shape == (2, 64, 64)
    assert batch.sides.tolist() == [[64, 20], [32, 64]]
    assert batch.targets.valid.tolist() == [[True, True], [False, False]]
    assert batch.targets.classes[0].tolist() == [1, 12]
    top = (64 - 20) // 2
    wanted = [[5, top + 5, 35, top + 10], [45, top + 10, 48, top + 18]]
    assert batch.targets.boxes[0].tolist() == wanted
    for x0, y0, x1, y1 in wanted:
        assert int(batch.images[0, y0:y1, x0:x1].max()) < 60


@pytest.mark.parametrize(
    "recipe", [STILL, replace(STILL, scaled=1.0, least_scale=0.6)], ids=["moved", "smaller"]
)
def test_boxes_move_with_what_they_enclose(recipe: Recipe) -> None:
    torch.manual_seed(1)
    page = patches((80, 160), [[8, 8, 72, 40], [100, 30, 150, 70]], [3, 4])
    batch = collate([page] * 8, 160)
    images, targets = augment(batch, recipe)
    assert images.shape == (8, 1, 160, 160)
    for picture, boxes in zip(images[:, 0], targets.boxes, strict=True):
        inside = torch.zeros(160, 160, dtype=torch.bool)
        edges = torch.zeros(160, 160, dtype=torch.bool)
        for x0, y0, x1, y1 in boxes.round().int().tolist():
            assert x0 >= 0
            assert y0 >= 0
            assert x1 <= 160
            assert y1 <= 160
            inside[y0:y1, x0:x1] = True
            edges[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = True
            edges[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] = False
        assert picture[inside & ~edges].max() < 0.1
        assert picture[~inside & ~edges].min() > 0.4  # white, or the padding's 114 / 255
    places = targets.boxes[:, 0, 1]
    assert len(set(places.tolist())) > 4, "all pages lie at the same place"
    sides = targets.boxes[:, 0, 2] - targets.boxes[:, 0, 0]
    assert bool((sides < 63).any()) == (recipe.scaled > 0)


def test_contrast_brightness_and_noise_stay_in_range_and_differ_from_page_to_page() -> None:
    torch.manual_seed(2)
    batch = collate([patches((64, 64), [[8, 8, 40, 40]], [0])] * 6, 64)
    images, _ = augment(batch, replace(Recipe(), scaled=0.0))
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    patch = images[:, 0, 12:36, 12:36]
    assert patch.mean((1, 2)).std() > 0.01
    assert patch.std((1, 2)).max() > 0.002


def test_a_growing_folder_is_read_on_and_old_pages_go(tmp_path: Path) -> None:
    pool = PagePool(tmp_path, keep=5)
    with pytest.raises(EcgPageError, match="no shard"):
        pool.wait(0.0)
    pages = [patches((32, 64), [[k, 0, k + 9, 9]], [k]) for k in range(7)]
    save_shard(tmp_path / "shard_1_0_0.npz", pages[:3])
    pool.wait(0.0)
    assert [int(page.classes[0]) for page in pool.pages] == [0, 1, 2]
    batches = pool.batches(2, 32, np.random.default_rng(1))
    first = [next(batches)]  # three pages make one batch of two
    save_shard(tmp_path / "shard_1_0_1.npz", pages[3:])
    first += [next(batches), next(batches)]
    assert [int(page.classes[0]) for page in pool.pages] == [2, 3, 4, 5, 6]
    assert pool.loaded == 7
    seen = {int(k) for batch in first[1:] for k in batch.targets.classes[:, 0]}
    assert seen <= {2, 3, 4, 5, 6}
    assert seen & {3, 4, 5, 6}


def test_a_pool_smaller_than_a_batch_fills_it_with_repeats(tmp_path: Path) -> None:
    save_shard(tmp_path / "shard_1_0_0.npz", [patches((32, 64), [[0, 0, 9, 9]], [k]) for k in range(2)])
    batch = next(PagePool(tmp_path, 10).batches(5, 32, np.random.default_rng(1)))
    assert sorted(set(batch.targets.classes[:, 0].tolist())) == [0, 1]
    assert len(batch.images) == 5


def test_an_error_in_the_feeding_thread_reaches_the_training() -> None:
    def broken():
        yield collate([patches((32, 64), [], [])], 32)
        raise EcgPageError("a damaged shard")

    feeder = Feeder(broken(), pinned=False)
    batches = iter(feeder)
    assert next(batches).images.shape == (1, 32, 32)
    with pytest.raises(EcgPageError, match="damaged"):
        next(batches)
    feeder.close()


def test_clusters_of_boxes_become_anchors_by_area() -> None:
    rng = np.random.default_rng(1)
    sides = np.repeat([[12, 22], [140, 30], [560, 40]], 30, axis=0) * np.exp(rng.normal(0, 0.02, (90, 2)))
    corners = rng.uniform(0, 50, (90, 2))
    anchors = cluster_anchors(np.concatenate([corners, corners + sides], 1), 3)
    np.testing.assert_allclose(anchors, [[12, 22], [140, 30], [560, 40]], rtol=0.05)


def test_anchors_shrink_with_the_canvas() -> None:
    assert scale_config(640) == CONFIG
    np.testing.assert_allclose(np.array(scale_config(320).anchors) * 2, CONFIG.anchors)


# training


def test_the_rate_warms_up_and_falls_over_the_time() -> None:
    trainer = Trainer(Recipe(minutes=1.0, warmup=10, peak_lr=1e-3, last_lr=0.1), CPU)
    assert trainer.rate() == pytest.approx(1e-4)
    trainer.progress.steps = 10
    assert trainer.rate() == pytest.approx(1e-3)
    trainer.progress.seconds = 30.0
    assert trainer.rate() == pytest.approx(0.55e-3)
    trainer.progress.seconds = 90.0
    assert trainer.rate() == pytest.approx(1e-4)


@pytest.mark.slow
def test_two_pages_are_learnt_and_their_leads_found(two_pages: list[DrawnFlatPage]) -> None:
    torch.manual_seed(0)
    size, steps = 160, 150
    recipe = replace(STILL, minutes=1.0, size=size, warmup=8, ema=0.9, peak_lr=3e-3)
    trainer = Trainer(recipe, CPU)
    batch = collate(two_pages, size)
    losses = []
    for k in range(steps):
        trainer.progress.seconds = 60 * k / steps
        losses.append(sum(float(part) for part in trainer.step(batch).values()))
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    network = trainer.candidate()
    precision = average_precisions(network, two_pages, size)
    assert float(precision[0].nanmean()) > 0.8
    found = LeadDetector(TorchNetwork(Predictor(network)), size).detect(two_pages[1].image, score=0.1)
    strips = found.boxes[:, 2] - found.boxes[:, 0] > 400
    assert {CLASSES[k] for k in found.classes[strips]} == {"II", "V1", "V5"}


def small_run(folder: Path, pages: list[DrawnFlatPage]) -> tuple[Path, Path, Path, Path]:
    """Folders of training pages, validation pages, model and work."""
    for name in ("pages", "valid"):
        save_shard(folder / name / "shard_1_0_0.npz", pages)
    (folder / "work").mkdir()
    return folder / "pages", folder / "valid", folder / "model", folder / "work"


@pytest.mark.medium
def test_training_stores_weights_that_load_and_goes_on_where_it_stopped(
    tmp_path: Path, two_pages: list[DrawnFlatPage]
) -> None:
    folders = small_run(tmp_path, two_pages)
    recipe = Recipe(most_seen=4, batch=2, size=64)
    train(*folders, recipe)
    first = torch.load(folders[3] / "checkpoint.pt", weights_only=True)
    train(*folders, replace(recipe, most_seen=8), resume=True)
    second = torch.load(folders[3] / "checkpoint.pt", weights_only=True)
    assert (first["progress"]["steps"], second["progress"]["steps"]) == (2, 4)
    assert (first["progress"]["seen"], second["progress"]["seen"]) == (4, 8)
    assert second["progress"]["starts"] == 2
    assert second["progress"]["seconds"] > first["progress"]["seconds"] > 0
    assert len(second["progress"]["history"]) == 2
    card = load_card(folders[2], NAME)
    seen = second["progress"]["seen"]
    said = f"2 different pages drawn from 1 record (ward fold 3: 1), {seen:,} seen, in "
    assert card.trained_on.startswith(said)
    assert card.score.endswith("on 2 drawn pages of 1 record (ward fold 3: 1)")
    assert card.command.endswith("--batch 2 --most-seen 8 --size 64")
    log = (folders[3] / "checkpoint.jsonl").read_text().splitlines()
    assert [json.loads(line)["seen"] for line in log] == [first["progress"]["seen"], seen]
    assert (folders[2] / "detector.safetensors").stat().st_size < 7_000_000
    assert LeadDetector.load(folders[2], Runtime("torch")).size == 64
    averaged = YoloV7(scale_config(64))
    averaged.load_state_dict(second["averaged"])
    stored = load_network(folders[2], NAME)[0].state_dict()
    for key, value in averaged.fuse().state_dict().items():
        torch.testing.assert_close(stored[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.medium
def test_training_goes_on_from_stored_weights(tmp_path: Path, two_pages: list[DrawnFlatPage]) -> None:
    folders = small_run(tmp_path, two_pages)
    recipe = Recipe(minutes=0.003, batch=2, size=64)
    train(*folders, recipe)
    begun = Trainer(recipe, CPU, start=folders[2])
    stored = load_network(folders[2], NAME)[0].state_dict()
    for key, value in begun.network.state_dict().items():
        torch.testing.assert_close(value, stored[key])
    train(*folders[:2], tmp_path / "further", folders[3], recipe, start=folders[2])
    card = load_card(tmp_path / "further", NAME)
    assert card.trained_on.startswith(load_card(folders[2], NAME).trained_on + "; then ")
    changed = load_network(tmp_path / "further", NAME)[0].state_dict()
    assert any(not torch.equal(changed[key], value) for key, value in stored.items())


# detection


def test_boxes_are_in_pixels_of_the_given_picture() -> None:
    torch.manual_seed(3)
    detector = LeadDetector(TorchNetwork(Predictor(YoloV7(scale_config(160)).fuse())), 160)
    rng = np.random.default_rng(3)
    small = np.kron(rng.integers(0, 255, (20, 32)), np.ones((5, 5))).astype(np.uint8)  # (100, 160)
    large = np.kron(small, np.ones((3, 3), np.uint8))
    a, b = (detector.detect(page, score=1e-5) for page in (small, large))
    assert len(a.scores) > 5
    assert a.boxes.min() >= 0
    assert (a.boxes <= [160, 100, 160, 100]).all()
    np.testing.assert_allclose(b.boxes, 3 * a.boxes, atol=0.1)
    assert (np.diff(a.scores) <= 0).all()
    assert a.probabilities.shape == (len(a.scores), 13)
    np.testing.assert_array_equal(a.probabilities.argmax(1), a.classes)


def test_missing_weights_are_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="weights cannot be used"):
        LeadDetector.load(tmp_path)


@pytest.mark.medium
def test_training_needs_neither_wfdb_nor_efficientnet() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['wfdb', 'efficientnet_pytorch', 'pandas']))"
    code = f"{blocked}; import ecgpage.train.detector, ecgpage.synth.flat_pages, ecgpage.synth"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
