"""A reading of the example pages by the official command lines that does not depend on the processor, and its figures.

python -m tests.examples.reading

stores the reading in float32 as the golden one, ``tests/golden/examples/<record>.hea`` and ``.dat`` (what ``run_model.py``
writes: 16 bits, 1 uV), and prints its figures beside those that ``limits.json`` there states. To be run when pages are
meant to be read differently; the limits are edited by hand, with a reason.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluate_model import evaluate_model
from helper_code import load_signals

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = ROOT / "tests" / "golden" / "examples"
EXAMPLES: Final = ("01226_hr", "887374646")
OLDEST_KERNELS: Final = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""Instructions that every processor of the last ten years has, so that all of them round alike."""
LONGEST_S: Final = 900
"""bfloat16 without hardware for it, on busy cores."""


def read_examples(folder: Path, precision: str) -> None:
    """Run ``run_model.py`` on the example pages in ``float32`` or ``bfloat16``; ``folder`` gets a record for each."""
    command = [sys.executable, "run_model.py", "-d", "examples/input", "-m", "model", "-o", str(folder)]
    own = {**os.environ, **OLDEST_KERNELS, "ECGPAGE_PRECISION": precision}
    subprocess.run(command, cwd=ROOT, check=True, timeout=LONGEST_S, env=own)


def measure_snr(folder: Path) -> dict[str, dict[str, float]]:
    """Record -> mean and median over its leads of the SNR without alignment, dB, as ``evaluate_model.py -n`` counts it."""
    snr = evaluate_model(str(ROOT / "examples" / "reference"), str(folder), no_shift=True, jobs=1)[6]
    of_record = {record: [db for (name, _), db in snr.items() if name == record] for record in EXAMPLES}
    return {
        record: {"mean": float(np.mean(values)), "median": float(np.median(values))}
        for record, values in of_record.items()
    }


def load_reading(folder: Path, record: str) -> NDArray[np.float64]:
    """Signals (n_samples, 12) of a record, mV, NaN where nothing was read."""
    signals, _ = load_signals(str(folder / record))
    assert signals is not None, f"{folder / record} has no signal"
    return np.asarray(signals, np.float64)


def load_limits() -> dict[str, Any]:
    """What ``limits.json`` allows: see the texts there."""
    limits: dict[str, Any] = json.loads((GOLDEN / "limits.json").read_text(encoding="utf-8"))
    return limits


def main() -> None:
    """Store the golden reading, print its figures."""
    read_examples(GOLDEN, "float32")
    stated = load_limits()["snr"]["measured"]
    for record, figures in measure_snr(GOLDEN).items():
        shown = (f"{name} {value:.2f} dB (stated: {stated[record][name]})" for name, value in figures.items())
        print(f"{record}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
