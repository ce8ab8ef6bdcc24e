"""Paper speed and gain of a page by all that speaks of them: print, numbers of axes, pulses, lengths, beats, and how common
each is.

Every speed, and every pair of gains of limb and chest leads, gets a sum of log likelihoods. Lengths are weighed by their
logarithms, so that sums of different grids of one picture can be compared. What is seen before the traces are read decides
provisionally; the traces add the times of columns and the rate of beats (``ecgpage.signal.times``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV, SPEED_MM_PER_S
from ecgpage.layout.arrangement import Arrangement
from ecgpage.layout.columns import Columns
from ecgpage.layout.known_layouts import CHEST
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.printed_scales import ALL_GAINS, MIXED
from ecgpage.layout.types import Gains, Pulse, ScaleEvidence, SeenBeats

SPEED_ODDS: Final[Mapping[float, float]] = {25.0: 0.0, 50.0: -2.3, 12.5: -5.0}
"""Log odds of paper speeds, mm/s, before a page is looked at: 1 page in 11 runs at 50, 1 in 150 at 12.5, a judgement; drawn
pages show more of them.
"""
GAIN_ODDS: Final[Mapping[float, float]] = {10.0: 0.0, 5.0: -2.4, 20.0: -2.6, 2.5: -5.5}
"""Log odds of gains, mm/mV."""
PULSE_S: Final = 0.2
"""Duration, s, of a calibration pulse; some devices draw half of it."""
FIXED_PULSE_MM: Final = 5.0
"""Width, mm, of the pulses of devices that draw them alike at any speed."""
OTHER_SCALES: Final = (0.2, 0.4, 0.5, 0.6, 2 / 3, 0.8, 1.25, 1.5, 5 / 3, 2.0, 2.5, 5.0)
"""Distances of lines that are taken for those of the grid, over the true ones."""
Scale = TypeVar("Scale")
LN_RANGE: Final = 4.0
"""Natural log of the ratio of the longest to the shortest length that may be taken for what it is not."""


def weigh_speeds(seen: ScaleEvidence, options: LayoutOptions = LayoutOptions()) -> dict[float, float]:
    """Log odds of each paper speed, mm/s."""
    return _add_lengths(weigh_speeds_seen(seen, options), seen, options)


def _add_lengths(
    odds: Mapping[float, float], seen: ScaleEvidence, options: LayoutOptions
) -> dict[float, float]:
    """Log odds of speeds with those of the rows' length and of the distance of beats."""
    return {
        speed: value
        + _weigh_length(seen, speed, options)
        + weigh_log(seen.beats.apart_mm / speed, options.beat_s, options)
        for speed, value in odds.items()
    }


def weigh_speeds_seen(seen: ScaleEvidence, options: LayoutOptions = LayoutOptions()) -> dict[float, float]:
    """Log odds of each paper speed, mm/s, by print, pulses and the width of beats."""
    if options.hints.speed_mm_per_s is not None:
        return {options.hints.speed_mm_per_s: 0.0}
    odds = dict(SPEED_ODDS)
    clear = seen.inked_pulses
    for speed in odds:
        odds[speed] += seen.printed.speeds.get(speed, 0.0)
        odds[speed] += weigh_log(
            seen.beats.width_mm, (options.beat_width_mm[speed], options.beat_width_mm[0.0]), options
        )
        odds[speed] += weigh_log(seen.axes_mm[0] / speed, (1.0, options.axis_error), options)
        if clear:  # one device drew all pulses, whatever their number
            odds[speed] += _weigh_width(clear, speed, options)
    return odds


def _weigh_width(pulses: Sequence[Pulse], speed: float, options: LayoutOptions) -> float:
    """Log likelihood of the natural log of the median width of pulses."""
    width_mm = float(np.median([pulse.width_mm for pulse in pulses]))
    wrong = min(_share_wrong(pulse.score, options) for pulse in pulses)
    return float(np.log((1 - wrong) * _density_of_width(width_mm, speed, options) + wrong / LN_RANGE))


