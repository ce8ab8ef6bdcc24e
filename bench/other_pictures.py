"""Draw pictures that are no ECG, or show another signal: what a reader must refuse.

    python -m bench.other_pictures --sheet FILE.webp [--first 0]

``draw_other(kind, rng)`` draws one of ``OTHERS``: signals of the brain, of the lungs, of the ground, from within the heart,
pulse waves, charts, text, tables, scores of music, tiles, cloth, empty chart paper. ``--sheet`` shows one of each.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.sheets import write_small
from ecgpage.core.types import Array, Image, Rng
from ecgpage.synth.page.looks import PRINTED_GRIDS, STATEMENTS
from ecgpage.synth.scene.background import cloth, stone, wood

Shape = tuple[int, int]
"""Height and width, px."""
Ink = tuple[int, int, int]
TILE: Final = (420, 300)
"""Width and height, px, of a picture on the sheet."""


def draw_other(kind: str, rng: Rng) -> Image:
    """Picture uint8 (h, w, 3) RGB of a kind of ``OTHERS``; now and then dark, blurred or without colour."""
    picture = OTHERS[kind](rng)
    if rng.random() < 0.15 and kind not in ("intracardiac", "pulse waves"):
        picture = np.asarray(255 - picture, np.uint8)
    if rng.random() < 0.2:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, axis=2)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.2))), np.uint8)
    noise = rng.normal(0, rng.uniform(0, 5), picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


# --- parts ----------------------------------------------------------------------------------------------------


def _shape(rng: Rng) -> Shape:
    width = int(rng.uniform(1000, 2300))
    return int(width * rng.uniform(0.55, 0.8)), width


def _sheet(rng: Rng, *, grid: float = 0.0) -> Image:
    """Paper, with the chance ``grid`` of millimetre lines."""
    height, width = _shape(rng)
    image = np.full((height, width, 3), rng.uniform(238, 255), np.uint8)
    if rng.random() < grid:
        draw_millimetres(image, float(rng.uniform(4, 9)), rng)
    return image


def draw_millimetres(image: Image, px_per_mm: float, rng: Rng) -> None:
    """Draw lines 1 and 5 mm apart, in place."""
    major, minor = PRINTED_GRIDS[int(rng.integers(len(PRINTED_GRIDS)))]
    for step, color in ((1.0, minor), (5.0, major)):
        for side in (0, 1):
            for at in np.arange(0, image.shape[1 - side], step * px_per_mm):
                line = (slice(None), int(at)) if side == 0 else (int(at), slice(None))
                image[line] = color


def _write(image: Image, text: str, at: tuple[float, float], size: float, ink: Ink = (30, 30, 30)) -> None:
    """Write a line whose letters are ``size`` px high."""
    face = cv2.FONT_HERSHEY_SIMPLEX
    place = (int(at[0]), int(at[1]))
    cv2.putText(image, text, place, face, size / 22, ink, max(1, round(size / 14)), cv2.LINE_AA)


def _curve(image: Image, x: Array, y: Array, ink: Ink, width: int = 1) -> None:
    points = np.rint(np.stack([x, y], axis=1) * 8).astype(np.int32)
    cv2.polylines(image, [points], False, ink, width, cv2.LINE_AA, 3)


def _ink(rng: Rng) -> Ink:
    red, green, blue = (int(v) for v in rng.uniform(0, 90, 3))
    return red, green, blue


def _words(rng: Rng, count: int) -> str:
    words = " ".join(STATEMENTS).lower().split()
    return " ".join(str(w) for w in rng.choice(words, count))


def _coloured_noise(rng: Rng, n: int, power: float) -> Array:
    """(n,) noise whose spectrum falls with the frequency to this power; unit variance."""
    f = np.fft.rfftfreq(n)
    f[0] = f[1]
    spectrum = (rng.standard_normal(len(f)) + 1j * rng.standard_normal(len(f))) * f**-power
    wave = np.fft.irfft(spectrum, n)
    return np.asarray(wave / wave.std(), np.float64)


# --- signals --------------------------------------------------------------------------------------------------


def draw_eeg(rng: Rng) -> Image:
    """Channels of an electroencephalogram with their montage's names."""
    image = _sheet(rng, grid=0.4)
    height, width = image.shape[:2]
    names = [
        "Fp1-F7",
        "F7-T3",
        "T3-T5",
        "T5-O1",
        "Fp2-F8",
        "F8-T4",
        "T4-T6",
        "T6-O2",
        "Fz-Cz",
        "Cz-Pz",
        "C3-A2",
        "C4-A1",
    ]
    count = int(rng.integers(3, 13))
    left, step = 0.08 * width, height / (count + 1)
    if rng.random() < 0.6:
        for x in np.linspace(left, width, int(rng.integers(5, 13))):
            cv2.line(image, (int(x), 0), (int(x), height), (200, 200, 200), 1)
    x = np.arange(left, width - 10.0)
    ink = _ink(rng)
    for k in range(count):
        alpha = np.sin(2 * np.pi * np.cumsum(rng.normal(1, 0.2, len(x))) / rng.uniform(12, 40))
        wave = _coloured_noise(rng, len(x), 0.8) + alpha * (1 + _coloured_noise(rng, len(x), 1.0))
        if rng.random() < 0.3:  # blinks
            for at in rng.uniform(left, width, 3):
                wave += 6 * np.exp(-0.5 * ((x - at) / 15) ** 2)
        _curve(image, x, step * (k + 1) - 0.13 * step * wave, ink, int(rng.integers(1, 3)))
        _write(image, names[k], (5, step * (k + 1)), 0.016 * width, ink)
    _write(image, "7 uV/mm 30 mm/s 70 Hz", (left, height - 8), 14, ink)
    return image


