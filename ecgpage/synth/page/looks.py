"""Invent page styles: presets after real devices, and random mixtures of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.layout.known_layouts import KNOWN_LAYOUTS
from ecgpage.synth.page.challenge import GRID_COLORS, random_grid_colors
from ecgpage.synth.page.layout import LAYOUTS, Layout, PageStyle
from ecgpage.synth.page.model import Color, Grid, Paper, Plotter, Stamp, Text
from ecgpage.synth.page.text import FONTS

LETTER: Final = (279.4, 215.9)
"""Width and height, mm, of landscape US letter."""
A4: Final = (297.0, 210.0)
"""Width and height, mm, of landscape A4."""

LAYOUT_ODDS: Final[dict[str, float]] = {
    # the Challenge's layout stands first: which page a seed draws rests on this sequence
    known.name: known.drawn
    for known in sorted(KNOWN_LAYOUTS, key=lambda known: known.name != "3x4+1")
    if known.drawn
}
"""Share of each layout among drawn pages."""

PRINTED_GRIDS: Final[tuple[tuple[Color, Color], ...]] = (
    ((233, 132, 140), (247, 205, 208)),  # pink chart paper
    ((224, 96, 86), (244, 190, 182)),
    ((240, 150, 90), (250, 212, 180)),  # orange
    ((150, 60, 60), (226, 190, 190)),  # dark red laser print
    ((120, 170, 120), (195, 222, 195)),
    ((120, 140, 200), (200, 210, 235)),
    ((140, 140, 140), (205, 205, 205)),
    ((60, 60, 60), (150, 150, 150)),
    ((190, 110, 170), (232, 200, 225)),
)
"""Colours of the major and minor lines of chart paper."""

STATEMENTS: Final = (
    "Normal sinus rhythm", "Sinus bradycardia", "Sinus tachycardia", "Nonspecific ST and T wave abnormality",
    "Left axis deviation", "Possible left atrial enlargement", "Normal ECG", "Abnormal ECG",
    "Otherwise normal ECG", "Atrial fibrillation", "First degree AV block", "Right bundle branch block",
    "Unconfirmed",
)  # fmt: skip
__all__ = [
    "LAYOUT_ODDS",
    "LOOKS",
    "any_layout",
    "random_grid",
    "random_plotter",
    "random_style",
    "shuffled",
    "with_print",
]


def random_style(rng: np.random.Generator) -> PageStyle:
    """Random style of any look and layout."""
    look = rng.choice(list(LOOKS), p=[0.38, 0.19, 0.14, 0.12, 0.09, 0.08])
    return LOOKS[str(look)](rng)


def any_layout(rng: np.random.Generator) -> str:
    """Name of a random layout, common ones more often."""
    odds = np.array(list(LAYOUT_ODDS.values()))
    return str(rng.choice(list(LAYOUT_ODDS), p=odds / odds.sum()))


def mixed(rng: np.random.Generator) -> PageStyle:
    """Random style with everything varied independently."""
    width, height = LETTER if rng.random() < 0.5 else A4
    layout = any_layout(rng)
    ink = _ink(rng)
    grid = random_grid(rng)
    paper = Paper(
        width, height, _paper_color(rng), frame=float(rng.random() < 0.3) * 0.3, margin=_margin(rng)
    )
    rows = len(LAYOUTS[layout].columns[0]) + LAYOUTS[layout].strips
    top = float(rng.uniform(15, 70)) if rows < 6 else float(rng.uniform(8, 30))
    name_place = str(rng.choice(["below", "above", "left", "none"], p=[0.35, 0.5, 0.1, 0.05]))
    style = PageStyle(
        layout=layout,
        strip_leads=_strip_leads(rng),
        speed=50.0 if rng.random() < 0.08 else 25.0,
        gain=float(rng.choice([5.0, 10.0, 20.0], p=[0.07, 0.88, 0.05])),
        chest_gain=5.0 if rng.random() < 0.04 else None,
        continuous=bool(rng.random() < 0.85),
        paper=paper,
        grid=grid,
        left=float(rng.uniform(4, 20)),
        top=top,
        bottom=float(rng.uniform(6, 20)),
        snap_to_grid=bool(rng.random() < 0.6),
        pulse=rng.choice(["left", "right", "none"], p=[0.65, 0.1, 0.25]),
        pulse_foot=float(rng.choice([0.0, 1.0, 2.5])),
        pulse_span=float(rng.choice([5.0, 2.5], p=[0.85, 0.15])),
        separator=rng.choice(["tick", "marks", "dotted", "gap", "none"], p=[0.4, 0.15, 0.1, 0.1, 0.25]),
        # now and then lines that run on from row to row
        separator_length=float(rng.uniform(2, 12) if rng.random() < 0.85 else rng.uniform(20, 60)),
        gap=float(rng.random() < 0.15) * float(rng.uniform(0.5, 5)),
        name_place=name_place,  # type: ignore[arg-type]
        name_offset=float(rng.uniform(3.5, 9) if name_place == "below" else rng.uniform(4, 11)),
        name_size=float(rng.uniform(2.2, 5.0)),
        name_font=str(rng.choice(FONTS)),
        ink=ink,
        trace_width=float(np.exp(rng.uniform(np.log(0.15), np.log(0.6)))),
    )
    return with_print(style, rng)


def muse(rng: np.random.Generator) -> PageStyle:
    """Pink chart paper, thin black trace, small bold names above, vertical marks, measurements on top."""
    style = PageStyle(
        layout=str(rng.choice(["3x4+1", "3x4+3", "3x4", "6x2"], p=[0.6, 0.2, 0.1, 0.1])),
        strip_leads=("V1", "II", "V5") if rng.random() < 0.5 else ("II", "V1", "V5"),
        grid=Grid((230, 120, 130), (247, 200, 205), 0.2, 0.1, snap=False, area=(0, 45, *LETTER)),
        left=float(rng.uniform(6, 14)),
        top=50,
        bottom=10,
        pulse="right" if rng.random() < 0.3 else "left",
        separator="marks" if rng.random() < 0.7 else "none",
        separator_length=4,
        name_place="above" if rng.random() < 0.5 else "below",
        name_offset=float(rng.uniform(5, 9)),
        name_size=3.2,
        name_font="DejaVuSans-Bold" if rng.random() < 0.5 else "STIXGeneralBol",
        trace_width=float(rng.uniform(0.2, 0.35)),
        ink=_ink(rng),
    )
    return with_print(style, rng)


def schiller(rng: np.random.Generator) -> PageStyle:
    """A4, 6x2 or 12x1, orange or red grid, names to the left, pulses first."""
    width, height = A4
    style = PageStyle(
        layout=str(rng.choice(["6x2", "6x2+1", "12x1", "3x4+1", "cabrera 6x2"])),
        paper=Paper(width, height),
        grid=Grid(*PRINTED_GRIDS[int(rng.integers(1, 3))], 0.2, 0.1, snap=False, area=(0, 30, width, height)),
        left=8,
        top=float(rng.uniform(30, 40)),
        bottom=8,
        snap_to_grid=False,
        separator="none" if rng.random() < 0.5 else "dotted",
        name_place="left" if rng.random() < 0.5 else "above",
        name_offset=5,
        name_size=3.0,
        trace_width=float(rng.uniform(0.2, 0.35)),
        ink=_ink(rng),
    )
    return with_print(style, rng)


def edan(rng: np.random.Generator) -> PageStyle:
    """Thermal strip paper: low sheet, reddish dotted or lined grid, grey trace, gain in the margin."""
    paper = Paper(297, 210) if rng.random() < 0.5 else Paper(280, 140)
    kind = "dots" if rng.random() < 0.3 else "lines"
    minor: Grid = Grid(*PRINTED_GRIDS[int(rng.integers(2))], 0.25, 0.15, minor_kind=kind, snap=False)  # type: ignore[arg-type]
    style = PageStyle(
        layout=str(rng.choice(["3x4+1", "6x2", "6x2+1", "3x4"])),
        paper=replace(paper, color=(250, 246, 244)),
        grid=minor,
        left=float(rng.uniform(5, 12)),
        top=16,
        bottom=8,
        snap_to_grid=False,
        pulse_foot=2.5,
        separator="none",
        gap=float(rng.uniform(0, 4)),
        name_place="above",
        name_offset=float(rng.uniform(5, 10)),
        name_size=float(rng.uniform(2.5, 3.5)),
        name_font="DejaVuSansMono",
        trace_width=float(rng.uniform(0.2, 0.4)),
        ink=(60, 60, 70),
    )
    return with_print(style, rng)


def monitor(rng: np.random.Generator) -> PageStyle:
    """Viewer's window on a screen: pale pink page, thin lines, sometimes only 5-mm lines or none."""
    style = PageStyle(
        layout=str(rng.choice(["3x4+1", "3x4", "6x2", "12x1"], p=[0.6, 0.2, 0.1, 0.1])),
        paper=Paper(*LETTER, color=(255, 250, 250)),
        grid=Grid(
            (250, 170, 175), (255, 225, 228), 0.2, 0.12, minor_kind="lines" if rng.random() < 0.8 else "none"
        ),
        top=float(rng.uniform(10, 50)),
        separator="tick" if rng.random() < 0.5 else "none",
        name_place="above" if rng.random() < 0.5 else "below",
        name_offset=6,
        name_size=3.5,
        trace_width=float(rng.uniform(0.2, 0.4)),
        ink=(20, 20, 60) if rng.random() < 0.3 else (10, 10, 10),
    )
    return with_print(style, rng)


