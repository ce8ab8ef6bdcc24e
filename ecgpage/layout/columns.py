"""Columns of equal width, fitted to the edges of boxes."""

from dataclasses import dataclass

import numpy as np

from ecgpage.core.types import Array
from ecgpage.layout.options import LayoutOptions


@dataclass(frozen=True)
class Columns:
    """Columns of equal width: column k spans page x ``first_mm + k * pitch_mm`` to ``width_mm`` further right."""

    count: int
    first_mm: float
    pitch_mm: float
    width_mm: float

    @property
    def end_mm(self) -> float:
        return self.first_mm + (self.count - 1) * self.pitch_mm + self.width_mm

    @property
    def gap_mm(self) -> float:
        """Width, mm, of the blank between columns."""
        return self.pitch_mm - self.width_mm if self.count > 1 else 0.0

    def span(self, column: int | None) -> tuple[float, float]:
        """Page x, mm, of the ends of a column; None: of a strip over all columns."""
        if column is None:
            return self.first_mm, self.end_mm
        start = self.first_mm + column * self.pitch_mm
        return start, start + self.width_mm


def place_in_panels(boxes: Columns, panels_mm: Array, options: LayoutOptions) -> Columns | None:
    """Columns as their time axes say; ``panels_mm`` (n, 3): page x of the first and of the last number of each axis, and
    the first number.

    None where not every column that boxes put has an axis of its own at its place.
    """
    if len(panels_mm) != boxes.count:
        return None
    spans = np.array([boxes.span(k) for k in range(boxes.count)])
    outside = np.array([spans[:, 0] - panels_mm[:, 0], panels_mm[:, 1] - spans[:, 1]])
    if np.abs(outside[0]).max() > options.panel_off_mm or outside[1].max() > options.panel_off_mm:
        return None
    first, last, _ = panels_mm.T
    number = np.arange(boxes.count)
    width = float(np.median(last - first))
    pitch = float(np.polyfit(number, first, 1)[0]) if boxes.count > 1 else width
    if width > pitch or width < 0.5 * boxes.width_mm:
        return None
    return Columns(boxes.count, float(np.mean(first - pitch * number)), pitch, width)


def shared_span(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two spans (start, end)."""
    both = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, both / (max(a[1], b[1]) - min(a[0], b[0]) + 1e-9))


def fit_columns(
    leads: Array, scores: Array, count: int, options: LayoutOptions = LayoutOptions()
) -> list[Columns]:
    """Columns fitted to the edges of the boxes ``leads`` (n, 4) by least squares, from each likely pair of outer edges; empty
    when too few boxes fit.
    """
    found = []
    for left in _find_outer_edges(leads[:, 0], scores, first=True):
        for right in _find_outer_edges(leads[:, 2], scores, first=False):
            columns = _settle_columns(
                leads, scores, Columns(count, left, *([(right - left) / count] * 2)), options
            )
            if columns is not None:
                found.append(columns)
    return found


def _settle_columns(leads: Array, scores: Array, columns: Columns, options: LayoutOptions) -> Columns | None:
    for _ in range(6):
        if columns.width_mm < options.min_column_mm:
            return None
        found = [(k, _find_column(columns, box, options)) for k, box in enumerate(leads)]
        used = [(k, c) for k, c in found if c is not None]
        if not [c for _, c in used if c < columns.count] or len(used) < 0.4 * len(leads):
            return None
        columns = _fit_edges(columns, leads, scores, used)
    return columns


def _find_column(columns: Columns, box: Array, options: LayoutOptions) -> int | None:
    """Column in which a box stands; ``count`` for a strip over all columns, None for neither."""
    spans = [columns.span(k) for k in range(columns.count)]
    spans += [columns.span(None)] if columns.count > 1 else []
    shared = [shared_span((float(box[0]), float(box[2])), span) for span in spans]
    best = int(np.argmax(shared))
    return best if shared[best] > options.min_cell_overlap else None


def _find_outer_edges(edges: Array, scores: Array, *, first: bool) -> list[float]:
    """Page x, mm, of the outermost edge of any box, and of the outermost edge that several boxes share."""
    order = np.argsort(edges if first else -edges, kind="stable")
    places: list[float] = []
    for share in (0.0, 0.12):
        for k in order:
            near = np.abs(edges - edges[k]) < 4.0
            if scores[near].sum() >= share * scores.sum():
                place = float(np.average(edges[near], weights=scores[near]))
                places += [place] if not places or abs(place - places[0]) > 1.0 else []
                break
    return places


def _fit_edges(columns: Columns, leads: Array, scores: Array, used: list[tuple[int, int]]) -> Columns:
    """Columns by robust least squares over the boxes ``used`` (box, column): large errors weigh less."""
    count = columns.count
    lines, values, weights = [], [], []
    for k, c in used:
        start, end = (c, c) if c < count else (0, count - 1)
        span = columns.span(c if c < count else None)
        lines += [[1.0, start, 0.0], [1.0, end, 1.0]]
        values += [leads[k, 0], leads[k, 2]]
        away = np.abs(leads[k, [0, 2]] - span)
        weight = scores[k] / (1 + (away / 2.0) ** 2)
        if c == count:
            weight[1] *= 0.02  # strips may or may not run on under gaps between columns
        weights += list(weight)
    lines.append([0.0, 1.0, -1.0])  # columns touch where the boxes leave it open
    values.append(0.0)
    weights.append(0.5 / (1 + columns.gap_mm**2) if count > 1 else 10.0)
    root = np.sqrt(np.array(weights))
    first, pitch, width = np.linalg.lstsq(
        np.array(lines) * root[:, None], np.array(values) * root, rcond=None
    )[0]
    return Columns(count, float(first), float(pitch), float(width))
