"""Draw flattened training pages, in the form of the grid stage's, for the lead detector and the page classifier.

A page is upright and grey, its longer side 640 px. Half of the pages show only the ECG and a little around it, like a
flattened grid; some have residues of flattening: no picture beyond a slanted edge, blur, JPEG.
``ecgpage.synth.page_shards`` draws many pages and keeps them.

Conventions:
    boxes   x0, y0, x1, y1 in px, edge coordinates: pixel i spans [i, i + 1]
    class   0-11 in the order of ``LEADS``, rhythm strips with their lead's number; 12 a calibration pulse
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Image, Rng
from ecgpage.synth.mixes import DETERIORATED, Mix, small_page
from ecgpage.synth.picture import draw_picture
from ecgpage.synth.truth import PageTruth

Boxes = NDArray[np.float32]

LONG_SIDE: Final = 640
"""Longer side, px, of a page."""
PULSE_CLASS: Final = len(LEADS)
"""Class of a calibration pulse."""

P_CUT: Final = 0.5
"""Chance that a page is cut to the ECG."""
P_WHOLE_SIDE: Final = 0.15
"""Chance that a side of a cut page is not cut."""
MOST_MARGIN_MM: Final = 15.0
"""Margin, mm, around the ECG of a cut page, at most."""
P_TURNED: Final = 0.25
"""Chance that the page is not quite upright."""
MOST_TURN: Final = 0.7
"""Rotation, degrees, of such a page, at most."""
P_SCREEN: Final = 0.04
"""Chance that a photo is one of a screen."""
P_OUTSIDE: Final = 0.25
"""Chance that the picture did not cover all of the page."""
OUTSIDE_DEPTH: Final = 0.08
"""Depth of a side without picture over the page's size."""
LEAST_SEEN: Final = 0.4
"""Share of a box on the page, at least; with less it is no box."""
LEAST_SIDE: Final = 3.0
"""Side, px, of a box on the page, at least."""

MIX_ODDS: Final[dict[str, float]] = {"photo": 0.5, "scan": 0.2, "worn": 0.18, "clean": 0.12}
"""Share of each kind of page."""


@dataclass(frozen=True)
class DrawnFlatPage:
    """Flattened page with its truth."""

    image: Image
    """(h, w) page, grey, longer side 640 px."""
    boxes: Boxes
    """(k, 4) boxes, px, edge coordinates, within the image."""
    classes: NDArray[np.int64]
    """(k,) class of each box, 0 to 12."""
    labels: NDArray[np.bool_]
    """(11,) diagnoses in the order of ``CLASSES``; all False where the page is not labelled."""
    labelled: bool
    """Whether the diagnoses are known."""
    record: int
    """Number of the record: PTB-XL's ``ecg_id``; for other databases -1 - the row in ``records.csv``."""
    layout: str
    """Name of the layout in ``ecgpage.synth.page.layout.LAYOUTS``."""
    mix: str
    """Mix: ``photo``, ``scan``, ``worn`` or ``clean``, followed by `` cut`` where only the ECG was kept."""
    origin: str = ""
    """Pack, database and fold of the record (``ecgpage.synth.origins``); "" where they are not known."""


def page_mix(name: str, width: int, rng: Rng, any_look: float) -> Mix:
    """Mix of pages of ``width`` px before the residues of flattening are added."""
    turn = float(rng.uniform(-MOST_TURN, MOST_TURN)) if rng.random() < P_TURNED else 0.0
    photo = replace(
        small_page(width, chance_of_any_look=any_look),
        rotation=(turn, turn),
        tilt=(0.0, 1.0),
        fill=(0.92, 1.04),
        p_screen=float(rng.random() < P_SCREEN),  # any chance above 0 puts the screen's moire on all pages
        p_threshold=0.0,
    )
    if name == "photo":
        return photo
    if name == "worn":
        return replace(
            photo,
            p_screen=0.0,
            marks=DETERIORATED,
            crumples=(0.0, 60.0),
            crumple_slope=(0.0, 0.1),
            crease_lines=4,
        )
    scan = replace(
        photo,
        folds=0,
        crumples=(0.0, 0.0),
        curl=(0.0, 0.0),
        wave=(0.0, 0.2),
        tilt=(0.0, 0.0),
        lens=(0.0, 0.0),
        p_screen=0.0,
        p_gray=0.3,
        backgrounds=("white", "black"),
        shading=(0.0, 0.2),
        gradient=(0.0, 0.03),
        vignette=(0.0, 0.0),
        shadows=0,
        p_glare=0.0,
        mixed_light=0.0,
        brightness=(0.9, 1.02),
        cast=0.015,
        p_motion=0.0,
        p_hdr=0.0,
        p_fax=0.04,
        noise=(0.0, 5.0),
        p_threshold=0.12,
        p_dither=0.02,
    )
    if name == "scan":
        return scan
    return replace(
        scan, marks=(), crease_lines=0, wave=(0.0, 0.0), brightness=(1.0, 1.0), shading=(0.0, 0.0),
        gradient=(0.0, 0.0), cast=0.0, blur=(0.0, 0.4), sharpen=(0.0, 0.0), noise=(0.0, 1.0), gamma=(1.0, 1.0),
        p_resample=0.0, p_threshold=0.05, p_fax=0.0, backgrounds=("white",),
    )  # fmt: skip


