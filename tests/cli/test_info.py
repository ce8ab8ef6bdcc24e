"""``ecgpage info`` says what a report of a bug needs, and what keeps pages from being read."""

import json
import shutil
from pathlib import Path

import pytest

import ecgpage
from ecgpage.cli.info_command import NEEDED, OPTIONAL
from ecgpage.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def test_a_whole_installation_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"ecgpage    {ecgpage.__version__} (")
    for part in (
        "\nPython     3.",
        "\nruntime    ",
        "\nprecision  ",
        *(f"\n{name} " for name in (*NEEDED, *OPTIONAL)),
    ):
        assert part in said
    table = json.loads((ROOT / "model" / "weights.json").read_text(encoding="utf-8"))
    for card in table.values():
        assert f"{card['sha256']} ok\n" in said
    assert "problem" not in said


@pytest.mark.medium
def test_damaged_and_missing_weights_are_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "model", tmp_path / "model")
    (tmp_path / "model" / "words.safetensors").write_bytes(b"damaged")
    (tmp_path / "model" / "trace.safetensors").unlink()
    assert main(["info", "--model", str(tmp_path / "model")]) == 2
    said = capsys.readouterr().out
    assert (
        f"problem: {tmp_path / 'model' / 'words.safetensors'}: damaged; install the package again\n" in said
    )
    assert (
        f"problem: {tmp_path / 'model' / 'trace.safetensors'}: missing; install the package again\n" in said
    )


@pytest.mark.parametrize("content", [None, "{", '{"a": {}}', '{"a": 1}', "[]"])
def test_a_folder_without_a_table_is_a_problem(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "weights.json").write_text(content)
    assert main(["info", "--model", str(tmp_path)]) == 2
    assert f"problem: {tmp_path / 'weights.json'}: no table of weights" in capsys.readouterr().out


def test_what_is_not_installed_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ecgpage.cli.info_command._version", lambda name: None)
    assert main(["info"]) == 2
    said = capsys.readouterr().out
    assert 'edfio                  not there; install it with: pip install "ecgpage[edf]"\n' in said
    assert "problem: onnxruntime is missing; install the package again\n" in said
    assert 'torch                  not there; install it with: pip install "ecgpage[torch]"\n' in said


def test_every_requirement_of_the_package_is_named() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [")[1].split("]")[0]
    required = {line.strip().strip('",').split(">=")[0] for line in block.splitlines() if line.strip()}
    assert required <= set(NEEDED)
