"""Effects of lens, sensor, scanner and file format on a picture, uint8 (H, W, 3) RGB in and out; no geometry."""

from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Rng

NOISE_SIDE: Final = 509
"""Side, px, of the noise tile; a prime, so that it does not repeat in step with the grid."""
BANK_SIDE: Final = 2048
"""Side, px, of the noise from which pictures take windows."""


def blur(image: Image, sigma: float) -> Image:
    """Defocus, Gaussian with ``sigma`` px."""
    return image if sigma < 0.15 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def motion_blur(image: Image, length: float, angle: float) -> Image:
    """Camera shake: a straight smear of ``length`` px."""
    if length < 1.2:
        return image
    side = int(np.ceil(length)) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side / 2 - 0.5
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    for t in np.linspace(-1, 1, 8 * side):
        x, y = middle + reach * t
        c, r = int(min(x, side - 1.001)), int(min(y, side - 1.001))
        fx, fy = x - c, y - r
        part = np.array([[(1 - fx) * (1 - fy), fx * (1 - fy)], [(1 - fx) * fy, fx * fy]])
        cell = kernel[max(r, 0) : r + 2, max(c, 0) : c + 2]
        cell += part[: cell.shape[0], : cell.shape[1]]
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def sharpen(image: Image, amount: float, sigma: float) -> Image:
    """Unsharp mask of phones and scanners."""
    if amount <= 0:
        return image
    soft = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)


@lru_cache(maxsize=4)
def noise_bank(grain: float) -> NDArray[np.float32]:
    """Unit noise (BANK_SIDE, BANK_SIDE) with grains of ``grain`` px; pictures take windows anywhere in it."""
    white = np.random.default_rng(20240521).standard_normal((BANK_SIDE, BANK_SIDE), np.float32)
    if grain <= 1:
        return white
    soft = np.asarray(cv2.GaussianBlur(white, (0, 0), grain / 2), np.float32)
    return np.asarray(soft / soft.std(), np.float32)


def noise(image: Image, sigma: float, rng: Rng, *, grain: float = 1.0, gray: bool = False) -> Image:
    """Sensor noise with standard deviation ``sigma`` grey levels; ``grain`` is its size in px."""
    if sigma <= 0:
        return image
    bank = noise_bank(grain)
    corners = rng.integers(0, BANK_SIDE - NOISE_SIDE, (1 if gray else 3, 2))
    windows = [bank[r : r + NOISE_SIDE, c : c + NOISE_SIDE] for r, c in corners]
    tile = np.stack(windows * 3 if gray else windows, axis=2)
    pattern = np.clip(tile * sigma, -127, 127).round().astype(np.int8)
    rows, columns = image.shape[:2]
    for top in range(0, rows, NOISE_SIDE):
        for left in range(0, columns, NOISE_SIDE):
            part = image[top : top + NOISE_SIDE, left : left + NOISE_SIDE]
            cv2.add(part, pattern[: part.shape[0], : part.shape[1]], dst=part, dtype=cv2.CV_8U)
        pattern = np.roll(pattern, int(rng.integers(NOISE_SIDE)), axis=1)
    return image


