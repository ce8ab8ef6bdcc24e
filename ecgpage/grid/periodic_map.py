"""The map of a strictly periodic grid: the comb's lattice over the whole picture, then bent as the pattern shows.

What repeats from square to square may be lines, dashes or dots: each square's mean profile is compared with that of all
squares, so that no single line needs to be seen.
"""

import contextlib
import logging
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import EcgPageError, NoGridError
from ecgpage.core.types import Array, Grey, Light
from ecgpage.grid.comb import CONTRAST_LIMIT, GridComb
from ecgpage.grid.comb_refinement import MeasuredComb
from ecgpage.grid.grid_map import SQUARE_MM, GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.grid.refinement import (
    STIFFNESS,
    measure_displacements,
    measure_lines,
    refine_map,
    refine_plotted,
)
from ecgpage.grid.smoothing import choose_stiffness
from ecgpage.grid.spectrum import normalise_contrast

log = logging.getLogger(__name__)

SOURCE: Final = "periodic grid"
"""What the scale of such a map rests on."""
STIFF: Final = STIFFNESS[4:]
"""Stiffnesses that are tried: such a page is hardly bent."""
CELL_PX: Final = 40
"""Flat pixels from one 5-mm line to the next."""
ALONG_SQUARES: Final = 7
"""Number of squares along a line over which profiles are averaged; lines stay apart."""
REACH_MM: Final = 0.45
"""Offset, mm, of a square's pattern that is looked for: the next 1-mm line looks alike."""
LIKENESS: Final = (0.3, 0.7)
"""Correlation of a square's profile with the usual one, at which it counts for nothing and fully."""
ROUNDS: Final = 2
"""Times that the lattice is bent before the last measurement."""
MIN_AROUND: Final = 0.2
"""Mean weight of the squares around one that is seen."""
BEYOND_SQUARES: Final = 3
"""Squares by which the map goes on beyond where its pattern shows, within the picture."""
MOST_SLANT_RAD: Final = float(np.deg2rad(0.04))
"""Slant up to which lines run along the picture's pixels."""
MOST_ERROR: Final = 0.002
"""Standard deviation of the natural log of the distances, at most."""
ROUNDING_PX: Final = 0.6
"""Image pixels by which rounding changes the distance of two lines in the middle of all cases, at most."""
MIN_LINES: Final = 6
"""Lines in each direction that must be seen."""


def map_comb(dark: Light, comb: GridComb, options: GridOptions = GridOptions()) -> GridMap:
    """Map of a comb's grid in a uint8 (H, W) picture, 255 minus its darkest channel.

    Raises ``EcgPageError`` where the pattern shows on too small a part.
    """
    grid = lay_lattice(dark, comb)
    grid = _centre_lines(grid, _average(_profile_squares(dark, grid), grid))
    for number in range(ROUNDS + 1):
        profiles = _profile_squares(dark, grid)
        usual = _average(profiles, grid)
        offsets = [find_pattern_offsets(profiles[k], usual[k], axis=k) for k in (0, 1)]
        if number == 0:
            grid, offsets = _keep_seen(grid, offsets)
        lines = measure_displacements(grid, offsets)
        if number < ROUNDS:
            stiffness = choose_stiffness(lines.displacement_mm, lines.weights, STIFF)
            grid = lines.follow(grid, stiffness, options)
    return refine_map(grid, lines, options, STIFF)


