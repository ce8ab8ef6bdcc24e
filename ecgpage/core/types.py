"""Array types that every stage shares.

Shapes and units are given where a value is made, the conventions of coordinates in ``ecgpage.core.conventions``.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Quantities in double precision: positions in mm, phases, weights."""
Grey = NDArray[np.float32]
"""Picture (h, w) of one channel in float: darkness, ink, contrast."""
Light = NDArray[np.uint8]
"""Picture (h, w) of one channel as it is stored: 0 black, 255 white."""
Image = NDArray[np.uint8]
"""Picture (h, w, 3), RGB."""
Rng = np.random.Generator
"""Source of random numbers."""
