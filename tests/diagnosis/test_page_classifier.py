"""The page classifier: what it takes and gives, its stored form, and its training."""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.runtime import Runtime
from ecgpage.core.torch_runtime import TorchNetwork, save_tensors
from ecgpage.core.weights import Card, load_card
from ecgpage.diagnosis.packed_weights import SCALE
from ecgpage.diagnosis.page_classifier import NAME, PageClassifier, to_input
from ecgpage.diagnosis.page_network import (
    PageNet,
    normalize_light,
    pack_weights,
    start_from_lite0,
    unpack_weights,
)
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import save_shard
from ecgpage.train import page_classifier as training
from ecgpage.train.page_classifier import Pages, Recipe, Trainer, page_weights

SMALL = (64, 96)
STEPS = 16
CPU = torch.device("cpu")
TORCH = Runtime("torch")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small layers are slower with two threads than with one, on busy cores ten times."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> PageNet:
    torch.manual_seed(0)
    return PageNet(len(CLASSES), size=SMALL).eval()


def card(network: PageNet, thresholds: list[float]) -> Card:
    settings = {"classes": list(CLASSES), "thresholds": thresholds, "network": network.settings}
    return Card("input", "output", "data", "command", "score", settings=settings)


def page(
    rng: np.random.Generator, label: int, *, classes: int = len(LEADS), labelled: bool = True
) -> DrawnFlatPage:
    """Noise; pages of class 0 are dark above, of class 1 below."""
    image = rng.integers(100, 156, (90, 130), dtype=np.uint8)
    image[slice(0, 45) if label == 0 else slice(45, 90)] //= 2
    return DrawnFlatPage(
        image,
        np.tile(np.array([[0, 0, 9, 9]], np.float32), (classes, 1)),
        np.arange(classes, dtype=np.int64),
        np.arange(len(CLASSES)) == label,
        labelled,
        1,
        "3x4+1",
        "clean",
    )


# input


def test_any_size_grey_or_colour_becomes_the_networks_input():
    grey = np.random.default_rng(0).integers(0, 256, (500, 640), dtype=np.uint8)
    wanted = to_input(grey)
    assert wanted.shape == (320, 448)
    np.testing.assert_array_equal(to_input(np.repeat(grey[..., None], 3, axis=2)), wanted)


def test_thin_strokes_survive_shrinking():
    stripe = np.full((1280, 1792), 255, np.uint8)
    stripe[600] = 0
    assert to_input(stripe).min(axis=0).max() <= 192  # a quarter of the row's ink in each column


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4), (0, 4)], ids=["a row", "four channels", "empty"])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]):
    with pytest.raises(EcgPageError, match="page must be uint8"):
        to_input(np.zeros(shape, np.uint8))


