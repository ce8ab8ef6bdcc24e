"""Draw what was read onto the picture of a page, upright: traces, lead names, grid, scale, and what could not be read.

What lies outside the ECG may name the patient; it is blanked unless the whole page is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array, Image
from ecgpage.export.canvas import WHITE, Colour, fill, paint, wrap, write
from ecgpage.export.overlay_marks import NAME_SIZE, SMALL_SIZE, UNITS_ACROSS, UNREAD_COLOUR, DrawnLead, Sheet
from ecgpage.export.page_view import view_page
from ecgpage.layout.types import PageLayout, Pulse
from ecgpage.results import LocatedEcg, PageReading

Area = Literal["ecg", "page", "none"]
"""What of the picture is shown: the ECG with a margin, everything, or nothing."""
AREAS: Final[tuple[Area, ...]] = get_args(Area)
TEXT_COLOUR: Final[Colour] = (50, 50, 50)
"""Colour of the caption, RGB: nearly black."""
FADED: Final = 0.3
"""Weight of white, 0 to 1, that sets the picture back behind what is drawn."""
BESIDE_MM: Final = 4.0
"""Margin, mm, that is shown left and right of traces and pulses."""
AROUND_LEVEL_MM: Final = 9.0
"""Height, mm, that is shown above and below the level of a row, where lead names are printed."""
AROUND_TRACE_MM: Final = 3.0
"""Margin, mm, that is shown above and below a trace."""
NEAR_MM: Final = 41
"""Width, mm, over which the edge of the area follows the traces."""
BLURRED_PX: Final = 40
"""Width, px, to which a picture is reduced on which nothing was located: no letter is legible then."""
BLUR_NOTE: Final = "the picture is blurred: no ECG was located, so names may stand anywhere on it"
"""What the caption says of such a picture."""


@dataclass(frozen=True)
class Caption:
    """Text below the picture."""

    scale: str
    outcome: str
    notes: tuple[str, ...]
    colour: Colour = TEXT_COLOUR


def draw_overlay(
    image: Image,
    page: PageReading | None,
    *,
    located: LocatedEcg | None = None,
    reasons: Sequence[str] = (),
    area: Area = "ecg",
    width_px: int = 1800,
) -> Image:
    """Overlay of a page: its picture, upright, with what was read on it and a caption below.

    Traces are red; starts and names of leads blue; 5-mm lines of the map that was found teal, as curved as it is; what could
    not be read is hatched, its reason on it. The caption says the scale, and whether it was read or assumed.

    Args:
        image: uint8 (H, W, 3) RGB, as decoded.
        page: reading of the image; None where it failed.
        located: place of the ECG on a page that failed; None where none was found.
        reasons: why the page failed, and what else the caption is to say.
        area: what is shown of the picture. "ecg": the traces with a margin, everything else is white, since headers hold
            names (letters between the traces stay); where no ECG was located, the picture is blurred. "page": everything.
            "none": nothing of the picture.
        width_px: largest width.

    Returns uint8 (h, w, 3) RGB.
    """
    if area not in AREAS:
        raise ValueError(f"area {area!r} is not known; use one of {', '.join(AREAS)}")
    sheet = lay_sheet(image, page, located=located, area=area, width_px=width_px)
    if isinstance(sheet, Sheet):
        canvas, unit_px = sheet.canvas, sheet.unit_px
    else:
        canvas, unit_px = sheet, sheet.shape[1] / UNITS_ACROSS
        reasons = [*reasons, BLUR_NOTE] if area == "ecg" else reasons
    caption = (
        Caption("", "not read", tuple(reasons), UNREAD_COLOUR)
        if page is None
        else _caption_page(page, reasons)
    )
    return np.concatenate([canvas, _draw_caption(caption, canvas.shape[1], unit_px)])


def lay_sheet(
    image: Image,
    page: PageReading | None,
    *,
    located: LocatedEcg | None = None,
    area: Area = "ecg",
    width_px: int = 1800,
) -> Sheet | Image:
    """Overlay without its caption; a mere picture where nothing was located. Arguments are those of ``draw_overlay``."""
    leads = list_leads(page, located)
    sheet = new_sheet(image, page, located=located, area=area, width_px=width_px)
    if sheet is None:
        shown = view_page(image, None, None, width_px).show(image)
        return {"page": shown, "ecg": _blur(shown), "none": np.full_like(shown, 255)}[area]
    sheet.draw_grid()
    for lead in leads:
        sheet.draw_unread(lead)
    for lead in leads:
        sheet.draw_trace(lead)
    sheet.draw_names(leads)
    return sheet


def new_sheet(
    image: Image,
    page: PageReading | None,
    *,
    located: LocatedEcg | None = None,
    area: Area = "ecg",
    width_px: int = 1800,
) -> Sheet | None:
    """The picture of a page, upright and paler, to be drawn onto; None where nothing was located.

    Arguments are those of ``draw_overlay``.
    """
    leads = list_leads(page, located)
    grid = page.grid if page else located.grid if located else None
    if grid is None or not leads:
        return None
    outline = _outline(leads, page.layout.pulses if page else [])
    view = view_page(image, grid, None if area == "page" else outline, width_px)
    canvas = view.show(image)
    canvas = np.asarray(cv2.addWeighted(canvas, 1 - FADED, np.full_like(canvas, 255), FADED, 0), np.uint8)
    inside = np.full(canvas.shape[:2], 255, np.uint8)
    if area != "page":
        inside = fill(canvas.shape[:2], view.place_mm(grid, *outline.T))
        paint(canvas, 255 - inside if area == "ecg" else np.full_like(inside, 255), WHITE)
    return Sheet(canvas, view, grid, inside)


def list_leads(page: PageReading | None, located: LocatedEcg | None) -> list[DrawnLead]:
    """What is drawn of a page: strips by their final names, leads that do not count without their trace; places at least."""
    if page is None:
        return [
            DrawnLead(s, s.zero_mm, np.array([s.x0_mm, s.x1_mm]), np.full(2, np.nan), "not read")
            for s in (located.segments if located else ())
        ]
    final = {(s.row, s.x0_mm): s for s in page.signals.segments}
    readings = {r.lead: r for r in page.signals.readings}
    leads = []
    for trace in page.traces:
        segment = final.get((trace.segment.row, trace.segment.x0_mm))
        reading = None if segment is None else readings.get(segment.lead)
        if segment is None:
            reason = "left out: repeats no lead at this time"
        else:
            reason = reading.reason or "not read" if reading and reading.source == "none" else ""
        y_mm = np.full_like(trace.y_mm, np.nan) if reason else trace.y_mm
        level = trace.segment.baseline(page.layout.rows)
        leads.append(DrawnLead(segment or trace.segment, level, trace.x_mm, y_mm, reason))
    return leads


def _outline(leads: Sequence[DrawnLead], pulses: Sequence[Pulse]) -> Array:
    """(n, 2) closed outline of the ECG with its margin, page mm; above and below it follows the traces."""
    left = min([*(lead.x_mm[0] for lead in leads), *(p.x_mm for p in pulses)]) - BESIDE_MM
    right = max([*(lead.x_mm[-1] for lead in leads), *(p.x_mm + p.width_mm for p in pulses)]) + BESIDE_MM
    x = np.arange(left, right + 1.0)
    edges = []
    for sign in (-1.0, 1.0):
        reach = np.full(len(x), max(sign * lead.level_mm for lead in leads) + AROUND_LEVEL_MM)
        for lead in leads:
            known = np.isfinite(lead.y_mm)
            at = np.rint(lead.x_mm[known] - left).astype(int)
            np.maximum.at(reach, at, sign * lead.y_mm[known] + AROUND_TRACE_MM)
        smooth = uniform_filter1d(maximum_filter1d(reach, NEAR_MM), NEAR_MM // 2 | 1)
        edges.append(np.stack([x, sign * smooth], axis=1))
    return np.concatenate([edges[0], edges[1][::-1]])


def _caption_page(page: PageReading, reasons: Sequence[str]) -> Caption:
    """Caption of a page that was read."""
    unread = [r for r in page.signals.readings if r.source == "none"]
    drawn = {s.lead for s in page.signals.segments}
    absent: dict[str, list[str]] = {}
    for reading in unread:
        if reading.lead not in drawn:
            absent.setdefault(reading.reason, []).append(reading.lead)
    missing = [f"{', '.join(leads)}: {reason}" for reason, leads in absent.items()]
    notes = dict.fromkeys([*page.grade.doubts, *page.layout.notes, *page.signals.notes, *missing, *reasons])
    outcome = f"{len(LEADS) - len(unread)} of {len(LEADS)} leads read"
    outcome += f", grade {page.grade.letter}" if page.grade.leads else ""
    return Caption(describe_scale(page.layout), outcome, tuple(notes))


def describe_scale(layout: PageLayout) -> str:
    """Speed and gain of a page in words, and whether they were read: "25 mm/s, 10 mm/mV, read"."""
    gains = sorted({abs(s.gain_mm_per_mv) for s in layout.segments}, reverse=True) or [layout.gain_mm_per_mv]
    speed = f"{layout.speed_mm_per_s:g} mm/s"
    gain = f"{' and '.join(f'{g:.3g}' for g in gains)} mm/mV"
    speed_how, gain_how = (
        "assumed" if any(f"{unit} assumed" in note for note in layout.notes) else "read"
        for unit in ("mm/s", "mm/mV")
    )
    if speed_how == gain_how:
        return f"{speed}, {gain}, {gain_how}"
    return f"{speed} {speed_how}, {gain} {gain_how}"


def _draw_caption(caption: Caption, width_px: int, unit_px: float) -> Image:
    """White strip (h, width_px, 3) with the caption."""
    size, small, edge = NAME_SIZE * unit_px, SMALL_SIZE * unit_px, 2.0 * unit_px
    lines = [line for note in caption.notes for line in wrap(note, small, width_px - 2 * edge)]
    strip = np.full((round(2 * edge + size + 1.35 * small * len(lines)), width_px, 3), 255, np.uint8)
    y = edge + 0.8 * size
    if caption.scale:
        write(strip, caption.scale, (edge, y), size, caption.colour)
        write(strip, caption.outcome, (width_px - edge, y), size, caption.colour, anchor="rs")
    else:
        write(strip, caption.outcome, (edge, y), size, caption.colour)
    for k, line in enumerate(lines):
        write(strip, line, (edge, y + 1.35 * small * (k + 1)), small, caption.colour)
    return strip


def _blur(image: Image) -> Image:
    """Picture in which no letter is legible."""
    height, width = image.shape[:2]
    size = BLURRED_PX, max(1, round(BLURRED_PX * height / width))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
