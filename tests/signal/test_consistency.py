"""Limb leads that agree in form but not in size: said, not refused; names that contradict them are still refused."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.signal.consistency import compare_sides, find_contradiction, find_disagreement
from tests.drawn import FS, lawful_record


def scaled(**sizes: float) -> np.ndarray:
    """(5000, 12) mV of lawful leads, some of them at another size."""
    mv = lawful_record().copy()
    for lead, size in sizes.items():
        mv[:, LEADS.index(lead)] *= size
    return mv


def test_lawful_leads_agree() -> None:
    assert find_disagreement(scaled(), FS) == ""


@pytest.mark.parametrize("size", [0.9, 1.2])
def test_small_differences_are_no_news(size: float) -> None:
    assert find_disagreement(scaled(II=size), FS) == ""


@pytest.mark.parametrize(("lead", "size"), [("II", 0.5), ("II", 2.0), ("aVR", 0.5), ("aVR", 2.0)])
def test_a_lead_at_a_scale_of_its_own_is_named_with_its_size_and_not_refused(lead: str, size: float) -> None:
    mv = scaled(**{lead: size})
    assert find_contradiction(mv, FS) == ""
    said = find_disagreement(mv, FS)
    assert "disagree in size" in said
    assert f"{lead} has {size:.2f} of what the others give" in said


def test_all_leads_at_half_their_size_agree() -> None:
    assert find_disagreement(0.5 * lawful_record(), FS) == ""


def test_other_forms_are_no_difference_in_size() -> None:
    mv = scaled()
    mv[:, LEADS.index("II")] = 3 * np.roll(mv[:, LEADS.index("V1")], 217)
    mv[:, LEADS.index("aVR")] = 3 * np.roll(mv[:, LEADS.index("V2")], 411)
    assert find_disagreement(mv, FS) == ""
    assert "do not agree" in find_contradiction(mv, FS)


def test_cabrera_s_order_under_the_standard_names_is_refused_whatever_the_forms() -> None:
    """aVL, I, -aVR, II, aVF, III read as I, II, III, aVR, aVL, aVF: aVL - aVR is 1.5 times I."""
    mv = scaled()
    names = dict(zip(LEADS, mv.T.copy(), strict=True))
    shown = [names["aVL"], names["I"], -names["aVR"], names["II"], names["aVF"], names["III"]]
    mv[:, :6] = np.stack(shown, axis=1)
    left, right = mv[:, 0] + mv[:, 2], mv[:, 1]
    assert left.std() / right.std() == pytest.approx(1.5, rel=1e-3)
    assert np.corrcoef(left, right)[0, 1] > 0.999
    assert "do not agree" in find_contradiction(mv, FS)


def test_less_than_a_second_in_common_is_not_judged() -> None:
    mv = scaled(II=2.0)
    mv[round(0.9 * FS) :, LEADS.index("II")] = np.nan
    assert find_disagreement(mv, FS) == ""
    mv = scaled(II=2.0)
    mv[round(1.5 * FS) :, LEADS.index("II")] = np.nan
    assert "II has" in find_disagreement(mv, FS)


def test_a_torn_electrode_for_a_moment_is_no_wrong_name() -> None:
    mv = lawful_record()[: round(5 * FS)].copy()
    n = round(0.7 * FS)
    swings = np.random.default_rng(2).normal(0, 0.3, (n, 6))
    mv[:n, :6] = swings + np.array([-3, 4, -2, -5, -1, -3])
    assert max(r for r, _ in compare_sides(mv, FS).values()) < 0.4
    assert find_contradiction(mv, FS) == ""
    mv[:, :6] = mv[:, [8, 6, 11, 7, 10, 9]]  # misnamed leads are still told
    assert "do not agree" in find_contradiction(mv, FS)


def test_names_that_were_read_outweigh_sizes_but_not_forms() -> None:
    mv = scaled()
    spikes = np.zeros(len(mv), np.float32)  # a pacemaker's, which the traces of two leads lost to other rows
    for first in range(100, len(mv), round(0.8 * FS)):
        spikes[first : first + round(0.016 * FS)] = 1.0
    mv[:, [LEADS.index("I"), LEADS.index("aVL")]] += spikes[:, None]
    assert all(r > 0.4 and size > 1.5 for r, size in compare_sides(mv, FS).values())
    assert "do not agree" in find_contradiction(mv, FS)
    assert find_contradiction(mv, FS, are_read=True) == ""
    assert "II has" in find_disagreement(mv, FS)
    mv[:, :6] = mv[:, [8, 6, 11, 7, 10, 9]]  # chest leads under the names of limb leads
    assert "do not agree" in find_contradiction(mv, FS, are_read=True)
