"""Draw a picture of a page: scanned, photographed, or from a screen.

The flat sheet is drawn once at about the picture's resolution, marks are laid on it, and one remap takes
it into the picture; light, lens and file format follow. The truth is exact after all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Image, Rng
from ecgpage.synth.mixes import MIXES, Mix, Range
from ecgpage.synth.page.challenge import GRID_COLORS, challenge_page, invent_patient, random_grid_colors
from ecgpage.synth.page.layout import build_page
from ecgpage.synth.page.looks import code_stamp, random_plotter, random_style, shuffled
from ecgpage.synth.page.model import Color, Grid, Page, masked_signal
from ecgpage.synth.page.rasterize import draw_page
from ecgpage.synth.page.stroke import Patch
from ecgpage.synth.scene import camera, light, marks
from ecgpage.synth.scene.background import background
from ecgpage.synth.scene.page_map import PageMap, camera_homography, flat_map
from ecgpage.synth.scene.relief import Relief, ReliefSpec, make_relief, random_folds
from ecgpage.synth.scene.scene import Scene, compose
from ecgpage.synth.truth import DrawnPage, page_truth

DrawSheet = Callable[[Page, NDArray[np.floating], float], Image]
"""Draws a page (model, signal mV, dpi) flat."""
ASPECTS = (4 / 3, 4 / 3, 3 / 2, 16 / 9)


@dataclass(frozen=True)
class View:
    """Camera's pose and field of view."""

    page_map: PageMap
    shape: tuple[int, int]
    relief: Relief | None


def draw_picture(
    signal: NDArray[np.floating],
    fs: float,
    *,
    mix: str | Mix = "photo-clean",
    seed: int | Sequence[int] = 0,
    lead_names: Sequence[str] = LEADS,
    header: Mapping[str, str] | None = None,
    in_any_order: bool = False,
) -> DrawnPage:
    """Draw ``signal`` (n_samples, 12) mV at ``fs`` Hz as a picture of the kind ``mix``.

    The arguments decide every pixel. ``header``: text that ``draw_challenge_page`` prints; ``in_any_order`` exchanges
    the leads of pages that are not the Challenge's, as far as their names are printed.
    """
    rng = np.random.default_rng(seed)
    kind = MIXES[mix] if isinstance(mix, str) else mix
    page = invent_page(
        kind, signal.shape[0], fs, rng, lead_names=lead_names, header=header, in_any_order=in_any_order
    )
    return photograph(page, signal, kind, rng)


def photograph(
    page: Page,
    signal: NDArray[np.floating],
    mix: Mix,
    rng: Rng,
    *,
    shape: tuple[int, int] | None = None,
) -> DrawnPage:
    """Picture of the kind ``mix`` of a page, with ``signal`` (n_samples, n_channels), mV.

    ``shape`` (rows, columns) fixes the picture's size, which the mix otherwise draws at random.
    """
    image, page_map, covered = photograph_sheet(page, signal, mix, rng, shape=shape)
    truth = page_truth(page, signal, page_map, (image.shape[0], image.shape[1]), covered)
    return DrawnPage(image, truth, masked_signal(page, signal))


