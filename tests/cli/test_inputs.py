"""What a command line names is found: files, folders, patterns and lists; in a fixed order, nothing twice."""

import os
from pathlib import Path, PurePosixPath

import pytest

from ecgpage.cli.inputs import Found, find_inputs

SUFFIXES = (".pdf", ".png")


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, the current one being above it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.png",
        "a.PNG",
        "ward 3/c.pdf",
        "ward 3/deep/d.png",
        ".hidden.png",
        ".git/e.png",
        "notes.txt",
        "[1].png",
    ):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(b"x")
    return tmp_path / "scans"


def below(found: Found) -> list[str]:
    """Paths below the folders that were given."""
    return [str(file.below) for file in found.files]


def test_a_folder_is_searched_to_the_bottom_in_order_without_hidden_files(scans: Path) -> None:
    found = find_inputs(["scans"], SUFFIXES)
    assert below(found) == ["[1].png", "a.PNG", "b.png", "ward 3/c.pdf", "ward 3/deep/d.png"]
    assert found.files[3].path == os.path.join("scans", "ward 3", "c.pdf")
    assert found.problems == []


def test_a_file_is_taken_whatever_its_suffix(scans: Path) -> None:
    assert below(find_inputs(["scans/notes.txt", "scans/.hidden.png"], SUFFIXES)) == [
        "notes.txt",
        ".hidden.png",
    ]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("scans/*.png", ["[1].png", "b.png"]),
        ("scans/**/*.png", ["[1].png", "b.png", "ward 3/deep/d.png"]),
        ("scans/ward*", ["ward 3/c.pdf", "ward 3/deep/d.png"]),
        ("scans/ward*/*.pdf", ["ward 3/c.pdf"]),
    ],
)
def test_patterns_name_files_below_their_fixed_part(scans: Path, pattern: str, files: list[str]) -> None:
    assert below(find_inputs([pattern], SUFFIXES)) == files


def test_brackets_in_a_name_are_no_pattern_where_that_file_is_there(scans: Path) -> None:
    assert below(find_inputs(["scans/[1].png"], SUFFIXES)) == ["[1].png"]


def test_a_list_keeps_the_folders_of_its_lines(scans: Path) -> None:
    absolute = scans / "a.PNG"
    Path("list.txt").write_text(
        f"\ufeff# of today\nscans/b.png\r\n\n./scans/ward 3/c.pdf\n{absolute}\n", encoding="utf-8"
    )
    found = find_inputs(["@list.txt"], SUFFIXES)
    assert below(found) == ["scans/b.png", "scans/ward 3/c.pdf", str(absolute).lstrip("/")]
    assert found.problems == []


def test_a_list_takes_folders_and_patterns(scans: Path) -> None:
    Path("list.txt").write_text("scans/ward 3\nscans/*.png\n@more.txt\n")
    found = find_inputs(["@list.txt"], SUFFIXES)
    assert below(found) == ["c.pdf", "deep/d.png", "[1].png", "b.png"]
    assert found.problems == [("@more.txt", "a list within the list list.txt; give it as an argument")]


def test_a_file_named_like_a_list_is_a_file(scans: Path) -> None:
    Path("@x.png").write_bytes(b"x")
    assert below(find_inputs(["@x.png"], SUFFIXES)) == ["@x.png"]


def test_what_is_named_twice_counts_once_below_the_longer_path(scans: Path) -> None:
    for arguments in (
        ["scans", "scans/ward 3/c.pdf"],
        ["scans/ward 3/c.pdf", "./scans"],
        ["scans/ward 3", "scans"],
    ):
        found = find_inputs(arguments, SUFFIXES)
        assert below(found).count("ward 3/c.pdf") == 1
        assert "c.pdf" not in below(found)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("missing", "no such file or folder"),
        ("scans/*.gif", "no file matches this pattern"),
        ("@missing.txt", "the list cannot be read: No such file or directory"),
    ],
)
def test_what_is_not_there_is_a_problem_and_the_rest_is_found(
    scans: Path, argument: str, reason: str
) -> None:
    found = find_inputs([argument, "scans/b.png"], SUFFIXES)
    assert found.problems == [(argument, reason)]
    assert below(found) == ["b.png"]


def test_the_folder_of_results_is_not_searched(scans: Path) -> None:
    assert below(find_inputs([".", "**/*.pdf"], SUFFIXES, skip="scans/ward 3")) == [
        "scans/[1].png", "scans/a.PNG", "scans/b.png",
    ]  # fmt: skip


def test_dicom_files_need_no_suffix(scans: Path) -> None:
    for name in ("IM0001", "1.2.840.5", "DICOMDIR", "readme"):
        (scans / name).write_bytes(bytes(128) + (b"no" if name == "readme" else b"DICM") + bytes(9))
    found = below(find_inputs(["scans"], SUFFIXES))
    assert {"IM0001", "1.2.840.5"} <= set(found)
    assert not {"DICOMDIR", "readme"} & set(found)


def test_a_folder_that_links_to_itself_is_searched_once(scans: Path) -> None:
    (scans / "again").symlink_to(scans, target_is_directory=True)
    assert len(find_inputs(["scans"], SUFFIXES).files) == 5


def test_links_that_lead_nowhere_are_left_to_the_reader(scans: Path) -> None:
    (scans / "loop.png").symlink_to("loop.png")
    (scans / "gone.png").symlink_to("nowhere.png")
    assert {"loop.png", "gone.png"} <= set(below(find_inputs(["scans"], SUFFIXES)))


def test_a_folder_that_may_not_be_read_is_a_problem(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_inputs(["scans"], SUFFIXES)
    assert found.problems == [
        (os.path.join("scans", "ward 3", "deep"), "the folder cannot be read: Permission denied")
    ]
    assert len(found.files) == 4


def test_names_that_are_not_utf_8_are_found(scans: Path) -> None:
    with open(os.fsencode(scans) + b"/\xff.png", "wb") as file:
        file.write(b"x")
    assert PurePosixPath("\udcff.png") in [file.below for file in find_inputs(["scans"], SUFFIXES).files]
