"""Paper speed and gain of a page by all that speaks of them: print, pulses, lengths, and how common each is.

Every speed gets a sum of log likelihoods. What is seen before the traces are read decides provisionally; the traces add the
times of columns and the rate of beats (``ecgpage.signal.times``).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV, LEADS, SPEED_MM_PER_S
from ecgpage.layout.arrangement import Arrangement
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import Pulse

CHEST: Final = LEADS[6:]
"""Chest leads, V1 to V6."""
SPEED_ODDS: Final[Mapping[float, float]] = {25.0: 0.0, 50.0: -2.8, 12.5: -5.0}
"""Log odds of paper speeds, mm/s, before a page is looked at: 1 page in 16 runs at 50, 1 in 150 at 12.5."""
GAIN_ODDS: Final[Mapping[float, float]] = {10.0: 0.0, 5.0: -3.0, 20.0: -3.3, 2.5: -5.5}
"""Log odds of gains, mm/mV."""
SHOWN: Final[Mapping[float, tuple[tuple[float, float], ...]]] = {
    25.0: ((1.0, 0.8), (0.5, 0.05)),
    50.0: ((0.5, 0.6), (1.0, 0.25)),
    12.5: ((1.0, 0.5), (2.0, 0.35)),
}
"""Parts of the record, 10 s as a rule, that rows show at each speed, with the share of pages that do."""
PULSE_S: Final = 0.2
"""Duration, s, of a calibration pulse; some devices draw half of it."""


def weigh_speeds(
    length_mm: float,
    pulses: list[Pulse],
    written: float | None,
    duration_s: float,
    options: LayoutOptions = LayoutOptions(),
) -> dict[float, float]:
    """Log odds of each paper speed, mm/s, by print, pulses and the rows' length, mm, for a page of ``duration_s`` seconds."""
    seen = weigh_speeds_seen(pulses, written, options)
    return {
        speed: odds + _weigh_length(length_mm, speed, duration_s, options) for speed, odds in seen.items()
    }


def weigh_speeds_seen(
    pulses: list[Pulse], written: float | None, options: LayoutOptions = LayoutOptions()
) -> dict[float, float]:
    """Log odds of each paper speed, mm/s, by print and pulses."""
    if options.hints.speed_mm_per_s is not None:
        return {options.hints.speed_mm_per_s: 0.0}
    odds = dict(SPEED_ODDS)
    if written is not None:
        for speed in odds:
            odds[speed] += 0.0 if speed == written else -options.print_odds
    widths = np.array([p.width_mm for p in pulses if p.score])
    if len(widths):
        for speed in odds:
            usual, half = (
                float((np.abs(np.log(widths / (share * PULSE_S * speed))) < options.pulse_width_error).mean())
                for share in (1.0, 0.5)
            )
            # one device drew all pulses, whatever their number
            odds[speed] += float(np.log(0.005 + 0.845 * usual + 0.15 * half))
    return odds


def _weigh_length(length_mm: float, speed: float, duration_s: float, options: LayoutOptions) -> float:
    """Log likelihood of the rows' length, mm, at a speed; paper has a width, so fast rows show less of the record."""
    seconds, error = length_mm / speed, options.length_error * duration_s
    whole = sum(
        share * np.exp(-0.5 * ((seconds - part * duration_s) / error) ** 2) / (error * np.sqrt(2 * np.pi))
        for part, share in SHOWN.get(speed, SHOWN[SPEED_MM_PER_S])
    )
    other = 0.15 / duration_s if seconds < duration_s + error else options.longer_than_record / duration_s
    return float(np.log(whole + other))