def thermal(rng: np.random.Generator) -> PageStyle:
    """Portable recorder: blue-grey print of a thermal head on tinted paper, all in the head's dots."""
    printed = rng.random() < 0.4  # the head prints the grid, too
    colors = ((90, 92, 110), (170, 172, 185)) if printed else PRINTED_GRIDS[int(rng.integers(3))]
    minor = str(rng.choice(["lines", "dots"], p=[0.5, 0.5])) if printed else "lines"
    width, height = A4 if rng.random() < 0.5 else (float(rng.uniform(230, 297)), float(rng.uniform(110, 215)))
    dark = float(rng.uniform(20, 90))
    few = height < 150
    style = PageStyle(
        layout=str(
            rng.choice(["3x4+1", "3x4", "6x2", "3 strips"] if few else ["3x4+1", "3x4+3", "6x2", "12x1"])
        ),
        paper=Paper(width, height, color=(248, 248, 250) if printed else (252, 246, 244)),
        grid=Grid(colors[0], colors[1], 0.2, 0.125, minor_kind=minor, snap=False),  # type: ignore[arg-type]
        left=float(rng.uniform(3, 10)),
        top=float(rng.uniform(8, 25)),
        bottom=6,
        snap_to_grid=bool(rng.random() < 0.5),
        pulse=rng.choice(["left", "right", "none"]),
        separator=rng.choice(["none", "marks", "dotted"]),
        name_place="above",
        name_offset=float(rng.uniform(5, 9)),
        name_size=float(rng.uniform(2.5, 3.8)),
        name_font=str(rng.choice(["DejaVuSansMono", "DejaVuSans-Bold", "DejaVuSans"])),
        trace_width=float(rng.uniform(0.25, 0.5)),
        ink=(dark, dark, dark + float(rng.uniform(0, 40))),
    )
    return with_print(style, rng)