def map_unbent(dark: Light, measured: MeasuredComb, options: GridOptions = GridOptions()) -> GridMap | None:
    """The comb's own lattice in a uint8 (H, W) picture that a program drew: lines run along the pixels, and most stand where
    rounding puts them. None where the lines tell otherwise: paper is never fed so evenly.

    Panels may begin anew: what a line keeps is its distance from the next ones.
    """
    slant = float(np.mean(np.abs(measured.slant_rad)))  # NaN where one does not show
    if not (slant < MOST_SLANT_RAD and max(measured.error) < MOST_ERROR):
        return None
    grid = lay_lattice(dark, replace(measured.comb, angle_rad=0.0))
    grid = _centre_lines(grid, _average(_profile_squares(dark, grid), grid))
    profiles = _profile_squares(dark, grid)
    usual = _average(profiles, grid)
    offsets = [find_pattern_offsets(profiles[k], usual[k], axis=k) for k in (0, 1)]
    for k in (0, 1):
        steps = np.abs(_measure_steps(*offsets[k], axis=k)) * grid.px_per_mm
        if len(steps) >= MIN_LINES and float(np.median(steps)) > ROUNDING_PX:
            log.debug("lines leave their places by %.2f px", float(np.median(steps)))
            return None
    with contextlib.suppress(EcgPageError):  # panels have a pattern of their own each
        grid, _ = _keep_seen(grid, offsets)
    # the pixels of the plot onto which lines were moved tell the lattice better than their spectrum
    plotted = refine_plotted(grid, measure_lines(dark, grid, options.extended_half_width_mm), options)
    if plotted is not None:
        return plotted
    error = max(measured.error) * max(dark.shape) / np.sqrt(12)
    return replace(grid, residual_px=float(error))


def _measure_steps(offset: Array, weight: Array, *, axis: int) -> Array:
    """Change, mm, of the lines' offsets (ny, nx) from each line to the third next one, where both are seen."""
    if axis == 1:
        offset, weight = offset.T, weight.T
    seen = weight > 0
    enough = seen.sum(axis=0) >= MIN_LINES
    line = np.full(offset.shape[1], np.nan)
    if enough.any():
        line[enough] = np.nanmedian(np.where(seen, offset, np.nan)[:, enough], axis=0)
    steps = line[3:] - line[:-3]
    return np.asarray(steps[np.isfinite(steps)], np.float64)


def lay_lattice(dark: Light, comb: GridComb) -> GridMap:
    """Lattice of the comb's pitches and direction over the whole uint8 (H, W) picture, its expected error not known."""
    height, width = dark.shape
    across = comb.pitch_px[0] * np.array([np.cos(comb.angle_rad), np.sin(comb.angle_rad)])
    down = comb.pitch_px[1] * np.array([-np.sin(comb.angle_rad), np.cos(comb.angle_rad)])
    corners = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)], float)
    steps = corners @ np.linalg.inv(np.stack([across, down]))
    low, high = np.floor(steps.min(axis=0)).astype(int), np.ceil(steps.max(axis=0)).astype(int)
    i, j = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    nodes = i[..., None] * across + j[..., None] * down
    inside = np.all(
        (nodes >= -0.5) & (nodes <= (width - 0.5, height - 0.5)), axis=-1
    )  # pixels reach half a pixel out
    return GridMap(nodes, (0.0, 0.0), inside.astype(float), float("nan"), SOURCE)


def _profile_squares(dark: Light, grid: GridMap) -> list[Grey]:
    """(ny, nx, CELL_PX) mean contrast across the near-vertical and across the other line of each node, line in the middle."""
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    px_per_mm = CELL_PX / SQUARE_MM
    x_mm = x0 - SQUARE_MM / 2 + (np.arange(nx * CELL_PX) + 0.5) / px_per_mm
    y_mm = y0 - SQUARE_MM / 2 + (np.arange(ny * CELL_PX) + 0.5) / px_per_mm
    flat = flatten(dark, grid, x_mm, y_mm, quick=True).astype(np.float32)
    contrast = normalise_contrast(flat, 2.0 * px_per_mm, limit=CONTRAST_LIMIT)
    cells = contrast.reshape(ny, CELL_PX, nx, CELL_PX)
    return [cells.mean(axis=1), cells.mean(axis=3).swapaxes(1, 2)]


def _average(profiles: list[Grey], grid: GridMap) -> list[Array]:
    """(CELL_PX,) usual profile of each direction over the squares that are seen."""
    return [p[grid.quality > 0].mean(axis=0).astype(float) for p in profiles]


