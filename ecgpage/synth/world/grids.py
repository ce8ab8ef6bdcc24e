"""Invent printed grids: lines, dots and dashes of any strength and colour, on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Rng
from ecgpage.synth.page.model import Color
from ecgpage.synth.world.model import GridStyle, LineKind

HUES: Final[tuple[Color, ...]] = (
    (235, 110, 120), (225, 90, 80), (240, 150, 95), (245, 120, 160), (150, 60, 55), (110, 165, 110), (60, 150, 90),
    (110, 135, 205), (60, 90, 190), (120, 120, 120), (60, 60, 60), (0, 0, 0), (190, 110, 170), (170, 140, 90), (90, 170, 175),
)  # fmt: skip
"""Colours of 5-mm lines on light paper, RGB."""
PALE_BELOW_PX: Final = 6.0
"""Pixels of a millimetre below which its lines are paler than their kind says."""
GREYS: Final = ((0, 0, 0), (60, 60, 60), (120, 120, 120), (160, 160, 160))


@dataclass(frozen=True)
class Palette:
    """Colours of one page."""

    name: str
    paper: Color
    ink: Color
    is_dark: bool = False


DARK_PAPERS: Final[tuple[Color, ...]] = (
    (0, 0, 0), (12, 12, 14), (5, 10, 40), (10, 20, 60), (0, 30, 15), (25, 28, 34), (40, 44, 52), (0, 20, 35),
)  # fmt: skip
CHART_PAPERS: Final[tuple[Color, ...]] = ((255, 240, 240), (253, 246, 240), (240, 250, 242), (242, 245, 253))
BRIGHT_INKS: Final[tuple[Color, ...]] = (
    (0, 255, 0), (60, 230, 90), (255, 255, 255), (230, 230, 230), (255, 255, 0), (0, 255, 255), (90, 200, 255),
    (255, 170, 60), (255, 120, 120),
)  # fmt: skip


def random_palette(rng: Rng, *, p_dark: float) -> Palette:
    """Paper and ink of a page; dark ones are those of monitors and viewers."""
    if rng.random() < p_dark:
        paper, ink = (colors[int(rng.integers(len(colors)))] for colors in (DARK_PAPERS, BRIGHT_INKS))
        return Palette("dark", paper, ink, True)
    paper = _light_paper(rng)
    kind = rng.random()
    if kind < 0.72:
        grey = float(rng.choice([0.0, 0.0, rng.uniform(0, 70), rng.uniform(40, 120)]))
        return Palette("black ink" if grey < 40 else "grey ink", paper, (grey, grey, grey))
    inks = (
        (0, 0, 160),
        (0, 0, 255),
        (30, 60, 120),
        (40, 20, 90),
        (200, 0, 0),
        (160, 30, 50),
        (0, 100, 40),
        (110, 60, 30),
    )
    return Palette("coloured ink", paper, inks[int(rng.integers(len(inks)))])


def _light_paper(rng: Rng) -> Color:
    """White, any pale tint, or the tints of the usual chart papers."""
    tint = rng.random()
    if tint < 0.55:
        return 255.0, 255.0, 255.0
    if tint < 0.8:
        return as_color(rng.uniform(228, 255, 3))
    return CHART_PAPERS[int(rng.integers(len(CHART_PAPERS)))]


def as_color(values: Sequence[float] | NDArray[np.generic]) -> Color:
    """Colour of three numbers."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _mixed(color: Color, paper: Color, part: float) -> Color:
    """Colour moved towards the paper's by ``part``, 0 to 1."""
    red, green, blue = (c + (p - c) * part for c, p in zip(color, paper, strict=True))
    return red, green, blue


