"""Maps of the grids that a picture may show, the likeliest first: frequencies are tracked, fitted, refined, extended.

A map stands for the page turned so that its lines lie along x and y; which of the four turns is upright is decided by what is
printed on the page (``ecgpage.layout``).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ecgpage.core.conventions import EcgPageError, NoGridError
from ecgpage.core.threads import one_thread
from ecgpage.core.types import Image, Light
from ecgpage.grid.extension import extend_map
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.lattice import fit_lattice
from ecgpage.grid.options import GridOptions
from ecgpage.grid.refinement import STIFFNESS, measure_lines, refine_map
from ecgpage.grid.smoothing import choose_stiffness
from ecgpage.grid.spacing import find_spacing
from ecgpage.grid.spectrum import GridFrequency
from ecgpage.grid.tracking import TRACKED_PERIOD_PX, Tile, Tracker, find_nearest, places_of
from ecgpage.image.decode import darkest_channel

log = logging.getLogger(__name__)


def lock_grid(
    image: Image, frequencies: Sequence[GridFrequency], *, options: GridOptions = GridOptions()
) -> GridMap:
    """The likeliest of ``grid_candidates``; EcgPageError when there is none."""
    return next(grid_candidates(image, frequencies, options=options))


def grid_candidates(
    image: Image, frequencies: Sequence[GridFrequency], *, options: GridOptions = GridOptions()
) -> Iterator[GridMap]:
    """Maps of the grids that the ``frequencies`` lock to in a uint8 (H, W, 3) RGB image, the likeliest first.

    Several, because cloth and tiles have grids, too. Raises ``EcgPageError`` when none can be followed over a good part of a
    page.
    """
    waiting: list[_Candidate] = []
    reason = "no ECG grid found; photograph the whole page, sharp and well lit, or scan it"
    found = False
    light = darkest_channel(image)
    for candidate, is_sure in _track_frequencies(light, frequencies, options):
        if candidate is not None:
            waiting.append(candidate)
        while waiting and is_sure:
            waiting.sort(key=lambda c: c.score, reverse=True)
            best = waiting.pop(0)
            waiting = [c for c in waiting if not c.repeats(best, options)]
            grids = finish_map(255 - light, best.tiles, options)
            try:
                while True:
                    with one_thread():
                        grid = next(grids, None)
                    if grid is None:
                        break
                    found = True
                    yield grid
            except EcgPageError as error:
                reason = str(error)
    if not found:
        raise NoGridError(reason)


@dataclass(frozen=True)
class _Candidate:
    """A frequency that was tracked."""

    score: float
    """Score of the frequency times the share of the picture over which it was tracked."""
    tiles: list[Tile]
    """In image pixels."""

    def repeats(self, other: "_Candidate", options: GridOptions) -> bool:
        """Whether most of it lies where the other was tracked, at whatever multiple of its period."""
        low, high = (np.quantile([(t.x, t.y) for t in other.tiles], q, axis=0) for q in (0.03, 0.97))
        inside = [bool(np.all(low <= (t.x, t.y)) and np.all((t.x, t.y) <= high)) for t in self.tiles]
        turn = [np.arctan2(t.gradient[0, 1], t.gradient[0, 0]) for t in (self.tiles[0], other.tiles[0])]
        apart = abs((turn[0] - turn[1] + np.pi / 4) % (np.pi / 2) - np.pi / 4)
        return float(np.mean(inside)) > options.same_share and apart < options.same_turn_rad


def _track_frequencies(
    light: Light, frequencies: Sequence[GridFrequency], options: GridOptions
) -> Iterator[tuple[_Candidate | None, bool]]:
    """Each frequency as far as it can be tracked, and whether what there is by then is good enough; at the end it is."""
    known: dict[float, list[Tile]] = {TRACKED_PERIOD_PX: [], TRACKED_PERIOD_PX / 4: []}
    for frequency in frequencies:
        # fine lines may be the 1-mm ones: track many of them at once
        is_coarse = frequency.period_px > options.max_fine_px
        many: tuple[_Candidate, float] | None = None
        for tracked_px in [TRACKED_PERIOD_PX] if is_coarse else [TRACKED_PERIOD_PX / 4, TRACKED_PERIOD_PX]:
            tracker = Tracker(light, frequency, tracked_px, options)
            tiles = tracker.grow(known[tracked_px])
            known[tracked_px] += tiles
            share = len(tiles) / tracker.n_tiles
            log.debug(
                "lines %.1f px apart, %.0f px wide: %.0f %% locked",
                frequency.period_px,
                tracked_px,
                100 * share,
            )
            is_enough = len(tiles) >= options.min_tiles and share >= options.min_share
            is_sure = share > (options.good_share if is_coarse else options.sure_fine_share)
            candidate = _Candidate(share * frequency.score, tiles) if is_enough else None
            if candidate is not None and not is_sure and tracked_px < TRACKED_PERIOD_PX:
                many = candidate, share
                continue
            # one by one they are counted more surely, but not where they are too fine
            if many is not None and (candidate is None or share < options.same_share * many[1]):
                yield many[0], False
            yield candidate, is_sure
            if is_sure:
                break
    yield None, True


def finish_map(dark: Light, tiles: Sequence[Tile], options: GridOptions) -> Iterator[GridMap]:
    """The refined map of 5-mm lines behind tracked tiles, before it the extended one where the grid shows beyond the tiles.

    Parts behind folds count where the first part does not grow over them by itself: its own lines tell more exactly how it
    bends. ``dark``: uint8 (H, W), 255 minus the darkest channel. Raises ``EcgPageError`` when the map is too small for a page
    or nothing can be refined.
    """
    first, behind = ([t for t in tiles if t.is_behind == side] for side in (False, True))
    if behind:
        grown = _finish_part(dark, first, options)
        with suppress(EcgPageError):
            grid = next(grown)
            if _covers(grid, behind, options):
                yield from chain([grid], grown)
                return
    yield from _finish_part(dark, tiles, options)


def _covers(grid: GridMap, tiles: Sequence[Tile], options: GridOptions) -> bool:
    """Whether most tiles lie on a map."""
    away, _ = find_nearest(places_of(tiles), grid.nodes[grid.quality > 0])
    return bool(np.mean(away < max(grid.pitch_px)) > options.covered_share)


def _finish_part(dark: Light, tiles: Sequence[Tile], options: GridOptions) -> Iterator[GridMap]:
    """``finish_map`` of tiles that are taken as they are."""
    grid, half_widths_mm = find_spacing(dark, fit_lattice(tiles, options), options)
    if min(grid.quality.shape) < options.min_lines:
        raise NoGridError("the ECG grid shows on too small a part of the picture; photograph the whole page")
    if max(dark.shape) < options.min_picture_mm * grid.px_per_mm:
        raise NoGridError(
            "the lines seen are too far apart for an ECG grid; photograph the whole page, in better light"
        )
    if not options.refine:
        yield grid
        return
    *coarse_mm, last_mm = half_widths_mm
    lines = measure_lines(dark, grid, coarse_mm[0], quick=True)
    stiffness = choose_stiffness(lines.displacement_mm, lines.weights, STIFFNESS[1:])
    grid = lines.follow(grid, stiffness, options)
    for half_width_mm in coarse_mm[1:]:
        grid = measure_lines(dark, grid, half_width_mm, quick=True).follow(grid, stiffness, options)
    attempts = [(grid, last_mm)]
    wider = extend_map(dark, grid, stiffness, options)
    if (wider.quality > 0).sum() > options.min_growth * (grid.quality > 0).sum():
        log.debug("extended from %d to %d nodes", (grid.quality > 0).sum(), (wider.quality > 0).sum())
        attempts.insert(0, (wider, options.extended_half_width_mm))
    found = False
    for tried, half_width_mm in attempts:
        refined = refine_map(tried, measure_lines(dark, tried, half_width_mm), options)
        if refined.residual_px < options.max_error_mm * refined.px_per_mm:
            found = True
            yield refined
    if not found:
        raise NoGridError(
            "the ECG grid is too faint to be followed; scan in colour, or photograph the page in better light"
        )
