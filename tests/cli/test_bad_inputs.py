"""Inputs that cannot be used: each gets one line with reason and way out, the good page beside them is read."""

import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pydicom
import pytest
from PIL import Image as PilImage
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage

from ecgpage.image.decode import MAX_PIXELS
from tests.cli.conftest import draw
from tests.image.pdf_bytes import Page, write_pdf

pytestmark = pytest.mark.medium  # a program is started

ROOT = Path(__file__).resolve().parents[2]
Maker = Callable[[Path], object]


def cut_behind(share: float, *kinds: str) -> Maker:
    """Maker of a picture of which only the beginning is there."""

    def make(path: Path) -> None:
        draw(path, *kinds)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def huge(path: Path) -> None:
    """A PNG whose head says that it has more pixels than can be read."""
    draw(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", MAX_PIXELS // 1000, 1001)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def tiny(path: Path) -> None:
    PilImage.new("RGB", (150, 900)).save(path)


def pdf(pages: int, password: str | None = None) -> Maker:
    return lambda path: path.write_bytes(write_pdf([Page(b"")] * pages, password=password))


def bytes_of(content: bytes) -> Maker:
    return lambda path: path.write_bytes(content)


def dicom(storage: str, **more: object) -> Maker:
    """Maker of a DICOM object of that class with nothing else but ``more``."""

    def make(path: Path) -> None:
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = storage, "1.2.3"
        for name, value in more.items():
            setattr(data, name, value)
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = storage, "1.2.3"
        data.save_as(path, enforce_file_format=True)

    return make


class Bad(NamedTuple):
    """One kind of input."""

    name: str
    """What the command line names."""
    make: Maker | None
    """What makes the file; None where there is none."""
    said: str
    """Regular expression of what is said of it."""


KINDS: Final = (
    Bad("empty.png", bytes_of(b""), r"the file is empty; export or copy the page again"),
    Bad("text.png", bytes_of(b"no picture"), r"cannot be decoded \(no known format\); save the page again as PNG or JPEG"),
    Bad("cut.png", cut_behind(0.5), r"cannot be decoded \(.+\); save the page again as PNG or JPEG"),
    Bad("cut.jpg", cut_behind(0.4), r"cannot be decoded \(.+\); save the page again as PNG or JPEG"),
    Bad("head.webp", bytes_of(b"RIFF\0\0\0\0WEBPVP8 "), r"cannot be decoded \(.+\); save the page again as PNG or JPEG"),
    Bad("film.heic", bytes_of(b"\0\0\0\x18ftypheic" + bytes(90)), r"cannot be decoded \(.+\); save the page again as .+"),
    Bad("tiny.png", tiny, r"150 x 900 px is too small for an ECG page; scan at 100 dpi or more"),
    Bad("huge.png", huge, r"has more pixels than can be read; scan at 600 dpi or less"),
    Bad("text.pdf", bytes_of(b"no PDF"), r"is no PDF, whatever its name says; export the page again"),
    Bad("cut.pdf", bytes_of(b"%PDF-1.7\n1 0 obj"), r"is damaged, cut off or without pages; export or copy it again"),
    Bad("none.pdf", pdf(0), r"is damaged, cut off or without pages; export or copy it again"),
    Bad("locked.pdf", pdf(1, "secret"), r"the password does not open it; check --password"),
    Bad("text.dcm", bytes_of(b"no DICOM" * 40), r"is no DICOM object; export the page again"),
    Bad("signal.dcm", dicom(TwelveLeadECGWaveformStorage, WaveformSequence=[pydicom.Dataset()]), r"is already digital, .+"),
    Bad("bare.dcm", dicom(EncapsulatedPDFStorage), r"holds neither a picture nor a PDF; export the ECG as one of them"),
    Bad("film.mp4", bytes_of(b"\0\0\0\x18ftypmp42" + bytes(90)), r"cannot be decoded \(no known format\); .+"),
    Bad("pages.tiff", cut_behind(0.6, "ok", "ok", "ok"), r"cannot be decoded \(.+\); save the page again as PNG or JPEG"),
    Bad("gone.png", lambda path: path.symlink_to("nowhere.png"), r"no such file any more; check the path, .+"),
    Bad("loop.png", lambda path: path.symlink_to("loop.png"), r"cannot be read \(.*symbolic links\); copy it again"),
    Bad("pipe.png", os.mkfifo, r"is no file; give a picture, PDF or DICOM file"),
    Bad("missing.png", None, r"no such file or folder"),
    Bad("*.gif", None, r"no file matches this pattern"),
    Bad("@missing.txt", None, r"the list cannot be read: No such file or directory"),
)  # fmt: skip


class Said(NamedTuple):
    """What a batch of all kinds did."""

    status: int
    lines: list[str]
    """On stderr."""
    last: str
    """On stdout."""
    summary: str


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    home = tmp_path_factory.mktemp("bad")
    (home / "model").mkdir()
    (home / "model" / "weights.json").write_text("{}")
    draw(home / "good.png")
    for kind in KINDS:
        if kind.make is not None:
            kind.make(home / kind.name)
    inputs = [kind.name for kind in KINDS if not os.path.islink(home / kind.name)]
    links = [kind.name for kind in KINDS if os.path.islink(home / kind.name)]
    (home / "folder").mkdir()
    for name in links:  # only a folder's listing names files that are not there
        os.rename(home / name, home / "folder" / name)
    command = [
        sys.executable,
        "-m",
        "tests.cli.fake_program",
        "digitize",
        *inputs,
        "folder",
        "good.png",
        "-o",
        "out",
    ]
    options = ["--to", "csv", "-j", "2", "--model", "model", "--password", "wrong", "--pages-are", "records"]
    done = subprocess.run(
        [*command, *options], cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert (home / "out" / "summary.csv").exists(), done.stderr
    summary = (home / "out" / "summary.csv").read_text(encoding="utf-8")
    return Said(done.returncode, done.stderr.splitlines(), done.stdout, summary)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_gets_its_reason_in_one_line(said: Said, kind: Bad) -> None:
    named = re.compile(rf"(folder/)?{re.escape(kind.name)}( page \d)?: failed: {kind.said}")
    assert [line for line in said.lines if named.fullmatch(line)], [x for x in said.lines if kind.name in x]


def test_every_line_is_one_of_these(said: Said) -> None:
    assert all(
        any(line.removeprefix("folder/").startswith(kind.name) for kind in KINDS) for line in said.lines
    )


def test_the_good_page_is_read_and_the_others_are_counted(said: Said) -> None:
    assert said.status == 1
    count = len(KINDS) + 1
    assert said.last == f"{count} pages: 1 ok, 0 partial, {count - 1} failed (out/summary.csv)\n"
    assert len(said.summary.splitlines()) == 1 + count


def test_none_of_them_is_taken_for_a_fault_of_the_program(said: Said) -> None:
    assert not [line for line in said.lines if "unexpected" in line or "died" in line]
