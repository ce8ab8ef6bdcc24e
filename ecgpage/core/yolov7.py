"""Import the detector's network from the package ``yolov7`` beside this one; in the wheel that package replaces this module.

Other modules import it from here, so that the wheel installs one top-level name. Names are loaded when they are asked for, as
those of pictures need no PyTorch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name."""
        import yolov7  # noqa: PLC0415 (not to be a name of the module)

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(yolov7, name)
