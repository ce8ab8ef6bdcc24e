"""Grids that cannot be followed are refused with a reason."""

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.synth.page.rasterize import draw_page
from tests.drawn import clean_page, record


@pytest.mark.medium
def test_a_map_that_two_halves_of_its_lines_do_not_share_is_refused() -> None:
    image = draw_page(clean_page().truth.page, record(), 120.0)
    frequencies = find_grid_frequencies(image)
    found = lock_grid(image, frequencies)
    assert found.residual_px < 0.1 * found.px_per_mm
    strict = GridOptions(max_error_mm=0.1 * found.residual_px / found.px_per_mm)
    with pytest.raises(EcgPageError, match="too faint"):
        lock_grid(image, frequencies, options=strict)


def test_a_picture_without_a_grid_is_refused() -> None:
    image = np.full((600, 800, 3), 240, np.uint8)
    with pytest.raises(EcgPageError, match="no ECG grid found"):
        lock_grid(image, find_grid_frequencies(image))
