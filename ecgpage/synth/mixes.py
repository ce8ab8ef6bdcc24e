"""The kinds of picture: how strong each effect may be. Frozen: ``mixes_hash`` stands beside every
published score.

Every pair is the range of a uniform draw; numbers called ``p_...`` are probabilities.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

Range = tuple[float, float]


@dataclass(frozen=True)
class Mix:
    """Strengths of everything that happens to a page between the printer and the file."""

    # page
    p_any_look: float = 0.0
    """Chance of a layout and look other than the Challenge's."""
    p_pulse: float = 0.9
    grid_fade: Range = (0.0, 0.0)
    """How far the 5-mm lines have faded towards the paper, 0 to 1."""
    toner: float = 0.0
    """Chance that a printer made the 5-mm lines darker and wider than a screen shows them."""
    minor_fade: Range = (0.0, 0.0)
    """The same for the 1-mm lines."""
    p_dense: float = 0.0
    """1-mm lines nearly as dark as the 5-mm lines."""
    p_wear: float = 0.0
    """Uneven ink in the traces."""
    p_plotter: float = 0.0
    """Traces drawn with fewer points than were recorded, or on the dots of a coarse bitmap."""
    p_code: float = 0.0
    """A QR code in the corner."""
    p_gray: float = 0.0
    """Printed or scanned without colour."""
    sheet_margin: Range = (0.0, 0.0)
    """Blank paper around the print, mm."""
    # marks: chance of each
    marks: tuple[tuple[str, float], ...] = ()
    crease_lines: int = 0
    """Most lines of cracked toner."""
    # paper shape
    folds: int = 0
    """Most folds."""
    fold_bend: float = 0.0
    """Standard deviation of the change of slope at a fold."""
    crumples: Range = (0.0, 0.0)
    crumple_slope: Range = (0.0, 0.0)
    facets: Range = (0.0, 0.0)
    """Corners of crushed paper's facets; none below 20."""
    facet_slope: Range = (0.0, 0.0)
    curl: Range = (0.0, 0.0)
    """mm."""
    wave: Range = (0.0, 0.0)
    """mm."""
    p_book: float = 0.0
    feed: Range = (0.0, 0.0)
    """Displacement by a scanner's uneven transport, standard deviation in mm."""
    # camera pose
    rotation: Range = (0.0, 0.0)
    """Degrees."""
    p_quarter_turn: float = 0.0
    tilt: Range = (0.0, 0.0)
    """Degrees."""
    tilt_towards: Range = (0.0, 360.0)
    """Direction in which the camera leans, degrees clockwise from the right."""
    fill: Range = (1.0, 1.0)
    """Part of the picture that the sheet takes; over 1 it is cut off."""
    offset: float = 0.0
    lens: Range = (0.0, 0.0)
    """Radial distortion."""
    long_side: tuple[int, int] | None = None
    """Pixels of the longer side; None draws at ``dpi`` with the page filling the picture."""
    dpi: float = 200.0
    frame: Literal["sheet", "camera"] = "sheet"
    """The picture has the sheet's proportions, or a camera's."""
    backgrounds: tuple[str, ...] = ("white",)
    # light
    shading: Range = (0.0, 0.0)
    """Contrast of the relief's shading."""
    p_even: float = 0.0
    """Even light: no gradient, vignette or shadow."""
    gradient: Range = (0.0, 0.0)
    vignette: Range = (0.0, 0.0)
    shadows: int = 0
    shadow_depth: Range = (0.1, 0.4)
    p_glare: float = 0.0
    mixed_light: float = 0.0
    brightness: Range = (1.0, 1.0)
    """Of white paper."""
    cast: float = 0.0
    # screen
    p_screen: float = 0.0
    """Photographed from a monitor: pixels of the panel and moire."""
    # sensor and file
    blur: Range = (0.0, 0.0)
    """Gaussian, px."""
    p_motion: float = 0.0
    motion: Range = (1.5, 5.0)
    sharpen: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    """Grey levels."""
    gamma: Range = (1.0, 1.0)
    p_resample: float = 0.0
    p_streaks: float = 0.0
    p_hdr: float = 0.0
    """Local tone mapping."""
    p_fax: float = 0.0
    p_threshold: float = 0.0
    p_dither: float = 0.0
    jpeg: tuple[int, int] = (100, 100)
    p_jpeg: float = 0.0
    # the generator's own effects
    wrinkle_texture: float = 0.0
    crop: Range = (0.0, 0.0)
    """Part cut off at each side, the rest enlarged to the old size."""


