"""Write down how a page was read, stage by stage, for reports of faults: pictures, and one JSON with all numbers.

    <stem>-grid.jpg     the map: its 5-mm lines, numbered every 50 mm; grey where it is extrapolated
    <stem>-boxes.jpg    detections of leads (blue) and pulses (amber), names that were read (red), all with probabilities
    <stem>-layout.jpg   rows (red), segments with lead and time (blue), separators (teal), pulses (amber)
    <stem>-traces.jpg   the overlay
    <stem>-debug.json   the same in numbers, page mm

Of a page that failed, those are written that there is anything for.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as PilImage

from ecgpage import __version__
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.export.canvas import WHITE, Colour, draw_lines, write
from ecgpage.export.overlay import Area, describe_scale, draw_overlay, new_sheet
from ecgpage.export.overlay_marks import (
    GRID_COLOUR,
    MARK_COLOUR,
    SMALL_SIZE,
    TRACE_COLOUR,
    UNREAD_COLOUR,
    Sheet,
)
from ecgpage.export.samples import find_runs
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.results import LocatedEcg, PageReading

OUTSIDE_COLOUR: Final[Colour] = (120, 120, 120)
"""Colour of the extrapolated part of a map, RGB: grey."""
NUMBERED: Final = 10
"""Squares of 5 mm from one numbered line to the next."""
LINE_SIZE: Final = 0.25
"""Width of lines, sheet units."""
MIN_INK: Final = 0.3
"""Ink from which a row counts as drawn, as in ``ecgpage.layout.types.Row``."""
TICK_MM: Final = 6.0
"""Reach, mm, of separators beyond the rows, and of a segment's box around its level."""
MIN_CHANCE: Final = 0.05
"""Probability below which a name is not written beside its place."""
QUALITY: Final = 85
"""Quality of the JPEG files, per cent."""
DECIMALS: Final = 3
"""Decimals in the JSON: 1 um of paper, a thousandth of a pixel."""


def write_debug(
    folder: str | Path,
    stem: str,
    page: PageReading | None,
    image: Image,
    *,
    located: LocatedEcg | None = None,
    reasons: Sequence[str] = (),
    area: Area = "ecg",
    width_px: int = 2400,
) -> tuple[Path, ...]:
    """Write pictures and JSON of a page to ``<folder>/<stem>-...``; existing files are replaced.

    Args:
        folder: where the files go; it is made when it is not there.
        stem: beginning of their names.
        page: reading; None where the page failed.
        image: uint8 (H, W, 3) RGB, as decoded.
        located: place of the ECG on a page that failed; None where none was found.
        reasons: why it failed.
        area: what is shown of the picture, as ``draw_overlay`` takes it: without "page" no header is shown.
        width_px: largest width of the pictures.

    Returns the paths of all files. Raises ``EcgPageError`` when the folder cannot be written.
    """
    place = page.located if page else located
    sheet = new_sheet(image, page, located=located, area=area, width_px=width_px)
    pictures = {} if sheet is None else _draw_stages(sheet, page, place.boxes if place else None)
    pictures["traces"] = draw_overlay(
        image, page, located=located, reasons=reasons, area=area, width_px=width_px
    )
    contents = {f"{stem}-{name}.jpg": _encode(picture) for name, picture in pictures.items()}
    report = describe_stages(page, image, place, reasons)
    contents[f"{stem}-debug.json"] = json.dumps(report, allow_nan=False).encode()
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise EcgPageError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    return tuple(folder / name for name in contents)


def describe_stages(
    page: PageReading | None, image: Image, located: LocatedEcg | None, reasons: Sequence[str]
) -> dict[str, Any]:
    """What each stage found, in types that JSON knows, page mm; NaN is None."""
    grid = page.grid if page else located.grid if located else None
    boxes = located.boxes if located else None
    report = {
        "ecgpage": __version__,
        "picture_px": list(image.shape[1::-1]),
        "reasons": list(reasons),
        "grid": None if grid is None else _describe_map(grid),
        "boxes": None if boxes is None else _describe_boxes(boxes),
        "segments": [_describe_segment(s) for s in (located.segments if located else ())],
    }
    if page is not None:
        report |= {
            "layout": _describe_layout(page.layout),
            "traces": [
                {
                    "lead": trace.segment.lead,
                    "x_mm": [trace.x_mm[0], trace.x_mm[-1], len(trace.x_mm)],
                    "y_mm": trace.y_mm,
                    "sigma_mm": trace.sigma_mm,
                }
                for trace in page.traces
            ],
            "signals": {
                "segments": [_describe_segment(s) for s in page.signals.segments],
                "readings": [
                    {
                        "lead": r.lead,
                        "source": r.source,
                        "coverage": r.coverage,
                        "snr_db": r.snr_db,
                        "reason": r.reason,
                    }
                    for r in page.signals.readings
                ],
                "notes": page.signals.notes,
            },
        }
    plain: dict[str, Any] = _to_plain(report)
    return plain


