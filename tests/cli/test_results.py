"""Results appear whole or not at all and say what they were made of; broken off at any step, nothing half is trusted."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecgpage.cli.names import SUMMARY
from ecgpage.cli.output_folder import find_existing, held_folder, sweep
from ecgpage.cli.results import Target, find_finished, publish, read_report, written_aside
from ecgpage.cli.summary import COLUMNS, Row, in_one_line, read_summary, row_from_json, write_summary
from ecgpage.core.conventions import EcgPageError

SETTINGS = {"fs": 500.0}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(str(tmp_path), "ward/a", "f" * 64)


def row_of(name: str = "scans/a.png", page: str = "1", record: str = "a", **more: Any) -> Row:
    return Row(name, page, record, "f" * 64, more.pop("status", "ok"), **more)


def write(target: Target, content: str, *suffixes: str) -> None:
    """Publish results with that content, with the report that ``save_formats`` would write."""
    from ecgpage import __version__  # noqa: PLC0415

    with written_aside(target) as aside:
        for suffix in suffixes:
            (aside / f"{target.stem}{suffix}").write_text(content)
        report = {"ecgpage": __version__, "input": {"sha256": target.sha256}, "settings": SETTINGS}
        (aside / f"{target.stem}.json").write_text(json.dumps(report))
        publish(aside, target, row_of(reason=content), [1])


def test_results_are_known_again(target: Target) -> None:
    assert find_finished(target, [1], SETTINGS) is None
    write(target, "new", ".csv", ".dat")
    row = find_finished(target, [1], SETTINGS)
    assert row is not None
    assert row.reason == "new"
    assert sorted(path.name for path in target.home.iterdir()) == ["a.csv", "a.dat", "a.json"]


def test_results_of_something_else_are_not_taken_for_these(target: Target) -> None:
    write(target, "new", ".csv")
    assert find_finished(Target(target.folder, target.record, "0" * 64), [1], SETTINGS) is None
    assert find_finished(target, [2], SETTINGS) is None
    assert find_finished(target, [1], {"fs": 250.0}) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"run": 1}',
        '{"run": {"bytes": {}, "row": {}}}',
        '{"run": {"bytes": [], "row": null}}',
    ],
)
def test_what_is_no_report_vouches_for_nothing(target: Target, content: str) -> None:
    target.home.mkdir()
    (target.home / "a.json").write_text(content)
    assert read_report(target) == {}
    assert find_finished(target, [1], SETTINGS) is None
    write(target, "new", ".csv")
    assert find_finished(target, [1], SETTINGS) is not None


def test_a_report_cannot_have_other_folders_emptied(target: Target, tmp_path: Path) -> None:
    write(target, "new", ".csv")
    report = json.loads((target.home / "a.json").read_text())
    report["run"]["bytes"]["../mine.txt"] = 4
    (target.home / "a.json").write_text(json.dumps(report))
    (tmp_path / "mine.txt").write_text("mine")
    write(target, "again", ".dat")
    assert (tmp_path / "mine.txt").exists()
    assert not (target.home / "a.csv").exists()


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_broken_off_at_any_step_nothing_half_is_trusted(
    target: Target, step: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(target, "old", ".csv", ".dat")
    steps = iter(range(9))
    replaced = Path.replace

    def replace(self: Path, to: Path) -> Path:
        if next(steps) == step:
            raise error
        return replaced(self, to)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else EcgPageError):
        write(target, "new", ".csv", ".dat")
    assert read_report(target) == {}
    assert not [path for path in target.home.iterdir() if path.name.startswith(".")]
    if isinstance(error, OSError):
        assert list(target.home.iterdir()) == []
    monkeypatch.undo()
    write(target, "new", ".csv", ".dat")
    assert {path.read_text() for path in target.home.glob("a.[cd]*")} == {"new"}


def test_a_full_disk_is_said_with_the_folder_and_not_the_temporary_one(target: Target) -> None:
    with pytest.raises(EcgPageError) as raised, written_aside(target) as aside:
        raise EcgPageError(f"{aside}: the disk is full")
    assert str(raised.value) == f"{target.home}: the disk is full"
    with pytest.raises(EcgPageError, match="the disk is full; make room"), written_aside(target):
        raise OSError(28, "No space left on device")


def test_what_killed_workers_left_is_swept(target: Target) -> None:
    write(target, "new", ".csv")
    (target.home / ".ecgpage-x").mkdir()
    (target.home / ".ecgpage-x" / "half.csv").write_text("1")
    (target.home / ".mine").mkdir()
    sweep([target.home, target.home / "nowhere"])
    assert sorted(path.name for path in target.home.iterdir()) == [".mine", "a.csv", "a.json"]


def test_names_of_records_and_of_their_pages_are_existing_results(tmp_path: Path) -> None:
    for name in ("a.csv", "a_p2.overlay.jpg", "ab.csv", "a_px.csv", ".a.csv", "summary.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in find_existing({tmp_path: {"a", ""}, tmp_path / "nowhere": {"a"}})] == [
        "a.csv",
        "a_p2.overlay.jpg",
    ]


def test_one_folder_is_held_by_one_batch_at_a_time(tmp_path: Path) -> None:
    with held_folder(tmp_path / "out"):
        with pytest.raises(EcgPageError, match="another batch writes there"), held_folder(tmp_path / "out"):
            pass
        with held_folder(tmp_path / "other"):
            pass
    with held_folder(tmp_path / "out"):
        pass
    assert list((tmp_path / "out").iterdir()) == []


# the summary


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [row_of(reason='a "quoted", long\treason; ümlaut'), row_of("=b.png", "2", "b", status="failed")]
    write_summary(tmp_path, rows)
    assert read_summary(tmp_path) == sorted(rows, key=lambda row: row.file)
    assert (tmp_path / SUMMARY).read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)


def test_rows_are_sorted_by_file_and_number_of_the_page(tmp_path: Path) -> None:
    write_summary(
        tmp_path, [row_of("b.pdf", page, f"b_p{page}") for page in ("10", "2", "1")] + [row_of("a.png")]
    )
    assert [(row.file, row.page) for row in read_summary(tmp_path)] == [
        ("a.png", "1"),
        ("b.pdf", "1"),
        ("b.pdf", "2"),
        ("b.pdf", "10"),
    ]


def test_earlier_rows_give_way_to_those_of_the_same_page_or_results(tmp_path: Path) -> None:
    write_summary(
        tmp_path,
        [
            row_of("a.png"),
            row_of("b.pdf", "1", "b_p1"),
            row_of("b.pdf", "2", "b_p2"),
            row_of("lost.png", "", "", status="failed"),
        ],
    )
    write_summary(tmp_path, [row_of("./a.png"), row_of("b.pdf", "2", "b_p2", status="failed")])
    assert [(row.file, row.page, row.status) for row in read_summary(tmp_path)] == [
        ("./a.png", "1", "ok"), ("b.pdf", "1", "ok"), ("b.pdf", "2", "failed"),
    ]  # fmt: skip


def test_a_table_of_something_else_is_replaced(tmp_path: Path) -> None:
    for content in (b"a,b\n1,2\n", b"\xff\xfe\0", b""):
        (tmp_path / SUMMARY).write_bytes(content)
        write_summary(tmp_path, [row_of()])
        assert read_summary(tmp_path) == [row_of()]


def test_a_row_survives_json_and_nothing_else_is_one() -> None:
    row = row_of(reason="x")
    assert row_from_json(json.loads(json.dumps(row.as_json()))) == row
    for other in (None, [], {}, {**row.as_json(), "status": "good"}, {**row.as_json(), "page": 1}):
        assert row_from_json(other) is None


def test_reasons_are_one_line() -> None:
    assert in_one_line(["a\nb\t c", "d"]) == "a b c; d"
