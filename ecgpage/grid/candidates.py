"""Maps of the grids that a picture may show, the likeliest first: frequencies are followed, fitted, refined, extended.

The map stands for the page turned so that its lines lie along x and y; which of the four turns is upright is decided by
what is printed on it (``ecgpage.layout``).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.threads import one_thread
from ecgpage.core.types import Image
from ecgpage.grid.extension import extend_map
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.lattice import fit_lattice
from ecgpage.grid.refinement import STIFFNESS, measure_lines, refine_map
from ecgpage.grid.smoothing import choose_stiffness
from ecgpage.grid.spacing import LEAST_PICTURE_MM, find_spacing
from ecgpage.grid.spectrum import GridFrequency
from ecgpage.grid.tracking import SAME_TURN, TRACKED_PERIOD_PX, Tile, Tracker
from ecgpage.image.decode import darkest_channel

log = logging.getLogger(__name__)

MIN_TILES: Final = 12
MIN_LINES: Final = 6
"""5-mm lines in each direction that a page shows at least; splines need four."""
MIN_SHARE: Final = 0.1
"""A page fills at least a tenth of its picture."""
SAME_SHARE: Final = 0.7
GOOD_SHARE: Final = 0.4
"""Do not try other periods once this share of the picture is locked."""
SURE_FINE_SHARE: Final = 0.8
"""The same for fine lines, whose multiples lock here and there."""
MAX_FINE_PX: Final = 25.0
MIN_GROWTH: Final = 1.12
"""From here on the part that was followed was not the whole page."""
EXTENDED_MM: Final = 1.0
"""How far lines are looked for around the nodes of an extended map."""
MAX_ERROR_MM: Final = 0.25
"""Expected error from which lines were miscounted somewhere: two maps, each from half of the places, have no page in common.
Where lines are followed rightly it stays below 0.1.
"""


def lock_grid(
    image: Image, frequencies: list[GridFrequency], *, refine: bool = True, jump: bool = False
) -> GridMap:
    """The likeliest of ``grid_candidates``; EcgPageError when there is none."""
    return next(grid_candidates(image, frequencies, refine=refine, jump=jump))


def grid_candidates(
    image: Image, frequencies: list[GridFrequency], *, refine: bool = True, jump: bool = False
) -> Iterator[GridMap]:
    """Maps of the grids that the ``frequencies`` lock to, the likeliest first: cloth and tiles have grids, too.

    ``refine=False`` leaves the spline through the tiles. ``jump`` looks for the grid behind creases and strokes that hide it
    for a tile or two: more of a damaged page is followed, at some risk of miscounting where lines are hard to tell.

    Raises ``EcgPageError`` when none of them can be followed over a good part of a page.
    """
    waiting: list[_TrackedFrequency] = []
    reason = "no ECG grid found; photograph the whole page, sharp and well lit, or scan it"
    found = False
    light = darkest_channel(image)
    for tracked, sure in _track_frequencies(light, frequencies, jump):
        if tracked is not None:
            waiting.append(tracked)
        while waiting and sure:
            waiting.sort(key=lambda t: t.score, reverse=True)
            best = waiting.pop(0)
            waiting = [t for t in waiting if not t.repeats(best)]
            grids = finish_map(255 - light, best.tiles, refine=refine)
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
        raise EcgPageError(reason)


@dataclass(frozen=True)
class _TrackedFrequency:
    """A frequency that was followed."""

    score: float
    tiles: "list[Tile]"

    def repeats(self, other: "_TrackedFrequency") -> bool:
        """Whether most of it lies where the other was followed, at whatever multiple of its period."""
        low, high = (np.quantile([(t.x, t.y) for t in other.tiles], q, axis=0) for q in (0.03, 0.97))
        inside = [bool(np.all(low <= (t.x, t.y)) and np.all((t.x, t.y) <= high)) for t in self.tiles]
        turn = [np.arctan2(t.gradient[0, 1], t.gradient[0, 0]) for t in (self.tiles[0], other.tiles[0])]
        apart = abs((turn[0] - turn[1] + np.pi / 4) % (np.pi / 2) - np.pi / 4)
        return float(np.mean(inside)) > SAME_SHARE and apart < SAME_TURN


def _track_frequencies(
    light: Image, frequencies: list[GridFrequency], jump: bool
) -> Iterator[tuple[_TrackedFrequency | None, bool]]:
    """Each frequency as far as it can be followed, and whether what there is by then is good enough; at the end it is."""
    known: dict[float, list[Tile]] = {TRACKED_PERIOD_PX: [], TRACKED_PERIOD_PX / 4: []}
    for frequency in frequencies:
        # fine lines may be the 1-mm ones: follow many of them at once
        is_coarse = frequency.period_px > MAX_FINE_PX
        for tracked_px in [TRACKED_PERIOD_PX] if is_coarse else [TRACKED_PERIOD_PX / 4, TRACKED_PERIOD_PX]:
            tracker = Tracker(light, frequency, tracked_px, jump)
            tiles = tracker.grow(known[tracked_px])
            known[tracked_px] += tiles
            share = len(tiles) / tracker.n_tiles
            log.debug(
                "lines %.1f px apart, %.0f px wide: %.0f %% locked",
                frequency.period_px,
                tracked_px,
                100 * share,
            )
            enough = len(tiles) >= MIN_TILES and share >= MIN_SHARE
            sure = share > (GOOD_SHARE if is_coarse else SURE_FINE_SHARE)
            yield _TrackedFrequency(share * frequency.score, tiles) if enough else None, sure
            if sure:
                break
    yield None, True


def finish_map(dark: Image, tiles: "list[Tile]", *, refine: bool) -> Iterator[GridMap]:
    """The refined map of 5-mm lines behind tracked tiles, before it the one that reaches further when the grid shows beyond
    them; EcgPageError when it is too small.
    """
    grid, half_widths_mm = find_spacing(dark, fit_lattice(tiles))
    if min(grid.quality.shape) < MIN_LINES:
        raise EcgPageError("the ECG grid shows on too small a part of the picture; photograph the whole page")
    if max(dark.shape) < LEAST_PICTURE_MM * grid.px_per_mm:
        raise EcgPageError(
            "the lines seen are too far apart for an ECG grid; photograph the whole page, in better light"
        )
    if not refine:
        yield grid
        return
    *coarse_mm, last_mm = half_widths_mm
    lines = measure_lines(dark, grid, coarse_mm[0], quick=True)
    stiffness = choose_stiffness(lines.away, lines.weights, STIFFNESS[1:])
    grid = lines.follow(grid, stiffness)
    for half_width_mm in coarse_mm[1:]:
        grid = measure_lines(dark, grid, half_width_mm, quick=True).follow(grid, stiffness)
    attempts = [(grid, last_mm)]
    wider = extend_map(dark, grid, stiffness)
    if (wider.quality > 0).sum() > MIN_GROWTH * (grid.quality > 0).sum():
        log.debug("extended from %d to %d nodes", (grid.quality > 0).sum(), (wider.quality > 0).sum())
        attempts.insert(0, (wider, EXTENDED_MM))
    found = False
    for tried, half_width_mm in attempts:
        refined = refine_map(tried, measure_lines(dark, tried, half_width_mm))
        if refined.residual_px < MAX_ERROR_MM * refined.px_per_mm:
            found = True
            yield refined
    if not found:
        raise EcgPageError(
            "the ECG grid is too faint to be followed; scan in colour, or photograph the page in better light"
        )
