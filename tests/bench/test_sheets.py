"""Sheets for the documentation stay small."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.sheets import MOST_BYTES, write_small


@pytest.mark.slow
@pytest.mark.medium
@pytest.mark.parametrize("name", ["sheet.webp", "sheet.jpg"])
def test_a_sheet_of_noise_is_shrunk_until_it_is_small(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1200, 1900, 3)).astype(np.uint8)
    path = tmp_path / "new" / name
    write_small(path, noise)
    assert path.stat().st_size <= MOST_BYTES
    written = cv2.imread(str(path))
    assert written is not None
    assert 300 < written.shape[1] < 1800


def test_a_small_sheet_keeps_its_size_and_colours(tmp_path: Path) -> None:
    plain = np.full((100, 200, 3), (200, 30, 60), np.uint8)
    write_small(tmp_path / "plain.webp", plain)
    written = cv2.imread(str(tmp_path / "plain.webp"))
    assert written is not None
    assert written.shape == plain.shape
    assert np.abs(written[..., ::-1].astype(int) - plain).max() < 8