def draw_intracardiac(rng: Rng) -> Image:
    """Electrograms from within the heart: sharp spikes, each channel at its own times, one surface lead."""
    image: Image = np.zeros((*_shape(rng), 3), np.uint8)
    is_dark = rng.random() < 0.75
    image[:] = 8 if is_dark else 250
    height, width = image.shape[:2]
    count = int(rng.integers(3, 9))
    step = height / (count + 1)
    x = np.arange(0.0, width)
    colors: list[Ink] = [(40, 230, 40), (230, 230, 60), (60, 200, 230), (240, 240, 240)]
    rate = rng.uniform(80, 260)
    for k in range(count):
        ink = colors[int(rng.integers(len(colors)))] if is_dark else _ink(rng)
        y = 0.6 * _coloured_noise(rng, width, 0.3)
        own = rate * (1 if rng.random() < 0.4 else rng.uniform(0.4, 1.8))
        for at in np.cumsum(rng.normal(own, 0.15 * own, int(width / own) + 2)) + rng.uniform(0, own):
            if at < width:
                size = rng.uniform(5, 30)
                y += size * np.exp(-0.5 * ((x - at) / rng.uniform(1, 3)) ** 2)
                y -= 0.6 * size * np.exp(-0.5 * ((x - at - rng.uniform(2, 6)) / rng.uniform(1, 3)) ** 2)
        _curve(image, x, step * (k + 1) - y * step / 90, ink)
        name = f"{rng.choice(['CS', 'HIS', 'RVA', 'HRA', 'ABL'])} {2 * k + 1}-{2 * k + 2}" if k else "ECG I"
        _write(image, name, (6, step * (k + 1) - 8), 0.014 * width, ink)
    for k in range(0, width, int(rng.uniform(50, 110))):
        cv2.line(image, (k, 0), (k, 12), (60, 200, 200), 1)
        _write(image, f"{k}", (k, 26), 11, (60, 200, 200))
    return image


def draw_spirometry(rng: Rng) -> Image:
    """Flow over volume and volume over time, with a table of values."""
    image = _sheet(rng, grid=0.5)
    height, width = image.shape[:2]
    ink = _ink(rng)
    for k in range(int(rng.integers(1, 4))):
        v = np.linspace(0, 1, 400)
        flow = v**0.25 * (1 - v) * rng.uniform(0.8, 1.2) * 1.6
        x = 0.08 * width + v * 0.36 * width
        _curve(image, x, 0.55 * height - flow * 0.35 * height, ink, 2)
        _curve(image, x, 0.55 * height + 0.25 * height * np.sin(np.pi * v), ink, 2)
        t = np.linspace(0, 1, 400)
        _curve(
            image, 0.55 * width + t * 0.4 * width, (0.8 - 0.5 * (1 - np.exp(-t * (4 + k)))) * height, ink, 2
        )
    for x0 in (0.08, 0.55):
        cv2.line(image, (int(x0 * width), int(0.1 * height)), (int(x0 * width), int(0.85 * height)), ink, 2)
        cv2.line(
            image,
            (int(x0 * width), int(0.55 * height)),
            (int((x0 + 0.4) * width), int(0.55 * height)),
            ink,
            2,
        )
    for k, name in enumerate(("FVC", "FEV1", "PEF", "FEV1/FVC")):
        _write(
            image, f"{name}  {rng.uniform(1, 9):.2f} L", (0.08 * width, (0.88 + 0.03 * k) * height), 14, ink
        )
    return image


