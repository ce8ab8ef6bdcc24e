"""Name the boxes of a page by the grammar of printed layouts: which lead stands in which row and column.

Single boxes are not trusted. A page is rows and columns of equal width, with rhythm strips over the full width; every way
of reading the boxes as such a page (``GRAMMAR``, or names in any order) is scored by the evidence of its cells: the best
box in a cell's place adds to the score as far as it carries the expected name, a cell without a box takes from it, and so
does a sure box in no cell. The best reading names the cells, also those whose box was missed or misnamed. A detector tells
leads by their looks and places; where a name is printed beside a box it says more (``with_printed``).

Conventions:
    boxes   x0, y0, x1, y1 in page mm (``flat``); a lead's box covers its drawn time and the range of its trace, at least
            5 mm above and below its 0-mV line (``render.truth``)
"""

import itertools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecgpage.core.conventions import LEADS, EcgPageError

Array = NDArray[np.float64]
Names = tuple[str, ...]

ROW_APART_MM: Final = (4.5, 10.0)
"""Levels of one row's boxes are closer than this to their neighbours; more where rows are far apart."""
ROW_APART_SHARE: Final = 0.35
"""The same as a part of the distance between rows."""
ROW_SLACK_MM: Final = 2.5
"""A box's level may be so far off what it allows for its lead's."""
IRREGULAR: Final = 2.0
"""Cost of rows that stand half of their usual distance nearer or further, four times."""
NO_ROW: Final = 8.0
"""Cost of a box without a row of its own; of a level in the neighbouring row 2."""
HALF_BOX_MM: Final = 5.0
"""A box reaches at least so far beyond its lead's 0-mV line."""
MIN_WIDTH_MM: Final = 15.0
"""Columns show half a second at least."""
SAME_PLACE: Final = 0.6
"""Overlap (intersection over union) from which two boxes stand for one lead."""
SAME_INK: Final = (0.8, 1.4, 0.5)
"""Two boxes show the same ink when they share so much of the narrower one along x and of both together along y; one that is
wider by this factor and surer makes a guess at part of a lead of the other.
"""
MIN_SHARE: Final = 0.6
"""A box is in a cell when they share this part of what they cover together along x."""
POSITION_MM: Final = 3.0
"""Usual error of a box's edge against rows and columns of equal width."""
FOUND: Final = 4.0
"""Log odds of a box in a cell's place against a box anywhere."""
MISSED: Final = 2.5
"""-Log chance that a drawn lead has no box."""
MISNAMED: Final = 0.03
"""Chance that a box carries a wrong name."""
ANY_ORDER: Final = 9.0
"""-Log odds of a page that follows no known order, as far as names are known by looks and places only."""
PRINTED_ORDER: Final = 4.5
"""The same where all names are printed: they are misread in no way that makes another order of them."""
MOST_STRIPS: Final = 3
NO_STRIP: Final = -1e6
STRIP_COST: Final = 0.5
STRIP_NAMES: Final[dict[str, float]] = {"II": 1.0, "V1": 0.5, "V5": 0.5}
"""Log odds of names of rhythm strips."""
SURE: Final = 0.35
"""Confidence from which a reading of the boxes stands by itself."""

SPARE_GAIN: Final = 0.3
"""Log odds of a rhythm strip that only its ink shows, below the other rows."""

WHOLE_ROW_MM: Final = (14.0, 6.0)
"""Its ink begins and ends this close to the columns' outer ends; a pulse may stand before it."""
NEXT_ROW: Final = (0.6, 1.6)
"""The same in distances of the other rows."""
REGULAR_GAIN: Final = 0.5
"""Log odds of a row without boxes where the others leave room for it."""

_LIMB: Final[Names] = LEADS[:6]
_CHEST: Final[Names] = LEADS[6:]
_CABRERA: Final[Names] = ("aVL", "I", "-aVR", "II", "aVF", "III")


NAME_REACH_MM: Final = 14.0
"""Printed names stand so far above or below their lead's level at most."""
NAME_APART_MM: Final = 1.8
"""Names of one page stand at the same height above or below their leads but for this error."""
NAME_FAR: Final = 0.004
"""Of two heights that fit alike the nearer one, by so much a millimetre, is theirs."""
NAME_ALONG_MM: Final = 2.5
"""The same along x; they begin at one distance from their leads' beginning, and are of different length."""
BESIDE_MM: Final = (-4.0, -2.0, 9.0, 15.0)
"""A name's middle stands between the inner two beyond its lead's beginning, rarely between the outer two."""
MARGIN_MM: Final = 38.0
"""In the margin, before the first lead of a row, names stand so far away at most."""
MIN_BESIDE: Final = 0.2
"""Names that fit their place worse are no names of a lead."""
SURE_MINUS: Final = 0.8
"""Chance from which a name has a minus: far fewer pages print one than those from which it was learned."""
SURE_NAME: Final = 0.8
"""Chance from which a name tells of a lead that no box shows."""
NAMED_ONLY: Final = 0.6
"""Score of the box of such a lead."""
MIN_NAMED: Final = 0.34
"""Different names for each lead; fewer are something else, as heart beats are that look like an I."""
READ_WRONG: Final = 0.004
"""Chance that a name that was read clearly is wrong."""
PLACE_WEIGHT: Final = 0.4
"""How much a detector's opinion counts beside a printed name, as an exponent."""


