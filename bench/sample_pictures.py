"""Draw the pictures of the README from the shipped example pages: photo, overlay and plot.

    python -m bench.sample_pictures [--out docs]

Writes ``overview.webp`` (photo, overlay and plot side by side), and of the photo and the scan the overlay and the plot.
"""

import argparse
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from bench.sheets import write_small
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.export.overlay import draw_overlay
from ecgpage.image.decode import read_image
from ecgpage.reader import Digitization, Reader

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
PAGES: Final = {"photo": "01226_hr-0.jpg", "scan": "887374646-0.png"}
"""Kind -> shipped page."""
MOST_BYTES: Final = 150_000
"""Size, bytes, of one picture at most."""
GAP_PX: Final = 24
"""Room between the parts of the overview, px."""
WIDTH_PX: Final = 1600
"""Width of the overview, px."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    args = parser.parse_args()
    reader = Reader(device="cpu")
    for kind, name in PAGES.items():
        path = ROOT / "examples" / "input" / name
        found = reader.digitize(path)
        if found.status != "ok":
            raise EcgPageError(
                f"{path}: {found.status}, {found.reasons}; the README needs a page that is read"
            )
        draw_samples(kind, read_image(path), found, args.out)


def draw_samples(kind: str, image: Image, found: Digitization, out: Path) -> None:
    """Write overlay and plot of one page, and of the photo the overview."""
    overlay = draw_overlay(image, found.page)
    plot = found.plot().to_image()
    write_small(out / f"overlay_{kind}.webp", _to_width(overlay, 1400), most_bytes=MOST_BYTES)
    write_small(out / f"plot_{kind}.webp", _to_width(plot, 1400), most_bytes=MOST_BYTES)
    if kind == "photo":
        write_small(out / "overview.webp", lay_out(image, overlay, plot), most_bytes=MOST_BYTES)


def lay_out(photo: Image, overlay: Image, plot: Image) -> Image:
    """Photo on the left, overlay above the plot on the right, WIDTH_PX wide, on white."""
    slopes = [part.shape[0] / part.shape[1] for part in (photo, overlay, plot)]
    right = (slopes[0] * (WIDTH_PX - GAP_PX) - GAP_PX) / sum(slopes)  # both sides are then of one height
    left = WIDTH_PX - GAP_PX - round(right)
    parts = [_to_width(overlay, round(right)), _to_width(plot, round(right))]
    before = _to_width(photo, left)
    height = max(before.shape[0], parts[0].shape[0] + GAP_PX + parts[1].shape[0])
    canvas = np.full((height, WIDTH_PX, 3), 255, np.uint8)
    canvas[: before.shape[0], :left] = before
    canvas[: parts[0].shape[0], -parts[0].shape[1] :] = parts[0]
    canvas[height - parts[1].shape[0] :, -parts[1].shape[1] :] = parts[1]
    return canvas


def _to_width(image: Image, width_px: int) -> Image:
    height = round(image.shape[0] * width_px / image.shape[1])
    return np.asarray(cv2.resize(image, (width_px, height), interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