def shuffled(style: PageStyle, rng: np.random.Generator) -> PageStyle:
    """Style with leads in random order: all, columns or rows permuted, or two exchanged; any strips."""
    columns = [list(column) for column in LAYOUTS[style.layout].columns]
    kind = str(rng.choice(["leads", "columns", "rows", "two"], p=[0.55, 0.15, 0.15, 0.15]))
    if kind == "columns" and len(columns) > 1:
        columns = [columns[k] for k in rng.permutation(len(columns))]
    elif kind == "rows":
        rows = rng.permutation(len(columns[0]))
        columns = [[column[k] for k in rows] for column in columns]
    elif kind == "two" and len(columns) * len(columns[0]) > 1:
        (a, b), (c, d) = (
            divmod(int(k), len(columns[0]))
            for k in rng.choice(len(columns) * len(columns[0]), 2, replace=False)
        )
        columns[a][b], columns[c][d] = columns[c][d], columns[a][b]
    else:
        names = iter(rng.permutation(np.array(LEADS)))
        columns = [[str(next(names)) for _ in column] for column in columns]
    strips = tuple(str(name) for name in rng.choice(np.array(LEADS), 3, replace=False))
    return replace(style, order=Layout(tuple(tuple(column) for column in columns)), strip_leads=strips)


