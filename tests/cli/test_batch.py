"""A batch as its user sees it: what is written, counted and said, whatever the pages are like. The reader is a fake one."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from ecgpage.cli import batch as batch_module
from ecgpage.cli import results
from ecgpage.cli.batch import Batch
from ecgpage.cli.names import name_anonymously
from ecgpage.cli.page_job import digitize_one, hash_file, load_reader
from ecgpage.cli.settings import Settings
from ecgpage.core.conventions import EcgPageError
from tests.cli.conftest import Program
from tests.cli.fake_reader import NAME

pytestmark = pytest.mark.medium  # workers are started


def test_a_batch_counts_what_it_read(program: Program) -> None:
    for name, kind in (("a.png", "ok"), ("b.png", "partial"), ("ward/c.png", "failed"), ("d.png", "slow")):
        program.draw(name, kind)
    done = program()
    assert done.out == f"4 pages: 2 ok, 1 partial, 1 failed ({program.out / 'summary.csv'})\n"
    assert done.status == 1
    assert done.statuses == {"a.png": "ok", "b.png": "partial", "c.png": "failed", "d.png": "ok"}
    assert done.files == [
        "a.csv", "a.json", "b.csv", "b.json", "d.csv", "d.json", "summary.csv", "ward/c.json",
    ]  # fmt: skip
    assert done.err.splitlines() == [
        f"{program.home}/scans/b.png: partial: 9 leads, 22.2 dB, NORM (V4, V5, V6: covered by a stamp)",
        f"{program.home}/scans/ward/c.png: failed: no 12-lead ECG recognised",
    ]


def test_the_summary_says_everything_of_a_page(program: Program) -> None:
    path = program.draw("b.png", "partial")
    (row,) = program().rows
    assert re.fullmatch("[0-9a-f]{64}", row.pop("sha256"))
    assert float(row.pop("seconds")) >= 0
    assert row == {
        "file": str(path), "page": "1", "record": "b", "status": "partial", "layout": "", "speed": "", "gain": "",
        "leads": "9", "worst_lead": "V4", "snr_db": "22.2", "grade": "", "labels": "NORM",
        "reason": "V4, V5, V6: covered by a stamp",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "strict", "status"),
    [
        (["ok"], False, 0),
        (["ok", "partial"], False, 0),
        (["ok", "partial"], True, 1),
        (["ok", "failed"], False, 1),
    ],
)
def test_the_exit_status_says_whether_all_was_read(
    program: Program, kinds: list[str], strict: bool, status: int
) -> None:
    for kind in kinds:
        program.draw(f"{kind}.png", kind)
    assert program(*["--strict"] * strict).status == status


def test_quiet_leaves_the_count_alone_and_verbose_tells_of_each_page(program: Program) -> None:
    program.draw("a.png", "ok")
    program.draw("c.png", "failed")
    quiet = program("-q")
    assert (quiet.err, quiet.status) == ("", 1)
    assert quiet.out.startswith("2 pages: 1 ok")
    loud = program("-v", "--overwrite")
    assert f"{program.home}/scans/a.png: ok: 12 leads, 22.2 dB, NORM" in loud.err.splitlines()


def test_names_with_blanks_umlauts_and_brackets_are_read_and_found_again(program: Program) -> None:
    names = ["my scan (1).png", "ümlaut.png", "[x].png", "-o.png", "weiß/ä b.png", "con.png", "a'b\"c.png"]
    for name in names:
        program.draw(name)
    done = program("-j", "2")
    assert done.status == 0
    assert set(done.statuses) == {Path(name).name for name in names}
    assert all(
        re.fullmatch(r"([\w-]+/)?[\w-]+\.(csv|json)|summary\.csv", name, re.ASCII) for name in done.files
    )
    again = program("--skip-existing")
    assert "7 of them were there already" in again.err
    assert again.rows == done.rows


def test_a_name_that_is_no_text_is_read(program: Program) -> None:
    path = program.draw("a.png")
    os.rename(path, os.fsencode(path.parent) + b"/\xff.png")
    done = program()
    assert done.status == 0
    assert "\\udcff.png" in done.rows[0]["file"]


def test_each_page_of_a_file_is_a_record(program: Program) -> None:
    program.draw("a.tiff", "ok", "failed", "partial")
    done = program("--pages-are", "records", "-j", "2")
    assert done.statuses == {"a.tiff 1": "ok", "a.tiff 2": "failed", "a.tiff 3": "partial"}
    assert [name for name in done.files if name.endswith(".json")] == ["a_p1.json", "a_p2.json", "a_p3.json"]
    assert f"{program.home}/scans/a.tiff page 2: failed: no 12-lead ECG recognised" in done.err.splitlines()
    assert done.report("a_p3")["input"]["page"] == 3


def test_pages_are_chosen_and_keep_their_names(program: Program) -> None:
    program.draw("a.tiff", "ok", "failed", "partial", "failed")
    done = program("--pages", "1,3", "--pages-are", "records")
    assert done.out.startswith("2 pages: 1 ok, 1 partial, 0 failed")
    assert [name for name in done.files if name.endswith(".json")] == ["a_p1.json", "a_p3.json"]
    more = program("--pages-are", "records", "--skip-existing")
    assert more.out.startswith("4 pages: 1 ok, 1 partial, 2 failed")
    assert "2 of them were there already" in more.err


def test_anonymous_results_name_no_source(program: Program) -> None:
    program.options = ("--to", "wfdb,csv,json,edf,dicom,fhir,npz", "-j", "1")
    program.draw("Erika Mustermann/mustermann_erika.png", "partial")
    program.draw("Erika Mustermann/broken mustermann.png").write_bytes(b"no picture")
    program.draw("Erika Mustermann/mustermann_again.png", "partial")
    program.draw("Erika Mustermann/pages_mustermann.tiff", "ok", "refuses", "raises")
    done = program("--anonymous")
    assert done.status == 1
    assert done.out.startswith("6 pages: 1 ok, 1 partial, 3 failed, 1 skipped")
    for path in program.out.rglob("*"):
        assert "muster" not in path.name.lower()
        assert "erika" not in path.name.lower()
        if path.is_file():
            content = path.read_bytes().lower()
            assert b"mustermann" not in content, path
            assert b"erika" not in content, path
            assert str(program.home).encode() not in content, path
    partial = next(row for row in done.rows if row["status"] == "partial")
    assert partial["file"] == partial["record"] == name_anonymously(partial["sha256"])
    assert "mustermann" in done.err  # the terminal tells which file was meant


def test_an_anonymous_batch_goes_on(program: Program) -> None:
    program.draw("a.png", "ok")
    first = program("--anonymous")
    assert program("--anonymous").status == 2
    program.draw("b.png", "partial")
    more = program("--anonymous", "--skip-existing")
    assert "1 of them were there already" in more.err
    assert [row["status"] for row in more.rows if row["record"] != first.rows[0]["record"]] == ["partial"]
    assert first.rows[0] in more.rows


# results that are there


def test_results_that_are_there_are_not_replaced_unasked(program: Program) -> None:
    program.draw("a.png", "ok")
    program.draw("b.tiff", "ok", "ok", "ok", "ok", "ok")
    program()
    before = {name: (program.out / name).stat().st_mtime_ns for name in program().files}
    refused = program()
    assert refused.status == 2
    assert refused.err == (
        f"ecgpage: {program.out}/a.csv: results are there already (12 files); --skip-existing goes on, "
        "--overwrite reads again\n"
    )
    assert {name: (program.out / name).stat().st_mtime_ns for name in refused.files} == before


def test_a_file_of_somebody_else_with_such_a_name_is_not_replaced_unasked(program: Program) -> None:
    program.draw("a.png", "ok")
    program.out.mkdir()
    (program.out / "a.csv").write_text("mine")
    assert program().status == 2
    assert (program.out / "a.csv").read_text() == "mine"


def test_overwriting_leaves_nothing_of_other_settings(program: Program) -> None:
    program.draw("a.png", "ok")
    program("--to", "npz,csv")
    done = program("--to", "csv", "--overwrite", "--fs", "250")
    assert done.files == ["a.csv", "a.json", "summary.csv"]
    assert done.report("a")["signal"]["fs_hz"] == 250.0


def test_other_settings_or_another_content_are_read_again(program: Program) -> None:
    program.draw("a.png", "ok")
    program()
    assert "of them were there" in program("--skip-existing").err
    assert "of them were there" not in program("--skip-existing", "--fs", "250").err
    program.draw("a.png", "partial")
    changed = program("--skip-existing", "--fs", "250")
    assert "of them were there" not in changed.err
    assert changed.statuses == {"a.png": "partial"}


def test_results_that_lost_a_file_are_read_again(program: Program) -> None:
    program.draw("a.png", "ok")
    program()
    (program.out / "a.csv").unlink()
    assert "a.csv" in program("--skip-existing").files
    (program.out / "a.csv").write_text("cut")
    assert program("--skip-existing").report("a")["run"]["bytes"]["a.csv"] > 10
    assert (program.out / "a.csv").stat().st_size > 10


def test_a_second_batch_keeps_the_rows_of_the_first(program: Program) -> None:
    a, b = program.draw("a.png", "ok"), program.draw("b.png", "partial")
    program(a)
    assert program(b).statuses == {"a.png": "ok", "b.png": "partial"}
    assert program(a, "--overwrite").statuses == {"a.png": "ok", "b.png": "partial"}


def test_results_do_not_go_among_the_pictures(program: Program) -> None:
    picture = program.draw("a.png", "ok")
    done = program(picture, "-o", picture.parent)
    assert done.status == 2
    assert "results would lie among the pictures; choose another folder with -o" in done.err
    assert list(picture.parent.iterdir()) == [picture]


def test_results_below_the_pictures_are_not_read(program: Program) -> None:
    program.draw("a.png", "ok")
    out = program.home / "scans" / "out"
    for mode in ([], ["--skip-existing"]):
        done = program("--to", "csv", "-o", out, *mode)
        assert done.out.startswith("1 page: 1 ok")
    program.draw("out/b.png", "ok")
    assert program("--to", "csv", "-o", out, "--skip-existing").out.startswith("1 page: 1 ok")


# folders and disks


def test_an_output_folder_that_is_a_file_is_refused(program: Program) -> None:
    program.draw("a.png", "ok")
    program.out.write_text("mine")
    done = program()
    assert done.status == 2
    assert done.err == f"ecgpage: {program.out}: is a file; choose another folder with -o\n"


def test_an_output_folder_that_may_not_be_written_is_refused(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.draw("a.png", "ok")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere
    done = program()
    assert done.status == 2
    assert done.err == f"ecgpage: {program.out}: no right to write there; choose another folder with -o\n"


def test_a_second_batch_in_one_folder_is_refused_while_the_first_runs(program: Program) -> None:
    program.draw("a.png", "ok")
    with batch_module.held_folder(program.out):
        done = program()
    assert done.status == 2
    assert (
        done.err
        == f"ecgpage: {program.out}: another batch writes there; wait for it, or choose another folder with -o\n"
    )
    assert program().status == 0
    assert [p.name for p in program.out.iterdir() if p.name.startswith(".")] == []


def test_a_full_disk_costs_the_page_and_the_rest_goes_on(program: Program) -> None:
    program.draw("a.png", "full_disk")
    program.draw("b.png", "ok")
    done = program()
    assert done.status == 1
    assert done.statuses == {"a.png": "failed", "b.png": "ok"}
    assert (
        done.rows[0]["reason"]
        == f"{program.out}: the disk is full, nothing was written; make room or choose another folder"
    )
    assert done.files == ["b.csv", "b.json", "summary.csv"]
    assert program("--skip-existing").statuses == {"a.png": "failed", "b.png": "ok"}


def test_a_folder_in_the_way_of_results_costs_its_pages(program: Program) -> None:
    program.draw("ward/a.png", "ok")
    program.draw("b.png", "ok")
    program.out.mkdir()
    (program.out / "ward").write_text("a file where a folder is to be")
    done = program()
    assert done.statuses == {"a.png": "failed", "b.png": "ok"}
    assert re.fullmatch(
        r".*/out/ward: cannot be written \(.*\); choose another folder with -o", done.rows[1]["reason"]
    )


def test_a_summary_that_cannot_be_written_is_said_and_fails(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.draw("a.png", "ok")

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch_module, "write_summary", fill)
    done = program()
    assert done.status == 1
    assert (
        done.err
        == f"summary.csv: {program.out}: the disk is full; make room and go on with --skip-existing\n"
    )
    assert done.files == ["a.csv", "a.json"]


# weights and interruption


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("unusable", "weights cannot be used: they are marked so"),
        ("broken", "the reader cannot be loaded: RuntimeError: no driver; see ecgpage info"),
    ],
)
def test_a_reader_that_cannot_be_loaded_ends_the_batch(program: Program, mark: str, said: str) -> None:
    program.draw("a.png", "ok")
    (program.model / mark).touch()
    done = program()
    assert (done.status, done.out, done.err) == (2, "", f"ecgpage: {said}\n")


def test_what_the_reader_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'somethingelse'", name="somethingelse")

    monkeypatch.setattr("ecgpage.cli.page_job.import_module", fail)
    with pytest.raises(EcgPageError, match="'somethingelse'; see ecgpage info"):
        load_reader("somethingelse:Reader", "cpu", None)


def test_a_reader_that_dies_at_its_start_ends_the_batch(program: Program) -> None:
    program.draw("a.png", "ok")
    (program.model / "dies_at_start").touch()
    done = program("-j", "2")
    assert done.status == 2
    assert done.err.endswith(
        "ecgpage: the reader could not be started 3 times; is there enough memory (1.5 GB)? See ecgpage info\n"
    )


def test_an_interrupted_batch_says_how_to_go_on(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "c.png"):
        program.draw(name, "slow")
    noted: list[Any] = []
    note = Batch._note

    def interrupt(self: Batch, *arguments: Any, **more: Any) -> None:
        note(self, *arguments, **more)
        noted.append(arguments)
        if len(noted) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Batch, "_note", interrupt)
    done = program()
    assert done.status == 130
    assert done.err == f"interrupted; the same command with --skip-existing goes on ({program.out})\n"
    assert len(done.rows) == 2
    assert done.files == ["a.csv", "a.json", "b.csv", "b.json", "summary.csv"]
    monkeypatch.setattr(Batch, "_note", note)
    resumed = program("--skip-existing")
    assert (resumed.status, len(resumed.rows)) == (0, 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with batch_module._ended_like_interrupted():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGHUP, before)


# one page, without a batch


def test_a_page_is_read_without_any_batch(program: Program) -> None:
    path = program.draw("a.tiff", "ok", "partial")
    out = results.Target(str(program.out), "x_p2", hash_file(path))
    row = digitize_one(
        str(path), 2, out, Settings(formats=("csv",), overlay="none", reader=NAME, model=str(program.model))
    )
    assert (row.status, row.record, row.page) == ("partial", "x_p2", "2")
    assert json.loads((program.out / "x_p2.json").read_text())["run"]["row"] == row.as_json()


# facts that overrule what is read


def test_what_is_known_of_all_pages_is_told_to_the_reader(program: Program) -> None:
    program.draw("a.png", "ok")
    done = program("--speed", "50", "--layout", "6x2")
    assert done.rows[0]["reason"] == "told Hints(speed_mm_per_s=50.0, gain_mm_per_mv=None, layout='6x2')"
    assert done.report("a")["settings"]["hints"] == {
        "speed_mm_per_s": 50.0,
        "gain_mm_per_mv": None,
        "layout": "6x2",
    }