class SeveralPagesError(EcgPageError):
    """The picture shows more than one ECG page."""


@dataclass(frozen=True)
class PrintedNames:
    """Names of leads that were read anywhere on a page."""

    places: Array
    """(m, 2) page mm, their middle."""
    chances: Array
    """(m, 12) of each name of ``ecg.LEADS``; what is missing to 1 is the chance of no name."""
    minus: Array
    """(m,) chance that it is "-aVR", of which ``chances`` has the name without sign."""


NO_NAMES: Final = PrintedNames(np.zeros((0, 2)), np.zeros((0, len(LEADS))), np.zeros(0))


@dataclass(frozen=True)
class PageBoxes:
    """What was seen on a page."""

    leads: Array
    """(n, 4) page mm."""
    scores: Array
    """(n,) 0 to 1."""
    names: Array
    """(n, 12) chance of each name of ``ecg.LEADS``, given that there is a lead."""
    pulses: Array
    """(m, 4) page mm, calibration pulses."""
    printed: PrintedNames = NO_NAMES
    """What is written."""
    speed_mm_per_s: float | None = None
    """As it is written; None when it is not."""
    gain_mm_per_mv: float | None = None
    wrong: Array | None = None
    """(n,) chance that a box's name is wrong; None for MISNAMED."""
    minus: NDArray[np.bool_] | None = None
    """(n,) whether a minus is written before the name; None where nothing is."""


@dataclass(frozen=True)
class Order:
    """Names of the cells of a layout."""

    cells: tuple[Names, ...]
    """Row by row from the top; "-aVR" is drawn upside down."""
    log_odds: float

    @property
    def columns(self) -> int:
        return len(self.cells[0])


@dataclass(frozen=True)
class Columns:
    """Columns of equal width: column k spans first_mm + k * pitch_mm to first_mm + k * pitch_mm + width_mm."""

    count: int
    first_mm: float
    pitch_mm: float
    width_mm: float

    @property
    def end_mm(self) -> float:
        return self.first_mm + (self.count - 1) * self.pitch_mm + self.width_mm

    @property
    def gap_mm(self) -> float:
        """Blank between columns."""
        return self.pitch_mm - self.width_mm if self.count > 1 else 0.0

    def span(self, column: int | None) -> tuple[float, float]:
        """Ends of a column, or of a strip over all of them (None)."""
        if column is None:
            return self.first_mm, self.end_mm
        start = self.first_mm + column * self.pitch_mm
        return start, start + self.width_mm


@dataclass(frozen=True)
class Cell:
    """One drawn lead."""

    lead: str
    row: int
    column: int | None
    """None over the full width."""
    is_strip: bool = False
    is_inverted: bool = False
    seen_mm: tuple[float, float] | None = None
    """Page x of the ends of its box; None when it was missed."""


@dataclass(frozen=True)
class Arrangement:
    """A reading of all boxes."""

    levels_mm: tuple[float, ...]
    """Page y of the rows, from the top."""
    columns: Columns
    cells: tuple[Cell, ...]
    score: float
    """Log odds, comparable among readings of one page."""
    confidence: float
    """0 to 1: how clearly the boxes say so."""
    missed: int
    """Cells whose box was missed."""
    misnamed: int
    """Cells whose box carried another name."""
    known_order: bool


def _by_columns(names: Names, rows: int) -> tuple[Names, ...]:
    return tuple(names[k::rows] for k in range(rows))


def _by_rows(names: Names, columns: int) -> tuple[Names, ...]:
    return tuple(names[k : k + columns] for k in range(0, len(names), columns))


def _grammar() -> tuple[Order, ...]:
    """Known orders; of equal ones the first."""
    orders = [Order(_by_columns(LEADS, 3), 0.0)]
    for names, odds in ((LEADS, -0.5), ((*_CABRERA, *_CHEST), -2.5)):
        orders += [Order(_by_columns(names, rows), odds) for rows in (3, 6, 12)]
        orders += [Order(_by_columns(names, rows), odds - 1.5) for rows in (4, 2)]
        orders += [Order(_by_rows(names, columns), odds - 2.0) for columns in (6, 4, 3, 2)]
    for names, odds in ((_LIMB, -2.0), (_CHEST, -2.0), (_CABRERA, -3.5)):
        orders += [Order(_by_columns(names, rows), odds) for rows in (6, 3, 2)]
        orders += [Order(_by_rows(names, columns), odds - 1.0) for columns in (2, 3)]
    return tuple({order.cells: order for order in reversed(orders)}.values())


GRAMMAR: Final = _grammar()
COUNTS: Final = tuple(sorted({order.columns for order in GRAMMAR}))


