"""How much likelier what repeats in a picture is with a grid than without: by the picture's spectrum, or by that of the page
as the grid's map flattens it, where paper is bent or seen at an angle.
"""

from typing import Final

import numpy as np

from ecgpage.core.threads import one_thread
from ecgpage.core.types import Light
from ecgpage.grid.comb import CombSpectrum
from ecgpage.grid.grid_map import SQUARE_MM, GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import BLUR_PX, CONTRAST_LIMIT, WORK_SIDE_PX, WorkingPicture, normalise_contrast

OUT_OF_STEP_MM: Final = 0.5
"""Root mean square, mm, by which nodes lie off an even lattice from which 1-mm lines are out of step with one frequency."""


def weigh_grid(light: Light, grid: GridMap, spectrum: CombSpectrum, options: GridOptions) -> float:
    """Natural log of the likelihood of what repeats in a picture with a map's grid over that without any.

    ``light``: uint8 (H, W), the darkest of the picture's channels; ``spectrum``: of the picture as it is. Lines that bend,
    fold or run together have no frequency there; the flattened page is weighed then.
    """
    if is_bent(grid):
        return _weigh_flattened(light, grid, options)
    return weigh_in_picture(grid, spectrum, options)


def is_bent(grid: GridMap) -> bool:
    """Whether the nodes of the part that was seen lie too far off an even lattice to show as one frequency."""
    rows, columns = np.nonzero(grid.quality > 0)
    if len(rows) < 4:
        return False
    lattice = np.column_stack([columns, rows, np.ones(len(rows))])
    nodes = grid.nodes[rows, columns]
    off = nodes - lattice @ np.linalg.lstsq(lattice, nodes, rcond=None)[0]
    return bool(np.sqrt(np.square(off).mean()) > OUT_OF_STEP_MM * grid.px_per_mm)


def weigh_in_picture(grid: GridMap, spectrum: CombSpectrum, options: GridOptions) -> float:
    """Log likelihood ratio of a picture's spectrum with a grid of a map's distances, seen as it lies."""
    across, down = grid.steps_px
    # its lines stand upright or lie flat, whichever way the page is turned
    if abs(across[1]) > abs(across[0]):
        across, down = down, across
    angle = float(np.arctan(across[1] / across[0]))
    return spectrum.weigh_pitch((float(np.hypot(*across)), float(np.hypot(*down))), angle, options)


def _weigh_flattened(light: Light, grid: GridMap, options: GridOptions) -> float:
    """Log likelihood ratio of the spectrum of the page, flattened where its grid was followed, with lines 5 mm apart."""
    rows, columns = np.nonzero(grid.quality > 0)
    first = np.array([columns.min(), rows.min()])
    sides_mm = SQUARE_MM * (np.array([columns.max(), rows.max()]) - first)
    step_mm = max(1 / grid.px_per_mm, float(sides_mm.max()) / WORK_SIDE_PX)
    x_mm, y_mm = (
        np.arange(start, start + side, step_mm)
        for start, side in zip(grid.origin_mm + SQUARE_MM * first, sides_mm, strict=True)
    )
    with one_thread():
        dark = np.asarray(255 - flatten(light, grid, x_mm, y_mm, quick=True), np.float32)
        picture = WorkingPicture(1.0, dark, normalise_contrast(dark, BLUR_PX, CONTRAST_LIMIT))
        pitch_px = SQUARE_MM / step_mm
        return CombSpectrum.measure(picture).weigh_pitch((pitch_px, pitch_px), 0.0, options)
