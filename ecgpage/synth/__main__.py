"""Draw a training folder.

    python -m ecgpage.synth --records FOLDER --output OUT --mix photo-clean --processes 2
    python -m ecgpage.synth --pack fold1.xz --table labels.csv --output OUT --mix scan-color,scan-bw
    python -m ecgpage.synth --pack fold1.xz --table labels.csv --output OUT --mix world

Existing records are kept, so an interrupted run can be continued; a seed decides every byte, whatever the
number of processes.
"""

import argparse
import logging
import multiprocessing
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from ecgpage.core.conventions import EcgPageError
from ecgpage.synth.folder import Task, write_record
from ecgpage.synth.mixes import MIXES, mixes_hash
from ecgpage.synth.sources import Pack, Source, WfdbFolder
from ecgpage.synth.world import WORLD_MIXES, world_hash

log = logging.getLogger("ecgpage.synth")

_source: Source | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 when no record could be drawn."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        source = open_source(options)
        mixes = _mixes(options.mix)
    except (EcgPageError, OSError) as error:
        log.error("%s", error)
        return 2
    task = Task(
        options.output, mixes, options.seed, mask=not options.whole_signals, extension=options.format,
        truth=not options.no_truth,
    )  # fmt: skip
    count = min(len(source.names), options.limit or len(source.names))
    hashes = f"{mixes_hash()}, world {world_hash()}" if set(mixes) & set(WORLD_MIXES) else mixes_hash()
    log.info("%d records, mixes %s (%s)", count, ", ".join(mixes), hashes)
    failed = draw_all(source, task, count, options.processes)
    for reason in failed:
        log.warning("skipped: %s", reason)
    log.info("%d of %d records are in %s", count - len(failed), count, options.output)
    return 0 if len(failed) < count else 1


def draw_all(source: Source, task: Task, count: int, processes: int) -> list[str]:
    """Draw the first ``count`` recordings; returns the reasons why some could not be drawn."""
    work = partial(_draw_one, task)
    progress = partial(tqdm, total=count, unit="record", disable=None)
    if processes <= 1:
        _start(source)
        results = [work(index) for index in progress(range(count))]
    else:
        # forked, so that a pack is held once
        with multiprocessing.get_context("fork").Pool(processes, _start, (source,)) as pool:
            results = list(progress(pool.imap_unordered(work, range(count), chunksize=2)))
    return sorted(reason for reason in results if reason)


def _start(source: Source) -> None:
    """Give a process its source, and one thread."""
    global _source  # noqa: PLW0603
    _source = source
    cv2.setNumThreads(1)


def _draw_one(task: Task, index: int) -> str:
    """Draw recording ``index``; returns the reason why it could not be drawn, empty when it was."""
    assert _source is not None
    try:
        write_record(task, _source.read(index))
    except EcgPageError as error:
        return str(error)
    return ""


def open_source(options: argparse.Namespace) -> Source:
    """Folder or pack named on the command line."""
    if options.records is not None:
        return WfdbFolder(options.records)
    return Pack(options.pack, options.table, options.fs)


def _mixes(names: str) -> tuple[str, ...]:
    chosen = tuple(MIXES) if names == "all" else tuple(names.split(","))
    known = (*MIXES, *WORLD_MIXES)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise EcgPageError(f"unknown mix {', '.join(unknown)}; there are {', '.join(known)}, all")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ecgpage.synth", description="Draw a training folder.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--records", type=Path, help="folder of WFDB records")
    source.add_argument("--pack", type=Path, help="pack of records")
    parser.add_argument("--table", type=Path, help="CSV with names, age, sex, labels of a pack's records")
    parser.add_argument("--fs", type=float, help="sampling frequency of a pack (default: 10 s a record)")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--mix", default="generator-clean", help="kinds of picture, with commas between, or all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only the first records")
    parser.add_argument("--format", choices=(".png", ".jpg"), default=".png")
    parser.add_argument("--whole-signals", action="store_true", help="do not blank what is not printed")
    parser.add_argument("--no-truth", action="store_true", help="no truth files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
