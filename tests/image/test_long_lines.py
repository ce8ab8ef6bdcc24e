"""Words, tables and blank paper hold no line that could be a trace; every page with a trace, a grid or a frame does."""

import cv2
import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.image.long_lines import shows_only_words
from tests.drawn import clean_page


def paper() -> Image:
    return np.full((1000, 1400, 3), 250, np.uint8)


def words() -> Image:
    image = paper()
    for k in range(20):
        text = "II 831 -122 0 235 normal sinus rhythm V4 726"
        cv2.putText(image, text, (80, 60 + 45 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2)
    return image


def trace(ink: tuple[int, int, int] = (40, 40, 40)) -> Image:
    """A single thin beat after the other on blank paper, below a header."""
    image = words()
    image[300:] = 250
    x = np.arange(60, 1340)
    y = 650 - 120 * np.exp(-0.5 * (((x % 160) - 80) / 6) ** 2)
    cv2.polylines(image, [np.rint(np.stack([x, y], axis=1)).astype(np.int32)], False, ink, 1, cv2.LINE_AA)
    return image


@pytest.mark.parametrize(
    ("image", "is_words"), [(words(), True), (paper(), True), (trace(), False), (trace((190,) * 3), False)]
)
def test_only_pages_without_a_trace_are_words(image: Image, is_words: bool) -> None:
    assert shows_only_words(image) == is_words


def test_a_page_and_its_worn_copy_are_no_words() -> None:
    image = clean_page().image
    assert not shows_only_words(image)
    faint = np.asarray(255 - (255 - image.astype(np.float32)) * 0.25, np.uint8)
    noisy = np.clip(faint + np.random.default_rng(0).normal(0, 8, faint.shape), 0, 255).astype(np.uint8)
    assert not shows_only_words(noisy)
