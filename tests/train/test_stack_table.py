"""Tabling both branches' answers without digitizing: which pages, which signals, whose answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.torch_runtime import TorchNetwork
from ecgpage.diagnosis.page_classifier import PageClassifier
from ecgpage.diagnosis.page_network import PageNet
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.simulated_digitization import STANDARD_MASK
from ecgpage.train.stack_table import UNREAD, digitized, make_table
from tests.drawn import FS, record

MODEL = Path(__file__).parents[2] / "model"
N = len(CLASSES)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Records:
    """Three times the same ECG, under the numbers 11, 12 and 13."""

    numbers = np.array([11, 12, 13])

    def signal(self, index: int) -> tuple[np.ndarray, float]:
        return record().astype(np.float32), FS


def page(number: int, *labels: str, mix: str = "clean cut", grey: int = 200) -> DrawnFlatPage:
    image = np.full((64, 96), grey, np.uint8)
    image[::7] = 40
    held = np.array([c in labels for c in CLASSES])
    return DrawnFlatPage(
        image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), held, bool(labels), number, "3x4+1", mix
    )


@pytest.fixture(scope="module")
def branches() -> tuple[SignalClassifier, PageClassifier]:
    torch.manual_seed(0)
    turned = list(reversed(CLASSES))
    page_branch = PageClassifier(TorchNetwork(PageNet(N, size=(64, 96)).eval()), turned, [0.5] * N, (64, 96))
    return SignalClassifier.load(MODEL), page_branch


def test_each_labelled_record_is_answered_once_by_both_branches(
    branches: tuple[SignalClassifier, PageClassifier],
) -> None:
    pages = [page(12, "NORM"), page(11), page(13, "CD", "HYP", mix="photo"), page(12, "NORM", grey=90)]
    table = make_table(Records(), pages, *branches)  # type: ignore[arg-type]
    assert table.record.tolist() == [12, 13]
    assert table.kind.tolist() == ["clean", "photo"]
    assert [[c for c, on in zip(CLASSES, row, strict=True) if on] for row in table.truth] == [
        ["NORM"],
        ["CD", "HYP"],
    ]
    said = branches[1].predict(pages[0].image).probabilities
    np.testing.assert_allclose(table.page[0], [said[c] for c in CLASSES], atol=1e-4)
    assert table.leads_read.max() <= 12
    assert np.isfinite(table.signal[0]).all()


def test_a_record_that_the_folds_do_not_hold_is_named(
    branches: tuple[SignalClassifier, PageClassifier],
) -> None:
    with pytest.raises(EcgPageError, match="record 99"):
        make_table(Records(), [page(99, "NORM")], *branches)  # type: ignore[arg-type]
    with pytest.raises(EcgPageError, match="nothing to table"):
        make_table(Records(), [page(11)], *branches)  # type: ignore[arg-type]


def test_signals_are_read_within_the_printed_windows_and_some_not_at_all() -> None:
    kinds = ["clean", "worn"] * 200
    read = digitized(torch.zeros(400, 12, 1000), kinds, np.random.default_rng(0)).isfinite().numpy()
    assert not read[:, ~STANDARD_MASK].any()
    nothing = ~read.any((1, 2))
    assert not nothing[::2].any()
    assert nothing[1::2].mean() == pytest.approx(UNREAD["worn"], abs=0.06)
