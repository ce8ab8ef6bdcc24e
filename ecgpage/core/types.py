"""Array types that every stage shares.

Shapes and units stand where a value is made; the conventions of frames in ``ecgpage.core.conventions``.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Measures: places in mm, phases, weights."""
Grey = NDArray[np.float32]
"""(h, w) picture of one channel in float: darkness, ink, contrast."""
Light = NDArray[np.uint8]
"""(h, w) picture of one channel as it is stored: 0 black, 255 white."""
Image = NDArray[np.uint8]
"""(h, w, 3) picture, RGB."""
Rng = np.random.Generator
"""Source of random numbers."""
