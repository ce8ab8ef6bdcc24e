"""Dynamic label assignment and losses.

The paper assigns as YOLOX does (SimOTA, arXiv 2107.08430, section 2.1): objects first name candidates, then
take the cheapest few by what the network predicts there, as many as the predictions overlap them. Candidates
come as in YOLOv5: anchors whose sides differ from the object's by less than a factor of four, in the cell of
the object's centre and the nearest neighbours along x and y. An object thus has at most
levels x anchors x 3 candidates wherever it lies, which lets a batch be assigned at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .boxes import corners, paired_iou
from .network import STRIDES, Config

MAX_RATIO: Final = 4.0
"""Largest factor between the sides of an object and of its anchor: what (2 s)^2 can reach."""
TOP_IOUS: Final = 10
"""Candidates whose IoUs sum up to the number that an object takes (dynamic k)."""
IOU_COST: Final = 3.0
"""Weight of -log IoU beside the class cost."""


@dataclass(frozen=True)
class Targets:
    """Objects of a batch, padded to the picture with most of them."""

    boxes: Tensor
    """float32 (b, g, 4) x0, y0, x1, y1, px; anything where not ``valid``."""
    classes: Tensor
    """int64 (b, g)."""
    valid: Tensor
    """bool (b, g)."""

    def to(self, device: torch.device) -> "Targets":
        return Targets(
            *(part.to(device, non_blocking=True) for part in (self.boxes, self.classes, self.valid))
        )

    @classmethod
    def of(cls, boxes: Sequence[Tensor], classes: Sequence[Tensor]) -> "Targets":
        """From the boxes (k, 4) and classes (k,) of each picture."""
        most = max(1, *(len(k) for k in classes))
        padded = torch.zeros(len(boxes), most, 4)
        names = torch.zeros(len(boxes), most, dtype=torch.int64)
        valid = torch.zeros(len(boxes), most, dtype=torch.bool)
        for row, (own, own_classes) in enumerate(zip(boxes, classes, strict=True)):
            padded[row, : len(own)], names[row, : len(own)] = own, own_classes
            valid[row, : len(own)] = True
        return cls(padded, names, valid)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts, each a sum divided by the number of positives (YOLOX's normalisation)."""

    box: float = 5.0
    objectness: float = 1.0
    classes: float = 1.0


@dataclass(frozen=True)
class Candidates:
    """Places that objects may be assigned to, K = levels x anchors x 3 for each object."""

    place: Tensor
    """int64 (b, g, K) row of the flat prediction: level after level, each in order anchor, y, x."""
    allowed: Tensor
    """bool (b, g, K)."""
    cell: Tensor
    """float32 (b, g, K, 2) x, y in cells of the level."""
    anchor: Tensor
    """float32 (b, g, K, 2) px."""
    stride: Tensor
    """float32 (K,) px."""


@dataclass(frozen=True)
class Positives:
    """Assigned predictions, n over the whole batch."""

    picture: Tensor
    """int64 (n,)."""
    target: Tensor
    """int64 (n,) index of the object in its picture."""
    place: Tensor
    """int64 (n,) row of the flat prediction."""
    boxes: Tensor
    """float32 (n, 4) x0, y0, x1, y1 predicted, px; gradients flow."""


def detection_loss(
    raw: Sequence[Tensor], config: Config, targets: Targets, weights: LossWeights = LossWeights()
) -> dict[str, Tensor]:
    """Weighted losses ``box`` (CIoU), ``objectness`` and ``classes`` (BCE), scalars, of raw maps.

    The objectness of a positive aims at the IoU of its box. Pictures without objects count as background.
    """
    from torchvision.ops import complete_box_iou_loss  # slow to import, and only training asks  # noqa: PLC0415

    flat = flatten(raw)  # (b, n, 5 + classes)
    positives = assign(flat, [tuple(level.shape[2:4]) for level in raw], config, targets)
    picture, place = positives.picture, positives.place
    count = max(len(place), 1)
    true = targets.boxes[picture, positives.target]
    box = complete_box_iou_loss(positives.boxes, true, reduction="sum") / count
    name = F.one_hot(targets.classes[picture, positives.target], config.classes).to(flat.dtype)
    classes = F.binary_cross_entropy_with_logits(flat[picture, place, 5:], name, reduction="sum") / count
    goal = torch.zeros_like(flat[..., 4])
    goal[picture, place] = paired_iou(positives.boxes.detach(), true)
    objectness = F.binary_cross_entropy_with_logits(flat[..., 4], goal, reduction="sum") / count
    return {
        "box": weights.box * box,
        "objectness": weights.objectness * objectness,
        "classes": weights.classes * classes,
    }


def flatten(raw: Sequence[Tensor]) -> Tensor:
    """Raw maps as one float32 (b, n, 5 + classes), level after level."""
    return torch.cat([level.float().flatten(1, 3) for level in raw], 1)


