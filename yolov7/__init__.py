"""YOLOv7: a one-stage, anchor-based object detector.

Own implementation of C.-Y. Wang, A. Bochkovskiy, H.-Y. M. Liao, *YOLOv7: Trainable bag-of-freebies sets new
state-of-the-art for real-time object detectors*, 2022, arXiv 2207.02696 (called "the paper" below).

blocks     convolutions, ELAN, max-pool downsampling, spatial pyramids, RepConv, implicit knowledge
network    configurations and the network
pictures   letterbox and non-maximum suppression, on arrays
boxes      decoding, corners and overlaps of boxes
loss       dynamic label assignment and losses
precision  average precision of detections

Conventions:
    images   float (b, channels, h, w), 0 to 1, h and w multiples of 32
    boxes    x0, y0, x1, y1 in pixels, edge coordinates: pixel i spans i to i + 1
    raw      the network's output: for each level (stride 8, 16, 32) logits (b, anchors, h / stride,
             w / stride, 5 + classes): x, y, width, height, objectness, classes
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .boxes import decode
    from .loss import LossWeights, Targets, assign, detection_loss
    from .network import STRIDES, Config, YoloV7
    from .pictures import PAD_GREY, Detections, Letterbox, letterbox, suppress
    from .precision import average_precision

__all__ = [
    "PAD_GREY",
    "STRIDES",
    "Config",
    "Detections",
    "Letterbox",
    "LossWeights",
    "Targets",
    "YoloV7",
    "assign",
    "average_precision",
    "decode",
    "detection_loss",
    "letterbox",
    "suppress",
]

_HOMES = {
    "boxes": ("decode",),
    "loss": ("LossWeights", "Targets", "assign", "detection_loss"),
    "network": ("STRIDES", "Config", "YoloV7"),
    "pictures": ("PAD_GREY", "Detections", "Letterbox", "letterbox", "suppress"),
    "precision": ("average_precision",),
}
"""Module of each public name."""

if not TYPE_CHECKING:  # a type checker would take every name for one of the package's

    def __getattr__(name: str) -> object:
        """Load a public name when it is asked for: those of ``pictures`` are there without PyTorch."""
        from importlib import import_module  # noqa: PLC0415 (not to be a name of the package)

        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return globals()[name]
