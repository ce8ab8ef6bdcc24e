"""Draw pictures of devices' pages with their truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Image, Rng
from ecgpage.synth.page.model import Page, masked_signal, segment_path
from ecgpage.synth.page.rasterize import MM_PER_INCH
from ecgpage.synth.picture import develop, photograph_sheet
from ecgpage.synth.scene.page_map import PageMap
from ecgpage.synth.signal_artifacts import add_artifacts, change_rate
from ecgpage.synth.truth import DrawnPage, PageTruth, page_truth
from ecgpage.synth.world.invent import invent_device_page
from ecgpage.synth.world.mixes import SCENES, WORLD_MIXES, Scene, WorldMix
from ecgpage.synth.world.model import DevicePage
from ecgpage.synth.world.plan import pick
from ecgpage.synth.world.sheet import Scale, draw_device_page
from ecgpage.synth.world.truth import WorldFacts, world_facts

MIN_SECONDS: Final = 5.0
"""Shortest record that is drawn."""
MAX_PHOTO_ASPECT: Final = 2.6
"""Width by height of the widest page that is photographed; wider ones are scanned."""
MAX_CUT_MM: Final = 4.0
"""How far inside the traces a picture begins or ends, at most."""


@dataclass(frozen=True)
class WorldPage(DrawnPage):
    """Picture of a device's page, its truth, and the signal that was drawn."""

    facts: WorldFacts
    signal: NDArray[np.float32]
    """(n_samples, 12) drawn signals, mV: the record with its artifacts, longer where a strip shows a later time."""


@dataclass(frozen=True)
class _Shot:
    """Picture, its truth, and the scale, px/mm, at which the sheet was drawn."""

    image: Image
    truth: PageTruth
    printed: Scale


def draw_world_page(
    signal: NDArray[np.floating],
    fs: float,
    *,
    mix: str | WorldMix = "world",
    seed: int | Sequence[int] = 0,
    lead_names: Sequence[str] = LEADS,
) -> WorldPage:
    """Picture of ``signal`` (n_samples, 12) mV at ``fs`` Hz, at least 5 s, as any device or viewer prints it.

    The arguments decide every pixel. Raises EcgPageError for a shorter record or one that lacks a lead.
    """
    if len(signal) < MIN_SECONDS * fs:
        raise EcgPageError(
            f"a record of {len(signal) / fs:g} s is too short for a page: it takes {MIN_SECONDS:g} s"
        )
    rng = np.random.default_rng(seed)
    kind = WORLD_MIXES[mix] if isinstance(mix, str) else mix
    scene: Scene = pick(dict(kind.scenes), rng)
    p_dark = kind.p_dark if scene == "screen" else 0.0
    page = invent_device_page(
        len(signal), fs, rng, lead_names=lead_names, p_dark=p_dark, is_fax=scene == "fax"
    )
    if scene == "photo" and page.paper.width > MAX_PHOTO_ASPECT * page.paper.height:
        scene = "scan"
    drawn, done = _prepared(signal, fs, page, kind, rng)
    page = replace(page, choices={**page.choices, **done, "scene": scene})
    return _finish(page, drawn, _take_picture(page, drawn, kind, scene, rng), scene)


def _finish(page: DevicePage, signal: NDArray[np.float32], shot: _Shot, scene: Scene) -> WorldPage:
    """The picture with all its truth."""
    shape = shot.image.shape[0], shot.image.shape[1]
    seen = [s.visible & _within_clip(page, k, signal) for k, s in enumerate(shot.truth.segments)]
    shares = [float(part.mean()) for part in seen]
    facts = world_facts(page, shot.truth.page_map, shares, shape, scene, shot.printed)
    segments = tuple(
        replace(s, visible=part, name_box=fact.name_box)
        for s, part, fact in zip(shot.truth.segments, seen, facts.segments, strict=True)
    )
    truth = replace(shot.truth, segments=segments)
    return WorldPage(shot.image, truth, masked_signal(page, signal), facts, signal)


