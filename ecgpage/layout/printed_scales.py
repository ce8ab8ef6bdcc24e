"""What the words read on a page tell of its paper speed and gain.

A page prints both beside each other on one line, or neither. A word may be read where there is none: texture and other print
look like one now and then, more often on pages where much looks so. Each word is weighed by how often true and false words
are read with its probability; a second word on the line of the first is hardly ever false.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from ecgpage.core.types import Array
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, SPEEDS, RecognisedText
from ecgpage.layout.types import Gains, PrintedScales

LEAST_WORD: Final = 0.3
"""Probability that a word is a scale from which it counts as read."""
ALL_GAINS: Final = (*GAINS, 2.5)
"""Gains, mm/mV, that leads are printed at; the reader does not know the last one."""
SAME_LINE_MM: Final = (2.0, 90.0)
"""Distances, mm, down and along, of two words of one line, at most."""
MIXED: Final[tuple[Gains, ...]] = ((20.0, 10.0), (10.0, 5.0), (5.0, 2.5))
"""Gains of pages that print limb and chest leads at different ones."""


@dataclass(frozen=True)
class _Reading:
    """One way in which a printed scale may have been read, and how much likelier it then is than without print."""

    ratio: float
    x_mm: float
    y_mm: float
    """Page place of the word, or of the last of them; NaN where the scale was overlooked."""


def weigh_print(
    words: RecognisedText, speeds: Sequence[float], options: LayoutOptions = LayoutOptions()
) -> PrintedScales:
    """Likelihoods of the words of a page for each of ``speeds`` and for each usual gain."""
    gains: list[Gains] = [(gain, gain) for gain in ALL_GAINS] + list(MIXED)
    told = words.chances[:, len(LEAD_WORDS) :] * words.scores[:, None]
    read = told.sum(axis=1) > LEAST_WORD
    places, told = words.places[read], told[read]
    # where much looks like a word, a word tells less
    vague = int((told.max(axis=1, initial=0.0) < options.clear_word).sum())
    noise = (1.0 + vague) / (1.0 + options.usual_vague_words)
    speed_ratios = _weigh_words(told[:, : len(SPEEDS)], noise, options)
    gain_ratios = _weigh_words(told[:, len(SPEEDS) :], noise, options)
    of_speed = {s: _read_alone(s, SPEEDS, places, speed_ratios, options) for s in speeds}
    alone = {g: _read_alone(g, GAINS, places, gain_ratios, options) for g in ALL_GAINS}
    of_gains = {
        g: _read_once_or_twice(alone[g[0]], options)
        if g[0] == g[1]
        else _read_both(alone[g[0]], alone[g[1]], options)
        for g in gains
    }
    table = np.array(
        [[_weigh_pair(of_speed[s], of_gains[g], options) for g in gains] for s in speeds]
    )  # (speeds, gains)
    table = 1.0 - options.printed_share + options.printed_share * table
    by_speed, by_gain = table.mean(axis=1), table.mean(axis=0)
    return PrintedScales(
        dict(zip(speeds, np.log(by_speed).tolist(), strict=True)),
        dict(zip(gains, np.log(by_gain).tolist(), strict=True)),
        _surest(speeds, by_speed, options),
        _surest(
            gains, by_gain * np.where([a != b for a, b in gains], np.exp(options.mixed_odds), 1.0), options
        ),
    )


def weigh_known_print(
    speed: float | None, gain: float | None, speeds: Sequence[float], options: LayoutOptions = LayoutOptions()
) -> PrintedScales:
    """Likelihoods for scales that were read for certain, mm/s and mm/mV; None where none was."""
    pairs: list[Gains] = [(one, one) for one in ALL_GAINS] + list(MIXED)
    return PrintedScales(
        {one: options.print_odds * (speed == one) for one in speeds},
        {pair: options.print_odds * (gain == pair[0] == pair[1]) for pair in pairs},
        speed,
        None if gain is None else (gain, gain),
    )


def _weigh_words(told: Array, noise: float, options: LayoutOptions) -> Array:
    """(n, m) likelihood of words where a scale of one kind is printed, over that elsewhere, by their probabilities ``told``
    (n, m) of each scale of the kind.
    """
    clear = told.sum(axis=1)
    level = np.searchsorted(options.word_levels, clear, side="right") - 1  # -1: not read
    true, false = np.array(options.true_words), np.array(options.false_words)
    ratio = np.where(level < 0, 0.0, true[level] / (noise * false[level]))
    share = told / np.maximum(clear[:, None], 1e-6)
    misread = options.misread_scale
    return np.asarray(ratio[:, None] * told.shape[1] * (share * (1 - misread) + misread / told.shape[1]))


def _read_alone(
    scale: float, known: Sequence[float], places: Array, ratios: Array, options: LayoutOptions
) -> list[_Reading]:
    """Ways in which a scale may have been read: by each word, or overlooked."""
    readings = [_Reading(options.missed_scale, np.nan, np.nan)]
    if scale in known:
        seen = ratios[:, known.index(scale)]
        readings += [_Reading(float(seen[k]), *places[k].tolist()) for k in np.flatnonzero(seen)]
    return readings


def _read_both(limb: list[_Reading], chest: list[_Reading], options: LayoutOptions) -> list[_Reading]:
    """Ways in which two gains may have been read: that of the limb leads first, on one line; or one of them alone."""
    limb_alone, chest_alone = options.mixed_alone
    return [
        *limb[:1],
        *(replace(one, ratio=one.ratio * limb_alone) for one in limb[1:]),
        *(replace(one, ratio=one.ratio * chest_alone) for one in chest[1:]),
        *_join_words(limb, chest, options),
    ]


def _read_once_or_twice(gain: list[_Reading], options: LayoutOptions) -> list[_Reading]:
    """Ways in which one gain of all leads may have been read: some pages print it for limb and chest leads."""
    twice = options.printed_twice
    pairs = [replace(pair, ratio=pair.ratio * twice) for pair in _join_words(gain, gain, options)]
    return [*gain, *pairs]


def _join_words(first: list[_Reading], second: list[_Reading], options: LayoutOptions) -> list[_Reading]:
    """Readings of two words of one line, ``first`` left of ``second``."""
    return [
        _Reading(_join(a, b, options), b.x_mm, b.y_mm)
        for a in first[1:]
        for b in second[1:]
        if _on_one_line(a, b) and a.x_mm < b.x_mm
    ]


def _weigh_pair(speed: list[_Reading], gain: list[_Reading], options: LayoutOptions) -> float:
    """Likelihood ratio of a printed speed and a printed gain."""
    total = 0.0
    for a in speed:
        for b in gain:
            if np.isnan(a.x_mm) or np.isnan(b.x_mm):
                total += a.ratio * b.ratio
            elif _on_one_line(a, b):
                total += _join(a, b, options)
            else:
                total += a.ratio * b.ratio * options.apart_from_line
    return total


def _join(a: _Reading, b: _Reading, options: LayoutOptions) -> float:
    """Likelihood ratio of two words of one line: false ones hardly stand beside a true one."""
    return a.ratio * b.ratio / options.false_on_line


def _on_one_line(a: _Reading, b: _Reading) -> bool:
    down, along = SAME_LINE_MM
    return abs(a.y_mm - b.y_mm) < down and abs(a.x_mm - b.x_mm) < along


Scale = TypeVar("Scale")


def _surest(scales: Sequence[Scale], likelihoods: Array, options: LayoutOptions) -> Scale | None:
    """The scale that is far likelier than all others; None without one."""
    order = np.argsort(likelihoods)
    sure = np.log(likelihoods[order[-1]] / likelihoods[order[-2]]) > options.sure_print
    return scales[int(order[-1])] if sure else None