CLEAN: Final = Mix()

SCAN: Final = Mix(
    grid_fade=(0.0, 0.5),
    toner=0.5,
    minor_fade=(0.0, 1.0),
    p_dense=0.25,
    p_wear=0.1,
    p_plotter=0.1,
    marks=(("thermal", 0.05), ("marker", 0.02)),
    p_code=0.3,
    p_gray=0.15,
    sheet_margin=(0.0, 8.0),
    rotation=(-2.0, 2.0),
    tilt=(0.0, 2.0),
    fill=(0.97, 1.04),
    offset=0.01,
    long_side=(1100, 3300),
    wave=(0.0, 0.3),
    feed=(0.0, 0.25),
    folds=1,
    fold_bend=0.01,
    shading=(0.0, 0.3),
    brightness=(0.9, 1.02),
    cast=0.015,
    blur=(0.3, 0.9),
    sharpen=(0.0, 0.8),
    noise=(0.0, 5.0),
    gamma=(0.8, 1.3),
    p_resample=0.1,
    p_streaks=0.1,
    jpeg=(50, 95),
    p_jpeg=0.5,
)

PHOTO: Final = Mix(
    p_pulse=0.95,
    grid_fade=(0.0, 0.4),
    toner=0.75,
    minor_fade=(0.3, 1.0),
    p_dense=0.05,
    p_gray=0.08,
    sheet_margin=(0.0, 10.0),
    marks=(
        ("thermal", 0.05),
        ("paper_grain", 0.3),
        ("handwriting", 0.15),
        ("pen_marks", 0.05),
        ("marker", 0.02),
    ),
    p_wear=0.2,
    p_plotter=0.1,
    p_code=0.1,
    folds=5,
    fold_bend=0.25,
    crumples=(0.0, 40.0),
    crumple_slope=(0.0, 0.13),
    curl=(-10.0, 10.0),
    wave=(0.0, 1.8),
    p_book=0.05,
    rotation=(-25.0, 25.0),
    p_quarter_turn=0.03,
    tilt=(0.0, 22.0),
    fill=(0.8, 1.06),
    offset=0.03,
    lens=(-0.03, 0.03),
    long_side=(1500, 4000),
    frame="camera",
    backgrounds=("wood", "wood", "wood", "stone", "cloth", "plain", "desk"),
    shading=(0.0, 1.3),
    p_even=0.15,
    gradient=(0.0, 0.45),
    vignette=(0.0, 0.2),
    shadows=2,
    shadow_depth=(0.08, 0.4),
    p_glare=0.08,
    mixed_light=0.03,
    brightness=(0.7, 0.95),
    cast=0.05,
    blur=(0.3, 1.5),
    p_motion=0.15,
    sharpen=(0.0, 3.0),
    noise=(0.3, 4.5),
    p_hdr=0.08,
    gamma=(0.85, 1.4),
    p_resample=0.15,
    jpeg=(45, 95),
    p_jpeg=1.0,
)

DETERIORATED: Final = (
    ("thermal", 0.1), ("fading", 0.5), ("yellowing", 0.6), ("stains", 0.6), ("mould", 0.6), ("handwriting", 0.2),
    ("marker", 0.05), ("tape", 0.1), ("holes", 0.1),
)  # fmt: skip

