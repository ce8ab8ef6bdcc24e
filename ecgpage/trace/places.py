"""Where columns of leads begin and end, by everything that tells it: the layout, the network's marks and the ends of ink.

Hypotheses of places (those of the layout; columns of one width that touch or stand apart, a record's usual length long or
not, the last one cut off or not; ends of their own) are weighed by the log likelihood of all ends that were seen. Each end
may be wrong by itself, and all ends of one side of a column together: the foot of pulses stands beside all rows alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.trace.options import TraceOptions

RANGE_MM: Final = 12.0
"""Range, mm, over which an end that is wrong may lie."""
TAIL: Final = 0.2
"""Share of right ends whose error is ``TAIL_WIDTH`` times as wide."""
TAIL_WIDTH: Final = 3.0
FIT_ROUNDS: Final = 6
"""Rounds of the fit of equal columns, each with new weights."""
FIT_MM: Final = 0.5
"""Distance, mm, of an end from the fit, from which it counts less."""
SAME_MM: Final = 0.25
"""Distance, mm, within which ends are of one place."""
FREE_MM: Final = 0.15
"""Distance, mm, within which a place is known once its hypothesis is fitted: what a free number costs is the log of this over
the range in which it could lie."""

REFINED: Final = 6
"""Number of the likeliest hypotheses that are fitted once more."""
RUNS_MM: Final = 0.5
"""Distance, mm, by which a lead that runs on is seen beyond an end, at least."""
BESIDE_MM: Final = 2.0
"""Mean distance, mm, of what is taken for an end of leads from that end."""
NONE: Final[Array] = np.empty(0)


@dataclass(frozen=True)
class SeenEnds:
    """Where the leads of one side of a column were seen to end: page x, mm, any number of each."""

    network: Array
    ink: Array
    runs_to: Array = field(default_factory=lambda: NONE)
    """Where what was looked at ends, of leads that the network sees run on there."""
    outward: int = 1
    """1 at the end of a column, -1 at its beginning."""

    @cached_property
    def mode(self) -> float:
        """Page x, mm, near which most of both are; NaN without any. Ink is the more exact witness."""
        values = np.concatenate([self.ink, self.network])
        if not len(values):
            return float("nan")
        votes = _count_near(values)
        votes[: len(self.ink)] += 0.5 * _count_near(self.ink)
        middle = values[votes.argmax()]
        for own in (self.ink, self.network):
            near = own[np.abs(own - middle) <= 2 * SAME_MM]
            if len(near):
                return float(np.median(near))
        return float(middle)

    @cached_property
    def modes(self) -> tuple[float, float]:
        """Page x, mm, near which most ends are that the network sees, and most of ink; NaN without any."""
        return _find_mode(self.network), _find_mode(self.ink)


@dataclass(frozen=True)
class _Equal:
    """Equal columns: first begin, width and gap, mm, the indices of those three that were fitted, and the cut ends."""

    numbers: Array
    free: tuple[int, ...]
    cut: tuple[bool, bool]


@dataclass(frozen=True)
class _Hypothesis:
    """Places of columns (n, 2) and the log of their prior density."""

    places: Array
    prior: float
    equal: _Equal | None = None
    """What the places rest on, where they are equal columns."""


def place_columns(
    usual: Array,
    seen: Sequence[tuple[SeenEnds, SeenEnds]],
    speed_mm_per_s: float,
    *,
    has_separators: bool = False,
    options: TraceOptions = TraceOptions(),
) -> Array:
    """(n, 2) page x, mm, of the likeliest beginning and end of each column, from left to right.

    ``usual``: those of the layout; ``seen``: what the beginning and the end of each column show.
    """
    trust = options.separators_right if has_separators else options.layout_right
    fitted = list(seen)
    if has_separators:  # the network sees their strokes instead of the borders, which lie near them
        last = len(usual) - 1
        fitted = [
            (
                begin if k == 0 else replace(begin, network=NONE),
                end if k == last else replace(end, network=NONE),
            )
            for k, (begin, end) in enumerate(seen)
        ]
    hypotheses = [_Hypothesis(usual, float(np.log(trust * _share_of_whole(usual, speed_mm_per_s, options))))]
    elsewhere = float(np.log(1 - trust))
    best_other = elsewhere + _cost_of_free(1)
    modes = np.array([[ends.mode for ends in column] for column in fitted])
    if hypotheses[0].prior + weigh_places(usual, seen, options) > best_other + weigh_places(
        np.where(np.isfinite(modes), modes, usual), seen, options
    ):
        return usual
    hypotheses += [
        replace(h, prior=h.prior + elsewhere)
        for h in _list_others(usual, modes, speed_mm_per_s, has_separators, options)
        if _are_ordered(h.places, options)
    ]
    weights = np.array([h.prior + weigh_places(h.places, seen, options) for h in hypotheses])
    best, most = hypotheses[int(np.argmax(weights))].places, weights.max()
    for k in weights.argsort()[::-1][:REFINED]:
        equal = hypotheses[k].equal
        if equal is not None:
            places = _refine(equal, hypotheses[k].places, fitted, options)
            weight = hypotheses[k].prior + weigh_places(places, seen, options)
            if weight > most and _are_ordered(places, options):
                best, most = places, weight
    return best


def place_strip(
    usual: Array,
    columns: tuple[Array, Array] | None,
    seen: tuple[SeenEnds, SeenEnds],
    options: TraceOptions = TraceOptions(),
) -> Array:
    """(2,) page x, mm, of the likeliest ends of strips that the layout has from ``usual[0]`` to ``usual[1]``.

    ``columns``: (2,) the outer ends of the columns above in the layout, and their likeliest places, with which strips that
    end where the columns do move; None where there are none.
    """
    found = np.empty(2)
    other = float(np.log((1 - options.strip_right) / 2))
    for side, ends in enumerate(seen):
        base, rival = float(usual[side]), float("nan")
        if columns is not None:
            is_tied = abs(usual[side] - columns[0][side]) < SAME_MM
            base, rival = (columns[1][side], base) if is_tied else (base, columns[1][side])
        tried = [
            (base, float(np.log(options.strip_right))),
            (rival, other),
            (ends.mode, other + _cost_of_free(1)),
        ]
        tried = [(place, prior) for place, prior in tried if np.isfinite(place)]
        weights = [prior + _weigh_outer(place, ends, options) for place, prior in tried]
        found[side] = tried[int(np.argmax(weights))][0]
    return found


def weigh_places(
    places: Array,
    seen: Sequence[tuple[SeenEnds, SeenEnds]],
    options: TraceOptions = TraceOptions(),
) -> float:
    """Log likelihood of all ends that were seen, if columns begin and end at these (n, 2) page x, mm."""
    outer = [(0, 0), (len(places) - 1, 1)]
    inner = [key for key in product(range(len(places)), (0, 1)) if key not in outer]
    total = sum(_weigh_outer(float(places[k, side]), seen[k][side], options) for k, side in outer)
    total += sum(_weigh_inner_ink(float(places[k, side]), seen[k][side], options) for k, side in inner)
    modes = np.array([seen[k][side].modes[0] for k, side in inner])
    if not np.isfinite(modes).any():
        return total
    # separators are seen instead of the borders beside them, all of them
    moved = float(np.nanmedian(modes - [places[key] for key in inner]))
    here, there = (
        sum(_weigh_inner_network(float(places[k, side]) + by, seen[k][side], options) for k, side in inner)
        for by in (0.0, moved)
    )
    return total + _mix(here, there, options.borders_moved, moved)


def _weigh_outer(place: float, ends: SeenEnds, options: TraceOptions) -> float:
    """Log likelihood of an outer end: what stands beside it is taken for a part of the leads by the network and by ink."""
    beyond = float(((ends.runs_to - place) * ends.outward > RUNS_MM).sum()) ** options.alike
    runs_on = beyond * float(np.log(options.runs_wrong))
    if not len(ends.network) + len(ends.ink):
        return runs_on
    seen = ends.mode
    here, there = (
        _weigh_network(ends.network, at, options) + _weigh_ink(ends.ink, at, options) for at in (place, seen)
    )
    share = options.end_moved if (seen - place) * ends.outward > 0 else options.end_hidden
    return runs_on + _mix(here, there, share, seen - place)


def _weigh_inner_network(place: float, ends: SeenEnds, options: TraceOptions) -> float:
    seen = ends.modes[0]
    here, there = (_weigh_network(ends.network, at, options) for at in (place, seen))
    return _mix(here, there, options.border_moved, seen - place)


def _weigh_inner_ink(place: float, ends: SeenEnds, options: TraceOptions) -> float:
    seen = ends.modes[1]
    here, there = (_weigh_ink(ends.ink, at, options) for at in (place, seen))
    return _mix(here, there, options.ink_moved, seen - place)


def _weigh_network(ends: Array, place: float, options: TraceOptions) -> float:
    return _weigh_ends(ends - place, options.network_end_mm, options.network_wrong, options)


def _weigh_ink(ends: Array, place: float, options: TraceOptions) -> float:
    return _weigh_ends(ends - place, options.ink_end_mm, options.ink_wrong, options)


def _mix(here: float, there: float, share: float, moved_mm: float) -> float:
    """Log likelihood of a mixture of what is meant and, in a part of all cases, of another place ``moved_mm`` away that was
    fitted: what stands beside ends stands near them.
    """
    if not np.isfinite(moved_mm):
        return here
    beside = float(np.log(FREE_MM / (2 * BESIDE_MM))) - abs(moved_mm) / BESIDE_MM
    return float(np.logaddexp(np.log(1 - share) + here, np.log(share) + there + beside))


def _weigh_ends(off: Array, error: float, wrong: float, options: TraceOptions) -> float:
    """Log likelihood of ends (n,) that are this far, mm, from where they are."""
    if not len(off):
        return 0.0
    right = sum(
        share * np.exp(-0.5 * (off / width) ** 2) / (width * np.sqrt(2 * np.pi))
        for share, width in ((1 - TAIL, error), (TAIL, TAIL_WIDTH * error))
    )
    every = np.log((1 - wrong) * right + wrong / RANGE_MM)
    return float(every.sum() * len(off) ** (options.alike - 1))


# --- hypotheses -----------------------------------------------------------------------------------------------


def _list_others(
    usual: Array, modes: Array, speed: float, has_separators: bool, options: TraceOptions
) -> Iterator[_Hypothesis]:
    """Places that are not the layout's; ``modes``: (n, 2) where most ends of each side were seen, NaN for none.

    Columns with a separator between them stand apart no further than its stroke is wide.
    """
    count = len(usual)
    for gapped in (False, True) if count > 1 and not has_separators else (False,):
        share = (options.gap_share if gapped else 1 - options.gap_share) if count > 1 else 1.0
        for left, right, chosen in product((False, True), (False, True), _choose_sides(count)):
            prior = float(np.log(share) + (left + right) * np.log(options.cut_share))
            use = np.isfinite(modes) & chosen
            use[0, 0] &= not left
            use[-1, 1] &= not right
            free = 1 + gapped + left + right
            fitted = _fit_equal(usual, modes, use, gapped)
            width = float(np.mean(usual[:, 1] - usual[:, 0])) if fitted is None else fitted[1]
            tried = [(fitted, True)]
            for wide in _usual_widths(width, count, speed, options):
                tried.append((_fit_equal(usual, modes, use, gapped, wide), False))
            for placed, is_free in tried:
                if placed is None or placed[2] < 0:
                    continue
                cost = float(np.log(1 - options.whole_share if is_free else options.whole_share))
                cost += _cost_of_free(free + is_free)
                numbers = (0, *([1] if is_free else []), *([2] if gapped else []))
                equal = _Equal(np.array(placed), numbers, (left, right))
                yield _Hypothesis(_lay_equal(equal.numbers, modes, equal.cut), prior + cost, equal)
    if count > 1 and np.isfinite(modes).any():
        own = np.where(np.isfinite(modes), modes, usual)
        yield _Hypothesis(own, float(np.log(options.unequal_share) + _cost_of_free(2 * count)))
    for k, side in product(range(count), (0, 1)):  # one end alone
        if np.isfinite(modes[k, side]):
            one = usual.copy()
            one[k, side] = modes[k, side]
            is_outer = (k, side) in ((0, 0), (count - 1, 1))
            share = options.outer_share if is_outer else options.unequal_share
            share *= _share_of_whole(one, speed, options)
            yield _Hypothesis(one, float(np.log(share) + _cost_of_free(1)))


def _share_of_whole(places: Array, speed: float, options: TraceOptions) -> float:
    """Share of pages whose columns show a usual time together, or do not, as these do."""
    seconds = float((places[:, 1] - places[:, 0]).sum()) / speed
    is_usual = min(abs(seconds - usual) for usual in options.record_s) < options.usual_error_s
    return options.whole_share if is_usual else 1 - options.whole_share


def _cost_of_free(numbers: int) -> float:
    """Log prior of numbers that are fitted."""
    return numbers * float(np.log(FREE_MM / RANGE_MM))


def _choose_sides(count: int) -> Iterator[NDArray[np.bool_]]:
    """Sides (count, 2) of columns to which equal columns are fitted: all, the outer ones, all beginnings, all ends."""
    yield np.ones((count, 2), bool)
    for k in range(3) if count > 1 else (1, 2):
        chosen = np.zeros((count, 2), bool)
        chosen[((0, -1), slice(None), slice(None))[k], ((0, 1), 0, 1)[k]] = True
        yield chosen


def _usual_widths(width: float, count: int, speed: float, options: TraceOptions) -> Iterator[float]:
    """Widths, mm, of columns that show a usual time together, near a given one."""
    for seconds in options.record_s:
        wide = seconds * speed / count
        if width > 0 and abs(np.log(wide / width)) < options.width_error:
            yield wide


def _fit_equal(
    usual: Array, modes: Array, use: NDArray[np.bool_], gapped: bool, width: float | None = None
) -> tuple[float, float, float] | None:
    """First begin, width and gap, mm, of equal columns, fitted to those ends (n, 2) that are used; None where too few are.

    ``width``: where it is given.
    """
    k, side = np.nonzero(use)
    terms = np.stack([np.ones(len(k)), k + side, k], axis=1)  # of the first begin, the width, the gap
    given = np.array([0.0, 0.0 if width is None else width, 0.0])
    free = [0, *([1] if width is None else []), *([2] if gapped else [])]
    design, x = terms[:, free], modes[use] - terms @ given
    if np.linalg.matrix_rank(design) < len(free):
        return None
    start = np.array([usual[0, 0], np.mean(usual[:, 1] - usual[:, 0]), _gap_of(usual) * gapped])
    off = modes[use] - terms @ start
    weight = 1 / (1 + ((off - np.median(off)) / (4 * FIT_MM)) ** 2)
    found = given.copy()
    for _ in range(FIT_ROUNDS):
        root = np.sqrt(weight)
        found[free] = np.linalg.lstsq(design * root[:, None], x * root, rcond=None)[0]
        weight = 1 / (1 + ((x - design @ found[free]) / FIT_MM) ** 2)
    return float(found[0]), float(found[1]), float(found[2])


def _refine(
    equal: _Equal, places: Array, seen: Sequence[tuple[SeenEnds, SeenEnds]], options: TraceOptions
) -> Array:
    """Places (n, 2) of equal columns fitted to every end that was seen, each by the chance that it is right."""
    terms, x, wide, wrong = [], [], [], []
    for k, column in enumerate(seen):
        for side, ends in enumerate(column):
            if equal.cut[side] and k == (0, len(seen) - 1)[side]:
                continue
            for values, off_mm, rate in (
                (ends.network, options.network_end_mm, options.network_wrong),
                (ends.ink, options.ink_end_mm, options.ink_wrong),
            ):
                terms += [(1.0, k + side, k)] * len(values)
                x += list(values)
                wide += [off_mm] * len(values)
                wrong += [rate] * len(values)
    design, at, error, share = np.array(terms), np.array(x), np.array(wide), np.array(wrong)
    numbers = equal.numbers.copy()
    free = list(equal.free)
    for _ in range(FIT_ROUNDS):
        off = (at - design @ numbers) / error
        density = np.exp(-0.5 * off**2) / (error * np.sqrt(2 * np.pi))
        right = (1 - share) * density / ((1 - share) * density + share / RANGE_MM)
        root = np.sqrt(right + 1e-9) / error
        rest = at - design @ np.where(np.isin(np.arange(3), free), 0.0, numbers)
        numbers[free] = np.linalg.lstsq(design[:, free] * root[:, None], rest * root, rcond=None)[0]
    return _lay_equal(numbers, places, equal.cut)


def _gap_of(usual: Array) -> float:
    return float(np.mean(usual[1:, 0] - usual[:-1, 1])) if len(usual) > 1 else 0.0


def _lay_equal(numbers: Array, ends: Array, cut: tuple[bool, bool]) -> Array:
    """Equal columns (n, 2) of a first begin, a width and a gap, mm; outer ends that are cut off are those of ``ends`` (n, 2),
    where these are known.
    """
    first, width, gap = numbers
    begin = first + np.arange(len(ends)) * (width + gap)
    places = np.stack([begin, begin + width], axis=1)
    for place, is_cut in zip(((0, 0), (-1, 1)), cut, strict=True):
        if is_cut and np.isfinite(ends[place]):
            places[place] = ends[place]
    return places


def _are_ordered(places: Array, options: TraceOptions) -> bool:
    """Whether columns have some width and do not overlap."""
    widths = places[:, 1] - places[:, 0]
    return bool((widths > options.shortest_mm).all() and (places[1:, 0] > places[:-1, 1] - SAME_MM).all())


def _find_mode(values: Array) -> float:
    """The middle of the values (n,) near which most others are; NaN without any."""
    if not len(values):
        return float("nan")
    middle = values[_count_near(values).argmax()]
    return float(np.median(values[np.abs(values - middle) <= SAME_MM]))


def _count_near(values: Array) -> Array:
    """Number of values within ``SAME_MM`` of each of (n,)."""
    near: Array = (np.abs(values[:, None] - values) <= SAME_MM).sum(axis=1).astype(np.float64)
    return near
