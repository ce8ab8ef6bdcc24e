"""Average precision of detections, as COCO counts it (cocodataset.org, detection evaluation)."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from .boxes import paired_iou
from .pictures import Detections

THRESHOLDS: Final = tuple(0.5 + 0.05 * k for k in range(10))
"""IoUs from which a detection is right; the mean over them is mAP50-95, the first alone mAP50."""
RECALLS: Final = 101
"""Points of recall, 0 to 1, over which precision is averaged."""


def average_precision(
    found: Sequence[Detections],
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    count: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Tensor:
    """Average precision (len(thresholds), count) of each of ``count`` classes over some pictures.

    ``boxes`` (k, 4) and ``classes`` (k,) are the truth of each picture, ``found`` its detections, most certain
    first; there is at least one picture. NaN for a class that no picture shows. A truth is found once: further
    detections of it are wrong.
    """
    right = torch.cat(_right(found, boxes, classes, thresholds))  # (n, t)
    scores = torch.cat([torch.from_numpy(page.scores) for page in found])
    names = torch.cat([torch.from_numpy(page.classes) for page in found])
    there = torch.bincount(torch.cat(list(classes)).cpu(), minlength=count)
    result = torch.full((len(thresholds), count), torch.nan)
    for name in torch.nonzero(there).flatten().tolist():
        own = names == name
        order = scores[own].argsort(descending=True, stable=True)
        result[:, name] = _area(right[own][order].T, int(there[name]))
    return result


def _right(
    found: Sequence[Detections],
    boxes: Sequence[Tensor],
    classes: Sequence[Tensor],
    thresholds: Sequence[float],
) -> list[Tensor]:
    """For each picture bool (n, t): which detections hit a truth of their class at each threshold.

    Each detection in turn takes the free truth that it overlaps most; all pictures at once.
    """
    overlaps = []
    for page, true, names in zip(found, boxes, classes, strict=True):
        same = torch.from_numpy(page.classes)[:, None] == names.cpu()
        iou = paired_iou(torch.from_numpy(page.boxes)[:, None], true.cpu().float())
        overlaps.append(torch.where(same, iou, -1.0))
    counts = [len(page.scores) for page in found]
    most, truths = max([*counts, 1]), max([*(len(k) for k in classes), 1])
    iou = torch.full((len(found), most, truths), -1.0)
    for k, overlap in enumerate(overlaps):
        iou[k, : overlap.shape[0], : overlap.shape[1]] = overlap
    wanted = torch.tensor(thresholds)  # (t,)
    free = torch.ones(len(found), len(thresholds), truths, dtype=torch.bool)
    hit = torch.zeros(len(found), most, len(thresholds), dtype=torch.bool)
    for k in range(most):
        best, at = torch.where(free, iou[:, k, None], -1.0).max(2)  # (pictures, t)
        hit[:, k] = best >= wanted
        free.scatter_(2, at[..., None], free.gather(2, at[..., None]) & ~hit[:, k][..., None])
    return [hit[k, :n] for k, n in enumerate(counts)]


def _area(right: Tensor, truths: int) -> Tensor:
    """Mean precision (t,) over recall of hits (t, n) in the order of their scores."""
    hits = right.cumsum(1).double()
    recall = hits / truths
    precision = hits / torch.arange(1, right.shape[1] + 1)
    envelope = precision.flip(1).cummax(1).values.flip(1) if right.shape[1] else precision
    envelope = torch.cat([envelope, torch.zeros(len(right), 1, dtype=torch.double)], 1)
    points = torch.linspace(0, 1, RECALLS, dtype=torch.double).expand(len(right), -1).contiguous()
    at = torch.searchsorted(recall.contiguous(), points - 1e-9)
    return envelope.gather(1, at).mean(1).float()