def arrange(boxes: PageBoxes, levels_mm: Array, spare_mm: Array | None = None) -> Arrangement:
    """The best reading of a page's boxes.

    ``levels_mm`` (n,): page y of the usual line of each box's lead, as far as known; ``spare_mm`` (m, 3): page y of rows of
    ink, whether boxes stand there or not, and page x where they begin and end. Raises ``EcgPageError`` when no lead was
    found, the boxes are those of several pages, or fit no layout.
    """
    boxes, levels_mm = merged(boxes, levels_mm)
    if not len(boxes.leads):
        raise EcgPageError("no lead was found on the page")
    _refuse_two_pages(boxes)
    spare_mm = np.zeros((0, 3)) if spare_mm is None else spare_mm
    apart_mm = _rows_apart(boxes.leads, levels_mm)
    row_of, rows_mm = _rows(boxes, levels_mm, spare_mm[:, 0], apart_mm)
    boxes, levels_mm = with_named_only(boxes, rows_mm[row_of], spare_mm[:, 0])
    row_of, rows_mm = _rows(boxes, levels_mm, spare_mm[:, 0], apart_mm)
    boxes = with_printed(boxes, rows_mm[row_of], spare_mm[:, 0])
    row_of, rows_mm = _with_spare(row_of, rows_mm, spare_mm[:, 0], apart_mm)
    readings: list[Arrangement] = []
    for count in COUNTS:
        for columns in _fit_columns(boxes.leads, boxes.scores, count):
            readings += _read_as(boxes, row_of, rows_mm, spare_mm, columns)
    if not readings:
        raise EcgPageError(f"{len(boxes.leads)} leads seen, which fit no layout")
    return max(readings, key=lambda reading: reading.score)


def merged(boxes: PageBoxes, levels_mm: Array) -> tuple[PageBoxes, Array]:
    """Boxes at one place as one, with the mean of their names, without those that show the ink of a surer one; the levels of
    those that stay.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    names = boxes.names.copy()
    weight = boxes.scores.copy()
    for k in order:
        same = [j for j in kept if overlap(boxes.leads[j], boxes.leads[k]) > SAME_PLACE]
        if not same:
            if not any(_same_ink(boxes.leads[j], boxes.leads[k]) for j in kept):
                kept.append(int(k))
            continue
        j = same[0]
        names[j] = (weight[j] * names[j] + boxes.scores[k] * names[k]) / (weight[j] + boxes.scores[k])
        weight[j] += boxes.scores[k]
    best = replace(boxes, leads=boxes.leads[kept], scores=boxes.scores[kept], names=names[kept])
    return best, levels_mm[kept]


@dataclass(frozen=True)
class _Beside:
    """How names are printed beside the boxes of a page."""

    fits: Array
    """(n, m) 0 to 1: how well each word fits for the name of each box."""
    down_mm: float
    """Usual distance of a name below its lead's level; less than 0 above."""
    along_mm: float
    """The same along x from its lead's beginning; NaN where names stand in the margin only."""


