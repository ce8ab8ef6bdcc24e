"""CSV table: a header line, time in seconds, a column a lead in mV; an empty cell where nothing is known.

No comment lines, a point as decimal mark, a comma between cells, line ends "\\n": what R, pandas and Excel read unasked. What
was changed or not read stands in the JSON report: a table has no place for it.
"""

from typing import Final

import numpy as np

from ecgpage.export.types import Digitized, Encoded, Metadata

MV_DECIMALS: Final = 4
"""Decimals of a value in mV: rounding error 0.05 uV."""
MAX_TIME_DECIMALS: Final = 9
"""Decimals of a time in s where fewer do not give it exactly."""


def encode_csv(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """Table ``time_s`` and the leads in mV, a line a sample; rounding error at most 0.00005 mV (and float32's own)."""
    time_format = f"%.{_time_decimals(digitized.fs)}f"
    lines = [",".join(["time_s", *digitized.leads])]
    values = np.round(digitized.signal.astype(np.float64), MV_DECIMALS) + 0.0  # no "-0.0000"
    for k, row in enumerate(values):
        cells = (f"{value:.{MV_DECIMALS}f}" if np.isfinite(value) else "" for value in row)
        lines.append(",".join([time_format % (k / digitized.fs), *cells]))
    return Encoded({".csv": "".join(f"{line}\n" for line in lines).encode("utf-8")})


def _time_decimals(fs: float) -> int:
    """Fewest decimals that give the time of every sample exactly, or nine."""
    step_s = 1 / fs
    return next(
        (d for d in range(MAX_TIME_DECIMALS) if abs(round(step_s, d) - step_s) < 1e-12), MAX_TIME_DECIMALS
    )
