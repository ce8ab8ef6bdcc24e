"""Pictures that the fake reader knows, and the command line with it."""

import csv
import json
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from ecgpage.cli import digitize_command
from ecgpage.cli.main import main
from ecgpage.cli.settings import Settings
from tests.cli.fake_reader import NAME, colour_of


@pytest.fixture(scope="session", autouse=True)
def heard_interrupts() -> None:
    """Ctrl-C is heard by the programs that tests start, also where these tests run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def draw(path: Path, *kinds: str) -> Path:
    """A picture of a kind, of several kinds as pages; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [PilImage.new("RGB", (220, 210), colour_of(kind)) for kind in kinds or ("ok",)]
    first.save(path, **({"save_all": True, "append_images": others} if others else {}))
    return path


@dataclass
class Done:
    """What a command line did."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        """Rows of the summary."""
        with open(self.folder / "summary.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def statuses(self) -> dict[str, str]:
        """File name, and page where there are several -> status."""
        pages = Counter(row["file"] for row in self.rows)
        return {
            Path(row["file"]).name + f" {row['page']}" * (pages[row["file"]] > 1): row["status"]
            for row in self.rows
        }

    @property
    def files(self) -> list[str]:
        """All files of the output folder."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())

    def report(self, record: str) -> dict[str, Any]:
        """Report of a record."""
        found: dict[str, Any] = json.loads((self.folder / f"{record}.json").read_text(encoding="utf-8"))
        return found


@dataclass
class Program:
    """``ecgpage digitize`` with the fake reader, in a folder of its own."""

    home: Path
    capture: pytest.CaptureFixture[str]
    options: Sequence[str] = ("--to", "csv,json", "-j", "1")
    model: Path = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.home / "model"
        self.model.mkdir()
        (self.model / "weights.json").write_text("{}")

    @property
    def out(self) -> Path:
        return self.home / "out"

    def draw(self, name: str, *kinds: str) -> Path:
        """A picture below ``scans``."""
        return draw(self.home / "scans" / name, *kinds)

    def arguments(self, *more: str | Path) -> list[str]:
        """Arguments of a run; without inputs among ``more``, of all that was drawn."""
        inputs = [] if more and not str(more[0]).startswith("-") else [str(self.home / "scans")]
        own = ["-o", str(self.out), "--model", str(self.model), *self.options]
        return ["digitize", *inputs, *own, *map(str, more)]

    def __call__(self, *more: str | Path) -> Done:
        """Run it."""
        self.capture.readouterr()
        try:
            status = main(self.arguments(*more))
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
        said = self.capture.readouterr()
        return Done(status, said.out, said.err, self.out)


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setattr(digitize_command, "Settings", partial(Settings, reader=NAME))
    return Program(tmp_path, capsys)