def _centre_lines(grid: GridMap, templates: list[Array]) -> GridMap:
    """The lattice moved so that its nodes lie on the darkest lines of the usual square."""
    shift = []
    for template in templates:
        ring = np.concatenate([template] * 3)[None]
        smooth = cv2.GaussianBlur(np.asarray(ring, np.float32), (0, 0), sigmaX=1.5, sigmaY=1e-3)[0]
        top = int(smooth[CELL_PX : 2 * CELL_PX].argmax()) + CELL_PX
        left, middle, right = (float(v) for v in smooth[top - 1 : top + 2])
        part = 0.5 * (left - right) / min(left - 2 * middle + right, -1e-9)
        shift.append((top - CELL_PX + part - (CELL_PX - 1) / 2) / CELL_PX)
    step_x, step_y = grid.steps_px
    return replace(grid, nodes=grid.nodes + shift[0] * step_x + shift[1] * step_y)


def find_pattern_offsets(profiles: Grey, usual: Array, *, axis: int) -> tuple[Array, Array]:
    """(ny, nx) offset, mm, of each square's profile (ny, nx, CELL_PX) from the usual one, and weight, 0 to 1, by their
    likeness.

    Profiles are averaged along their lines, which run along ``axis``.
    """
    along = (1, ALONG_SQUARES) if axis == 0 else (ALONG_SQUARES, 1)  # OpenCV: x, y
    smooth = np.asarray(cv2.blur(profiles, along, borderType=cv2.BORDER_REFLECT_101), np.float64)
    centred = smooth - smooth.mean(axis=-1, keepdims=True)
    usual = usual - usual.mean()
    waves = np.fft.rfft(centred, axis=-1) * np.conj(np.fft.rfft(usual))
    fine = 4
    like = np.fft.irfft(waves, fine * CELL_PX, axis=-1) * fine
    size = np.linalg.norm(centred, axis=-1) * np.linalg.norm(usual) + 1e-9
    reach = round(REACH_MM / SQUARE_MM * CELL_PX * fine)
    near = np.concatenate([like[..., -reach:], like[..., : reach + 1]], axis=-1) / size[..., None]
    peak = np.clip(near.argmax(axis=-1), 1, 2 * reach - 1)
    left, top, right = (np.take_along_axis(near, peak[..., None] + k, -1)[..., 0] for k in (-1, 0, 1))
    bend = left - 2 * top + right
    part = np.where(bend < -1e-9, 0.5 * (left - right) / np.where(bend < -1e-9, bend, -1.0), 0.0)
    offset = (peak - reach + np.clip(part, -0.5, 0.5)) / (fine * CELL_PX) * SQUARE_MM
    at_end = (peak <= 1) | (peak >= 2 * reach - 1)
    weight = np.clip((top - LIKENESS[0]) / (LIKENESS[1] - LIKENESS[0]), 0, 1)
    return offset, np.where(at_end, 0.0, weight)


def _keep_seen(
    grid: GridMap, offsets: list[tuple[Array, Array]]
) -> tuple[GridMap, list[tuple[Array, Array]]]:
    """The part of the map, and of the offsets, where the pattern shows in both directions: quality 1 within its hull."""
    shows = np.minimum(offsets[0][1], offsets[1][1]).astype(np.float32) * (grid.quality > 0)
    around = cv2.blur(shows, (5, 5), borderType=cv2.BORDER_CONSTANT)
    inside = np.argwhere((around > MIN_AROUND) & (shows > 0))[:, ::-1]
    if len(inside) < MIN_LINES**2 or min(np.ptp(inside, axis=0)) < MIN_LINES - 1:
        raise NoGridError("the ECG grid shows on too small a part of the picture; photograph the whole page")
    quality = np.zeros(shows.shape, np.uint8)
    cv2.fillConvexPoly(quality, cv2.convexHull(inside.astype(np.int32)), 1)
    # an unbent grid goes on as it was, below frames and where traces cover it
    wide = cv2.dilate(quality, np.ones((2 * BEYOND_SQUARES + 1,) * 2, np.uint8))
    quality = np.where(grid.quality > 0, wide, 0).astype(np.uint8)
    rows, columns = np.flatnonzero(quality.any(axis=1)), np.flatnonzero(quality.any(axis=0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    kept = replace(grid, nodes=grid.nodes[part], quality=quality[part].astype(float))
    return kept, [(offset[part], weight[part]) for offset, weight in offsets]
