"""Marks of people and time on a sheet: handwriting, pen marks, stains, mould, holes, tape, faded print.

All functions draw at random, in place on the picture of the flat sheet, uint8 (H, W, 3) RGB at ``scale`` px/mm.
Those of ``COVERS`` return the parts that they cover, for the truth of what is visible.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Rng
from ecgpage.synth.page.stroke import Patch, blend
from ecgpage.synth.scene.relief import ReliefSpec, make_relief

PENS: Final = ((30, 40, 130), (20, 20, 25), (60, 60, 70), (170, 30, 40), (25, 80, 60))
"""Colours of ball pens, RGB."""
WORDS: Final = (
    "ST elevation", "sinus", "normal", "LVH?", "AF", "seen", "ok", "old inf. MI", "T wave inversion", "RBBB",
    "chest pain", "repeat 6h", "pre-op", "no change", "Dr. M", "78/min", "compare", "QTc 440", "14/3", "PVC",
)  # fmt: skip


def pen(rng: Rng) -> tuple[float, float, float]:
    """Random colour, RGB, of a ball pen."""
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
    """Line of illegible cursive (n, 2): loops that advance."""
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


def holes(image: Image, scale: float, rng: Rng) -> list[Patch]:
    """Two punched holes at an edge, as dark as the background, or some holes anywhere: burns, pins, tears."""
    height, width = image.shape[:2]
    shade = float(rng.uniform(20, 120))
    if rng.random() < 0.4:
        places = [rng.uniform(0.03, 0.97, 2) * (width, height) for _ in range(int(rng.integers(1, 4)))]
        radii = [float(rng.uniform(1, 4)) * scale for _ in places]
    else:
        along, inset = 40 * scale, float(rng.uniform(6, 14)) * scale
        x, y = (inset, height / 2) if rng.random() < 0.5 else (width / 2, inset)
        shift = (0.0, along) if x < y else (along, 0.0)
        places = [np.array([x, y]) + side * np.array(shift) for side in (-1, 1)]
        radii = [3 * scale] * 2
    return [punch(image, (at[0], at[1]), radius, shade) for at, radius in zip(places, radii, strict=True)]


def punch(image: Image, at: tuple[float, float], radius: float, shade: float) -> Patch:
    """Round hole of ``radius`` px around ``at`` (edge pixels), through which the grey ``shade`` is seen."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    patch = filled(np.stack([np.cos(t), np.sin(t)], axis=1) * radius + at)
    blend(image, patch, (shade,) * 3)
    return patch


