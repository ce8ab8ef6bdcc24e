"""Find the files that a command line names: files, folders, patterns, and lists of them."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from ecgpage.cli.names import as_posix, split_suffix

DICOM_MARK: Final = (128, b"DICM")
"""Offset and bytes by which DICOM files without a suffix are known (DICOM PS3.10, 7.1)."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """File to be read."""

    path: str
    """Path as the command line and the folder's listing spell it."""
    below: PurePosixPath
    """Path below the folder that was given; the name alone of a file that was given itself."""


@dataclass
class Found:
    """What a command line names."""

    files: list[InputFile] = field(default_factory=list)
    """Each file once, sorted by path within each argument."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(argument or folder, reason) of what could not be searched."""


def find_inputs(arguments: Sequence[str], suffixes: Sequence[str], skip: str | None = None) -> Found:
    """Files of a command line.

    Args:
        arguments: files, folders (searched to the bottom; hidden files and folders are left out), patterns with * ? [ ] **,
            and ``@FILE`` with one of these a line.
        suffixes: suffixes of files that count in folders, lower case, with a dot. DICOM files without a suffix count, too.
        skip: folder that is not searched, because results go there.

    A file that is named twice counts once, by the longer of its paths below a folder.
    """
    found = Found()
    searched = _Search(tuple(suffixes), None if skip is None else os.path.realpath(skip), found)
    by_place: dict[str, InputFile] = {}
    for argument in arguments:
        for file in searched.find(argument):
            place = os.path.abspath(file.path)
            known = by_place.get(place)
            if known is None or _rank(file) > _rank(known):
                by_place[place] = file
    found.files = list(by_place.values())
    return found


def _rank(file: InputFile) -> tuple[int, str]:
    return len(file.below.parts), str(file.below)


@dataclass
class _Search:
    suffixes: tuple[str, ...]
    skip: str | None
    found: Found

    def find(self, argument: str) -> Iterator[InputFile]:
        """Files of one argument."""
        if argument.startswith("@") and not os.path.exists(argument):
            yield from self._in_list(argument[1:])
        elif os.path.isdir(argument):
            yield from self._in_folder(argument, PurePosixPath())
        elif os.path.exists(argument):
            yield InputFile(argument, PurePosixPath(os.path.basename(argument)))
        elif glob.has_magic(argument):
            yield from self._by_pattern(argument)
        else:
            self._miss(argument, "no such file or folder")

    def _in_list(self, name: str) -> Iterator[InputFile]:
        try:
            text = Path(name).read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            self._miss(f"@{name}", f"the list cannot be read: {error.strerror or error}")
            return
        for line in text.removeprefix("\ufeff").splitlines():
            entry = line.strip()
            if not entry or entry.startswith("#"):
                continue
            if entry.startswith("@"):
                self._miss(entry, f"a list within the list {name}; give it as an argument")
                continue
            for file in self.find(entry):
                inside = os.path.isdir(entry) or glob.has_magic(entry)
                yield file if inside else InputFile(file.path, as_posix(os.path.normpath(file.path)))

    def _in_folder(self, folder: str, below: PurePosixPath) -> Iterator[InputFile]:
        """Files below a folder, at ``below`` themselves."""
        if self.skip is not None and os.path.realpath(folder) == self.skip:
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._miss(folder, f"the folder cannot be read: {error.strerror or error}")
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._in_folder(entry.path, below / entry.name)
            elif not os.path.isdir(entry.path) and self._counts(entry.path):
                yield InputFile(entry.path, below / entry.name)

    def _by_pattern(self, pattern: str) -> Iterator[InputFile]:
        paths = sorted(glob.glob(pattern, recursive=True))
        base = _plain_part(pattern)
        any_file = False
        for path in paths:
            if self.skip is not None and os.path.realpath(path).startswith(self.skip + os.sep):
                continue
            below = as_posix(os.path.relpath(path, base or os.curdir))
            if not os.path.isdir(path):
                any_file = True
                yield InputFile(path, below)
            elif "**" not in pattern:
                for file in self._in_folder(path, below):
                    any_file = True
                    yield file
        if not any_file:
            self._miss(pattern, "no file matches this pattern")

    def _counts(self, path: str) -> bool:
        _, suffix = split_suffix(os.path.basename(path), self.suffixes)
        return bool(suffix) or _is_dicom(path)

    def _miss(self, argument: str, reason: str) -> None:
        self.found.problems.append((argument, reason))


def _plain_part(pattern: str) -> str:
    """Leading folders of a pattern, up to the first with a wildcard."""
    parts = re.split(r"([\\/])" if os.sep == "\\" else r"(/)", pattern)
    plain: list[str] = []
    for part in parts:
        if glob.has_magic(part):
            break
        plain.append(part)
    return "".join(plain)


def _is_dicom(path: str) -> bool:
    """Whether a file without a suffix, or with a number for one, says that it is DICOM."""
    name = os.path.basename(path)
    if name.upper() == "DICOMDIR" or not re.fullmatch(r"[^.]+|.*\.\d+", name):
        return False
    offset, mark = DICOM_MARK
    try:
        with open(path, "rb") as file:
            return file.read(offset + len(mark))[offset:] == mark
    except OSError:
        return False
