"""Import the detector's network from the package ``yolov7`` beside this one; in the wheel that package replaces this module.

Other modules import it from here, so that the wheel installs one top-level name.
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
