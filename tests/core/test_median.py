"""Medians of whole pictures are those of each place."""

import numpy as np
import pytest

from ecgpage.core.median import median_of


@pytest.mark.parametrize("count", range(1, 22))
def test_medians_are_numpys(count: int) -> None:
    pictures = np.random.default_rng(count).integers(0, 9, (count, 20, 30)).astype(np.float32)
    before = pictures.copy()
    np.testing.assert_array_equal(median_of(list(pictures)), np.median(pictures, axis=0))
    np.testing.assert_array_equal(pictures, before)


def test_no_median_of_nothing() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        median_of([])
