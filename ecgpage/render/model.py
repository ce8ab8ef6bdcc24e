"""What stands on a page, in millimetres, before any pixel is drawn.

Conventions:
    page    millimetres, origin at the top-left corner of the paper, x right (time), y down
    color   RGB, 0 to 255
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = NDArray[np.float64]
Color = tuple[float, float, float]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

BLACK: Color = (0.0, 0.0, 0.0)
WHITE: Color = (255.0, 255.0, 255.0)
MM_PER_POINT = 25.4 / 72


@dataclass(frozen=True)
class Paper:
    """The sheet; landscape US letter unless said otherwise."""

    width: float = 279.4
    height: float = 215.9
    color: Color = WHITE
    frame: float = 0.0
    """Width in mm of a black line along the edge of the printed page; 0 for none."""
    margin: float = 0.0
    """Blank sheet around the page on all sides; the page's origin stays at the corner of the print."""


@dataclass(frozen=True)
class Grid:
    """Printed millimetre grid."""

    major: Color = (255.0, 0.0, 0.0)
    minor: Color = (254.0, 223.0, 219.0)
    major_width: float = 0.5 * MM_PER_POINT
    minor_width: float = 0.5 * MM_PER_POINT
    major_step: float = 5.0
    minor_step: float = 1.0
    minor_kind: Literal["lines", "dots", "none"] = "lines"
    major_kind: Literal["lines", "dots", "none"] = "lines"
    snap: bool = True
    """Lines sit on whole pixels, as a plotting library or a laser printer puts them."""
    area: Box | None = None
    """The printed part, the whole paper when None. Lines are counted from its left and bottom edges."""


@dataclass(frozen=True)
class Segment:
    """A drawn piece of one lead: samples ``start`` to ``stop`` of column ``channel``."""

    lead: str
    channel: int
    start: int
    stop: int
    x0: float
    """Place of sample ``start`` along x, mm."""
    baseline: float
    """Place of 0 mV along y, mm."""
    gain: float = 10.0
    """mm/mV."""
    strip: bool = False
    """A rhythm strip below the twelve leads."""
    name_at: tuple[float, float] | None = None
    """Start of the printed name's baseline, mm; None when the name is not printed."""
    name: str | None = None
    """What is printed, when it is not the lead's own name."""


@dataclass(frozen=True)
class Pulse:
    """Calibration pulse: a path that runs from left to right."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: float = 1.125 * MM_PER_POINT
    lead: str | None = None
    """Lead of the segment beside it."""


@dataclass(frozen=True)
class Tick:
    """A vertical line with square ends that separates two leads."""

    x: float
    y0: float
    y1: float
    width: float = 2.25 * MM_PER_POINT
    snap: bool = True
    """Centre and ends sit on whole pixels, see ``Grid.snap``."""


@dataclass(frozen=True)
class Bar:
    """A filled upright rectangle: frames, logos, bar codes."""

    box: Box
    color: Color | None = None
    """The ink of the traces when None."""


@dataclass(frozen=True)
class Stamp:
    """A printed picture in one ink: QR or bar code, logo."""

    box: Box
    mask: NDArray[np.uint8]
    """(h, w), 255 where there is ink; stretched over the box."""
    background: bool = False
    """The box is blanked to the paper's colour first."""


@dataclass(frozen=True)
class Text:
    """Printed text whose baseline starts at (x, y) mm; ``size`` is the em in mm."""

    text: str
    x: float
    y: float
    size: float = 11 * MM_PER_POINT
    font: str = "DejaVuSans"
    color: Color | None = None
    """The ink of the traces when None."""


@dataclass(frozen=True)
class Page:
    """One page, ready to be drawn."""

    layout: str
    fs: float
    speed: float = 25.0
    """mm/s."""
    gain: float = 10.0
    """mm/mV, as printed on the page."""
    paper: Paper = field(default_factory=Paper)
    grid: Grid | None = field(default_factory=Grid)
    ink: Color = BLACK
    trace_width: float = 0.75 * MM_PER_POINT
    wear: float = 0.0
    """Uneven ink, 0 to 1: how much of the trace the palest spots lose."""
    name_size: float = 11 * MM_PER_POINT
    name_font: str = "DejaVuSans"
    segments: tuple[Segment, ...] = ()
    pulses: tuple[Pulse, ...] = ()
    separators: tuple[Tick, ...] = ()
    bars: tuple[Bar, ...] = ()
    texts: tuple[Text, ...] = ()
    stamps: tuple[Stamp, ...] = ()


def segment_path(page: Page, segment: Segment, signal: NDArray[np.floating]) -> tuple[Axis, Axis]:
    """Place of each sample of ``segment`` on the page, mm: x (n,) and y (n,), NaN where the signal is NaN.

    ``signal`` (n_samples, n_channels) in mV.
    """
    mv = np.asarray(signal[segment.start : segment.stop, segment.channel], np.float64)
    x = segment.x0 + np.arange(len(mv), dtype=np.float64) * (page.speed / page.fs)
    return x, segment.baseline - mv * segment.gain


def read_back(page: Page, segment: Segment, xy: Axis) -> tuple[Axis, Axis]:
    """Inverse of ``segment_path``: seconds from the start of the record and mV at page points (n, 2) mm."""
    seconds = segment.start / page.fs + (xy[:, 0] - segment.x0) / page.speed
    return seconds, (segment.baseline - xy[:, 1]) / segment.gain


def masked_signal(page: Page, signal: NDArray[np.floating]) -> NDArray[np.float32]:
    """``signal`` (n_samples, n_channels) mV as float32, NaN wherever the page does not draw it."""
    masked = np.full(signal.shape, np.nan, np.float32)
    for segment in page.segments:
        window = slice(segment.start, segment.stop)
        masked[window, segment.channel] = signal[window, segment.channel]
    return masked
