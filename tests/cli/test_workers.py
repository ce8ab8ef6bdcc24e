"""A worker that is killed, hangs or runs out of memory costs its page, and nothing else."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecgpage.cli.settings import Settings
from ecgpage.cli.tasks import Digitize, Examine
from ecgpage.cli.workers import Answer, WorkerPool
from ecgpage.core.conventions import EcgPageError
from tests.cli.conftest import Program
from tests.cli.fake_reader import NAME

pytestmark = pytest.mark.medium  # workers are started

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
"""Time after which a test gives up; machines are busy."""


def test_pages_that_kill_their_reader_fail_and_the_rest_is_read(program: Program) -> None:
    for name, kind in (
        ("a.png", "dies"),
        ("b.png", "ok"),
        ("c.png", "no_memory"),
        ("d.png", "dies_once"),
        ("e.png", "ok"),
    ):
        program.draw(name, kind)
    done = program("-j", "2")
    assert done.status == 1
    assert done.statuses == {
        "a.png": "failed",
        "b.png": "ok",
        "c.png": "failed",
        "d.png": "ok",
        "e.png": "ok",
    }
    assert {row["reason"] for row in done.rows if row["status"] == "failed"} == {
        "the reader died (out of memory?)"
    }
    assert not (program.out / "a.json").exists()
    assert [name for name in done.files if name.startswith(".")] == []


def test_pages_that_take_too_long_fail_and_the_rest_is_read(program: Program) -> None:
    for name, kind in (("a.png", "hangs"), ("b.png", "hangs_once"), ("c.png", "slow")):
        program.draw(name, kind)
    began = time.monotonic()
    done = program("-j", "3", "--timeout", "5")
    assert done.statuses == {"a.png": "failed", "b.png": "ok", "c.png": "ok"}
    assert [row["reason"] for row in done.rows if row["status"] == "failed"] == ["more than 5 s"]
    assert time.monotonic() - began < PATIENCE_S


def test_a_page_that_kills_the_reader_of_a_record_costs_only_itself(program: Program) -> None:
    program.draw("a.tiff", "ok", "dies", "partial")
    done = program("--pages-are", "auto")
    assert done.statuses == {"a.tiff 1": "ok", "a.tiff 2": "failed", "a.tiff 3": "partial"}
    one = program("--pages-are", "one", "--overwrite")
    assert [(row["page"], row["status"]) for row in one.rows if row["page"] == "1-3"] == [("1-3", "failed")]
    assert one.out.startswith("3 pages: 0 ok, 0 partial, 3 failed")


def test_failures_of_the_program_are_tried_again_when_a_batch_goes_on(program: Program) -> None:
    program.draw("a.png", "dies")
    program.draw("b.png", "raises")
    program.draw("c.png", "failed")
    first = program()
    assert [row["reason"] for row in first.rows][1:] == [
        "unexpected ValueError: an odd page; please report it with the image",
        "no 12-lead ECG recognised",
    ]
    again = program("--skip-existing")
    assert again.rows[0]["reason"] == "the reader died (out of memory?)"
    assert "1 of them were there already" in again.err


# the pool by itself


@pytest.fixture
def pool(program: Program) -> WorkerPool:
    """Two workers of the fake reader."""
    return WorkerPool(
        2, Settings(formats=("csv",), overlay="none", reader=NAME, model=str(program.model)), 60.0
    )


def collect(pool: WorkerPool, enough: Callable[[list[Answer]], bool]) -> list[Answer]:
    """Answers until there are enough."""
    answers: list[Answer] = []
    until = time.monotonic() + PATIENCE_S
    while not enough(answers):
        assert time.monotonic() < until
        answers += pool.collect(0.1)
    return answers


def test_workers_are_spawned_run_on_one_thread_and_end_with_the_pool(
    pool: WorkerPool, program: Program
) -> None:
    others = set(multiprocessing.active_children())  # of tests before, in the same process
    assert pool.free == 2
    for name in ("a.png", "b.png"):
        pool.give(Examine(0, str(program.draw(name))))
    assert pool.free == 0
    children = [c for c in multiprocessing.active_children() if c not in others]
    assert len(children) == 2
    assert all("Spawn" in type(child).__name__ for child in children)
    answers = collect(pool, lambda found: len(found) == 2)
    assert [answer.result.pages for answer in answers] == [1, 1]
    pool.stop()
    assert set(multiprocessing.active_children()) <= others


def test_a_worker_that_is_killed_from_outside_loses_its_page_only(pool: WorkerPool, program: Program) -> None:
    from ecgpage.cli.results import Target  # noqa: PLC0415

    tasks = [
        Digitize(k, str(program.draw(name, kind)), (1,), (Target(str(program.out), name[0], "0" * 64),))
        for k, (name, kind) in enumerate([("a.png", "hangs"), ("b.png", "ok")])
    ]
    for task in tasks:
        pool.give(task)
    (answer,) = collect(pool, lambda found: len(found) == 1)
    assert answer.result[0].status == "ok"
    (busy,) = [w for w in pool._workers if w.task is not None]
    collect(pool, lambda _: busy.began)
    assert busy.process.pid is not None
    os.kill(busy.process.pid, signal.SIGKILL)
    (lost,) = collect(pool, lambda found: len(found) == 1)
    assert (lost.task, lost.lost) == (tasks[0], "the reader died (out of memory?)")
    pool.give(tasks[1])
    assert collect(pool, lambda found: len(found) == 1)[0].result[0].status == "ok"
    pool.stop()


def test_an_idle_worker_that_is_killed_is_replaced(pool: WorkerPool, program: Program) -> None:
    path = str(program.draw("a.png"))
    pool.give(Examine(0, path))
    collect(pool, lambda found: len(found) == 1)
    (idle,) = pool._workers
    idle.process.kill()
    idle.process.join()
    answers: list[Answer] = []
    while not [a for a in answers if not a.again]:
        pool.give(Examine(1, path))
        answers += collect(pool, lambda found: len(found) == 1)
    assert answers[-1].result.pages == 1
    pool.stop()


def test_a_machine_without_room_for_a_process_ends_the_batch(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", fail)
    with pytest.raises(EcgPageError, match=r"no worker can be started .*; ask for fewer with -j"):
        pool.give(Examine(0, "a.png"))
    pool.stop()


# the program killed


def start(program: Program, *more: str) -> "subprocess.Popen[str]":
    """The program, as a process of its own."""
    command = [sys.executable, "-m", "tests.cli.fake_program", *program.arguments(*more)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.02)


def children_of(pid: int) -> set[int]:
    """Processes whose parent a process is."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return {int(line) for line in found.stdout.split()}


