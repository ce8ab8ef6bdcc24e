"""Lock a smooth map onto the printed grid: page millimetres -> image pixels, to a fraction of a pixel.

Three steps. *Grow*: from the best spot outwards, tile by tile, the phase of both grid directions is measured by lock-in
(demodulation at the local spatial frequency) and predicted for the next tile, so that whole lines are counted without
slip over folds and perspective. *Fit*: a thin-plate spline through the phases gives the nodes of the lattice. *Refine*:
on the page flattened with that map the lines themselves are centred between the nodes and the offsets smoothed by a
penalised fit, whose stiffness is chosen on held-out lines.

The map stands for the page turned so that its lines lie along x and y; which of the four turns is upright is decided by
what is printed on it (``leads``).
"""

import heapq
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import RBFInterpolator, make_interp_spline
from scipy.linalg.lapack import dpbsv

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.median import median_of
from ecgpage.core.threads import one_thread
from ecgpage.grid.plot_raster import (
    MAX_SNAP_MM,
    LinePlaces,
    find_rasters,
    moved_lines,
    without_trend,
)
from ecgpage.grid.spectrum import Carrier, Grey, darkness, local_contrast
from ecgpage.image.decode import Image, darkest_channel

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

BOX_MM: Final = 5.0
"""Distance of the strong lines of ECG paper."""
CARRIER_PX: Final = 16.0
"""Line distance at which a 5-mm grid is tracked; 1-mm grids are tracked at a quarter of it with the same window."""
MIN_LOCK: Final = 2.0
"""A tile is locked when both carriers stand this far above neighbouring frequencies."""
MIN_SEED_LOCK: Final = 1.5
"""Below this a place is not looked at with its whole surroundings."""
MAX_STEP: Final = 0.28
"""Largest phase surprise between neighbouring tiles, lines; half a line would be ambiguous."""
MIN_TILES: Final = 12
MIN_LINES: Final = 6
"""5-mm lines in each direction that a page shows at least; splines need four."""
LEAST_PICTURE_MM: Final = 110.0
"""Pictures of ECG pages show more than this along their longer side."""
MIN_SHARE: Final = 0.1
"""A page fills at least a tenth of its picture."""
SAME_SHARE: Final = 0.7
SAME_TURN: Final = 0.1
"""Radians."""
LIKE_RATIO: Final = 0.15
"""Natural log of two periods of the same lines in perspective; multiples differ by more."""
GOOD_SHARE: Final = 0.4
"""Do not try other periods once this share of the picture is locked."""
SURE_FINE_SHARE: Final = 0.8
"""The same for fine lines, whose multiples lock here and there."""
MAX_FINE_PX: Final = 25.0
MAX_SPLINE_TILES: Final = 1200
MAX_SPLINE_LINES: Final = 64
"""Of more lines in one direction the thin-plate spline is evaluated at so many places."""
MIN_GROWTH: Final = 1.12
"""From here on the part that was followed was not the whole page."""
MIN_STEP: Final = 1.05
"""Growth from which the next round of growing is tried."""
MAX_EXTENSIONS: Final = 12
EXTEND_BOXES: Final = 3
EXTEND_MM: Final = 1.2
"""How far a line may stand from where it is expected."""
MIN_CLEAR: Final = 0.5
MIN_FIFTH: Final = 8.0
ABSENT: Final = 0.2
MANY_BOXES: Final = 70
"""A4 along its longer side has 59 boxes."""
MIN_FINE: Final = 1.0
MAX_BOXES: Final = 100
"""A lattice with more lines than this is one of 1-mm lines when nothing else tells."""
MAX_JUMP: Final = 2
"""Tiles without a lock that are jumped at a time."""
MAX_ODD: Final = 0.12
"""Largest difference of a tile from what its neighbours predict, lines."""
MIN_AROUND: Final = 3
"""Neighbours that can tell."""
BESIDE: Final = (0.62, 1.41)
"""Frequencies, of the carrier's, above which it has to stand."""
STRIP_PX: Final = 256
"""Rows that are flattened at a time: what is known of them stays in the processor's cache."""
FAR_NODES: Final = 14
"""A node this far off counts for less than 1e-7 of a cubic spline."""
CELL_PX: Final = 40
"""Flat pixels from one line to the next."""
QUICK_CELL_PX: Final = 24
"""The same for maps that are not the last, where there are no other lines near by."""
BLUR_MM: Final = 0.1875
"""Profiles are smoothed so far before a line is looked for."""
EXTENDED_MM: Final = 1.0
"""How far lines are looked for around the nodes of an extended map."""
MIN_CELL_PX: Final = 12
"""Enough for six lines between two."""
STIFFNESS: Final = (0.03, 0.3, 3.0, 30.0, 300.0, 3e3, 3e4, 3e5)
RIDGE: Final = 1e-11
"""Share of the stiffness that is added to all weights: where nothing tells, the fit stays solvable."""
MAX_ERROR_MM: Final = 0.25
"""Expected error from which lines were miscounted somewhere: two maps, each from half of the places, have no page in common.
Where lines are followed rightly it stays below 0.1.
"""
LINE_BIAS_PX: Final = 0.1
"""Pixels by which a whole line may be misplaced where it runs along the picture's pixels."""
HALVES_ERROR: Final = 1.1
"""Error of a map over the difference of two maps from half of the places each."""
MIN_ON_LINE: Final = 4
"""Places on a line that tell where it stands."""


