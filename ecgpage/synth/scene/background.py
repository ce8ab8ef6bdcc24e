"""Backgrounds of the sheet, uint8 (H, W, 3) RGB: wood, cloth, stone, plain colours, a cluttered desk."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Rng

SMALL: Final = 640
"""Longer side, px, at which textures are made before they are enlarged."""


WOODS: Final = ((150, 112, 80), (176, 132, 92), (120, 85, 58), (60, 55, 52), (45, 45, 48), (200, 170, 135))
"""Colours of boards, RGB."""
DARK_WOODS: Final = ((60, 55, 52), (45, 45, 48), (38, 36, 36))
"""Colours of dark boards, RGB."""


def wood(shape: tuple[int, int], rng: Rng, *, colors: Sequence[tuple[int, int, int]] = WOODS) -> Image:
    """Boards with grain: noise stretched along one axis, brown to nearly black."""
    rows, columns = shape
    grain = cv2.resize(rng.standard_normal((rows, max(columns // 60, 2))).astype(np.float32), (columns, rows))
    fine = cv2.resize(rng.standard_normal((rows, max(columns // 12, 2))).astype(np.float32), (columns, rows))
    tone = cv2.GaussianBlur(grain, (0, 0), 3) * 2 + cv2.GaussianBlur(grain, (0, 0), 1) + 0.5 * fine
    knots = cv2.resize(
        rng.standard_normal((5, 4)).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC
    )
    tone = tone + np.sin(knots * 6 + np.arange(rows, dtype=np.float32)[:, None] / rng.uniform(4, 12))
    color = np.array(colors[int(rng.integers(len(colors)))], np.float32)
    contrast = float(rng.uniform(2, 8))
    return _to_u8(color + contrast * tone[..., None] * (color / color.max()))


def cloth(shape: tuple[int, int], rng: Rng) -> Image:
    """Woven or printed fabric."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    period = rng.uniform(3, 9)
    weave = np.sin(x * 2 * np.pi / period) * np.sin(y * 2 * np.pi / period)
    noise = rng.standard_normal(shape).astype(np.float32)
    color = (rng.uniform(40, 220) + rng.normal(0, 22, 3)).astype(np.float32)
    return _to_u8(color + (8 * weave + 6 * noise)[..., None])


def stone(shape: tuple[int, int], rng: Rng) -> Image:
    """Speckled worktop."""
    noise = rng.standard_normal(shape).astype(np.float32)
    coarse = np.asarray(cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(1, 5))), np.float32)
    coarse /= max(float(coarse.std()), 1e-6)
    grey = float(rng.uniform(50, 215))
    return _to_u8((grey + 14 * coarse + 4 * noise)[..., None] + rng.normal(0, 5, 3).astype(np.float32))


def plain(shape: tuple[int, int], rng: Rng) -> Image:
    """One colour with a little texture."""
    color = np.full(3, rng.uniform(15, 245)) + rng.normal(0, rng.choice([2, 12, 35]), 3)
    return _to_u8(color.astype(np.float32) + 2 * rng.standard_normal(shape).astype(np.float32)[..., None])


def desk(shape: tuple[int, int], rng: Rng) -> Image:
    """Board with other papers, pens and round things on it."""
    image = wood(shape, rng) if rng.random() < 0.6 else plain(shape, rng)
    rows, columns = shape
    for _ in range(int(rng.integers(1, 5))):
        centre = (float(rng.uniform(0, columns)), float(rng.uniform(0, rows)))
        kind, turn = rng.random(), float(rng.uniform(0, 180))
        color = tuple(float(c) for c in rng.uniform(20, 250, 3))
        if kind < 0.4:
            size = (float(rng.uniform(0.2, 0.6)) * columns, float(rng.uniform(0.2, 0.5)) * columns)
            pale = (float(rng.uniform(180, 250)),) * 3
            _box(image, centre, size, turn, pale)
        elif kind < 0.8:
            _box(image, centre, (0.3 * columns, 0.012 * columns), turn, color)
        else:
            cv2.circle(image, (int(centre[0]), int(centre[1])), int(0.07 * columns), color, -1, cv2.LINE_AA)
    return image


def black(shape: tuple[int, int], rng: Rng) -> Image:
    """Black, as without any background."""
    return np.zeros((*shape, 3), np.uint8)


def white(shape: tuple[int, int], rng: Rng) -> Image:
    """White lid of a scanner."""
    return np.full((*shape, 3), int(rng.integers(235, 256)), np.uint8)


BACKGROUNDS: Final[dict[str, Callable[[tuple[int, int], Rng], Image]]] = {
    "wood": wood,
    "dark wood": partial(wood, colors=DARK_WOODS),
    "brown wood": partial(wood, colors=WOODS[:3]),
    "cloth": cloth,
    "stone": stone,
    "plain": plain,
    "desk": desk,
    "black": black,
    "white": white,
}


def background(kind: str, shape: tuple[int, int], rng: Rng) -> Image:
    """Background of ``shape`` (rows, columns), made small, turned and enlarged."""
    if kind in {"black", "white"}:
        return BACKGROUNDS[kind](shape, rng)
    shrink = SMALL / max(shape)
    side = int(SMALL * 1.1)
    texture = BACKGROUNDS[kind]((side, side), rng)
    angle = (
        float(rng.normal(0, 8) + 90 * rng.integers(2))
        if kind.endswith("wood")
        else float(rng.uniform(0, 360))
    )
    turn = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1 / shrink), np.float64)
    turn[:, 2] += np.array(shape[::-1]) / 2 - side / 2
    large = cv2.warpAffine(
        texture, turn, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(large, np.uint8)


def _box(
    image: Image,
    centre: tuple[float, float],
    size: tuple[float, float],
    turn: float,
    color: tuple[float, ...],
) -> None:
    corners = cv2.boxPoints((centre, size, turn))
    cv2.fillConvexPoly(image, np.round(corners * 16).astype(np.int32), color, cv2.LINE_AA, 4)


def _to_u8(values: NDArray[np.float32]) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)