def _describe_map(grid: GridMap) -> dict[str, Any]:
    return {
        "source": grid.source,
        "residual_px": grid.residual_px,
        "px_per_mm": grid.px_per_mm,
        "origin_mm": grid.origin_mm,
        "nodes_px": grid.nodes,
        "quality": grid.quality,
    }


def _describe_boxes(boxes: PageBoxes) -> dict[str, Any]:
    return {
        "leads_mm": boxes.leads,
        "scores": boxes.scores,
        "names": boxes.names,
        "pulses_mm": boxes.pulses,
        "printed_mm": boxes.printed.places,
        "printed_names": boxes.printed.chances,
        "printed_minus": boxes.printed.minus,
        "speed_mm_per_s": boxes.speed_mm_per_s,
        "gain_mm_per_mv": boxes.gain_mm_per_mv,
    }


def _describe_segment(segment: Segment) -> dict[str, Any]:
    return dict(vars(segment))


def _describe_layout(layout: PageLayout) -> dict[str, Any]:
    return {
        "speed_mm_per_s": layout.speed_mm_per_s,
        "gain_mm_per_mv": layout.gain_mm_per_mv,
        "confidence": layout.confidence,
        "notes": layout.notes,
        "ticks_mm": layout.ticks_mm,
        "pulses": [dict(vars(pulse)) for pulse in layout.pulses],
        "rows": [
            {"start_mm": r.start_mm, "end_mm": r.end_mm, "level_mm": r.level_mm, "presence": r.presence}
            for r in layout.rows
        ],
    }


def _draw_stages(sheet: Sheet, page: PageReading | None, boxes: PageBoxes | None) -> dict[str, Image]:
    """Pictures of the stages of which anything is known, by their names."""
    blank = sheet.canvas
    pictures = {"grid": _draw_map(replace(sheet, canvas=blank.copy()))}
    if boxes is not None:
        pictures["boxes"] = _draw_boxes(replace(sheet, canvas=blank.copy()), boxes)
    if page is not None:
        pictures["layout"] = _draw_layout(replace(sheet, canvas=blank.copy()), page)
    return pictures


