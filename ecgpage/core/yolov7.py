"""The detector's network from the package ``yolov7`` beside this one; in the wheel that package itself lies in this place.

Whoever needs it imports it from here, so that the wheel brings one top-level name.
"""

from yolov7 import (
    PAD_GREY,
    Config,
    Detections,
    Letterbox,
    Targets,
    YoloV7,
    average_precision,
    detection_loss,
    letterbox,
    suppress,
)

__all__ = [
    "PAD_GREY",
    "Config",
    "Detections",
    "Letterbox",
    "Targets",
    "YoloV7",
    "average_precision",
    "detection_loss",
    "letterbox",
    "suppress",
]
