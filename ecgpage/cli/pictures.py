"""Write the pictures of a page beside its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2

from ecgpage.cli.settings import Overlay
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image

if TYPE_CHECKING:  # PyTorch is loaded with the weights, where pages are read
    from ecgpage.reader import Digitization

OVERLAY: Final = ".overlay.jpg"
"""Suffix of the picture of a page with what was read on it; a photo of 1800 px takes 0.5 MB, as PNG 3."""
PLOT: Final = ".plot.png"
"""Suffix of the picture of the leads."""
JPEG: Final = (
    cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)  # fmt: skip
"""Thin coloured lines need all the colour that there is."""
PNG: Final = (cv2.IMWRITE_PNG_COMPRESSION, 6)


def write_overlay(image: Image, found: "Digitization", path: Path, overlay: Overlay) -> None:
    """Write the picture of a page, upright, with what was read on it; with "ecg" all but the ECG is white."""
    from ecgpage.export.overlay import draw_overlay  # noqa: PLC0415 - loads PyTorch

    reasons = () if found.page is not None else found.reasons
    drawn = draw_overlay(image, found.page, located=found.located, reasons=reasons, area=overlay)
    _write_picture(drawn, path, JPEG)


def write_plot(found: "Digitization", path: Path) -> None:
    """Write the leads that were read, as a 12-lead ECG is printed."""
    from ecgpage.export.plot import plot_leads  # noqa: PLC0415 - only where it is asked for

    _write_picture(plot_leads(found).to_image(), path, PNG)


def write_stages(image: Image, found: "Digitization", folder: Path, stem: str, overlay: Overlay) -> None:
    """Write what each stage found on a page to a folder for reports of faults; headers only with "page"."""
    from ecgpage.export.debug import write_debug  # noqa: PLC0415 - loads PyTorch

    reasons = () if found.page is not None else found.reasons
    area: Overlay = "page" if overlay == "page" else "ecg"
    write_debug(folder, stem, found.page, image, located=found.located, reasons=reasons, area=area)


def _write_picture(image: Image, path: Path, options: Sequence[int]) -> None:
    """Write a picture uint8 (H, W, 3) RGB; ``OSError`` when the disk is full."""
    done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise EcgPageError(f"{path.name}: the picture cannot be encoded")
    path.write_bytes(encoded.tobytes())  # OpenCV itself takes no names beyond the system's code page
