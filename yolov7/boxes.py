"""Boxes as tensors: decoding of the heads, corners and overlaps."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