MIXES: Final[dict[str, Mix]] = {
    "generator-clean": CLEAN,
    "generator-distorted": Mix(
        grid_fade=(0.0, 0.3),
        p_gray=0.1,
        p_pulse=0.6,
        marks=(("handwriting", 0.4),),
        crease_lines=8,
        wrinkle_texture=0.5,
        rotation=(-5.0, 5.0),
        backgrounds=("black",),
        noise=(1.0, 50.0),
        cast=0.12,
        crop=(0.0, 0.01),
    ),
    "scan-color": SCAN,
    "scan-bw": replace(SCAN, p_gray=1.0, cast=0.0, p_threshold=0.4, p_dither=0.05, p_fax=0.08),
    "photo-clean": PHOTO,
    "photo-stained": replace(PHOTO, marks=(("stains", 1.0), ("yellowing", 0.3), ("handwriting", 0.15))),
    "photo-deteriorated": replace(
        PHOTO, marks=DETERIORATED, crumples=(0.0, 110.0), crumple_slope=(0.02, 0.2), facets=(-300.0, 500.0),
        facet_slope=(0.01, 0.2), crease_lines=4,
    ),
    "scan-color-deteriorated": replace(
        SCAN, marks=DETERIORATED, crease_lines=5, wave=(0.0, 0.8), shading=(0.2, 0.8)
    ),
    "scan-bw-deteriorated": replace(
        SCAN, marks=DETERIORATED, crease_lines=5, wave=(0.0, 0.8), shading=(0.2, 0.8), p_gray=1.0, cast=0.0,
        p_threshold=0.2, p_dither=0.03, p_fax=0.08,
    ),
    "monitor": replace(
        PHOTO, marks=(), folds=0, crumples=(0.0, 0.0), curl=(-2.0, 2.0), wave=(0.0, 0.0), p_screen=1.0,
        sheet_margin=(0.0, 0.0), shading=(0.0, 0.0), shadows=0, p_glare=0.3, fill=(0.85, 1.15),
        rotation=(-6.0, 6.0), minor_fade=(0.0, 0.6), backgrounds=("plain", "black"),
    ),
}  # fmt: skip
"""Named mixes: the eight kinds of the Challenge and the generator's own two."""


def small_page(width: int = 640, *, chance_of_any_look: float = 0.5) -> Mix:
    """Flattened pages of ``width`` px as the lead detector and the page classifier see them: what is left
    of the camera's geometry is small, its light, marks and blur are not. Some 12 a second on one core.
    """
    return replace(
        PHOTO,
        p_any_look=chance_of_any_look,
        p_pulse=0.85,
        grid_fade=(0.0, 0.9),
        p_dense=0.05,
        p_gray=0.2,
        marks=(
            ("thermal", 0.05),
            ("handwriting", 0.15),
            ("pen_marks", 0.08),
            ("stains", 0.1),
            ("yellowing", 0.1),
            ("fading", 0.1),
            ("marker", 0.03),
            ("tape", 0.03),
            ("holes", 0.03),
        ),
        crease_lines=2,
        crumples=(0.0, 8.0),
        folds=1,
        fold_bend=0.03,
        crumple_slope=(0.0, 0.02),
        curl=(-1.0, 1.0),
        wave=(0.0, 0.6),
        p_book=0.0,
        rotation=(-2.5, 2.5),
        p_quarter_turn=0.0,
        tilt=(0.0, 3.0),
        fill=(0.9, 1.1),
        lens=(-0.005, 0.005),
        long_side=(width, width + 1),
        frame="sheet",
        backgrounds=("plain", "white", "black"),
        shading=(0.0, 1.5),
        brightness=(0.55, 1.0),
        blur=(0.0, 0.9),
        motion=(1.2, 2.0),
        sharpen=(0.0, 1.5),
        noise=(0.0, 10.0),
        p_threshold=0.04,
        p_jpeg=0.6,
    )


def any_look(mix: Mix, chance: float = 1.0) -> Mix:
    """The same pictures of pages of every layout and device."""
    return replace(mix, p_any_look=chance)


def mixes_hash() -> str:
    """First 12 hexadecimal digits of this file's sha256."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
