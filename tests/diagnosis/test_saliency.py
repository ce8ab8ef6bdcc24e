"""Where the evidence lies: the windows that a network looks at, and their colours on the page."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.diagnosis.saliency import measure_saliency
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.export.saliency_overlay import draw_saliency
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import PageLayout, Row, Segment
from ecgpage.results import PageReading
from ecgpage.signal.types import PageSignals
from ecgpage.trace.reader import Trace

FS = 500.0
V3 = LEADS.index("V3")


def sees_v3(*windows: np.ndarray) -> tuple[np.ndarray]:
    """Logit of class "high": mean absolute V3 from 4.0 to 4.4 s; of "low": minus that."""
    level = np.abs(np.nan_to_num(windows[0][:, V3, 400:440])).mean(1)
    return (np.stack([level, -level], axis=1),)


@pytest.fixture
def classifier() -> SignalClassifier:
    return SignalClassifier(sees_v3, ["high", "low"], [0.5, 0.5])


def signal() -> np.ndarray:
    """(5000, 12) mV; the second half of V1 is not known."""
    time = np.arange(5000)[:, None] / FS
    mv = np.sin(2 * np.pi * 5 * time) * np.ones(12)
    mv[2500:, LEADS.index("V1")] = np.nan
    return mv


@pytest.mark.parametrize(("label", "sign"), [("high", 1), ("low", -1)])
def test_evidence_lies_in_the_windows_that_the_network_looks_at(
    classifier: SignalClassifier, label: str, sign: int
) -> None:
    found = sign * measure_saliency(classifier, signal(), FS, label)
    assert found.shape == (12, 50)
    assert found[V3, 20:22].min() > 0.1
    found[V3, 20:22] = 0.0
    assert np.nanmax(np.abs(found)) < 0.02  # the baseline of V3 changes a little


def test_windows_that_show_nothing_have_no_evidence(classifier: SignalClassifier) -> None:
    found = measure_saliency(classifier, signal(), FS, "high")
    assert np.isnan(found[LEADS.index("V1"), 25:]).all()
    assert np.isfinite(found[LEADS.index("V1"), :25]).all()
    assert np.isnan(measure_saliency(classifier, np.full((5000, 12), np.nan), FS, "high")).all()


def test_an_unknown_class_is_named(classifier: SignalClassifier) -> None:
    with pytest.raises(EcgPageError, match=r"'NORM'.*high, low"):
        measure_saliency(classifier, signal(), FS, "NORM")


def flat_reading() -> PageReading:
    """A page of 4 px/mm with one row: V3 over 10 s, its trace a straight line at 20 mm."""
    grid_x, grid_y = np.meshgrid(5.0 * np.arange(53), 5.0 * np.arange(9))
    grid = GridMap(4 * np.stack([grid_x, grid_y], axis=-1), (0.0, 0.0), np.ones((9, 53)), 0.0, "5 mm lines")
    x_mm = np.arange(5.0, 255.0, 0.1)
    row = Row(np.arange(5.0, 255.0), np.full(250, 20.0), np.ones(250))
    segment = Segment("V3", 0, 5.0, 255.0, 0.0, 10.0, 20.0)
    layout = PageLayout([row], [segment], [], [], 25.0, 10.0, 1.0)
    trace = Trace(segment, x_mm, np.full(len(x_mm), 20.0), "network", np.full(len(x_mm), 0.1))
    nothing = np.zeros((5000, 12), np.float32)
    return PageReading(
        grid, layout, [trace], PageSignals(mv=nothing, readings=[], segments=[segment], as_read=nothing)
    )


def test_what_speaks_for_a_class_is_orange_and_what_speaks_against_it_blue() -> None:
    evidence = np.full((12, 50), np.nan)
    evidence[V3] = 0.0
    evidence[V3, 20:22], evidence[V3, 30:32] = 0.8, -0.8
    paper = np.full((160, 1040, 3), 255, np.uint8)
    drawn = draw_saliency(paper, flat_reading(), evidence, "high", area="page", width_px=1040).astype(int)
    assert drawn.shape[1] == 1040
    beside = drawn[-160 + 80 + 6]  # 1.5 mm below the trace

    def at(second: float) -> np.ndarray:
        return beside[round(4 * (5 + 25 * second))]

    assert at(4.1)[0] > at(4.1)[2] + 60
    assert at(6.1)[2] > at(6.1)[0] + 60
    assert at(2.1).min() == 255  # between lines of the grid
