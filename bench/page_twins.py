"""Draw a page like each real page, and show both side by side.

    python -m bench.page_twins --data FOLDER --out docs/twins.webp [--only NAME ...]

FOLDER holds ``real/scans``, ``real/photos`` (each with ``input`` and ``reference``), ``patient_images`` and
``hires500``. ``TWINS`` describes each real page as judged by eye: layout, grid, paper, light. It serves this sheet
alone; nothing is trained on it or chosen by it. Pages whose signals are known are drawn with them.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.sheets import write_small
from ecgpage.core.types import Image
from ecgpage.image.decode import read_image
from ecgpage.synth.mixes import Mix
from ecgpage.synth.page.challenge import challenge_page, invent_patient
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.looks import code_stamp
from ecgpage.synth.page.model import Color, Grid, Page, Paper
from ecgpage.synth.picture import photograph
from ecgpage.synth.sources import Pack, WfdbFolder

TILE = (330, 230)
"""Width and height, px, of one picture on the sheet."""
PAIRS = 4
"""Number of pairs, real beside drawn, in a row of the sheet."""
CAPTION = 14
"""Height, px, of the caption."""


@dataclass(frozen=True)
class Twin:
    """Description of one real page."""

    name: str
    folder: str
    page: Page | PageStyle | None = None
    """Page style; None: the Challenge's page in the colours of ``grid``."""
    grid: Grid | None = None
    margin: float = 0.0
    """Width, mm, of the blank paper around the print."""
    paper: Color = (255.0, 255.0, 255.0)
    code: bool = False
    """Whether a QR code stands in the corner."""
    wear: float = 0.0
    look: Mix = field(default_factory=Mix)
    seed: int = 0


def look(**values: Any) -> Mix:
    """Mix in which every strength has one value: a number stands for a range of no width."""
    ranges = {f.name for f in fields(Mix) if isinstance(f.default, tuple) and len(f.default) == 2}
    fixed = {k: (v, v) if k in ranges and not isinstance(v, tuple) else v for k, v in values.items()}
    plain: dict[str, Any] = {"long_side": (1000, 1001), "frame": "camera", "p_jpeg": 1.0, "jpeg": (80, 90)}
    return replace(Mix(), **{**plain, **fixed})


def photo(name: str, *, seed: int = 0, wood: bool = True, grid: Color = (150, 70, 72), **values: Any) -> Twin:
    """Printed Challenge page, photographed on a table, its 1-mm lines lost."""
    common: dict[str, Any] = {
        "backgrounds": ("brown wood",) if wood else ("dark wood",), "brightness": 0.8, "shading": 0.9, "blur": 0.8,
        "noise": 1.5, "sharpen": 1.0, "gradient": 0.12, "tilt": 8.0, "lens": 0.01,
        "marks": (("paper_grain", 1.0),),
    }  # fmt: skip
    return Twin(
        name, "real/photos/input", None, Grid(grid, (241, 246, 252), 0.24, 0.15), margin=7.0, paper=(243, 249, 255), wear=0.3,
        seed=seed,
        look=look(**{**common, **values}),
    )  # fmt: skip


def scan(name: str, grid: Grid, *, code: bool = False, seed: int = 0, **values: Any) -> Twin:
    """Printed Challenge page on a flatbed scanner."""
    return Twin(
        name, "real/scans/input", None, grid, code=code, seed=seed,
        look=look(**{"frame": "sheet", "backgrounds": ("white",), "p_gray": 1.0, **values}),
    )  # fmt: skip


