"""Files of a page appear together, or not at all; every error names the way out."""

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.export import formats
from ecgpage.export.formats import DEFAULT_FORMATS, FORMATS, check_formats, save_formats
from ecgpage.export.types import Digitized, Encoded, Metadata
from tests.export.pages import Page, make_page, random_page

ALL = [name for name in FORMATS if FORMATS[name].is_available]


@pytest.fixture
def page() -> Page:
    return random_page(3, 1250)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# what is written


def test_every_format_writes_its_suffixes_and_nothing_else(page: Page, tmp_path: Path) -> None:
    written = save_formats(page, tmp_path / "new" / "folder", "scan", ALL)
    expected = {f"scan{suffix}" for name in ALL for suffix in FORMATS[name].suffixes}
    assert names(tmp_path / "new" / "folder") == {path.name for path in written} == expected
    assert len(written) == len(expected)
    assert all(path.stat().st_size > 100 for path in written)


def test_formats_default_to_wfdb_csv_and_json(page: Page, tmp_path: Path) -> None:
    save_formats(page, tmp_path, "ecg")
    assert DEFAULT_FORMATS == ("wfdb", "csv", "json")
    assert names(tmp_path) == {"ecg.dat", "ecg.hea", "ecg.csv", "ecg.json"}


def test_files_have_the_rights_that_the_user_gives_to_new_files(page: Page, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    (written,) = save_formats(page, tmp_path, "ecg", ["csv"])
    assert written.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_report_is_renamed_last_and_names_the_others(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = []
    replace_file = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (renamed.append(Path(b).name), replace_file(a, b)))
    save_formats(page, tmp_path, "ecg", ["json", "npz", "wfdb"])
    assert renamed == ["ecg.npz", "ecg.dat", "ecg.hea", "ecg.json"]
    report = json.loads((tmp_path / "ecg.json").read_text(encoding="utf-8"))
    assert report["files"] == {"npz": ["ecg.npz"], "wfdb": ["ecg.dat", "ecg.hea"]}


def test_what_is_clipped_is_said_in_the_log_and_in_the_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signal = np.zeros((500, 12))
    signal[0, 0] = 35
    with caplog.at_level(logging.WARNING):
        save_formats(make_page(signal), tmp_path, "ecg", ["wfdb", "npz", "json"])
    note = "wfdb: I: 1 sample beyond 32.767 mV clipped to it"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / 'ecg'}: {note}"]
    assert json.loads((tmp_path / "ecg.json").read_text(encoding="utf-8"))["notes"] == [note]


def test_existing_files_are_replaced(page: Page, tmp_path: Path) -> None:
    (tmp_path / "ecg.csv").write_text("old")
    save_formats(page, tmp_path, "ecg", ["csv"])
    assert (tmp_path / "ecg.csv").read_text().startswith("time_s,")


@pytest.mark.parametrize("samples", [1, 2503, 4999, 5588])
@pytest.mark.parametrize("seed", [3, 9])  # 9: an empty page
@pytest.mark.parametrize("fs", [100.0, 500.0, 1000.0])
def test_every_format_takes_every_length_and_rate(samples: int, seed: int, fs: float, tmp_path: Path) -> None:
    written = save_formats(
        random_page(seed, samples, fs=fs), tmp_path, "ecg", ALL, metadata=Metadata("a", "b", "c", 1)
    )
    assert {path.name for path in written} == names(tmp_path)


# what is asked for


def test_names_may_stand_in_one_text_and_count_once() -> None:
    assert check_formats("csv, WFDB,csv") == ("csv", "wfdb") == check_formats(["csv", "wfdb", "csv"])


