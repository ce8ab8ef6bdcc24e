"""Between pictures and boxes, on arrays: letterbox and non-maximum suppression; nothing here needs PyTorch."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

PAD_GREY: Final = 114
"""Grey around a letterboxed picture."""


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies on its square canvas: canvas = picture * scale + corner, edge coordinates."""

    scale: tuple[float, float]
    """Along x and y: equal but for the rounding to whole pixels."""
    corner: tuple[int, int]
    """x and y of the picture's upper left corner on the canvas."""

    def to_canvas(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes (n, 4) of the picture, in px of the canvas."""
        return np.asarray(boxes * (self.scale * 2) + self.corner * 2, np.float32)

    def to_picture(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes (n, 4) of the canvas, in px of the picture."""
        return np.asarray((boxes - self.corner * 2) / (self.scale * 2), np.float32)


@dataclass(frozen=True)
class Detections:
    """Boxes of one picture, most certain first."""

    boxes: NDArray[np.float32]
    """(n, 4) x0, y0, x1, y1, px."""
    scores: NDArray[np.float32]
    """(n,) objectness x probability of the class, 0 to 1."""
    classes: NDArray[np.int64]
    """(n,) the most likely class."""
    probabilities: NDArray[np.float32]
    """(n, classes) of each class, 0 to 1, if there is an object; they need not add up to 1."""


def letterbox(grey: Grey, size: int) -> tuple[Grey, Letterbox]:
    """Fit a grey picture uint8 (h, w) into the middle of a square canvas (size, size) padded with PAD_GREY.

    The longer side fills the canvas. Raises ValueError for a picture that is not (h, w) uint8 or is empty.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8 or 0 in grey.shape:
        raise ValueError(f"a grey picture uint8 (h, w) is needed, got {grey.dtype} {grey.shape}")
    h, w = grey.shape
    scale = size / max(h, w)
    rows, columns = max(1, round(h * scale)), max(1, round(w * scale))
    left, top = (size - columns) // 2, (size - rows) // 2
    if (rows, columns) != (h, w):
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(grey, (columns, rows), interpolation=way), np.uint8)
    canvas = np.full((size, size), PAD_GREY, np.uint8)
    canvas[top : top + rows, left : left + columns] = grey
    return canvas, Letterbox((columns / w, rows / h), (left, top))


def suppress(
    predictions: NDArray[np.float32], *, score: float = 0.25, overlap: float = 0.5, most: int = 100
) -> list[Detections]:
    """Non-maximum suppression class by class of decoded predictions (b, n, 5 + classes).

    Keeps boxes whose objectness times class reaches ``score``, drops those that overlap a better one of their
    class by more than an IoU of ``overlap``, and returns at most ``most`` for each picture.
    """
    found = []
    for picture in predictions:
        sure = picture[picture[:, 4] >= score]
        sure = sure[sure[:, 4] * sure[:, 5:].max(1) >= score]
        classes = sure[:, 5:].argmax(1)
        scores = sure[:, 5:].max(1) * sure[:, 4]
        centre, half = sure[:, :2], sure[:, 2:4] / 2
        boxes = np.concatenate([centre - half, centre + half], 1)
        best = _best(boxes, scores, classes, overlap, most)
        found.append(Detections(boxes[best], scores[best], classes[best], sure[best, 5:]))
    return found


def _best(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    overlap: float,
    most: int,
) -> NDArray[np.int64]:
    """Indices of at most ``most`` boxes, best first, of which no two of a class overlap by more than ``overlap``."""
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        same = classes[left] == classes[first]
        left = left[~(same & (_iou(boxes[first], boxes[left]) > overlap))]
    return np.array(kept, np.int64)


def _iou(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU (n,) of a box (4,) with boxes (n, 4)."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    both = (high - low).clip(0).prod(1)
    areas = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1)
    return np.asarray(both / np.maximum(areas - both, 1e-9), np.float32)
