"""Draw the saliency of a class, for and against it, onto the page."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Image
from ecgpage.diagnosis.saliency import WINDOW_S
from ecgpage.export.canvas import measure_text, write
from ecgpage.export.overlay import Area, lay_sheet
from ecgpage.export.overlay_marks import Sheet
from ecgpage.results import PageReading

FOR_COLOUR: Final = (255, 140, 0)
"""Colour of windows that speak for the class, RGB: orange."""
AGAINST_COLOUR: Final = (40, 120, 255)
"""Colour of windows that speak against the class, RGB: blue."""
HALO_MM: Final = 2.5
"""Half width, mm, of the coloured band along a trace."""
CAPTION_UNITS: Final = (4.6, 7.0)
"""Size of the caption's font, and height of its strip, sheet units."""


def draw_saliency(
    image: Image,
    page: PageReading,
    evidence: NDArray[np.float64],
    caption: str,
    *,
    area: Area = "ecg",
    width_px: int = 1800,
) -> Image:
    """Overlay of a page (``draw_overlay``) with bands along the traces: orange speaks for a class, blue against it.

    Args:
        image: uint8 (H, W, 3) RGB, as decoded.
        page: reading of the image.
        evidence: saliency (12, 50) as ``measure_saliency`` gives it; the strongest window has the full colour.
        caption: text above the picture.
        area, width_px: as ``draw_overlay`` takes them.

    Returns uint8 (h, w, 3) RGB.
    """
    sheet = lay_sheet(image, page, area=area, width_px=width_px)
    if not isinstance(sheet, Sheet):
        raise ValueError("a page without leads has no evidence to draw")
    canvas = sheet.canvas
    strongest = float(np.nanmax(np.abs(evidence), initial=0.0))
    band = np.zeros(canvas.shape[:2], np.float32)  # -1 against ... 1 for
    thickness = max(2, round(2 * HALO_MM * sheet.mm_px))
    for trace in page.traces:
        segment = trace.segment
        time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / page.layout.speed_mm_per_s
        window = np.clip((time_s / WINDOW_S).astype(int), 0, evidence.shape[1] - 1)
        points = np.rint(sheet.place(trace.x_mm, np.nan_to_num(trace.y_mm))).astype(np.int32)
        for k in np.unique(window):
            inside = (window == k) & np.isfinite(trace.y_mm)
            value = evidence[LEADS.index(segment.lead), k]
            if inside.sum() < 2 or not np.isfinite(value) or strongest == 0:
                continue
            cv2.polylines(band, [points[inside]], False, float(value) / strongest, thickness)
    band = np.asarray(cv2.GaussianBlur(band, (0, 0), max(1.0, thickness / 6)), np.float32)
    share = np.minimum(np.abs(band), 1.0)[..., None] * 0.75
    colour = np.where(band[..., None] > 0, np.array(FOR_COLOUR), np.array(AGAINST_COLOUR)) / 255.0
    tinted = canvas * (1 - share * (1 - colour))  # as a marker would: ink stays dark
    drawn = np.asarray(np.rint(tinted), np.uint8)
    size, height = (round(units * sheet.unit_px) for units in CAPTION_UNITS)
    title = np.full((height, drawn.shape[1], 3), 255, np.uint8)
    size = min(size, int(size * drawn.shape[1] / (measure_text(caption, size) + 2 * size)))
    write(title, caption, (size / 2, height / 2), size, (30, 30, 30), anchor="lm")
    return np.concatenate([title, drawn])
