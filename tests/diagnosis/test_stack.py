"""The stack of both branches: what it makes of their answers, its stored form, how it is fitted."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.torch_runtime import save_tensors
from ecgpage.core.weights import Card, digest
from ecgpage.diagnosis import page_classifier, signal_classifier
from ecgpage.diagnosis.stack import (
    FEATURES,
    FINDINGS,
    NAME,
    Stack,
    decide,
    drop_unlikely_norm,
    features,
    logit,
)
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.train import stack as training
from ecgpage.train.stack import Prediction, Table, table_of

N = len(CLASSES)


def branch(*p: float) -> Diagnosis:
    """First probabilities as given, the others 0.01."""
    values = [*p, *[0.01] * (N - len(p))]
    return Diagnosis([], dict(zip(CLASSES, values, strict=True)))


def mean_stack(*, at_least_one: bool = False) -> Stack:
    """Half of each branch's logit."""
    weights = np.zeros((N, len(FEATURES)))
    weights[:, :2] = 0.5
    return Stack(weights, np.zeros(N), CLASSES, [0.5] * N, at_least_one=at_least_one)


def drawn_table(n: int = 600, seed: int = 0) -> Table:
    """Pages, two a record, of which the signal branch knows the odd classes and the page branch the even ones."""
    rng = np.random.default_rng(seed)
    record = np.repeat(np.arange(n // 2), 2)
    truth = np.repeat(rng.random((n // 2, N)) < 0.3, 2, axis=0)
    informed = 4.0 * (truth - 0.5) + rng.normal(0, 1, (n, N))
    blind = rng.normal(0, 1, (n, N)) - 0.8
    odd = np.arange(N) % 2 == 1
    p = [1 / (1 + np.exp(-z)) for z in (np.where(odd, informed, blind), np.where(odd, blind, informed))]
    kind = np.array(["scan", "photo"] * (n // 2))
    return Table(record, kind, truth, p[0], p[1], np.full(n, 12.0), rng.uniform(5, 25, n))


# combining


def test_both_branches_are_heard():
    found = mean_stack().combine(branch(0.9, 0.2, 0.6), branch(0.8, 0.3, 0.1), leads_read=12, snr_db=20.0)
    assert found.labels == [CLASSES[0]]
    wanted = (logit(np.array([0.9, 0.2, 0.6])) + logit(np.array([0.8, 0.3, 0.1]))) / 2
    np.testing.assert_allclose(logit(np.array(list(found.probabilities.values())[:3])), wanted, atol=1e-9)


@pytest.mark.parametrize("silent", [None, Diagnosis([], dict.fromkeys(CLASSES, math.nan))])
def test_one_branch_speaks_for_a_silent_one(silent: Diagnosis | None):
    page = branch(0.9, 0.2)
    for found in (
        mean_stack().combine(silent, page, leads_read=0),
        mean_stack().combine(page, silent, leads_read=12, snr_db=math.nan),
    ):
        np.testing.assert_allclose(list(found.probabilities.values()), list(page.probabilities.values()))


def test_without_any_branch_there_is_no_label():
    found = mean_stack(at_least_one=True).combine(None, None, leads_read=0)
    assert found.labels == []
    assert all(math.isnan(p) for p in found.probabilities.values())


def test_a_bad_signal_can_count_less():
    stack = mean_stack()
    stack.uses_snr = True
    stack.weights[:, FEATURES.index("signal")] = 0.0
    stack.weights[:, FEATURES.index("signal x SNR")] = 1.0
    good, bad = (
        stack.combine(branch(0.99), branch(0.3), leads_read=12, snr_db=db).probabilities[CLASSES[0]]
        for db in (25.0, 2.0)
    )
    assert good > 0.9
    assert bad < 0.5


@pytest.mark.medium
def test_an_expected_snr_is_heard_only_by_a_stack_that_was_fitted_to_some():
    silent = Table(**{**vars(drawn_table()), "snr_db": np.full(600, np.nan)})
    assert training.fit(drawn_table()).stack.uses_snr
    stack = training.fit(silent).stack
    found = [stack.combine(branch(0.9), branch(0.4), leads_read=12, snr_db=db) for db in (2.0, 25.0)]
    assert found[0] == found[1]


def test_features_stand_in_the_stated_order():
    x = features(np.array([[0.9, np.nan]]), np.array([[0.5, 0.2]]), np.array([6.0]), np.array([15.0]))
    nine, fifth = math.log(9), math.log(0.25)
    wanted = [
        [nine, 0, nine / 2, nine / 2, 0, 0, 0.5, 0.5],
        [fifth, fifth, fifth / 2, fifth / 2, 1, 0, 0.5, 0.5],
    ]
    np.testing.assert_allclose(x[0], wanted, atol=1e-12)


def test_the_nearest_class_is_the_one_label_of_a_page_without():
    p = np.array([[0.2, 0.25, 0.1], [0.6, 0.1, 0.1], [np.nan] * 3])
    thresholds = np.array([0.5, 0.9, 0.5])
    assert decide(p, thresholds, at_least_one=False).tolist() == [
        [False] * 3,
        [True, False, False],
        [False] * 3,
    ]
    assert decide(p, thresholds, at_least_one=True).tolist() == [
        [True, False, False], [True, False, False], [False] * 3,
    ]  # fmt: skip


def test_a_branch_with_other_classes_is_refused():
    with pytest.raises(EcgPageError, match="PVC"):
        mean_stack().combine(Diagnosis([], {c: 0.5 for c in CLASSES if c != "PVC"}), None, leads_read=12)


# stored form


@pytest.mark.medium
def test_what_is_stored_answers_alike(tmp_path: Path):
    stack = training.fit(drawn_table()).stack
    stack.save(tmp_path, trained_on="drawn answers", command="a command", score="a score")
    loaded = Stack.load(tmp_path)
    x = drawn_table(seed=1).features
    np.testing.assert_allclose(loaded.probabilities(x), stack.probabilities(x), atol=1e-5)
    assert loaded.thresholds.tolist() == stack.thresholds.tolist()
    assert loaded.at_least_one is stack.at_least_one


def test_weights_for_other_features_are_refused(tmp_path: Path):
    settings = {
        "classes": list(CLASSES),
        "thresholds": [0.5] * N,
        "features": ["signal"],
        "at_least_one": False,
    }
    save_tensors(tmp_path, NAME, {}, Card("i", "o", "t", "c", "s", settings=settings))
    with pytest.raises(EcgPageError, match="other features"):
        Stack.load(tmp_path)
    with pytest.raises(EcgPageError, match="do not fit"):
        Stack(np.zeros((N, 3)), np.zeros(N), CLASSES, [0.5] * N, at_least_one=False)


# fitting


@pytest.mark.medium
def test_the_stack_takes_each_class_from_the_branch_that_knows_it():
    fitted = training.fit(drawn_table())
    better = {name: value[0] for name, value in fitted.scores.items()}
    assert better["stack"] > max(better["signal"], better["page"], better["mean of both"])
    strength = fitted.stack.weights
    own = [FEATURES.index(name) for name in ("signal", "signal x leads", "signal x SNR")]
    signal, page = strength[:, own].sum(1), strength[:, FEATURES.index("page")]
    assert ((signal > page) == (np.arange(N) % 2 == 1)).all()


def test_all_pages_of_a_record_are_on_one_side():
    table = drawn_table(60)
    for fitted, answered in training.parts(table):
        assert not set(table.record[fitted]) & set(table.record[answered])


@pytest.mark.medium
def test_pure_chance_is_not_taken_for_knowledge():
    """Answers that know nothing score on unseen pages no better than giving every label, F = 2 q / (1 + q)."""
    table = drawn_table(400)
    shuffled = np.random.default_rng(2).permutation(len(table.record) // 2)
    truth = np.repeat(table.truth[::2][shuffled], 2, axis=0)
    blind = Table(**{**vars(table), "truth": truth})
    share = float(truth.mean())
    assert training.fit(blind).scores["stack"][0] < 2 * share / (1 + share) + 0.03


@pytest.mark.medium
def test_pages_that_nobody_read_have_no_label_and_teach_nothing():
    table = drawn_table(300)
    silent = np.arange(len(table.record)) % 10 == 0
    signal, page = table.signal.copy(), table.page.copy()
    signal[silent], page[silent] = np.nan, np.nan
    holes = Table(**{**vars(table), "signal": signal, "page": page})
    held = training.unseen_labels(holes, training.unseen(holes), at_least_one=True)
    assert not held[silent].any()
    assert held[~silent].any(1).all()
    np.testing.assert_allclose(
        training.fit(holes).stack.weights, training.fit(holes.rows(~silent)).stack.weights, rtol=1e-6
    )


def test_a_class_that_nobody_has_keeps_the_mean_of_both():
    table = drawn_table(200)
    truth = table.truth.copy()
    truth[:, 4] = False
    weights, bias = training.coefficients(table.features, truth)
    assert weights[4].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert bias[4] == 0


def test_a_table_is_written_and_read_back(tmp_path: Path):
    answers = [
        Prediction(7, "scan", ["NORM"], branch(0.9), None, 12, 18.0),
        Prediction(8, "photo", [], None, branch(0.1), 0, math.nan),
    ]
    table = table_of(answers)
    assert table.truth[:, 0].tolist() == [True, False]
    assert table.read.tolist() == [True, True]
    assert np.isnan(table.page[0]).all()
    table.save(tmp_path / "table.npz")
    for name, value in vars(Table.load(tmp_path / "table.npz")).items():
        np.testing.assert_array_equal(value, getattr(table, name))
    with pytest.raises(EcgPageError, match="not a table"):
        Table.load(tmp_path / "none.npz")
    with pytest.raises(EcgPageError, match="nothing to fit"):
        table_of([])


@pytest.mark.medium
def test_scores_are_given_by_kind():
    table = drawn_table()
    found = training.score(training.fit(table).stack, table)
    assert list(found) == ["all", "photo", "scan"]
    assert all(low <= value <= high for value, low, high in found.values())


# consistency


@pytest.mark.parametrize(
    ("p_norm", "beside", "held", "wanted"),
    [
        (0.6, 0.7, ["NORM", "STTC"], ["STTC"]),  # a finding, and NORM is not sure enough
        (0.8, 0.7, ["NORM", "STTC"], ["NORM", "STTC"]),
        (0.6, 0.7, ["NORM", "BRADY", "PVC"], ["NORM", "BRADY", "PVC"]),  # rhythms are no findings
        (0.6, 0.7, ["NORM"], ["NORM"]),
        (0.6, 0.0, ["NORM", "CD"], ["NORM", "CD"]),
    ],
)
def test_norm_stands_beside_a_finding_only_when_it_is_sure(
    p_norm: float, beside: float, held: list[str], wanted: list[str]
):
    p = np.full((1, N), 0.9)
    p[0, CLASSES.index("NORM")] = p_norm
    mask = np.array([[c in held for c in CLASSES]])
    settled = drop_unlikely_norm(mask, p, CLASSES, beside)[0]
    assert [c for c, on in zip(CLASSES, settled, strict=True) if on] == [c for c in CLASSES if c in wanted]


def test_what_norm_needs_beside_a_finding_is_measured():
    """Where NORM never goes with a finding, it is taken away; where it goes with all of them, it stays."""
    table = drawn_table(1000)
    truth = table.truth.copy()
    findings = [CLASSES.index(c) for c in FINDINGS]
    norm = CLASSES.index("NORM")
    rng = np.random.default_rng(3)
    for together in (False, True):
        truth[:, norm] = truth[:, findings].any(1) == together
        noise = rng.normal(0, 1.2, len(truth))
        p = np.clip(np.where(truth, 0.8, 0.2), 0, 1)
        p[:, norm] = 1 / (1 + np.exp(-(2.0 * (truth[:, norm] - 0.5) + noise)))
        assert (training._norm_beside(truth, p, p > 0.5) == 0.0) == together


def test_a_stack_belongs_to_the_branches_beside_which_it_was_stored(tmp_path: Path):
    card = Card("i", "o", "t", "c", "s")
    for name in (signal_classifier.NAME, page_classifier.NAME):
        save_tensors(tmp_path, name, {"x": torch.zeros(1)}, card)
    mean_stack().save(tmp_path, trained_on="t", command="c", score="s")
    wanted = {name: digest(tmp_path, name) for name in (signal_classifier.NAME, page_classifier.NAME)}
    assert Stack.load(tmp_path).branches == wanted
    save_tensors(tmp_path, page_classifier.NAME, {"x": torch.ones(1)}, card)
    assert Stack.load(tmp_path).branches != {name: digest(tmp_path, name) for name in wanted}
    assert digest(tmp_path / "nowhere", "x") is None


@pytest.mark.medium
def test_the_report_has_a_row_for_each_class_and_a_column_for_each_way():
    table = drawn_table()
    held = training.labels_of_all(training.fit(table).stack, table, table)
    assert list(held) == ["signal branch", "page branch", "mean of both", "stack"]
    lines = training.report(table.truth, held).splitlines()
    assert len(lines) == 2 + N + 1
    assert lines[2].startswith(f"| NORM | {int(table.truth[:, 0].sum())} | ")
    assert all(line.count("|") == 7 for line in lines)