@dataclass(frozen=True)
class GridMap:
    """Smooth map page mm -> image pixels on a lattice of nodes 5 mm apart."""

    nodes: Array
    """(ny, nx, 2) image x, y of the nodes; node (j, i) lies at page mm (origin_mm + 5 * (i, j))."""
    origin_mm: tuple[float, float]
    """Page x, y of node (0, 0)."""
    quality: Array
    """(ny, nx) 1 inside the hull of the part of the page where the grid was followed, 0 where the map is extrapolated."""
    residual_px: float
    """Expected error of the map without its constant part, image pixels along one direction, root of the mean square."""
    source: str
    """What the scale rests on: "5 mm lines", "1 mm lines", or what else was taken where no lines show."""

    @property
    def is_printed(self) -> bool:
        """Whether the nodes lie on printed lines."""
        return self.source in ("5 mm lines", "1 mm lines", "drawn")

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the lattice, page mm."""
        ny, nx = self.quality.shape
        x0, y0 = self.origin_mm
        return x0, y0, x0 + BOX_MM * (nx - 1), y0 + BOX_MM * (ny - 1)

    @property
    def px_per_mm(self) -> float:
        """Median image pixels per page millimetre."""
        steps = np.linalg.norm(np.diff(self.nodes, axis=1), axis=2)
        return float(np.median(steps) / BOX_MM)

    def to_image(self, x_mm: Array, y_mm: Array) -> tuple[Array, Array]:
        """Image x, y for matching arrays of page x, y (any shape), cubic between the nodes, straight on beyond them."""
        across, down = self._weights(np.ravel(x_mm), np.ravel(y_mm))
        seen = np.empty((len(across), 2))
        for part in np.array_split(np.arange(len(across)), 1 + across.size // 1_000_000):
            seen[part] = np.einsum("ni,nic->nc", across[part], np.tensordot(down[part], self.nodes, 1))
        return seen[:, 0].reshape(np.shape(x_mm)), seen[:, 1].reshape(np.shape(x_mm))

    def strips(self, x_mm: Array, y_mm: Array) -> Iterator[tuple[slice, Grey, Grey]]:
        """Image x and y, float32 (rows, len(x_mm)), of the page raster x_mm x y_mm, some rows at a time, and which rows; both
        ascending.
        """
        across, down = self._weights(x_mm, y_mm)
        across = across.T.astype(np.float32)
        last = self.nodes.shape[1] - 1
        nearest = np.clip(np.rint((x_mm - self.origin_mm[0]) / BOX_MM).astype(int), 0, last)
        blocks = []
        for first in range(0, len(x_mm), STRIP_PX):
            columns = slice(first, min(first + STRIP_PX, len(x_mm)))
            nodes = slice(max(0, nearest[first] - FAR_NODES), nearest[columns.stop - 1] + FAR_NODES + 1)
            blocks.append((columns, nodes, np.ascontiguousarray(across[nodes, columns])))
        for first in range(0, len(y_mm), STRIP_PX):
            rows = slice(first, min(first + STRIP_PX, len(y_mm)))
            seen = np.empty((2, rows.stop - rows.start, len(x_mm)), np.float32)
            with one_thread():
                for k in (0, 1):
                    along = (down[rows] @ self.nodes[..., k]).astype(np.float32)
                    for columns, nodes, weights in blocks:
                        np.matmul(along[:, nodes], weights, out=seen[k, :, columns])
            yield rows, seen[0], seen[1]

    def _weights(self, x_mm: Array, y_mm: Array) -> tuple[Array, Array]:
        """(n, nx) and (m, ny): what each column and row of nodes adds to n places along x and m along y."""
        ny, nx = self.quality.shape
        x0, y0 = self.origin_mm
        return _cardinal_splines(x_mm, x0, nx), _cardinal_splines(y_mm, y0, ny)

    def turned(self, quarter_turns: int) -> "GridMap":
        """The same map for the page seen after ``quarter_turns`` counter-clockwise turns by 90 degrees."""
        nodes, quality = np.rot90(self.nodes, quarter_turns), np.rot90(self.quality, quarter_turns)
        return replace(self, nodes=nodes, quality=quality, origin_mm=(0.0, 0.0))


def _cardinal_splines(at_mm: Array, first_mm: float, count: int) -> Array:
    """(n, count) values at n places of the cubic splines that are 1 at one of ``count`` nodes and 0 at the others."""
    nodes = first_mm + BOX_MM * np.arange(count)
    splines = make_interp_spline(nodes, np.eye(count), k=min(3, count - 1))
    inside = np.clip(at_mm, nodes[0], nodes[-1])
    values = np.asarray(splines(inside), np.float64)
    beyond = np.flatnonzero(inside != at_mm)
    values[beyond] += (at_mm - inside)[beyond, None] * splines(inside[beyond], 1)
    return values


def flatten(image: Image, grid: GridMap, x_mm: Array, y_mm: Array, *, quick: bool = False) -> Image:
    """The one resampling: uint8 image values at the page raster x_mm x y_mm (Lanczos), (len(y), len(x)[, 3]).

    Where the image is finer than the raster it is averaged down first, so that thin lines do not alias. ``quick`` takes the
    pixels around linearly: an eighth of the time, for what is looked at on the way.
    """
    step_mm = (x_mm[-1] - x_mm[0]) / max(1, len(x_mm) - 1)
    shrink = max(1, int(grid.px_per_mm * step_mm / 1.5))
    if shrink > 1:
        image = np.asarray(
            cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
    how = cv2.INTER_LINEAR if quick else cv2.INTER_LANCZOS4
    flat = np.empty((len(y_mm), len(x_mm), *image.shape[2:]), np.uint8)
    for rows, *at in grid.strips(x_mm, y_mm):
        if shrink > 1:
            at[:] = [(a + np.float32(0.5)) / np.float32(shrink) - np.float32(0.5) for a in at]
        cv2.remap(image, at[0], at[1], how, dst=flat[rows], borderMode=cv2.BORDER_REPLICATE)
    return flat


def lock_grid(image: Image, carriers: list[Carrier], *, refine: bool = True, jump: bool = False) -> GridMap:
    """The likeliest of ``grid_candidates``; EcgPageError when there is none."""
    return next(grid_candidates(image, carriers, refine=refine, jump=jump))


def grid_candidates(
    image: Image, carriers: list[Carrier], *, refine: bool = True, jump: bool = False
) -> Iterator[GridMap]:
    """Maps of the grids that the ``carriers`` lock to, the likeliest first: cloth and tiles have grids, too.

    ``refine=False`` leaves the spline through the tiles. ``jump`` looks for the grid behind creases and strokes that hide it
    for a tile or two: more of a damaged page is followed, at some risk of miscounting where lines are hard to tell.

    Raises ``EcgPageError`` when none of them can be followed over a good part of a page.
    """
    waiting: list[_Tracked] = []
    reason = "no ECG grid found; photograph the whole page, sharp and well lit, or scan it"
    found = False
    light = darkest_channel(image)
    for tracked, sure in _tracked_carriers(light, carriers, jump):
        if tracked is not None:
            waiting.append(tracked)
        while waiting and sure:
            waiting.sort(key=lambda t: t.score, reverse=True)
            best = waiting.pop(0)
            waiting = [t for t in waiting if not t.repeats(best)]
            grids = _finished(255 - light, best.tiles, refine=refine)
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
class _Tracked:
    """A carrier that was followed."""

    score: float
    tiles: "list[_Tile]"

    def repeats(self, other: "_Tracked") -> bool:
        """Whether most of it lies where the other was followed, at whatever multiple of its period."""
        low, high = (np.quantile([(t.x, t.y) for t in other.tiles], q, axis=0) for q in (0.03, 0.97))
        inside = [bool(np.all(low <= (t.x, t.y)) and np.all((t.x, t.y) <= high)) for t in self.tiles]
        turn = [np.arctan2(t.gradient[0, 1], t.gradient[0, 0]) for t in (self.tiles[0], other.tiles[0])]
        apart = abs((turn[0] - turn[1] + np.pi / 4) % (np.pi / 2) - np.pi / 4)
        return float(np.mean(inside)) > SAME_SHARE and apart < SAME_TURN


def _tracked_carriers(
    light: Image, carriers: list[Carrier], jump: bool
) -> Iterator[tuple[_Tracked | None, bool]]:
    """Each carrier as far as it can be followed, and whether what there is by then is good enough; at the end it is."""
    known: dict[float, list[_Tile]] = {CARRIER_PX: [], CARRIER_PX / 4: []}
    for carrier in carriers:
        # fine lines may be the 1-mm ones: follow many of them at once
        for carrier_px in [CARRIER_PX] if carrier.period_px > MAX_FINE_PX else [CARRIER_PX / 4, CARRIER_PX]:
            tracker = _Tracker(light, carrier, carrier_px, jump)
            tiles = tracker.grow(known[carrier_px])
            known[carrier_px] += tiles
            share = len(tiles) / tracker.n_tiles
            log.debug(
                "lines %.1f px apart, %.0f px wide: %.0f %% locked",
                carrier.period_px,
                carrier_px,
                100 * share,
            )
            enough = len(tiles) >= MIN_TILES and share >= MIN_SHARE
            sure = share > (GOOD_SHARE if carrier.period_px > MAX_FINE_PX else SURE_FINE_SHARE)
            yield _Tracked(share * carrier.score, tiles) if enough else None, sure
            if sure:
                break
    yield None, True


def _finished(dark: Image, tiles: "list[_Tile]", *, refine: bool) -> Iterator[GridMap]:
    """The refined map of 5-mm lines behind tracked tiles, before it the one that reaches further when the grid shows beyond
    them; EcgPageError when it is too small.
    """
    grid, half_widths_mm = _boxes_from_lines(dark, _lattice_from_tiles(tiles))
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
    lines = _lines_seen(dark, grid, coarse_mm[0], quick=True)
    stiffness = _choose_stiffness(lines.away, lines.weights, STIFFNESS[1:])
    grid = lines.followed(grid, stiffness)
    for half_width_mm in coarse_mm[1:]:
        grid = _lines_seen(dark, grid, half_width_mm, quick=True).followed(grid, stiffness)
    attempts = [(grid, last_mm)]
    wider = _extended(dark, grid, stiffness)
    if (wider.quality > 0).sum() > MIN_GROWTH * (grid.quality > 0).sum():
        log.debug("extended from %d to %d nodes", (grid.quality > 0).sum(), (wider.quality > 0).sum())
        attempts.insert(0, (wider, EXTENDED_MM))
    found = False
    for tried, half_width_mm in attempts:
        refined = _refined(tried, _lines_seen(dark, tried, half_width_mm))
        if refined.residual_px < MAX_ERROR_MM * refined.px_per_mm:
            found = True
            yield refined
    if not found:
        raise EcgPageError(
            "the ECG grid is too faint to be followed; scan in colour, or photograph the page in better light"
        )


# ---------------------------------------------------------------------------------------------- grow


@dataclass(frozen=True)
class _Tile:
    """Local plane wave of both grid directions around one point of the (scaled) picture."""

    x: float
    y: float
    phase: Array
    """(2,) lines counted along both directions at x, y."""
    gradient: Array
    """(2, 2) lines per pixel: row 0 across the near-vertical lines, row 1 across the others."""
    lock: float
    """Amplitude above neighbouring frequencies, the weaker direction."""

    def predict(self, x: float, y: float) -> Array:
        return self.phase + self.gradient @ np.array([x - self.x, y - self.y])


_Step = tuple[float, int, tuple[int, int], _Tile, tuple[int, int], int]
"""Priority, order, where to, from which tile, in which direction, tiles jumped on the way."""


class _Tracker:
    """Follow a carrier over the picture by lock-in, best tiles first."""

    def __init__(self, light: Image, carrier: Carrier, carrier_px: float, jump: bool) -> None:
        """``light``: uint8 (H, W), darkest of the colour channels."""
        self.light = light
        self.carrier = carrier
        self.carrier_px = carrier_px
        self.scale = carrier_px / carrier.period_px
        # fine lines cannot be counted so far ahead
        self.max_jump = MAX_JUMP if jump and carrier_px == CARRIER_PX else 0
        sigma = CARRIER_PX
        self.radius = int(2.4 * sigma)
        self.offsets = np.arange(-self.radius, self.radius + 1, dtype=np.float32)
        self.shift = 0.8 * sigma
        self.windows = np.stack(
            [
                self._gauss(0.0, 1.1 * sigma),
                self._gauss(-self.shift, 0.9 * sigma),
                self._gauss(self.shift, 0.9 * sigma),
            ]
        )
        self.step = 1.5 * sigma
        rows, columns = (int(side * self.scale / self.step) + 1 for side in light.shape)
        self.n_tiles = rows * columns

    @cached_property
    def padded(self) -> Grey:
        """The whole picture at the scale at which lines are followed, with the windows' reach around it."""
        return np.pad(self._seen(self.light), self.radius)

    def _seen(self, light: Image) -> Grey:
        return local_contrast(darkness(light, self.scale), 0.6 * CARRIER_PX, limit=2.0)

    def _gauss(self, centre: float, sigma: float) -> Grey:
        return np.exp(-0.5 * ((self.offsets - centre) / sigma) ** 2).astype(np.float32)

    def grow(self, known: Sequence[_Tile]) -> list[_Tile]:
        """Tiles reached from the best seed that locks, with phases that count lines from it; image pixels and lines.

        No seed is tried among ``known`` tiles, of another carrier, that follow the same lines; from another seed of this one
        more of a folded page may be reached.
        """
        direction = np.array([np.cos(self.carrier.angle_rad), np.sin(self.carrier.angle_rad)])
        gradient = np.stack([direction, [-direction[1], direction[0]]]) / self.carrier_px
        best: list[_Tile] = []
        for place in self.carrier.seeds[:6]:
            if self._is_known(place, known):
                continue
            if self._lock_around(place, gradient) < MIN_SEED_LOCK:
                continue
            x, y = place * self.scale
            seed = self._measure(x, y, np.zeros(2), gradient, rounds=6)
            if seed.lock >= MIN_LOCK:
                best = max(best, self._grow_from(seed), key=len)
            if len(best) > 0.3 * self.n_tiles:
                break
        return [self._in_image(tile) for tile in best]

    def _lock_around(self, place: Array, gradient: Array) -> float:
        """The lock at a place in the image, from the part around it: the whole picture is not made for what is no grid."""
        reach = (2 * self.radius + 1) / self.scale
        low = np.clip(np.rint(place - reach), 0, None).astype(int)
        high = np.rint(place + reach).astype(int)
        part = np.pad(self._seen(self.light[low[1] : high[1], low[0] : high[0]]), self.radius)
        col, row = (np.rint((place - low) * self.scale)).astype(int)
        return self._locked(self._patch(part, col, row), np.zeros(2), gradient, rounds=6)[2]

    def _is_known(self, place: Array, known: Sequence[_Tile]) -> bool:
        """Whether a place in the image is among tiles that were followed at about the carrier's period and direction."""
        if not known:
            return False
        apart = np.abs(np.array([(tile.x, tile.y) for tile in known]) - place).max(axis=1)
        nearest = int(apart.argmin())
        (across_x, across_y), _ = known[nearest].gradient
        ratio = np.log(self.carrier.period_px * np.hypot(across_x, across_y))
        turn = (np.arctan2(across_y, across_x) - self.carrier.angle_rad + np.pi / 4) % (np.pi / 2) - np.pi / 4
        return bool(
            apart[nearest] < self.step / self.scale and abs(ratio) < LIKE_RATIO and abs(turn) < SAME_TURN
        )

    def _in_image(self, tile: _Tile) -> _Tile:
        x, y = ((v + 0.5) / self.scale - 0.5 for v in (tile.x, tile.y))
        return replace(tile, x=x, y=y, gradient=tile.gradient * self.scale)

    def _grow_from(self, seed: _Tile) -> list[_Tile]:
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        start_x, start_y = seed.x % self.step, seed.y % self.step
        first = (int((seed.x - start_x) / self.step), int((seed.y - start_y) / self.step))
        done: dict[tuple[int, int], _Tile] = {}
        queue: list[_Step] = [(-seed.lock, 0, first, seed, (0, 0), 0)]
        pushed = 0
        while queue:
            _, _, key, parent, move, jumped = heapq.heappop(queue)
            x, y = start_x + key[0] * self.step, start_y + key[1] * self.step
            if key in done or not (0 <= x < width and 0 <= y < height):
                continue
            predicted = parent.predict(round(x), round(y))
            tile = self._measure(x, y, predicted, parent.gradient, rounds=1)
            step = np.abs(tile.phase - predicted).max()
            if tile.lock < MIN_LOCK or step > MAX_STEP or self._distorted(tile):
                # creases and pen strokes hide the grid for a tile or two: look behind them
                if jumped < self.max_jump and move != (0, 0):
                    pushed += 1
                    behind = (key[0] + move[0], key[1] + move[1])
                    last = -parent.lock / 1000  # after everything that can be reached without a jump
                    heapq.heappush(queue, (last, pushed, behind, parent, move, jumped + 1))
                continue
            done[key] = tile
            for move in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                pushed += 1
                heapq.heappush(
                    queue, (-tile.lock, pushed, (key[0] + move[0], key[1] + move[1]), tile, move, 0)
                )
        return _agreeing(done)

    def _distorted(self, tile: _Tile) -> bool:
        (a, b), (c, d) = tile.gradient
        return not 0.35 < (a * d - b * c) * self.carrier_px**2 < 2.5

    def _measure(self, x: float, y: float, predicted: Array, gradient: Array, *, rounds: int) -> _Tile:
        """Lock in at the whole pixel nearest to x, y; the phase is the one nearest to ``predicted``."""
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        col, row = min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)
        patch = self._patch(self.padded, col, row)
        return _Tile(float(col), float(row), *self._locked(patch, predicted, gradient, rounds=rounds))

    def _patch(self, padded: Grey, col: int, row: int) -> Grey:
        return padded[row : row + 2 * self.radius + 1, col : col + 2 * self.radius + 1]

    def _locked(
        self, patch: Grey, predicted: Array, gradient: Array, *, rounds: int
    ) -> tuple[Array, Array, float]:
        """Phase, gradient and lock in the middle of a patch."""
        for _ in range(rounds):
            # (2, 3, 3): both directions, windows along y, windows along x
            seen = _demodulate(patch, self._waves(gradient)[:, :, None] * self.windows)
            slopes = np.angle(
                np.stack([seen[:, 0, 2] * seen[:, 0, 1].conj(), seen[:, 2, 0] * seen[:, 1, 0].conj()], axis=1)
            )
            gradient = gradient + 0.7 * slopes / (4 * np.pi * self.shift)
        turn = np.angle(seen[:, 0, 0]) / (2 * np.pi)
        phase = predicted + (turn - predicted + 0.5) % 1.0 - 0.5
        others = np.concatenate([f * gradient for f in BESIDE])
        beside = _demodulate(patch, (self._waves(others) * self.windows[0])[:, :, None])
        lock = np.abs(seen[:, 0, 0]) / (np.abs(beside.reshape(len(BESIDE), 2)).mean(axis=0) + 1e-6)
        return phase, gradient, float(lock.min())

    def _waves(self, frequencies: Array) -> NDArray[np.complex64]:
        """(n, 2, size) waves along x and along y of (n, 2) frequencies, lines per pixel."""
        return np.exp(np.complex64(-2j * np.pi) * (frequencies[..., None].astype(np.float32) * self.offsets))