def photograph_sheet(
    page: Page,
    signal: NDArray[np.floating],
    mix: Mix,
    rng: Rng,
    *,
    shape: tuple[int, int] | None = None,
    draw: DrawSheet = draw_page,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> tuple[Image, PageMap, marks.Covered | None]:
    """``photograph`` without the truth: the picture, its map, and what cannot be seen.

    ``draw``: draws the flat page; ``stretch``: factors of its size along x and y.
    """
    view = _view(mix, page, rng, shape)
    if stretch != (1.0, 1.0):
        view = replace(view, page_map=_stretched(view.page_map, page, stretch))
    image, covered = _photograph(mix, page, signal, view, rng, draw)
    return image, view.page_map, covered


def _stretched(page_map: PageMap, page: Page, stretch: tuple[float, float]) -> PageMap:
    """Map of a page that was printed too wide or high; its middle stays."""
    x, y = page.paper.width / 2, page.paper.height / 2
    a, b = 1 / stretch[0], 1 / stretch[1]
    shrink = np.array([[a, 0, x - a * x], [0, b, y - b * y], [0, 0, 1]], np.float64)
    return replace(page_map, to_sheet=shrink @ page_map.to_sheet)


def invent_page(
    mix: Mix,
    n_samples: int,
    fs: float,
    rng: Rng,
    *,
    lead_names: Sequence[str] = LEADS,
    header: Mapping[str, str] | None = None,
    in_any_order: bool = False,
) -> Page:
    """Page of a mix before it is photographed."""
    if rng.random() < mix.p_any_look:
        style = random_style(rng)
        if in_any_order and style.name_place != "none":
            style = shuffled(style, rng)
        page = build_page(style, n_samples, fs, lead_names=lead_names)
    else:
        cells = header if header is not None else invent_patient(rng)
        page = challenge_page(
            n_samples,
            fs,
            lead_names=lead_names,
            header=cells if rng.random() < 0.9 else None,
            pulse=bool(rng.random() < mix.p_pulse),
            grid=_printed_grid(mix, rng),
            ink=(float(rng.uniform(0, 51)),) * 3,
        )
        if rng.random() < mix.p_code:
            size = 145 / 200 * 25.4
            page = replace(page, stamps=(code_stamp(page.paper.width - size, 0.0, size, rng),))
    if rng.random() < mix.p_wear:
        page = replace(page, wear=float(rng.uniform(0.2, 0.9)))
    if mix.p_plotter and rng.random() < mix.p_plotter:
        page = replace(page, plotter=random_plotter(rng))
    margin = max(page.paper.margin, float(rng.uniform(*mix.sheet_margin)))
    return replace(page, paper=replace(page.paper, margin=margin))


def _printed_grid(mix: Mix, rng: Rng) -> Grid:
    """Generator's grid in the colours left by printing and age."""
    chance = rng.random()
    if chance < 0.75:
        major, minor = GRID_COLORS["red"]
    elif chance < 0.85:
        major, minor = random_grid_colors(rng)
    else:
        major, minor = GRID_COLORS[str(rng.choice(list(GRID_COLORS)))]
    if rng.random() < mix.p_dense:
        minor = (major[0] * 0.5 + 70, major[1] * 0.5 + 70, major[2] * 0.5 + 70)
    width = Grid().major_width
    if rng.random() < mix.toner:
        dark = float(rng.uniform(0.25, 1.0))
        major = (major[0] * dark, major[1] * dark, major[2] * dark)
        width *= float(rng.uniform(1.0, 2.0))
    fade, minor_fade = rng.uniform(*mix.grid_fade), rng.uniform(*mix.minor_fade)
    minor_ink = _fade(minor, 1 - (1 - fade) * (1 - minor_fade))
    return Grid(_fade(major, fade), minor_ink, major_width=width)


def _fade(color: Color, part: float) -> Color:
    red, green, blue = (255 - (255 - c) * (1 - part) for c in color)
    return red, green, blue


def _signed(limits: Range, rng: Rng) -> float:
    return float(rng.uniform(*limits))


def _relief(mix: Mix, page: Page, rng: Rng) -> Relief | None:
    size = (page.paper.width, page.paper.height)
    facets = int(rng.uniform(*mix.facets)) if mix.facets[1] else 0
    spec = ReliefSpec(
        curl=_signed(mix.curl, rng),
        curl_angle=float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.15)),
        book=float(rng.uniform(3, 12)) if rng.random() < mix.p_book else 0.0,
        folds=random_folds(int(rng.integers(mix.folds + 1)), mix.fold_bend, size, rng),
        crumples=int(rng.uniform(*mix.crumples)),
        crumple_slope=_signed(mix.crumple_slope, rng),
        wave=_signed(mix.wave, rng),
        facets=facets if facets >= 20 else 0,
        facet_slope=_signed(mix.facet_slope, rng) if mix.facets[1] else 0.0,
        feed=_signed(mix.feed, rng) if mix.feed[1] else 0.0,
        feed_down=bool(mix.feed[1] and rng.random() < 0.5),
    )
    bent = spec.curl or spec.book or spec.folds or spec.crumples or spec.wave or spec.facets or spec.feed
    return make_relief(spec, size, rng) if bent else None