def clinic(
    name: str,
    size: tuple[float, float],
    paper: Color,
    major: Color,
    minor: Color,
    *,
    layout: str = "3x4+1",
    dots: bool = False,
    heavy: float = 0.0,
    lines: tuple[float, float] = (0.25, 0.15),
    style: Mapping[str, Any] | None = None,
    seed: int = 0,
    **values: Any,
) -> Twin:
    """Page of a device, of which the middle ``size`` mm fill the picture."""
    width, height = size
    beyond = 12.0
    kind: Literal["dots", "lines"] = "dots" if dots else "lines"
    major, minor = _darker(major, paper, 1.7), _darker(minor, paper, 1.1)
    grid = Grid(major, minor, *lines, minor_kind=kind, snap=False, heavy_step=heavy)
    own: dict[str, Any] = {
        "layout": layout, "grid": grid, "paper": Paper(width + 2 * beyond, height + 2 * beyond, color=paper),
        "left": 3.0 + beyond, "right": 3.0 + beyond, "top": 4.0 + beyond, "bottom": 3.0 + beyond,
        "pulse_foot": 0.5, "separator": "none", "snap_to_grid": False, "name_size": 3.4,
        "name_font": "STIXGeneral", "name_offset": 5.0, "trace_width": 0.3, "ink": (30, 30, 35),
    }  # fmt: skip
    shown = look(
        **{"backgrounds": ("white",), **values, "fill": values.get("fill", 1.0) * (1 + 2 * beyond / height)}
    )
    return Twin(name, "patient_images", PageStyle(**{**own, **(style or {})}), look=shown, seed=seed)


def _darker(line: Color, paper: Color, times: float) -> Color:
    """Ink of a line, its contrast raised ``times``, that looks like ``line`` on ``paper`` after blur by lens and pixels."""
    red, green, blue = (max(p - times * (p - c), 0) for c, p in zip(line, paper, strict=True))
    return red, green, blue


ABOVE: Mapping[str, Any] = {"name_place": "above", "name_offset": 5.5}
"""Style of names above their leads."""
LONG: Mapping[str, Any] = {"separator": "tick", "separator_length": 36.0, "trace_width": 0.25}
"""Style of separators that run on from row to row, thin."""
NARROW: Mapping[str, Any] = {"pulse_span": 2.5, "pulse_foot": 1.0}
"""Style of narrow calibration pulses."""
TICKS: Mapping[str, Any] = {
    "separator": "tick", "separator_length": 11.0, "pulse": "none", "name_font": "DejaVuSans", "name_size": 5.0,
    "name_offset": 7.0, "trace_width": 0.22,
}  # fmt: skip
BLACK_GRID = Grid((0, 0, 0), (225, 225, 225), 0.3, 0.15)

