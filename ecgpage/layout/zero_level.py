"""Where the 0-mV line of a lead may stand."""

from typing import Final

MAX_ZERO_MM: Final = 12.0