def _view(mix: Mix, page: Page, rng: Rng, size: tuple[int, int] | None = None) -> View:
    """Random pose and lens of the camera and shape of the paper."""
    width, height = page.paper.width, page.paper.height
    relief = _relief(mix, page, rng)
    rotation = _signed(mix.rotation, rng)
    turned = rng.random() < mix.p_quarter_turn
    if turned:
        rotation += float(rng.choice([90, 180, 270]))
    if mix.long_side is None:
        dpi = mix.dpi
        columns, rows = round(width * dpi / 25.4), round(height * dpi / 25.4)
        crop = _signed(mix.crop, rng)
        if rotation == 0 and crop == 0 and relief is None:
            margin = page.paper.margin * dpi / 25.4
            shape = (rows + 2 * round(margin), columns + 2 * round(margin))
            return View(flat_map(dpi, (round(margin), round(margin))), shape, None)
        scale, shift = (
            dpi / 25.4 / (1 - crop - _signed(mix.crop, rng)),
            rng.uniform(-1, 1, 2) * mix.crop[1] / 2,
        )
    else:
        aspect = (width + 2 * page.paper.margin) / (height + 2 * page.paper.margin)
        if mix.frame == "camera":
            aspect = float(rng.choice(ASPECTS)) if rng.random() < 0.8 else aspect
        columns = int(rng.integers(*mix.long_side))
        rows = round(columns / aspect)
        if turned and rotation % 180 > 45 and rng.random() < 0.7:
            columns, rows = rows, columns
        if size is not None:
            rows, columns = size
        scale, shift = None, rng.normal(0, mix.offset, 2)
    distance = float(rng.uniform(280, 500))
    tilt, towards = _signed(mix.tilt, rng), _signed(mix.tilt_towards, rng)
    to_image = camera_homography(
        (width, height),
        (columns, rows),
        rotation=rotation,
        tilt=tilt,
        tilt_towards=towards,
        fill=_signed(mix.fill, rng),
        offset=(float(shift[0]), float(shift[1])),
        distance=distance,
        px_per_mm=scale,
    )
    lean = distance * np.tan(np.deg2rad(tilt))
    foot = (width / 2 + lean * np.cos(np.deg2rad(towards)), height / 2 + lean * np.sin(np.deg2rad(towards)))
    page_map = PageMap(
        np.asarray(np.linalg.inv(to_image), np.float64),
        centre=((columns - 1) / 2, (rows - 1) / 2),
        lens=(_signed(mix.lens, rng), 0.0),
        focal=max(columns, rows) / 2,
        displacement=relief.displacement(foot, distance) if relief else None,
    )
    return View(page_map, (rows, columns), relief)


def _photograph(
    mix: Mix, page: Page, signal: NDArray[np.floating], view: View, rng: Rng, draw: DrawSheet
) -> tuple[Image, marks.Covered | None]:
    """Picture of the model (sheet, marks, scene, camera) and the parts that the marks hide."""
    middle = (page.paper.width / 2, page.paper.height / 2)
    dpi = float(np.clip(view.page_map.px_per_mm(middle) * 25.4, 40, 400))
    flat = mix.long_side is None and view.relief is None and mix.rotation == (0.0, 0.0)
    if mix.p_screen and rng.random() < mix.p_screen:
        dpi = float(rng.uniform(80, 140))
    elif mix.long_side is not None:
        dpi *= float(rng.uniform(0.95, 1.2))
    dpi = mix.dpi if mix.long_side is None else dpi
    if page.grid is not None and mix.long_side is not None:  # the printed page, plotted at its own resolution
        page = replace(page, grid=replace(page.grid, snap_dpi=mix.dpi))
    sheet, corner = draw_sheet(page, signal, dpi, draw)
    over: list[Patch] = []
    for name, chance in mix.marks:
        if rng.random() < chance:
            over += marks.lay_on(name, sheet, dpi / 25.4, rng)
    if mix.crease_lines:
        marks.toner_loss(sheet, dpi / 25.4, rng, int(rng.integers(mix.crease_lines + 1)))
    if rng.random() < mix.wrinkle_texture:
        marks.wrinkle_texture(sheet, rng)
    covered = marks.covered(over, (sheet.shape[0], sheet.shape[1]), dpi / 25.4, corner)
    image = sheet
    if not flat or view.shape != sheet.shape[:2]:
        under = background(str(rng.choice(mix.backgrounds)), view.shape, rng)
        image = compose(
            Scene(sheet, dpi / 25.4, corner, under, view.page_map, view.relief), _lamp(mix, rng), rng
        )
    return develop(mix, image, view.page_map.px_per_mm(middle), rng), covered