TWINS: tuple[Twin, ...] = (
    scan("887374646-0", BLACK_GRID, code=True, p_threshold=1.0, noise=14.0, rotation=-0.2, blur=0.4, fill=0.98, seed=2),
    scan("892067079-0", BLACK_GRID, code=True, p_threshold=1.0, noise=14.0, rotation=0.6, blur=0.4, fill=0.98, seed=4),
    scan("906806490-0", BLACK_GRID, code=True, p_threshold=1.0, noise=14.0, rotation=0.5, blur=0.4, fill=0.98, seed=8),
    scan(
        "90036-0", Grid((165, 165, 175), (190, 190, 200), 0.18, 0.15), brightness=0.93, blur=0.7, fill=1.03, noise=2.0,
        sharpen=1.0,
    ),
    scan(
        "90054-0", Grid((205, 205, 205), (232, 232, 232), 0.18, 0.15), brightness=0.96, blur=0.7, fill=1.03, noise=1.0,
        offset=0.01,
    ),
    photo(
        "00012_hr-0", rotation=6.0, tilt=24.0, tilt_towards=100.0, fill=1.08, gradient=0.15, mixed_light=0.06, blur=0.9,
        seed=4,
    ),
    photo("01032_hr-0", rotation=-1.0, fill=1.04, folds=3, fold_bend=0.15, curl=5.0, shading=0.8, seed=3),
    photo("01109_hr-0", wood=False, rotation=11.0, fill=0.99, shading=0.4),
    photo(
        "01137_hr-0", wood=False, rotation=-15.0, fill=0.97, crumples=20.0, crumple_slope=0.05, facets=200.0,
        facet_slope=0.16, shading=0.9, seed=3,
    ),
    photo("01226_hr-0", wood=False, rotation=9.0, fill=1.0, folds=7, fold_bend=0.4, shading=0.7, seed=22),
    photo("01803_hr-0", rotation=-20.0, fill=1.15, folds=7, fold_bend=0.3, shading=0.4, seed=3),
    photo("01844_hr-0", rotation=6.0, fill=1.02, folds=7, fold_bend=0.3, seed=2),
    photo(
        "02256_hr-0", rotation=-23.0, fill=1.2, folds=5, fold_bend=0.35, shading=0.5, seed=6,
        marks=(("paper_grain", 1.0), ("handwriting", 1.0)),
    ),
    photo("02292_hr-0", rotation=0.5, fill=1.02, folds=7, fold_bend=0.3, seed=9),
    photo("02858_hr-0", rotation=-12.0, fill=1.12, folds=7, fold_bend=0.3, shading=0.5, seed=14),
    photo("03150_hr-0", rotation=4.0, fill=1.02, folds=7, fold_bend=0.3, curl=3.0, seed=6),
    photo("03403_lr-0", rotation=0.5, fill=1.06, folds=6, fold_bend=0.3, seed=12),
    photo(
        "03671_lr-0", rotation=7.0, fill=1.04, crumples=14.0, crumple_slope=0.12, facets=25.0, facet_slope=0.06, folds=2,
        fold_bend=0.2, seed=7,
    ),
    photo("03784_lr-0", rotation=-0.8, tilt=3.0, fill=1.02, folds=2, fold_bend=0.05, curl=2.0, gradient=0.15),
    clinic(
        "ecg00001", (280, 140), (255, 246, 243), (250, 216, 210), (253, 232, 228),
        style={**ABOVE, "separator": "marks", "separator_length": 8.0, "name_font": "DejaVuSans-Bold", "name_size": 2.6},
    ),
    clinic("ecg00003", (262, 119), (255, 229, 246), (222, 140, 180), (246, 205, 230), style=TICKS, blur=0.4),
    clinic(
        "ecg00005", (150, 163), (228, 226, 214), (130, 130, 130), (120, 120, 120), layout="limb 6x1", dots=True, heavy=25.0,
        style={**ABOVE, "trace_width": 0.35}, brightness=0.75, vignette=0.55, gradient=0.25, blur=0.6,
        noise=2.0, seed=1,
    ),
    clinic("ecg00007", (262, 100), (255, 229, 246), (222, 140, 180), (246, 205, 230), layout="3x4", style=TICKS, blur=0.4),
    clinic(
        "ecg00009", (276, 138), (253, 240, 228), (235, 170, 150), (248, 214, 198),
        style={"name_font": "STIXGeneralBol", "trace_width": 0.35, "ink": (55, 50, 95), "strip_leads": ("V1",)},
    ),
    clinic(
        "ecg00013", (258, 96), (247, 235, 224), (226, 178, 165), (235, 205, 192), layout="3x4",
        style={**ABOVE, "pulse": "right", "name_size": 2.6, "trace_width": 0.22, "separator": "marks",
               "separator_length": 3.0, "ink": (70, 60, 60)}, brightness=0.93, blur=0.5, noise=3.0, jpeg=(50, 60),
    ),
    clinic(
        "ecg00015", (255, 103), (255, 236, 240), (246, 176, 190), (252, 216, 224), layout="3x4", blur=0.4, jpeg=(70, 75),
        style={"name_size": 2.8},
    ),
    clinic(
        "ecg00017", (255, 116), (255, 233, 236), (240, 160, 170), (250, 208, 214), layout="3x4", blur=0.4, jpeg=(60, 70),
        style={"name_size": 2.8}, seed=3,
    ),
    clinic(
        "ecg00020", (258, 111), (240, 240, 240), (150, 150, 150), (120, 120, 120), layout="3x4", lines=(0.35, 0.3),
        style={"pulse": "none", "name_font": "DejaVuSans", "name_size": 3.0}, p_gray=1.0, noise=12.0, blur=0.7,
        brightness=0.85, jpeg=(40, 45),
    ),
    clinic(
        "ecg00024", (255, 161), (253, 238, 242), (240, 190, 205), (248, 220, 230), blur=0.4, jpeg=(70, 80), seed=4,
        style={"top": 36.0, "name_size": 2.8},
    ),
    clinic(
        "ecg00026", (262, 126), (236, 226, 208), (212, 186, 165), (222, 204, 186), style={**NARROW, **ABOVE},
        brightness=0.88, gradient=0.3, blur=0.6, noise=3.0, sharpen=1.0, seed=5, rotation=0.5,
    ),
    clinic(
        "ecg00028", (262, 144), (226, 186, 136), (206, 128, 90), (200, 140, 100), dots=True, style={**NARROW, **ABOVE},
        brightness=0.96, gradient=0.2, folds=2, fold_bend=0.2, shading=0.7, rotation=-0.8, noise=2.0, sharpen=1.5,
        crumples=10.0, crumple_slope=0.06, seed=3,
    ),
    clinic(
        "ecg00030", (262, 140), (206, 194, 194), (160, 128, 128), (186, 168, 168),
        style={**NARROW, **ABOVE, **LONG}, brightness=0.88, gradient=0.3, tilt=6.0, rotation=1.5, fill=1.08, noise=3.0,
        seed=6,
    ),
    clinic(
        "ecg00032", (262, 132), (226, 232, 226), (206, 206, 202), (216, 222, 216), style={**NARROW, **ABOVE},
        brightness=0.9, gradient=0.15, shadows=1, shadow_depth=0.12, curl=4.0, blur=0.8, noise=1.0,
        fill=1.04, rotation=1.0, seed=2,
    ),
    clinic(
        "ecg00034", (262, 120), (222, 222, 214), (196, 172, 168), (210, 200, 194), style={**NARROW, **ABOVE, **LONG},
        brightness=0.88, tilt=24.0, tilt_towards=-90.0, fill=1.0, rotation=1.5, blur=0.7, noise=2.0, seed=8,
        backgrounds=("plain",),
    ),
    clinic(
        "ecg00036", (240, 133), (232, 222, 208), (206, 192, 176), (220, 208, 194), style={**NARROW, **ABOVE},
        brightness=0.93, gradient=0.25, tilt=10.0, rotation=-4.0, fill=1.12, curl=5.0, blur=0.7, noise=2.0, seed=9,
        shadows=1, shadow_depth=0.15,
    ),
    clinic(
        "ecg00038", (262, 117), (202, 202, 206), (170, 160, 160), (188, 184, 184), style={**NARROW, **ABOVE},
        brightness=0.85, gradient=0.3, tilt=8.0, rotation=1.0, fill=1.05, noise=4.0, seed=10,
    ),
    clinic(
        "ecg00040", (262, 134), (250, 246, 240), (206, 196, 190), (234, 228, 222), style={**NARROW, **ABOVE, **LONG},
        brightness=0.97, gradient=0.12, tilt=10.0, rotation=-3.5, fill=1.03, blur=0.5, sharpen=1.0, seed=11,
    ),
    clinic(
        "ecg00042", (262, 141), (228, 184, 178), (200, 70, 70), (222, 130, 124),
        style={**NARROW, **ABOVE, **LONG}, brightness=0.92, gradient=0.2, rotation=1.5, fill=1.02, noise=3.0, seed=12,
        sharpen=1.2,
    ),
    clinic(
        "ecg00044", (262, 120), (216, 218, 214), (196, 186, 184), (206, 204, 200), style={**NARROW, **ABOVE},
        brightness=0.9, gradient=0.35, shadows=1, shadow_depth=0.2, fill=1.03, blur=0.6, noise=2.0, seed=13,
    ),
    clinic(
        "ecg00046", (262, 141), (246, 236, 244), (200, 180, 196), (218, 204, 216),
        style={"separator": "marks", "separator_length": 4.0, "name_font": "STIXGeneralBol", "name_size": 3.0},
        brightness=0.92, shadows=1, shadow_depth=0.15, fill=1.02, blur=0.6, noise=1.5, seed=14, curl=2.0,
    ),
    clinic(
        "ecg00048", (262, 127), (212, 198, 180), (182, 140, 124), (198, 174, 158), style={**NARROW, **ABOVE, **LONG},
        brightness=0.86, gradient=0.25, crumples=14.0, crumple_slope=0.08, shading=0.7, rotation=0.8, fill=1.05,
        noise=3.0, seed=15,
    ),
    clinic(
        "ecg00050", (262, 135), (228, 222, 208), (206, 194, 178), (216, 208, 192), style={**NARROW, **ABOVE, **LONG},
        brightness=0.92, crumples=12.0, crumple_slope=0.08, shading=0.6, shadows=1, shadow_depth=0.15, fill=1.04,
        rotation=1.0, noise=2.0, seed=16,
    ),
    clinic(
        "ecg00054", (255, 132), (216, 246, 230), (150, 200, 176), (190, 226, 208), style={"name_font": "STIXGeneralBol"},
        vignette=0.06, blur=0.4, noise=3.0, sharpen=1.0, seed=17,
        jpeg=(60, 70),
    ),
)  # fmt: skip


