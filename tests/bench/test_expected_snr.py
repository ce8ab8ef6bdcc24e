"""The bench of expected SNR: its fit, its table, what it stores."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from bench.expected_snr import Lead, Page, fit, load, table
from ecgpage.signal.expected_snr import NOISE, Expectation


def test_the_fit_finds_the_weights_that_made_the_errors() -> None:
    rng = np.random.default_rng(1)
    weights = 1.5 * np.array(NOISE)
    leads = []
    for _ in range(200):
        error, lag, steep = np.exp(rng.normal([-8, -14, 4], 1.5))
        terms = (float(error), float(lag * steep), float(steep))
        true_db = 10 * np.log10(0.1 / np.dot(weights, terms)) + rng.normal(0, 0.5)
        leads.append(Lead("V1", float(true_db), 0.1, terms))
    assert fit(leads) == pytest.approx(weights, rel=0.3)


def test_the_table_counts_what_was_left_out_and_pages_are_kept_as_they_were() -> None:
    good, bad = (1e-4, 0.0, 0.0), (10.0, 0.0, 0.0)
    leads = [Lead("I", 27.0, 0.1, good), Lead("II", 3.0, 0.1, bad), Lead("V1", -2.0, 0.1, bad)]
    leads.append(Lead("V2", -1.0, 0.1, good))
    page = Page("scan-bw", "0", leads)
    assert load(json.dumps(asdict(page))) == page
    line = table([page, Page("scan-bw", "1", [], "no grid")]).splitlines()[-1]
    assert line.startswith("| all | 2 | 1 | 4 |")
    assert line.endswith("| 1 / 1 | 1 |")
    assert Expectation(0.1, good).snr_db == pytest.approx(32.2, abs=0.1)
