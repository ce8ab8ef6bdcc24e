"""Training the trace network: crops, losses, learning, resuming, and what the card of its weights says."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.signal_packs import save_pack
from ecgpage.core.weights import load_card
from ecgpage.synth.crops import draw_crop
from ecgpage.trace.crop_reader import NAME
from ecgpage.trace.decoding import bin_heights
from ecgpage.trace.geometry import ROWS
from ecgpage.trace.network import load_network
from ecgpage.train.command import list_options
from ecgpage.train.trace import SETTINGS, Recipe, Trainer, column_loss, snr_db, train
from ecgpage.train.trace_crops import Pool, Variation, repeat_batches, stack_examples, to_example
from tests.drawn import FS, record

CPU = torch.device("cpu")


def test_a_crop_seen_from_lower_on_the_page_moves_ink_and_truth_together() -> None:
    crop = draw_crop(record(), FS, np.random.default_rng(6), width=64)
    image, height, drawn = to_example(crop, 8)
    np.testing.assert_array_equal(image[:-8], crop.image[8:])
    np.testing.assert_allclose(height[drawn], crop.target[drawn] * 10 + 1.0, atol=1e-5)


def test_the_column_loss_is_least_at_the_truth() -> None:
    bins = torch.from_numpy(bin_heights())[None, :, None]
    height, drawn = torch.tensor([[1.13, -4.0]]), torch.tensor([[True, False]])
    losses = {
        shift: float(column_loss(-0.5 * ((bins - height - shift) / 0.25) ** 2, height, drawn, 1.0))
        for shift in (-0.2, 0.0, 0.2)
    }
    assert min(losses, key=lambda shift: losses[shift]) == 0.0


def test_the_snr_forgives_an_offset_and_nothing_else() -> None:
    truth = torch.sin(torch.arange(500.0) / 20)[None]
    drawn = torch.ones(1, 500, dtype=torch.bool)
    noise = 0.1 * torch.cos(torch.arange(500.0))[None]
    assert float(snr_db(truth + noise + 3, truth, drawn)) == pytest.approx(20, abs=0.3)


@pytest.mark.medium
def test_a_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    batch = stack_examples([to_example(draw_crop(record(), FS, rng, width=64), 0) for _ in range(2)])
    first = Trainer(Recipe(), CPU)
    first.step(batch)
    first.save(tmp_path / "checkpoint.pt")
    second = Trainer(Recipe(), CPU)
    second.begin(tmp_path / "checkpoint.pt", resume=True)
    assert (second.progress.steps, second.progress.seen) == (1, 2)
    losses = [
        {key: float(value) for key, value in trainer.step(batch).items()} for trainer in (first, second)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_recipe_says_which_network_and_loss_and_when_it_ends() -> None:
    recipe = Recipe(most_seen=8, widths=(8, 8, 16, 16), layers=0, snr_weight=0.0, peak_lr=0.002, folds="12")
    said = " --crops 8 --widths 8 8 16 16 --layers 0 --folds 12 --rate 0.002 --snr-weight 0"
    assert list_options(recipe, SETTINGS) == said
    trainer = Trainer(recipe, CPU)
    assert trainer.network_settings["widths"] == [8, 8, 16, 16]
    assert trainer.network_settings["layers"] == 0
    crop = (
        torch.zeros(4, ROWS, 64, dtype=torch.uint8),
        torch.zeros(4, 128),
        torch.ones(4, 128, dtype=torch.bool),
    )
    parts = [trainer.step(crop) for _ in range(2)]
    assert trainer.share == 1
    assert "snr" not in parts[0]
    assert float(parts[1]["snr"]) == 0.0


def test_a_pool_keeps_the_newest_crops() -> None:
    pool = Pool(8, CPU)
    for k in range(12):
        image = torch.full((2, 4, 4), k, dtype=torch.uint8)
        pool.add((image, torch.full((2, 8), float(k)), torch.ones(2, 8, dtype=torch.bool)))
    image, height, _ = pool.take(200)
    assert set(image.float().mean((1, 2)).tolist()) == {8, 9, 10, 11}
    assert torch.equal(image[:, 0, 0].float(), height[:, 0])


def test_repeated_crops_are_seen_as_often_as_asked() -> None:
    crop = (torch.zeros(8, 4, 4, dtype=torch.uint8), torch.zeros(8, 8), torch.ones(8, 8, dtype=torch.bool))
    steps = list(islice(repeat_batches([crop] * 12, 4, CPU, repeat=3, pool_size=64), 60))
    assert sum(new for _, new in steps) == 96
    assert {len(image) for (image, _, _), _ in steps} == {4}


def test_the_card_names_the_records_that_were_trained_and_validated_on(tmp_path: Path) -> None:
    microvolts = np.round(1000 * record().T[[0, 1, 6, 7, 8, 9, 10, 11]]).astype(np.int16)
    data = tmp_path / "hires500"
    data.mkdir()
    save_pack(data / "signals.xz", np.stack([microvolts] * 4))
    rows = ["ward,1,2,", "ward,2,3,", "clinic,3,,", "ward,4,5,"]
    (data / "records.csv").write_text("\n".join(["database,record,strat_fold,labels", *rows]))
    recipe = Recipe(
        most_seen=16, widths=(8, 8, 16, 16), layers=0, variation=Variation(width=64), folds="23",
        valid_folds="5", valid_crops=4,
    )  # fmt: skip
    train(tmp_path, tmp_path / "model", tmp_path / "work", recipe, workers=0)
    card = load_card(tmp_path / "model", NAME)
    records = "3 records (hires500 clinic: 1, hires500 ward folds 2, 3: 2)"
    assert card.trained_on.startswith(f"16 different crops drawn from {records}, 16 seen, in ")
    assert "on a CPU (" in card.trained_on
    assert "mean over 4 drawn crops of 1 record (hires500 ward fold 5: 1)" in card.score
    assert card.command.endswith("--crops 16 --widths 8 8 16 16 --layers 0 --folds 23 --valid-folds 5")
    assert "PTB-XL" not in card.trained_on + card.score
    assert load_network(tmp_path / "model", NAME).settings["layers"] == 0
