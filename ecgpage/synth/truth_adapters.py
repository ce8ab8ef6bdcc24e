"""Truth of a drawn page in the form of the stages' results: its grid map, its boxes, the comparison with a layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array, Rng
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.types import PageLayout
from ecgpage.synth.page.model import Grid
from ecgpage.synth.truth import DrawnPage, rectangle

MOST_AWAY_MM: Final = 1.0
"""Distance, mm, up to which an end of a lead is right."""
MOST_MOVED_MM: Final = (15.0, 8.0)
"""Distances, mm, along and across the rows, beyond which a lead stands elsewhere."""
P_MISSING: Final = 0.03
"""Chance that a detector misses a box; it and the chances below are invented, not measured on the shipped detector."""
P_MISNAMED: Final = 0.02
"""Chance that a box has another lead's name."""
P_STRAY: Final = 0.3
"""Chance of a box where there is no lead."""

Key = tuple[str, bool, bool]
"""Lead, whether it is a strip, whether it is drawn upside down."""


def exact_grid(drawn: DrawnPage) -> GridMap:
    """Map of a drawn page from its truth: nodes on the printed 5-mm lines within the picture."""
    truth = drawn.truth
    width, height = truth.paper
    left, _, _, bottom = (truth.page.grid or Grid()).area_on(truth.page.paper)
    x = np.arange(left % SQUARE_MM, width, SQUARE_MM)
    y = np.arange(bottom % SQUARE_MM, height, SQUARE_MM)
    nodes = truth.page_map.image_from_page(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    nodes = nodes.reshape(len(y), len(x), 2)
    return GridMap(nodes, (0.0, 0.0), find_visible(drawn, nodes).astype(np.float64), 0.0, "drawn")


def find_visible(drawn: DrawnPage, points: Array) -> NDArray[np.bool_]:
    """Whether each of ``points`` (..., 2), px, lies in the picture: (...)."""
    height, width = drawn.image.shape[:2]
    return np.asarray(((points >= -0.5) & (points < (width - 0.5, height - 0.5))).all(axis=-1), np.bool_)


def true_boxes(drawn: DrawnPage, grid: GridMap, rng: Rng | None = None) -> PageBoxes:
    """Boxes of the drawn leads and pulses, in the map's page mm, sure of their names.

    With ``rng`` they have a detector's faults: some are missing or misnamed, edges are off by half a millimetre, and
    now and then there is a stray box.
    """
    truth = drawn.truth
    to_map = fit_page_to_map(drawn, grid)
    leads = np.array([_bound(to_map, truth.page_map.page_from_image(s.polygon)) for s in truth.segments])
    ends = [(p.x.min(), p.y.min(), p.x.max(), p.y.max()) for p in truth.page.pulses]
    pulses = np.array([_bound(to_map, rectangle(end)) for end in ends]).reshape(-1, 4)
    index = np.array([LEADS.index(s.lead) for s in truth.segments])
    scores = sure = np.ones(len(leads))
    if rng is not None:
        leads, index = _add_faults(leads, index, rng)
        scores, sure = rng.uniform(0.6, 0.98, len(leads)), rng.uniform(0.6, 1.0, len(leads))
        pulses = pulses[rng.random(len(pulses)) >= P_MISSING]
        pulses = pulses + rng.normal(0, 0.4, pulses.shape)
    names = np.full((len(leads), len(LEADS)), 0.02)
    names[np.arange(len(leads)), index] = sure
    return PageBoxes(leads, scores, names, pulses)


def _add_faults(leads: Array, index: NDArray[np.intp], rng: Rng) -> tuple[Array, NDArray[np.intp]]:
    """Boxes (n, 4) mm and the numbers (n,) of their leads with the faults of a detector."""
    seen = rng.random(len(leads)) >= P_MISSING
    seen[0] |= not seen.any()
    leads, index = leads[seen] + rng.normal(0, 0.5, (int(seen.sum()), 4)), index[seen]
    wrong = rng.random(len(index)) < P_MISNAMED
    index = np.where(wrong, rng.integers(0, len(LEADS), len(index)), index)
    if rng.random() < P_STRAY:
        corner = rng.uniform((0, 0), (200, 180))
        leads = np.concatenate([leads, [[*corner, *(corner + rng.uniform((20, 10), (80, 20)))]]])
        index = np.append(index, rng.integers(len(LEADS)))
    return leads, index


def fit_page_to_map(drawn: DrawnPage, grid: GridMap) -> Array:
    """Affine map (3, 2) from the page's true mm to those of ``grid``, least squares over its nodes."""
    ny, nx = grid.quality.shape
    seen = grid.quality > 0
    x0, y0 = grid.origin_mm
    at = np.stack(np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny)), -1)[seen]
    page = drawn.truth.page_map.page_from_image(grid.nodes[seen])
    solution: Array = np.linalg.lstsq(np.column_stack([page, np.ones(len(page))]), at, rcond=None)[0]
    return solution


