"""The command line with the real reader, on pages that ship and on drawn ones."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from ecgpage.core.conventions import LEADS
from ecgpage.image.decode import read_image
from helper_code import load_signals
from tests.layout.pages import draw_styled

pytestmark = pytest.mark.slow  # the networks are loaded, pages are read by several workers

ROOT = Path(__file__).resolve().parents[2]
RECORD = "Doe_Jane_17a6fb"
"""What becomes of the name "Doe, Jane.pdf"."""
SAID = r"4 pages: 3 ok, 0 partial, 1 failed; grades ((?:\d [A-C](?:, )?)+) \(out/summary\.csv\)\n"
"""What the program says at the end; which page has which grade may differ from processor to processor."""
SCAN = ROOT / "examples" / "input" / "887374646-0.png"


def count_graded(said: str) -> int:
    """Number of pages that have a grade, by what the program says at the end."""
    match = re.fullmatch(SAID, said)
    assert match, said
    return sum(int(count) for count in re.findall(r"\d+", match[1]))


def run(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """The program, in a folder."""
    command = [sys.executable, str(ROOT / "digitize.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all that a batch of a PDF of the scan, two pages of one record, and a blank page wrote."""
    home = tmp_path_factory.mktemp("real")
    (home / "scans").mkdir()
    PilImage.open(SCAN).convert("L").save(home / "scans" / "Doe, Jane.pdf", resolution=200.0)
    limb, chest = (draw_styled(200.0, layout=layout).image for layout in ("limb 6x1", "chest 6x1"))
    PilImage.fromarray(limb).save(
        home / "scans" / "two.tiff", save_all=True, append_images=[PilImage.fromarray(chest)]
    )
    PilImage.fromarray(np.full((900, 1200, 3), 255, np.uint8)).save(home / "scans" / "blank.png")
    done = run(
        home, "scans", "-o", "out", "-j", "2", "-v", "--debug", "debug",
        "--to", "wfdb,csv,png,json,edf,dicom,fhir,npz",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert count_graded(done.stdout) == 3, done.stderr
    return home / "out"


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    """Record -> row of the summary."""
    with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
        return {row["record"]: row for row in csv.DictReader(file)}


def test_every_format_and_picture_lies_beside_the_report(results: Path) -> None:
    written = {path.name.partition(".")[2] for path in results.glob(f"{RECORD}.*")}
    assert written == {
        "hea",
        "dat",
        "csv",
        "json",
        "edf",
        "dcm",
        "fhir.json",
        "npz",
        "plot.png",
        "overlay.jpg",
    }


def test_the_written_signals_are_those_of_the_page(results: Path) -> None:
    truth, fields = load_signals(str(ROOT / "examples" / "reference" / "887374646"))
    found, _ = load_signals(str(results / RECORD))
    assert truth is not None
    assert found is not None
    assert fields is not None
    order = [[name.lower() for name in fields["sig_name"]].index(lead.lower()) for lead in LEADS]
    error = found[::5] - truth[:, order]  # the reference has 100 samples a second
    off = np.nanmedian(np.abs(error - np.nanmedian(error, axis=0)), axis=0)  # mV; the level is not printed
    assert off.max() < 0.05


def test_the_summary_tells_layout_scale_and_diagnosis(results: Path) -> None:
    row = rows_of(results)[RECORD]
    assert (row["status"], row["layout"], row["speed"], row["gain"], row["leads"]) == (
        "ok",
        "3x4+1",
        "25",
        "10",
        "12",
    )
    assert row["labels"] == "NORM"
    assert 10 < float(row["snr_db"]) < 40
    assert row["worst_lead"] in LEADS


def test_limb_leads_and_chest_leads_of_a_file_are_one_record(results: Path) -> None:
    row = rows_of(results)["two"]
    assert (row["page"], row["status"], row["leads"], row["layout"]) == (
        "1-2",
        "ok",
        "12",
        "limb 6x1;chest 6x1",
    )
    assert sorted(path.name for path in results.glob("two*.overlay.jpg")) == [
        "two_p1.overlay.jpg",
        "two_p2.overlay.jpg",
    ]
    truth = draw_styled(200.0, layout="limb 6x1").masked_signal
    found, _ = load_signals(str(results / "two"))
    assert found is not None
    for lead in range(6):
        both = np.isfinite(truth[:, lead]) & np.isfinite(found[:, lead])
        assert np.corrcoef(truth[both, lead], found[both, lead])[0, 1] > 0.9


def test_a_page_without_an_ecg_gets_a_report_and_a_picture_alone(results: Path) -> None:
    assert sorted(path.name for path in results.glob("blank.*")) == ["blank.json", "blank.overlay.jpg"]
    assert rows_of(results)["blank"]["status"] == "failed"
    assert rows_of(results)["blank"]["reason"]


def test_the_overlay_shows_red_traces_and_no_header(results: Path) -> None:
    overlay = cv2.cvtColor(cv2.imread(str(results / f"{RECORD}.overlay.jpg")), cv2.COLOR_BGR2RGB).astype(int)
    red = (overlay[..., 0] > 150) & (overlay[..., 1:].max(axis=2) < 90)
    assert red.mean() > 0.003
    assert abs(overlay.shape[1] - 1800) < 900
    assert overlay.shape[0] < 0.75 * overlay.shape[1]  # the page is 0.77 high, its header is not shown


def test_the_plot_is_a_picture_of_twelve_leads(results: Path) -> None:
    plot = read_image(results / f"{RECORD}.plot.png")
    assert plot.shape[1] > 2000
    assert (plot.max(axis=2) < 90).mean() > 0.005


def test_every_stage_is_drawn_where_a_folder_for_it_is_given(results: Path) -> None:
    names = {path.name for path in (results.parent / "debug").iterdir()}
    assert {
        f"{RECORD}-{stage}" for stage in ("grid.jpg", "boxes.jpg", "layout.jpg", "traces.jpg", "debug.json")
    } <= names
    assert {"two_p1-debug.json", "two_p2-debug.json", "blank-debug.json"} <= names


def test_a_batch_that_is_done_is_left_as_it_is(results: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in results.iterdir() if path.name != "summary.csv"}
    rows = rows_of(results)
    done = run(
        results.parent, "scans", "-o", "out", "-j", "1", "--skip-existing",
        "--to", "wfdb,csv,png,json,edf,dicom,fhir,npz",
    )  # fmt: skip
    assert count_graded(done.stdout) == 3
    assert done.stderr == "4 of them were there already\n"
    assert {
        path.name: path.stat().st_mtime_ns for path in results.iterdir() if path.name != "summary.csv"
    } == before
    assert rows_of(results) == rows
