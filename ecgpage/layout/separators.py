"""Separators between columns: thick vertical ticks across the rows' baselines at one common pitch."""

import cv2
import numpy as np

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import Row


def mark_ticks(page: FlatPage, rows: list[Row], options: LayoutOptions = LayoutOptions()) -> Array:
    """(rows, width) darkness, 0 to 1, of a thick vertical tick across each row's baseline at each column of the page."""
    kernel = np.ones(
        (int(options.tick_height_mm * Y_PX_PER_MM), int(options.tick_width_mm * X_PX_PER_MM)), np.uint8
    )
    # the median removes noise from the ticks, and removes traces, which are thinner, altogether
    clean = cv2.medianBlur(np.clip(page.ink * 200, 0, 200).astype(np.uint8), 5)
    thick = cv2.erode(clean, kernel).astype(np.float32) / 200
    columns = np.arange(page.ink.shape[1])
    x_mm = page.x_mm(columns.astype(float))
    signals = np.zeros((len(rows), len(columns)))
    for k, row in enumerate(rows):
        base = page.row(row.y_at(x_mm))
        for offset_mm in np.arange(-2.5, 2.6, 0.25):
            at = np.clip(np.rint(base + offset_mm * Y_PX_PER_MM).astype(int), 0, page.ink.shape[0] - 1)
            signals[k] = np.maximum(signals[k], thick[at, columns])
    return signals


def measure_separator_pitch(
    page: FlatPage, rows: list[Row], width_mm: float, options: LayoutOptions = LayoutOptions()
) -> float | None:
    """Ratio of the separators' distance to a quarter of ``width_mm``, on a page of four columns with a map of rough scale;
    None when no such separators show.
    """
    if not rows:
        return None
    ticks = mark_ticks(page, rows, options)
    near = cv2.dilate(ticks.astype(np.float32), np.ones((1, int(0.6 * X_PX_PER_MM)), np.uint8)).astype(float)
    quarter = width_mm / 4 * X_PX_PER_MM
    best = (0.0, 1.0, 0.0)
    for stretch in np.linspace(0.94, 1.06, 61):
        starts = np.arange(0, max(1, page.ink.shape[1] - int(3.2 * stretch * quarter)))
        at = np.rint(starts[:, None] + stretch * quarter * np.arange(1, 4)).astype(int)
        support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].min(axis=2)  # (rows, starts)
        score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
        best = max(
            best, (float(score.max()), float(stretch), float(np.median(starts[score > score.max() - 1e-6])))
        )
    score_of_best, stretch, start = best
    if score_of_best < options.min_tick:
        return None
    centres = find_tick_centres(page, rows, ticks, start, stretch * quarter, 4, options)
    numbers = sorted({k for k, _ in centres})
    if len(numbers) < 3:
        return None
    # the median over the rows, as a beat of one row may be taken for a separator
    middles = [float(np.median([at for k, at in centres if k == number])) for number in numbers]
    slope = np.polyfit(numbers, middles, 1)[0]
    return float(slope / quarter)


def find_tick_centres(
    page: FlatPage,
    rows: list[Row],
    ticks: Array,
    start: float,
    pitch: float,
    columns: int,
    options: LayoutOptions = LayoutOptions(),
) -> list[tuple[int, float]]:
    """Number, from 1, and centre (columns of ``FlatPage.ink``, sub-pixel) of each single tick of the comb."""
    reach = int(1.5 * X_PX_PER_MM)
    found: list[tuple[int, float]] = []
    for k in range(1, columns):
        middle = round(start + pitch * k)
        for r, row in enumerate(rows):
            if ticks[r, max(0, middle - reach) : middle + reach].max(initial=0.0) < options.min_tick:
                continue
            base = round(page.row(row.level_at(page.x_mm(float(middle)))))
            half = int(2.2 * Y_PX_PER_MM)
            patch = np.clip(
                page.ink[max(0, base - half) : base + half, middle - reach : middle + reach + 1], 0, 1
            )
            if patch.shape[1] < 2 * reach:
                continue
            profile = np.quantile(patch, 0.3, axis=0)
            if profile.max() > options.min_tick:
                mass = np.clip(profile - 0.25 * profile.max(), 0, None)
                centre = (mass * np.arange(patch.shape[1])).sum() / mass.sum() + middle - reach
                found.append((k, float(centre)))
    return found
