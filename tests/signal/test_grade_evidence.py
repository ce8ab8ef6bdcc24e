"""Evidence of a page falls where something on it does not fit."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import NameEvidence, PageLayout, PrintedScales, Pulse, Row, ScaleEvidence, Segment
from ecgpage.signal.assembly import assemble
from ecgpage.signal.grade_evidence import PageEvidence, gather_evidence
from ecgpage.trace.reader import Trace
from tests.drawn import FS, lawful_record

SIDE_PX = 3000


def gather(
    *, shift_s: float = 0.0, lead: str = "III", layout: PageLayout | None = None, stretch: float = 1.0
) -> PageEvidence:
    """Evidence of a 6x2 page of 10 s, one lead of which was recorded ``shift_s`` later than it is taken to be."""
    traces = []
    for k, name in enumerate(LEADS):
        x0, start_s = (20.0, 0.0) if k < 6 else (145.0, 5.0)
        x_mm = x0 + np.arange(0, 125.0, 0.125)
        at_s = start_s + (x_mm - x0) / 25 + (shift_s if name == lead else 0.0)
        zero = 20.0 + 20.0 * (k % 6)
        y_mm = zero - 10 * np.interp(at_s, np.arange(5000) / FS, lawful_record()[:, k])
        segment = Segment(name, k % 6, x0, x0 + 125.0, start_s, 5.0, zero)
        traces.append(Trace(segment, x_mm, y_mm, "network", np.full(len(x_mm), 0.05), (x0, x0 + 125.0), 0.1))
    page = PageLayout([], [t.segment for t in traces], [], [], 25.0, 10.0, 0.95, scale_margin=8.0)
    if layout is not None:
        page = replace(layout, segments=page.segments)
    x, y = np.meshgrid(np.arange(0, 3000, 50.0) * stretch, np.arange(0, 2200, 50.0))
    grid = GridMap(np.stack([x, y], -1), (0.0, 0.0), np.ones(x.shape), 0.2, "5 mm lines")
    rows = [row_at(20.0 + 20.0 * k) for k in range(6)]
    page = replace(page, rows=rows)
    return gather_evidence(grid, page, traces, assemble(traces, page, FS, 5000), SIDE_PX, FS)


def row_at(level_mm: float) -> Row:
    x = np.arange(15.0, 275.0)
    return Row(x, np.full(len(x), level_mm), np.ones(len(x)))


def test_a_lead_at_another_time_breaks_beats_and_constraints() -> None:
    right, wrong = gather(), gather(shift_s=0.4)
    assert wrong.beats_agree < right.beats_agree - 0.3
    assert wrong.limb_leads < right.limb_leads - 0.3
    assert wrong.limb_sizes <= right.limb_sizes


def test_ends_that_the_network_sees_where_they_are_taken_to_be_speak_for_the_times() -> None:
    found = gather()
    assert (found.ends_agree, found.ends_near) == (0.0, 0.0)
    assert found.usual_total == pytest.approx(1.0)
    assert found.even_columns == 0.0
    assert found.all_leads == 1.0


def test_a_stretched_grid_and_print_of_another_scale_speak_against_the_scale() -> None:
    printed = ScaleEvidence(PrintedScales({}, {}, 50.0, (20.0, 20.0)), (("", Pulse(10.0, 20.0, 20.0, 0.9)),))
    doubtful = PageLayout([], [], [], [], 25.0, 10.0, 0.9, scale_evidence=printed, scale_margin=0.4)
    right, wrong = gather(), gather(layout=doubtful, stretch=1.1)
    for name in ("scale_margin", "square_grid", "read_speed", "read_gain", "pulse_heights"):
        assert getattr(wrong, name) < getattr(right, name), name


def test_names_given_by_place_alone_speak_against_the_names() -> None:
    poor = NameEvidence(0.5, 6, 3, False, 0.0, 0.9, False, 0.5)
    layout = PageLayout([], [], [], [], 25.0, 10.0, 0.4, name_evidence=poor)
    right, wrong = gather(), gather(layout=layout)
    for name in (
        "name_margin",
        "boxed",
        "alike",
        "usual_order",
        "read_names",
        "name_pattern",
        "explained",
        "confidence",
    ):
        assert getattr(wrong, name) < getattr(right, name), name
