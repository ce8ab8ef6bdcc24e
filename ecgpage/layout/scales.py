"""Paper speed and gain of a page: as written, by its pulses, by the length of its rows."""

from typing import Final

import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV, LEADS, SPEED_MM_PER_S
from ecgpage.layout.arrangement import Arrangement
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import Pulse

FAST_MM_PER_S: Final = 50.0
"""Paper speed, mm/s, of pages that are too long or whose pulses are too wide for the usual one."""

CHEST: Final = LEADS[6:]
"""Chest leads, V1 to V6."""


def tell_speed(
    length_mm: float,
    pulses: list[Pulse],
    written: float | None,
    duration_s: float,
    notes: list[str],
    options: LayoutOptions = LayoutOptions(),
) -> float:
    """Paper speed, mm/s: as printed, unless rows are too long for it; else by the pulses' width and the rows' length."""
    if written is not None and length_mm < options.long_share * duration_s * written:
        if written != SPEED_MM_PER_S:
            notes.append(f"{written:g} mm/s: it is written on the page")
        return written
    widths = [p.width_mm for p in pulses if p.score]
    if widths and np.median(widths) > options.fast_pulse_mm:
        notes.append("50 mm/s: pulses are 10 mm wide")
        return FAST_MM_PER_S
    if length_mm > options.long_share * duration_s * SPEED_MM_PER_S:
        notes.append(f"50 mm/s: rows of {length_mm:.0f} mm are longer than the record at 25 mm/s")
        return FAST_MM_PER_S
    if not pulses:
        notes.append("25 mm/s assumed: no calibration pulse seen, no speed read")
    return SPEED_MM_PER_S


def tell_gains(
    arrangement: Arrangement,
    pulses: list[tuple[int, Pulse]],
    columns: Columns,
    written: float | None,
    notes: list[str],
) -> dict[str, float]:
    """Gain, mm/mV, of the groups "limb" and "chest": median height of the pulses beside their leads.

    A group without pulses has the other's gain; without any pulse the printed gain counts, which also overrides pulses
    known from boxes only.
    """
    heights: dict[str, list[float]] = {"limb": [], "chest": []}
    for row, pulse in pulses:
        if written is not None and not pulse.score:
            continue
        here = [c for c in arrangement.cells if c.row == row]
        is_right = pulse.x_mm > (columns.first_mm + columns.end_mm) / 2
        column = columns.count - 1 if is_right else 0
        beside = [c for c in here if c.is_strip or c.column == column]
        if beside:
            heights["chest" if beside[0].lead in CHEST else "limb"].append(pulse.height_mm)
    if not any(heights.values()):
        if written is None:
            notes.append("10 mm/mV assumed: no calibration pulse seen, no gain read")
        return dict.fromkeys(heights, written or GAIN_MM_PER_MV)
    gains = {group: float(np.median(values)) for group, values in heights.items() if values}
    return {group: gains.get(group, next(iter(gains.values()))) for group in heights}