def draw_seismogram(rng: Rng) -> Image:
    """Rows of a drum recorder: a quiet line with bursts that die away."""
    image = _sheet(rng, grid=0.3)
    height, width = image.shape[:2]
    count = int(rng.choice([1, 3, 6, 12, 20]))
    step = height / (count + 1)
    x = np.arange(10.0, width - 10.0)
    ink = _ink(rng)
    for k in range(count):
        y = _coloured_noise(rng, len(x), 0.2) * 0.03
        for at in rng.uniform(0, len(x), int(rng.integers(0, 4))):
            after = np.clip(np.arange(len(x)) - at, 0, None)
            y += _coloured_noise(rng, len(x), 0.1) * (after > 0) * np.exp(-after / rng.uniform(30, 200)) * 0.4
        _curve(image, x, step * (k + 1) - y * step, ink)
        _write(image, f"{k:02d}:00 BHZ", (4, step * (k + 1) - 6), 12, ink)
    return image


def draw_pulse_waves(rng: Rng) -> Image:
    """A monitor's waves of pressure, pulse and breath with large numbers."""
    image: Image = np.full((*_shape(rng), 3), 6, np.uint8)
    height, width = image.shape[:2]
    count = int(rng.integers(2, 6))
    x = np.arange(0.0, 0.78 * width)
    period = rng.uniform(60, 180)
    for k in range(count):
        phase = (x / (period if k < count - 1 else 4 * period) + 0.13 * k) % 1
        wave = np.exp(-0.5 * ((phase - 0.25) / 0.1) ** 2) + 0.35 * np.exp(-0.5 * ((phase - 0.5) / 0.09) ** 2)
        ink = ((240, 60, 60), (60, 200, 240), (240, 240, 80), (240, 240, 240), (230, 120, 240))[k]
        base = height * (k + 0.8) / count
        _curve(image, x, base - wave * 0.5 * height / count, ink, 2)
        _write(image, ("ART", "Pleth", "CVP", "CO2", "RESP")[k], (8, base - 0.6 * height / count), 18, ink)
        _write(image, f"{rng.integers(10, 180)}", (0.82 * width, base), 0.5 * height / count, ink)
    return image


# --- charts and writing ---------------------------------------------------------------------------------------


def draw_chart(rng: Rng) -> Image:
    """Curves, bars or dots between axes with numbers."""
    image = _sheet(rng)
    height, width = image.shape[:2]
    x0, x1, y0, y1 = 0.1 * width, 0.95 * width, 0.1 * height, 0.88 * height
    for k in range(int(rng.integers(4, 11))):
        y = int(y0 + (y1 - y0) * k / 10)
        cv2.line(image, (int(x0), y), (int(x1), y), (215, 215, 215), 1)
        _write(image, f"{10 * (10 - k)}", (0.05 * width, y + 5), 13)
    for k in range(12):
        _write(image, f"{k + 1}", (x0 + (x1 - x0) * k / 12, y1 + 22), 13)
    style = str(rng.choice(["lines", "bars", "dots"]))
    for k in range(int(rng.integers(1, 5))):
        ink = tuple(int(v) for v in rng.uniform(0, 220, 3))
        n = int(rng.integers(10, 120))
        y = np.clip(0.5 + 0.2 * _coloured_noise(rng, n, 1.0) + 0.1 * k, 0, 1) * (y1 - y0) + y0
        x = np.linspace(x0, x1, n)
        if style == "lines":
            _curve(image, x, y, ink, 2)  # type: ignore[arg-type]
        for a, b in zip(x, y, strict=True):
            if style == "bars":
                cv2.rectangle(image, (int(a), int(b)), (int(a + 0.5 * (x1 - x0) / n), int(y1)), ink, -1)
            elif style == "dots":
                cv2.circle(image, (int(a), int(b)), 4, ink, -1, cv2.LINE_AA)
    cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), (40, 40, 40), 2)
    _write(image, _words(rng, 4), (0.3 * width, 0.06 * height), 22)
    return image


def draw_text(rng: Rng) -> Image:
    """A page of words."""
    image = _sheet(rng)
    height, width = image.shape[:2]
    size = width * rng.uniform(0.011, 0.02)
    for y in np.arange(3 * size, height - 2 * size, size * rng.uniform(1.5, 2.2)):
        if rng.random() < 0.85:
            _write(image, _words(rng, int(rng.integers(3, 14))), (0.07 * width, y), size)
    return image