def random_plotter(rng: np.random.Generator) -> Plotter:
    """Random device that redraws the recording at 100 to 250 points a second, or on the dots of a bitmap."""
    if rng.random() < 0.5:
        points = float(rng.choice([100, 120, 125, 150, 200, 240, 250]))
        return Plotter(25.0 / points, stairs=bool(rng.random() < 0.35), smooth=bool(rng.random() < 0.5))
    dot = 25.4 / float(rng.choice([96, 100, 120, 144, 150, 203]))
    return Plotter(dot, quantum=dot, stairs=bool(rng.random() < 0.6), smooth=bool(rng.random() < 0.5))


LOOKS: Final[dict[str, Callable[[np.random.Generator], PageStyle]]] = {
    "mixed": mixed,
    "muse": muse,
    "schiller": schiller,
    "edan": edan,
    "monitor": monitor,
    "thermal": thermal,
}


def random_grid(rng: np.random.Generator) -> Grid | None:
    """Random grid of any colour and contrast; None on a few pages."""
    kind = rng.random()
    if kind < 0.04:
        return None
    if kind < 0.35:
        major, minor = GRID_COLORS[str(rng.choice(list(GRID_COLORS)))]
    elif kind < 0.5:
        major, minor = random_grid_colors(rng)
    else:
        major, minor = PRINTED_GRIDS[int(rng.integers(len(PRINTED_GRIDS)))]
    fade = rng.uniform(0, 0.7)
    fade_minor = fade + (1 - fade) * (1.0 if rng.random() < 0.15 else rng.uniform(0, 0.9))
    minor_kind = str(rng.choice(["lines", "dots", "none"], p=[0.8, 0.1, 0.1]))
    width = float(rng.uniform(0.1, 0.3))
    return Grid(
        _towards_white(major, fade),
        _towards_white(minor, fade_minor),
        major_width=width * float(rng.uniform(1.0, 2.0)),
        minor_width=width,
        minor_kind=minor_kind,  # type: ignore[arg-type]
        snap=bool(rng.random() < 0.5),
        heavy_step=25.0 if rng.random() < 0.06 else 0.0,
    )


def with_print(style: PageStyle, rng: np.random.Generator) -> PageStyle:
    """Style with the printed text around the leads: patient, measurements, scales, codes."""
    width, height = style.paper.width, style.paper.height
    font = str(rng.choice(FONTS))
    size = float(rng.uniform(2.3, 4.2))
    texts: list[Text] = []
    stamps: list[Stamp] = []
    if rng.random() < 0.8:
        columns = [
            _patient_lines(rng),
            _measurement_lines(rng),
            list(rng.choice(STATEMENTS, 3, replace=False)),
        ]
        at = float(rng.uniform(3, 15))
        for lines in columns[: int(rng.integers(1, 4))]:
            room = int(max(style.top - 6, 5) / (size * 1.3))
            texts += [
                Text(str(line), at, 4 + size * (1 + 1.3 * k), size, font)
                for k, line in enumerate(lines[:room])
            ]
            at += float(rng.uniform(60, 90))
    if rng.random() < 0.85:
        scales = (
            f"{style.speed:g}mm/s",
            f"{style.gain:g}mm/mV",
            str(rng.choice(["0.05-150Hz", "40Hz", "~ 50Hz", ""])),
        )
        blank = "  " if rng.random() < 0.5 else " " * 8
        texts.append(Text(blank.join(scales), float(rng.uniform(5, width / 2)), height - 3, size, font))
    if rng.random() < 0.1:
        texts.append(Text(f"Page 1 of {rng.integers(1, 3)}", width - 35, height - 3, size, font))
    if rng.random() < 0.12:
        stamps.append(code_stamp(width - 25, 2, min(18.0, style.top - 4), rng))
    if rng.random() < 0.08:
        stamps.append(_logo_stamp(width - 60, 3, rng))
    return replace(style, texts=tuple(texts), stamps=tuple(stamps))