def _within_clip(page: DevicePage, number: int, signal: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each sample of a segment lies within the box that cuts its trace off."""
    x, y = segment_path(page, page.segments[number], signal)
    clip = page.places[number].clip
    if clip is None:
        return np.ones(len(x), np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray((x >= clip[0]) & (x <= clip[2]) & (y >= clip[1]) & (y <= clip[3]), np.bool_)


# --- signal ---------------------------------------------------------------------------------------------------


def _prepared(
    signal: NDArray[np.floating], fs: float, page: DevicePage, mix: WorldMix, rng: Rng
) -> tuple[NDArray[np.float32], dict[str, str]]:
    """Signal that is drawn, and what was done to it."""
    done = {"noise": "no", "limbs": "as recorded"}
    result = add_artifacts(signal, fs, rng, chance=mix.p_artifacts)
    if rng.random() < mix.p_rescaled_limbs:
        result[:, :6] *= rng.uniform(0.6, 1.5, 6).astype(np.float32)
        done["limbs"] = "scaled one by one"
    if rng.random() < mix.p_noise:
        loud = (rng.random(result.shape[1]) < 0.7) * np.exp(
            rng.uniform(np.log(0.02), np.log(0.2), result.shape[1])
        )
        result += (loud * rng.standard_normal(result.shape)).astype(np.float32)
        done["noise"] = "brush"
    last = max(s.stop for s in page.segments)
    return lengthened(result, fs, last, rng), done


def lengthened(signal: NDArray[np.float32], fs: float, n_samples: int, rng: Rng) -> NDArray[np.float32]:
    """``signal`` (n, leads) with at least ``n_samples``: it goes on with itself from another time, a little faster
    or slower, blended over 0.1 s.
    """
    blend = max(int(0.1 * fs), 2)
    weight = np.linspace(0, 1, blend, dtype=np.float32)[:, None]
    result = np.asarray(signal, np.float32)
    while len(result) < n_samples:
        start = int(rng.integers(len(signal) // 2))
        more = change_rate(signal, fs, float(rng.uniform(0.9, 1.1)), rng)[start:]
        seam = result[-blend:] * (1 - weight) + more[:blend] * weight
        result = np.concatenate([result[:-blend], seam, more[blend:]])
    return result


# --- picture --------------------------------------------------------------------------------------------------


def _take_picture(
    page: DevicePage, signal: NDArray[np.float32], mix: WorldMix, scene: Scene, rng: Rng
) -> _Shot:
    """Picture of the page."""
    if scene == "screen":
        sx, sy = (page.px_per_mm * s for s in page.stretch)
        image = draw_device_page(page, signal, (sx, sy))
        page_map = PageMap(np.array([[1 / sx, 0, 0.5 / sx], [0, 1 / sy, 0.5 / sy], [0, 0, 1]]))
        image, page_map = _framed(image, page_map, page, mix, rng)
        truth = page_truth(page, signal, page_map, (image.shape[0], image.shape[1]))
        return _Shot(develop(SCENES[scene], image, page.px_per_mm, rng), truth, (sx, sy))
    printed: list[Scale] = []

    def draw(model: Page, mv: NDArray[np.floating], dpi: float) -> Image:
        assert isinstance(model, DevicePage)
        printed.append((dpi / MM_PER_INCH, dpi / MM_PER_INCH))
        return draw_device_page(model, mv, printed[-1])

    image, page_map, covered = photograph_sheet(
        page, signal, SCENES[scene], rng, draw=draw, stretch=page.stretch
    )
    cut = _cut_box(image, page_map, page, mix, rng)
    if cut is not None:
        image, page_map = np.ascontiguousarray(image[:, cut[0] : cut[1]]), _moved(page_map, cut[0], 0)
    truth = page_truth(page, signal, page_map, (image.shape[0], image.shape[1]), covered)
    return _Shot(image, truth, printed[-1])


def _framed(
    image: Image, page_map: PageMap, page: DevicePage, mix: WorldMix, rng: Rng
) -> tuple[Image, PageMap]:
    """Picture cut at a side, with blank margins, or in a window on a larger screen."""
    cut = _cut_box(image, page_map, page, mix, rng)
    if cut is not None:
        image, page_map = np.ascontiguousarray(image[:, cut[0] : cut[1]]), _moved(page_map, cut[0], 0)
    height, width = image.shape[:2]
    margin = (
        rng.uniform(0, (0.2, 0.2, 0.25, 0.25))
        * (rng.random(4) < mix.p_margin)
        * (width, width, height, height)
    ).astype(int)
    color = page.paper.color if rng.random() < 0.6 else (255.0, 255.0, 255.0)
    in_window = rng.random() < mix.p_window
    if in_window:
        margin = (rng.uniform(0, (0.6, 0.6, 0.5, 0.5)) * (width, width, height, height)).astype(int)
        color = tuple(
            float(v) for v in (rng.uniform(180, 250, 3) if rng.random() < 0.6 else rng.uniform(0, 90, 3))
        )  # type: ignore[assignment]
    left, right, top, bottom = (int(v) for v in margin)
    if margin.any():
        image = np.asarray(
            cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=color), np.uint8
        )
        if in_window:
            _window(image, (left, top, left + width, top + height), rng)
    return image, _moved(page_map, -left, -top)


def _window(image: Image, box: tuple[int, int, int, int], rng: Rng) -> None:
    """Draw the bars of a window around a box, px, where there is room, in place."""
    left, top, _, bottom = box
    bar = int(rng.integers(12, 40))
    if top > 2 * bar and rng.random() < 0.7:
        image[top - bar : top, :] = rng.integers(40, 240, 3)
        for k in range(int(rng.integers(2, 9))):
            at = left + k * 3 * bar
            image[top - bar + bar // 4 : top - bar // 4, at : at + 2 * bar] = rng.integers(0, 256, 3)
    if left > 3 * bar and rng.random() < 0.6:
        image[top:bottom, : left - 4] = rng.integers(150, 250, 3)
        for y in range(top + bar, bottom - bar, 2 * bar):
            image[y : y + bar // 3, bar // 2 : max(left - bar, bar)] = rng.integers(0, 140, 3)


def _cut_box(
    image: Image, page_map: PageMap, page: DevicePage, mix: WorldMix, rng: Rng
) -> tuple[int, int] | None:
    """First and one past the last column of a picture that is cut inside the traces; None where it is whole."""
    if rng.random() >= mix.p_cut:
        return None
    inside = rng.uniform(0, MAX_CUT_MM, 2)
    sides = ((True, False), (False, True), (True, True))[int(rng.integers(3))]
    level = float(np.mean([s.baseline for s in page.segments]))
    x0 = min(s.x0 for s in page.segments)
    x1 = max(s.x0 + (s.stop - s.start) * page.speed / page.fs for s in page.segments)
    ends = page_map.image_from_page(np.array([[x0 + inside[0], level], [x1 - inside[1], level]]))[:, 0]
    first = max(round(float(ends[0])), 0) if sides[0] else 0
    last = min(round(float(ends[1])), image.shape[1]) if sides[1] else image.shape[1]
    return (first, last) if last - first > image.shape[1] // 3 else None


def _moved(page_map: PageMap, dx: float, dy: float) -> PageMap:
    """Map of a picture whose origin lies at pixel (dx, dy) of the old one."""
    shift = np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], np.float64)
    centre = page_map.centre[0] - dx, page_map.centre[1] - dy
    return replace(page_map, to_sheet=page_map.to_sheet @ shift, centre=centre)
