"""Worker processes that are watched over: one that dies, or takes too long, costs its page and is replaced.

An executor of the standard library loses everything that is pending when one of its processes is killed. Here each worker
has a pipe of its own and one task at a time, so nothing but that task is lost. Processes are spawned, never forked: threads
and locks of the parent would be copied in any state.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from ecgpage.cli.settings import Settings
from ecgpage.cli.tasks import Task
from ecgpage.core.conventions import EcgPageError

log = logging.getLogger(__name__)

START_LIMIT_S: Final = 300.0
"""Time for starting a worker and loading the weights; cold disks and busy machines need up to a minute."""
STARTS: Final = 3
"""Starts in a row without a page begun, after which the reader counts as broken."""
OUT_OF_MEMORY: Final = 77
"""Exit status of a worker that ran out of memory."""
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the threads of each worker; one thread unless they say otherwise."""


@dataclass(frozen=True)
class Answer:
    """What became of a task."""

    task: Task
    result: Any = None
    """What ``run_task`` returned; None when it was lost."""
    lost: str = ""
    """Why it was lost: the worker died or took too long."""
    again: bool = False
    """Whether it is to be given once more, because its worker died before it began."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: Task | None = None
    deadline: float = field(default=float("inf"))
    began: bool = False
    """Whether the reader is loaded and the task has begun."""


class WorkerPool:
    """Workers that read pages; ``give`` them tasks while they are ``free``, ``collect`` the answers."""

    def __init__(self, size: int, settings: Settings, timeout_s: float) -> None:
        """``timeout_s``: time, s, for each page of a task; no process is started before there is a task."""
        self.size = size
        self._settings = settings
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._context = multiprocessing.get_context("spawn")

    @property
    def free(self) -> int:
        """Number of tasks that can be taken now."""
        return self.size - self.busy

    @property
    def busy(self) -> int:
        """Number of tasks without an answer."""
        return sum(worker.task is not None for worker in self._workers)

    def give(self, task: Task) -> None:
        """Have a worker begin a task; one must be free."""
        while True:
            worker = next((w for w in self._workers if w.task is None), None) or self._start()
            worker.task, worker.began = task, False
            worker.deadline = time.monotonic() + START_LIMIT_S
            try:
                worker.pipe.send(task)
                return
            except OSError:  # it died while it was idle
                worker.task = None
                self._remove(worker)

    def collect(self, patience_s: float) -> list[Answer]:
        """Answers that came within ``patience_s``, at least one unless the time is over.

        Raises ``EcgPageError`` when the reader cannot be started: weights, device, PyTorch, memory.
        """
        until = min([time.monotonic() + patience_s, *(w.deadline for w in self._workers if w.task)])
        handles: dict[Any, _Worker] = {
            h: w for w in self._workers if w.task for h in (w.pipe, w.process.sentinel)
        }
        ready = wait(list(handles), max(0.0, until - time.monotonic())) if handles else []
        answers = [self._hear(worker) for worker in {id(handles[h]): handles[h] for h in ready}.values()]
        answers += [
            self._time_out(w) for w in list(self._workers) if w.task and time.monotonic() > w.deadline
        ]
        return [answer for answer in answers if answer is not None]

    def stop(self) -> None:
        """End all workers at once; what they were at is lost."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self._remove(worker)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._settings), daemon=True)
        try:
            with _interrupts_held():
                process.start()
        except OSError as error:
            raise EcgPageError(f"no worker can be started ({error}); ask for fewer with -j") from error
        finally:
            theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker) -> Answer | None:
        """What a worker has to say, None where that is no answer; that it died, when it says nothing."""
        try:
            kind, content = worker.pipe.recv() if worker.pipe.poll() else ("died", None)
        except (EOFError, OSError):
            kind, content = "died", None
        assert worker.task is not None
        task = worker.task
        if kind == "begun":
            worker.began = True
            self._failed_starts = 0 if task.needs_reader else self._failed_starts
            worker.deadline = time.monotonic() + self._timeout_s * max(1, len(task.pages))
            return None
        if kind == "unusable":
            raise EcgPageError(content)
        if kind == "done":
            worker.task, worker.deadline = None, float("inf")
            return Answer(task, content)
        return self._bury(worker, "the reader died (out of memory?)")

    def _time_out(self, worker: _Worker) -> Answer:
        return self._bury(worker, f"more than {self._timeout_s:g} s")

    def _bury(self, worker: _Worker, reason: str) -> Answer:
        """Remove a worker; its task is lost if it had begun."""
        task, began = worker.task, worker.began
        assert task is not None
        self._remove(worker)
        if began:
            return Answer(task, lost=reason)
        self._failed_starts += 1
        if self._failed_starts >= STARTS and self.size == 1:
            raise EcgPageError(
                f"the reader could not be started {STARTS} times; is there enough memory (1.5 GB)? See ecgpage info"
            )
        if self._failed_starts >= STARTS - 1 and self.size > 1:
            self.size, self._failed_starts = self.size - 1, 0
            log.warning("readers could not be started (out of memory?); going on with %d", self.size)
        return Answer(task, again=True)

    def _remove(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        worker.process.close()
        self._workers.remove(worker)


def serve(pipe: Connection, settings: Settings) -> None:
    """Work of one process: answer tasks until the pipe is closed.

    Sends ("begun", None) when the reader is loaded, then ("done", result); ("unusable", reason) when it cannot be loaded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _set_up(settings.verbosity)
    from ecgpage.cli.page_job import run_task  # noqa: PLC0415 - reads the number of threads that was set

    try:
        while True:
            task: Task = pipe.recv()
            if task.needs_reader and (reason := _prepare(settings)):
                pipe.send(("unusable", reason))
                return
            pipe.send(("begun", None))
            pipe.send(("done", run_task(task, settings)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: there may not be the memory for anything else


def _prepare(settings: Settings) -> str:
    """Load the reader, once; why it cannot be, if so."""
    from ecgpage.cli.page_job import load_reader  # noqa: PLC0415 - as in ``serve``

    try:
        load_reader(settings.reader, settings.device, settings.model)
    except EcgPageError as error:
        return str(error)
    except MemoryError:
        raise
    except Exception as error:  # drivers of GPUs and broken installations raise anything
        return f"the reader cannot be loaded: {type(error).__name__}: {error}; see ecgpage info"
    return ""


def _set_up(verbosity: int) -> None:
    """Threads and log of a worker."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads sleep instead of spinning
    for name in THREADS:
        os.environ.setdefault(name, "1")
    import cv2  # noqa: PLC0415 - reads the environment when it is loaded

    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]) if os.environ["OMP_NUM_THREADS"].isdigit() else 1)
    if verbosity < 1:  # reasons of pages stand in their rows; what libraries mutter goes unheard
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
    else:
        level = logging.WARNING if verbosity == 1 else logging.INFO
        logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)


def _die_with_parent() -> None:
    """End this process when its parent is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits while it is entered; a process that is started inside never sees one."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        with suppress(OSError):
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