def tone(image: Image, *, gamma: float, black: float, white: float, gains: NDArray[np.float32]) -> Image:
    """Contrast curve and colour balance; ``black`` and ``white``: values of 0 and 255 before the gamma."""
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma
    table = np.clip((black + (white - black) * ramp) * gains, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def gray(image: Image) -> Image:
    """Black and white, still three channels."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def threshold(image: Image, rng: Rng, *, dither: bool) -> Image:
    """Fax, photocopy or 1-bit scan: fixed, rough or local threshold, or ordered dithering."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if dither:
        binary = luma > _dither_levels((luma.shape[0], luma.shape[1]))
    elif rng.random() < 0.35:  # photocopy: faint print turns to speckle
        speckle = rng.standard_normal((luma.shape[0], luma.shape[1]), np.float32) * np.float32(
            rng.uniform(8, 35)
        )
        rough = cv2.add(luma, speckle, dtype=cv2.CV_8U)
        binary = np.asarray(rough, np.uint8) > rng.uniform(140, 225)
    elif rng.random() < 0.5:
        binary = luma > rng.uniform(110, 215)
    else:
        local = cv2.blur(luma, (61, 61)).astype(np.float32)
        binary = luma > local * rng.uniform(0.72, 0.92)
    return np.repeat((binary * np.uint8(255))[..., None], 3, axis=2)


def one_bit(gray: Image, rng: Rng) -> Image:
    """Scan or copy with one bit a pixel, grey (H, W) in and out: thresholded, by a rough level (faint print turns
    to speckle), a fixed or a local one, or dithered.
    """
    kind = rng.random()
    paper = float(np.median(gray))
    if kind < 0.45:
        speckle = rng.standard_normal(gray.shape, np.float32) * np.float32(rng.uniform(6, 40))
        return _black_below(
            np.asarray(cv2.add(gray, speckle, dtype=cv2.CV_32F)), paper * rng.uniform(0.6, 0.92)
        )
    if kind < 0.65:
        return _black_below(gray, paper * rng.uniform(0.6, 0.92))
    if kind < 0.85:
        return _black_below(gray, np.asarray(cv2.blur(gray, (61, 61)), np.float32) * rng.uniform(0.7, 0.92))
    white = paper / 255 if rng.random() < 0.7 else 1.0  # most scanners make the paper white first
    return _black_below(gray, _dither_levels((gray.shape[0], gray.shape[1])) * np.float32(white))


def _black_below(gray: NDArray[Any], level: NDArray[np.floating] | float) -> Image:
    return np.where(gray > level, np.uint8(255), np.uint8(0))


def _dither_levels(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Thresholds of an ordered dither, (rows, columns)."""
    rank = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32)
    return np.tile((rank + 0.5) * 16, (shape[0] // 4 + 1, shape[1] // 4 + 1))[: shape[0], : shape[1]]


def fax(gray: Image, px_per_mm: float, rng: Rng) -> Image:
    """Fax, grey (H, W) in, black and white out: 4 to 8 dots a millimetre, half of that down the page in the coarse
    mode; edges are ragged, and now and then a line is shifted by a dot.
    """
    across = float(rng.uniform(4, 8.1))
    down = across * float(rng.choice([1.0, 0.5, 1.0]))
    size = (
        max(round(gray.shape[1] * across / px_per_mm), 8),
        max(round(gray.shape[0] * down / px_per_mm), 8),
    )
    shrinks = size[0] * size[1] < gray.size
    dots = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rough = np.asarray(dots, np.float32) + rng.standard_normal(size[::-1], np.float32) * np.float32(
        rng.uniform(2, 16)
    )
    binary = rough > np.float32(np.median(dots) * rng.uniform(0.6, 0.88))
    shift = (rng.random(size[1]) < 0.02).astype(np.intp) * rng.choice([-1, 1])
    columns = np.clip(np.arange(size[0]) + shift[:, None], 0, size[0] - 1)
    jagged = np.take_along_axis(binary, columns, axis=1).astype(np.uint8) * np.uint8(255)
    style = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(jagged, gray.shape[::-1], interpolation=style), np.uint8)


def hdr(image: Image, strength: float, flatten: float, radius: float) -> Image:
    """Local tone mapping of phones, (H, W) or (H, W, 3).

    Differences from the surroundings (``radius`` px) grow by ``strength``, which leaves pale halos around dark
    strokes; the surroundings' own differences shrink by ``flatten`` (0 to 1).
    """
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(radius / 4, 0.5))
    soft = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    level = flatten * float(np.mean(small))
    return np.asarray(cv2.addWeighted(image, 1 + strength, soft, -(strength + flatten), level), np.uint8)


def screen_pattern(
    shape: tuple[int, int], pitch: float, angle: float, depth: float, phase: float
) -> NDArray[np.float32]:
    """Factor (rows, columns) by a screen's pixels in a picture of it: waves ``pitch`` px apart along ``angle``; a pitch
    below 2 px gives moiré.
    """
    across = np.exp(2j * np.pi * (np.arange(shape[1]) * np.cos(angle) / pitch + phase)).astype(np.complex64)
    down = np.exp(2j * np.pi * np.arange(shape[0]) * np.sin(angle) / pitch).astype(np.complex64)
    wave = np.outer(down.real, across.real) - np.outer(down.imag, across.imag)
    return np.asarray(1 - depth / 2 + depth / 2 * wave, np.float32)


def jpeg(image: Image, quality: int) -> Image:
    """Compress and decompress; the usual 4:2:0 colour."""
    if quality >= 100:
        return image
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(np.asarray(data), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def resample(image: Image, factor: float) -> Image:
    """Shrink and enlarge again, like messengers and document tools; size and place are kept."""
    if factor >= 0.98:
        return image
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def streaks(image: Image, rng: Rng) -> Image:
    """Vertical lines from dust on a feed scanner."""
    for _ in range(int(rng.integers(1, 5))):
        column = int(rng.integers(image.shape[1]))
        width = int(rng.integers(1, 3))
        part = image[:, column : column + width]
        part[:] = cv2.addWeighted(part, 0.6, np.full_like(part, rng.integers(256)), 0.4, 0)
    return image