def drawn(twin: Twin, data: Path, shape: tuple[int, int], spare: Pack) -> Image:
    """Picture of ``shape`` (rows, columns) of a twin."""
    rng = np.random.default_rng(twin.seed)
    signal, fs = _signal(twin, data, spare)
    if isinstance(twin.page, PageStyle):
        page = build_page(twin.page, len(signal), fs)
    else:
        page = challenge_page(len(signal), fs, header=invent_patient(rng), grid=twin.grid, ink=(30.0,) * 3)
        if twin.code:
            page = replace(page, stamps=(code_stamp(page.paper.width - 18.4, 0.0, 18.4, rng),))
    if twin.page is None:
        page = replace(page, paper=replace(page.paper, margin=twin.margin, color=twin.paper))
    page = replace(page, wear=twin.wear)
    return photograph(page, signal, twin.look, rng, shape=shape).image


def _signal(twin: Twin, data: Path, spare: Pack) -> tuple[NDArray[np.float32], float]:
    """Signals (n, 12), mV, of the page where they are known, else of some record, and their sampling frequency, Hz."""
    if twin.folder.startswith("real"):
        source = WfdbFolder((data / twin.folder).parent / "reference")
        recording = source.read(source.names.index(twin.name.rsplit("-", 1)[0]))
    else:
        recording = spare.read(twin.seed * 7 % len(spare.names))
    return recording.signal, recording.fs


