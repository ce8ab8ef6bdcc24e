"""Pages as programs plot them: a panel for each lead, squares of any proportions, numbers turned names."""

from dataclasses import dataclass

import cv2
import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Image
from ecgpage.synth.page.text import text_patch
from tests.drawn import FS, lawful_record

RED, ROSE = (210, 40, 40), (250, 190, 190)


@dataclass(frozen=True)
class Plot:
    """Panels of all leads along the rows, each with axes of its own."""

    px_per_s: float
    px_per_mv: float
    seconds: float = 5.0
    columns: int = 2
    half_mv: float = 1.8
    """Height of a panel above and below 0 mV."""
    font: str = "DejaVuSans"
    size: float = 13.0
    """Pixels of an em."""
    step_s: float = 0.2
    numbers: bool = True
    margin: int = 70
    gap: int = 40

    @property
    def panel(self) -> tuple[int, int]:
        """Width and height, px."""
        return round(self.seconds * self.px_per_s), round(2 * self.half_mv * self.px_per_mv)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Left upper corner, px, of each lead's panel."""
        width, height = self.panel
        return [
            (self.margin + (k % self.columns) * (width + self.gap), 40 + (k // self.columns) * height)
            for k in range(len(LEADS))
        ]


def draw_plot(plot: Plot) -> Image:
    """Picture uint8 (H, W, 3) of the lawful record."""
    width, height = plot.panel
    last_x, last_y = plot.corners[-1]
    picture = np.full((last_y + height + 60, last_x + width + 30, 3), 255, np.uint8)
    for k, (x, y) in enumerate(plot.corners):
        _draw_lines(picture, plot, x, y)
        mv = lawful_record()[: round(plot.seconds * FS), k]
        at = x + np.arange(len(mv)) / FS * plot.px_per_s
        curve = np.stack([at, y + height / 2 - mv * plot.px_per_mv], axis=1)
        cv2.polylines(
            picture, [np.round(curve * 16).astype(np.int32)], False, (30, 60, 160), 1, cv2.LINE_AA, 4
        )
        cv2.rectangle(picture, (x, y), (x + width, y + height), (0, 0, 0), 1)
        if plot.numbers:
            _number_axes(
                picture, plot, x, y, is_lowest=k + plot.columns >= len(LEADS), is_first=k % plot.columns == 0
            )
        write(
            picture,
            LEADS[k],
            x - 0.75 * (plot.margin if k % plot.columns == 0 else plot.gap),
            y + height / 2,
            plot,
            turned=True,
        )
    return picture


def _draw_lines(picture: Image, plot: Plot, x: int, y: int) -> None:
    width, height = plot.panel
    for color, across, down in ((ROSE, 0.04, 0.2), (RED, 0.2, 1.0)):
        for k in range(int(plot.seconds / across + 1e-6) + 1):
            at = round(x + k * across * plot.px_per_s)
            cv2.line(picture, (at, y), (at, y + height), color, 1)
        for k in range(-int(plot.half_mv / down), int(plot.half_mv / down) + 1):
            at = round(y + height / 2 - k * down * plot.px_per_mv)
            cv2.line(picture, (x, at), (x + width, at), color, 1)


def _number_axes(picture: Image, plot: Plot, x: int, y: int, *, is_lowest: bool, is_first: bool) -> None:
    _, height = plot.panel
    if is_lowest:
        for k in range(round(plot.seconds / plot.step_s) + 1):
            at = x + k * plot.step_s * plot.px_per_s
            write(picture, f"{k * plot.step_s:.1f}", at, y + height + 20, plot, turned=True)
    if is_first:
        for k in range(-int(plot.half_mv), int(plot.half_mv) + 1):
            write(picture, f"{k}".replace("-", "\u2212"), x - 14, y + height / 2 - k * plot.px_per_mv, plot)


def write(picture: Image, text: str, x: float, y: float, plot: Plot, *, turned: bool = False) -> None:
    """Write a text with its middle at (x, y), from below to above where it is turned."""
    ink = text_patch(text, 0, 0, plot.font, plot.size).coverage
    ink = np.rot90(ink) if turned else ink
    top, left = round(y - ink.shape[0] / 2), round(x - ink.shape[1] / 2)
    part = picture[top : top + ink.shape[0], left : left + ink.shape[1]]
    part[...] = np.round(part * (1 - ink[..., None])).astype(np.uint8)
