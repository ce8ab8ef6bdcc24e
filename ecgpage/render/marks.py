"""What people and time leave on a sheet: handwriting, pen marks, stains, mould, holes, tape, faded print.

All functions work in place on the picture of the flat sheet, uint8 (H, W, 3) RGB at ``scale`` px/mm, and
are drawn at random from the generator that they are given.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.render.relief import ReliefSpec, make_relief
from ecgpage.render.stroke import Patch, blend

Image = NDArray[np.uint8]
Rng = np.random.Generator

PENS: Final = ((30, 40, 130), (20, 20, 25), (60, 60, 70), (170, 30, 40), (25, 80, 60))
WORDS: Final = (
    "ST elevation", "sinus", "normal", "LVH?", "AF", "seen", "ok", "old inf. MI", "T wave inversion", "RBBB",
    "chest pain", "repeat 6h", "pre-op", "no change", "Dr. M", "78/min", "compare", "QTc 440", "14/3", "PVC",
)  # fmt: skip


def pen(rng: Rng) -> tuple[float, float, float]:
    """Colour of a ball pen."""
    red, green, blue = PENS[int(rng.integers(len(PENS)))]
    return float(red), float(green), float(blue)


def stroke_mask(points: NDArray[np.float64], width: float) -> Patch:
    """Ink of a free polyline (n, 2) in pixels, drawn with a round pen."""
    pad = int(np.ceil(width)) + 2
    low = np.floor(points.min(axis=0)).astype(int) - pad
    size = np.ceil(points.max(axis=0)).astype(int) + pad - low
    mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
    fixed = np.round((points - low) * 16).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, max(round(width), 1), cv2.LINE_AA, 4)
    coverage = mask.astype(np.float32) * np.float32(min(width, 1.0) / 255)
    return Patch(int(low[1]), int(low[0]), coverage)


def scribble(length: float, size: float, rng: Rng) -> NDArray[np.float64]:
    """A line of invented cursive, (n, 2): loops that advance, as handwriting looks when it cannot be read."""
    letters = max(int(length / (0.55 * size)), 2)
    t = np.linspace(0, letters, letters * 24)
    knot = np.arange(letters + 2)
    height = rng.choice([0.4, 0.5, 1.0, -0.5], letters + 2, p=[0.42, 0.35, 0.15, 0.08])
    tall = height[np.minimum(t.astype(int), letters)]
    turn = np.interp(t, knot, rng.uniform(0.1, 0.4, letters + 2))
    pace = np.interp(t, knot, np.cumsum(rng.uniform(0.35, 0.75, letters + 2)))
    y = -tall * (1 - np.cos(2 * np.pi * t)) / 2 + np.interp(t, knot, rng.normal(0, 0.05, letters + 2))
    x = pace - turn * np.sin(2 * np.pi * t)
    smooth = np.stack([x - 0.3 * y, y], axis=1)  # slanted
    return np.asarray(smooth * size, np.float64)


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def handwriting(image: Image, scale: float, rng: Rng) -> None:
    """A few words in ink, now and then across the traces."""
    height, width = image.shape[:2]
    color, thick = pen(rng), float(rng.uniform(0.25, 0.6)) * scale
    at = rng.uniform((0.05, 0.03), (0.75, 0.5)) * (width, height)
    if rng.random() < 0.3:
        at[1] = rng.uniform(0.3, 0.95) * height
    for line in range(int(rng.integers(1, 4))):
        start = at + np.array([0, line * 9 * scale])
        if rng.random() < 0.5:
            blend(image, _script(str(rng.choice(WORDS)), start, scale, rng), color)
        else:
            points = scribble(float(rng.uniform(20, 60)) * scale, float(rng.uniform(3, 5)) * scale, rng)
            blend(image, stroke_mask(_turned(points, rng.normal(0, 0.06)) + start, thick), color)


def _script(words: str, start: NDArray[np.float64], scale: float, rng: Rng) -> Patch:
    """Words in a script font, slightly sheared and turned."""
    face = int(rng.choice([cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))
    size = float(rng.uniform(0.16, 0.28)) * scale
    (width, height), below = cv2.getTextSize(words, face, size, 2)
    pad = height
    mask = np.zeros((height + below + 2 * pad, width + 2 * pad), np.uint8)
    cv2.putText(mask, words, (pad, pad + height), face, size, 255, max(round(0.35 * scale), 1), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((pad, pad + height), float(rng.normal(0, 3)), 1.0)
    turn[0, 1] += float(rng.uniform(-0.3, 0.1))
    mask = np.asarray(cv2.warpAffine(mask, turn, mask.shape[::-1]), np.uint8)
    return Patch(
        round(start[1]) - pad - height, round(start[0]) - pad, mask.astype(np.float32) * np.float32(1 / 255)
    )


def pen_marks(image: Image, scale: float, rng: Rng) -> None:
    """Circles, underlines, arrows and ticks beside and across the traces."""
    height, width = image.shape[:2]
    color, thick = pen(rng), float(rng.uniform(0.25, 0.7)) * scale
    for _ in range(int(rng.integers(1, 5))):
        centre = rng.uniform((0.05, 0.2), (0.95, 0.95)) * (width, height)
        size = float(rng.uniform(4, 18)) * scale
        kind = rng.random()
        t = np.linspace(0, 2 * np.pi * 1.1, 60)
        if kind < 0.4:
            points = np.stack([np.cos(t), 0.7 * np.sin(t)], axis=1) * (1 + 0.05 * np.sin(3 * t))[:, None]
        elif kind < 0.7:
            points = np.stack([t / 3 - 1, 0.04 * np.sin(2 * t)], axis=1)
        elif kind < 0.85:
            points = np.array([[-0.5, 0], [-0.1, 0.4], [0.8, -0.8]])
        else:
            points = np.array([[-1, 0], [1, 0], [0.7, -0.2], [1, 0], [0.7, 0.2]], np.float64)
        blend(image, stroke_mask(_turned(points, rng.uniform(-1, 1)) * size + centre, thick), color)


def blotch(shape: tuple[int, int], cells: int, rng: Rng) -> NDArray[np.float32]:
    """Smooth noise (H, W) in 0..1: random cells, enlarged."""
    rows = max(int(cells * shape[0] / shape[1]), 2)
    small = rng.random((rows, cells)).astype(np.float32)
    large = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.asarray(large, np.float32), 0, 1)


def _tint(image: Image, alpha: NDArray[np.float32], color: tuple[float, float, float]) -> None:
    """Multiply the picture by ``color`` (0-255) where ``alpha`` (h, w), any size, is 1."""
    small = 1 - alpha[..., None] * (1 - np.array(color, np.float32) / 255)
    factor = cv2.resize((small * 255).astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(image, factor, dst=image, scale=1 / 255)


def stains(image: Image, scale: float, rng: Rng) -> None:
    """Coffee rings, spills with a darker rim, finger marks."""
    shape = (image.shape[0] // 4, image.shape[1] // 4)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(0, 1, 2) * shape[::-1]
        radius = float(rng.uniform(8, 45)) * scale / 4
        ragged = 1 + 0.35 * (blotch(shape, int(rng.integers(6, 16)), rng) - 0.5)
        distance = np.hypot(x - centre[0], (y - centre[1]) * rng.uniform(0.7, 1.4)) * ragged / radius
        rim = np.exp(-((distance - 1) ** 2) / (2 * 0.04**2))
        inside = 1 / (1 + np.exp(np.clip((distance - 1) * 30, -30, 30)))
        alpha = rng.uniform(0.1, 0.5) * rim + rng.uniform(0.03, 0.45) * inside
        color = ((170, 120, 70), (190, 160, 110), (150, 140, 120), (200, 190, 150))[int(rng.integers(4))]
        _tint(image, np.clip(alpha, 0, 1).astype(np.float32), color)


def mould(image: Image, scale: float, rng: Rng) -> None:
    """Soaked, yellowed and spotted paper."""
    shape = (image.shape[0] // 4, image.shape[1] // 4)
    water = blotch(shape, int(rng.integers(3, 8)), rng)
    edge = np.exp(-((water - rng.uniform(0.4, 0.6)) ** 2) / (2 * 0.02**2))
    alpha = rng.uniform(0.1, 0.4) * edge + rng.uniform(0.1, 0.4) * (water > 0.5)
    soft = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), 2)
    _tint(image, np.asarray(soft, np.float32), (205, 180, 130))
    spots = blotch(shape, int(rng.integers(60, 160)), rng) * blotch(shape, 6, rng)
    speckle = np.clip((spots - rng.uniform(0.55, 0.75)) * 6, 0, 1) * rng.uniform(0.3, 0.8)
    _tint(image, speckle.astype(np.float32), (90, 100, 80))


def yellowing(image: Image, scale: float, rng: Rng) -> None:
    """Old paper: a tint that varies over the sheet."""
    alpha = np.float32(0.4) + np.float32(0.6) * blotch((64, 64), 4, rng)
    color = rng.uniform((225, 205, 150), (255, 245, 220))
    _tint(image, alpha.astype(np.float32), (float(color[0]), float(color[1]), float(color[2])))


def fading(image: Image, scale: float, rng: Rng) -> None:
    """Print that has lost part of its darkness, unevenly."""
    keep = np.clip(rng.uniform(0.35, 0.9) + 0.5 * (blotch((48, 64), 5, rng) - 0.5), 0.2, 1)
    weight = cv2.resize((keep * 255).astype(np.uint8), image.shape[1::-1])
    rest = cv2.multiply(255 - image, cv2.merge([weight] * 3), scale=1 / 255)
    np.subtract(255, rest, out=image)


def holes(image: Image, scale: float, rng: Rng) -> None:
    """Two punched holes at an edge, dark as what lies below."""
    height, width = image.shape[:2]
    shade = float(rng.uniform(20, 120))
    along = 40 * scale
    x, y = (8 * scale, height / 2) if rng.random() < 0.5 else (width / 2, 8 * scale)
    for side in (-1, 1):
        at = (x, y + side * along) if x < y else (x + side * along, y)
        cv2.circle(
            image,
            (round(at[0] * 16), round(at[1] * 16)),
            round(3 * scale * 16),
            (shade,) * 3,
            -1,
            cv2.LINE_AA,
            4,
        )


def tape(image: Image, scale: float, rng: Rng) -> None:
    """A strip of clear or yellowed tape."""
    centre = rng.uniform(0, 1, 2) * image.shape[1::-1]
    size = rng.uniform((40, 12), (120, 20)) * scale
    corners = cv2.boxPoints((tuple(centre), tuple(size), float(rng.uniform(0, 180))))
    mask = np.zeros((image.shape[0] // 2, image.shape[1] // 2), np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners / 2 * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    _tint(image, mask.astype(np.float32) * np.float32(rng.uniform(0.3, 0.8) / 255), (235, 222, 180))


def toner_loss(image: Image, scale: float, rng: Rng, lines: int) -> None:
    """Cracked print along creases: thin pale or dark lines across the sheet."""
    height, width = image.shape[:2]
    for _ in range(lines):
        along = rng.random() < 0.5
        at = float(rng.choice([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4])) + float(rng.normal(0, 0.02))
        t = np.linspace(0, 1, 40)
        sway = rng.normal(0, 0.002) * (t - 0.5) + at
        points = np.stack([t * width, sway * height] if along else [sway * width, t * height], axis=1)
        patch = stroke_mask(points, float(rng.uniform(0.2, 0.9)) * scale)
        tone = (245.0,) * 3 if rng.random() < 0.6 else (150.0,) * 3
        blend(image, Patch(patch.row, patch.col, patch.coverage * np.float32(rng.uniform(0.2, 0.8))), tone)


def wrinkle_texture(image: Image, rng: Rng) -> None:
    """Crumpled look without displacement: hard-light blend with a texture of mean 0.4, as the generator
    does it.
    """
    spec = ReliefSpec(crumples=60, crumple_slope=0.25)
    shade = make_relief(spec, (250.0, 250.0), rng).shading((1.0, 0.6), 0.8)
    shade = (shade - shade.mean()) / max(float(shade.std()), 0.01)
    texture = np.clip(0.4 + 0.06 * shade, 0.22, 0.5).astype(np.float32)
    _tint(image, 1 - 2 * texture, (0.0, 0.0, 0.0))


def paper_grain(image: Image, scale: float, rng: Rng) -> None:
    """The fine relief of paper in raking light."""
    size = (max(int(image.shape[1] / (0.3 * scale)), 2), max(int(image.shape[0] / (0.3 * scale)), 2))
    noise = rng.standard_normal((min(size[1], 400), min(size[0], 400)), np.float32)
    level = np.clip(255 - 255 * float(rng.uniform(0.01, 0.05)) * np.abs(noise), 0, 255).astype(np.uint8)
    tiled = np.tile(level, (-(-size[1] // level.shape[0]), -(-size[0] // level.shape[1])))[
        : size[1], : size[0]
    ]
    factor = cv2.resize(tiled, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(image, cv2.merge([factor] * 3), dst=image, scale=1 / 255)


MARKS: Final[dict[str, Callable[[Image, float, Rng], None]]] = {
    "fading": fading,
    "yellowing": yellowing,
    "paper_grain": paper_grain,
    "stains": stains,
    "mould": mould,
    "handwriting": handwriting,
    "pen_marks": pen_marks,
    "tape": tape,
    "holes": holes,
}
"""In the order in which they are laid on."""
