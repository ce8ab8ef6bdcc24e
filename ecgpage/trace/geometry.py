"""Sizes of the crops that the trace network reads."""

from typing import Final

ROWS: Final = 320
"""Crop height, px: 20 mm above and 20 mm below the level."""
STRIDE: Final = 32
"""Columns of which crop widths are multiples."""
STEP_MM: Final = 0.05
"""Distance between values along time, mm."""
