"""Another ECG is looked for where the picture has room for one, and only there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgpage.core.types import Image
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.second_page import shows_another
from ecgpage.layout.types import PageLayout, Row, Segment

PX_PER_MM = 4.0


class Counting(LeadDetector):
    """Stands for a detector that sees ``count`` sure leads wherever it looks, and notes the shapes of what it was shown."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen: list[tuple[int, ...]] = []
        super().__init__(self._predict, 640)

    def _predict(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32]]:
        self.seen.append(inputs[0].shape)
        boxes = np.zeros((1, self.count, 5 + 13), np.float32)
        for k in range(self.count):
            boxes[0, k, :5] = (60 + 40 * k, 100, 30, 30, 0.95)
            boxes[0, k, 5 + k % 12] = 1.0
        return (boxes,)


def page(height_px: int) -> tuple[Image, GridMap, PageLayout]:
    """A picture 1200 px wide whose upper 600 px show three rows of leads."""
    nodes = np.stack(np.meshgrid(np.arange(60), np.arange(height_px // 20)), axis=-1) * 5 * PX_PER_MM
    grid = GridMap(nodes.astype(np.float64), (0.0, 0.0), np.ones(nodes.shape[:2]), 0.0, "drawn")
    rows = [Row(np.arange(300.0), np.full(300, 30.0 + 40 * r), np.ones(300)) for r in range(3)]
    segments = [Segment(lead, r, 20.0, 270.0, 0.0, 10.0, 0.0) for r, lead in enumerate(("I", "II", "III"))]
    layout = PageLayout(rows, segments, [], [], 25.0, 10.0, 0.9)
    return np.full((height_px, 1200, 3), 255, np.uint8), grid, layout


@pytest.mark.parametrize(
    ("height_px", "leads", "is_told"),
    [
        (1300, 12, True),
        (1300, 3, False),  # the strips of the same page
        (620, 12, False),  # no room for another one
    ],
)
def test_leads_beside_those_read_are_another_ecg(height_px: int, leads: int, is_told: bool) -> None:
    detector = Counting(leads)
    assert shows_another(*page(height_px), detector) == is_told
    assert bool(detector.seen) == (height_px > 620)


def test_nothing_is_looked_for_around_no_leads() -> None:
    image, grid, layout = page(1300)
    bare = PageLayout(layout.rows, [], [], [], 25.0, 10.0, 0.9)
    assert not shows_another(image, grid, bare, Counting(12))