def draw_flat_page(
    signal: NDArray[np.floating[Any]],
    fs: float,
    seed: list[int],
    *,
    any_look: float = 0.6,
    in_any_order: float = 0.0,
    mix_odds: Mapping[str, float] = MIX_ODDS,
) -> tuple[Image, Boxes, NDArray[np.int64], str, str]:
    """Draw ``signal`` (n_samples, 12), mV, as a flattened page.

    ``any_look``: share of pages that are not the Challenge's; ``in_any_order``: share of those with exchanged leads.
    Returns image, boxes, classes, layout and mix of ``DrawnFlatPage``.
    """
    rng = np.random.default_rng(seed)
    mix = str(rng.choice(list(mix_odds), p=list(mix_odds.values())))
    cut = bool(rng.random() < P_CUT)
    width = round(LONG_SIDE * rng.uniform(1.15, 1.6) if cut else LONG_SIDE * rng.uniform(1.0, 1.35))
    drawn = draw_picture(
        signal,
        fs,
        mix=page_mix(mix, width, rng, any_look),
        seed=[*seed, 1],
        in_any_order=bool(np.random.default_rng([*seed, 2]).random() < in_any_order),
    )
    boxes, classes = _list_boxes(drawn.truth)
    image = drawn.image
    if cut:
        x0, y0, x1, y1 = _choose_window(image.shape[:2], boxes, drawn.truth.px_per_mm, rng)
        image = image[y0:y1, x0:x1]
        boxes = boxes - np.array([x0, y0, x0, y0], np.float32)
    scale = LONG_SIDE / max(image.shape[:2])
    rows, columns = (max(1, round(n * scale)) for n in image.shape[:2])
    stretch = np.array([columns / image.shape[1], rows / image.shape[0]] * 2, np.float32)
    image = np.asarray(
        cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR),
        np.uint8,
    )
    boxes, seen = clip_boxes(boxes * stretch, (rows, columns))
    image = _add_residues(_make_grey(image, rng), boxes, rng)
    return image, boxes, classes[seen], drawn.truth.layout, f"{mix} cut" if cut else mix


def _list_boxes(truth: PageTruth) -> tuple[Boxes, NDArray[np.int64]]:
    """Boxes of a page, edge coordinates, and their classes."""
    boxes = [s.box for s in truth.segments] + list(truth.pulses)
    classes = [LEADS.index(s.lead) for s in truth.segments] + [PULSE_CLASS] * len(truth.pulses)
    return np.array(boxes, np.float32).reshape(-1, 4) + np.float32(0.5), np.array(classes, np.int64)


def _choose_window(
    shape: tuple[int, ...], boxes: Boxes, px_per_mm: float, rng: Rng
) -> tuple[int, int, int, int]:
    """Window x0, y0, x1, y1, px, of the ECG with a random margin on each side."""
    rows, columns = shape[:2]
    margin = rng.uniform(0, MOST_MARGIN_MM, 4) * px_per_mm
    margin[rng.random(4) < P_WHOLE_SIDE] = max(rows, columns)
    x0, y0 = np.maximum(np.floor(boxes[:, :2].min(axis=0) - margin[:2]), 0)
    x1, y1 = np.minimum(np.ceil(boxes[:, 2:].max(axis=0) + margin[2:]), (columns, rows))
    return int(x0), int(y0), int(x1), int(y1)


def clip_boxes(boxes: Boxes, shape: tuple[int, int]) -> tuple[Boxes, NDArray[np.bool_]]:
    """Parts of the boxes within an image of ``shape`` (rows, columns), and which boxes are left."""
    rows, columns = shape
    inside = np.clip(boxes, 0, np.array([columns, rows, columns, rows], np.float32)).astype(np.float32)
    size, whole = inside[:, 2:] - inside[:, :2], boxes[:, 2:] - boxes[:, :2]
    seen = (size.min(axis=1) >= LEAST_SIDE) & (size.prod(axis=1) >= LEAST_SEEN * whole.prod(axis=1))
    return inside[seen], np.asarray(seen, np.bool_)


def _make_grey(image: Image, rng: Rng) -> Image:
    """Grey picture (h, w) of RGB (h, w, 3): mostly luma, sometimes the brightest channel, in which coloured grids fade."""
    if rng.random() < 0.3:
        return np.asarray(image.max(axis=2), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _add_residues(image: Image, boxes: Boxes, rng: Rng) -> Image:
    """Page with the residues of flattening: no picture beyond some edges, blur, the file's JPEG."""
    if rng.random() < P_OUTSIDE:
        for _ in range(int(rng.integers(1, 3))):
            image = lose_edge(image, boxes, rng)
    if rng.random() < 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.8))), np.uint8)
    if rng.random() < 0.35:
        quality = int(rng.integers(40, 96))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.ascontiguousarray(image)


def lose_edge(image: Image, boxes: Boxes, rng: Rng) -> Image:
    """Page with one side that the picture does not show: white, black, or the border's pixels repeated.

    The edge runs at a slant and stays outside the boxes.
    """
    quarter = int(rng.integers(4))
    turned = np.rot90(image, quarter)  # the side (upper, right, lower or left) is now the upper one
    rows, columns = turned.shape
    room = OUTSIDE_DEPTH * rows
    if len(boxes):
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        room = min(room, float((y0, image.shape[1] - x1, image.shape[0] - y1, x0)[quarter]))
    first, last = rng.uniform(0, max(room, 0.0), 2)
    depth = np.linspace(float(first), float(last), columns).astype(np.intp)  # (columns,)
    row = np.arange(rows)[:, None]
    kind = rng.choice(["white", "border", "black"], p=[0.3, 0.6, 0.1])
    if kind == "border":
        filled = turned[np.maximum(row, depth[None]), np.arange(columns)[None]]
    else:
        filled = np.where(row < depth[None], np.uint8(255 if kind == "white" else 0), turned)
    return np.asarray(np.rot90(filled, -quarter), np.uint8)
