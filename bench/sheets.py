"""Write sheets of pictures for the documentation, small enough for the repository's history."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image

MOST_BYTES: Final = 290_000
"""Size, bytes, of a sheet at most; ``tests/test_repository.py`` allows 300 kB in docs/."""
MOST_WIDTH_PX: Final = 1800
"""Width, px, of a sheet, at most."""
QUALITIES: Final = (80, 70, 60, 50, 40)
"""Qualities, per cent, of WebP and JPEG, in the order of the tries."""
SHRINK: Final = 0.9
"""Scale of the next try where no quality gives a small enough file."""


def write_small(path: Path, sheet: Image, *, most_bytes: int = MOST_BYTES) -> None:
    """Write a sheet uint8 (h, w, 3) RGB as WebP or JPEG, by the name's ending, of at most ``most_bytes``; makes the folder.

    The best quality that fits is taken; where none fits, the sheet is shrunk.
    """
    flag = cv2.IMWRITE_WEBP_QUALITY if path.suffix == ".webp" else cv2.IMWRITE_JPEG_QUALITY
    scale = min(1.0, MOST_WIDTH_PX / sheet.shape[1])
    while True:
        small = cv2.resize(sheet, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for quality in QUALITIES:
            done, data = cv2.imencode(path.suffix, small[..., ::-1], [flag, quality])
            if done and len(data) <= most_bytes:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(np.asarray(data).tobytes())
                return
        scale *= SHRINK
