"""The output folder of a batch: it is made, kept to one batch at a time, and left without temporary files."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ecgpage.cli.names import PAGE
from ecgpage.cli.results import TEMPORARY, explain_write_error
from ecgpage.core.conventions import EcgPageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK: Final = ".ecgpage.lock"
"""File that a batch holds locked; the system lets go of it when the batch dies."""


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Output folder, made when it is not there, for one batch at a time.

    ``EcgPageError`` when it cannot be made or written, or another batch holds it.
    """
    lock = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_locked(lock)
    except FileExistsError as error:
        raise EcgPageError(f"{folder}: is a file; choose another folder with -o") from error
    except OSError as error:
        raise EcgPageError(explain_write_error(error, folder)) from error
    if file is None:
        raise EcgPageError(
            f"{folder}: another batch writes there; wait for it, or choose another folder with -o"
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(file)


def _open_locked(lock: Path) -> int | None:
    """Descriptor of the file, locked; None where somebody else holds it."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        held = _lock(file)
        with contextlib.suppress(FileNotFoundError):
            if not held or os.path.samestat(os.fstat(file), os.stat(lock)):
                if held:
                    return file
                os.close(file)
                return None
        os.close(file)  # its holder has just removed it


def _lock(file: int) -> bool:
    """Whether the file is now locked for this process; file systems without locks let everybody pass."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def sweep(homes: Iterable[Path]) -> None:
    """Remove what killed workers left in folders of results."""
    for home in homes:
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(home)):
                if entry.name.startswith(TEMPORARY) and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)


def find_existing(stems: Mapping[Path, set[str]]) -> list[Path]:
    """Files in folders of results that bear the name of a record, or of one of its pages."""
    found: list[Path] = []
    for home, names in stems.items():
        with contextlib.suppress(OSError):
            for entry in sorted(os.scandir(home), key=lambda entry: entry.name):
                stem = entry.name.partition(".")[0]
                page = PAGE.fullmatch(stem)
                if stem and entry.is_file() and (stem in names or (page and page[1] in names)):
                    found.append(home / entry.name)
    return found