def tell_speed(
    odds: Mapping[float, float],
    pulses: list[Pulse],
    written: float | None,
    length_mm: float,
    notes: list[str],
) -> float:
    """The likeliest paper speed, mm/s, with a note of what it rests on unless all is as usual."""
    best = max(odds, key=lambda speed: odds[speed])
    if len(odds) == 1:
        notes.append(f"{best:g} mm/s as given")
        return best
    widths = [p.width_mm for p in pulses if p.score]
    by_pulse = bool(widths) and abs(float(np.median(widths)) - PULSE_S * best) < 1.0
    if written is not None and written != best:
        notes.append(f"{best:g} mm/s, though {written:g} mm/s seems to be written on the page")
    elif best != SPEED_MM_PER_S:
        reason = (
            "it is written on the page"
            if written == best
            else f"pulses are {PULSE_S * best:g} mm wide"
            if by_pulse
            else f"rows of {length_mm:.0f} mm fit no other speed"
        )
        notes.append(f"{best:g} mm/s: {reason}")
    elif written is None and not by_pulse:
        notes.append("25 mm/s assumed: no calibration pulse seen, no speed read")
    return best


def tell_gains(
    arrangement: Arrangement,
    pulses: list[tuple[int, Pulse]],
    columns: Columns,
    written: float | None,
    notes: list[str],
    options: LayoutOptions = LayoutOptions(),
) -> dict[str, float]:
    """The likeliest gain, mm/mV, of the groups "limb" and "chest", by the pulses beside their leads and by print.

    A group without clear pulses of its own has the other's gain.
    """
    clear: dict[str, list[float]] = {"limb": [], "chest": []}
    if options.hints.gain_mm_per_mv is not None:
        notes.append(f"{options.hints.gain_mm_per_mv:g} mm/mV as given")
        return dict.fromkeys(clear, options.hints.gain_mm_per_mv)
    vague: list[float] = []
    for row, pulse in pulses:
        here = [c for c in arrangement.cells if c.row == row]
        is_right = pulse.x_mm > (columns.first_mm + columns.end_mm) / 2
        column = columns.count - 1 if is_right else 0
        beside = [c for c in here if c.is_strip or c.column == column]
        if not pulse.score:
            vague.append(pulse.height_mm)
        elif beside:
            clear["chest" if beside[0].lead in CHEST else "limb"].append(pulse.height_mm)
    found = {
        group: _weigh_gains(heights, [], written, options) for group, heights in clear.items() if heights
    }
    if not found:
        odds = _weigh_gains([], vague, written, options)
        best = max(odds, key=lambda gain: odds[gain])
        if written is None and not vague:
            notes.append("10 mm/mV assumed: no calibration pulse seen, no gain read")
        elif written is None and best == GAIN_MM_PER_MV:
            notes.append("10 mm/mV assumed: the calibration pulses are unclear, no gain read")
        return dict.fromkeys(clear, best)
    gains = {group: max(odds, key=lambda gain: odds[gain]) for group, odds in found.items()}
    for gain in gains.values():
        if written is not None and written != gain and len(set(gains.values())) == 1:
            notes.append(
                f"{gain:g} mm/mV by the pulses, though {written:g} mm/mV seems to be written on the page"
            )
            break
    return {group: gains.get(group, next(iter(gains.values()))) for group in clear}


def _weigh_gains(
    clear_mm: list[float], vague_mm: list[float], written: float | None, options: LayoutOptions
) -> dict[float, float]:
    """Log odds of each gain, mm/mV, by the heights, mm, of clear pulses and of those that only boxes show, and by print."""
    odds = dict(GAIN_ODDS)
    if written is not None:
        for gain in odds:
            odds[gain] += 0.0 if gain == written else -options.print_odds
    # one clear pulse outweighs how seldom gains of 5 and 20 are
    for heights, wrong, error in ((clear_mm, 0.02, 0.1), (vague_mm, 0.5, 0.25)):
        count = min(len(heights), options.most_pulses_told)
        if count:
            for gain in odds:
                fits = float((np.abs(np.log(np.array(heights) / gain)) < error).mean())
                odds[gain] += count * float(np.log(wrong + (1 - wrong) * fits))
    return odds
