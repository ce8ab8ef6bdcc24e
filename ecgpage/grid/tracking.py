"""Track both directions of a grid over a picture by lock-in, tile by tile.

From the best spot outwards the phase of both directions is measured (demodulation at the local spatial frequency) and
predicted for the next tile, so that whole lines are counted without slip over folds and perspective.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ecgpage.core.types import Array, Grey, Light
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import GridFrequency, measure_darkness, normalise_contrast

TRACKED_PERIOD_PX: Final = 16.0
"""Line distance, scaled pixels, at which a 5-mm grid is tracked; 1-mm grids are tracked at a quarter of it, in one window."""
WINDOW: Final = 1.1
"""Standard deviation, of TRACKED_PERIOD_PX, of the window in which the phase is measured."""
SIDE_WINDOW: Final = 0.9
"""Standard deviation, of TRACKED_PERIOD_PX, of the windows on both sides, whose phases tell the gradient."""
SIDE_SHIFT: Final = 0.8
"""Distance, of TRACKED_PERIOD_PX, of the side windows from the middle."""
REACH: Final = 2.4
"""Half side, of TRACKED_PERIOD_PX, of the patch that the windows see."""
TILE_STEP: Final = 1.5
"""Distance, of TRACKED_PERIOD_PX, from tile to tile."""
SEED_ROUNDS: Final = 6
"""Corrections of the gradient at a seed, which starts from the steps of the spectrum; a tile has its neighbour's."""
GRADIENT_GAIN: Final = 0.7
"""Share of the measured error by which the gradient is corrected in a round."""
TOGETHER: Final = 24
"""Number of tiles that come next as it looks, which are measured together with one: their order stays."""
BEHIND: Final = (1, 3)
"""Tiles beyond the edge of a region between which a part behind a fold is looked for."""
FOLDED: Final = ((0.0, 1.0), (-0.15, 1.0), (0.15, 1.0), (0.0, 0.87), (0.0, 1.15))
"""Turns, radians, and stretches of the lines from which their run behind a fold is sought."""
LEAST_PAIRS: Final = 4
"""Pairs of tiles on both sides of a fold, at least, that tell how the count goes on."""
SURE_COUNT: Final = 0.3
"""Lines (root mean square) by which pairs may miss a whole number; a judgement, as is the next."""
OTHER_COUNT: Final = 1.3
"""How many times as much they must miss any other."""
BESIDE: Final = (0.62, 1.41)
"""Neighbouring frequencies, of a grid's own, whose amplitude the grid's is compared with."""


@dataclass(frozen=True)
class Tile:
    """Plane wave of both grid directions around one point of a picture."""

    x: float
    """Pixels."""
    y: float
    """Pixels."""
    phase: Array
    """(2,) lines counted along both directions at x, y."""
    gradient: Array
    """(2, 2) lines per pixel: row 0 across the near-vertical lines, row 1 across the others."""
    lock: float
    """Amplitude over that of neighbouring frequencies, the weaker direction."""
    is_behind: bool = False
    """Whether it lies behind a fold of the part that was followed first."""


_Step = tuple[float, int, tuple[int, int], Tile, tuple[int, int], int]
"""Priority, order, column and row of the next tile, tile before it, direction, tiles bridged on the way."""