def filled(corners: NDArray[np.float64]) -> Patch:
    """Coverage of a convex polygon (n, 2), edge pixels."""
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    size = np.ceil(corners.max(axis=0)).astype(int) + 2 - low
    mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
    cv2.fillConvexPoly(mask, np.round((corners - low - 0.5) * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    return Patch(int(low[1]), int(low[0]), mask.astype(np.float32) * np.float32(1 / 255))


def tape(image: Image, scale: float, rng: Rng) -> list[Patch]:
    """Strip of clear or yellowed tape; one in three is opaque."""
    centre = rng.uniform(0, 1, 2) * image.shape[1::-1]
    size = rng.uniform((40, 12), (120, 20)) * scale
    corners = cv2.boxPoints((tuple(centre), tuple(size), float(rng.uniform(0, 180))))
    if rng.random() < 1 / 3:
        patch = filled(np.asarray(corners, np.float64))
        color = ((236, 233, 228), (222, 204, 160), (190, 165, 120), (150, 155, 165))[int(rng.integers(4))]
        blend(image, patch, color)
        return [patch]
    mask = np.zeros((image.shape[0] // 2, image.shape[1] // 2), np.uint8)
    cv2.fillConvexPoly(mask, np.round(corners / 2 * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    _tint(image, mask.astype(np.float32) * np.float32(rng.uniform(0.3, 0.8) / 255), (235, 222, 180))
    return []


def marker(image: Image, scale: float, rng: Rng) -> list[Patch]:
    """Strokes of a thick felt pen or of correction fluid: nothing shows through."""
    height, width = image.shape[:2]
    color = ((15.0,) * 3, (25.0, 30.0, 90.0), (150.0, 20.0, 30.0), (246.0,) * 3)[int(rng.integers(4))]
    patches = []
    for _ in range(int(rng.integers(1, 4))):
        start = rng.uniform((0.02, 0.02), (0.95, 0.95)) * (width, height)
        length, turn = float(rng.uniform(4, 45)) * scale, rng.normal(0, 0.5)
        t = np.linspace(0, 1, 24)
        sway = float(rng.normal(0, 0.06)) * np.sin(np.pi * t)
        points = _turned(np.stack([t, sway], axis=1) * length, turn) + start
        patches.append(stroke_mask(points, float(rng.uniform(1.2, 4.5)) * scale))
        blend(image, patches[-1], color)
    return patches


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
    """Crumpled look without displacement: the generator's hard-light blend with a texture of mean 0.4."""
    spec = ReliefSpec(crumples=60, crumple_slope=0.25)
    shade = make_relief(spec, (250.0, 250.0), rng).shading((1.0, 0.6), 0.8)
    shade = (shade - shade.mean()) / max(float(shade.std()), 0.01)
    texture = np.clip(0.4 + 0.06 * shade, 0.22, 0.5).astype(np.float32)
    _tint(image, 1 - 2 * texture, (0.0, 0.0, 0.0))


def paper_grain(image: Image, scale: float, rng: Rng) -> None:
    """Fine relief of paper in raking light."""
    size = (max(int(image.shape[1] / (0.3 * scale)), 2), max(int(image.shape[0] / (0.3 * scale)), 2))
    noise = rng.standard_normal((min(size[1], 400), min(size[0], 400)), np.float32)
    level = np.clip(255 - 255 * float(rng.uniform(0.01, 0.05)) * np.abs(noise), 0, 255).astype(np.uint8)
    tiled = np.tile(level, (-(-size[1] // level.shape[0]), -(-size[0] // level.shape[1])))[
        : size[1], : size[0]
    ]
    factor = cv2.resize(tiled, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(image, cv2.merge([factor] * 3), dst=image, scale=1 / 255)


def thermal(image: Image, scale: float, rng: Rng) -> None:
    """Thermal paper: blue-grey print on a slight tint, bands where the paper ran unevenly, lines that a
    worn head leaves blank or pale, a darker edge.
    """
    height, width = image.shape[:2]
    mm = np.arange(width, dtype=np.float32) / np.float32(scale)
    along = np.full(width, rng.uniform(0.6, 0.95), np.float32)
    for reach, depth in (
        (rng.uniform(0.8, 3), 0.12),
        (rng.uniform(6, 25), 0.12),
        (rng.uniform(60, 200), 0.2),
    ):
        knots = np.arange(0, mm[-1] + 2 * reach, reach)
        along += np.interp(mm, knots, rng.normal(0, depth * rng.uniform(0.2, 1), len(knots))).astype(
            np.float32
        )
    down = np.ones(height, np.float32)
    for _ in range(int(rng.integers(0, 4))):
        row, thick = int(rng.integers(height)), max(round(float(rng.uniform(0.1, 0.3)) * scale), 1)
        down[row : row + thick] *= rng.uniform(0.1, 0.7)
    keep = np.clip(np.outer(down, np.clip(along, 0.3, 1)) * 255, 0, 255).astype(np.uint8)
    blue = (keep * np.float32(rng.uniform(0.75, 1.0))).astype(np.uint8)
    ink = cv2.merge([keep, keep, blue])
    cv2.multiply(255 - image, ink, dst=image, scale=1 / 255)
    np.subtract(255, image, out=image)
    tint = rng.uniform((228, 228, 222), (252, 252, 255))
    image[:] = cv2.LUT(image, (np.arange(256)[:, None] * (tint / 255)).astype(np.uint8)[None])


MARKS: Final[dict[str, Callable[[Image, float, Rng], None]]] = {
    "fading": fading,
    "yellowing": yellowing,
    "paper_grain": paper_grain,
    "stains": stains,
    "mould": mould,
    "handwriting": handwriting,
    "pen_marks": pen_marks,
    "thermal": thermal,
}

COVERS: Final[dict[str, Callable[[Image, float, Rng], list[Patch]]]] = {
    "tape": tape,
    "holes": holes,
    "marker": marker,
}


def lay_on(name: str, image: Image, scale: float, rng: Rng) -> list[Patch]:
    """Put the mark ``name`` on the sheet; returns the parts (pixels of ``image``) that hide the print."""
    if name in COVERS:
        return COVERS[name](image, scale, rng)
    MARKS[name](image, scale, rng)
    return []


@dataclass(frozen=True)
class Covered:
    """Hidden parts of a page."""

    mask: NDArray[np.bool_]
    """(H, W) whether each pixel of the flat picture is hidden."""
    scale: float
    """Resolution, px/mm, of the flat picture."""
    corner: tuple[float, float]
    """Edge pixel (x, y) of the page's origin."""

    def at(self, page: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether page positions (n, 2), mm, are hidden; those beyond the picture and NaN are not."""
        place = page * self.scale + np.array(self.corner)
        with np.errstate(invalid="ignore"):
            known = (place >= 0).all(axis=1) & (place < self.mask.shape[::-1]).all(axis=1)
        hidden = np.zeros(len(page), np.bool_)
        column, row = place[known].astype(np.intp).T
        hidden[known] = self.mask[row, column]
        return hidden


def covered(
    patches: Sequence[Patch], shape: tuple[int, int], scale: float, corner: tuple[float, float]
) -> Covered | None:
    """Parts of a flat picture of ``shape`` (rows, columns) that ``patches`` hide; None without patches."""
    if not patches:
        return None
    mask = np.zeros(shape, np.bool_)
    for patch in patches:
        rows, columns = patch.coverage.shape
        top, left = max(patch.row, 0), max(patch.col, 0)
        bottom, right = min(patch.row + rows, shape[0]), min(patch.col + columns, shape[1])
        if bottom > top and right > left:
            part = patch.coverage[top - patch.row : bottom - patch.row, left - patch.col : right - patch.col]
            mask[top:bottom, left:right] |= part > 0.9
    return Covered(mask, scale, corner)