def _draw_map(sheet: Sheet) -> Image:
    """The lines of the map, whether or not they are printed."""
    grid, size = sheet.grid, SMALL_SIZE * sheet.unit_px
    x0, y0, x1, y1 = grid.extent_mm
    ny, nx = grid.quality.shape
    x_mm, y_mm = np.linspace(x0, x1, nx), np.linspace(y0, y1, ny)
    for colour, followed in ((OUTSIDE_COLOUR, False), (GRID_COLOUR, True)):
        lines = [
            sheet.place(x_mm[i : i + 2], np.full(2, y_mm[j]))
            for j in range(ny)
            for i in range(nx - 1)
            if (grid.quality[j, i : i + 2] > 0).all() == followed
        ] + [
            sheet.place(np.full(2, x_mm[i]), y_mm[j : j + 2])
            for i in range(nx)
            for j in range(ny - 1)
            if (grid.quality[j : j + 2, i] > 0).all() == followed
        ]
        draw_lines(sheet.canvas, lines, colour, max(1.0, 0.2 * sheet.unit_px), 0.8)
    for along, count, at in (
        (x_mm, nx, lambda k: (x_mm[k], y_mm[ny // 2])),
        (y_mm, ny, lambda k: (x_mm[nx // 2], y_mm[k])),
    ):
        for k in range(0, count, NUMBERED):
            (place,) = sheet.place(*(np.array([v]) for v in at(k)))
            write(sheet.canvas, f"{along[k]:.0f}", tuple(place), size, MARK_COLOUR, halo=WHITE)
    _write_title(sheet, f"{grid.source}, {grid.px_per_mm:.2f} px/mm, residual {grid.residual_px:.2f} px")
    return sheet.canvas


def _draw_boxes(sheet: Sheet, boxes: PageBoxes) -> Image:
    """Detections and names."""
    for box, score, names in zip(boxes.leads, boxes.scores, boxes.names, strict=True):
        best = int(names.argmax())
        _draw_box(sheet, box, MARK_COLOUR, f"{LEADS[best]} {names[best]:.2f}, box {score:.2f}")
    for box in boxes.pulses:
        _draw_box(sheet, box, UNREAD_COLOUR, "")
    size = SMALL_SIZE * sheet.unit_px
    for place, chances in zip(boxes.printed.places, boxes.printed.chances, strict=True):
        best = int(chances.argmax())
        if chances[best] > MIN_CHANCE:
            (at,) = sheet.place(place[:1], place[1:])
            text = f"{LEADS[best]} {chances[best]:.2f}"
            write(sheet.canvas, text, tuple(at), size, TRACE_COLOUR, anchor="mm", halo=WHITE)
    read = (f"speed {boxes.speed_mm_per_s or '-'} mm/s", f"gain {boxes.gain_mm_per_mv or '-'} mm/mV")
    _write_title(sheet, f"printed: {', '.join(read)}")
    return sheet.canvas


def _draw_layout(sheet: Sheet, page: PageReading) -> Image:
    """Rows, segments, separators and pulses."""
    layout, width = page.layout, LINE_SIZE * sheet.unit_px
    for row in layout.rows:
        seen = [sheet.place(row.x_mm[a:b], row.y_mm[a:b]) for a, b in find_runs(row.ink > MIN_INK)]
        draw_lines(sheet.canvas, seen, TRACE_COLOUR, 2 * width, 0.6)
    low, high = (f([row.level_mm for row in layout.rows], default=0.0) for f in (min, max))
    for x in layout.ticks_mm:
        tick = sheet.place(np.full(9, x), np.linspace(low - TICK_MM, high + TICK_MM, 9))
        draw_lines(sheet.canvas, [tick], GRID_COLOUR, 2 * width)
    for pulse in layout.pulses:
        top = pulse.foot_mm - pulse.height_mm
        box = np.array([pulse.x_mm, top, pulse.x_mm + pulse.width_mm, pulse.foot_mm])
        _draw_box(sheet, box, UNREAD_COLOUR, f"{pulse.height_mm:.1f} mm, {pulse.score:.2f}")
    for segment in page.signals.segments:
        level = segment.baseline(layout.rows)
        box = np.array([segment.x0_mm, level - TICK_MM, segment.x1_mm, level + TICK_MM])
        end_s = segment.start_s + segment.duration_s
        _draw_box(sheet, box, MARK_COLOUR, f"{segment.lead} {segment.start_s:.2f} - {end_s:.2f} s")
    text = f"{describe_scale(layout)}, confidence {layout.confidence:.2f}"
    _write_title(sheet, text)
    return sheet.canvas


def _draw_box(sheet: Sheet, box_mm: Array, colour: Colour, text: str) -> None:
    """A box x0, y0, x1, y1 of the page, with a text inside its upper edge."""
    x0, y0, x1, y1 = box_mm
    steps = np.linspace(0, 1, 9)
    x = np.concatenate([x0 + (x1 - x0) * steps, np.full(9, x1), x1 + (x0 - x1) * steps, np.full(9, x0)])
    y = np.concatenate([np.full(9, y0), y0 + (y1 - y0) * steps, np.full(9, y1), y1 + (y0 - y1) * steps])
    line = sheet.place(x, y)
    draw_lines(sheet.canvas, [line], colour, LINE_SIZE * sheet.unit_px)
    size = SMALL_SIZE * sheet.unit_px
    write(sheet.canvas, text, (line[0, 0] + 0.3 * size, line[0, 1] + 0.9 * size), size, colour, halo=WHITE)


def _write_title(sheet: Sheet, text: str) -> None:
    """Write a text into the left lower corner."""
    size = SMALL_SIZE * sheet.unit_px
    write(sheet.canvas, text, (size, sheet.canvas.shape[0] - 0.6 * size), size, MARK_COLOUR, halo=WHITE)


def _encode(picture: Image) -> bytes:
    """JPEG file of a picture."""
    file = io.BytesIO()
    PilImage.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _to_plain(value: object) -> Any:
    """Value in types that JSON knows, numbers rounded; NaN and infinity are None."""
    if isinstance(value, np.ndarray | np.generic):
        return _to_plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
