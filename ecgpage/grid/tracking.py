"""Follow both directions of a grid over a picture by lock-in, tile by tile.

From the best spot outwards the phase of both directions is measured (demodulation at the local spatial frequency) and
predicted for the next tile, so that whole lines are counted without slip over folds and perspective.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array, Grey, Image
from ecgpage.grid.spectrum import GridFrequency, measure_darkness, normalise_contrast

TRACKED_PERIOD_PX: Final = 16.0
"""Line distance at which a 5-mm grid is tracked; 1-mm grids are tracked at a quarter of it with the same window."""
MIN_LOCK: Final = 2.0
"""A tile is locked when both frequencies stand this far above neighbouring frequencies."""
MIN_SEED_LOCK: Final = 1.5
"""Below this a place is not looked at with its whole surroundings."""
MAX_STEP: Final = 0.28
"""Largest phase surprise between neighbouring tiles, lines; half a line would be ambiguous."""
SAME_TURN: Final = 0.1
"""Radians."""
LIKE_RATIO: Final = 0.15
"""Natural log of two periods of the same lines in perspective; multiples differ by more."""
MAX_JUMP: Final = 2
"""Tiles without a lock that are jumped at a time."""
MAX_ODD: Final = 0.12
"""Largest difference of a tile from what its neighbours predict, lines."""
MIN_AROUND: Final = 3
"""Neighbours that can tell."""
BESIDE: Final = (0.62, 1.41)
"""Frequencies, of the frequency's, above which it has to stand."""


@dataclass(frozen=True)
class Tile:
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


_Step = tuple[float, int, tuple[int, int], Tile, tuple[int, int], int]
"""Priority, order, where to, from which tile, in which direction, tiles jumped on the way."""