@pytest.mark.parametrize(("asked", "match"), [
    (["csv", "exel"], r"'exel' is not known; choose from wfdb, csv, edf, dicom, fhir, npz, json"),
    ("", "'' is not known; choose from"),
    ([], "no format asked for; choose from"),
])  # fmt: skip
def test_unknown_formats_are_refused_with_the_list(
    asked: str | list[str], match: str, page: Page, tmp_path: Path
) -> None:
    with pytest.raises(EcgPageError, match=match):
        save_formats(page, tmp_path, "ecg", asked)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("edf", "edfio", "edf"), ("dicom", "pydicom", "dicom")]
)
def test_a_missing_library_is_named_with_its_extra(
    name: str, module: str, extra: str, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(
        EcgPageError, match=rf'needs {module}; install it with: pip install "ecgpage\[{extra}\]"'
    ):
        save_formats(page, tmp_path, "ecg", ["csv", name])
    assert names(tmp_path) == set()


@pytest.mark.parametrize("stem", ["", ".", "..", ".hidden", "a/b", "/abs", "a\0b", "a/"])
def test_stems_that_are_no_file_names_are_refused(stem: str, page: Page, tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="is no name for files"):
        save_formats(page, tmp_path, stem, ["csv"])
    assert names(tmp_path) == set()


@pytest.mark.medium
def test_formats_are_listed_without_loading_what_reads_pages() -> None:
    code = "import sys; from ecgpage.export.formats import FORMATS; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert not {"torch", "cv2", "scipy", "pydicom", "edfio"} & set(done.stdout.split())


# what goes wrong on the way


def test_a_writer_that_raises_leaves_no_file(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(formats, "FORMATS", {**FORMATS, "npz": replace(FORMATS["npz"], encode=fail)})
    with pytest.raises(RuntimeError, match="in the middle"):
        save_formats(page, tmp_path, "ecg", ["wfdb", "csv", "npz", "json"])
    assert names(tmp_path) == set()


def fail_at(call: int, error: BaseException) -> Callable[..., None]:
    """A function that raises at that call, from 1, and does nothing before."""
    calls = iter(range(1, 100))

    def act(*_: object) -> None:
        if next(calls) == call:
            raise error

    return act


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", [1, 3])
def test_a_full_disk_leaves_no_file_and_keeps_the_old_ones(
    call: int, number: int, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ecg.csv").write_text("old")
    monkeypatch.setattr(os, "fsync", fail_at(call, OSError(number, os.strerror(number))))
    with pytest.raises(
        EcgPageError, match="the disk is full, nothing was written; make room or choose another folder"
    ):
        save_formats(page, tmp_path, "ecg")
    assert names(tmp_path) == {"ecg.csv"}
    assert (tmp_path / "ecg.csv").read_text() == "old"


def test_an_interruption_leaves_no_file(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail_at(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_formats(page, tmp_path, "ecg")
    assert names(tmp_path) == set()


def test_a_report_never_vouches_for_files_of_another_run(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_formats(page, tmp_path, "ecg")
    monkeypatch.setattr(os, "replace", fail_at(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        save_formats(page, tmp_path, "ecg")
    assert names(tmp_path) == {"ecg.dat", "ecg.hea", "ecg.csv"}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_without_rights_is_an_error_with_the_way_out(
    number: int, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(EcgPageError, match="no right to write there; choose another folder"):
        save_formats(page, tmp_path, "ecg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_an_error_with_the_way_out(page: Page, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EcgPageError, match="no right to write there; choose another folder"):
        save_formats(page, tmp_path, "ecg")
    tmp_path.chmod(0o700)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_place_of_the_folder_is_an_error(below: str, page: Page, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EcgPageError, match="is no folder; choose another one"):
        save_formats(page, tmp_path / "file" / below, "ecg")


def test_a_folder_in_place_of_a_file_is_an_error(page: Page, tmp_path: Path) -> None:
    (tmp_path / "ecg.csv").mkdir()
    with pytest.raises(EcgPageError, match="cannot be written"):
        save_formats(page, tmp_path, "ecg", ["csv"])
    assert names(tmp_path) == {"ecg.csv"}


def test_a_name_that_is_too_long_is_an_error(page: Page, tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="File name too long"):
        save_formats(page, tmp_path, "a" * 300, ["csv"])
    assert names(tmp_path) == set()
