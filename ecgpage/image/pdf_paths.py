"""Lines and words of a PDF page as the file holds them: no pixels, nothing known of ECGs.

Conventions:
    seen    the page as it is shown, turned and cropped: x right, y down, from its upper left corner, in points (1/72 inch)

PDFium gives the objects of a page with the matrix of each; forms are opened, also those in forms, and what clips cut off is
cut off here. Patterns, glyphs and shadings stay closed: PDFium does not give what they are made of.
"""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.image.line_clipping import Outline, clip_line

MOVE, LINE, CURVE = 2, 0, 1
"""Kinds of segments of a path (fpdfview.h: FPDF_SEGMENT_...); a curve takes three."""
CURVE_STEPS: Final = 8
"""Straight pieces that a Bezier curve is drawn by."""
MAX_DEPTH: Final = 16
"""Forms within forms that are opened; a form may hold itself."""
MAX_SEGMENTS: Final = 3_000_000
"""Segments of paths of a page from which it is not taken apart: a plan or a map, a minute of work."""
THIN_PT: Final = 1.2
"""Height, pt, up to which a filled rectangle counts as a line."""
WORD_GAP: Final = 0.35
"""Distance of two characters of one word, at most, as a share of their height."""
WORD_DOWN: Final = 0.5
"""Distance of the middles of two characters of one word across the direction of writing, likewise."""


@dataclass(frozen=True)
class Stroke:
    """One line, from where the pen is set down to where it is lifted."""

    points: Array
    """(n, 2) x, y, seen, pt; n >= 2."""
    colour: tuple[int, int, int]
    """RGB, 0 to 255."""
    width_pt: float


@dataclass(frozen=True)
class Word:
    """Characters that stand close together."""

    text: str
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1, seen, pt."""
    turn: int
    """Quarter turns, counter-clockwise, by which it is written: 0 from left to right, 1 upwards."""
    pitch_pt: float = 0.0
    """Mean distance, pt, from character to character; 0 for a single one."""


@dataclass(frozen=True)
class PageDrawing:
    """What a page is drawn of."""

    size_pt: tuple[float, float]
    """Width and height of the page as seen, pt."""
    strokes: list[Stroke] = field(repr=False)
    """All lines that are drawn, in the order of drawing."""
    words: list[Word] = field(repr=False)
    """All text, in the order of the file."""
    px_per_pt: float = 1.0
    """Pixels of the picture of the page to a point; its corner is that of the page."""

    @property
    def text(self) -> str:
        """All words with blanks between them."""
        return " ".join(word.text for word in self.words)

    def rotate(self, quarter_turns: int) -> "PageDrawing":
        """The page as seen after ``quarter_turns`` counter-clockwise turns by 90 degrees."""
        width, height = self.size_pt
        turns = quarter_turns % 4
        if not turns:
            return self
        strokes = [replace(s, points=_turn(s.points, turns, width, height)) for s in self.strokes]
        words = []
        for word in self.words:
            corners = _turn(np.reshape(word.box, (2, 2)), turns, width, height)
            (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
            words.append(replace(word, box=(x0, y0, x1, y1), turn=(word.turn + turns) % 4))
        size = (height, width) if turns % 2 else (width, height)
        return replace(self, size_pt=size, strokes=strokes, words=words)

    def to_pixels(self, points: Array, quarter_turns: int = 0) -> Array:
        """(n, 2) pixels of the picture of points (n, 2), where ``rotate(quarter_turns)`` gave this page."""
        turns = -quarter_turns % 4
        if turns:
            points = _turn(points, turns, *self.size_pt)
        return points * self.px_per_pt - 0.5


def _turn(points: Array, turns: int, width: float, height: float) -> Array:
    x, y = points[:, 0], points[:, 1]
    return np.stack([(y, width - x), (width - x, height - y), (height - y, x)][turns - 1], axis=1)


def read_drawing(page: Any) -> PageDrawing | None:
    """Lines and words of a page of pypdfium2; None where it has no lines, or too many.

    The caller holds ``PDFIUM``.
    """
    left, bottom, right, top = page.get_bbox()
    turns = page.get_rotation() // 90
    to_seen = _to_seen((left, bottom, right, top), turns)
    size = (right - left, top - bottom) if turns % 2 == 0 else (top - bottom, right - left)
    collector = _Collector()
    collector.collect_page(page, to_seen)
    if not collector.strokes or collector.left <= 0:
        return None
    frame = Outline(np.array([[0.0, 0.0], [size[0], 0.0], [size[0], size[1]], [0.0, size[1]]]))
    strokes = [
        Stroke(line, colour, width)
        for points, colour, width, clips in collector.strokes
        for line in _clip(points, [*clips, frame])
    ]
    return PageDrawing(size, strokes, read_words(page, to_seen, turns))


def _clip(points: Array, clips: list[Outline]) -> list[Array]:
    """Parts of a line within all outlines."""
    low, high = points.min(axis=0), points.max(axis=0)
    lines = [points]
    for clip in clips:
        if not (clip.is_box and (low >= clip.low).all() and (high <= clip.high).all()):
            lines = [part for line in lines for part in clip_line(line, clip)]
    return lines


def _to_seen(box: tuple[float, float, float, float], turns: int) -> Array:
    """(3, 2) matrix from the page's own points (y up) to those seen; ``turns``: clockwise quarter turns of the page."""
    left, bottom, right, top = box
    return np.array(
        [
            [[1.0, 0.0], [0.0, -1.0], [-left, top]],
            [[0.0, 1.0], [1.0, 0.0], [-bottom, -left]],
            [[-1.0, 0.0], [0.0, 1.0], [right, -bottom]],
            [[0.0, -1.0], [-1.0, 0.0], [top, right]],
        ][turns % 4]
    )


