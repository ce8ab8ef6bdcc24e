"""The command line before anything is read: help, what is wrong with it, what does not go together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecgpage
from ecgpage.cli import digitize_command
from ecgpage.cli.digitize_command import count_workers
from ecgpage.cli.main import COMMANDS, build_parser, main
from ecgpage.cli.page_choice import parse_pages
from ecgpage.cli.settings import DEVICES, FORMATS, LIBRARIES, Order
from ecgpage.core.conventions import EcgPageError
from ecgpage.export import formats as export_formats

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "numpy", "cv2", "scipy", "PIL", "tqdm"}


def order_of(*arguments: str) -> Order:
    """What ``ecgpage digitize`` takes arguments for."""
    return digitize_command.read_order(build_parser().parse_args(["digitize", *arguments]))


# help


@pytest.mark.medium
@pytest.mark.parametrize(
    "arguments", [["--help"], ["digitize", "--help"], ["info", "--help"], ["--version"], ["digitize"]]
)
def test_help_and_errors_of_usage_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ecgpage.cli.main import main\ntry: main(sys.argv[1:])\n"
        "finally: print('loaded:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == (0 if len(arguments) > 1 or arguments[0].startswith("--") else 2)
    loaded = set(done.stdout.split("loaded:")[1].split())
    assert "ecgpage.cli.main" in loaded
    assert not HEAVY & loaded


@pytest.mark.medium
@pytest.mark.parametrize("command", [["-m", "ecgpage", "digitize"], ["digitize.py"]])
def test_all_doors_lead_to_one_command(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.stdout.startswith("usage: ecgpage digitize INPUT [INPUT ...] -o OUT [options]\n")


def test_the_installed_command_is_the_module() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.scripts]\necgpage = "ecgpage.cli.main:main"\n' in text


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"ecgpage {ecgpage.__version__}\n"


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command.name, "--help"])
        assert command.about[1:] in " ".join(capsys.readouterr().out.split())


# what is wrong with it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: INPUT, -o/--output"),
        (["a.png"], "the following arguments are required: -o/--output"),
        (["a.png", "-o", "out", "--to", "xml"], "argument --to: xml is no format; choose of wfdb,csv,png"),
        (["a.png", "-o", "out", "--to", ","], "argument --to: nothing is no format"),
        (
            ["a.png", "-o", "out", "--pages", "0"],
            "argument --pages: '0' names no pages; write such as 1,3-5 or 2-",
        ),
        (["a.png", "-o", "out", "--pages", "5-3"], "argument --pages: '5-3' names no pages"),
        (["a.png", "-o", "out", "--fs", "-500"], "argument --fs: '-500' is no number above 0"),
        (["a.png", "-o", "out", "--fs", "nan"], "argument --fs: 'nan' is no number above 0"),
        (["a.png", "-o", "out", "--dpi", "fine"], "argument --dpi: 'fine' is no number above 0"),
        (["a.png", "-o", "out", "-j", "0"], "argument -j/--jobs: '0' is no whole number from 1"),
        (["a.png", "-o", "out", "--speed", "33"], "argument --speed: invalid choice: 33.0"),
        (["a.png", "-o", "out", "--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
        (["a.png", "-o", "out", "--overlay", "all"], "argument --overlay: invalid choice: 'all'"),
        (["a.png", "-o", "out", "-q", "-v"], "argument -v/--verbose: not allowed with argument -q/--quiet"),
        (
            ["a.png", "-o", "out", "--skip-existing", "--overwrite"],
            "argument --overwrite: not allowed with argument --skip-existing",
        ),
        (["a.png", "-o", "out", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_to_help(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["digitize", *arguments])
    said = capsys.readouterr()
    assert left.value.code == 2
    assert message in said.err
    assert said.err.endswith(" --help\n")
    assert len(said.err.splitlines()) == 2
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--anonymous", "--overlay", "page"], "--overlay page shows names that stand on a page"),
        (["--fs", "0.01", "--seconds", "1"], "--fs 0.01 and --seconds 1 make no sample"),
        (["--layout", "7x2"], "--layout '7x2' is not known; choose auto, 3x4, 3x4+1"),
        (
            ["--model", "nowhere"],
            "weights.json: No such file or directory; name a folder with weights: --model DIR",
        ),
        ([], "missing.png: no such file or folder"),
    ],
)
def test_what_cannot_be_done_ends_before_anything_is_made(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["digitize", "missing.png", "-o", "out", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("ecgpage: ")
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_format_without_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["digitize", "a.png", "-o", "out", "--to", "edf"]) == 2
    assert '--to edf needs edfio; install it with: pip install "ecgpage[edf]"' in capsys.readouterr().err


def test_an_interruption_before_anything_is_done_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(digitize_command, "read_order", interrupt)
    assert main(["digitize", "a.png", "-o", "out"]) == 130
    assert capsys.readouterr().err == ""


# what it means


def test_nothing_but_input_and_output_is_needed() -> None:
    order = order_of("a.png", "b", "-o", "out")
    assert (order.inputs, order.out, order.timeout_s, order.strict) == (("a.png", "b"), "out", 120.0, False)
    assert order.jobs == count_workers()
    settings = order.settings
    assert settings.formats == ("wfdb", "csv", "png", "json")
    assert (settings.fs, settings.seconds, settings.overlay) == (500.0, 10.0, "ecg")
    assert (settings.anonymous, settings.existing, settings.pages_are, settings.dpi) == (
        False,
        "refuse",
        "auto",
        None,
    )
    assert settings.hints.layout is None


def test_pictures_are_drawn_where_they_are_asked_for() -> None:
    assert order_of("a.png", "-o", "out", "--to", "csv").settings.overlay == "none"
    assert order_of("a.png", "-o", "out", "--to", "csv", "--overlay", "page").settings.overlay == "page"


def test_facts_that_overrule_the_page_are_kept_together() -> None:
    found = order_of("a.png", "-o", "out", "--speed", "50", "--gain", "5", "--layout", "6x2").settings.hints
    assert (found.speed_mm_per_s, found.gain_mm_per_mv, found.layout) == (50.0, 5.0, "6x2")


def test_results_depend_on_what_changes_them_and_on_no_password() -> None:
    plain = order_of("a.png", "-o", "out").settings.describe_result()
    for same in (
        ["-j", "3"],
        ["--timeout", "9"],
        ["--password", "x"],
        ["-v"],
        ["--device", "cpu"],
        ["--pages", "2"],
    ):
        assert order_of("a.png", "-o", "out", *same).settings.describe_result() == plain
    for other in (
        ["--fs", "250"],
        ["--gain", "5"],
        ["--to", "csv"],
        ["--anonymous"],
        ["--dpi", "200"],
        ["--overlay", "none"],
    ):
        assert order_of("a.png", "-o", "out", *other).settings.describe_result() != plain
    assert len(plain["weights"]) == 64


@pytest.mark.parametrize(
    ("text", "count", "pages"),
    [
        ("1", 3, [1]),
        ("1,3-5", 4, [1, 3, 4]),
        ("2-", 4, [2, 3, 4]),
        (" 3 , 1 ", 4, [1, 3]),
        ("7", 3, []),
        ("1-2,2-3", 9, [1, 2, 3]),
    ],
)
def test_pages_are_chosen_by_number(text: str, count: int, pages: list[int]) -> None:
    assert parse_pages(text).of(count) == pages


@pytest.mark.parametrize("text", ["", "a", "1-2-3", "-3", "1;2", "0-4", "1,"])
def test_what_names_no_pages_is_refused(text: str) -> None:
    with pytest.raises(EcgPageError, match="names no pages"):
        parse_pages(text)


def test_the_table_of_formats_is_that_of_the_writers() -> None:
    assert set(FORMATS) == {*export_formats.FORMATS, "png"}
    needed = {name: (row.module, row.extra) for name, row in export_formats.FORMATS.items() if row.module}
    assert needed == LIBRARIES


def test_the_devices_are_those_of_the_reader() -> None:
    source = (ROOT / "ecgpage" / "core" / "runtime.py").read_text(encoding="utf-8")
    assert f"DEVICES: Final = {DEVICES!r}".replace("'", '"') in source


def test_there_is_a_worker_for_each_core_that_has_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4_000_000_000 // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__, raising=False)
    assert count_workers() == 2
    monkeypatch.setitem(pages, "SC_PHYS_PAGES", 1000)
    assert count_workers() == 1
