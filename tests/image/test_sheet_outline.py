"""The outline of a sheet on a table tells how it lies; a sheet of which a side is missing is not taken."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgpage.image.sheet_outline import find_sheet, measure_proportions
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.scale_without_grid import map_without_grid
from ecgpage.synth import MIXES, DrawnPage
from ecgpage.synth.picture import photograph
from tests.drawn import clean_page, record

MODEL = Path(__file__).parents[2] / "model"
A4 = 297 / 210


def seen_from(side: int, tilt: float, pan: float, roll: float, focal: float) -> np.ndarray:
    """(4, 2) corners of an A4 sheet, the left upper one first, in a picture of side x 0.75 side px; degrees."""
    a, b, c = np.deg2rad([tilt, pan, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    corners = (
        np.array([[-A4, -1, 0], [A4, -1, 0], [A4, 1, 0], [-A4, 1, 0]]) / 2 @ (about_z @ about_y @ about_x).T
    )
    depth = corners[:, 2:] + 2.1 * focal
    return corners[:, :2] / depth * focal * side + np.array([side - 1, 0.75 * side - 1]) / 2


def picture(corners: np.ndarray, side: int = 1600) -> np.ndarray:
    """A pale sheet with strokes on a brown table."""
    table = np.full((side * 3 // 4, side, 3), (96, 70, 50), np.uint8)
    cv2.fillConvexPoly(table, np.rint(corners * 16).astype(np.int32), (225, 222, 215), cv2.LINE_AA, 4)
    middle = corners.mean(axis=0)
    for share in (-0.5, 0.0, 0.5):
        ends = [middle + 0.8 * (corners[k] - middle) * (1, share) for k in (0, 1)]
        cv2.line(table, *(tuple(int(v) for v in end) for end in ends), (20, 20, 20), 3)
    noise = np.random.default_rng(0).normal(0, 4, table.shape)
    return np.clip(table + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("tilt", "pan", "roll"), [(0, 0, 0), (18, -9, 12), (-12, 20, -24)])
def test_corners_are_found_where_they_are(tilt: float, pan: float, roll: float) -> None:
    true = seen_from(1600, tilt, pan, roll, focal=0.72)
    found = find_sheet(picture(true))
    assert found is not None
    assert np.abs(found - true).max() < 2.0


@pytest.mark.parametrize("focal", [0.72, 1.1])
def test_the_sheets_proportions_are_those_of_paper(focal: float) -> None:
    corners = seen_from(1600, 18, -14, 5, focal)
    assert measure_proportions(corners, (1200, 1600)) == pytest.approx(A4, rel=0.01)


def test_a_sheet_that_is_cut_off_has_no_outline() -> None:
    assert find_sheet(picture(seen_from(1600, 0, 0, 0, focal=0.72))[:, 500:]) is None


def test_a_picture_without_a_table_has_no_outline() -> None:
    assert find_sheet(clean_page().image) is None


@cache
def aslant() -> DrawnPage:
    """A page without a grid, photographed from the side."""
    page = clean_page().truth.page
    page = replace(page, grid=None, paper=replace(page.paper, margin=4.0))
    mix = replace(MIXES["generator-clean"], rotation=(13.0, 13.0), tilt=(15.0, 15.0), tilt_towards=(200.0, 200.0),
                  fill=(0.85, 0.85), long_side=(1800, 1801), frame="camera", backgrounds=("wood",))  # fmt: skip
    return photograph(page, record(), mix, np.random.default_rng(5))


@pytest.mark.medium
def test_a_photo_without_a_grid_is_flattened_by_its_outline() -> None:
    drawn = aslant()
    grid = map_without_grid(drawn.image, LeadDetector.load(MODEL))
    assert not grid.is_printed
    true = drawn.truth.page_map.page_from_image(grid.nodes.reshape(-1, 2))
    x, y = np.meshgrid(*(5.0 * np.arange(n) for n in grid.quality.shape[::-1]))
    on_map = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    to_page = np.linalg.lstsq(on_map, true, rcond=None)[0]
    inside = ((true > 10) & (true < np.array(drawn.truth.paper) - 10)).all(axis=1)
    assert np.abs(true - on_map @ to_page)[inside].max() < 0.5  # an even map: no perspective is left
    np.testing.assert_allclose(to_page[:2], np.eye(2), atol=0.025)
