"""Digitized pages made of given signals, for the tests of formats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.export.formats import FORMATS
from ecgpage.export.types import Metadata
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import PageLayout
from ecgpage.signal.grade import NOT_GIVEN, PageGrade
from ecgpage.signal.types import LeadReading

WHY = "its trace is covered"


@dataclass(frozen=True)
class Page:
    """A digitized page without a picture."""

    signal: NDArray[np.float32]
    fs: float = 500.0
    status: str = "ok"
    reasons: tuple[str, ...] = ()
    readings: Mapping[str, LeadReading] = field(default_factory=dict)
    labels: tuple[str, ...] = ("NORM",)
    probabilities: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0.25))
    leads: tuple[str, ...] = LEADS
    layout: PageLayout | None = None
    grid: GridMap | None = None
    grade: PageGrade = NOT_GIVEN

    @property
    def lead_reasons(self) -> dict[str, str]:
        return {lead: reading.reason for lead, reading in self.readings.items() if reading.source == "none"}

    @property
    def expected_snr_db(self) -> dict[str, float]:
        return {lead: reading.snr_db for lead, reading in self.readings.items()}

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.signal)


def make_page(signal: NDArray[np.floating], fs: float = 500.0, **changes: Any) -> Page:
    """Page of a signal (n, 12) in mV; leads without a sample were not read, ``WHY``."""
    share = np.isfinite(signal).mean(axis=0)
    readings = {
        lead: LeadReading(lead, "network", float(s)) if s else LeadReading(lead, "none", 0.0, WHY)
        for lead, s in zip(LEADS, share, strict=True)
    }
    status = "ok" if share.all() else "partial" if share.any() else "failed"
    given: dict[str, Any] = {"status": status, "readings": readings, **changes}
    return Page(signal.astype(np.float32), fs, **given)


def random_page(seed: int, samples: int, *, fs: float = 500.0, largest_mv: float = 2.0) -> Page:
    """Page of noise up to ``largest_mv`` with zeros and gaps; in some a whole lead, seldom every lead, is missing."""
    rng = np.random.default_rng(seed)
    signal = rng.uniform(-largest_mv, largest_mv, (samples, 12)).astype(np.float32)
    signal[0, 0], signal[-1, 1] = largest_mv, -largest_mv  # the limits themselves, too
    signal[rng.random(signal.shape) < 0.02] = 0.0
    for column in range(12):
        for _ in range(rng.integers(0, 4)):
            first = rng.integers(0, samples)
            signal[first : first + rng.integers(1, samples // 4 + 2), column] = np.nan
    signal[:, rng.random(12) < 0.1] = np.nan
    if seed % 10 == 9:
        signal[:] = np.nan
    return make_page(signal, fs)


def pages(
    fs: float | st.SearchStrategy[float] = 500.0, largest_mv: float = 32.767
) -> st.SearchStrategy[Page]:
    """Random pages: lengths around whole seconds, amplitudes from nearly nothing up to ``largest_mv``."""
    return st.builds(
        random_page,
        seed=st.integers(0, 2**32 - 1),
        samples=st.sampled_from([1, 2, 7, 499, 500, 1250, 2503]) | st.integers(1, 3000),
        fs=fs if isinstance(fs, st.SearchStrategy) else st.just(fs),
        largest_mv=st.floats(0.001, largest_mv),
    )


NOTHING = Metadata()
"""Nothing known besides the reading."""


def encode(name: str, page: Page, stem: str = "ecg", metadata: Metadata = NOTHING) -> Mapping[str, bytes]:
    """Suffix -> content of a page in a format."""
    return FORMATS[name].encode(page, stem, metadata).files


def assert_same(read: NDArray[np.floating], page: Page, bound_mv: float) -> None:
    """What was read (n, 12) has the page's gaps, and its values within ``bound_mv`` and float32's own rounding."""
    assert read.shape == page.signal.shape
    np.testing.assert_array_equal(np.isfinite(read), page.known)
    np.testing.assert_allclose(
        read[page.known], page.signal[page.known], rtol=1e-6, atol=bound_mv * (1 + 1e-6)
    )
