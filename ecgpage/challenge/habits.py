"""Habits of the Challenge's page generator and of the WFDB files that its scripts write.

Only ``team_code.py`` and scripts that score or draw for the Challenge use them; other pages are read without.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.layout.options import LayoutOptions
from ecgpage.pipeline import ReaderOptions

LINE_AHEAD_MM: Final = 0.0635
"""Distance, mm, by which the generator's grid lines lie right of its time axis: half a pixel at 200 dpi."""
LIMIT_MV: Final = 32.0
"""Largest voltage, mV, that is returned: WFDB's 16 bits at 1000 per mV hold up to 32.767."""


def challenge_options() -> ReaderOptions:
    """Options for reading the Challenge's pages."""
    return ReaderOptions(layout=LayoutOptions(line_ahead_mm=LINE_AHEAD_MM))


def clip_for_wfdb(mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signals (n, leads) mV cut to +-LIMIT_MV; NaN stays."""
    return np.clip(mv, -LIMIT_MV, LIMIT_MV)
