"""PDFs of ECGs written by hand: every operator of the content is known, and so is every sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgpage.core.conventions import LEADS
from tests.image.pdf_bytes import Page, write_pdf

PT_PER_MM = 72 / 25.4
FS = 500.0
COLUMNS = (LEADS[:3], LEADS[3:6], LEADS[6:9], LEADS[9:])


def ecg(seconds: float = 10.0, fs: float = FS, seed: int = 3) -> np.ndarray:
    """Signals (n, 12) mV that keep Einthoven's and Goldberger's constraints, with a beat of another size each time."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs)) / fs
    source = np.zeros((len(t), 8))
    for k, at in enumerate(np.arange(0.3, seconds, 0.83)):
        for centre, width, height in (
            (-0.16, 0.025, 0.12),
            (-0.02, 0.008, -0.1),
            (0.0, 0.011, 1.0),
            (0.03, 0.01, -0.25),
            (0.27, 0.045, 0.3),
        ):
            shape = np.exp(-0.5 * ((t - at - centre) / width) ** 2)
            source += height * (1 + 0.06 * (k % 3)) * shape[:, None] * np.linspace(0.4, 1.4, 8)
    source *= np.array([1.0, 0.9, -0.5, 0.3, 0.8, 1.2, 1.1, 0.7])
    source += 0.004 * rng.standard_normal(source.shape)
    one, two = source[:, 0], source[:, 1]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *source[:, 2:].T], axis=1)


@dataclass(frozen=True)
class Drawn:
    """Content of a page, and the samples that it shows."""

    content: bytes
    truth: np.ndarray
    """(5000, 12) mV at 500 Hz, NaN where nothing is drawn."""


def polyline(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> bytes:
    """Operators of one line, stroked."""
    points = [b"%.5f %.5f" % (a, b) for a, b in zip(x, y, strict=True)]
    return points[0] + b" m " + b" l ".join(points[1:]) + b" l S\n"


def grid(width_mm: float, height_mm: float, unit: float = PT_PER_MM) -> bytes:
    """Lines 1 mm apart, every fifth one wider, from the page's lower left corner."""
    out = [b"q 1 0.7 0.7 RG\n"]
    for k in range(round(width_mm) + 1):
        out.append(b"%g w " % (0.6 if k % 5 == 0 else 0.2) + polyline([k * unit] * 2, [0, height_mm * unit]))
    for k in range(round(height_mm) + 1):
        out.append(b"%g w " % (0.6 if k % 5 == 0 else 0.2) + polyline([0, width_mm * unit], [k * unit] * 2))
    return b"".join([*out, b"Q\n"])


def text(x: float, y: float, words: str, size: float = 9.0) -> bytes:
    """Words at a place, pt."""
    return b"BT /F %g Tf 0 g %.3f %.3f Td (%s) Tj ET\n" % (size, x, y, words.encode())


def draw_3x4(
    mv: np.ndarray,
    *,
    unit: float = PT_PER_MM,
    with_grid: bool = True,
    names: bool = True,
    line: Callable[[np.ndarray, np.ndarray], bytes] = polyline,
    marks: bool = True,
) -> Drawn:
    """Three rows of four columns and lead II below, 25 mm/s, 10 mm/mV; ``unit``: points of a millimetre."""
    make = line
    out = [grid(270, 200, unit)] if with_grid else []
    out.append(b"0 0 0 RG 0.5 w 1 j\n")
    truth = np.full((round(10 * FS), len(LEADS)), np.nan)
    quarter = round(2.5 * FS)
    left = 12.0
    for row in range(3):
        level = 165 - 38 * row
        for column in range(4):
            lead = COLUMNS[column][row]
            samples = slice(column * quarter, (column + 1) * quarter)
            values = mv[samples, LEADS.index(lead)]
            x = (left + 25 * np.arange(samples.start, samples.stop) / FS) * unit
            out.append(make(x, (level + 10 * values) * unit))
            truth[samples, LEADS.index(lead)] = values
            if names:
                out.append(text(x[0] + 2, (level + 8) * unit, lead))
            if marks and column:
                out.append(
                    b"[2 2] 0 d "
                    + polyline([x[0]] * 2, [(level - 3) * unit, (level + 3) * unit])
                    + b"[] 0 d\n"
                )
        foot = level * unit
        out.append(
            polyline(np.array([4, 5, 5, 10, 10, 11]) * unit, foot + np.array([0, 0, 10, 10, 0, 0]) * unit)
        )
    x = (left + 25 * np.arange(len(mv)) / FS) * unit
    out.append(make(x, (50 + 10 * mv[:, 1]) * unit))
    truth[:, 1] = mv[:, 1]
    if names:
        out.append(text(x[0] + 2, 58 * unit, "II"))
        out.append(text(20, 12, "25 mm/s   10 mm/mV   0.05-150 Hz"))
    if marks:  # a frame, a logo, an arrow
        out.append(b"%g %g %g %g re S\n" % (2 * unit, 5 * unit, 266 * unit, 190 * unit))
        out.append(polyline([30, 60, 50, 60, 50], [560, 560, 570, 560, 550]))
        out.append(b"100 560 m 130 600 160 520 190 560 c 150 590 120 530 100 560 c S\n")
    return Drawn(b"".join(out), truth)


def pdf_of(content: bytes, **page: object) -> bytes:
    """A PDF of one landscape page of 270 x 200 mm."""
    size = page.pop("size", (270 * PT_PER_MM, 200 * PT_PER_MM))
    return write_pdf([Page(content, size=size, **page)])  # type: ignore[arg-type]


def snr_db(truth: np.ndarray, mv: np.ndarray) -> float:
    """Least SNR, dB, of the leads drawn, the offset of each removed; samples that are not read count as 0 mV."""
    found = []
    for lead in np.flatnonzero(np.isfinite(truth).any(axis=0)):
        known = np.isfinite(truth[:, lead])
        true = truth[known, lead] - truth[known, lead].mean()
        read = mv[: len(truth)][known, lead].astype(np.float64)
        both = np.isfinite(read)
        noise = np.where(both, true - (read - np.mean((read - true)[both])), true) if both.any() else true
        found.append(10 * np.log10((true**2).sum() / max((noise**2).sum(), 1e-12)))
    return float(min(found))
