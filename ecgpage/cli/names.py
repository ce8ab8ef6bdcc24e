"""Names of results: each input gets a name of its own below the output folder, made from its path alone.

A name is a function of the set of paths, not of their order, so that a run that goes on finds what an earlier one wrote:

    scans/ward 3/ecg.png   ward_3_1c2f9e/ecg        characters but A-Z a-z 0-9 _ - give way to a hash
    scans/a.jpg            a_jpg                    two inputs of one stem take their suffix along
    scans/a.png            a_png
    scans/b.pdf            b_p1, b_p2, ...          one name for each page, where there are several

WFDB's readers refuse or misread names with other characters.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from pathlib import PurePath, PurePosixPath
from typing import Final, TypeVar

Key = TypeVar("Key", bound=Hashable)

SUMMARY: Final = "summary.csv"
"""File that lists all results, in the output folder."""
MAX_LENGTH: Final = 100
"""Characters of a name; file systems allow 255 bytes, of which pages, formats and temporary names need some."""
FINGERPRINT: Final = 6
"""Hexadecimal digits of a hash in a name."""
ANONYMOUS: Final = 16
"""Hexadecimal digits of the sha256 that names an anonymous record."""
PLAIN: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_LENGTH}}}")
RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|summary)", re.IGNORECASE)
"""Names that Windows keeps for devices, and that of the summary."""
PAGE: Final = re.compile(r"(.+)_p\d+")


def name_results(below: dict[Key, PurePosixPath], suffixes: Sequence[str]) -> dict[Key, str]:
    """Input -> name of its results below the output folder, without suffix, folders separated by "/".

    Args:
        below: input (any key; its text decides where paths are alike) -> its path below the folder that was given.
        suffixes: suffixes of files that are read, lower case, with a dot; others belong to the name.

    No two names are alike, nor is one that of another's page; upper and lower case are alike on some file systems.
    """
    ways = _ways(suffixes)
    tries = dict.fromkeys(below, 0)
    while True:
        names = {key: ways[tries[key]](key, path) for key, path in below.items()}
        alike = _find_alike(names)
        if not alike:
            return names
        for key in alike:
            tries[key] = min(tries[key] + 1, len(ways) - 1)


def name_page(name: str, page: int, count: int) -> str:
    """Name of page ``page`` (from 1) of an input with ``count`` pages."""
    return name if count == 1 else f"{name}_p{page}"


def name_anonymously(sha256: str) -> str:
    """Name of the results of an input with that content."""
    return sha256[:ANONYMOUS]


def split_suffix(name: str, suffixes: Sequence[str]) -> tuple[str, str]:
    """Stem and suffix of a file name; the suffix is empty where it is none of ``suffixes``, as in 1.2.840.10008."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and dot + suffix.lower() in suffixes else (name, "")


def clean(part: str) -> str:
    """Part of a path in A-Z a-z 0-9 _ - only; one that is changed ends in a hash of what it was."""
    if PLAIN.fullmatch(part) and not RESERVED.fullmatch(part):
        return part
    kept = re.sub(r"[^A-Za-z0-9_-]+", "_", unicodedata.normalize("NFC", part))[
        : MAX_LENGTH - FINGERPRINT - 1
    ].rstrip("_")
    return f"{kept}_{_hash(part)[:FINGERPRINT]}"


def _ways(suffixes: Sequence[str]) -> list[Callable[[Hashable, PurePosixPath], str]]:
    """Ways to name an input, the shortest first; the last one never gives two inputs one name."""

    def by_stem(_: Hashable, path: PurePosixPath) -> str:
        return _join(path, clean(split_suffix(path.name, suffixes)[0]))

    def with_suffix(_: Hashable, path: PurePosixPath) -> str:
        stem, suffix = split_suffix(path.name, suffixes)
        return _join(path, clean(f"{clean(stem)}_{suffix.lstrip('.').lower()}" if suffix else stem))

    def with_hash(key: Hashable, path: PurePosixPath) -> str:
        return f"{by_stem(key, path)}_{_hash(str(key))[:FINGERPRINT]}"

    def with_whole_hash(key: Hashable, path: PurePosixPath) -> str:
        return f"{by_stem(key, path)}_{hashlib.sha256(_encode(str(key))).hexdigest()}"

    return [by_stem, with_suffix, with_hash, with_whole_hash]


def _find_alike(names: dict[Key, str]) -> set[Key]:
    """Inputs whose names are one, or one of which is named like a page of another."""
    owners: dict[str, list[Key]] = {}
    for key, name in names.items():
        owners.setdefault(name.casefold(), []).append(key)
    alike: set[Key] = set()
    for name, keys in owners.items():
        if len(keys) > 1:
            alike.update(keys)
        page = PAGE.fullmatch(name)
        if page and page[1] in owners:
            alike.update(keys, owners[page[1]])
    return alike


def _join(path: PurePosixPath, name: str) -> str:
    folders = [clean(part) for part in path.parts[:-1] if part not in ("/", ".", "..")]
    return "/".join([*folders, name])


def _hash(text: str) -> str:
    """sha256, hexadecimal, of a path, alike on systems that compose letters and on those that do not."""
    return hashlib.sha256(_encode(unicodedata.normalize("NFC", text))).hexdigest()


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")  # names need be no text on any system


def as_posix(path: str | os.PathLike[str]) -> PurePosixPath:
    """Path with "/" between its parts and without a drive."""
    pure = PurePath(path)
    return PurePosixPath(*(part for part in pure.parts if part not in (pure.anchor, "..")))