def candidates(shapes: Sequence[tuple[int, ...]], config: Config, targets: Targets) -> Candidates:
    """Candidates of each object on levels of ``shapes`` (h, w) cells."""
    low, high = targets.boxes[..., :2], targets.boxes[..., 2:]
    boxes = torch.cat([(low + high) / 2, high - low], -1)  # (b, g, 4) centre x, y, width, height
    device, start = boxes.device, 0
    place, allowed, cells, sizes, strides = [], [], [], [], []
    for (h, w), anchors, stride in zip(shapes, config.anchors, STRIDES, strict=True):
        centre = boxes[..., :2] / stride
        own = centre.floor()
        near = own + torch.where(centre - own < 0.5, -1.0, 1.0)
        cell = torch.stack(
            [own, torch.stack([near[..., 0], own[..., 1]], -1), torch.stack([own[..., 0], near[..., 1]], -1)],
            2,
        )  # (b, g, 3, 2)
        inside = ((cell >= 0) & (cell < torch.tensor([w, h], device=device))).all(-1)  # (b, g, 3)
        anchor = torch.tensor(anchors, device=device)  # (a, 2)
        ratio = boxes[..., None, 2:].clamp_min(1e-3) / anchor
        fits = torch.maximum(ratio, 1 / ratio).amax(-1) < MAX_RATIO  # (b, g, a)
        row = torch.arange(len(anchors), device=device)[:, None] * h + cell[..., None, :, 1]  # (b, g, a, 3)
        index = start + row * w + cell[..., None, :, 0]
        ok = fits[..., None] & inside[..., None, :] & targets.valid[..., None, None]
        place.append(torch.where(ok, index, 0).long().flatten(2))
        allowed.append(ok.flatten(2))
        cells.append(cell[..., None, :, :].expand(*ok.shape, 2).flatten(2, 3))
        sizes.append(anchor[:, None].expand(*ok.shape, 2).flatten(2, 3))
        strides.append(torch.full((ok.shape[2] * ok.shape[3],), float(stride), device=device))
        start += len(anchors) * h * w
    return Candidates(
        torch.cat(place, 2),
        torch.cat(allowed, 2),
        torch.cat(cells, 2),
        torch.cat(sizes, 2),
        torch.cat(strides),
    )


def assign(flat: Tensor, shapes: Sequence[tuple[int, ...]], config: Config, targets: Targets) -> Positives:
    """Dynamic assignment of flat logits (b, n, 5 + classes) whose levels have ``shapes`` (h, w) cells.

    An object takes its k cheapest candidates, k the sum of its TOP_IOUS best IoUs, at least one; a place that
    several want goes to the one for which it is cheapest. Beyond the paper, an object that loses all its places
    so takes its cheapest free one: rows of long strips lie closer than the cells that predict them.
    """
    with torch.no_grad():
        may = candidates(shapes, config, targets)
        b, g, k = may.place.shape
        rows = may.place.flatten(1)[..., None].expand(-1, -1, flat.shape[2])
        logits = flat.gather(1, rows).view(b, g, k, -1)
        iou = paired_iou(_boxes(logits, may.cell, may.anchor, may.stride[:, None]), targets.boxes[:, :, None])
        iou = torch.where(may.allowed, iou, 0.0)
        cost = _class_cost(logits, targets.classes) - IOU_COST * torch.log(iou + 1e-8)
        cost = torch.where(may.allowed, cost, torch.inf)
        wanted = iou.topk(min(TOP_IOUS, k), 2).values.sum(2).int().clamp_min(1)  # (b, g)
        rank = cost.argsort(2).argsort(2)
        taken = (rank < wanted[..., None]) & may.allowed
        taken = _cheapest(taken, cost, may.place, flat.shape[1])
        taken = taken | _left_over(taken, cost, may, flat.shape[1])
        picture, target, choice = taken.nonzero(as_tuple=True)
    place = may.place[picture, target, choice]
    boxes = _boxes(
        flat[picture, place],
        may.cell[picture, target, choice],
        may.anchor[picture, target, choice],
        may.stride[choice][:, None],
    )
    return Positives(picture, target, place, boxes)


def _boxes(logits: Tensor, cell: Tensor, anchor: Tensor, stride: Tensor) -> Tensor:
    """Boxes (..., 4) px of logits (..., 5 + classes), as ``boxes.decode`` places them."""
    p = logits[..., :4].sigmoid()
    centre = (2 * p[..., :2] - 0.5 + cell) * stride
    return corners(torch.cat([centre, (2 * p[..., 2:]) ** 2 * anchor], -1))


def _class_cost(logits: Tensor, classes: Tensor) -> Tensor:
    """BCE (b, g, K) of sqrt(objectness x class) with the object's class, summed over classes (YOLOX)."""
    together = (F.logsigmoid(logits[..., 5:]) + F.logsigmoid(logits[..., 4:5])) / 2  # log of the root
    missed = torch.log1p(-together.exp().clamp_max(1 - 1e-6))
    index = classes[..., None, None].expand(*logits.shape[:3], 1)
    own = (together - missed).gather(3, index)[..., 0]
    return -missed.sum(-1) - own


def _cheapest(taken: Tensor, cost: Tensor, place: Tensor, places: int) -> Tensor:
    """``taken`` (b, g, K) where no other object of the picture has the place for less, or for the same cost
    and came first.
    """
    b, g, _ = taken.shape
    at = place.flatten(1)
    price = torch.where(taken, cost, torch.inf)
    best = price.new_full((b, places), torch.inf).scatter_reduce(1, at, price.flatten(1), "amin")
    taken = taken & (price <= best.gather(1, at).view_as(price))
    row = torch.arange(g, device=at.device)[:, None].expand_as(taken)
    row = torch.where(taken, row, g)
    first = row.new_full((b, places), g).scatter_reduce(1, at, row.flatten(1), "amin")
    return taken & (row == first.gather(1, at).view_as(row))


def _left_over(taken: Tensor, cost: Tensor, may: Candidates, places: int) -> Tensor:
    """The cheapest candidate (b, g, K) that nobody has ``taken``, of each object that has none."""
    at = may.place.flatten(1)
    owned = torch.zeros(len(at), places, device=at.device).scatter_reduce(
        1, at, taken.flatten(1).float(), "amax"
    )
    free = may.allowed & (owned.gather(1, at).view_as(cost) == 0) & ~taken.any(2, keepdim=True)
    price = torch.where(free, cost, torch.inf)
    first = F.one_hot(price.argmin(2), cost.shape[2]).bool() & free
    return _cheapest(first, cost, may.place, places)