def _demodulate(patch: Grey, waves: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """(n, k, k) responses of a patch to k waves along y times k along x, given as (n, 2, k, size), x first."""
    n, _, k, size = waves.shape
    along_x = np.ascontiguousarray(waves[:, 0].reshape(n * k, size).T)
    # a real matrix times real and imaginary parts side by side
    rows = (patch @ along_x.view(np.float32)).view(np.complex64).reshape(size, n, k).transpose(1, 0, 2)
    return np.asarray(waves[:, 1] @ rows, np.complex64)


def _agreeing(tiles: dict[tuple[int, int], _Tile]) -> list[_Tile]:
    """Tiles that lie where the median of their neighbours expects them; text, traces and folds can pull single ones."""
    if not tiles:
        return []
    keys = np.array(list(tiles))
    keys -= keys.min(axis=0) - 1
    shape = tuple(keys.max(axis=0) + 2)
    at, phase, gradient = np.zeros((*shape, 2)), np.full((*shape, 2), np.nan), np.zeros((*shape, 2, 2))
    i, j = keys.T
    at[i, j] = [(t.x, t.y) for t in tiles.values()]
    phase[i, j] = [t.phase for t in tiles.values()]
    gradient[i, j] = [t.gradient for t in tiles.values()]
    around = [(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1) if (di, dj) != (0, 0)]
    expected = np.stack(
        [phase[a] + (gradient[a] @ (at[i, j] - at[a])[..., None])[..., 0] for a in around]
    )  # (8, n, 2)
    enough = np.isfinite(expected[..., 0]).sum(axis=0) >= MIN_AROUND
    away = np.full(len(i), np.inf)
    away[enough] = np.abs(np.nanmedian(expected[:, enough], axis=0) - phase[i, j][enough]).max(axis=1)
    return [tile for tile, odd in zip(tiles.values(), away >= MAX_ODD, strict=True) if not odd]


# ---------------------------------------------------------------------------------------------- fit


def _lattice_from_tiles(tiles: list[_Tile]) -> GridMap:
    """Thin-plate spline through the tiles' phases, evaluated at the whole lines they enclose (one line more around)."""
    phase = np.array([t.phase for t in tiles])
    position = np.array([(t.x, t.y) for t in tiles])
    period = 1 / np.sqrt(np.abs(np.linalg.det(np.array([t.gradient for t in tiles]))))
    low, high = np.floor(phase.min(axis=0)).astype(int) - 1, np.ceil(phase.max(axis=0)).astype(int) + 1
    fitted = np.random.default_rng(0).permutation(len(tiles))[:MAX_SPLINE_TILES]
    keep = np.ones(len(tiles), bool)
    for _ in range(2):
        used = fitted[keep[fitted]]
        spline = RBFInterpolator(phase[used], position[used], smoothing=0.05, degree=1)
        error = np.linalg.norm(spline(phase) - position, axis=1)
        keep = error < 0.15 * period
    lines_x, lines_y = np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
    shape = (len(lines_y), len(lines_x))
    quality = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.rint(phase[keep] - low).astype(np.int32))  # a sheet is convex
    cv2.fillConvexPoly(quality, hull, 1)
    return GridMap(
        _on_lines(spline, lines_x, lines_y), (0.0, 0.0), quality.astype(float), float("nan"), "5 mm lines"
    )