def _bound(to_map: Array, corners: Array) -> tuple[float, float, float, float]:
    """Upright box x0, y0, x1, y1 around mapped ``corners`` (n, 2)."""
    seen = np.column_stack([corners, np.ones(len(corners))]) @ to_map
    (x0, y0), (x1, y1) = seen.min(axis=0), seen.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


# --- layouts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanComparison:
    """Comparison of a layout with the drawn one."""

    is_right: bool
    """Whether exactly the drawn leads are found, under their names, ends within 1 mm, upside down where drawn so."""
    is_named: bool
    """Whether all leads stand in their rows and columns, wherever their ends are."""
    is_scaled: bool
    """Whether speed and gains are right."""
    edge_mm: float
    """Mean distance of the ends, page mm; NaN where leads are missing."""
    late_s: float
    """Largest time, s, by which a lead begins off its place, after one shift of all; NaN where leads are missing."""
    wrong: str
    """Faults in words; empty without any."""


@dataclass(frozen=True)
class _Place:
    """Place, mm, of a lead on the page, and its gain, mm/mV."""

    x0: float
    x1: float
    y: float
    gain: float

    def is_elsewhere(self, other: "_Place") -> bool:
        along, across = MOST_MOVED_MM
        return abs(self.x0 - other.x0) > along or abs(self.y - other.y) > across


def compare_plan(drawn: DrawnPage, grid: GridMap, layout: PageLayout) -> PlanComparison:
    """Compare a layout that was read on ``grid`` with the drawn one."""
    page = drawn.truth.page
    wanted, found = _drawn_places(drawn), _read_places(drawn, grid, layout)
    lost, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    both = {key: (wanted[key], found[key]) for key in wanted if key in found}
    elsewhere = [key for key, (here, there) in both.items() if here.is_elsewhere(there)]
    ends_mm = np.array([[w.x0 - f.x0, w.x1 - f.x1] for w, f in both.values()]).reshape(-1, 2)
    is_scaled = layout.speed_mm_per_s == page.speed
    is_scaled &= all(abs(w.gain - f.gain) < 0.01 for w, f in both.values())
    is_named = not (lost or extra or elsewhere) and len(layout.segments) == len(page.segments)
    most = float(np.abs(ends_mm).max(initial=0.0))
    is_right = is_named and most < MOST_AWAY_MM
    wrong = ""
    if not is_named:
        wrong = f"lost {_list_keys(lost)} extra {_list_keys(extra)} elsewhere {_list_keys(elsewhere)}"
    elif not is_right:
        wrong = f"ends off by {most:.1f} mm"
    if not is_scaled:
        wrong += f"; {page.speed:g} mm/s {page.gain:g} mm/mV read as {layout.speed_mm_per_s:g} {layout.gain_mm_per_mv:g}"
    edge_mm = late_s = float("nan")
    if is_named:
        edge_mm = float(np.abs(ends_mm).mean())
        late_s = float(np.abs(ends_mm[:, 0] - np.median(ends_mm[:, 0])).max()) / page.speed
    return PlanComparison(is_right, is_named, is_scaled, edge_mm, late_s, wrong)


def _drawn_places(drawn: DrawnPage) -> dict[Key, _Place]:
    page = drawn.truth.page
    return {
        (s.lead, s.strip, s.gain < 0): _Place(
            s.x0, s.x0 + (s.stop - s.start) * page.speed / page.fs, s.baseline, s.gain
        )
        for s in page.segments
    }


def _read_places(drawn: DrawnPage, grid: GridMap, layout: PageLayout) -> dict[Key, _Place]:
    """Places of the layout's leads on the drawn page, through the picture."""
    places: dict[Key, _Place] = {}
    for s in layout.segments:
        level = s.baseline(layout.rows)
        x, y = grid.to_image(np.array([s.x0_mm, s.x1_mm]), np.array([level, level]))
        (x0, y0), (x1, y1) = drawn.truth.page_map.page_from_image(np.stack([x, y], axis=1))
        key = s.lead, s.is_strip, s.gain_mm_per_mv < 0
        places[key] = _Place(float(x0), float(x1), float(y0 + y1) / 2, s.gain_mm_per_mv)
    return places


def _list_keys(keys: Sequence[Key]) -> str:
    """Leads with "-" before those upside down and "*" behind strips."""
    return " ".join("-" * minus + name + "*" * strip for name, strip, minus in keys) or "none"
