"""The shipped example pages, through the official command lines, are read as stored, in both precisions.

``limits.json`` says how far off they may be. ``python -m tests.examples.reading`` stores them anew.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helper_code import load_labels
from tests.examples.reading import EXAMPLES, GOLDEN, load_limits, load_reading, measure_snr, read_examples

pytestmark = pytest.mark.medium  # the pages are read twice

Outputs = Callable[[str], Path]

PRECISIONS = ("float32", "bfloat16")
LIMITS = load_limits()

every_example = pytest.mark.parametrize("record", EXAMPLES)
# without hardware for bfloat16 it takes a minute
both_precisions = pytest.mark.parametrize(
    "precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Folder of the outputs in a precision; the pages are read when it is first asked for."""
    folders: dict[str, Path] = {}

    def outputs_in(precision: str) -> Path:
        if precision not in folders:
            folder = tmp_path_factory.mktemp(precision)
            read_examples(folder, precision)
            folders[precision] = folder
        return folders[precision]

    return outputs_in


@every_example
@both_precisions
def test_an_example_is_read_as_it_is_stored(outputs: Outputs, precision: str, record: str) -> None:
    stored, found = load_reading(GOLDEN, record), load_reading(outputs(precision), record)
    allowed = LIMITS["reading"]
    assert found.shape == stored.shape
    assert np.mean(np.isfinite(found) != np.isfinite(stored)) <= allowed["known_in_one_only"]
    off_mv = found - stored
    level_mv = np.nanmean(off_mv, axis=0)
    assert np.sqrt(np.nanmean(off_mv**2, axis=0)).max() <= allowed["rms_mv"]
    assert np.sqrt(np.nanmean((off_mv - level_mv) ** 2, axis=0)).max() <= allowed["centred_rms_mv"]


@every_example
@both_precisions
def test_an_example_scores_no_less_than_is_stated(outputs: Outputs, precision: str, record: str) -> None:
    found, stated = measure_snr(outputs(precision))[record], LIMITS["snr"]["measured"][record]
    short = {name: stated[name] - found[name] for name in stated}
    assert {name: db for name, db in short.items() if db > LIMITS["snr"]["slack"][name]} == {}


@every_example
def test_the_stored_reading_scores_what_is_stated(record: str) -> None:
    assert measure_snr(GOLDEN)[record] == pytest.approx(LIMITS["snr"]["measured"][record], abs=0.01)


@every_example
@both_precisions
def test_an_example_gets_its_label(outputs: Outputs, precision: str, record: str) -> None:
    assert load_labels(str(outputs(precision) / record)) == ["NORM"]


@pytest.mark.slow
@every_example
def test_the_precision_that_is_asked_for_is_the_one_that_is_used(outputs: Outputs, record: str) -> None:
    single, half = (load_reading(outputs(precision), record) for precision in PRECISIONS)
    assert np.nanmean(np.abs(half - single) > 0) > 0.01