def _on_lines(spline: RBFInterpolator, lines_x: NDArray[np.intp], lines_y: NDArray[np.intp]) -> Array:
    """(ny, nx, 2) image x, y where the lines cross; of many lines the spline takes some and a bicubic one the rest."""
    coarse = [
        np.linspace(lines[0], lines[-1], min(len(lines), MAX_SPLINE_LINES)) for lines in (lines_x, lines_y)
    ]
    at = np.stack(np.meshgrid(*coarse), axis=-1)
    nodes = spline(at.reshape(-1, 2)).reshape(at.shape)
    if at.shape[:2] == (len(lines_y), len(lines_x)):
        return np.asarray(nodes, np.float64)
    across, down = (make_interp_spline(a, np.eye(len(a)), k=3) for a in coarse)
    return np.einsum("yj,jic,xi->yxc", down(lines_y), nodes, across(lines_x), optimize=True)


def _boxes_from_lines(dark: Image, lines: GridMap) -> tuple[GridMap, tuple[float, ...]]:
    """Decide whether the tracked lines are 1 or 5 mm apart and keep every fifth in the first case.

    Every fifth line stands out from the others -> 1 mm, unless the picture would be too small for a page; finer lines
    between them -> 5 mm; else by their number.
    Returns the 5-mm lattice and the search half widths in mm for the refinement.
    """
    # no more pixels a line than the picture has, nor than a page of 5-mm lines
    most_px = min(0.75 * BOX_MM * lines.px_per_mm, CELL_PX / 2 * MANY_BOXES / max(lines.quality.shape))
    cell_px = int(np.clip(2 * round(most_px), MIN_CELL_PX, CELL_PX))
    across_x, across_y = _line_profiles(dark, lines, cell_px, quick=True)
    seen = lines.quality > 0
    strength = [_line_strength(p, seen) for p in (across_x, across_y.swapaxes(0, 1))]
    strength_x, strength_y = strength[0], strength[1]
    n_lines = max(np.any(seen, axis=0).sum(), np.any(seen, axis=1).sum())
    halves = [_absent_half(s) for s in strength]
    # tracked at half the period, so that every second line is none
    if n_lines > MANY_BOXES and halves[0] is not None and halves[1] is not None:
        rows, columns = slice(halves[1], None, 2), slice(halves[0], None, 2)
        return _boxes_from_lines(
            dark, replace(lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns])
        )
    fifth_x, stands_x = _every_fifth(strength_x)
    fifth_y, stands_y = _every_fifth(strength_y)
    fine = min(_finer_lines(across_x[seen]), _finer_lines(across_y[seen]))
    log.debug("every fifth %.1f %.1f, finer lines %.1f, %d lines", stands_x, stands_y, fine, n_lines)
    # every fifth 5-mm line may stand out, too: a picture of so few millimetres shows no page
    is_small = max(dark.shape) < LEAST_PICTURE_MM * BOX_MM * lines.px_per_mm
    if fine > MIN_FINE or is_small or not (min(stands_x, stands_y) > MIN_FIFTH or n_lines > MAX_BOXES):
        return lines, (1.5, 1.0, 0.7)
    rows, columns = slice(fifth_y, None, 5), slice(fifth_x, None, 5)
    kept = replace(
        lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns], source="1 mm lines"
    )
    return kept, (0.45, 0.45)