def draw_table(rng: Rng) -> Image:
    """Rows and columns of numbers, the names of leads before them, with or without rules."""
    image = _sheet(rng)
    height, width = image.shape[:2]
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    rows, columns = 12, int(rng.integers(4, 15))
    size = width * rng.uniform(0.009, 0.015)
    step = (0.8 * height) / rows
    for r in range(rows):
        y = 0.14 * height + r * step
        if rng.random() < 0.5:
            _write(image, "-" * int(0.8 * width / size), (0.06 * width, y - 0.4 * step), size)
        _write(image, names[r], (0.06 * width, y), size)
        for c in range(columns):
            _write(image, f"{rng.integers(-700, 900)}", (width * (0.13 + 0.85 * c / columns), y), size)
    if rng.random() < 0.4:
        for r in range(rows + 1):
            y = int(0.14 * height + (r - 0.7) * step)
            cv2.line(image, (int(0.05 * width), y), (int(0.97 * width), y), (60, 60, 60), 1)
    _write(image, _words(rng, 5), (0.06 * width, 0.06 * height), 1.3 * size)
    return image


def draw_music(rng: Rng) -> Image:
    """Staves with notes."""
    image = _sheet(rng)
    height, width = image.shape[:2]
    gap = height / 90
    for top in np.arange(8 * gap, height - 10 * gap, 13 * gap):
        for k in range(5):
            cv2.line(image, (40, int(top + k * gap)), (width - 40, int(top + k * gap)), (20, 20, 20), 1)
        for x in np.arange(90, width - 60, width / 40):
            y = top + rng.uniform(-1, 5) * gap
            cv2.ellipse(
                image,
                (int(x), int(y)),
                (int(0.65 * gap) + 2, int(0.45 * gap) + 1),
                -20,
                0,
                360,
                (20, 20, 20),
                -1,
            )
            cv2.line(
                image, (int(x + 0.6 * gap), int(y)), (int(x + 0.6 * gap), int(y - 3.5 * gap)), (20, 20, 20), 1
            )
    return image


# --- surfaces -------------------------------------------------------------------------------------------------


def draw_tiles(rng: Rng) -> Image:
    """A wall or floor of tiles."""
    height, width = _shape(rng)
    image: Image = stone((height, width), rng)
    side, joint = int(rng.uniform(20, 160)), int(rng.integers(1, 7))
    color = rng.uniform(60, 230, 3)
    for row, y in enumerate(range(0, height, side)):
        image[y : y + joint] = color
        shift = (row % 2) * side // 2 if rng.random() < 0.3 else 0
        for x in range(shift, width, side):
            image[y : y + side, x : x + joint] = color
    return image


def draw_surface(rng: Rng) -> Image:
    """Cloth, wood or stone."""
    surface: Callable[[Shape, Rng], Image] = (cloth, wood, stone)[int(rng.integers(3))]
    return surface(_shape(rng), rng)


def draw_chart_paper(rng: Rng) -> Image:
    """Chart paper on which nothing is drawn but a line of writing."""
    image = _sheet(rng)
    draw_millimetres(image, float(rng.uniform(4, 9)), rng)
    if rng.random() < 0.7:
        _write(image, "25 mm/s 10 mm/mV " + _words(rng, 3), (30, image.shape[0] - 20), 18)
    if rng.random() < 0.3:
        for k in range(3):
            y = image.shape[0] * (k + 1) // 4
            cv2.line(image, (20, y), (image.shape[1] - 20, y), (20, 20, 20), 2)
    return image


OTHERS: Final[dict[str, Callable[[Rng], Image]]] = {
    "eeg": draw_eeg,
    "intracardiac": draw_intracardiac,
    "spirometry": draw_spirometry,
    "seismogram": draw_seismogram,
    "pulse waves": draw_pulse_waves,
    "chart": draw_chart,
    "text": draw_text,
    "table": draw_table,
    "music": draw_music,
    "tiles": draw_tiles,
    "surface": draw_surface,
    "chart paper": draw_chart_paper,
}
"""Kinds of pictures that are no ECG."""


def sheet(first: int) -> Image:
    """One picture of each kind beside each other, uint8 (h, w, 3)."""
    tiles: list[NDArray[np.uint8]] = []
    for k, kind in enumerate(OTHERS):
        picture = draw_other(kind, np.random.default_rng((first, k)))
        scale = min(TILE[0] / picture.shape[1], TILE[1] / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((TILE[1] + 4, TILE[0] + 4, 3), 110, np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(tile)
    return np.vstack([np.hstack(tiles[k : k + 4]) for k in range(0, len(tiles), 4)])


def main() -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sheet", type=Path, required=True, help="picture to write")
    parser.add_argument("--first", type=int, default=0, help="seed")
    options = parser.parse_args()
    write_small(options.sheet, sheet(options.first))
    return 0


if __name__ == "__main__":
    sys.exit(main())