class Tracker:
    """Tracks one grid frequency over a picture by lock-in, best tiles first."""

    def __init__(
        self,
        light: Light,
        frequency: GridFrequency,
        tracked_px: float = TRACKED_PERIOD_PX,
        options: GridOptions = GridOptions(),
    ) -> None:
        """``light``: uint8 (H, W), darkest of the colour channels; ``tracked_px``: line distance it is scaled to."""
        self.light = light
        self.frequency = frequency
        self.tracked_px = tracked_px
        self.options = options
        self.scale = tracked_px / frequency.period_px
        # fine lines cannot be counted so far ahead
        can_bridge = options.bridge_gaps and tracked_px == TRACKED_PERIOD_PX
        self.max_gap_tiles = options.max_gap_tiles if can_bridge else 0
        self.radius = int(REACH * TRACKED_PERIOD_PX)
        self.offsets = np.arange(-self.radius, self.radius + 1, dtype=np.float32)
        self.shift = SIDE_SHIFT * TRACKED_PERIOD_PX
        self.windows = np.stack(
            [
                self._make_window(0.0, WINDOW * TRACKED_PERIOD_PX),
                self._make_window(-self.shift, SIDE_WINDOW * TRACKED_PERIOD_PX),
                self._make_window(self.shift, SIDE_WINDOW * TRACKED_PERIOD_PX),
            ]
        )
        self.step = TILE_STEP * TRACKED_PERIOD_PX
        rows, columns = (int(side * self.scale / self.step) + 1 for side in light.shape)
        self.n_tiles = rows * columns

    @cached_property
    def padded(self) -> Grey:
        """(h, w) contrast of the whole picture at the scale at which it is tracked, padded by the windows' reach."""
        return np.pad(self._normalise(self.light), self.radius)

    def _normalise(self, light: Light) -> Grey:
        return normalise_contrast(measure_darkness(light, self.scale), 0.6 * TRACKED_PERIOD_PX, limit=2.0)

    def _make_window(self, centre: float, sigma: float) -> Grey:
        return np.exp(-0.5 * ((self.offsets - centre) / sigma) ** 2).astype(np.float32)

    def grow(self, known: Sequence[Tile]) -> list[Tile]:
        """Tiles reached from the best seed that locks, image pixels, with phases that count lines from it.

        No seed is tried among ``known`` tiles of another frequency that follow these lines; another seed of this one may
        reach more of a folded page.
        """
        direction = np.array([np.cos(self.frequency.angle_rad), np.sin(self.frequency.angle_rad)])
        gradient = np.stack([direction, [-direction[1], direction[0]]]) / self.tracked_px
        best: list[Tile] = []
        for place in self.frequency.seeds[: self.options.max_seeds]:
            if self._is_known(place, known):
                continue
            if self._measure_lock_around(place, gradient) < self.options.min_seed_lock:
                continue
            x, y = place * self.scale
            (seed,) = self._measure(np.array([[x, y]]), np.zeros((1, 2)), gradient[None], rounds=SEED_ROUNDS)
            if seed.lock >= self.options.min_lock:
                best = max(best, self._grow_from(seed), key=len)
            if len(best) > self.options.enough_share * self.n_tiles:
                break
        return [self._to_image_px(tile) for tile in self._cross_folds(best)]

    def _cross_folds(self, tiles: list[Tile]) -> list[Tile]:
        """Tiles with those of further parts of a folded sheet, in scaled pixels; fine lines cannot be counted over a fold."""
        if len(tiles) < self.options.min_tiles or self.tracked_px != TRACKED_PERIOD_PX:
            return tiles
        for _ in range(self.options.max_folds):
            further = self._grow_behind(tiles)
            if not further:
                break
            tiles = tiles + further
        return tiles

    def _grow_behind(self, tiles: list[Tile]) -> list[Tile]:
        """Tiles of one more part of the sheet, with the count of the lines going on; none where there is no such part."""
        seeds = self._list_seeds_behind(tiles)
        for _ in range(self.options.max_fold_seeds):
            if not seeds:
                break
            part = self._grow_from(seeds[0])
            if part:
                away, _ = find_nearest(places_of(part), places_of(tiles))
                part = [tile for tile, far in zip(part, away, strict=True) if far > self.step]
            counted = count_across(tiles, part, self.options.fold_reach_tiles * self.step)
            if len(part) >= self.options.min_tiles and counted is not None:
                return [replace(tile, phase=tile.phase + counted, is_behind=True) for tile in part]
            away, _ = find_nearest(places_of(seeds), places_of([seeds[0], *part]))
            seeds = [seed for seed, far in zip(seeds, away, strict=True) if far > 2 * self.step]
        return []

    def _list_seeds_behind(self, tiles: list[Tile]) -> list[Tile]:
        """Locked tiles a little beyond the edge of a region, whose lines may run and lie apart otherwise; the best first."""
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        at = places_of(tiles)
        taken = np.zeros((int(height / self.step) + 1, int(width / self.step) + 1), np.uint8)
        cv2.fillConvexPoly(taken, cv2.convexHull(np.rint(at / self.step).astype(np.int32)), 1)
        near, far = (cv2.dilate(taken, np.ones((2 * k + 1, 2 * k + 1), np.uint8)) for k in BEHIND)
        places = np.asarray(np.argwhere(far > near)[:, ::-1] * self.step, np.float64)
        if not len(places):
            return []
        _, edge = find_nearest(places, at)
        usual = np.array([tiles[k].gradient for k in edge])
        found: list[Tile] = []
        for turn, stretch in FOLDED:
            turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * stretch
            found += self._measure(places, np.zeros((len(places), 2)), usual @ turned, rounds=SEED_ROUNDS)
        clear = [t for t in found if t.lock >= self.options.min_lock and not self._is_distorted(t)]
        return sorted(clear, key=lambda tile: -tile.lock)

    def _measure_lock_around(self, place: Array, gradient: Array) -> float:
        """Lock at a place in the image, from the part around it: the whole picture is not scaled for what is no grid."""
        reach = (2 * self.radius + 1) / self.scale
        low = np.clip(np.rint(place - reach), 0, None).astype(int)
        high = np.rint(place + reach).astype(int)
        part = np.pad(self._normalise(self.light[low[1] : high[1], low[0] : high[0]]), self.radius)
        col, row = (np.rint((place - low) * self.scale)).astype(int)
        patch = part[row : row + 2 * self.radius + 1, col : col + 2 * self.radius + 1]
        return float(self._lock_in(patch[None], np.zeros((1, 2)), gradient[None], rounds=SEED_ROUNDS)[2][0])

    def _is_known(self, place: Array, known: Sequence[Tile]) -> bool:
        """Whether a place in the image is among tiles that were tracked at about this period and direction."""
        if not known:
            return False
        apart = np.abs(np.array([(tile.x, tile.y) for tile in known]) - place).max(axis=1)
        nearest = int(apart.argmin())
        (across_x, across_y), _ = known[nearest].gradient
        ratio = np.log(self.frequency.period_px * np.hypot(across_x, across_y))
        turn = (np.arctan2(across_y, across_x) - self.frequency.angle_rad + np.pi / 4) % (
            np.pi / 2
        ) - np.pi / 4
        is_alike = abs(ratio) < self.options.same_period and abs(turn) < self.options.same_turn_rad
        return bool(apart[nearest] < self.step / self.scale and is_alike)

    def _to_image_px(self, tile: Tile) -> Tile:
        """A tile of the scaled picture in pixels of the image."""
        x, y = ((v + 0.5) / self.scale - 0.5 for v in (tile.x, tile.y))
        return replace(tile, x=x, y=y, gradient=tile.gradient * self.scale)

    def _grow_from(self, seed: Tile) -> list[Tile]:
        """Tiles reached from a locked one, in scaled pixels, best first."""
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        start_x, start_y = seed.x % self.step, seed.y % self.step
        first = (int((seed.x - start_x) / self.step), int((seed.y - start_y) / self.step))
        done: dict[tuple[int, int], Tile] = {}
        queue: list[_Step] = [(-seed.lock, 0, first, seed, (0, 0), 0)]
        pushed = 0
        measured: dict[int, tuple[Tile, float]] = {}

        def place(key: tuple[int, int]) -> tuple[float, float]:
            return start_x + key[0] * self.step, start_y + key[1] * self.step

        def is_open(key: tuple[int, int]) -> bool:
            x, y = place(key)
            return key not in done and 0 <= x < width and 0 <= y < height

        while queue:
            step = heapq.heappop(queue)
            _, order, key, parent, move, bridged = step
            if not is_open(key):
                continue
            if order not in measured:
                ahead = {key: step}
                for other in heapq.nsmallest(TOGETHER, queue[: 4 * TOGETHER]):  # near the top of the heap
                    if other[1] not in measured and is_open(other[2]):
                        ahead.setdefault(other[2], other)
                found = self._measure_next([place(k) for k in ahead], [s[3] for s in ahead.values()])
                measured.update(zip((s[1] for s in ahead.values()), found, strict=True))
            tile, off = measured.pop(order)
            is_lost = tile.lock < self.options.min_lock or off > self.options.max_phase_step
            if is_lost or self._is_distorted(tile):
                # creases and pen strokes hide the grid for a tile or two: look behind them
                if bridged < self.max_gap_tiles and move != (0, 0):
                    pushed += 1
                    behind = (key[0] + move[0], key[1] + move[1])
                    last = -parent.lock / 1000  # after everything that can be reached without a gap
                    heapq.heappush(queue, (last, pushed, behind, parent, move, bridged + 1))
                continue
            done[key] = tile
            for onward in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                following = (key[0] + onward[0], key[1] + onward[1])
                if is_open(following):
                    pushed += 1
                    heapq.heappush(queue, (-tile.lock, pushed, following, tile, onward, 0))
        return _drop_odd_tiles(done, self.options)

    def _is_distorted(self, tile: Tile) -> bool:
        """Whether lines cross far more or less often than at the frequency's period."""
        (a, b), (c, d) = tile.gradient
        density = (a * d - b * c) * self.tracked_px**2
        return not self.options.min_density < density < self.options.max_density

    def _measure_next(
        self, places: Sequence[tuple[float, float]], before: Sequence[Tile]
    ) -> list[tuple[Tile, float]]:
        """Tiles at places x, y of the scaled picture, each predicted by the tile before it, and how far their phases are from
        what was predicted, lines.
        """
        at = np.array(places)
        gradient = np.array([tile.gradient for tile in before])
        away = np.rint(at) - np.array([(tile.x, tile.y) for tile in before])
        predicted = np.array([tile.phase for tile in before]) + (gradient @ away[..., None])[..., 0]
        tiles = self._measure(at, predicted, gradient, rounds=1)
        off = np.abs(np.array([tile.phase for tile in tiles]) - predicted).max(axis=1)
        return list(zip(tiles, off.tolist(), strict=True))

    def _measure(self, at: Array, predicted: Array, gradient: Array, *, rounds: int) -> list[Tile]:
        """Tiles at whole scaled pixels nearest to places (n, 2), their phases those nearest to ``predicted`` (n, 2)."""
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        nearest = np.clip(np.rint(at).astype(int), 0, (width - 1, height - 1))
        patches = sliding_window_view(self.padded, (len(self.offsets),) * 2)[nearest[:, 1], nearest[:, 0]]
        phases, gradients, locks = self._lock_in(patches, predicted, gradient, rounds=rounds)
        return [
            Tile(float(x), float(y), phase, around, lock)
            for (x, y), phase, around, lock in zip(nearest, phases, gradients, locks.tolist(), strict=True)
        ]

    def _lock_in(
        self, patches: Grey, predicted: Array, gradient: Array, *, rounds: int
    ) -> tuple[Array, Array, Array]:
        """(n, 2) phases, (n, 2, 2) gradients and (n,) locks in the middle of patches (n, size, size)."""
        for _ in range(rounds):
            # (n, 2, 3, 3): both directions, windows along y, windows along x
            seen = _demodulate(patches, self._make_waves(gradient)[..., None, :] * self.windows)
            along = [seen[..., 0, 2] * seen[..., 0, 1].conj(), seen[..., 2, 0] * seen[..., 1, 0].conj()]
            slopes = np.angle(np.stack(along, axis=-1))
            gradient = gradient + GRADIENT_GAIN * slopes / (4 * np.pi * self.shift)
        middle = seen[..., 0, 0]
        turn = np.angle(middle) / (2 * np.pi)
        phases = predicted + (turn - predicted + 0.5) % 1.0 - 0.5
        others = np.concatenate([f * gradient for f in BESIDE], axis=1)  # (n, 2 * len(BESIDE), 2)
        beside = _demodulate(patches, (self._make_waves(others) * self.windows[0])[..., None, :])
        usual = np.abs(beside.reshape(-1, len(BESIDE), 2)).mean(axis=1)
        return phases, gradient, np.asarray((np.abs(middle) / (usual + 1e-6)).min(axis=-1), np.float64)

    def _make_waves(self, frequencies: Array) -> NDArray[np.complex64]:
        """(..., 2, size) waves along x and along y of (..., 2) frequencies, lines per pixel."""
        turn = np.float32(-2 * np.pi) * (frequencies[..., None].astype(np.float32) * self.offsets)
        waves = np.empty(turn.shape, np.complex64)
        np.cos(turn, out=waves.real)
        np.sin(turn, out=waves.imag)
        return waves


