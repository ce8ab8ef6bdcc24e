"""A page that was really read says the same in all formats."""

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgpage import Digitization, Reader
from ecgpage.core.conventions import LEADS
from ecgpage.export.formats import FORMATS

pytestmark = pytest.mark.medium  # loads the networks

ROOT = Path(__file__).resolve().parents[2]
SCAN = ROOT / "examples" / "input" / "887374646-0.png"


@pytest.fixture(scope="module")
def found() -> Digitization:
    return Reader(device="cpu").digitize(SCAN)


@pytest.fixture(scope="module")
def folder(found: Digitization, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    found.save(folder, [name for name in FORMATS if FORMATS[name].is_available], stem="scan")
    return folder


def test_wfdb_csv_and_npz_hold_the_same_signal(found: Digitization, folder: Path) -> None:
    tables = {
        "wfdb": wfdb.rdrecord(str(folder / "scan")).p_signal,
        "csv": np.genfromtxt(folder / "scan.csv", delimiter=",", skip_header=1)[:, 1:],
        "npz": np.load(folder / "scan.npz")["signal"],
    }
    for table in tables.values():
        np.testing.assert_allclose(table, found.signal, atol=0.00051, equal_nan=True)


def test_the_report_tells_the_layout_and_every_lead(found: Digitization, folder: Path) -> None:
    report = json.loads((folder / "scan.json").read_text(encoding="utf-8"))
    assert (report["status"], report["labels"], report["record"]) == ("ok", ["NORM"], "scan")
    assert (report["layout"]["name"], report["layout"]["speed_mm_per_s"]) == ("3x4+1", 25.0)
    assert len(report["layout"]["segments"]) == 13
    assert report["grid"]["px_per_mm"] == pytest.approx(
        found.grid.px_per_mm if found.grid else None, abs=1e-4
    )
    for k, lead in enumerate(LEADS):
        seconds = sum(stop - start for start, stop in report["leads"][lead]["known_s"])
        assert seconds == pytest.approx(np.isfinite(found.signal[:, k]).sum() / 500, abs=0.002)
        assert report["leads"][lead]["expected_snr_db"] > 5


def test_save_takes_the_defaults(found: Digitization, tmp_path: Path) -> None:
    assert [path.name for path in found.save(tmp_path)] == ["ecg.dat", "ecg.hea", "ecg.csv", "ecg.json"]
