"""Compose the picture of the flat sheet: one remap, lit, over its background.

Geometry and light are evaluated on a lattice of ``STRIDE`` pixels and interpolated between (the residual
is below 0.1 px for every relief that ``relief`` makes); the picture is made in bands of rows to stay in
the cache.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Rng
from ecgpage.synth.scene import light
from ecgpage.synth.scene.light import Lamp
from ecgpage.synth.scene.page_map import PageMap
from ecgpage.synth.scene.relief import PAD, STEP, Relief

Lattice = NDArray[np.float32]

STRIDE: Final = 8
"""Distance, px, of the lattice's nodes."""
BAND: Final = 8
"""Number of lattice rows drawn at a time."""


@dataclass(frozen=True)
class Scene:
    """Sheet, its place and its background."""

    sheet: Image
    scale: float
    """Resolution, px/mm, of ``sheet``."""
    corner: tuple[int, int]
    """Edge pixel of ``sheet`` at the page's origin."""
    under: Image
    """Background, which sets the size of the picture and is drawn over."""
    page_map: PageMap
    relief: Relief | None


@dataclass(frozen=True)
class Panel:
    """Pixels of a screen."""

    transmission: Image
    """(64, 3) transmission across one pixel, for red, green, blue."""
    axes: NDArray[np.float32] | None = None
    """(2, 2) map from dots of the page to pixels of the screen; None where they coincide."""


def compose(scene: Scene, lamp: Lamp, rng: Rng) -> Image:
    """Lit picture, uint8 (H, W, 3)."""
    shape = scene.under.shape[:2]
    nodes, rows, columns = lattice_nodes((shape[0], shape[1]))
    flat = scene.page_map.sheet_from_image(nodes)
    page = flat if scene.page_map.displacement is None else flat + scene.page_map.displacement(flat)
    source = page * scene.scale + np.array(scene.corner) - 0.5
    source_map = source.astype(np.float32).reshape(rows, columns, 2)
    lit = _light(scene, lamp, flat.reshape(rows, columns, 2), source_map, rng)
    panel = _panel(rng) if lamp.screen else None
    image = scene.under
    for top in range(0, rows - 2, BAND):
        at = _enlarge(source_map, top)[:, : shape[1]]
        band = image[top * STRIDE : top * STRIDE + at.shape[0]]
        at = at[: band.shape[0]]
        _draw_band(scene.sheet, band, at, panel)
        cv2.multiply(band, _enlarge(lit, top)[: band.shape[0], : shape[1]], dst=band, dtype=cv2.CV_8U)
    return image


def lattice_nodes(shape: tuple[int, int]) -> tuple[NDArray[np.float64], int, int]:
    """Image positions (n, 2) of the lattice, and its rows and columns; it reaches one node beyond the picture."""
    rows, columns = (-(-n // STRIDE) + 2 for n in shape)
    x = (np.arange(columns, dtype=np.float64) - 0.5) * STRIDE - 0.5
    y = (np.arange(rows, dtype=np.float64) - 0.5) * STRIDE - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), rows, columns


def _enlarge(lattice: Lattice, top: int) -> Lattice:
    """Pixel rows from ``top * STRIDE`` on, interpolated between lattice nodes, for one band."""
    part = lattice[top : top + BAND + 2]
    size = (part.shape[1] * STRIDE, part.shape[0] * STRIDE)
    large = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)
    return large[STRIDE:-STRIDE, STRIDE:-STRIDE]


def _draw_band(sheet: Image, band: Image, at: Lattice, panel: Panel | None) -> None:
    """Sample the sheet for one band; pixels that see no paper keep the background."""
    inside = (at[..., 0].max() > 0) and (at[..., 1].max() > 0)
    if not inside or at[..., 0].min() > sheet.shape[1] or at[..., 1].min() > sheet.shape[0]:
        return
    _remap(sheet, at, dst=band, borderMode=cv2.BORDER_TRANSPARENT)
    if panel is not None:
        table = panel.transmission
        place = at if panel.axes is None else cv2.transform(at, panel.axes)
        index = (np.asarray(place) * len(table)).astype(np.int32) & (len(table) - 1)
        cv2.multiply(band, table[index[..., 0]], dst=band, scale=1 / 255)
        down = table[index[..., 1]][..., :1]
        cv2.multiply(band, np.repeat(down, 3, axis=2), dst=band, scale=1 / 255)