def test_the_answer_does_not_depend_on_brightness_or_contrast(network: PageNet):
    x = torch.rand(2, 1, *SMALL, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        bright, dull = network(x), network(0.3 + 0.6 * x)
    torch.testing.assert_close(dull, bright, atol=0.02, rtol=0.05)


def test_ink_in_a_shadow_looks_like_ink_in_the_light():
    page = torch.full((1, 1, 320, 448), 0.9)
    page[..., 20::40, :] = 0.3  # lines of ink
    shadow = page * torch.linspace(0.3, 1.0, 448)
    inner = (..., slice(None), slice(30, -30))  # at the border the light is that of the outermost squares
    torch.testing.assert_close(
        normalize_light(shadow)[inner], normalize_light(page)[inner], atol=0.2, rtol=0.1
    )
    assert normalize_light(page)[..., 20, :].max() < -4 * normalize_light(page)[..., 10, :].abs().max()


def test_folded_padding_changes_nothing(network: PageNet):
    from efficientnet_pytorch import EfficientNet  # noqa: PLC0415

    reference = EfficientNet.from_name("efficientnet-b0", in_channels=1, num_classes=len(CLASSES)).eval()
    reference.load_state_dict(network.body.state_dict())
    x = torch.rand(1, 1, *SMALL, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(network.body(x), reference(x), atol=1e-5, rtol=1e-4)


# stored form


def test_stored_weights_fit_the_repository_and_answer_alike(network: PageNet, tmp_path: Path):
    path = save_tensors(
        tmp_path, NAME, pack_weights(network.state_dict()), card(network, [0.5] * len(CLASSES))
    )
    assert path.stat().st_size <= 8_000_000
    loaded = PageClassifier.load(tmp_path, TORCH)
    x = torch.rand(2, 1, *SMALL, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = torch.from_numpy(loaded.network(x.numpy())[0])
        torch.testing.assert_close(found, network(x), atol=0.01, rtol=0.05)


def test_eight_bits_keep_each_number_to_half_a_step():
    rows = (
        torch.randn(600, 600, generator=torch.Generator().manual_seed(4))
        * torch.logspace(-3, 2, 600)[:, None]
    )
    stored = pack_weights({"w": rows})
    assert stored["w"].dtype == torch.int8
    error = (unpack_weights(stored)["w"] - rows).abs()
    assert (error <= 0.5001 * stored["w" + SCALE][:, None]).all()


def test_labels_are_the_classes_above_their_thresholds(network: PageNet):
    grey = np.random.default_rng(5).integers(0, 256, (200, 300), dtype=np.uint8)
    run = TorchNetwork(network)
    free = PageClassifier(run, CLASSES, [0.0] * len(CLASSES), SMALL).predict(grey)
    assert free.labels == list(CLASSES)
    cut = sorted(free.probabilities.values())[5]
    some = PageClassifier(run, CLASSES, [cut] * len(CLASSES), SMALL).predict(grey)
    assert some.labels == [c for c in CLASSES if free.probabilities[c] >= cut]
    assert 0 < len(some.labels) < len(CLASSES)


def test_weights_of_another_shape_are_refused(network: PageNet, tmp_path: Path):
    with pytest.raises(EcgPageError, match="do not fit"):
        PageClassifier(TorchNetwork(network), CLASSES[:3], [0.5] * 4)
    tensors = pack_weights(network.state_dict())
    del tensors["body._conv_stem.weight"]
    save_tensors(tmp_path, NAME, tensors, card(network, [0.5] * len(CLASSES)))
    with pytest.raises(EcgPageError, match="do not fit this version"):
        PageClassifier.load(tmp_path, TORCH)


def test_the_warm_start_gives_a_grey_page_what_the_colour_network_gives():
    from efficientnet_pytorch import EfficientNet  # noqa: PLC0415

    colour = EfficientNet.from_name("efficientnet-b0", image_size=SMALL).eval()
    given = {key: value for key, value in colour.state_dict().items() if "_se_" not in key}
    fresh = PageNet(len(CLASSES), size=SMALL).eval()
    start_from_lite0(fresh, given)
    for key, value in fresh.body.state_dict().items():
        if "_se_" in key:
            colour.state_dict()[key].copy_(value)
    x = torch.rand(1, 1, *SMALL, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        wanted = colour.extract_features(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(fresh.body.extract_features(x), wanted, atol=1e-4, rtol=1e-3)
    del given["_bn0.bias"]
    with pytest.raises(EcgPageError, match=r"_bn0\.bias"):
        start_from_lite0(fresh, given)


# training


def test_pages_of_rare_classes_weigh_more_up_to_the_cap():
    labels = torch.zeros(1000, 3)
    labels[:900, 0] = 1  # n / n_c = 1.11
    labels[900:, 1] = 1  # 10
    labels[0, 2] = 1  # 1000, beside the first label
    weight = page_weights(labels, 0.5, cap=6.0)
    assert weight[1] == 1.0
    assert float(weight[950]) == pytest.approx(math.sqrt(900 / 100))
    assert weight[0] == 6.0


def test_only_labelled_pages_with_the_leads_are_loaded(tmp_path: Path):
    rng = np.random.default_rng(7)
    kept = [page(rng, 0), page(rng, 1)]
    save_shard(tmp_path / "shard_1_0_0.npz", [kept[0], page(rng, 0, labelled=False)])
    save_shard(tmp_path / "shard_1_1_0.npz", [page(rng, 0, classes=6), kept[1]])
    pages = training.load_pages(tmp_path, SMALL)
    assert len(pages) == 2
    for found, label, drawn in zip(pages.images, pages.labels, kept, strict=True):
        np.testing.assert_array_equal(found[0].numpy(), to_input(drawn.image, SMALL))
        np.testing.assert_array_equal(label.numpy() > 0.5, drawn.labels)
    save_shard(tmp_path / "none/shard_1_0_0.npz", [page(rng, 0, labelled=False)])
    with pytest.raises(EcgPageError, match="no page has labels"):
        training.load_pages(tmp_path / "none", SMALL)


def test_augmentation_keeps_the_page_recognisable():
    torch.manual_seed(8)
    x = torch.full((16, 1, 64, 96), 0.8)
    x[:, :, 30:34] = 0.2  # a row of ink
    y = training.augment(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    row = y.mean(3).argmin(2).flatten()  # darkest row of each page
    assert ((row - 31.5).abs() <= 6).all()
    assert (y != x).flatten(1).float().mean(1).min() > 0.9


def test_the_score_of_a_perfect_and_of_a_constant_answer():
    truth = np.zeros((40, 2), bool)
    truth[::4, 0], truth[::2, 1] = True, True
    perfect = training.score_of(truth, truth.astype(np.float32))
    assert perfect.macro_f == 1.0
    np.testing.assert_array_equal(perfect.auroc, [1.0, 1.0])
    np.testing.assert_array_equal(
        training.score_of(truth, np.full((40, 2), 0.5, np.float32)).auroc, [0.5, 0.5]
    )


def drawn_pages(count: int) -> Pages:
    rng = np.random.default_rng(9)
    drawn = [page(rng, k % 2) for k in range(count)]
    images = np.stack([to_input(p.image, (32, 32))[None] for p in drawn])
    labels = torch.tensor(np.stack([p.labels for p in drawn])).float()
    return Pages(torch.from_numpy(images), labels, {k: f"ward fold {1 + k % 2}" for k in range(count)})


@pytest.fixture(scope="module")
def trained() -> tuple[Trainer, Pages]:
    torch.manual_seed(10)
    pages = drawn_pages(32)
    network = PageNet(len(CLASSES), size=(32, 32), drop_connect=0.0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.3  # few steps have to settle the norms
    recipe = Recipe(batch=16, warmup=5, peak_lr=3e-3)
    trainer = Trainer(network, pages, recipe, CPU)
    for batch in islice(trainer.draw_batches(), STEPS):
        trainer.step(batch)
    return trainer, pages


@pytest.mark.medium
def test_a_few_steps_teach_it_to_tell_two_kinds_of_page_apart(trained: tuple[Trainer, Pages]):
    trainer, pages = trained
    p = training.probabilities(trainer.network, pages.images)
    assert training.score_of(pages.labels.numpy() > 0.5, p).auroc[:2].min() > 0.9


@pytest.mark.medium
def test_a_stopped_run_goes_on_with_the_same_weights(trained: tuple[Trainer, Pages], tmp_path: Path):
    trainer, pages = trained
    trainer.best = {k: v.clone() for k, v in trainer.averaged.state_dict().items()}
    trainer.save(tmp_path / "checkpoint.pt")
    other = Trainer(PageNet(len(CLASSES), size=(32, 32)), pages, trainer.recipe, CPU)
    other.resume(tmp_path / "checkpoint.pt")
    assert other.progress == trainer.progress
    assert other.progress.seen == STEPS * 16
    for mine, kept in zip(other.averaged.state_dict().values(), trainer.best.values(), strict=True):
        torch.testing.assert_close(mine, kept)
    assert set(other.optimizer.state_dict()["state"]) == set(trainer.optimizer.state_dict()["state"])


@pytest.mark.medium
def test_the_end_of_the_training_is_kept_and_the_stored_weights_have_the_stated_score(tmp_path: Path):
    torch.manual_seed(11)
    pages = drawn_pages(16)
    recipe = Recipe(most_seen=24, batch=8, report_steps=1)
    trainer = Trainer(PageNet(len(CLASSES), size=(32, 32)), pages, recipe, CPU)
    trainer.begin(tmp_path / "checkpoint.pt")
    training.train(trainer, pages, tmp_path, "random weights")
    assert trainer.share == 1.0
    assert len(trainer.progress.history) == 3
    assert (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "model" / f"{NAME}.safetensors").exists()
    best = max(entry["scores"]["macro F"] for entry in trainer.progress.history)
    assert trainer.progress.history[trainer.progress.chosen]["scores"]["macro F"] == best
    stored = load_card(tmp_path, NAME)
    assert stored.trained_on.startswith(
        "16 different flat pages drawn from 16 records (ward folds 1, 2: 16), "
    )
    assert stored.trained_on.endswith("; start: random weights")
    assert "on 16 drawn pages of 16 records (ward folds 1, 2: 16), which chose" in stored.score
    loaded = PageClassifier.load(tmp_path, TORCH)
    p = loaded.probabilities(pages.images[:, 0].numpy())
    again = training.score_of(pages.labels.numpy() > 0.5, p)
    stated = float(stored.score.split()[2].rstrip(","))
    assert again.macro_f == pytest.approx(stated, abs=0.05)  # bfloat16 there, float32 here
