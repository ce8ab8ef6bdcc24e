"""Between pictures and boxes: letterbox, decoding of the heads, non-maximum suppression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

    boxes: Tensor
    """float32 (n, 4) x0, y0, x1, y1, px."""
    scores: Tensor
    """float32 (n,) objectness x probability of the class, 0 to 1."""
    classes: Tensor
    """int64 (n,) the most likely class."""
    probabilities: Tensor
    """float32 (n, classes) of each class, 0 to 1, if there is an object; they need not add up to 1."""


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


def decode(
    raw: Sequence[Tensor], anchors: Sequence[Sequence[tuple[float, float]]], strides: Sequence[int]
) -> Tensor:
    """Raw maps to (b, n, 5 + classes): centre x, y, width, height in px, objectness and classes 0 to 1.

    Centre = (2 s - 0.5 + cell) * stride and size = (2 s)^2 * anchor, with s the logits' sigmoid (YOLOv5's
    form of Scaled-YOLOv4, arXiv 2011.08036, which the paper's heads keep): a cell reaches half a cell
    beyond its edges, a box up to four times its anchor.
    """
    parts = []
    for level, sizes, stride in zip(raw, anchors, strides, strict=True):
        b, n, h, w, values = level.shape
        p = level.float().sigmoid()
        y, x = torch.meshgrid(
            torch.arange(h, device=p.device), torch.arange(w, device=p.device), indexing="ij"
        )
        cell = torch.stack([x, y], -1).to(p.dtype)  # (h, w, 2)
        anchor = torch.tensor(sizes, dtype=p.dtype, device=p.device).view(1, n, 1, 1, 2)
        centre = (2 * p[..., 0:2] - 0.5 + cell) * stride
        size = (2 * p[..., 2:4]) ** 2 * anchor
        parts.append(torch.cat([centre, size, p[..., 4:]], -1).reshape(b, n * h * w, values))
    return torch.cat(parts, 1)


def suppress(
    predictions: Tensor, *, score: float = 0.25, overlap: float = 0.5, most: int = 100
) -> list[Detections]:
    """Non-maximum suppression class by class of decoded predictions (b, n, 5 + classes).

    Keeps boxes whose objectness times class reaches ``score``, drops those that overlap a better one of their
    class by more than an IoU of ``overlap``, and returns at most ``most`` for each picture.
    """
    found = []
    for picture in predictions:
        sure = picture[picture[:, 4] >= score]
        sure = sure[sure[:, 4] * sure[:, 5:].amax(1) >= score]
        probabilities, classes = sure[:, 5:].max(1)
        scores = probabilities * sure[:, 4]
        boxes = corners(sure[:, :4])
        best = _best(boxes, scores, classes, overlap, most)
        found.append(Detections(boxes[best], scores[best], classes[best], sure[best, 5:]))
    return found


def corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) given by centre x, y, width and height as x0, y0, x1, y1."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4) with boxes (..., 4), pair by pair, after broadcasting."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return both / (areas - both).clamp_min(1e-9)


def _best(boxes: Tensor, scores: Tensor, classes: Tensor, overlap: float, most: int) -> Tensor:
    """Indices of at most ``most`` boxes, best first, of which no two of a class overlap by more than ``overlap``.

    torchvision has the same, but takes as long to import as a page takes to read.
    """
    left = scores.argsort(descending=True, stable=True)
    kept: list[Tensor] = []
    while len(left) and len(kept) < most:
        first, left = left[:1], left[1:]
        kept.append(first)
        same = (classes[left] == classes[first]) & (paired_iou(boxes[first], boxes[left]) > overlap)
        left = left[~same]
    return torch.cat(kept) if kept else left
