"""Model of a page as any device or viewer prints it: ``page.model`` with panels of grid, and words of any kind.

Conventions:
    page          millimetres of the trace: 25 mm along x are 1 s at 25 mm/s, 10 mm along y are 1 mV at 10 mm/mV
    printed mm    millimetres of the printed grid; they differ from the page's where a device prints its grid too wide
"""

from dataclasses import dataclass, field
from typing import Literal

from ecgpage.synth.page.model import Box, Color, Page, Segment, Text

LineKind = Literal["lines", "dots", "dashes", "none"]
ColumnTimes = Literal["consecutive", "simultaneous", "whole record"]
"""Times of the columns: one after the other; all from one instant on; all from one instant on and each the whole record."""
StripTimes = Literal["none", "same", "other"]
"""Time of the rhythm strips: no strips, that of the columns, or another."""
LabelKind = Literal[
    "scale", "header", "measurement", "interpretation", "footer", "tick", "axis", "brand", "note", "screen"
]


@dataclass(frozen=True)
class GridStyle:
    """Printed grid; lengths in printed mm."""

    major: Color = (230.0, 120.0, 130.0)
    minor: Color = (247.0, 200.0, 205.0)
    major_kind: LineKind = "lines"
    """5-mm lines; "dots" are closer than those of the millimetres."""
    minor_kind: LineKind = "lines"
    """1-mm lines; "dots" stand at the crossings alone."""
    major_width: float = 0.2
    minor_width: float = 0.1
    dot_step: float = 0.5
    """Distance of the dots along a dotted 5-mm line."""
    dash: tuple[float, float] = (0.5, 0.5)
    """Lengths of a dash and of the gap behind it."""
    heavy_step: float = 0.0
    """Distance of lines drawn more than twice as wide; 0 for none."""
    snap: bool = True
    """Whether lines and dots lie on whole pixels and are at least one pixel wide."""
    dropout: float = 0.0
    """Share of the grid, 0 to 1, that is lost in patches, as on copies and faxes."""


@dataclass(frozen=True)
class GridPanel:
    """Part of a page with a grid of its own."""

    box: Box
    """Printed part, page mm."""
    origin: tuple[float, float]
    """A crossing of two 5-mm lines, page mm, from which all others are counted."""
    style: GridStyle
    pitch: tuple[float, float] = (1.0, 1.0)
    """Page mm per printed mm along x and y."""
    fill: Color | None = None
    """Colour under the grid; None: the paper's."""


@dataclass(frozen=True)
class Label(Text):
    """Printed text that is not the name of a drawn lead."""

    kind: LabelKind = "header"
    turned: bool = False
    """Whether it runs upwards; its start is then at the bottom."""


@dataclass(frozen=True)
class Place:
    """Place of a segment among the others, and how it is drawn."""

    row: int
    """Number of the row from the top, strips included."""
    column: int | None
    """Number of the column from the left; None for a strip."""
    clip: Box | None = None
    """Part of the page, mm, beyond which the trace is not drawn; None for the whole."""
    ink: Color | None = None
    """Colour of the trace; None: the page's ink."""


@dataclass(frozen=True)
class Frame:
    """Outline of a box; lengths in mm."""

    box: Box
    width: float = 0.25
    color: Color | None = None
    """The page's ink when None."""


@dataclass(frozen=True)
class DevicePage(Page):
    """Page of any device or viewer. ``grid`` is None: the panels hold the grids; ``texts`` are labels."""

    panels: tuple[GridPanel, ...] = ()
    frames: tuple[Frame, ...] = ()
    places: tuple[Place, ...] = ()
    """Place of each segment."""
    name_ink: Color | None = None
    """Colour of the leads' names; None: the page's ink."""
    crisp: bool = False
    """Whether lines and traces are at least one pixel wide, as on screens."""
    jagged: bool = False
    """Whether traces are drawn without anti-aliasing."""
    stretch: tuple[float, float] = (1.0, 1.0)
    """Factors of the picture's scale along x and y: printers feed paper a little too fast or slowly."""
    px_per_mm: float = 8.0
    """Scale, px/mm, at which the device draws."""
    column_times: ColumnTimes = "consecutive"
    strip_times: StripTimes = "none"
    choices: dict[str, str] = field(default_factory=dict)
    """What was chosen of each kind of look, for counting."""

    def printed_name(self, segment: Segment) -> Text | None:
        """Printed name of a segment; None where it has none."""
        if segment.name_at is None:
            return None
        return Text(
            segment.name or segment.lead, *segment.name_at, self.name_size, self.name_font, self.name_ink
        )
