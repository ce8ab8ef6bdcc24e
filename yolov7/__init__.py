"""YOLOv7: a one-stage, anchor-based object detector.

Own implementation of C.-Y. Wang, A. Bochkovskiy, H.-Y. M. Liao, *YOLOv7: Trainable bag-of-freebies sets new
state-of-the-art for real-time object detectors*, 2022, arXiv 2207.02696 (called "the paper" below).

blocks     convolutions, ELAN, max-pool downsampling, spatial pyramids, RepConv, implicit knowledge
network    configurations and the network
boxes      letterbox, decoding, non-maximum suppression
loss       dynamic label assignment and losses
precision  average precision of detections

Conventions:
    images   float (b, channels, h, w), 0 to 1, h and w multiples of 32
    boxes    x0, y0, x1, y1 in pixels, edge coordinates: pixel i spans i to i + 1
    raw      the network's output: for each level (stride 8, 16, 32) logits (b, anchors, h / stride,
             w / stride, 5 + classes): x, y, width, height, objectness, classes
"""

from .boxes import PAD_GREY, Detections, Letterbox, decode, letterbox, suppress
from .loss import LossWeights, Targets, assign, detection_loss
from .network import STRIDES, Config, YoloV7
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