def is_there(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to take notice of its end does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_program_that_is_killed_goes_on_without_loss(program: Program, how: signal.Signals) -> None:
    names = [f"{k}.png" for k in range(8)]
    for name in names:
        program.draw(name, "slow")
    running = start(program, "-j", "2")
    wait_for(lambda: len(list(program.out.glob("*.json"))) >= 2)
    workers = children_of(running.pid)
    assert len(workers) >= 2
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # a terminal sends it to the workers, too
    else:
        running.send_signal(how)
    out, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == (-9 if how == signal.SIGKILL else 130)
    assert out == ""
    if how != signal.SIGKILL:
        assert err == f"interrupted; the same command with --skip-existing goes on ({program.out})\n"
        assert 2 <= len((program.out / "summary.csv").read_text().splitlines()) - 1 < len(names)
    wait_for(lambda: not any(map(is_there, workers)))
    read = {path.name: path.stat().st_mtime_ns for path in program.out.glob("*.json")}
    assert len(read) < len(names)
    for path in program.out.glob("*.json"):  # nothing half
        assert set(json.loads(path.read_bytes())["run"]["bytes"]) == {f"{path.stem}.csv"}

    done = program("--skip-existing", "-j", "2")
    assert f"{len(read)} of them were there already" in done.err
    assert done.out.startswith("8 pages: 8 ok")
    assert [row["status"] for row in done.rows] == ["ok"] * 8
    assert done.files == sorted(
        [f"{k}.{suffix}" for k in range(8) for suffix in ("csv", "json")] + ["summary.csv"]
    )
    assert {name: (program.out / name).stat().st_mtime_ns for name in read} == read


def test_the_table_of_a_batch_that_went_on_is_that_of_one_that_ran_through(program: Program) -> None:
    for k, kind in enumerate(["slow", "partial", "slow", "failed", "slow", "slow"]):
        program.draw(f"ward {k % 2}/{k}.png", kind)
    whole = program("-o", program.home / "whole", "-j", "2")
    whole.folder = program.home / "whole"
    running = start(program)
    wait_for(lambda: len(list(program.out.rglob("*.json"))) >= 3)
    running.kill()
    running.communicate(timeout=PATIENCE_S)
    resumed = program("--skip-existing")
    timeless = [[{**row, "seconds": ""} for row in done.rows] for done in (whole, resumed)]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]) == 6