class Tracker:
    """Follow a frequency over the picture by lock-in, best tiles first."""

    def __init__(self, light: Image, frequency: GridFrequency, tracked_px: float, jump: bool) -> None:
        """``light``: uint8 (H, W), darkest of the colour channels."""
        self.light = light
        self.frequency = frequency
        self.tracked_px = tracked_px
        self.scale = tracked_px / frequency.period_px
        # fine lines cannot be counted so far ahead
        self.max_jump = MAX_JUMP if jump and tracked_px == TRACKED_PERIOD_PX else 0
        sigma = TRACKED_PERIOD_PX
        self.radius = int(2.4 * sigma)
        self.offsets = np.arange(-self.radius, self.radius + 1, dtype=np.float32)
        self.shift = 0.8 * sigma
        self.windows = np.stack(
            [
                self._make_window(0.0, 1.1 * sigma),
                self._make_window(-self.shift, 0.9 * sigma),
                self._make_window(self.shift, 0.9 * sigma),
            ]
        )
        self.step = 1.5 * sigma
        rows, columns = (int(side * self.scale / self.step) + 1 for side in light.shape)
        self.n_tiles = rows * columns

    @cached_property
    def padded(self) -> Grey:
        """The whole picture at the scale at which lines are followed, with the windows' reach around it."""
        return np.pad(self._normalise(self.light), self.radius)

    def _normalise(self, light: Image) -> Grey:
        return normalise_contrast(measure_darkness(light, self.scale), 0.6 * TRACKED_PERIOD_PX, limit=2.0)

    def _make_window(self, centre: float, sigma: float) -> Grey:
        return np.exp(-0.5 * ((self.offsets - centre) / sigma) ** 2).astype(np.float32)

    def grow(self, known: Sequence[Tile]) -> list[Tile]:
        """Tiles reached from the best seed that locks, with phases that count lines from it; image pixels and lines.

        No seed is tried among ``known`` tiles of another frequency that follow these lines; another seed of this one may
        reach more of a folded page.
        """
        direction = np.array([np.cos(self.frequency.angle_rad), np.sin(self.frequency.angle_rad)])
        gradient = np.stack([direction, [-direction[1], direction[0]]]) / self.tracked_px
        best: list[Tile] = []
        for place in self.frequency.seeds[:6]:
            if self._is_known(place, known):
                continue
            if self._measure_lock_around(place, gradient) < MIN_SEED_LOCK:
                continue
            x, y = place * self.scale
            seed = self._measure(x, y, np.zeros(2), gradient, rounds=6)
            if seed.lock >= MIN_LOCK:
                best = max(best, self._grow_from(seed), key=len)
            if len(best) > 0.3 * self.n_tiles:
                break
        return [self._to_image_px(tile) for tile in best]

    def _measure_lock_around(self, place: Array, gradient: Array) -> float:
        """The lock at a place in the image, from the part around it: the whole picture is not made for what is no grid."""
        reach = (2 * self.radius + 1) / self.scale
        low = np.clip(np.rint(place - reach), 0, None).astype(int)
        high = np.rint(place + reach).astype(int)
        part = np.pad(self._normalise(self.light[low[1] : high[1], low[0] : high[0]]), self.radius)
        col, row = (np.rint((place - low) * self.scale)).astype(int)
        return self._lock_in(self._cut_patch(part, col, row), np.zeros(2), gradient, rounds=6)[2]

    def _is_known(self, place: Array, known: Sequence[Tile]) -> bool:
        """Whether a place in the image is among tiles that were followed at about the frequency's period and direction."""
        if not known:
            return False
        apart = np.abs(np.array([(tile.x, tile.y) for tile in known]) - place).max(axis=1)
        nearest = int(apart.argmin())
        (across_x, across_y), _ = known[nearest].gradient
        ratio = np.log(self.frequency.period_px * np.hypot(across_x, across_y))
        turn = (np.arctan2(across_y, across_x) - self.frequency.angle_rad + np.pi / 4) % (
            np.pi / 2
        ) - np.pi / 4
        return bool(
            apart[nearest] < self.step / self.scale and abs(ratio) < LIKE_RATIO and abs(turn) < SAME_TURN
        )

    def _to_image_px(self, tile: Tile) -> Tile:
        x, y = ((v + 0.5) / self.scale - 0.5 for v in (tile.x, tile.y))
        return replace(tile, x=x, y=y, gradient=tile.gradient * self.scale)

    def _grow_from(self, seed: Tile) -> list[Tile]:
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        start_x, start_y = seed.x % self.step, seed.y % self.step
        first = (int((seed.x - start_x) / self.step), int((seed.y - start_y) / self.step))
        done: dict[tuple[int, int], Tile] = {}
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
            if tile.lock < MIN_LOCK or step > MAX_STEP or self._is_distorted(tile):
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
        return _drop_odd_tiles(done)

    def _is_distorted(self, tile: Tile) -> bool:
        (a, b), (c, d) = tile.gradient
        return not 0.35 < (a * d - b * c) * self.tracked_px**2 < 2.5

    def _measure(self, x: float, y: float, predicted: Array, gradient: Array, *, rounds: int) -> Tile:
        """Lock in at the whole pixel nearest to x, y; the phase is the one nearest to ``predicted``."""
        height, width = (n - 2 * self.radius for n in self.padded.shape)
        col, row = min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)
        patch = self._cut_patch(self.padded, col, row)
        return Tile(float(col), float(row), *self._lock_in(patch, predicted, gradient, rounds=rounds))

    def _cut_patch(self, padded: Grey, col: int, row: int) -> Grey:
        return padded[row : row + 2 * self.radius + 1, col : col + 2 * self.radius + 1]

    def _lock_in(
        self, patch: Grey, predicted: Array, gradient: Array, *, rounds: int
    ) -> tuple[Array, Array, float]:
        """Phase, gradient and lock in the middle of a patch."""
        for _ in range(rounds):
            # (2, 3, 3): both directions, windows along y, windows along x
            seen = _demodulate(patch, self._make_waves(gradient)[:, :, None] * self.windows)
            slopes = np.angle(
                np.stack([seen[:, 0, 2] * seen[:, 0, 1].conj(), seen[:, 2, 0] * seen[:, 1, 0].conj()], axis=1)
            )
            gradient = gradient + 0.7 * slopes / (4 * np.pi * self.shift)
        turn = np.angle(seen[:, 0, 0]) / (2 * np.pi)
        phase = predicted + (turn - predicted + 0.5) % 1.0 - 0.5
        others = np.concatenate([f * gradient for f in BESIDE])
        beside = _demodulate(patch, (self._make_waves(others) * self.windows[0])[:, :, None])
        lock = np.abs(seen[:, 0, 0]) / (np.abs(beside.reshape(len(BESIDE), 2)).mean(axis=0) + 1e-6)
        return phase, gradient, float(lock.min())

    def _make_waves(self, frequencies: Array) -> NDArray[np.complex64]:
        """(n, 2, size) waves along x and along y of (n, 2) frequencies, lines per pixel."""
        return np.exp(np.complex64(-2j * np.pi) * (frequencies[..., None].astype(np.float32) * self.offsets))


def _demodulate(patch: Grey, waves: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """(n, k, k) responses of a patch to k waves along y times k along x, given as (n, 2, k, size), x first."""
    n, _, k, size = waves.shape
    along_x = np.ascontiguousarray(waves[:, 0].reshape(n * k, size).T)
    # a real matrix times real and imaginary parts side by side
    rows = (patch @ along_x.view(np.float32)).view(np.complex64).reshape(size, n, k).transpose(1, 0, 2)
    return np.asarray(waves[:, 1] @ rows, np.complex64)


def _drop_odd_tiles(tiles: dict[tuple[int, int], Tile]) -> list[Tile]:
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