def _names_beside(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> _Beside | None:
    """Where names stand beside their leads, one place for all of a page; None when too few fit any. ``levels_mm`` (n,): the
    boxes' rows; ``ink_mm`` (k,): rows of ink.
    """
    printed = boxes.printed
    if not len(printed.places) or not len(boxes.leads):
        return None
    clear = printed.chances.sum(axis=1)
    inside, margin = (fits * clear for fits in _beside(boxes.leads, levels_mm, printed.places))  # (n, m)
    fits = np.maximum(inside, margin)
    down = printed.places[:, 1] - levels_mm[:, None]
    heights = np.arange(-NAME_REACH_MM, NAME_REACH_MM + 0.1, 0.5)
    near = np.exp(-0.5 * ((down - heights[:, None, None]) / NAME_APART_MM) ** 2)  # (heights, n, m)
    # halfway between rows names may belong to either; the looks of the leads tell
    alike = 1 + boxes.names @ printed.chances.T  # (n, m)
    score = (near * fits * alike).max(axis=2).sum(axis=1)
    away = printed.places[:, 1] - heights[:, None] - np.append(levels_mm, ink_mm)[:, None, None]
    has_row = np.exp(-0.5 * (np.abs(away).min(axis=0) / NAME_APART_MM) ** 2)  # (heights, m)
    score += (has_row * fits.max(axis=0)).sum(axis=1)
    chosen = int((score * (1 - NAME_FAR * np.abs(heights))).argmax())
    inside, margin = near[chosen] * inside, near[chosen] * margin
    first = margin.max(axis=1) > 0  # all first leads of rows have their names in the margin, or none
    in_margin = margin[first].max(axis=1, initial=0).sum() > inside[first].max(axis=1, initial=0).sum()
    best = np.where(first[:, None] & in_margin, margin, inside)
    along = printed.places[:, 0] - boxes.leads[:, :1]
    is_inside = along > BESIDE_MM[0]
    likely = np.where(is_inside, best, 0.0)
    named = likely.max(axis=1) > MIN_BESIDE
    usual = float("nan")
    if named.any():
        usual = float(np.median(along[named, likely[named].argmax(axis=1)]))
        best = best * np.where(is_inside, np.exp(-0.5 * ((along - usual) / NAME_ALONG_MM) ** 2), 1.0)
    words = best.argmax(axis=1)[best.max(axis=1) > MIN_BESIDE]
    if len(np.unique(printed.chances[words].argmax(axis=1))) < MIN_NAMED * len(best):
        return None
    return _Beside(best, float(heights[chosen]), usual)


def with_named_only(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> tuple[PageBoxes, Array]:
    """The boxes, and their levels, with those of leads that no box shows but a name that is read surely, in the usual place
    beside a row of ink (levels (m,) ``ink_mm``) where other leads begin.
    """
    beside = _names_beside(boxes, levels_mm, ink_mm)
    if beside is None:
        return boxes, levels_mm
    in_margin = bool(np.isnan(beside.along_mm))
    first_mm = float(boxes.leads[:, 0].min())
    clear = boxes.printed.chances.sum(axis=1)
    leads, levels = list(boxes.leads), list(levels_mm)
    for word in np.flatnonzero((clear > SURE_NAME) & (beside.fits.max(axis=0) < MIN_BESIDE)):
        x0, level = boxes.printed.places[word] - (beside.along_mm, beside.down_mm)
        if in_margin:
            x0 = first_mm if -MARGIN_MM < boxes.printed.places[word, 0] - first_mm < 0 else -np.inf
        near = np.abs(ink_mm - level) < NAME_APART_MM
        begins = np.abs(boxes.leads[:, 0] - x0) < POSITION_MM
        taken = begins & (np.abs(levels_mm - level) < ROW_APART_MM[0])
        if near.any() and begins.any() and not taken.any():
            level = float(ink_mm[near][np.abs(ink_mm[near] - level).argmin()])
            (start, end) = np.median(boxes.leads[begins][:, [0, 2]], axis=0)
            leads.append(np.array([start, level - HALF_BOX_MM, end, level + HALF_BOX_MM]))
            levels.append(level)
    more = len(leads) - len(boxes.leads)
    return replace(
        boxes,
        leads=np.array(leads),
        scores=np.append(boxes.scores, np.full(more, NAMED_ONLY)),
        names=np.concatenate([boxes.names, np.full((more, len(LEADS)), 1 / len(LEADS))]),
    ), np.array(levels)


def with_printed(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> PageBoxes:
    """The boxes with the names that are printed beside them; ``levels_mm`` (n,): their rows' page y;
    ``ink_mm`` (k,): that of rows of ink.

    All names of a page stand at one height above or below their leads, at one distance from their beginning or, of the first
    lead of a row, in the margin.
    """
    beside = _names_beside(boxes, levels_mm, ink_mm)
    if beside is None:
        return boxes
    printed, best = boxes.printed, beside.fits
    clear = printed.chances.sum(axis=1)
    names = boxes.names / np.maximum(1e-6, boxes.names.sum(axis=1, keepdims=True))
    wrong = np.full(len(names), MISNAMED)
    minus = np.zeros(len(names), np.bool_)
    for box, word in zip(*linear_sum_assignment(best, maximize=True), strict=True):
        if best[box, word] < MIN_BESIDE:
            continue
        read = printed.chances[word] + (1 - clear[word]) / len(LEADS)
        legible = float(printed.chances[word].max())
        both = (names[box] + 0.01) ** (1 - (1 - PLACE_WEIGHT) * legible) * (read + READ_WRONG)
        names[box] = both / both.sum()
        wrong[box] = READ_WRONG + (MISNAMED - READ_WRONG) * (1 - legible)
        minus[box] = printed.minus[word] > SURE_MINUS
    return replace(boxes, names=names, wrong=wrong, minus=minus)


def _beside(leads: Array, levels_mm: Array, places: Array) -> tuple[Array, Array]:
    """(n, m) 0 to 1: how well the words at ``places`` (m, 2) stand along x for names of the boxes (n, 4), and the same in the
    margin before the first lead of a row.
    """
    along = places[:, 0] - leads[:, :1]
    inside = np.interp(along, BESIDE_MM, (0.0, 1.0, 1.0, 0.0))
    same_row = np.abs(levels_mm[:, None] - levels_mm) < ROW_APART_MM[0]
    first = (same_row & (leads[:, 0] < leads[:, :1] - MIN_WIDTH_MM)).sum(axis=1) == 0
    margin = first[:, None] & (along <= 0) & (along > -MARGIN_MM)
    return inside, margin.astype(np.float64)


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _same_ink(a: Array, b: Array) -> bool:
    """Whether two boxes of different width stand on the same ink, of which one lead at most is drawn."""
    along, wider, high = SAME_INK
    narrow, wide = sorted((float(a[2] - a[0]), float(b[2] - b[0])))
    both = min(a[2], b[2]) - max(a[0], b[0])
    return (
        bool(both > along * narrow and wide > wider * narrow) and _shared((a[1], a[3]), (b[1], b[3])) > high
    )


def _shared(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union along x."""
    both = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, both / (max(a[1], b[1]) - min(a[0], b[0]) + 1e-9))


def _refuse_two_pages(boxes: PageBoxes) -> None:
    """``EcgPageError`` when half of the names stand at several places each; strips repeat three at most."""
    sure = boxes.scores > 0.5
    certain = boxes.names.max(axis=1) > 0.5
    counts = np.bincount(boxes.names[sure & certain].argmax(axis=1), minlength=len(LEADS))
    if (counts > 1).sum() > len(LEADS) // 2:
        raise SeveralPagesError("the picture shows several ECG pages; cut it into one picture for each page")


# ---------------------------------------------------------------------------------------------- rows and columns


def _rows_apart(leads: Array, levels_mm: Array) -> float:
    """Distance from which levels are those of different rows."""
    steps = [
        min(
            (
                abs(levels_mm[a] - levels_mm[b])
                for b in range(len(leads))
                if b != a and _above_each_other(leads[a], leads[b])
            ),
            default=0.0,
        )
        for a in range(len(leads))
    ]
    known = [step for step in steps if step > 0]
    return float(np.clip(ROW_APART_SHARE * np.median(known) if known else 0.0, *ROW_APART_MM))


def _rows(
    boxes: PageBoxes, levels_mm: Array, spare_mm: Array, apart_mm: float
) -> tuple[NDArray[np.intp], Array]:
    """Row of each box (n,) and the rows' levels from the top; boxes above each other are never in one row."""
    levels = levels_mm.copy()
    for _ in range(len(levels)):
        order = np.argsort(levels, kind="stable")
        starts = np.concatenate([[True], np.diff(levels[order]) > apart_mm])
        row_of = np.empty(len(levels), np.intp)
        row_of[order] = np.cumsum(starts) - 1
        rows_mm = np.array([np.median(levels[row_of == r]) for r in range(row_of.max() + 1)])
        group = _crowded(boxes.leads, levels, row_of)
        if not len(group):
            break
        moved = _one_below_another(
            boxes.leads[group], levels[group], _with_spare(row_of, rows_mm, spare_mm, apart_mm)[1]
        )
        if (moved == levels[group]).all():
            break
        levels[group] = moved
    return row_of, rows_mm


def _crowded(leads: Array, levels_mm: Array, row_of: NDArray[np.intp]) -> NDArray[np.intp]:
    """Boxes above each other, from the top, two of which are in one row or have their levels the wrong way round; none where
    all stand well.
    """
    # the level is the ink's, which may be another lead's; the box's middle, which may be off its level, is its own
    heights = (levels_mm + leads[:, [1, 3]].mean(axis=1)) / 2
    for a, b in itertools.combinations(range(len(leads)), 2):
        turned = (levels_mm[a] - levels_mm[b]) * (heights[a] - heights[b]) < 0
        if (row_of[a] == row_of[b] or turned) and _above_each_other(leads[a], leads[b]):
            group = np.array(
                [k for k in range(len(leads)) if k == a or _above_each_other(leads[a], leads[k])]
            )
            return group[np.argsort(heights[group], kind="stable")]
    return np.zeros(0, np.intp)


def _one_below_another(leads: Array, levels_mm: Array, rows_mm: Array) -> Array:
    """(n,) levels of boxes (n, 4) from the top, each in a row (m,) of its own within what the box allows, near the level it
    had, at regular distances: the cheapest way; a box that has no row keeps its level.
    """
    n, m = len(leads), len(rows_mm)
    low, high = leads[:, 1] + HALF_BOX_MM - ROW_SLACK_MM, leads[:, 3] - HALF_BOX_MM + ROW_SLACK_MM
    away = np.abs(rows_mm - levels_mm[:, None])  # (n, m)
    costs = np.minimum(away / ROW_APART_MM[0], 2.0)
    costs[(rows_mm < low[:, None]) | (rows_mm > high[:, None])] = np.inf
    pitch = float(np.median(np.diff(rows_mm))) if m > 1 else 1.0
    steps = (rows_mm - rows_mm[:, None]) / pitch  # (from, to)
    uneven = np.where(steps > 0, IRREGULAR * (steps - np.maximum(1, np.rint(steps))) ** 2, np.inf)
    best = np.zeros(m + 1)  # by the last row that was taken, the last entry: none yet
    best[:m] = np.inf
    came = np.zeros((n, m + 1), np.intp)
    for k in range(n):
        onward = best[:, None] + np.concatenate([uneven, np.zeros((1, m))])  # (m + 1, m)
        taken = onward.min(axis=0) + costs[k]
        left = best + NO_ROW
        came[k] = np.append(np.where(taken < left[:m], onward.argmin(axis=0), -1), -1)
        best = np.append(np.minimum(taken, left[:m]), left[m])
    levels = levels_mm.copy()
    last = int(best.argmin())
    for k in range(n - 1, -1, -1):
        if came[k, last] >= 0:
            levels[k] = rows_mm[last]
            last = int(came[k, last])
    return levels


def _above_each_other(a: Array, b: Array) -> bool:
    both = min(a[2], b[2]) - max(a[0], b[0])
    return bool(both > 0.5 * min(a[2] - a[0], b[2] - b[0]))


def _with_spare(
    row_of: NDArray[np.intp], rows_mm: Array, spare_mm: Array, apart_mm: float
) -> tuple[NDArray[np.intp], Array]:
    """Rows of ink without boxes, and rows that gaps leave room for, put among the others."""
    new = [float(y) for y in spare_mm if np.abs(rows_mm - y).min() > apart_mm]
    new += [y for y in _regular_places(rows_mm) if not any(abs(y - other) < apart_mm for other in new)]
    levels = np.concatenate([rows_mm, np.array(new)])
    order = np.argsort(levels, kind="stable")
    place = np.empty(len(levels), np.intp)
    place[order] = np.arange(len(levels))
    return place[row_of], levels[order]


def _regular_places(rows_mm: Array) -> list[float]:
    """Where rows would stand in gaps that are twice or three times as wide as usual."""
    steps = np.diff(rows_mm)
    if len(steps) < 2:
        return []
    usual = float(np.median(steps))
    places = []
    for y, step in zip(rows_mm, steps, strict=False):
        count = round(step / usual)
        places += [float(y + step * k / count) for k in range(1, count)] if count in (2, 3) else []
    return places


def _fit_columns(leads: Array, scores: Array, count: int) -> list[Columns]:
    """Columns through the edges of the boxes, least squares over those that fit, from each pair of outer edges that may be
    the page's; none when too few boxes fit.
    """
    found = []
    for left in _outer_edges(leads[:, 0], scores, first=True):
        for right in _outer_edges(leads[:, 2], scores, first=False):
            columns = _settled(leads, scores, Columns(count, left, *([(right - left) / count] * 2)))
            if columns is not None:
                found.append(columns)
    return found


def _settled(leads: Array, scores: Array, columns: Columns) -> Columns | None:
    for _ in range(6):
        if columns.width_mm < MIN_WIDTH_MM:
            return None
        found = [(k, _column_of(columns, box)) for k, box in enumerate(leads)]
        used = [(k, c) for k, c in found if c is not None]
        if not [c for _, c in used if c < columns.count] or len(used) < 0.4 * len(leads):
            return None
        columns = _least_squares(columns, leads, scores, used)
    return columns


def _column_of(columns: Columns, box: Array) -> int | None:
    """Column in which a box stands, ``count`` for one over all of them, None for neither."""
    spans = [columns.span(k) for k in range(columns.count)]
    spans += [columns.span(None)] if columns.count > 1 else []
    shared = [_shared((float(box[0]), float(box[2])), span) for span in spans]
    best = int(np.argmax(shared))
    return best if shared[best] > MIN_SHARE else None


def _outer_edges(edges: Array, scores: Array, *, first: bool) -> list[float]:
    """The outermost places where edges of boxes meet: of any box, and of several."""
    order = np.argsort(edges if first else -edges, kind="stable")
    places: list[float] = []
    for share in (0.0, 0.12):
        for k in order:
            near = np.abs(edges - edges[k]) < 4.0
            if scores[near].sum() >= share * scores.sum():
                place = float(np.average(edges[near], weights=scores[near]))
                places += [place] if not places or abs(place - places[0]) > 1.0 else []
                break
    return places


def _least_squares(columns: Columns, leads: Array, scores: Array, used: list[tuple[int, int]]) -> Columns:
    """First, pitch and width from the boxes ``used`` (box, column), large errors weighing less."""
    count = columns.count
    lines, values, weights = [], [], []
    for k, c in used:
        start, end = (c, c) if c < count else (0, count - 1)
        span = columns.span(c if c < count else None)
        lines += [[1.0, start, 0.0], [1.0, end, 1.0]]
        values += [leads[k, 0], leads[k, 2]]
        away = np.abs(leads[k, [0, 2]] - span)
        weight = scores[k] / (1 + (away / 2.0) ** 2)
        if c == count:
            weight[1] *= 0.02  # strips may or may not run on under gaps between columns
        weights += list(weight)
    lines.append([0.0, 1.0, -1.0])  # columns touch as far as the boxes leave it open
    values.append(0.0)
    weights.append(0.5 / (1 + columns.gap_mm**2) if count > 1 else 10.0)
    root = np.sqrt(np.array(weights))
    first, pitch, width = np.linalg.lstsq(
        np.array(lines) * root[:, None], np.array(values) * root, rcond=None
    )[0]
    return Columns(count, float(first), float(pitch), float(width))


# ---------------------------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class _Evidence:
    """What speaks for each cell of rows x columns, and for a strip in each row."""

    cell: Array
    """(rows, columns, 12) log odds that this lead is drawn there, of the best box; -MISSED without one."""
    strip: Array
    """(rows, 12) the same over the full width; -inf without a box."""
    box: NDArray[np.intp]
    """(rows, columns + 1, 12) that box, -1 without one; the last column: strips."""
    clear: Array
    """(rows, columns + 1, 12) 0 to 1: score times chance of the name of that box; the last column: strips."""
    has_box: NDArray[np.bool_]
    """(rows, columns + 1)."""
    is_read: NDArray[np.bool_]
    """(rows, columns + 1) whether a name is printed beside a box there."""
    stands: NDArray[np.bool_]
    """(n, rows, columns + 1) where each box stands."""


def _evidence(boxes: PageBoxes, row_of: NDArray[np.intp], n_rows: int, columns: Columns) -> _Evidence:
    count = columns.count
    best = np.full((n_rows, count + 1, len(LEADS)), -np.inf)
    clear = np.zeros((n_rows, count + 1, len(LEADS)))
    which = np.full(best.shape, -1)
    is_read = np.zeros(best.shape[:2], np.bool_)
    stands = np.zeros((len(boxes.leads), *best.shape[:2]), np.bool_)
    for k, box in enumerate(boxes.leads):
        for column in range(count + 1):
            span = columns.span(column if column < count else None)
            if _shared((float(box[0]), float(box[2])), span) <= MIN_SHARE:
                continue
            away = np.array([box[0] - span[0], box[2] - span[1]]) / POSITION_MM
            fits = np.exp(-0.5 * np.minimum(away**2, 6.0).sum() / 2)
            chance = boxes.names[k] / max(1e-6, boxes.names[k].sum())
            wrong = MISNAMED if boxes.wrong is None else boxes.wrong[k]
            odds = FOUND + np.log(wrong + (1 - wrong) * chance) + np.log(fits)
            stands[k, row_of[k], column] = True
            is_read[row_of[k], column] |= wrong < MISNAMED / 2
            value = boxes.scores[k] * odds
            better = value > best[row_of[k], column]
            best[row_of[k], column] = np.where(better, value, best[row_of[k], column])
            which[row_of[k], column][better] = k
            sure = boxes.scores[k] * chance * fits
            clear[row_of[k], column] = np.where(better, sure, clear[row_of[k], column])
    has_box = np.isfinite(best).any(axis=2)
    cell = np.where(np.isfinite(best[:, :count]), best[:, :count], -MISSED)
    return _Evidence(cell, best[:, count], which, clear, has_box, is_read, stands)


def _read_as(
    boxes: PageBoxes, row_of: NDArray[np.intp], rows_mm: Array, spare_mm: Array, columns: Columns
) -> list[Arrangement]:
    """All readings with these columns."""
    evidence = _evidence(boxes, row_of, len(rows_mm), columns)
    strip_odds = np.array([STRIP_NAMES.get(name, 0.0) for name in LEADS]) - STRIP_COST
    strip_gain = (evidence.strip + strip_odds).max(axis=1)
    if columns.count == 1:  # all rows are as long
        strip_gain = np.full(len(rows_mm), NO_STRIP)
    has_box = np.isin(np.arange(len(rows_mm)), row_of)
    regular = _regular_places(rows_mm[has_box])
    for row in np.flatnonzero(~has_box):
        level = rows_mm[row]
        if any(abs(level - y) < ROW_APART_MM[0] for y in regular):
            evidence.cell[row] += REGULAR_GAIN / columns.count
        ends = np.array([columns.first_mm, columns.end_mm])
        whole = (np.abs(spare_mm[:, 0] - level) < ROW_APART_MM[0]) & (
            np.abs(spare_mm[:, 1:] - ends) < WHOLE_ROW_MM
        ).all(axis=1)
        if columns.count > 1 and whole.any() and _is_next_below(level, rows_mm[has_box]):
            strip_gain[row] = SPARE_GAIN
    found = []
    for order in GRAMMAR:
        if order.columns == columns.count and len(order.cells) <= len(rows_mm):
            rows, strips, score = _align(order, evidence, strip_gain)
            cells = [
                Cell(name.removeprefix("-"), row, column, is_inverted=name.startswith("-"))
                for row, names in zip(rows, order.cells, strict=True)
                for column, name in enumerate(names)
            ]
            found.append((score + order.log_odds, cells, strips, True))
    found += _in_any_order(evidence, columns.count, strip_gain)
    readings = []
    for score, cells, strips, known in found:
        strip_cells = _strip_cells(evidence, strips, strip_odds)
        readings.append(_arrangement(boxes, rows_mm, columns, evidence, (*cells, *strip_cells), score, known))
    return readings


def _is_next_below(level_mm: float, rows_mm: Array) -> bool:
    """Whether a row stands below the others at about their distance."""
    usual = float(np.median(np.diff(rows_mm))) if len(rows_mm) > 1 else 0.0
    return bool(NEXT_ROW[0] * usual < level_mm - rows_mm[-1] < NEXT_ROW[1] * usual)


def _align(order: Order, evidence: _Evidence, strip_gain: Array) -> tuple[list[int], list[int], float]:
    """Rows that hold the order's rows, those that are strips, and the score: the best monotonic alignment."""
    index = [[LEADS.index(name.removeprefix("-")) for name in names] for names in order.cells]
    n_rows, need = len(strip_gain), len(order.cells)
    gain = np.array(
        [[evidence.cell[r, range(order.columns), names].sum() for names in index] for r in range(n_rows)]
    )
    worst = -1e9
    # best[i, s]: score with i rows of the order placed and s strips
    best = np.full((need + 1, MOST_STRIPS + 1), worst)
    best[0, 0] = 0.0
    choices: list[NDArray[np.intp]] = []
    for r in range(n_rows):
        options = np.full((3, *best.shape), worst)
        options[0] = best  # left out
        options[1, 1:] = best[:-1] + gain[r][:, None]
        options[2, :, 1:] = best[:, :-1] + strip_gain[r]
        choices.append(options.argmax(axis=0))
        best = options.max(axis=0)
    placed, strips_left = need, int(best[need].argmax())
    score = float(best[placed, strips_left])
    rows: list[int] = []
    strips: list[int] = []
    for r in range(n_rows - 1, -1, -1):
        choice = choices[r][placed, strips_left]
        if choice == 1:
            rows.append(r)
            placed -= 1
        elif choice == 2:
            strips.append(r)
            strips_left -= 1
    return rows[::-1], strips[::-1], score


def _in_any_order(
    evidence: _Evidence, count: int, strip_gain: Array
) -> list[tuple[float, list[Cell], list[int], bool]]:
    """The reading that follows the boxes' names alone, each name once."""
    filled = evidence.has_box[:, :count].sum(axis=1)
    rows = [r for r in range(len(filled)) if filled[r] >= max(1, count / 2)]
    if not rows:
        return []
    # no more rows than there are leads for: those that are seen best
    seen = evidence.clear[:, :count].sum(axis=(1, 2))
    rows = sorted(sorted(rows, key=lambda r: -seen[r])[: len(LEADS) // count])
    places = [(r, c) for r in rows for c in range(count)]
    gain = np.array([evidence.cell[r, c] for r, c in places])
    is_read = np.array([evidence.is_read[place] for place in places])
    if is_read.any():  # what follows from the place alone says little where places are not the usual ones
        best = gain.max(axis=1, keepdims=True)
        gain = np.where(is_read[:, None], gain, best - PLACE_WEIGHT * (best - gain))
    chosen, names = linear_sum_assignment(gain, maximize=True)
    cost = ANY_ORDER + (PRINTED_ORDER - ANY_ORDER) * float(is_read.mean())
    score = float(gain[chosen, names].sum()) - (cost if len(places) > 3 else 2.0)
    missed = [k for k in chosen if not evidence.has_box[places[k]]]
    cells = [
        Cell(LEADS[name], *places[k])
        for k, name in zip(chosen, names, strict=True)
        if k not in missed or (len(missed) == 1 and len(places) == len(LEADS))
    ]
    strips = [] if count == 1 else [r for r in range(len(filled)) if r not in rows and strip_gain[r] > 0]
    strips = strips[:MOST_STRIPS]
    return [(score + float(sum(strip_gain[r] for r in strips)), cells, strips, False)]


def _strip_cells(evidence: _Evidence, rows: list[int], strip_odds: Array) -> list[Cell]:
    """Strips in some rows under their likeliest names, each name once."""
    gain = np.maximum(evidence.strip[rows], -MISSED) + strip_odds
    chosen, names = linear_sum_assignment(gain, maximize=True)
    return [Cell(LEADS[name], rows[k], None, is_strip=True) for k, name in zip(chosen, names, strict=True)]


def _arrangement(
    boxes: PageBoxes,
    rows_mm: Array,
    columns: Columns,
    evidence: _Evidence,
    cells: tuple[Cell, ...],
    score: float,
    known: bool,
) -> Arrangement:
    """With the rows that are used, numbered from 0."""
    used = sorted({cell.row for cell in cells})
    missed = misnamed = 0
    clear: list[float] = []
    numbered: list[Cell] = []
    for cell in sorted(cells, key=lambda c: (c.is_strip, c.column or 0, c.row)):
        name = LEADS.index(cell.lead)
        place = (cell.row, columns.count if cell.is_strip else (cell.column or 0))
        chance = evidence.clear[place]
        clear.append(float(chance[name]))
        box = int(evidence.box[place][name])
        missed += box < 0
        misnamed += box >= 0 and int(chance.argmax()) != name
        seen = None if box < 0 else (float(boxes.leads[box, 0]), float(boxes.leads[box, 2]))
        turned = cell.is_inverted
        if not known and cell.lead == "aVR":
            turned = boxes.minus is not None and box >= 0 and bool(boxes.minus[box])
        numbered.append(replace(cell, row=used.index(cell.row), seen_mm=seen, is_inverted=turned))
    taken = np.zeros(evidence.stands.shape[1:], np.bool_)
    for cell in cells:
        taken[cell.row, columns.count if cell.is_strip else (cell.column or 0)] = True
    spare = boxes.scores[~(evidence.stands & taken).any(axis=(1, 2))]
    score -= float(np.log(spare / (1.01 - spare)).clip(0).sum())
    levels = tuple(float(rows_mm[row]) for row in used)
    confidence = float(np.mean(clear)) if clear else 0.0
    return Arrangement(levels, columns, tuple(numbered), score, confidence, missed, misnamed, known)