def _apply(points: Array, matrix: Array) -> Array:
    return points @ matrix[:2] + matrix[2]


def _chain(inner: Array, outer: Array) -> Array:
    """(3, 2) matrix that does first ``inner``, then ``outer``."""
    return np.vstack([inner[:2] @ outer[:2], inner[2] @ outer[:2] + outer[2]])


class _Collector:
    """Gathers the lines of a page and of its forms, as seen."""

    def __init__(self) -> None:
        from pypdfium2 import raw  # noqa: PLC0415 - the Challenge's set has no PDFium

        self._raw = raw
        self._x, self._y = ctypes.c_float(), ctypes.c_float()
        self.left = MAX_SEGMENTS
        self.strokes: list[tuple[Array, tuple[int, int, int], float, list[Outline]]] = []
        self._outlines: dict[bytes, Outline] = {}

    def collect_page(self, page: Any, to_seen: Array) -> None:
        """Take all objects of a page; ``to_seen`` (3, 2): from its own points to those seen."""
        raw = self._raw
        for k in range(raw.FPDFPage_CountObjects(page)):
            self._collect(raw.FPDFPage_GetObject(page, k), to_seen, [], 0)

    def _collect(self, thing: Any, outer: Array, clips: list[Outline], depth: int) -> None:
        raw = self._raw
        kind = raw.FPDFPageObj_GetType(thing)
        if kind == raw.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
            matrix = _chain(self._matrix(thing), outer)
            within = clips + self._clips(thing, outer)
            for k in range(raw.FPDFFormObj_CountObjects(thing)):
                self._collect(raw.FPDFFormObj_GetObject(thing, k), matrix, within, depth + 1)
        elif kind == raw.FPDF_PAGEOBJ_PATH and self.left > 0:
            self._collect_path(thing, outer, clips)

    def _collect_path(self, thing: Any, outer: Array, clips: list[Outline]) -> None:
        raw = self._raw
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(thing, fill, stroke)
        if not fill.value and not stroke.value:
            return
        count = raw.FPDFPath_CountSegments(thing)
        if not stroke.value and count > 6:
            return  # an area, no line
        self.left -= count
        matrix = _chain(self._matrix(thing), outer)
        lines = [
            _apply(np.array(points), matrix) for points in self._subpaths(thing, count) if len(points) > 1
        ]
        if not lines:
            return
        colour = [ctypes.c_uint() for _ in range(4)]
        get = raw.FPDFPageObj_GetStrokeColor if stroke.value else raw.FPDFPageObj_GetFillColor
        if not get(thing, *colour) or not colour[3].value:
            return
        red, green, blue, _ = (c.value for c in colour)
        width = ctypes.c_float()
        raw.FPDFPageObj_GetStrokeWidth(thing, width)
        own = clips + self._clips(thing, outer)
        (a, b), (c, d) = matrix[0].tolist(), matrix[1].tolist()
        scale = math.sqrt(abs(a * d - b * c))
        for line in lines:
            if stroke.value:
                self.strokes.append((line, (red, green, blue), width.value * scale, own))
            elif Outline(line).is_box:
                self._take_thin_box(line, (red, green, blue), own)

    def _take_thin_box(self, box: Array, colour: tuple[int, int, int], clips: list[Outline]) -> None:
        low, high = box.min(axis=0), box.max(axis=0)
        thin = int((high - low).argmin())
        if high[thin] - low[thin] <= THIN_PT < high[1 - thin] - low[1 - thin]:
            ends = np.array([low, high])
            ends[:, thin] = (low[thin] + high[thin]) / 2
            self.strokes.append((ends, colour, float(high[thin] - low[thin]), clips))

    def _subpaths(self, path: Any, count: int) -> Iterator[list[tuple[float, float]]]:
        """Points of each subpath, in the path's own units; curves as straight pieces, closed ones back at their start."""
        raw = self._raw
        yield from self._walk(
            (raw.FPDFPath_GetPathSegment(path, k) for k in range(count)),
        )

    def _walk(self, segments: Iterator[Any]) -> Iterator[list[tuple[float, float]]]:
        raw, x, y = self._raw, self._x, self._y
        get_point, get_type, get_close = (
            raw.FPDFPathSegment_GetPoint,
            raw.FPDFPathSegment_GetType,
            raw.FPDFPathSegment_GetClose,
        )
        to_x, to_y = ctypes.byref(x), ctypes.byref(y)
        points: list[tuple[float, float]] = []
        handles: list[tuple[float, float]] = []
        for segment in segments:
            kind = get_type(segment)
            get_point(segment, to_x, to_y)
            at = (x.value, y.value)
            if kind == MOVE:
                yield points
                points, handles = [at], []
            elif kind == CURVE:
                handles.append(at)
                if len(handles) == 3:
                    points += _flatten(points[-1] if points else handles[0], handles)
                    handles = []
            else:
                points.append(at)
            if get_close(segment) and points:
                points.append(points[0])
        yield points

    def _clips(self, thing: Any, outer: Array) -> list[Outline]:
        """Outlines within which an object is seen."""
        raw = self._raw
        clip = raw.FPDFPageObj_GetClipPath(thing)
        count = raw.FPDFClipPath_CountPaths(clip) if clip else 0
        found: list[Outline] = []
        for k in range(max(0, count)):
            n = raw.FPDFClipPath_CountPathSegments(clip, k)
            segments = (raw.FPDFClipPath_GetPathSegment(clip, k, j) for j in range(max(0, n)))
            outlines = [points for points in self._walk(segments) if len(points) > 2]
            if len(outlines) == 1:  # several are a pattern of holes: what is seen through them is not cut
                outline = _apply(np.array(outlines[0]), outer)
                key = outline.tobytes()
                if key not in self._outlines:  # most pages have a few, named again and again
                    self._outlines[key] = Outline(outline)
                found.append(self._outlines[key])
        return found

    def _matrix(self, thing: Any) -> Array:
        found = self._raw.FS_MATRIX()
        if not self._raw.FPDFPageObj_GetMatrix(thing, found):
            return np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        return np.array([[found.a, found.b], [found.c, found.d], [found.e, found.f]], np.float64)


