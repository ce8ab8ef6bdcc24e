"""Signals that cannot be what their names say are recognised."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.assembly import assemble
from ecgpage.signal.consistency import find_contradiction
from ecgpage.trace.reader import Trace
from tests.drawn import FS, lawful_record


def test_lawful_leads_pass() -> None:
    assert find_contradiction(lawful_record(), FS) == ""


@pytest.mark.parametrize("noise_mv", [0.01, 0.05])
def test_noise_alone_is_no_contradiction(noise_mv: float) -> None:
    noisy = lawful_record() + np.random.default_rng(0).normal(0, noise_mv, (5000, 12)).astype(np.float32)
    assert find_contradiction(noisy, FS) == ""


def test_leads_at_wrong_times_contradict_each_other() -> None:
    mv = lawful_record().copy()
    mv[:, LEADS.index("I")] = np.roll(mv[:, 0], 230)
    mv[:, LEADS.index("aVL")] = np.roll(mv[:, 4], 230)
    mv[:, LEADS.index("III")] = np.roll(mv[:, 2], 400)
    mv[:, LEADS.index("aVF")] = np.roll(mv[:, 5], -333)
    assert "do not agree" in find_contradiction(mv, FS)


def test_limb_leads_under_the_names_of_chest_leads_are_noticed() -> None:
    mv = lawful_record().copy()
    mv[:, 6:] = mv[:, :6]
    assert "limb leads" in find_contradiction(mv, FS)


def test_a_page_with_too_little_in_common_is_not_judged() -> None:
    assert find_contradiction(np.full((5000, 12), np.nan, np.float32), FS) == ""


@pytest.mark.parametrize("drawn_upside_down", [False, True])
def test_avr_is_turned_over_when_the_laws_say_so(drawn_upside_down: bool) -> None:
    mv, sign = lawful_record().copy(), -1 if drawn_upside_down else 1
    x_mm = 20 + np.arange(0, 62.5, 0.125)
    traces = []
    for k, lead in enumerate(LEADS[:6]):
        segment = Segment(lead, k, 20.0, 82.5, 0.0, 2.5, zero_mm=20.0 * k)
        values = np.interp((x_mm - 20) / 25, np.arange(5000) / FS, mv[:, k]) * (sign if lead == "aVR" else 1)
        y_mm, sigma_mm = 20.0 * k - 10 * values, np.full(len(x_mm), 0.1)
        traces.append(Trace(segment, x_mm, y_mm, "network", sigma_mm))
    layout = PageLayout([], [t.segment for t in traces], [], [], 25.0, 10.0, 1.0)
    found = assemble(traces, layout, FS, 5000)
    assert np.corrcoef(found.mv[:1240, 3], mv[:1240, 3])[0, 1] > 0.99
    assert any("aVR turned over" in note for note in found.notes) == drawn_upside_down
