"""A drawing in millimetres of lines, boxes and text, written as SVG or painted as a picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image as PilImage

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.export.canvas import Colour, draw_lines, fill, paint, write

Anchor = Literal["start", "middle", "end"]
"""Which end of a text stands at its place."""
MM_PER_INCH: Final = 25.4
"""Millimetres to an inch."""
SHARPNESS: Final = 2
"""Decimals, of mm, of positions in SVG: 1 uV at 10 mm/mV."""


@dataclass(frozen=True)
class Lines:
    """Lines of one colour and width; each stays apart in SVG, with ``data`` as its attributes."""

    points: Sequence[Array]
    """(n, 2) x, y of each line, mm."""
    colour: Colour
    width_mm: float
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    corner: tuple[float, float]
    """Left and upper edge, mm."""
    size: tuple[float, float]
    """Width and height, mm."""
    colour: Colour


@dataclass(frozen=True)
class Text:
    """One line of text."""

    text: str
    place: tuple[float, float]
    """Position of its anchor on the baseline, mm."""
    size_mm: float
    """Size of the font; capital letters are 0.7 of it high."""
    colour: Colour
    anchor: Anchor = "start"


@dataclass(frozen=True)
class Drawing:
    """Shapes from the lowest to the uppermost, on white; x right, y down, mm."""

    size_mm: tuple[float, float]
    """Width and height."""
    shapes: Sequence[Lines | Box | Text]
    title: str = ""
    """What it shows, for readers that cannot see it."""

    def to_svg(self) -> str:
        """SVG document of the size in millimetres."""
        width, height = (_number(v) for v in self.size_mm)
        body = "\n".join(_to_svg(shape) for shape in self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" '
            f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">\n'
            f"<title>{escape(self.title)}</title>\n{body}\n</svg>\n"
        )

    def to_image(self, px_per_mm: float = 8.0) -> Image:
        """Picture uint8 (h, w, 3) RGB."""
        width, height = (round(v * px_per_mm) for v in self.size_mm)
        canvas = np.full((height, width, 3), 255, np.uint8)
        for shape in self.shapes:
            _paint(canvas, shape, px_per_mm)
        return canvas

    def save(self, path: str | Path, *, px_per_mm: float = 8.0) -> Path:
        """Write an SVG or PNG file, by the suffix; ``px_per_mm``: resolution of PNG.

        Raises ``EcgPageError`` when the suffix is another one or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() == ".svg":
            content = self.to_svg().encode("utf-8")
        elif path.suffix.lower() == ".png":
            file = io.BytesIO()
            dpi = px_per_mm * MM_PER_INCH
            PilImage.fromarray(self.to_image(px_per_mm)).save(file, "PNG", dpi=(dpi, dpi))
            content = file.getvalue()
        else:
            raise EcgPageError(f"{path}: no known kind of picture; name it .svg or .png")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise EcgPageError(
                f"{path}: cannot be written ({error.strerror}); choose another folder"
            ) from error
        return path

    def _repr_svg_(self) -> str:
        """What notebooks show."""
        return self.to_svg()


def _to_svg(shape: Lines | Box | Text) -> str:
    if isinstance(shape, Box):
        (x, y), (width, height) = shape.corner, shape.size
        return (
            f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}" '
            f'fill="{_hex(shape.colour)}"/>'
        )
    if isinstance(shape, Text):
        x, y = shape.place
        return (
            f'<text x="{_number(x)}" y="{_number(y)}" font-size="{_number(shape.size_mm)}" '
            f'fill="{_hex(shape.colour)}" text-anchor="{shape.anchor}">{escape(shape.text)}</text>'
        )
    data = "".join(f" data-{name}={quoteattr(value)}" for name, value in shape.data.items())
    style = (
        f'fill="none" stroke="{_hex(shape.colour)}" stroke-width="{_number(shape.width_mm)}" '
        'stroke-linejoin="round"'
    )
    if all(len(points) == 2 for points in shape.points):  # a grid: one path is a tenth of as many elements
        steps = "".join(
            f"M{_number(x0)} {_number(y0)}L{_number(x1)} {_number(y1)}" for (x0, y0), (x1, y1) in shape.points
        )
        return f'<path d="{steps}" {style}{data}/>'
    return "\n".join(
        f'<polyline points="{" ".join(f"{_number(x)},{_number(y)}" for x, y in points)}" {style}{data}/>'
        for points in shape.points
    )


def _paint(canvas: Image, shape: Lines | Box | Text, px_per_mm: float) -> None:
    def place(points: Array) -> Array:
        return points * px_per_mm - 0.5  # the edge of the paper is that of the first pixel

    if isinstance(shape, Lines):
        lines = [place(np.asarray(points, np.float64)) for points in shape.points]
        draw_lines(canvas, lines, shape.colour, shape.width_mm * px_per_mm)
    elif isinstance(shape, Box):
        (x, y), (width, height) = shape.corner, shape.size
        corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
        paint(canvas, fill(canvas.shape[:2], place(corners)), shape.colour)
    else:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
        x, y = place(np.array(shape.place))
        write(
            canvas, shape.text, (float(x), float(y)), shape.size_mm * px_per_mm, shape.colour, anchor=anchor
        )


def _number(value: float) -> str:
    return f"{value:.{SHARPNESS}f}".rstrip("0").rstrip(".")


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