def tile(image: Image, caption: str) -> Image:
    """Tile of the sheet with a picture and its caption."""
    scale = min(TILE[0] / image.shape[1], TILE[1] / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas = np.full((TILE[1] + CAPTION, TILE[0] + 4, 3), 255, np.uint8)
    canvas[CAPTION : CAPTION + size[1], 2 : 2 + size[0]] = small
    cv2.putText(canvas, caption, (3, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def sheet(pairs: list[tuple[Image, Image]]) -> Image:
    """Sheet of all pairs (real tile, drawn tile), ``PAIRS`` in a row."""
    joined = [np.hstack(pair) for pair in pairs]
    blank = np.full_like(joined[0], 255)
    rows = [joined[k : k + PAIRS] for k in range(0, len(joined), PAIRS)]
    return np.vstack(
        [np.hstack(row + [blank] * (PAIRS - len(row) if len(joined) > PAIRS else 0)) for row in rows]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of single pages")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    spare = Pack(options.data / "hires500" / "signals.xz", fs=500.0)
    pairs = []
    for twin in TWINS:
        if options.only and twin.name not in options.only:
            continue
        (path,) = (options.data / twin.folder).glob(f"{twin.name}.*g")
        real = read_image(path)
        image = drawn(twin, options.data, (real.shape[0], real.shape[1]), spare)
        pairs.append((tile(real, twin.name), tile(image, "drawn")))
    write_small(options.out, sheet(pairs))
    print(f"{len(pairs)} pairs, {options.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