def _density_of_width(width_mm: float, speed: float, options: LayoutOptions) -> float:
    """Density of the natural log of a pulse's width at a speed, mm/s."""
    usual, half, fixed = options.pulse_widths
    spread = np.hypot(options.pulse_error, options.pulse_error_mm / width_mm)
    return sum(
        share * normal(float(np.log(width_mm / expected)), 0.0, float(spread))
        for share, expected in (
            (usual, PULSE_S * speed),
            (half, PULSE_S * speed / 2),
            (fixed, FIXED_PULSE_MM),
        )
    )


def _share_wrong(score: float, options: LayoutOptions) -> float:
    """Share of pulses in the ink, of a score, that are none."""
    return next(share for least, share in options.wrong_pulses if score > least)


def _doubt(pulse: Pulse, options: LayoutOptions) -> float:
    """Probability that a pulse in the ink has a wrong height: by its score, and higher where it is as wide as no pulse is.

    A usual width makes it no surer: a grid line may be taken for the roof of a pulse.
    """
    wrong = _share_wrong(pulse.score, options)
    usual = np.exp(list(SPEED_ODDS.values()))
    seen = float(
        usual @ [_density_of_width(pulse.width_mm, speed, options) for speed in SPEED_ODDS] / usual.sum()
    )
    return max(wrong, wrong / (wrong + (1 - wrong) * seen * LN_RANGE))


def weigh_log(value: float, usual: tuple[float, float], options: LayoutOptions) -> float:
    """Log likelihood of the natural log of a value, of which ``usual`` gives the median and the spread; 0 where it is NaN."""
    if not value > 0:
        return 0.0
    seen = normal(float(np.log(value / usual[0])), 0.0, usual[1])
    return float(np.log((1 - options.mistaken) * seen + options.mistaken / LN_RANGE))


