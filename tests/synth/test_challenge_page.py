"""The challenge preset draws what the Challenge's own generator draws.

``pages/`` holds three of its pages at 200 dpi: picture, drawn position of each sample, masked signal.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.synth import DrawnPage, draw_challenge_page

PAGES = Path(__file__).parents[1] / "pages"
RECORDS = {"plain": "00008_hr", "black_and_white": "00010_hr", "no_pulse": "00017_hr"}
HEADER = {"ID": "00008_hr", "Name": "", "Date": ", ", "Age": "56", "Sex": "Female", "Weight": "63"}


@dataclass(frozen=True)
class Golden:
    image: NDArray[np.uint8]
    truth: dict[str, Any]
    signal: NDArray[np.float64]
    drawn: DrawnPage


@pytest.fixture(scope="module", params=sorted(RECORDS))
def golden(request: pytest.FixtureRequest) -> Golden:
    path = PAGES / request.param / RECORDS[request.param]
    with gzip.open(f"{path}-0.json.gz") as file:
        truth = json.load(file)
    signal, fields = wfdb.rdsamp(str(path))
    assert tuple(fields["sig_name"]) == LEADS
    drawn = draw_challenge_page(
        signal, fields["fs"], header=HEADER, pulse=truth["dc_pulse"], black_and_white=truth["bw"],
        print_header=truth["printed_text"], ink=tuple(truth["ecg_plot_color"]),
    )  # fmt: skip
    image = cv2.imread(f"{path}-0.png", cv2.IMREAD_COLOR)
    return Golden(image[..., ::-1], truth, signal, drawn)


def test_traces_lie_where_the_generator_draws_them(golden: Golden) -> None:
    segments = {(s.lead, s.start, s.stop): s for s in golden.drawn.truth.segments}
    assert len(segments) == len(golden.truth["leads"]) == 13
    for lead in golden.truth["leads"]:
        ours = segments[lead["lead_name"], lead["start_sample"], lead["end_sample"]]
        # the file gives row, column, rounded to 0.01, counted from the pixel's edge
        theirs = np.array(lead["plotted_pixels"])[:, ::-1] - 0.5
        np.testing.assert_allclose(ours.xy, theirs, atol=0.006)
        assert ours.name_box is not None
        left, bottom = ours.name_box[0], ours.name_box[3]
        corner = lead["text_bounding_box"]["0"]
        assert abs(left - corner[1]) < 5
        assert corner[0] < bottom < corner[0] + 31


@pytest.mark.medium
def test_grid_is_on_the_same_pixels(golden: Golden) -> None:
    difference = np.abs(golden.image.astype(int) - golden.drawn.image).max(axis=2)
    ink = (golden.image.max(axis=2) < 100) | (golden.drawn.image.max(axis=2) < 100)
    free = cv2.dilate(ink.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert free.mean() > 0.85
    assert difference[free].max() <= 2  # rounding of two blends


def test_separators_and_pulses_are_on_the_same_pixels(golden: Golden) -> None:
    theirs, ours = (np.asarray(i)[..., 0] < 60 for i in (golden.image, golden.drawn.image))
    for x in (610, 1102, 1594) if golden.truth["dc_pulse"] else (571, 1063, 1555):
        for y in (710, 993, 1276):
            window = np.s_[y - 32 : y + 32, x - 3 : x + 3]
            assert (theirs[window].sum(), ours[window].sum()) > (300, 300)
            assert np.count_nonzero(theirs[window] != ours[window]) <= 3
    if golden.truth["dc_pulse"]:
        window = np.s_[620:700, 70:125]
        assert np.count_nonzero(theirs[window] != ours[window]) <= 6


def test_trace_ink_agrees(golden: Golden) -> None:
    # the rhythm strip's band right of the pulse and the name
    window = np.s_[1440:1570, 200:2080]
    theirs, ours = (255 - i[window][..., 0].astype(int) for i in (golden.image, golden.drawn.image))
    assert abs(theirs[theirs > 30].sum() / ours[ours > 30].sum() - 1) < 0.025
    assert np.mean(np.abs(theirs - ours) > 64) < 0.003


def test_reference_is_masked_as_the_generator_masks_it(golden: Golden) -> None:
    np.testing.assert_array_equal(np.isfinite(golden.drawn.masked_signal), np.isfinite(golden.signal))
