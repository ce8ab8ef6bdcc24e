"""Page of the Challenge's own generator: 3x4 leads of 2.5 s, a 10-s strip of lead II, landscape letter.

The geometry was measured on pages of that generator; ``tests/pages`` holds three.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.layout.known_layouts import LAYOUT_OF
from ecgpage.synth.page.model import BLACK, MM_PER_POINT, Color, Grid, Page, Paper, Pulse, Segment, Text, Tick

SPEED = 25.0
"""Paper speed, mm/s."""
GAIN = 10.0
"""Gain, mm/mV."""
MARGIN = 10.0
"""Page x, mm, of the first column."""
PULSE_WIDTH = 5.0
"""Width, mm, of a pulse (0.2 s), by which every row starts later where pulses are drawn."""
COLUMNS = LAYOUT_OF["3x4"].columns
"""Leads of each column, from the top."""
ROW_STEP = 215.9 / 6
"""Distance, mm, of neighbouring rows."""
STRIP_BASELINE = 215.9 - 0.5 * ROW_STEP - 3.0
"""Page y, mm, of the strip's 0-mV line."""
TICK_HALF = 3.125
"""Half the length, mm, of a separator; within 0.04 mm of the reference pages."""
HEADER_CELLS = (
    ("ID", 0, 0, "ID: {}"),
    ("Name", 0, 1, "Name: {}"),
    ("Date", 0, 2, "Date: {}"),
    ("Age", 1, 0, "Age: {} yrs"),
    ("Height", 1, 1, "Height: {} cm"),
    ("Weight", 1, 2, "Weight: {} kg"),
    ("Sex", 2, 0, "Sex: {}"),
)
"""Cells of the printed header: key, column, line, text."""

GRID_COLORS: dict[str, tuple[Color, Color]] = {
    "brown": ((108.885, 49.98, 46.92), (149.94, 107.1, 100.98)),
    "pink": ((255.0, 202.98, 220.83), (253.98, 236.895, 248.115)),
    "blue": ((0.0, 0.0, 102.0), (0.0, 0.0, 178.5)),
    "green": ((0.0, 76.5, 0.0), (0.0, 204.0, 76.5)),
    "red": ((255.0, 0.0, 0.0), (253.98, 223.0, 218.99)),
    "grey": ((102.0, 102.0, 102.0), (191.25, 191.25, 191.25)),
}
"""Major and minor lines of the generator's palettes."""


def challenge_page(
    n_samples: int,
    fs: float,
    *,
    lead_names: Sequence[str] = LEADS,
    header: Mapping[str, str] | None = None,
    pulse: bool = True,
    grid: Grid | None = None,
    ink: Color = BLACK,
    strip_lead: str = "II",
) -> Page:
    """Model of the generator's page for a record of ``n_samples`` at ``fs`` Hz; the first 10 s are drawn."""
    channel = {lead.lower(): k for k, lead in enumerate(lead_names)}
    total = min(n_samples, round(10 * fs))
    left = MARGIN + (PULSE_WIDTH if pulse else 0.0)
    mm_per_sample = SPEED / fs
    segments: list[Segment] = []
    ticks: list[Tick] = []
    for column, leads in enumerate(COLUMNS):
        start, stop = (round(total * k / 4) for k in (column, column + 1))
        for row, lead in enumerate(leads):
            baseline = (2.5 + row) * ROW_STEP
            x0 = left + start * mm_per_sample
            name_at = (x0, baseline + 7.0)
            segments.append(
                Segment(lead, channel[lead.lower()], start, stop, x0, baseline, GAIN, name_at=name_at)
            )
            if column:
                ticks.append(Tick(x0, baseline - TICK_HALF, baseline + TICK_HALF))
    segments.append(
        Segment(
            strip_lead, channel[strip_lead.lower()], 0, total, left, STRIP_BASELINE, GAIN, strip=True,
            name_at=(left, STRIP_BASELINE + 8.0),
        )
    )  # fmt: skip
    rows = [(s.lead, s.baseline) for s in segments if s.start == 0]
    return Page(
        layout="3x4+1",
        fs=fs,
        paper=Paper(frame=0.8 * MM_PER_POINT),
        grid=grid or Grid(*GRID_COLORS["red"]),
        ink=ink,
        segments=tuple(segments),
        pulses=tuple(generator_pulse(MARGIN, y, fs, lead) for lead, y in rows) if pulse else (),
        separators=tuple(ticks),
        texts=(
            Text("25mm/s", 2 * SPEED, 215.9 - 5.0),
            Text("10mm/mV", 4 * SPEED, 215.9 - 5.0),
            *(_header_texts(header) if header is not None else ()),
        ),
    )


def generator_pulse(x0: float, baseline: float, fs: float, lead: str | None = None) -> Pulse:
    """Pulse of 0.2 s and 1 mV, drawn sample by sample: its flanks lean by one sample, like the generator's."""
    top = round(0.2 * fs)
    height = np.concatenate([[0.0, 0.0], np.ones(top), [0.0, 0.0]])
    x = x0 + np.arange(len(height), dtype=np.float64) * (SPEED / fs)
    return Pulse(x, baseline - height * GAIN, lead=lead)


def _header_texts(header: Mapping[str, str]) -> tuple[Text, ...]:
    return tuple(
        Text(form.format(header[key]), 1.25 + 75.0 * column, 5.875 + 5.0 * row)
        for key, row, column, form in HEADER_CELLS
        if key in header
    )


def invent_patient(rng: np.random.Generator) -> dict[str, str]:
    """Invented patient for the printed header."""
    date = f"{rng.integers(1, 29):02d}-{rng.integers(1, 13):02d}-{rng.integers(1984, 2025)}"
    cells = {
        "ID": f"{rng.integers(1, 100000):05d}",
        "Name": "",
        "Date": f"{date}, {rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}",
        "Age": str(rng.integers(18, 95)),
        "Sex": str(rng.choice(["Male", "Female"])),
    }
    if rng.random() < 0.5:
        cells["Weight"] = str(rng.integers(40, 130))
    if rng.random() < 0.4:
        cells["Height"] = str(rng.integers(145, 200))
    return cells


def random_grid_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    """Random colours by the generator's rule: reddish to greenish dark lines."""
    red, green, blue = 255 * rng.uniform(0, (0.8, 0.5, 0.5))
    more_red, minor_green, minor_blue = 255 * rng.uniform(0, (0.2, 0.5, 0.5))
    return (red, green, blue), (red + more_red, minor_green, minor_blue)
