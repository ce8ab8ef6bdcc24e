"""Time the drawing of pages and crops, on one core, for each kind of picture.

    python -m bench.render_speed [--records FOLDER | --pack FILE] [--count 10]

Without records an invented signal is drawn. Times are the process's own CPU time, so other programs on the machine
do not count; the limits are the project's own.
"""

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.synth import MIXES, draw_challenge_page, draw_picture, mixes_hash
from ecgpage.synth.crops import draw_crop
from ecgpage.synth.mixes import CLEAN
from ecgpage.synth.sources import Pack, Recording, Source, WfdbFolder, usable
from ecgpage.synth.world import WORLD_MIXES, draw_world_page, world_hash

Draw = Callable[[int], NDArray[np.uint8]]

FLAT_LIMIT = 0.3
"""Time, s, of a fully distorted page at 200 dpi, at most."""
CLEAN_LIMIT = 0.2
"""Time, s, of a clean page, at most."""
PHOTO_LIMIT = 1.2
"""Time, s, of a photograph of 12 megapixels, at most."""
WORLD_LIMIT = 0.7
"""Time, s, of a page of another device, at most, whatever its size."""
CROP_LIMIT = 0.01
"""Time, s, of a crop, at most."""


def main() -> int:
    """Print the table; exit status 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description="Speed of the renderer.")
    parser.add_argument("--records", type=Path, help="folder of WFDB records")
    parser.add_argument("--pack", type=Path, help="pack of records")
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    records = _recordings(options.records, options.pack, options.count)
    print(f"mixes {mixes_hash()}, world {world_hash()}, {options.count} pictures each, one core\n")
    print("| drawn | s | megapixels | s at 12 megapixels | limit s |\n|---|---|---|---|---|")
    within = [_row(name, draw, count, limit) for name, draw, count, limit in _cases(records, options.count)]
    return 0 if all(within) else 1


def _cases(records: list[Recording], count: int) -> list[tuple[str, Draw, int, float]]:
    """Name, drawing function, number of repetitions, limit."""

    def challenge(k: int) -> NDArray[np.uint8]:
        return draw_challenge_page(records[k % len(records)].signal, records[0].fs, seed=k).image

    def picture(mix: str) -> Draw:
        return lambda k: draw_picture(records[k % len(records)].signal, records[0].fs, mix=mix, seed=k).image

    def world(mix: str) -> Draw:
        return lambda k: (
            draw_world_page(records[k % len(records)].signal, records[0].fs, mix=mix, seed=k).image
        )

    def crop(k: int) -> NDArray[np.uint8]:
        return draw_crop(records[k % len(records)].signal, records[0].fs, np.random.default_rng(k)).image

    cases: list[tuple[str, Draw, int, float]] = [("challenge page, 200 dpi", challenge, count, CLEAN_LIMIT)]
    for name, mix in MIXES.items():
        limit = PHOTO_LIMIT if mix.long_side else CLEAN_LIMIT if mix == CLEAN else FLAT_LIMIT
        cases.append((name, picture(name), count, limit))
    cases += [(name, world(name), count, WORLD_LIMIT) for name in WORLD_MIXES]
    return [*cases, ("crop of one lead", crop, 30 * count, CROP_LIMIT)]


def _row(name: str, draw: Draw, count: int, limit: float) -> bool:
    """Draw ``count`` pictures and print their mean time; the time of photographs and scans is judged at 12 megapixels."""
    draw(count)
    start, pixels = time.process_time(), 0
    for k in range(count):
        pixels += draw(k)[..., 0].size if name != "crop of one lead" else draw(k).size
    seconds = (time.process_time() - start) / count
    mega = pixels / count / 1e6
    scaled = seconds * 12 / mega
    print(f"| {name} | {seconds:.4f} | {mega:.2f} | {scaled:.2f} | {limit} |", flush=True)
    return (scaled if limit == PHOTO_LIMIT else seconds) <= limit


def _recordings(records: Path | None, pack: Path | None, count: int) -> list[Recording]:
    """First ``count`` recordings of a folder or pack, or an invented one."""
    if records is None and pack is None:
        t = np.arange(5000)[:, None] / 500
        beat = np.exp(-((((t * 1.2) % 1 - 0.4) / 0.012) ** 2))
        return [Recording("invented", (beat * np.linspace(-1, 1.5, 12)).astype(np.float32), 500.0)]
    source: Source = WfdbFolder(records) if records is not None else Pack(str(pack))
    return list(islice(usable(source), count))


if __name__ == "__main__":
    sys.exit(main())
