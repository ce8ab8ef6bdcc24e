"""Read all pages that a command line names: files are opened, pages given to workers, results counted.

Workers do everything that touches a file's content, so no file can end the batch.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from ecgpage.cli.inputs import find_inputs
from ecgpage.cli.names import SUMMARY, name_anonymously, name_page, name_results
from ecgpage.cli.output_folder import find_existing, held_folder, sweep
from ecgpage.cli.results import Target, explain_write_error, find_finished
from ecgpage.cli.settings import Order
from ecgpage.cli.summary import Row, rename, write_summary
from ecgpage.cli.tasks import Digitize, Examine, FileFacts, Task
from ecgpage.cli.telling import Teller
from ecgpage.cli.workers import Answer, WorkerPool
from ecgpage.core.conventions import EcgPageError
from ecgpage.image.documents import SUFFIXES

OK, FAILED, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""
ATTEMPTS: Final = 2
"""How often a page is given to a worker that dies of it or takes too long."""
MOST_OF_A_RECORD: Final = 4
"""Pages of a file up to which they are looked at together, whether they are one record."""
LONGEST_RECORD: Final = 12
"""Pages that one record may have: they are in memory together."""
LOOK_S: Final = 0.5
"""Time between two looks at the clock, s, while nothing happens."""


def run_batch(order: Order) -> int:
    """Read everything that is asked for; the exit status.

    Raises ``EcgPageError`` when nothing can be done at all: no input, results that are there, folder, weights, device.
    """
    batch = Batch(order)
    with _ended_like_interrupted(), held_folder(Path(order.out)):
        batch.refuse_existing()
        try:
            batch.read()
        except KeyboardInterrupt:
            _ignore_interrupts()
            batch.end()
            batch.write_summary()
            batch.teller.say(f"interrupted; the same command with --skip-existing goes on ({order.out})")
            return INTERRUPTED
        except EcgPageError as error:
            if not batch.rows:
                raise
            batch.teller.say(str(error))
            batch.broken = True
        finally:
            batch.end()
        written = batch.write_summary()
    if batch.teller.finished:
        batch.teller.say(f"{batch.teller.finished} of them were there already")
    print(batch.teller.sum_up(os.path.join(order.out, SUMMARY)), flush=True)
    counts = batch.teller.counts
    bad = counts["failed"] + (counts["partial"] if order.strict else 0)
    return FAILED if bad or batch.broken or not written else OK


class Batch:
    """One batch: what is to be done, and what became of it."""

    def __init__(self, order: Order) -> None:
        """Find the inputs and name their results; ``EcgPageError`` when there are none."""
        self._order, self._settings = order, order.settings
        found = find_inputs(order.inputs, SUFFIXES, skip=order.out)
        if not found.files:
            told = [f"{name}: {reason}" for name, reason in found.problems]
            raise EcgPageError(
                "\n".join(told) or f"{', '.join(order.inputs)}: no pictures, PDFs or DICOM files there"
            )
        self._files, self._problems = found.files, found.problems
        self._names = self._name_files()
        self._homes = self._group_names()
        self.rows: list[Row] = []
        self.broken = False
        """Whether the batch had to be given up."""
        self._owners: dict[str, int] = {}
        """sha256 -> number of the file that is read for it, in anonymous batches."""
        self._unopened: Iterator[Task] = (Examine(k, file.path) for k, file in enumerate(self._files))
        self._tasks: deque[Task] = deque()
        self._pool = WorkerPool(order.jobs, self._settings, order.timeout_s)
        self.teller = Teller(len(self._files) + len(self._problems), self._settings.verbosity)

    # where results go

    def _name_files(self) -> list[str]:
        """Name of the results of each file; empty in anonymous batches, where the content gives it."""
        if self._settings.anonymous:
            return [""] * len(self._files)
        places = [os.path.abspath(file.path) for file in self._files]
        names = name_results(dict(zip(places, (f.below for f in self._files), strict=True)), SUFFIXES)
        return [names[place] for place in places]

    def _group_names(self) -> dict[Path, set[str]]:
        """Folder of results -> names of the records in it."""
        out = Path(self._order.out)
        homes: dict[Path, set[str]] = {}
        for name in self._names:
            folder, _, stem = name.rpartition("/")
            homes.setdefault(out / folder, set()).add(stem)
        return homes

    def refuse_existing(self) -> None:
        """``EcgPageError`` when results would lie among the pictures, or replace older ones unasked."""
        out = Path(self._order.out)
        sources = {
            (os.path.dirname(file.path), name.rpartition("/")[0])
            for file, name in zip(self._files, self._names, strict=True)
        }
        for source, home in sorted(sources):
            if os.path.realpath(source or os.curdir) == os.path.realpath(out / home):
                raise EcgPageError(
                    f"{out / home}: results would lie among the pictures; choose another folder with -o"
                )
        if self._settings.existing != "refuse":
            return
        existing = find_existing(self._homes)
        if self._settings.anonymous and (out / SUMMARY).exists():
            existing.append(out / SUMMARY)
        if existing:
            count = f"{len(existing)} file{'s'[: len(existing) > 1]}"
            raise EcgPageError(
                f"{existing[0]}: results are there already ({count}); --skip-existing goes on, --overwrite reads again"
            )

    # reading

    def read(self) -> None:
        """Read all pages. Raises ``EcgPageError`` when no reader can be started."""
        sweep(self._homes)
        for argument, reason in self._problems:
            self._note(Row(self._show(argument), "", "", "", "failed", reason=reason), argument, 1)
        while True:
            while self._pool.free > 0 and (task := self._choose_task()) is not None:
                self._pool.give(task)
            if not self._pool.busy:
                return
            for answer in self._pool.collect(LOOK_S):
                self._take(answer)

    def end(self) -> None:
        """Stop the workers and remove what they left."""
        self._pool.stop()
        self.teller.close()
        sweep(self._homes)

    def write_summary(self) -> bool:
        """Write the table of all rows; whether that succeeded."""
        try:
            write_summary(Path(self._order.out), self.rows)
        except OSError as error:
            self.teller.say(f"{SUMMARY}: {explain_write_error(error, self._order.out)}")
            return False
        return True

    def _choose_task(self) -> Task | None:
        """The next task: pages of files that are open before other files; None where there is none now."""
        return self._tasks.popleft() if self._tasks else next(self._unopened, None)

    def _take(self, answer: Answer) -> None:
        task = answer.task
        if answer.again:
            self._tasks.appendleft(task)
        elif answer.lost:
            self._lose(task, answer.lost)
        elif isinstance(task, Examine):
            self._plan(task, answer.result)
        else:
            rows: list[Row] = answer.result
            for row in rows:
                self._note(row, task.path, len(task.pages) if len(rows) == 1 else 1, task.several)

    def _lose(self, task: Task, reason: str) -> None:
        """Give a task once more that a worker died of; then each of its pages alone; then give it up."""
        if task.attempt < ATTEMPTS:
            self._tasks.append(replace(task, attempt=task.attempt + 1))
        elif isinstance(task, Digitize) and len(task.pages) > 1 and self._settings.pages_are != "one":
            self._tasks.extend(task.split())
        elif isinstance(task, Digitize):
            page = "-".join(str(n) for n in sorted({task.pages[0], task.pages[-1]}))
            sha256 = task.each[0].sha256
            row = Row(self._show(task.path, sha256), page, "", sha256, "failed", reason=reason)
            self._note(row, task.path, len(task.pages), task.several)
        else:
            self._note(Row(self._show(task.path), "", "", "", "failed", reason=reason), task.path, 1)

    def _plan(self, task: Examine, facts: FileFacts) -> None:
        """Go on with a file whose pages are counted."""
        number, path = task.number, task.path
        chosen = self._order.pages.of(facts.pages)
        reason = facts.reason
        if not reason and not chosen:
            pages = f"{facts.pages} page{'s'[: facts.pages != 1]}"
            reason = f"has {pages}, none of those of --pages {self._order.pages.text}"
        if not reason and self._settings.pages_are == "one" and len(chosen) > LONGEST_RECORD:
            reason = f"{len(chosen)} pages are no one record, which has {LONGEST_RECORD} at most; choose with --pages"
        if reason:
            row = Row(self._show(path, facts.sha256), "", "", facts.sha256, "failed", reason=reason)
            self._note(row, path, 1)
            return
        self.teller.expect(len(chosen) - 1)
        if self._settings.anonymous and self._owners.setdefault(facts.sha256, number) != number:
            shown = self._show(path, facts.sha256)
            row = Row(shown, "", "", facts.sha256, "skipped", reason="its content is that of another file")
            self._note(row, path, len(chosen))
            return
        name = self._names[number] or name_anonymously(facts.sha256)
        together = Target(self._order.out, name, facts.sha256)
        each = [replace(together, record=name_page(name, n, facts.pages)) for n in chosen]
        as_one = {"one": len(chosen) > 1, "auto": 1 < len(chosen) <= MOST_OF_A_RECORD, "records": False}
        whole = Digitize(number, path, tuple(chosen), tuple(each), facts.pages > 1, together)
        for one in [whole] if as_one[self._settings.pages_are] else reversed(whole.split()):
            self._ask(one)

    def _ask(self, task: Digitize) -> None:
        """Have pages read, unless that was done before."""
        rows = self._find_rows(task) if self._settings.existing == "skip" else []
        for row in rows:
            self._note(row, task.path, len(task.pages) if len(rows) == 1 else 1, task.several, finished=True)
        if not rows:
            self._tasks.appendleft(task)

    def _find_rows(self, task: Digitize) -> list[Row]:
        """Rows of pages that were read before; none unless all of them were."""
        wanted = self._settings.describe_result()

        def find(target: Target, pages: Sequence[int]) -> Row | None:
            row = find_finished(target, pages, wanted)
            return None if row is None else rename(row, self._show(task.path, target.sha256), target.record)

        whole = find(task.together, task.pages) if task.together else None
        if whole is not None:
            return [whole]
        if task.together and self._settings.pages_are == "one":
            return []
        rows = [find(target, [n]) for n, target in zip(task.pages, task.each, strict=True)]
        found = [row for row in rows if row is not None]
        return found if len(found) == len(rows) else []

    def _note(
        self, row: Row, path: str, pages: int, several: bool = False, *, finished: bool = False
    ) -> None:
        self.rows.append(row)
        self.teller.note(row, f"{path} page {row.page}" if several else path, pages, finished=finished)

    def _show(self, path: str, sha256: str = "") -> str:
        """What the table calls a file; ``sha256``: empty where nothing of it is known."""
        if not self._settings.anonymous:
            return path
        return name_anonymously(sha256) if sha256 else f"unread-{len(self.rows) + 1}"


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """While it is entered, a request of the system to end is like Ctrl-C; what is ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]
    heard = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_interrupts() -> None:
    """From now on the program ends when it is done; it is about to."""
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