def _patient_lines(rng: np.random.Generator) -> list[str]:
    number, day, month = int(rng.integers(10**5, 10**7)), int(rng.integers(1, 29)), int(rng.integers(1, 13))
    return [
        f"ID: {number}",
        f"{day:02d}.{month:02d}.{rng.integers(1990, 2025)} {rng.integers(24):02d}:{rng.integers(60):02d}",
        f"{rng.integers(18, 95)} yrs {rng.choice(['Male', 'Female'])}",
        f"{rng.integers(145, 200)} cm {rng.integers(45, 120)} kg",
        f"Room: {rng.integers(1, 400)}",
    ]


def _measurement_lines(rng: np.random.Generator) -> list[str]:
    return [
        f"Vent. rate {rng.integers(40, 150)} BPM",
        f"PR interval {rng.integers(110, 230)} ms",
        f"QRS duration {rng.integers(70, 160)} ms",
        f"QT/QTc {rng.integers(320, 480)}/{rng.integers(380, 500)} ms",
        f"P-R-T axes {rng.integers(-30, 90)} {rng.integers(-60, 110)} {rng.integers(-30, 120)}",
    ]


def code_stamp(x: float, y: float, size: float, rng: np.random.Generator) -> Stamp:
    """Stamp of a QR code of an invented number, or of a bar code."""
    if size > 8 and rng.random() < 0.6:
        return Stamp((x, y, x + size, y + size), _qr_code(int(rng.integers(100))), background=True)
    bars = (rng.random(60) < 0.5).astype(np.uint8) * 255
    return Stamp(
        (x - 20, y, x + 20, y + 8), np.asarray(bars[None].repeat(4, axis=0), np.uint8), background=True
    )


@lru_cache(maxsize=100)
def _qr_code(number: int) -> NDArray[np.uint8]:
    """QR code of a nine-digit number made of ``number``, 255 where there is ink."""
    code = cv2.QRCodeEncoder.create().encode(f"{number * 7919_0817 % 10**9:09d}")
    return 255 - np.asarray(code, np.uint8)


def _logo_stamp(x: float, y: float, rng: np.random.Generator) -> Stamp:
    """Stamp of a simple hospital sign: a disc, ring or shield with a cross."""
    mask: NDArray[np.uint8] = np.zeros((96, 96), np.uint8)
    cv2.circle(mask, (48, 48), 44, 255, -1 if rng.random() < 0.5 else 6)
    ink = 0 if mask[48, 48] else 255
    cv2.rectangle(mask, (40, 20), (56, 76), ink, -1)
    cv2.rectangle(mask, (20, 40), (76, 56), ink, -1)
    return Stamp((x, y, x + 12, y + 12), mask)


def _ink(rng: np.random.Generator) -> Color:
    """Random ink: black, grey, or the blue or brown of some printers."""
    grey = float(rng.uniform(0, 90))
    tint = rng.random()
    if tint < 0.1:
        return grey * 0.5, grey * 0.5, grey * 0.5 + 60
    if tint < 0.15:
        return grey * 0.5 + 50, grey * 0.5 + 20, grey * 0.5
    return grey, grey, grey


def _paper_color(rng: np.random.Generator) -> Color:
    if rng.random() < 0.6:
        return 255.0, 255.0, 255.0
    tint = rng.uniform((225, 222, 212), 255)
    return float(tint[0]), float(tint[1]), float(tint[2])


def _margin(rng: np.random.Generator) -> float:
    """Random width, mm, of the blank paper around the print: laser printers leave some millimetres."""
    return 0.0 if rng.random() < 0.5 else float(rng.uniform(2, 12))


def _strip_leads(rng: np.random.Generator) -> tuple[str, ...]:
    if rng.random() < 0.7:
        return "II", "V1", "V5"
    first, second, third = rng.choice(["I", "II", "III", "V1", "V2", "V5", "aVF"], 3, replace=False)
    return str(first), str(second), str(third)


def _towards_white(color: Color, fade: float) -> Color:
    red, green, blue = (255 - (255 - c) * (1 - fade) for c in color)
    return red, green, blue
