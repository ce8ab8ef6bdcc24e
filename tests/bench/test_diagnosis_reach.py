"""How well diagnoses rank: areas with intervals, a paired comparison of two tables, and pages of another device."""

from dataclasses import replace

import numpy as np
import pytest

from bench.diagnosis_reach import PageRow, compare, rank_table, report_edan
from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.diagnosis.stack import FEATURES, Stack
from ecgpage.train.scores import bootstrap_interval, roc_areas
from ecgpage.train.stack import Table

K = len(CLASSES)


def table(noise: float, n: int = 300) -> Table:
    """Table whose signal branch knows the truth as well as the noise lets it."""
    rng = np.random.default_rng(0)
    truth = rng.random((n, K)) < 0.3
    p = 1 / (1 + np.exp(-(4.0 * truth - 2 + noise * rng.standard_normal((n, K)))))
    kind, nothing = np.full(n, "clean"), np.full(n, np.nan)
    return Table(np.arange(n), kind, truth, p, p, np.full(n, 12.0), nothing)


def mean_of_branches() -> Stack:
    weights = np.zeros((K, len(FEATURES)))
    weights[:, :2] = 0.5
    return Stack(weights, np.zeros(K), CLASSES, [0.5] * K, at_least_one=False)


def test_areas_are_shares_of_pairs_in_order() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], bool)
    p = np.array([[0.9, 0.1], [0.2, 0.2], [0.4, 0.3], [0.1, 0.4]])
    found = roc_areas(truth, p)
    assert found[0] == pytest.approx(3 / 4)
    assert np.isnan(found[1])


def test_an_interval_holds_the_mean_and_narrows_with_the_records() -> None:
    x = np.random.default_rng(1).standard_normal(400)
    widths = []
    for n in (100, 400):
        low, high = bootstrap_interval(n, lambda rows: np.array([x[rows].mean()]))
        assert low[0] < x[:n].mean() < high[0]
        widths.append(high[0] - low[0])
    assert 0.4 < widths[1] / widths[0] < 0.6


def test_better_predictions_gain_and_equal_ones_do_not() -> None:
    better, worse, stack = table(0.5), table(3.0), mean_of_branches()
    gain = compare(better, stack, worse, stack).splitlines()
    assert [line.split(":")[0] for line in gain] == ["macro F", "mean average precision"]
    assert all(float(line.split("(")[1].split(" ")[0]) > 0.05 for line in gain)  # the lower bound
    assert "+0.0000 (+0.0000 to +0.0000)" in compare(worse, stack, worse, stack)
    with pytest.raises(EcgPageError, match="other records"):
        compare(better, stack, replace(worse, record=worse.record + 1), stack)


def test_a_table_of_ranks_has_a_line_for_each_class_and_the_mean() -> None:
    some = table(0.1)
    lines = rank_table(some.truth, some.signal).splitlines()
    assert len(lines) == 2 + K + 1
    assert "1.000 (1.000–1.000)" in lines[-1]


def test_pages_without_an_answer_do_not_help() -> None:
    def row(group: str, p: float) -> PageRow:
        return {"file": "x.png", "group": group, "status": "ok", "p": dict.fromkeys(CLASSES, p)}

    rows = [row("mi", 0.9)] * 4 + [row("normal", 0.2)] * 4
    assert "| Acute MI | 1.000 (1.000–1.000) |" in report_edan(rows)
    unread: PageRow = {"file": "y.png", "group": "mi", "status": "failed", "p": {}}
    said = report_edan([*rows, *[unread] * 4])
    assert "8 pages of infarctions, 4 normal, 4 without answer" in said
    below: PageRow = {**unread, "group": "normal"}
    assert "| Acute MI | 0.875" in report_edan([*rows, *[below] * 4, *[unread] * 4])
