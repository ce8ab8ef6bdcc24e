"""Nodes that stand off their lines are brought back onto them."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.grid.extension import extend_map
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import find_line_offsets
from ecgpage.grid.plot_quantisation import PlotPixels
from ecgpage.grid.refinement import measure_lines, refine_map
from tests.grid.lattices import PX_PER_MM, draw_lattice, flat, map_lattice

SHAPE = (800, 1200)
EXACT = map_lattice(np.arange(1, 46), np.arange(1, 31))
"""All lines of the flat picture but those at its edges."""


def displace(grid: GridMap, by_mm: float) -> GridMap:
    """The map with its nodes off by a smooth wave."""
    ny, nx = grid.quality.shape
    x, y = np.meshgrid(np.arange(nx), np.arange(ny))
    wave = np.stack([np.sin(x / 6 + y / 9), np.cos(x / 8 - y / 7)], axis=-1)
    return replace(grid, nodes=grid.nodes + by_mm * PX_PER_MM * wave)


def measure_error_mm(grid: GridMap) -> np.ndarray:
    """(ny, nx, 2) distances, mm, of the nodes from the lines of the flat picture."""
    places = np.stack(flat(grid.nodes[..., 0], grid.nodes[..., 1]), axis=-1)
    return np.asarray(places - SQUARE_MM * np.rint(places / SQUARE_MM))


@pytest.mark.parametrize("offset_mm", [-0.9, -0.2, 0.0, 0.35, 1.1])
def test_a_line_is_found_where_it_stands_in_its_profile(offset_mm: float) -> None:
    at_mm = (np.arange(40) - 19.5) * SQUARE_MM / 40
    profile = np.exp(-0.5 * ((at_mm - offset_mm) / 0.2) ** 2).astype(np.float32)
    offset, weight = find_line_offsets(profile[None, None], half_width_mm=1.2)
    assert offset[0, 0] == pytest.approx(offset_mm, abs=0.03)  # a fourth of a sample
    assert weight[0, 0] == 1


def test_a_profile_without_a_line_has_no_weight() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (6, 6, 40)).astype(np.float32)
    assert np.median(find_line_offsets(noise, half_width_mm=1.2)[1]) < 0.3


def test_displaced_nodes_come_back_onto_the_lines() -> None:
    displaced = displace(EXACT, 0.5)
    assert np.abs(measure_error_mm(displaced)).max() > 0.45
    refined = refine_map(displaced, measure_lines(255 - draw_lattice(SHAPE, flat), displaced, 1.5))
    error_mm = measure_error_mm(refined)
    assert np.sqrt((error_mm**2).mean()) < 0.02
    assert refined.residual_px < 0.1


def test_lines_that_a_plotter_moved_are_followed_as_they_were_meant() -> None:
    """Lines on whole pixels of a plot of 144 dpi stand off by up to 0.088 mm."""
    pixels = PlotPixels(25.4 / 144, 0.3)
    lines_mm = SQUARE_MM * np.arange(-2.0, 60.0)
    drawn_mm = lines_mm + pixels.shift(lines_mm)

    def snapped(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = flat(x, y)
        return np.interp(u, drawn_mm, lines_mm), np.interp(v, drawn_mm, lines_mm)

    dark = 255 - draw_lattice(SHAPE, snapped)
    refined = refine_map(EXACT, measure_lines(dark, EXACT, 0.7))
    error_mm = measure_error_mm(refined)
    error_mm -= error_mm.mean(axis=(0, 1))
    assert np.abs(pixels.shift(lines_mm)).max() > 0.08
    assert np.abs(error_mm).max() < 0.03


def test_a_map_of_a_part_grows_as_far_as_the_grid_shows() -> None:
    light = draw_lattice(SHAPE, flat)
    light[:, 900:] = 235  # no lines there
    part = map_lattice(np.arange(8, 20), np.arange(8, 20))
    grown = extend_map(255 - light, part, stiffness=300.0)
    x, y = grown.nodes[grown.quality > 0].T
    assert x.min() < 60
    assert y.min() < 60
    assert y.max() > 740
    assert 850 < x.max() < 960
    assert np.abs(measure_error_mm(grown)[grown.quality > 0]).max() < 0.25
