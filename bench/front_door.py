"""Measure ``ecgpage digitize`` as its users meet it: pages a minute, memory, kills, long files, large pictures, folders.

    python -m bench.front_door STEP [STEP ...] --out FOLDER [--data DATA] [--pages 100]

    speed      the same pages with one worker and with two: pages a minute, resident memory of each worker as it goes on
    kills      two workers; one is killed every 20 s, the program itself twice, each time it goes on, at last without kills:
               nothing lost or twice; every fifth page is a real one, the others are blank
    document   a PDF of 400 pages, of which every 20th holds an ECG
    large      the example scan at 12,000 px
    folders    the examples, and below DATA: patient_images, world/pages, world/pdf

Pages are the shipped ones (two of examples, three of tests/pages) in turn. Prints one line of Markdown for each run.
"""

import argparse
import csv
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image as PilImage

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
SHIPPED: Final = (
    *sorted((ROOT / "examples/input").glob("*.[pj]*g")),
    *sorted((ROOT / "tests/pages").glob("*/*.png")),
)
"""Pages that ship."""
TIMEOUT_S: Final = 1800.0
"""Time for a page: on a machine that does other things, too, waiting is not to count as a failure."""
LOOK_S: Final = 1.0
"""Time, s, between two looks at the workers."""


@dataclass
class Run:
    """What one run did."""

    status: int | None
    last: str
    """Last line on stdout."""
    seconds: float
    cpu_s: float = 0.0
    """Time of the processor, all workers together."""
    memory_mb: dict[int, list[float]] = field(default_factory=dict)
    """Worker -> resident memory, MB, each LOOK_S."""
    killed: int = 0
    """Workers that were killed."""

    @property
    def peak_mb(self) -> float:
        return max((max(values) for values in self.memory_mb.values()), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for pages and results; emptied before each step"
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--pages", type=int, default=100)
    options = parser.parse_args()
    for step in options.steps:
        home = options.out / step
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        print(f"# {step}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        STEPS[step](home, options)


def measure_speed(home: Path, options: argparse.Namespace) -> None:
    """The same pages with one worker and with two."""
    copy_pages(home / "scans", options.pages)
    rates = {}
    for jobs in (1, 2):
        run = watch([home / "scans", "-o", home / f"out{jobs}", "-j", jobs])
        rates[jobs] = 60 * options.pages / run.seconds
        report(
            f"{options.pages} pages, -j {jobs}", run, f"{rates[jobs]:.1f} pages a minute", *tell_memory(run)
        )
    print(f"| two workers over one | {rates[2] / rates[1]:.2f} times |", flush=True)


def survive_kills(home: Path, options: argparse.Namespace) -> None:
    """Workers killed at random, the program killed twice; then a quiet run, which must read what was lost."""
    copy_pages(home / "scans", options.pages, every=5)
    arguments = [home / "scans", "-o", home / "out", "-j", 2]
    chance = random.Random(1)
    killed = 0
    for leave_s in (90.0, 180.0, None):
        run = watch([*arguments, "--skip-existing"], kill=chance, leave_s=leave_s)
        killed += run.killed
        report(f"{options.pages} pages, workers killed", run, f"{run.killed} workers killed")
    lost = [row for row in read_rows(home / "out") if not (home / "out" / f"{row['record']}.json").exists()]
    assert all(row["status"] == "failed" and "died" in row["reason"] for row in lost), lost
    run = watch([*arguments, "--skip-existing"])
    report(
        f"{options.pages} pages, the rest", run, f"{len(lost)} pages that were killed twice are read again"
    )
    rows = read_rows(home / "out")
    reports = list((home / "out").glob("*.json"))
    left = [path.name for path in (home / "out").iterdir() if path.name.startswith(".")]
    assert len(rows) == len(reports) == options.pages, (len(rows), len(reports))
    assert len({row["record"] for row in rows}) == options.pages
    assert not left, left
    print(
        f"| {killed} workers, the program twice | {tell_outcomes(rows)}; nothing lost, twice or left over |",
        flush=True,
    )


def read_document(home: Path, options: argparse.Namespace) -> None:
    """A PDF of 400 pages."""
    page = PilImage.open(SHIPPED[1]).convert("L").reduce(1)
    blank = PilImage.new("L", (1700, 1300), 250)
    pages = [page if number % 20 == 0 else blank for number in range(1, 401)]
    pages[0].save(home / "archive.pdf", save_all=True, append_images=pages[1:], resolution=200.0)
    run = watch([home / "archive.pdf", "-o", home / "out", "-j", 2, "-q"])
    size = (home / "archive.pdf").stat().st_size / 1e6
    report(f"PDF of 400 pages, {size:.0f} MB", run, tell_outcomes(read_rows(home / "out")), *tell_memory(run))


def read_large(home: Path, options: argparse.Namespace) -> None:
    """A scan of 12,000 px."""
    page = PilImage.open(SHIPPED[1]).convert("RGB")
    page.resize((12000, round(12000 * page.height / page.width))).save(home / "large.png")
    run = watch([home / "large.png", "-o", home / "out", "-j", 1])
    report("scan of 12,000 px", run, tell_outcomes(read_rows(home / "out")), *tell_memory(run))


def read_folders(home: Path, options: argparse.Namespace) -> None:
    """Folders of real pages."""
    data = options.data
    for folder in (
        ROOT / "examples/input",
        data / "patient_images",
        data / "world/pages",
        data / "world/pdf",
    ):
        out = home / folder.name
        run = watch([folder, "-o", out, "-j", 2, "-q"])
        report(folder.name, run, tell_outcomes(read_rows(out)), f"peak {run.peak_mb:.0f} MB")


STEPS: Final[dict[str, Callable[[Path, argparse.Namespace], None]]] = {
    "speed": measure_speed,
    "kills": survive_kills,
    "document": read_document,
    "large": read_large,
    "folders": read_folders,
}
"""Step of the command line -> what does it."""


def copy_pages(folder: Path, count: int, every: int = 1) -> None:
    """Fill a folder with the shipped pages in turn; but for one in ``every``, pages are blank."""
    folder.mkdir(parents=True)
    for number in range(count):
        page = SHIPPED[number // every % len(SHIPPED)]
        if number % every:
            PilImage.new("L", (1700, 1300 + number), 250).save(folder / f"{number:04}.png")
        else:
            shutil.copyfile(page, folder / f"{number:04}{page.suffix}")


def watch(arguments: list[object], kill: random.Random | None = None, leave_s: float | None = None) -> Run:
    """Run the program and look at its workers; ``kill``: kill one now and then, ``leave_s``: kill the program then."""
    command = [sys.executable, str(ROOT / "digitize.py"), *map(str, arguments), "--timeout", str(TIMEOUT_S)]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    run = Run(None, "", 0.0)
    next_kill = began + 20.0
    while process.poll() is None:
        time.sleep(LOOK_S)
        workers = dict(list_workers(process.pid))
        for pid, megabytes in workers.items():
            run.memory_mb.setdefault(pid, []).append(megabytes)
        now = time.monotonic()
        if kill is not None and workers and now > next_kill:
            os.kill(kill.choice(sorted(workers)), signal.SIGKILL)
            run.killed, next_kill = run.killed + 1, now + 20.0
        if leave_s is not None and now - began > leave_s:
            process.kill()
    run.status, run.seconds = process.returncode, time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert process.stdout is not None
    run.last = process.stdout.read().strip().rpartition("\n")[2]
    return run


def list_workers(parent: int) -> Iterator[tuple[int, float]]:
    """Workers of the program, and their resident memory, MB."""
    command = ["ps", "-o", "pid=,rss=,args=", "--ppid", str(parent)]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        pid, rss, arguments = line.split(maxsplit=2)
        if "spawn_main" in arguments:
            yield int(pid), int(rss) / 1024


def tell_memory(run: Run) -> list[str]:
    """Peak, and the memory of the worker that lived longest after each quarter of its time."""
    longest = max(run.memory_mb.values(), key=len, default=[0.0])
    quarters = [max(longest[: max(1, len(longest) * k // 4)]) for k in (1, 2, 3, 4)]
    return [
        f"peak {run.peak_mb:.0f} MB a worker",
        "peak after each quarter " + ", ".join(f"{q:.0f}" for q in quarters),
    ]


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tell_outcomes(rows: list[dict[str, str]]) -> str:
    counts = Counter(row["status"] for row in rows)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def report(name: str, run: Run, *facts: str) -> None:
    """One line of a table."""
    cells = [
        name,
        f"{run.seconds:.0f} s ({run.cpu_s:.0f} s of processor)",
        f"exit {run.status}",
        run.last or "(killed)",
        *facts,
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