def random_grid_style(palette: Palette, px_per_mm: float, rng: Rng) -> tuple[str, GridStyle | None]:
    """Kind and style of a grid on a page of ``palette`` at a scale; no style on pages without one.

    Millimetre lines closer than 3 px are drawn rarely, as devices do.
    """
    kinds = (
        "lines",
        "dotted",
        "dashed",
        "1 mm only",
        "5 mm only",
        "equal",
        "pale",
        "black",
        "coarse",
        "mixed",
        "none",
    )
    odds = np.array([0.22, 0.19, 0.05, 0.07, 0.10, 0.09, 0.08, 0.05, 0.06, 0.06, 0.03])
    if px_per_mm < 3.2:
        odds[[1, 2, 3, 5, 9]] *= 0.4
        odds[4] *= 3
    kind = str(rng.choice(kinds, p=odds / odds.sum()))
    if kind == "none":
        return kind, None
    hue = _hue(palette, kind, rng)
    fade = float(rng.uniform(0, 0.75))
    minor_fade = fade + (1 - fade) * float(rng.uniform(0.2, 0.85))
    width = float(np.exp(rng.uniform(np.log(0.06), np.log(0.3))))
    style = GridStyle(
        _mixed(hue, palette.paper, fade),
        _mixed(hue, palette.paper, minor_fade),
        major_width=width * float(rng.uniform(1, 2.2)),
        minor_width=width,
        dot_step=float(rng.choice([0.2, 0.25, 1 / 3, 0.4, 0.5, 0.625, 1.0])),
        dash=_dash(rng),
        heavy_step=float(rng.choice([10.0, 25.0, 25.0])) if rng.random() < 0.07 else 0.0,
        snap=bool(rng.random() < 0.7),
        dropout=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.05 else 0.0,
    )
    style = _as_kind(kind, style, palette, rng)
    if style.minor_kind in ("lines", "dashes"):  # where every third pixel is a line, lines are pale
        pale = float(np.clip((PALE_BELOW_PX - px_per_mm) / PALE_BELOW_PX, 0, 0.6))
        style = replace(style, minor=_mixed(style.minor, palette.paper, pale))
    return kind, style


def _hue(palette: Palette, kind: str, rng: Rng) -> Color:
    if kind == "black" and not palette.is_dark:
        return 0.0, 0.0, 0.0
    if palette.is_dark:
        return (
            BRIGHT_INKS[int(rng.integers(len(BRIGHT_INKS)))] if rng.random() < 0.4 else (150.0, 150.0, 150.0)
        )
    if rng.random() < 0.3:
        return GREYS[int(rng.integers(len(GREYS)))]
    return HUES[int(rng.integers(len(HUES)))]


def _dash(rng: Rng) -> tuple[float, float]:
    """Lengths of dash and gap, printed mm, which fit into a millimetre or a square."""
    whole = float(rng.choice([0.5, 1.0, 2.5, 1.25]))
    on = whole * float(rng.uniform(0.3, 0.75))
    return on, whole - on


def _as_kind(kind: str, style: GridStyle, palette: Palette, rng: Rng) -> GridStyle:
    """The style turned into one of the kinds."""
    paper, strength, near = palette.paper, float(rng.uniform(0.8, 0.94)), float(rng.uniform(0.0, 0.25))
    other = _mixed(HUES[int(rng.integers(len(HUES)))], paper, float(rng.uniform(0.2, 0.7)))
    lines: tuple[LineKind, ...] = ("lines", "lines", "dots", "dashes", "none")
    major, minor = (lines[int(k)] for k in rng.integers(0, len(lines), 2))
    changes: dict[str, dict[str, Any]] = {
        "dashed": {
            "major_kind": "lines" if major == "lines" else "dashes", "minor_kind": "none" if minor == "lines" else "dashes",
        },
        "1 mm only": {"major_kind": "none", "minor": style.major, "minor_kind": "dots" if minor == "dots" else "lines"},
        "5 mm only": {"minor_kind": "none"},
        "equal": {"minor": style.major, "minor_width": style.major_width},
        "pale": {"major": _mixed(style.major, paper, strength), "minor": _mixed(style.minor, paper, strength)},
        # 5-mm lines hardly darker or wider than the others
        "coarse": {"minor": _mixed(style.major, paper, near), "minor_width": style.major_width * (1 - 0.6 * near)},
        # millimetres of one colour below lines of another
        "mixed": {"minor": other, "minor_kind": "lines" if minor == "none" else minor},
    }  # fmt: skip
    if kind == "dotted":
        return _dotted(style, paper, rng)
    return replace(style, **changes.get(kind, {}))


def _dotted(style: GridStyle, paper: Color, rng: Rng) -> GridStyle:
    """Dots at the millimetres' crossings, and 5-mm lines of closer dots or drawn through."""
    dots = replace(style, minor_kind="dots", major_kind="dots" if rng.random() < 2 / 3 else "lines")
    if rng.random() < 0.5:  # one colour for both: the 5-mm lines differ by their dots alone
        dots = replace(dots, minor=dots.major, minor_width=dots.major_width)
    if rng.random() < 0.25 and dots.major_kind == "lines":
        dots = replace(dots, major=_mixed(dots.major, paper, 0.5))
    return dots


def faxed(style: GridStyle, rng: Rng) -> GridStyle:
    """The style as a copier or a fax takes it up: thin, of medium strength, often with patches that dropped out."""
    tone = float(rng.uniform(60, 200))
    return replace(
        style,
        major=(tone, tone, tone),
        minor=(tone + (255 - tone) * float(rng.uniform(0, 0.7)),) * 3,
        major_width=min(style.major_width, 0.2),
        minor_width=min(style.minor_width, 0.12),
        dropout=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.5 else 0.0,
    )
