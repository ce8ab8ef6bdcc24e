"""Pictures of strictly periodic grids of all kinds, of which the distance and direction of the lines are known exactly."""

import cv2
import numpy as np

from ecgpage.core.types import Image

KINDS = ("lines", "5-mm lines", "dots", "dashes", "5-mm lines and dots")
SHAPE = (700, 1000)
"""Height and width, pixels."""


def draw_periodic(
    kind: str = "lines",
    pitch_px: tuple[float, float] = (19.3, 19.3),
    angle_deg: float = 0.0,
    *,
    shape: tuple[int, int] = SHAPE,
    origin_px: tuple[float, float] = (7.3, 4.6),
    depth: float = 70.0,
    noise: float = 3.0,
    beats_px: float | None = None,
) -> Image:
    """uint8 (h, w, 3) paper with a grid of ``kind``.

    Args:
        kind: one of ``KINDS``, "1-mm lines", or "none".
        pitch_px: distance of 5-mm lines across the near-vertical and across the other ones.
        angle_deg: direction across the near-vertical lines, from the x axis towards y.
        shape: height and width.
        origin_px: x, y of one crossing of 5-mm lines.
        depth: grey levels by which 5-mm lines are darker than paper.
        noise: grey levels, standard deviation.
        beats_px: distance from beat to beat of four traces; None: no traces.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    x, y = x - origin_px[0], y - origin_px[1]
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    u, v = (cos * x + sin * y) / pitch_px[0], (cos * y - sin * x) / pitch_px[1]  # in squares of 5 mm
    fine = [_ridge(u, pitch_px[0], 5), _ridge(v, pitch_px[1], 5)]
    coarse = [_ridge(u, pitch_px[0], 1), _ridge(v, pitch_px[1], 1)]
    dashes = [coarse[0] * _is_dash(v), coarse[1] * _is_dash(u)]
    dark = {
        "lines": np.maximum.reduce([*coarse, 0.4 * fine[0], 0.4 * fine[1]]),
        "5-mm lines": np.maximum(*coarse),
        "1-mm lines": np.maximum(*fine),
        "dots": fine[0] * fine[1],
        "dashes": np.maximum(*dashes),
        "5-mm lines and dots": np.maximum.reduce([*coarse, 0.7 * fine[0] * fine[1]]),
        "none": np.zeros(shape),
    }[kind]
    paper = 240.0 - depth * dark + np.random.default_rng(5).normal(0, noise, shape)
    picture = np.clip(np.rint(paper), 0, 255).astype(np.uint8)
    if beats_px is not None:
        _draw_traces(picture, beats_px)
    return np.asarray(cv2.merge([picture] * 3), np.uint8)


def _ridge(place: np.ndarray, pitch_px: float, per_square: int) -> np.ndarray:
    """(h, w) darkness, 0 to 1, of lines ``per_square`` to a square; ``place``: in squares."""
    away_px = (place * per_square - np.rint(place * per_square)) * pitch_px / per_square
    return np.exp(-0.5 * (away_px / 0.6) ** 2)


def _is_dash(along: np.ndarray) -> np.ndarray:
    """(h, w) whether a line of three dashes a square is drawn there; ``along``: in squares."""
    return np.asarray(np.mod(along * 3 + 0.3, 1) < 0.6, np.float64)


def _draw_traces(picture: np.ndarray, beats_px: float) -> None:
    """Four rows of narrow beats at a regular distance, in place."""
    height, width = picture.shape
    x = np.arange(30, width - 30, 0.5)
    phase = np.mod(x - 50, beats_px)
    beat = 60 * np.exp(-0.5 * ((phase - 20) / 2.0) ** 2) + 9 * np.exp(
        -0.5 * ((phase - 0.5 * beats_px) / 8) ** 2
    )
    for level in np.linspace(0.2, 0.9, 4) * height:
        line = np.stack([x, level - beat], axis=1)
        cv2.polylines(picture, [np.rint(line * 16).astype(np.int32)], False, 20, 2, cv2.LINE_AA, 4)


def draw_text(shape: tuple[int, int] = SHAPE) -> Image:
    """uint8 (h, w, 3) page of text in lines, without a grid."""
    rng = np.random.default_rng(2)
    page = np.full((*shape, 3), 245, np.uint8)
    for y in range(40, shape[0] - 20, 31):
        words = ("".join(rng.choice(list("abcdefgh ioprstu"), 60)), (30, y), cv2.FONT_HERSHEY_SIMPLEX)
        cv2.putText(page, *words, 0.7, (30, 30, 30), 1, cv2.LINE_AA)
    return page
