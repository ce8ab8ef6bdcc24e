"""Maps of all grids that a picture may show, the likeliest first: tracked ones, and strictly periodic ones."""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.threads import one_thread
from ecgpage.core.types import Image
from ecgpage.grid.candidates import grid_candidates
from ecgpage.grid.comb import TURNS_RAD, GridComb, find_combs
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.periodic_map import lay_lattice, map_comb
from ecgpage.grid.spectrum import GridFrequency, find_grid_frequencies
from ecgpage.image.decode import darkest_channel

log = logging.getLogger(__name__)


def find_grids(
    image: Image, most: int, failures: list[EcgPageError], options: GridOptions = GridOptions()
) -> Iterator[GridMap]:
    """Maps of the grids of a uint8 (H, W, 3) RGB image, the likeliest first; reasons for missing ones go to ``failures``.

    A tracked grid follows folds and perspective, but may follow a multiple of the true distance. Where the picture's spectrum
    shows a strictly periodic grid clearly, tracked grids come first if they agree with it, last if not. ``most``: number of
    tracked grids.
    """
    frequencies = find_grid_frequencies(image, options=options)
    combs = find_combs(image, _list_angles(frequencies), options=options)
    tracked = _track_grids(image, frequencies, most, failures, options)
    if not combs or combs[0].score < options.min_comb:
        yield from tracked
        yield from _map_combs(image, combs, failures, options)
        return
    log.debug("periodic grid: %.2f, %.2f px, score %.1f", *combs[0].pitch_px, combs[0].score)
    others: list[GridMap] = []
    for grid in tracked:
        if agrees(grid, combs[0], options):
            yield grid
        else:
            others.append(grid)
            break
    yield from _map_combs(image, combs, failures, options)
    yield from others
    yield from tracked


def agrees(grid: GridMap, comb: GridComb, options: GridOptions = GridOptions()) -> bool:
    """Whether the lines of a map are as far apart as those of a periodic grid."""
    apart = [np.linalg.norm(np.diff(grid.nodes, axis=k), axis=2) for k in (1, 0)]
    ratio = [float(np.median(a)) / p for a, p in zip(apart, comb.pitch_px, strict=True)]
    return max(abs(np.log(r)) for r in ratio) < options.comb_agrees


def _list_angles(frequencies: list[GridFrequency]) -> list[float]:
    """Directions, radians, of the frequencies, and 0, none within another's reach."""
    angles = [0.0]
    for frequency in frequencies:
        if min(abs(frequency.angle_rad - a) for a in angles) > float(TURNS_RAD[-1]):
            angles.append(frequency.angle_rad)
    return angles


def _track_grids(
    image: Image,
    frequencies: list[GridFrequency],
    most: int,
    failures: list[EcgPageError],
    options: GridOptions,
) -> Iterator[GridMap]:
    for bridge_gaps, limit in ((False, most), (True, 1)):
        found = grid_candidates(image, frequencies, options=replace(options, bridge_gaps=bridge_gaps))
        try:
            yield from itertools.islice(found, limit)
        except EcgPageError as error:
            failures.append(error)


def _map_combs(
    image: Image, combs: list[GridComb], failures: list[EcgPageError], options: GridOptions
) -> Iterator[GridMap]:
    for comb in combs:
        if comb.score < max(options.least_comb, combs[0].score - options.rival_comb):
            return
        dark = 255 - darkest_channel(image)
        try:
            with one_thread():
                grid = map_comb(dark, comb, options)
            if grid.residual_px < options.max_error_mm * grid.px_per_mm:
                yield grid
        except EcgPageError as error:
            failures.append(error)
            if (
                comb.score >= options.min_comb
            ):  # panels, each with a grid that begins anew, are no one pattern
                yield lay_lattice(dark, comb)