def draw_sheet(
    page: Page, signal: NDArray[np.floating], dpi: float, draw: DrawSheet = draw_page
) -> tuple[Image, tuple[int, int]]:
    """Flat sheet with its blank margin, and the pixel (x, y) of the page's corner in it."""
    margin = round(page.paper.margin * dpi / 25.4)
    image = draw(page, signal, dpi)
    if margin:
        paper = page.paper.color
        image = np.asarray(
            cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper),
            np.uint8,
        )
    return image, (margin, margin)


def _lamp(mix: Mix, rng: Rng) -> light.Lamp:
    """Random strengths of the light."""
    if mix.p_even and rng.random() < mix.p_even:
        mix = replace(mix, gradient=(0.0, 0.0), vignette=(0.0, 0.0), shadows=0)
    return light.Lamp(
        brightness=_signed(mix.brightness, rng),
        shading=_signed(mix.shading, rng),
        gradient=_signed(mix.gradient, rng),
        vignette=_signed(mix.vignette, rng),
        shadows=tuple(_signed(mix.shadow_depth, rng) for _ in range(int(rng.integers(mix.shadows + 1)))),
        glare=float(rng.uniform(0.1, 0.6)) if rng.random() < mix.p_glare else 0.0,
        mixed=mix.mixed_light,
        cast=mix.cast,
        screen=mix.p_screen > 0,
        refresh=float(rng.uniform(0.02, 0.25)) if mix.p_screen and rng.random() < 0.3 else 0.0,
    )


def develop(mix: Mix, image: Image, px_per_mm: float, rng: Rng) -> Image:
    """Picture after lens, sensor, processing and file."""
    gray = bool(rng.random() < mix.p_gray)
    image = camera.blur(image, _signed(mix.blur, rng))
    if rng.random() < mix.p_motion:
        image = camera.motion_blur(image, _signed(mix.motion, rng), float(rng.uniform(0, np.pi)))
    noise = _signed(mix.noise, rng)
    image = camera.noise(
        image, noise, rng, grain=float(rng.choice([1.0, 1.5, 2.5])), gray=mix.long_side is None
    )
    if mix.p_hdr and rng.random() < mix.p_hdr:
        strength, flatten = float(rng.uniform(0.3, 1.5)), float(rng.uniform(0, 0.7))
        image = camera.hdr(image, strength, flatten, float(rng.uniform(0.6, 6)) * px_per_mm)
    image = camera.sharpen(image, _signed(mix.sharpen, rng), float(rng.uniform(0.7, 2.0)))
    gamma = _signed(mix.gamma, rng)
    if gamma != 1.0:
        gains = np.ones(3, np.float32)
        image = camera.tone(
            image,
            gamma=gamma,
            black=float(rng.uniform(0, 25)),
            white=float(rng.uniform(245, 262)),
            gains=gains,
        )
    if gray:
        image = camera.gray(image)
    if rng.random() < mix.p_resample:
        image = camera.resample(image, float(rng.uniform(0.45, 0.95)))
    if rng.random() < mix.p_threshold:
        image = camera.threshold(image, rng, dither=bool(rng.random() < mix.p_dither / mix.p_threshold))
    if mix.p_fax and rng.random() < mix.p_fax:
        sent = camera.fax(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), px_per_mm, rng)
        image = np.asarray(cv2.cvtColor(sent, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < mix.p_streaks:
        image = camera.streaks(image, rng)
    if rng.random() < mix.p_jpeg:
        image = camera.jpeg(image, int(rng.integers(*mix.jpeg)))
    return image
