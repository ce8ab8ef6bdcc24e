"""Sizes of the crops that the trace network reads."""

from typing import Final

ROWS: Final = 320
"""Crop height, pixels: 20 mm above and below the level."""
STRIDE: Final = 32
"""Crop widths are multiples of this."""
STEP_MM: Final = 0.05
"""Distance of the values along time."""
