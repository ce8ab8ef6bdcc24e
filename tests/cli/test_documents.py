"""What README and docs/cli.md say of the command line is true: every command runs, the options are those of --help."""

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest

from ecgpage.cli import digitize_command
from ecgpage.cli.main import build_parser, main
from ecgpage.cli.settings import Settings
from ecgpage.cli.summary import COLUMNS
from tests.cli.conftest import draw
from tests.cli.fake_reader import NAME

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDTH = 110
"""Columns of the help in docs/cli.md."""


def commands_of(text: str) -> list[str]:
    """Command lines of a document that read pages, those in containers too; each in one line, without remarks."""
    lines = [line for _, block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    wanted = re.compile(
        r"\$ ((?:ecgpage|python digitize\.py) .*?)(?:\s{3,}.*)?$|.*ecgpage (python digitize\.py .*)$"
    )
    found = [match for line in lines if (match := wanted.match(line))]
    return [match[1] or match[2] for match in found]


def arguments_of(command: str) -> list[str]:
    """Arguments of ``ecgpage`` that a command line stands for."""
    words = shlex.split(command)
    return ["digitize", *words[2:]] if words[0] == "python" else words[1:]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with all that the documents' commands name; the reader is the fake one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digitize_command, "Settings", partial(Settings, reader=NAME))
    for name in (
        "scans/a.png",
        "scans/ward 3/b.png",
        "a.png",
        "more/deep/c.tif",
        "phone/d.png",
        "in/e.png",
        "examples/input/f.png",
    ):
        draw(tmp_path / name)
    draw(tmp_path / "scans/ward 3/b.png", "slow")  # one content counts once where names are not to be told
    for name in ("archive.pdf", "b.pdf"):
        draw(tmp_path / name, "ok", "ok", "ok")
    shutil.move(tmp_path / "phone/d.png", tmp_path / "phone/d.heic")  # what a file is, its content says
    Path("list.txt").write_text("more/deep/c.tif\n")
    return tmp_path


@pytest.mark.medium  # workers are started
@pytest.mark.parametrize("document", ["README.md", pytest.param("docs/cli.md", marks=pytest.mark.slow)])
def test_every_command_of_a_document_runs(
    document: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of((ROOT / document).read_text(encoding="utf-8"))
    assert len(commands) >= 5
    for command in commands:
        arguments = [word.replace("/data", str(home)) for word in arguments_of(command)]
        if arguments[0] == "digitize":
            arguments += ["--overlay", "none"]
        assert main(arguments) == 0, (command, capsys.readouterr().err)
        said = capsys.readouterr().out
        assert arguments[0] == "info" or re.match(
            r"\d+ pages?: \d+ ok, 0 partial, 0 failed \(.+summary\.csv\)\n", said
        )


@pytest.mark.medium  # the networks are loaded, two pages are read
def test_the_first_command_of_the_readme_prints_what_stands_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("examples", "model"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    shown = re.search(r"^\$ ecgpage (digitize examples/input .*)\n(.*)$", README, re.MULTILINE)
    assert shown
    assert main(shlex.split(shown[1])) == 0
    assert capsys.readouterr().out == shown[2] + "\n"


def test_the_reference_holds_the_help_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS=110 python -m ecgpage digitize --help"""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    actions = build_parser()._subparsers
    assert actions is not None
    (commands,) = (action for action in actions._group_actions if action.choices)
    assert commands.choices is not None
    shown = next(block for kind, block in FENCE.findall(REFERENCE) if kind == "text")
    assert shown == dict(commands.choices)["digitize"].format_help()


def test_the_reference_explains_every_column_of_the_summary() -> None:
    table = REFERENCE.split("| column of the summary | holds |")[1].split("\n\n")[0]
    named = [name.strip() for row in table.splitlines()[2:] for name in row.split("|")[1].split(",")]
    assert named == list(COLUMNS)


@pytest.mark.slow
@pytest.mark.medium  # a page is read
def test_the_program_of_the_reference_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (code,) = (block for kind, block in FENCE.findall(REFERENCE) if kind == "python")
    found: dict[str, object] = {}
    exec(code, found)  # the repository's own document
    assert found["row"].status == "ok"  # type: ignore[attr-defined]
    assert (tmp_path / "out" / "887374646-0.json").exists()


def test_both_documents_name_one_way_to_go_on() -> None:
    for text in (README, REFERENCE):
        assert "--skip-existing" in text
    assert "docs/cli.md" in README