def _line_strength(profiles: Grey, seen: NDArray[np.bool_]) -> Array:
    """(n_lines,) mean height of each line (second axis of profiles) over where the grid was seen, NaN where too short."""
    middle, half = profiles.shape[-1] // 2, max(1, profiles.shape[-1] // 20)
    height = profiles[..., middle - half : middle + half].mean(axis=-1)
    mask = seen if seen.shape == height.shape else seen.T
    count = mask.sum(axis=0)
    return np.where(count > 5, (height * mask).sum(axis=0) / np.maximum(count, 1), np.nan)


def _absent_half(strength: Array) -> int | None:
    """Phase 0 or 1 of the lines that are there when every second one is not; None when all are."""
    middle = [
        float(np.nanmedian(strength[k::2])) if np.isfinite(strength[k::2]).any() else 0.0 for k in (0, 1)
    ]
    strong = int(middle[1] > middle[0])
    return strong if middle[1 - strong] < ABSENT * middle[strong] else None


def _every_fifth(strength: Array) -> tuple[int, float]:
    """Phase 0..4 of the lines that stand out and by how many standard errors of the others."""
    detail = strength - _running_median(strength)
    phases = [detail[k::5][np.isfinite(detail[k::5])] for k in range(5)]
    if min(len(p) for p in phases) < 4:
        return 0, 0.0
    middle = np.array([np.median(p) for p in phases])
    spread = np.median(
        [1.48 * np.median(np.abs(p - m)) / np.sqrt(len(p)) for p, m in zip(phases, middle, strict=True)]
    )
    best = int(middle.argmax())
    return best, float((middle[best] - np.delete(middle, best).max()) / (spread + 1e-3))