def _demodulate(patches: Grey, waves: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """(n, m, k, k) responses of n patches to k waves along y times k along x of m frequencies, given as (n, m, 2, k, size), x
    first.
    """
    n, m, _, k, size = waves.shape
    along_x = np.ascontiguousarray(waves[:, :, 0].reshape(n, m * k, size).swapaxes(1, 2))
    # a real matrix times real and imaginary parts side by side
    rows = np.matmul(patches, along_x.view(np.float32)).view(np.complex64)
    return np.asarray(waves[:, :, 1] @ rows.reshape(n, size, m, k).transpose(0, 2, 1, 3), np.complex64)


def count_across(tiles: Sequence[Tile], part: Sequence[Tile], reach: float) -> Array | None:
    """Lines (2,) to add to the phases of a part of a sheet beside ``tiles`` so that both count the same lines.

    Somewhere between two tiles at most ``reach`` apart the sheet is folded: the lines of one of them go on as far as there,
    and as those of the other from there on. None where no whole numbers fit all pairs of tiles, or others fit them as well.
    """
    if not part:
        return None
    distance, nearest = find_nearest(places_of(part), places_of(tiles))
    close = np.flatnonzero(distance <= reach)
    if len(close) < LEAST_PAIRS:
        return None
    pairs = [(tiles[int(nearest[k])], part[int(k)]) for k in close]
    weights = distance[close] ** -2.0
    # lines by which the counts differ if the fold is at b, and by how many more if it is at a
    at_b = np.array([a.phase + a.gradient @ (b.x - a.x, b.y - a.y) - b.phase for a, b in pairs])
    further = np.array([(b.gradient - a.gradient) @ (b.x - a.x, b.y - a.y) for a, b in pairs])
    usual = np.rint(np.median(at_b + 0.5 * further, axis=0))
    counts = [usual + np.array([x, y]) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    missed = []
    for count in counts:
        where = ((count - at_b) * further).sum(axis=1) / ((further**2).sum(axis=1) + 1e-9)
        off = np.linalg.norm(at_b + further * np.clip(where, 0, 1)[:, None] - count, axis=1)
        missed.append(float(np.sqrt(np.average(np.minimum(off, 0.5) ** 2, weights=weights))))
    best, second = np.argsort(missed)[:2]
    is_sure = missed[best] < SURE_COUNT and missed[second] > OTHER_COUNT * missed[best]
    return counts[best] if is_sure else None


def places_of(tiles: Sequence[Tile]) -> Array:
    """(n, 2) places x, y."""
    return np.array([(tile.x, tile.y) for tile in tiles])


def find_nearest(places: Array, others: Array) -> tuple[Array, NDArray[np.intp]]:
    """Distance (n,) and index (n,) of the nearest of ``others`` (m, 2) to places (n, 2)."""
    distance, index = cKDTree(others).query(places)
    return np.atleast_1d(distance), np.atleast_1d(index)


def _drop_odd_tiles(tiles: dict[tuple[int, int], Tile], options: GridOptions) -> list[Tile]:
    """Tiles that lie where the median of their neighbours predicts them; text, traces and folds can pull single ones."""
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
    enough = np.isfinite(expected[..., 0]).sum(axis=0) >= options.min_neighbours
    away = np.full(len(i), np.inf)
    away[enough] = np.abs(np.nanmedian(expected[:, enough], axis=0) - phase[i, j][enough]).max(axis=1)
    return [tile for tile, odd in zip(tiles.values(), away >= options.max_odd, strict=True) if not odd]