def normal(value: float, mean: float, spread: float) -> float:
    """Density of the normal distribution."""
    return float(np.exp(-0.5 * ((value - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi)))


def _weigh_length(seen: ScaleEvidence, speed: float, options: LayoutOptions) -> float:
    """Log likelihood of the natural log of the time that all columns show."""
    part = seen.length_mm / speed / seen.duration_s
    if not part > 0:
        return 0.0
    count = min(seen.columns, 3)
    shares = options.shown_shares.get((speed, count), options.shown_shares[SPEED_MM_PER_S, count])
    edges = np.array(options.shown_parts)
    place = int(np.searchsorted(edges, part)) - 1
    inside = 0 <= place < len(shares)
    density = shares[place] / float(np.log(edges[place + 1] / edges[place])) if inside else 0.0
    return float(np.log((1 - options.mistaken_length) * density + options.mistaken_length / LN_RANGE))


def tell_speed(
    odds: Mapping[float, float],
    seen: ScaleEvidence,
    notes: list[str],
    options: LayoutOptions = LayoutOptions(),
) -> float:
    """The likeliest paper speed, mm/s, with a note of what it rests on unless all is as usual."""
    best = max(odds, key=lambda speed: odds[speed])
    written = seen.printed.speed
    if len(odds) == 1:
        notes.append(f"{best:g} mm/s as given")
        return best
    widths = [pulse.width_mm for pulse in seen.inked_pulses]
    by_pulse = bool(widths) and abs(float(np.median(widths)) - PULSE_S * best) < 0.2 * PULSE_S * best
    if written is not None and written != best:
        notes.append(f"{best:g} mm/s, though {written:g} mm/s seems to be written on the page")
    elif best != SPEED_MM_PER_S:
        reason = (
            "it is written on the page"
            if written == best
            else f"pulses are {PULSE_S * best:g} mm wide"
            if by_pulse
            else "the numbers of an axis say so"
            if _is_numbered(seen.axes_mm[0], best, options)
            else f"rows of {seen.length_mm:.0f} mm and beats fit no other speed as well"
        )
        notes.append(f"{best:g} mm/s: {reason}")
    elif written is None and not by_pulse and not _is_numbered(seen.axes_mm[0], best, options):
        notes.append("25 mm/s assumed: no calibration pulse seen, no speed read")
    return best


def _is_numbered(told_mm: float, scale: float, options: LayoutOptions) -> bool:
    """Whether the numbers of an axis say a scale; ``told_mm``: page mm of its unit by them."""
    return bool(told_mm > 0 and abs(np.log(told_mm / scale)) < 3 * options.axis_error)


def weigh_gains(seen: ScaleEvidence, options: LayoutOptions = LayoutOptions()) -> dict[Gains, float]:
    """Log odds of each pair of gains, mm/mV, of limb and chest leads."""
    if options.hints.gain_mm_per_mv is not None:
        return {(options.hints.gain_mm_per_mv, options.hints.gain_mm_per_mv): 0.0}
    odds = {(gain, gain): GAIN_ODDS[gain] for gain in ALL_GAINS}
    odds |= {pair: GAIN_ODDS[pair[0]] + options.mixed_odds for pair in MIXED}
    for pair in odds:
        odds[pair] += seen.printed.gains.get(pair, 0.0)
        odds[pair] += _weigh_heights(seen.pulses, pair, options) + _weigh_sizes(seen.beats, pair, options)
        # numbers stand along an axis of either group
        either = [weigh_log(seen.axes_mm[1] / gain, (1.0, options.axis_error), options) for gain in pair]
        odds[pair] += float(np.logaddexp(either[0], either[1]) - np.log(2))
    return odds


def _weigh_heights(pulses: Sequence[tuple[str, Pulse]], gains: Gains, options: LayoutOptions) -> float:
    """Log likelihood of the heights of pulses, ``most_pulses_told`` of each group at most."""
    total = 0.0
    clear = any(p.score for _, p in pulses)
    for group in ("limb", "chest", ""):
        beside = [p for g, p in pulses if g == group and bool(p.score) == clear]
        if not beside:
            continue
        densities = []
        for pulse in beside:
            spread, wrong = (options.pulse_error, _doubt(pulse, options)) if clear else options.vague_pulse
            height = pulse.height_mm
            error = float(np.hypot(spread, options.pulse_error_mm / height))
            own, other = (normal(float(np.log(height / g)), 0.0, error) for g in _gains_of(group, gains))
            # some devices draw every pulse at the gain of the limb leads, and leads may be misnamed
            share = options.limb_pulse if group == "chest" else options.misplaced_pulse
            either = (1 - share) * own + share * other
            densities.append(np.log((1 - wrong) * either + wrong / LN_RANGE))
        total += min(len(beside), options.most_pulses_told) * float(np.mean(densities))
    return total


def _gains_of(group: str, gains: Gains) -> Gains:
    """Gain of a group's leads, and that of the others."""
    limb, chest = gains
    return (chest, limb) if group == "chest" else (limb, chest)


def _weigh_sizes(beats: SeenBeats, gains: Gains, options: LayoutOptions) -> float:
    """Log likelihood of the heights of QRS complexes."""
    limb, chest = beats.limb_mm / gains[0], beats.chest_mm / gains[1]
    if limb > 0 and chest > 0:
        return weigh_log(limb, options.limb_beat_mv, options) + weigh_log(
            chest / limb, options.chest_to_limb, options
        )
    return weigh_log(limb, options.limb_beat_mv, options) + weigh_log(chest, options.chest_beat_mv, options)


def find_group(arrangement: Arrangement, columns: Columns, row: int, pulse: Pulse) -> str:
    """Group, "limb" or "chest", of the lead that a pulse of a row stands beside; "" for none."""
    is_right = pulse.x_mm > (columns.first_mm + columns.end_mm) / 2
    column = columns.count - 1 if is_right else 0
    beside = [c for c in arrangement.cells if c.row == row and (c.is_strip or c.column == column)]
    if not beside:
        return ""
    return "chest" if beside[0].lead in CHEST else "limb"


def tell_gains(
    odds: Mapping[Gains, float],
    seen: ScaleEvidence,
    notes: list[str],
    options: LayoutOptions = LayoutOptions(),
) -> dict[str, float]:
    """The likeliest gain, mm/mV, of the groups "limb" and "chest", with a note of what it rests on unless all is as usual."""
    best = max(odds, key=lambda pair: odds[pair])
    if options.hints.gain_mm_per_mv is not None:
        notes.append(f"{best[0]:g} mm/mV as given")
        return {"limb": best[0], "chest": best[1]}
    written = seen.printed.gain
    if written is not None and written != best and written[0] not in best:
        notes.append(
            f"{best[0]:g} mm/mV by the pulses, though {written[0]:g} mm/mV seems to be written on the page"
        )
    elif (
        written is None
        and best == (GAIN_MM_PER_MV, GAIN_MM_PER_MV)
        and not seen.inked_pulses
        and not _is_numbered(seen.axes_mm[1], best[0], options)
    ):
        seen_so = "the calibration pulses are unclear" if seen.pulses else "no calibration pulse seen"
        notes.append(f"10 mm/mV assumed: {seen_so}, no gain read")
    return {"limb": best[0], "chest": best[1]}


@dataclass(frozen=True)
class ToldScale:
    """Speed and gains of a page."""

    speed_mm_per_s: float
    gains: dict[str, float]
    """Gain, mm/mV, of the groups "limb" and "chest"."""
    speed_odds: Mapping[float, float]
    """Log odds of paper speeds by print, pulses and the width of beats alone."""
    margin: float
    """Log odds of this speed or of these gains over the second likeliest, whichever is less."""


def tell_scale(seen: ScaleEvidence, notes: list[str], options: LayoutOptions = LayoutOptions()) -> ToldScale:
    """The likeliest speed and gains of a page, with notes of what they rest on and of near rivals."""
    seen_odds, gain_odds = weigh_speeds_seen(seen, options), weigh_gains(seen, options)
    speeds = _add_lengths(seen_odds, seen, options)
    speed = tell_speed(speeds, seen, notes, options)
    gains = tell_gains(gain_odds, seen, notes, options)
    notes += name_rivals(speeds, gain_odds, options)
    return ToldScale(speed, gains, seen_odds, min(margin(speeds), margin(gain_odds)))


def weigh_page(seen: ScaleEvidence, options: LayoutOptions = LayoutOptions()) -> float:
    """Log likelihood of all that a page shows in mm of its grid, over every speed and gain."""
    odds = weigh_speeds(seen, options), weigh_gains(seen, options)
    return float(sum(np.logaddexp.reduce(list(one.values())) for one in odds))


def find_doubt(seen: ScaleEvidence, options: LayoutOptions = LayoutOptions()) -> float:
    """By how much what a page shows is likelier on a grid of another usual distance, log likelihood; below 0 it is not."""
    return max(weigh_page(seen.at(f, f), options) for f in OTHER_SCALES) - weigh_page(seen, options)


def margin(odds: Mapping[Scale, float]) -> float:
    """Log odds of the likeliest over the second; infinite without one."""
    first, *others = sorted(odds.values(), reverse=True)
    return first - others[0] if others else float("inf")


def name_rivals(
    speeds: Mapping[float, float], gains: Mapping[Gains, float], options: LayoutOptions = LayoutOptions()
) -> list[str]:
    """Notes of speeds and gains that are nearly as likely as those told."""
    notes = []
    if margin(speeds) < options.sure_margin:
        notes.append(f"{sorted(speeds, key=lambda one: speeds[one])[-2]:g} mm/s is nearly as likely")
    if margin(gains) < options.sure_margin:
        limb, chest = sorted(gains, key=lambda one: gains[one])[-2]
        told = f"{limb:g}" if limb == chest else f"{limb:g}/{chest:g}"
        notes.append(f"{told} mm/mV is nearly as likely")
    return notes