def _flatten(start: tuple[float, float], handles: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of a Bezier curve behind its start."""
    t = np.linspace(0, 1, CURVE_STEPS + 1)[1:, None]
    a, b, c, d = (np.array(p) for p in (start, *handles))
    at = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return [(float(x), float(y)) for x, y in at]


def read_words(page: Any, to_seen: Array, turns: int) -> list[Word]:
    """Words of a page of pypdfium2; ``to_seen`` (3, 2): to the page as seen, ``turns``: its clockwise quarter turns."""
    from pypdfium2 import raw  # noqa: PLC0415

    holder = page.get_textpage()
    try:
        count = raw.FPDFText_CountChars(holder)
        letters: list[str] = []
        boxes: NDArray[np.float64] = np.zeros((max(0, count), 4))
        angles: list[float] = []
        edges = [ctypes.c_double() for _ in range(4)]
        for k in range(max(0, count)):
            letters.append(chr(max(0, min(raw.FPDFText_GetUnicode(holder, k), 0x10FFFF))))
            raw.FPDFText_GetCharBox(holder, k, *edges)  # left, right, bottom, top
            boxes[k] = [e.value for e in edges]
            angles.append(raw.FPDFText_GetCharAngle(holder, k))  # clockwise
    finally:
        holder.close()
    if not letters:
        return []
    first, second = _apply(boxes[:, [0, 2]], to_seen), _apply(boxes[:, [1, 3]], to_seen)
    boxes = np.hstack([np.minimum(first, second), np.maximum(first, second)])
    return list(_group(letters, boxes, [(-round(a / (math.pi / 2)) - turns) % 4 for a in angles]))


def _group(letters: list[str], boxes: NDArray[np.float64], turns: list[int]) -> Iterator[Word]:
    """Words of characters in the order of the file."""
    word: list[int] = []
    for k, letter in enumerate(letters):
        blank = letter.isspace() or not letter.isprintable() or letter == "\u00a0"
        if word and (blank or not _continues(boxes[word[-1]], boxes[k], turns[word[-1]], turns[k])):
            yield _make_word(letters, boxes, turns, word)
            word = []
        if not blank:
            word.append(k)
    if word:
        yield _make_word(letters, boxes, turns, word)


def _continues(last: NDArray[np.float64], new: NDArray[np.float64], before: int, turn: int) -> bool:
    """Whether a character stands close behind another in the direction of writing."""
    if before != turn:
        return False
    along = 0 if turn % 2 == 0 else 1
    across = 1 - along
    height = max(last[across + 2] - last[across], new[across + 2] - new[across], 1e-3)
    gap = new[along] - last[along + 2] if turn in (0, 3) else last[along] - new[along + 2]
    middle = abs(new[across] + new[across + 2] - last[across] - last[across + 2]) / 2
    return bool(-height < gap < WORD_GAP * height and middle < WORD_DOWN * height)


def _make_word(letters: list[str], boxes: NDArray[np.float64], turns: list[int], word: list[int]) -> Word:
    own = boxes[word]
    box = (*map(float, own[:, :2].min(axis=0)), *map(float, own[:, 2:].max(axis=0)))
    pitch = float(np.abs(own[-1, :2] - own[0, :2]).max()) / max(1, len(word) - 1)
    text = "".join(letters[k] for k in word)
    return Word(text, (box[0], box[1], box[2], box[3]), turns[word[0]], pitch)
