"""One call reads a picture: by path, bytes or array; what cannot be read says why, what is no picture raises."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgpage import Digitization, EcgPageError, Reader, read_image
from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.core.shipped_weights import find_weights
from ecgpage.reader import complete_each_other
from ecgpage.results import RecordReading
from ecgpage.signal.types import LeadReading
from helper_code import load_signals

pytestmark = pytest.mark.medium  # the first test loads the networks

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "input" / "01226_hr-0.jpg"
SCAN = ROOT / "examples" / "input" / "887374646-0.png"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(device="cpu")


@pytest.fixture(scope="module")
def photo(reader: Reader) -> Digitization:
    return reader.digitize(PHOTO)


@pytest.fixture(scope="module")
def scan(reader: Reader) -> Digitization:
    return reader.digitize(SCAN.read_bytes(), fs=250.0)


@pytest.fixture(scope="module")
def blank(reader: Reader) -> Digitization:
    return reader.digitize(np.full((800, 1100), 255, np.uint8), fs=100.0, seconds=4.0)


# a page that is read


def test_the_photo_is_read_whole(photo: Digitization) -> None:
    assert (photo.status, photo.reasons, photo.lead_reasons) == ("ok", (), {})
    assert photo.signal.shape == (5000, 12)
    assert photo.signal.dtype == np.float32
    assert photo.leads == LEADS == tuple(photo.readings)


def test_the_photo_agrees_with_its_true_signals(photo: Digitization) -> None:
    truth, fields = load_signals(str(ROOT / "examples" / "reference" / "01226_hr"))
    assert truth is not None
    assert fields is not None
    assert fields["fs"] == photo.fs
    order = [[name.lower() for name in fields["sig_name"]].index(lead.lower()) for lead in LEADS]
    error = photo.signal - truth[:, order]
    off = np.nanmedian(np.abs(error - np.nanmedian(error, axis=0)), axis=0)  # mV; the level is not printed
    assert off.max() < 0.05


def test_the_photo_gets_probabilities_and_labels(photo: Digitization) -> None:
    assert photo.labels == ("NORM",)
    assert tuple(photo.probabilities) == CLASSES
    assert all(0 <= p <= 1 for p in photo.probabilities.values())
    assert photo.probabilities["NORM"] > 0.5


def test_the_photo_says_how_good_each_lead_is(photo: Digitization) -> None:
    assert set(photo.expected_snr_db) == set(LEADS)
    assert min(photo.expected_snr_db.values()) > 5.0


def test_the_layout_of_the_photo_has_scale_and_every_lead(photo: Digitization) -> None:
    assert photo.layout is not None
    assert (photo.layout.speed_mm_per_s, photo.layout.gain_mm_per_mv) == (25.0, 10.0)
    assert {s.lead for s in photo.layout.segments} == set(LEADS)


def test_the_grid_of_the_photo_leads_to_its_ink(photo: Digitization) -> None:
    assert photo.layout is not None
    assert photo.grid is not None
    assert photo.page is not None
    grey = cv2.cvtColor(read_image(PHOTO), cv2.COLOR_RGB2GRAY)
    darkest_near = cv2.erode(grey, np.ones((3, 3), np.uint8))
    for trace in photo.page.traces:
        found = np.isfinite(trace.y_mm)
        x, y = photo.grid.to_image(trace.x_mm[found], trace.y_mm[found])
        at_trace = darkest_near[np.rint(y).astype(int), np.rint(x).astype(int)]
        assert at_trace.mean() < np.median(grey) - 30, trace.segment.lead


def test_bytes_are_read_at_the_rate_that_is_asked_for(scan: Digitization) -> None:
    assert (scan.status, scan.fs, scan.signal.shape) == ("ok", 250.0, (2500, 12))
    assert scan.labels == ("NORM",)


def test_everything_that_the_readme_asks_of_a_reading_is_there(photo: Digitization) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Reader()" in b)
    asked = set(re.findall(r"\bfound\.(\w+)", block))
    assert {"signal", "status", "labels"} <= asked
    assert [name for name in asked if not hasattr(photo, name)] == []
    assert 'digitize("examples/input/' + PHOTO.name in block


def test_a_plot_of_the_scan_shows_twelve_leads_and_the_strip(scan: Digitization, tmp_path: Path) -> None:
    path = tmp_path / "scan.svg"
    assert scan.plot(path, title="Scan").to_svg() == path.read_text(encoding="utf-8")
    assert {lead: path.read_text(encoding="utf-8").count(f'data-lead="{lead}"') for lead in LEADS} == {
        lead: 2 if lead == "II" else 1 for lead in LEADS
    }


def test_the_place_of_the_ecg_comes_with_its_boxes(scan: Digitization, blank: Digitization) -> None:
    assert scan.located is not None
    assert scan.located.boxes is not None
    assert len(scan.located.boxes.leads) >= 13
    assert blank.located is None


# a page that is not


def test_a_blank_page_fails_with_a_reason_for_the_page_and_for_each_lead(blank: Digitization) -> None:
    assert blank.status == "failed"
    assert blank.signal.shape == (400, 12)
    assert np.isnan(blank.signal).all()
    assert blank.reasons
    assert not blank.reasons[0].startswith("picture")
    assert set(blank.lead_reasons) == set(LEADS)
    assert all(blank.lead_reasons.values())


def test_a_blank_page_gets_no_labels_and_no_layout(blank: Digitization) -> None:
    assert blank.labels == ()
    assert np.isnan(list(blank.probabilities.values())).all()
    assert (blank.layout, blank.grid, blank.page) == (None, None, None)


class OneLeadLost:
    """Stands for a digitizer that could not read V6."""

    def __init__(self, whole: Digitization) -> None:
        mv = whole.signal.copy()
        mv[:, -1] = np.nan
        readings = [*list(whole.readings.values())[:-1], LeadReading("V6", "none", 0.0, "covered by a label")]
        self.reading = RecordReading(mv, readings, [whole.page])

    def read_record(self, *_: object) -> RecordReading:
        return self.reading


def test_a_page_that_misses_a_lead_is_partial(
    reader: Reader, photo: Digitization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "digitizer", OneLeadLost(photo))
    found = reader.digitize(PHOTO)
    assert found.status == "partial"
    assert found.lead_reasons == {"V6": "covered by a label"}


# what is no picture, no rate, no weights


def test_a_file_that_is_not_there_is_named(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match=r"missing\.png: no such image"):
        reader.digitize(tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("fs", "seconds"), [(0.0, 10.0), (-500.0, -10.0), (500.0, 0.0), (float("nan"), 10.0)]
)
def test_a_rate_or_length_without_samples_is_refused(reader: Reader, fs: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="make no sample"):
        reader.digitize(PHOTO, fs=fs, seconds=seconds)


def test_the_weights_of_the_repository_are_found() -> None:
    assert find_weights() == ROOT / "model"


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match=str(tmp_path)):
        Reader(device="cpu", model=tmp_path)


# pages that are one record


def part_of(whole: Digitization, leads: tuple[str, ...]) -> Digitization:
    """A page that shows some of the leads of another one."""
    assert whole.page is not None
    known = [lead in leads for lead in LEADS]
    readings = {
        lead: reading if lead in leads else LeadReading(lead, "none", 0.0, "not on this page")
        for lead, reading in whole.readings.items()
    }
    segments = [s for s in whole.page.signals.segments if s.lead in leads]
    page = replace(whole.page, signals=replace(whole.page.signals, segments=segments))
    signal = np.where(known, whole.signal, np.float32(np.nan))
    return replace(whole, signal=signal, readings=readings, page=page, status="partial", reasons=("cut",))


def test_limb_leads_and_chest_leads_complete_each_other(photo: Digitization) -> None:
    limb, chest = part_of(photo, LEADS[:6]), part_of(photo, LEADS[6:])
    assert complete_each_other([limb, chest])
    assert complete_each_other([chest, limb])


def test_pages_that_share_a_lead_or_lack_one_are_records(photo: Digitization, blank: Digitization) -> None:
    limb = part_of(photo, LEADS[:6])
    for others in ([], [photo], [part_of(photo, LEADS[5:])], [part_of(photo, LEADS[7:])], [blank]):
        assert not complete_each_other([limb, *others])


def test_pages_of_which_none_was_read_are_a_record_that_failed(reader: Reader, blank: Digitization) -> None:
    joined = reader.join([blank, blank])
    assert (joined.status, joined.labels) == ("failed", ())
    assert np.isnan(joined.signal).all()
    assert [reason.startswith("page 2: ") for reason in joined.reasons][-1]


def test_joined_pages_give_the_record_that_they_were_cut_from(reader: Reader, photo: Digitization) -> None:
    joined = reader.join([part_of(photo, LEADS[6:]), part_of(photo, LEADS[:6])], [3, 4])
    np.testing.assert_array_equal(joined.signal, photo.signal)
    assert (joined.status, joined.labels, dict(joined.readings)) == ("ok", photo.labels, dict(photo.readings))
    assert joined.reasons == ("page 3: cut", "page 4: cut")


def test_a_lead_on_two_pages_is_taken_where_it_is_better(
    reader: Reader, photo: Digitization, blank: Digitization
) -> None:
    worse = replace(
        photo, signal=photo.signal + 1, readings={k: _worse(r) for k, r in photo.readings.items()}
    )
    unread = replace(blank, signal=np.full_like(photo.signal, np.nan), fs=photo.fs)
    joined = reader.join([unread, worse, photo])
    np.testing.assert_array_equal(joined.signal, photo.signal)
    assert joined.page is photo.page


def _worse(reading: LeadReading) -> LeadReading:
    assert reading.expectation is not None
    error, late, steep = reading.expectation.terms
    return replace(reading, expectation=replace(reading.expectation, terms=(100 * error, late, steep)))