def _running_median(values: Array, width: int = 11) -> Array:
    padded = np.pad(values, width // 2, constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN windows stay NaN
        return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def _finer_lines(profiles: Grey) -> float:
    """How far the fifth harmonic of the mean profile stands above the fourth and sixth, natural log."""
    power = np.abs(np.fft.rfft(profiles.mean(axis=0)))
    return float(np.log((power[5] + 1e-3) / (0.5 * (power[4] + power[6]) + 1e-3)))


def _line_profiles(
    dark: Image, grid: GridMap, cell_px: int | None = None, *, quick: bool = False
) -> tuple[Grey, Grey]:
    """(ny, nx, cell_px) contrast across the near-vertical and the near-horizontal line of each node, line in the middle.

    Each is the median along one line distance with the crossing line left out, so that traces and text do not count.
    """
    if cell_px is None:
        cell_px = QUICK_CELL_PX if quick and grid.source != "1 mm lines" else CELL_PX
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    px_per_mm = cell_px / BOX_MM
    x_mm = x0 - BOX_MM / 2 + (np.arange(nx * cell_px) + 0.5) / px_per_mm
    y_mm = y0 - BOX_MM / 2 + (np.arange(ny * cell_px) + 0.5) / px_per_mm
    flat = flatten(dark, grid, x_mm, y_mm, quick=quick).astype(np.float32)
    contrast = local_contrast(flat, 2.0 * px_per_mm, limit=3.0)
    cells = contrast.reshape(ny, cell_px, nx, cell_px)
    beside = np.abs(np.arange(cell_px) - (cell_px - 1) / 2) > 0.9 * px_per_mm
    beside[::2] = False  # half of them tell enough
    places = np.flatnonzero(beside)
    across_x = median_of([cells[:, k] for k in places])
    across_y = median_of([cells[..., k] for k in places]).swapaxes(1, 2)
    return across_x, across_y


@dataclass(frozen=True)
class _Lines:
    """Where lines are seen around the nodes of a lattice: their displacement from a plane, so that a flat page stays flat."""

    plane: Array
    """(3, 3) homography from page mm to image px."""
    page: Array
    """(ny, nx, 2) page mm of the nodes."""
    away: list[Array]
    """mm, of the near-vertical and of the other lines: one row a place along the lines, one column a line, both times."""
    weights: list[Array]
    """0 to 1."""

    def followed(self, grid: GridMap, stiffness: float) -> GridMap:
        """The map with its nodes on smooth surfaces through the lines; each line may stand off by its own constant, because
        printers and plotting programs snap lines to pixels.
        """
        fits = [_smooth(a, w, stiffness, MAX_SNAP_MM) for a, w in zip(self.away, self.weights, strict=True)]
        return replace(grid, nodes=self.moved(fits))

    def moved(self, fits: "list[_Fit]") -> Array:
        """(ny, nx, 2) nodes in the image on fitted surfaces."""
        return _project(self.plane, self.page + np.stack([fits[0].surface, fits[1].surface.T], axis=-1))


def _lines_seen(dark: Image, grid: GridMap, half_width_mm: float, *, quick: bool = False) -> _Lines:
    """The lines on the page that the present map flattens, looked for ``half_width_mm`` around their nodes."""
    offsets = [_line_offsets(p, half_width_mm) for p in _line_profiles(dark, grid, quick=quick)]
    return _displaced(grid, offsets)


def _displaced(grid: GridMap, offsets: list[tuple[Array, Array]]) -> _Lines:
    """Offsets of the lines from the nodes of a map, in mm, and weights, as displacements from one plane."""
    x0, y0, _, _ = grid.extent_mm
    ny, nx = grid.quality.shape
    page = np.stack(np.meshgrid(x0 + BOX_MM * np.arange(nx), y0 + BOX_MM * np.arange(ny)), axis=-1)
    plane = _homography(page, grid)
    image_to_page = np.asarray(np.linalg.inv(plane), np.float64)
    (offset_x, weight_x), (offset_y, weight_y) = offsets
    seen = grid.quality > 0
    seen_x = np.stack(grid.to_image(page[..., 0] + offset_x, page[..., 1]), axis=-1)
    seen_y = np.stack(grid.to_image(page[..., 0], page[..., 1] + offset_y), axis=-1)
    away = [
        (_project(image_to_page, seen_x) - page)[..., 0],
        (_project(image_to_page, seen_y) - page)[..., 1].T,
    ]
    return _Lines(plane, page, away, [weight_x * seen, (weight_y * seen).T])


def _refined(grid: GridMap, seen: _Lines) -> GridMap:
    """Fit the nodes to the lines for the last time, and tell the error to be expected.

    A plotting program's raster is looked for in the constants by which whole lines stand off; where it shows, they are known,
    and the lines are followed as they were before the snapping.
    """
    away, weights = seen.away, seen.weights
    stiffness = _choose_stiffness(away, weights, STIFFNESS[1:])
    fits = [_smooth(a, w, stiffness, MAX_SNAP_MM) for a, w in zip(away, weights, strict=True)]
    places = [_line_places(a, w, fit.surface) for a, w, fit in zip(away, weights, fits, strict=True)]
    found = find_rasters(places)
    if any(raster is not None for raster in found):
        away = [
            a if raster is None else a - moved_lines(raster, lines)
            for a, raster, lines in zip(away, found, places, strict=True)
        ]
        stiffness = _choose_stiffness(away, weights, [s for s in STIFFNESS if s <= stiffness])
        fits = [
            _smooth(a, w, stiffness, MAX_SNAP_MM if raster is None else LINE_BIAS_PX / grid.px_per_mm)
            for a, w, raster in zip(away, weights, found, strict=True)
        ]
    errors = [_expected_error(a, w, stiffness) for a, w in zip(away, weights, strict=True)]
    residual = float(np.hypot(errors[0], errors[1]) / np.sqrt(2) * grid.px_per_mm)
    log.debug("stiffness %g, lines off by %.3f and %.3f mm", stiffness, fits[0].rms, fits[1].rms)
    return replace(grid, nodes=seen.moved(fits), residual_px=residual)


def _extended(dark: Image, grid: GridMap, stiffness: float) -> GridMap:
    """The map with what of the grid shows beyond the part that was followed, by growing it three boxes at a time.

    Beyond its edge the map goes on as the plane through it, bent as at the edge. What is taken in must show lines of both
    directions close to where they are expected, in most of the nodes around.
    """
    for _ in range(MAX_EXTENSIONS):
        padded = _padded(grid, EXTEND_BOXES)
        seen = padded.quality > 0
        inside = _inside(padded, (dark.shape[0], dark.shape[1]))
        offsets = [_line_offsets(p, EXTEND_MM) for p in _line_profiles(dark, padded, quick=True)]
        (offset_x, weight_x), (offset_y, weight_y) = offsets
        clear = (np.minimum(weight_x, weight_y) > 0.1) & (np.hypot(offset_x, offset_y) < EXTEND_MM)
        share = cv2.blur((clear & inside).astype(np.float32), (5, 5)) / np.maximum(
            cv2.blur(inside.astype(np.float32), (5, 5)), 1e-3
        )
        near = cv2.dilate(seen.astype(np.uint8), np.ones((2 * EXTEND_BOXES + 1,) * 2, np.uint8)) > 0
        grown = seen | ((share > MIN_CLEAR) & inside & near)
        if grown.sum() < MIN_STEP * seen.sum():
            break
        rows, columns = (np.flatnonzero(grown.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        origin = (
            padded.origin_mm[0] + BOX_MM * float(columns[0]),
            padded.origin_mm[1] + BOX_MM * float(rows[0]),
        )
        wider = replace(
            padded, nodes=padded.nodes[box], quality=grown[box].astype(np.float64), origin_mm=origin
        )
        grid = _displaced(wider, [(o[box], w[box]) for o, w in offsets]).followed(wider, stiffness)
    return grid


def _padded(grid: GridMap, boxes: int) -> GridMap:
    """The map with ``boxes`` more nodes on each side: the plane through it and the displacement from it at the edge."""
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    page = np.stack(np.meshgrid(x0 + BOX_MM * np.arange(nx), y0 + BOX_MM * np.arange(ny)), axis=-1)
    plane = _homography(page, grid)
    bent = np.pad(grid.nodes - _project(plane, page), ((boxes, boxes), (boxes, boxes), (0, 0)), mode="edge")
    origin = (x0 - BOX_MM * boxes, y0 - BOX_MM * boxes)
    wide = np.stack(
        np.meshgrid(
            origin[0] + BOX_MM * np.arange(nx + 2 * boxes), origin[1] + BOX_MM * np.arange(ny + 2 * boxes)
        ),
        axis=-1,
    )
    return replace(
        grid, nodes=_project(plane, wide) + bent, quality=np.pad(grid.quality, boxes), origin_mm=origin
    )


def _inside(grid: GridMap, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(ny, nx) nodes that lie in a picture of (rows, columns)."""
    x, y = grid.nodes[..., 0], grid.nodes[..., 1]
    return np.asarray((x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1), np.bool_)


def _line_places(away: Array, weights: Array, surface: Array) -> LinePlaces:
    """Mean distances of the lines from the surface, as a raster is looked for in them."""
    clear = weights > 0.2
    enough = clear.sum(axis=0) > MIN_ON_LINE
    detail = without_trend(enough)
    rows = np.where(clear, away - surface, 0.0) @ detail.T
    seen = np.zeros(away.shape[1])
    if enough.any():
        seen[enough] = np.nanmedian(np.where(clear, rows, np.nan)[:, enough], axis=0)
    return LinePlaces(seen, enough, detail, BOX_MM)


def _homography(page: Array, grid: GridMap) -> Array:
    """(3, 3) plane that carries page mm to image px best over the part that was seen."""
    seen = grid.quality > 0
    plane, _ = cv2.findHomography(page[seen], grid.nodes[seen], cv2.LMEDS)
    return np.asarray(plane, float)


def _project(plane: Array, points: Array) -> Array:
    """(..., 2) points under a (3, 3) homography, column vectors."""
    moved = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ plane.T
    return moved[..., :2] / moved[..., 2:]


def _line_offsets(profiles: Grey, half_width_mm: float) -> tuple[Array, Array]:
    """Where the dark line stands in each (ny, nx, cell) profile: offset from the middle in mm, and a weight in [0, 1]."""
    cell = profiles.shape[-1]
    px_per_mm = cell / BOX_MM
    at_mm = (np.arange(cell) - (cell - 1) / 2) / px_per_mm
    inside = np.abs(at_mm) <= half_width_mm
    smooth = cv2.GaussianBlur(profiles.reshape(-1, cell), (0, 0), sigmaX=BLUR_MM * px_per_mm, sigmaY=1e-3)
    smooth = smooth.reshape(profiles.shape)
    peak = np.where(inside, smooth, -np.inf).argmax(axis=-1)
    near = np.abs(np.arange(cell) - peak[..., None]) <= 0.4 * px_per_mm
    floor = np.median(smooth, axis=-1, keepdims=True)
    mass = np.clip(np.where(near, smooth - floor, 0), 0, None)
    total = mass.sum(axis=-1)
    offset = (mass * at_mm).sum(axis=-1) / (total + 1e-6)
    spread = np.median(np.abs(smooth - floor), axis=-1)
    height = np.take_along_axis(smooth, peak[..., None], -1)[..., 0] - floor[..., 0]
    weight = np.clip((height / (spread + 0.05) - 1.5) / 3.0, 0, 1)
    return offset, weight


@dataclass(frozen=True)
class _Fit:
    """A smooth surface through the places of lines."""

    surface: Array
    rms: float
    """Weighted root mean square of what it leaves."""


def _smooth(values: Array, weights: Array, stiffness: float, bias_mm: float) -> _Fit:
    """Robust penalised fit of a smooth surface plus one constant for each line (column) to weighted values.

    The constants are left out of the surface up to ``bias_mm``, and belong to it from twice as much on: what moves lines
    further is a scanner whose feed stutters or a crease, which moved the traces as well.
    """
    if (weights > 0).sum() < 12:
        return _Fit(np.zeros_like(values), float("nan"))
    snap = np.zeros(values.shape[1])
    for _ in range(2):
        surface, robust = _robust_fit(values - snap, weights, stiffness, rounds=3)
        snap = (robust * (values - surface)).sum(axis=0) / (robust.sum(axis=0) + 3.0)
    rms = np.sqrt((robust * (values - snap - surface) ** 2).sum() / (robust.sum() + 1e-9))
    moved = snap * np.clip(np.abs(snap) / bias_mm - 1, 0, 1)
    return _Fit(surface + moved, float(rms))


def _expected_error(values: Array, weights: Array, stiffness: float) -> float:
    """Root mean square of a surface's error, mm, from two surfaces through every other place on each line.

    The factor was measured on drawn pages of ten kinds: pages of fold 8 gave it.
    """
    halves = []
    for k in (0, 1):
        kept = np.zeros(values.shape, bool)
        kept[k::2] = True
        halves.append(_robust_fit(values, weights * kept, stiffness, rounds=2)[0])
    apart = (halves[0] - halves[1])[weights > 0]
    return HALVES_ERROR * float(np.sqrt((apart**2).mean())) if apart.size else float("nan")


def _choose_stiffness(values: list[Array], weights: list[Array], choice: Sequence[float]) -> float:
    """The stiffness that predicts best every third line (column), held out as a whole; downhill from the middle one."""

    @lru_cache
    def error(k: int) -> float:
        total = 0.0
        for value, weight in zip(values, weights, strict=True):
            held = np.zeros(value.shape, bool)
            held[:, ::3] = True
            surface, _ = _robust_fit(value, weight * ~held, choice[k], rounds=2)
            missed = np.minimum(np.abs(value - surface)[held], 0.5)
            total += float((weight[held] * missed).sum() / (weight[held].sum() + 1e-9))
        return total

    at = len(choice) // 2
    while True:
        best = min((k for k in (at, at - 1, at + 1) if 0 <= k < len(choice)), key=error)
        if best == at:
            return choice[at]
        at = best


def _robust_fit(values: Array, weights: Array, stiffness: float, *, rounds: int) -> tuple[Array, Array]:
    """Surface (n, m) through weighted values, penalised for bending, and the weights without the odd ones."""
    bending = _bending(values.shape)
    system = np.empty_like(bending)
    robust, surface = weights, np.zeros_like(values)
    for _ in range(rounds):
        np.multiply(bending, stiffness, out=system)
        system[0] += _along(robust) + (RIDGE * stiffness + 1e-9)
        _, solved, info = dpbsv(system, _along(robust * values), lower=1, overwrite_ab=1)
        if info:
            raise EcgPageError(
                "the ECG grid shows on too small a part of the picture; photograph the whole page"
            )
        surface = _along_back(solved, values.shape)
        error = np.abs(values - surface)
        scale = 1.48 * np.median(error[weights > 0]) + 0.01
        robust = weights * np.clip(1 - (error / (4 * scale)) ** 2, 0, None) ** 2
    return surface, robust


def _along(values: Array) -> Array:
    """A lattice raveled along its shorter side: the band of the fit's matrix is then narrowest."""
    return np.ravel(values, order="F" if values.shape[0] < values.shape[1] else "C")


def _along_back(raveled: Array, shape: tuple[int, ...]) -> Array:
    return raveled.reshape(shape, order="F" if shape[0] < shape[1] else "C")


@lru_cache(maxsize=8)
def _bending(shape: tuple[int, ...]) -> Array:
    """Sum of squared second differences (both directions and mixed) as a symmetric matrix on the lattice as ``_along`` ravels
    it: its lower bands (2 * shorter side + 1, lattice size), the diagonal first.
    """
    n, m = max(shape), min(shape)

    def difference(size: int, order: int) -> sparse.csr_array:
        d = sparse.eye_array(size, format="csr")
        for _ in range(order):
            d = d[1:] - d[:-1]
        return d

    along = sparse.kron(sparse.eye_array(n), difference(m, 2), format="csr")
    across = sparse.kron(difference(n, 2), sparse.eye_array(m), format="csr")
    mixed = sparse.kron(difference(n, 1), difference(m, 1), format="csr")
    matrix = (along.T @ along + across.T @ across + 2 * mixed.T @ mixed).tocoo()
    lower = matrix.row >= matrix.col
    bands = np.zeros((2 * m + 1, n * m), order="F")
    bands[matrix.row[lower] - matrix.col[lower], matrix.col[lower]] = matrix.data[lower]
    return bands