def _remap(source: NDArray[Any], at: Lattice, **options: Any) -> NDArray[Any]:
    """Bilinear ``cv2.remap`` with x and y in one map, typed here as its hints do not allow None for the second."""
    second: Any = None
    return np.asarray(cv2.remap(source, at, second, cv2.INTER_LINEAR, **options))


def _panel(rng: Rng) -> Panel:
    """Random screen: mostly three stripes for each dot of the page, else coarser pixels or lozenges."""
    phase = np.arange(64) / 64
    kind = rng.random()
    depth = float(rng.uniform(0.05, 0.45))
    stripes = [1 - depth * (0.5 - 0.5 * np.cos(2 * np.pi * (phase - c / 3))) for c in range(3)]
    table = np.asarray(255 * np.stack(stripes, axis=1), np.uint8)
    if kind < 0.5:
        return Panel(table)
    turn = np.pi / 4 if kind > 0.75 else float(rng.normal(0, 0.02))
    pitch = float(rng.uniform(0.7, 1.4)) if kind > 0.75 else float(rng.uniform(1.3, 3.5))
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)
    return Panel(table, axes / np.float32(pitch))


def _light(scene: Scene, lamp: Lamp, flat: NDArray[np.float64], source: Lattice, rng: Rng) -> Lattice:
    """Factor (rows, columns, 3) at each lattice node."""
    rows, columns = source.shape[:2]
    unit = np.float32(1 / max(rows, columns))
    x = np.broadcast_to(np.arange(columns, dtype=np.float32) * unit, (rows, columns))
    y = np.broadcast_to(np.arange(rows, dtype=np.float32)[:, None] * unit, (rows, columns))
    level = np.full((rows, columns), lamp.brightness, np.float32)
    if lamp.gradient:
        level *= light.gradient(x, y, lamp.gradient, rng)
    if lamp.vignette:
        level *= light.vignette(x, y, lamp.vignette)
    for depth in lamp.shadows:
        level *= light.shadow(x, y, depth, rng)
    if lamp.shading:
        angle, elevation = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.45, 1.2))
        inside = _distance_inside(scene, source)
        _cast_shadow(scene.under, inside, 0.5 * lamp.shading, angle)
        if scene.relief is not None:
            shade = scene.relief.shading((-np.cos(angle), -np.sin(angle)), elevation).astype(np.float32)
            seen = _remap(shade, ((flat + PAD) / STEP).astype(np.float32), borderMode=cv2.BORDER_REPLICATE)
            # beside the sheet it fades out: a step would show the lattice
            level *= 1 + np.float32(lamp.shading) * (seen - 1) * np.clip(1 + inside / 10, 0, 1)
    if lamp.refresh:
        level *= light.refresh_band(y, lamp.refresh, rng)
    if lamp.glare:
        level += light.glare(x, y, lamp.glare, rng)
    colors = light.color_cast(lamp.cast, rng) * np.ones((1, 1, 3), np.float32)
    if lamp.mixed:
        colors = colors * light.mixed_light(x, y, lamp.mixed, rng)
    return np.ascontiguousarray(level[..., None] * colors, np.float32)


def _distance_inside(scene: Scene, source: Lattice) -> Lattice:
    """Distance, mm, of each lattice node from the sheet's nearest edge; negative beside the sheet."""
    rows, columns = scene.sheet.shape[:2]
    x, y = source[..., 0], source[..., 1]
    edges = np.stack([x, columns - x, y, rows - y])
    return np.asarray(edges.min(axis=0) / np.float32(scene.scale), np.float32)


def _cast_shadow(under: Image, inside: Lattice, depth: float, angle: float) -> None:
    """Darken the background beside the sheet, on the side away from the light, in place."""
    move = np.array([[1, 0, 3 * np.cos(angle)], [0, 1, 3 * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(inside, move, inside.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    dark = 1 - np.float32(min(depth, 0.8)) / (
        1 + np.exp(-np.clip(np.asarray(moved, np.float32) / 4, -30, 30))
    )
    factor = np.repeat((dark * 255).astype(np.uint8)[..., None], 3, axis=2)
    size = (factor.shape[1] * STRIDE, factor.shape[0] * STRIDE)
    large = cv2.resize(factor, size, interpolation=cv2.INTER_LINEAR)
    seen = large[STRIDE : STRIDE + under.shape[0], STRIDE : STRIDE + under.shape[1]]
    cv2.multiply(under, seen, dst=under, scale=1 / 255)
