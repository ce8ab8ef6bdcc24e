"""Training the text reader: what a step sees, learning, stored weights, resuming."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.runtime import Runtime
from ecgpage.core.weights import load_card
from ecgpage.layout.text_reader import CELL, NAME, WORDS, RecognisedText, TextReader, darkness
from ecgpage.synth.text_windows import (
    MOST_WORDS,
    SIDE,
    WindowPool,
    Windows,
    draw_windows,
    join_windows,
    save_shard,
)
from ecgpage.train.text_reader import (
    SEEN_SIDE,
    Recipe,
    Trainer,
    augment,
    cell_loss,
    cut_parts,
    label_cells,
    measure_darkness,
    stretch_windows,
    train,
    validate,
    write,
)
from tests.drawn import FS, record

CPU = torch.device("cpu")
NOTHING = {"found": 0.0, "right": 0.0, "false": 0.0, "F": 0.0}


@pytest.fixture(scope="module")
def drawn() -> Windows:
    return join_windows([draw_windows(record(), FS, [4, 0])])


def test_cells_near_a_word_are_the_words() -> None:
    places = torch.full((1, MOST_WORDS, 2), torch.nan)
    classes = torch.zeros((1, MOST_WORDS), dtype=torch.int64)
    places[0, 0], classes[0, 0] = torch.tensor([50.0, 62.0]), 7
    cell = label_cells(places, classes)[0]
    assert cell.shape == (SIDE // CELL, SIDE // CELL)
    assert int(cell[15, 12]) == 8
    assert set(cell.unique().tolist()) == {-1, 0, 8}
    assert int((cell == 8).sum()) in (2, 3, 4, 5)
    assert int(cell[0, 0]) == -1


def test_training_sees_the_darkness_that_the_reader_sees() -> None:
    light = np.random.default_rng(1).integers(100, 200, (SIDE, SIDE)).astype(np.uint8)
    one = measure_darkness(torch.from_numpy(light)[None, None].float())[0, 0].numpy()
    np.testing.assert_allclose(one, darkness(light), atol=1e-4)


def test_parts_of_windows_keep_their_words_in_place(drawn: Windows) -> None:
    light, places = cut_parts(drawn.light, drawn.places, np.random.default_rng(1))
    assert light.shape[1:] == (SEEN_SIDE, SEEN_SIDE)
    inside = 0
    for k, at in enumerate(places):
        x, y = np.rint(np.nan_to_num(drawn.places[k, 0] - at[0])).astype(int)
        if np.isfinite(at[0, 0]):
            np.testing.assert_array_equal(light[k], drawn.light[k, y : y + SEEN_SIDE, x : x + SEEN_SIDE])
        known = at[np.isfinite(at[:, 0])]
        inside += bool(((known > 0) & (known < SEEN_SIDE)).all(axis=1).any())
    assert inside > 0.7 * len(light)


def test_stretched_windows_keep_their_words_in_place() -> None:
    light = np.full((40, SIDE, SIDE), 250, np.uint8)
    light[:, 70:74, 40:46] = 0
    places = np.full((40, MOST_WORDS, 2), np.nan, np.float32)
    places[:, 0] = 43.0, 72.0
    seen, moved = stretch_windows(light, places, np.random.default_rng(2))
    changed = (seen != light).any(axis=(1, 2))
    assert 0.3 < changed.mean() < 0.9
    np.testing.assert_array_equal(moved[~changed], places[~changed])
    for window, (x, y) in zip(seen, moved[:, 0], strict=True):
        ink = 250.0 - window.clip(0, 250)
        rows, columns = np.indices(ink.shape) + 0.5
        assert (ink * columns).sum() / ink.sum() == pytest.approx(x, abs=0.15)
        assert (ink * rows).sum() / ink.sum() == pytest.approx(y, abs=0.15)


@pytest.mark.medium
def test_training_lowers_the_loss_and_its_weights_can_be_read(drawn: Windows, tmp_path: Path) -> None:
    torch.manual_seed(1)
    trainer = Trainer(Recipe(width=16, warmup=1), CPU)
    batch = tuple(torch.from_numpy(getattr(drawn, key)) for key in ("light", "places", "classes"))
    losses = [float(trainer.step(batch)["cells"]) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]
    assert set(validate(trainer.averaged, drawn)) == set(NOTHING)
    save_shard(tmp_path / "words_1_0.npz", drawn, {7: "ward fold 3"})
    pool, held_out = WindowPool(tmp_path), WindowPool(tmp_path)
    train(pool, held_out, tmp_path / "model", tmp_path, Recipe(minutes=0.001, width=16))
    reader = TextReader.load(tmp_path / "model", Runtime("torch"))
    assert isinstance(reader.find(drawn.light[0][:, :101]), RecognisedText)
    assert (tmp_path / "checkpoint.pt").exists()
    card = load_card(tmp_path / "model", NAME)
    assert (
        f"{len(drawn)} different windows drawn from pages of 1 record (ward fold 3: 1), " in card.trained_on
    )
    assert card.score.endswith(f"on {len(drawn)} drawn windows of 1 record (ward fold 3: 1)")
    assert card.command.endswith("--minutes 0.001 --width 16")


def test_training_goes_on_from_stored_weights_also_with_further_layers(
    drawn: Windows, tmp_path: Path
) -> None:
    first = Trainer(Recipe(width=16, fine=0), CPU)
    write(first, first.averaged, NOTHING, tmp_path, "no record", "nothing")
    again = Trainer(Recipe(fine=1), CPU, tmp_path)
    assert again.network_settings["fine"] == 1
    assert again.before
    x = measure_darkness(torch.from_numpy(drawn.light[:3])[:, None].float())
    with torch.no_grad():
        np.testing.assert_allclose(
            again.network.eval()(x).numpy(), first.network.eval()(x).numpy(), atol=0.02
        )


def test_cells_without_a_label_do_not_count() -> None:
    logits = torch.randn(2, 1 + len(WORDS), 4, 4, requires_grad=True)
    cell_loss(logits, torch.full((2, 4, 4), -1), 1.0).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad.any()


def test_augmented_windows_stay_in_range(drawn: Windows) -> None:
    torch.manual_seed(2)
    x = augment(torch.from_numpy(drawn.light))
    assert float(x.min()) >= 0
    assert float(x.max()) <= 255


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    trainer = Trainer(Recipe(width=16), CPU)
    trainer.network_settings["width"] = 32
    write(trainer, trainer.averaged, NOTHING, tmp_path, "no record", "nothing")
    with pytest.raises(EcgPageError, match=f"{NAME} does not fit"):
        TextReader.load(tmp_path, Runtime("torch"))
