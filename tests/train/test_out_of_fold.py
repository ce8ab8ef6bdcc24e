"""Predictions of left-out folds: who is trained on what, how files join, and what the combination of the parts gains."""

import csv
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.signal_packs import save_pack
from ecgpage.diagnosis.signal_network import SignalNets
from ecgpage.train import out_of_fold, tree_growing
from ecgpage.train.out_of_fold import LeftOut, combine, cross_fitted, predict_left_out, report
from ecgpage.train.scores import average_precisions, f_measures
from ecgpage.train.signal_fitting import Recipe
from tests.train.records import microvolts


def drawn(folds: tuple[int, ...] = (1, 2, 3, 4), each: int = 400, seed: int = 0) -> LeftOut:
    """Predictions of three parts: the first knows most, the second half as much, the third nothing; all 3 too high."""
    rng = np.random.default_rng(seed)
    n = each * len(folds)
    truth = rng.random((n, len(CLASSES))) < 0.2
    signal = np.stack([2.0 * truth, 1.0 * truth, 0.0 * truth], 1) + rng.standard_normal((n, 3, len(CLASSES)))
    return LeftOut(np.repeat(np.array(folds, np.int8), each), truth, (signal + 3).astype(np.float16))


def test_average_precision_is_the_area_under_precision_and_recall() -> None:
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    p = np.array([[0.9, 0.5, 0.1], [0.8, 0.5, 0.2], [0.7, 0.5, 0.3], [0.1, 0.5, 0.4]])
    found = average_precisions(truth, p)
    assert found[0] == pytest.approx((1 + 2 / 3) / 2)
    assert found[1] == pytest.approx(0.5)  # all alike: the share of true ones
    assert np.isnan(found[2])


def test_the_part_that_knows_more_weighs_more_and_probabilities_are_calibrated() -> None:
    left = drawn()
    weights, bias = combine(left.logits, left.truth)
    assert (weights[:, 0] > weights[:, 1]).all()
    assert (weights[:, 1] > weights[:, 2]).all()
    assert np.abs(weights[:, 2]).max() < 0.2
    p = 1 / (1 + np.exp(-(np.einsum("npc,cp->nc", left.logits.astype(float), weights) + bias)))
    np.testing.assert_allclose(p.mean(0), left.truth.mean(0), atol=1e-3)


def test_the_combination_ranks_better_than_each_part() -> None:
    left = drawn()
    p, labels = cross_fitted(left)
    best = max(average_precisions(left.truth, left.logits[:, k]).mean() for k in range(3))
    assert average_precisions(left.truth, p).mean() > best + 0.01
    assert f_measures(left.truth, labels).mean() > f_measures(left.truth, left.logits[:, 0] > 3.5).mean()


def test_a_fold_does_not_choose_its_own_weights_and_thresholds() -> None:
    left = drawn()
    turned = left.truth.copy()
    own = left.fold == 2
    turned[own] = ~turned[own]
    other = LeftOut(left.fold, turned, left.logits)
    for found, changed in zip(cross_fitted(left), cross_fitted(other), strict=True):
        np.testing.assert_array_equal(found[own], changed[own])
        assert (found[~own] != changed[~own]).any()


def test_a_part_that_was_not_trained_does_not_count() -> None:
    left = drawn()
    less = left.logits.copy()
    less[:, 0] = np.nan
    p, _ = cross_fitted(LeftOut(left.fold, left.truth, less))
    assert np.isfinite(p).all()
    assert average_precisions(left.truth, p).mean() < average_precisions(left.truth, left.logits[:, 0]).mean()


def test_files_join_by_fold(tmp_path: Path) -> None:
    left = drawn()
    for folds in ((3, 4), (1, 2)):
        rows = np.isin(left.fold, folds)
        part = LeftOut(left.fold[rows], left.truth[rows], left.logits[rows])
        part.save(tmp_path / "kept" / f"{folds[0]}.npz")
    read = [LeftOut.load(tmp_path / "kept" / f"{first}.npz") for first in (3, 1)]
    joined = LeftOut.join(read)
    np.testing.assert_array_equal(joined.fold, left.fold)
    np.testing.assert_array_equal(joined.logits, left.logits)
    assert "folds 1, 2, 3, 4" in report(joined)
    with pytest.raises(EcgPageError, match="each fold once"):
        LeftOut.join([read[0], read[0]])
    with pytest.raises(EcgPageError, match="no left-out predictions"):
        LeftOut.load(tmp_path / "none.npz")


def packs(folder: Path, each: int = 12) -> Path:
    """Packs of folds 1 to 8 with ``each`` records; every second is NORM, the others are AFIB/AFL."""
    folder.mkdir()
    rows = []
    for fold in range(1, 9):
        save_pack(folder / f"fold{fold}.xz", np.stack([microvolts(k, 100)[:8] for k in range(each)]))
        rows += [
            (fold, "NORM" if k % 2 else "AFIB/AFL", "NORM:100" if k % 2 else "AFIB:0") for k in range(each)
        ]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["strat_fold", "labels", "scp_codes"])
        writer.writerows(rows)
    return folder


@pytest.mark.medium
def test_left_out_folds_are_predicted_by_networks_trained_on_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packs(tmp_path / "packs100")
    asked, loaded = [], out_of_fold.load_folds

    def load(data: Path, folds: list[int], cache: Path) -> object:
        asked.append(list(folds))
        return loaded(data, folds, cache)

    def small(classes: list[str], start: None) -> tuple[SignalNets, list[float]]:
        windows = {"widths": (16,) * 4, "depths": (1,) * 4, "queries": 1, "hidden": 16}
        return SignalNets(len(classes), windows, {"widths": (16, 16, 16), "hidden": 16}), []

    monkeypatch.setattr(out_of_fold, "load_folds", load)
    monkeypatch.setattr(out_of_fold, "start_nets", small)
    monkeypatch.setattr(tree_growing, "ITERATIONS", 5)
    lines: list[str] = []
    recipe = Recipe(epochs=1, batch=16)
    work = tmp_path / "runs" / "36"
    first = predict_left_out(data, [6, 3], work, recipe, lines.append)
    assert asked == [[1, 2, 4, 5, 7, 8], [3], [6]]
    assert first.fold.tolist() == [3] * 12 + [6] * 12
    assert first.truth[:, CLASSES.index("NORM")].tolist() == [k % 2 == 1 for k in range(12)] * 2
    assert np.isfinite(first.logits).all()
    assert (first.logits[:, :2] != 0).all()
    grown = [CLASSES.index("NORM"), CLASSES.index("AFIB/AFL")]
    assert (first.logits[:, 2, grown] != 0).all()
    trained = len([line for line in lines if "loss" in line])
    assert trained == 2  # a report of each network
    again = predict_left_out(data, [6, 3], work, recipe, lines.append)
    assert len([line for line in lines if "loss" in line]) == trained  # nothing is trained twice
    np.testing.assert_array_equal(again.logits, first.logits)


@pytest.mark.parametrize("left_out", [[], list(range(1, 9)), [9], [0, 1]])
def test_only_some_of_the_folds_1_to_8_can_be_left_out(tmp_path: Path, left_out: list[int]) -> None:
    with pytest.raises(EcgPageError, match="leave out"):
        predict_left_out(tmp_path, left_out, tmp_path / "runs" / "x", Recipe(), print)
