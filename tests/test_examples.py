"""The shipped real pages, through the official command lines, score what ``docs/results.md`` says."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from helper_code import load_labels

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results.md"
EXAMPLES = ("887374646", "01226_hr")
TOLERANCE_DB = 0.5
"""Processors round differently; more than this is a loss."""


@cache
def stated() -> dict[str, float]:
    """Record -> SNR in dB, from the table of the example pages in ``docs/results.md``."""
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| (-?\d+\.\d+) \|", RESULTS.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {record: float(snr) for record, snr in rows}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    command = ["run_model.py", "-d", "examples/input", "-m", "model", "-o", str(folder)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def measured(outputs: Path) -> dict[str, float]:
    table = outputs / "snr.tsv"
    command = ["evaluate_model.py", "-d", "examples/reference", "-o", str(outputs), "-ta", str(table)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, timeout=300)
    lines = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    return {record: float(np.nanmean([float(v) for v in values])) for record, *values in lines}


def test_the_results_state_both_examples() -> None:
    assert set(EXAMPLES) <= set(stated())


@pytest.mark.parametrize("record", EXAMPLES)
def test_an_example_scores_what_is_stated(measured: dict[str, float], record: str) -> None:
    assert measured[record] > stated()[record] - TOLERANCE_DB


@pytest.mark.parametrize("record", EXAMPLES)
def test_an_example_gets_labels(outputs: Path, record: str) -> None:
    assert load_labels(str(outputs / record)) not in ([], [""])
