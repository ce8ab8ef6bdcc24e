"""Light on the scene, as a factor per colour on a coarse lattice of the picture.

Arrays are float32 (rows, columns, 3) over lattice nodes; ``nodes`` (n, 2) their image positions in units
of the picture's longer side, so that everything is independent of resolution.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Rng

Light = NDArray[np.float32]


@dataclass(frozen=True)
class Lamp:
    """Strengths of the light in one picture."""

    brightness: float = 1.0
    shading: float = 0.0
    gradient: float = 0.0
    vignette: float = 0.0
    shadows: tuple[float, ...] = ()
    """Depth of each shadow."""
    glare: float = 0.0
    mixed: float = 0.0
    cast: float = 0.0
    screen: bool = False
    """Whether the page is shown by a screen, through the pixels of a panel."""
    refresh: float = 0.0
    """Depth of the bands that a screen's refresh leaves."""


def gradient(x: Light, y: Light, strength: float, rng: Rng) -> Light:
    """A lamp or window to one side: brightness falls off across the picture."""
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    along = (along - along.mean()) / np.float32(max(float(np.ptp(along)), 1e-6))
    return np.asarray(1 + strength * along, np.float32)


def vignette(x: Light, y: Light, strength: float) -> Light:
    """Darker corners."""
    r2 = (x - x.mean()) ** 2 + (y - y.mean()) ** 2
    return np.asarray(1 - strength * r2 / r2.max(), np.float32)


def shadow(x: Light, y: Light, depth: float, rng: Rng) -> Light:
    """Edge of a soft shadow: a hand, head or phone between lamp and paper."""
    angle = rng.uniform(0, 2 * np.pi)
    cx, cy = x.mean() + rng.uniform(-0.3, 0.3), y.mean() + rng.uniform(-0.25, 0.25)
    across = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    along = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    bend = rng.uniform(-0.6, 0.6) * along**2 + 0.03 * np.sin(along * rng.uniform(4, 14) + rng.uniform(0, 6))
    softness = float(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
    edge = across + bend
    if rng.random() < 0.4:  # a finger or an arm: two edges
        edge = np.abs(edge) - rng.uniform(0.04, 0.2)
    return np.asarray(1 - depth / (1 + np.exp(np.clip(edge / softness, -30, 30))), np.float32)


def glare(x: Light, y: Light, strength: float, rng: Rng) -> Light:
    """A bright spot; added by multiplying, it saturates the paper and bleaches the ink."""
    cx, cy = x.mean() + rng.uniform(-0.35, 0.35), y.mean() + rng.uniform(-0.25, 0.25)
    size = rng.uniform(0.05, 0.25)
    stretch = rng.uniform(0.5, 2)
    return np.asarray(
        strength * np.exp(-((x - cx) ** 2 + ((y - cy) * stretch) ** 2) / (2 * size**2)), np.float32
    )


def refresh_band(y: Light, strength: float, rng: Rng) -> Light:
    """Bands across a picture of a screen that was redrawn during the exposure."""
    wave = np.sin(2 * np.pi * (y * rng.uniform(0.5, 4) + rng.random()))
    return np.asarray(1 - strength * (0.5 + 0.5 * np.tanh(wave * rng.uniform(0.7, 5))), np.float32)


def color_cast(strength: float, rng: Rng) -> NDArray[np.float32]:
    """Gains of red, green, blue for warm to cool light with a little green or magenta."""
    warm, green = rng.normal(0, strength), rng.normal(0, strength / 3)
    gains = np.array([1 + warm, 1 + green, 1 - warm], np.float32)
    return np.asarray(gains / gains.mean(), np.float32)


def mixed_light(x: Light, y: Light, strength: float, rng: Rng) -> Light:
    """Two lamps of different colour from two sides: (rows, columns, 3)."""
    side = gradient(x, y, 1.0, rng) - 0.5
    one, two = color_cast(strength, rng), color_cast(strength, rng)
    return np.asarray(side[..., None] * one + (1 - side[..., None]) * two, np.float32)
