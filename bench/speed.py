"""Time every stage of the pipeline on some pages, on an otherwise idle machine.

    python -m bench.speed [IMAGE ...] [--threads 1 2] [--rounds 3]     default: the example pages

Seconds are the least of the rounds: on the clock and, in brackets, of the processor, in case other programs run. The stages
are functions that ``ecgpage.pipeline`` calls; "whole page" also has the time between them. Memory is this process's peak.
The start is the time of ``run_model.py`` before the first page: imports and weights.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import cv2
import numpy as np
import torch

from ecgpage import pipeline
from ecgpage.challenge.habits import challenge_options
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.pipeline import Digitizer
from ecgpage.results import RecordReading

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
STAGES: Final = {
    "decode": ("read_image",),
    "grid": ("find_grids", "map_without_grid"),
    "flat": ("flatten_page",),
    "layout": ("find_upright_turn", "find_boxes", "read_layout"),
    "traces": ("read_traces",),
    "signals": ("assemble", "find_contradiction"),
}
"""Functions of the pipeline by stage."""
NAMES: Final = (*STAGES, "diagnosis", "whole page")
"""Names of all times, in the order of the table."""


class Clock:
    """Times, s, by name, on the clock and of the processor."""

    def __init__(self) -> None:
        self.seconds = {name: np.zeros(2) for name in NAMES}

    def run(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Result of the function; its time counts for ``name``, that of a generator while it is iterated."""
        began = _now()
        result = function(*args, **options)
        self.seconds[name] += _now() - began
        return self._asked(name, result) if isinstance(result, Iterator) else result

    def _asked(self, name: str, values: Iterator[Any]) -> Iterator[Any]:
        while True:
            began = _now()
            value = next(values, self)
            self.seconds[name] += _now() - began
            if value is self:
                return
            yield value

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Function that calls ``function`` and times it."""
        return lambda *args, **options: self.run(name, function, *args, **options)


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def time_page(path: Path, digitizer: Digitizer, diagnoser: Diagnoser) -> np.ndarray:
    """Times (len(NAMES), 2), s, of one page on the clock and of the processor."""
    clock = Clock()
    with ExitStack() as stack:
        for stage, functions in STAGES.items():
            for name in functions:
                timed = clock.wrapped(stage, getattr(pipeline, name))
                stack.enter_context(patch.object(pipeline, name, timed))

        def whole() -> None:
            reading: RecordReading = digitizer.read_record([path], 500.0, 5000)
            clock.run("diagnosis", diagnoser.diagnose, reading, 500.0)

        clock.run("whole page", whole)
    return np.array([clock.seconds[name] for name in NAMES])


def time_start() -> np.ndarray:
    """Times (2,), s, from the start of Python to loaded models, on the clock and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    load = f"import run_model; run_model.load_models({str(ROOT / 'model')!r}, False)"
    subprocess.run([sys.executable, "-c", load], cwd=ROOT, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])


def _peak_gb() -> float:
    """Peak memory, GB, of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    images = args.images or sorted((ROOT / "examples" / "input").glob("*-0.*"))
    digitizer, diagnoser = Digitizer.load(ROOT / "model", challenge_options()), Diagnoser.load(ROOT / "model")
    print("| page | threads | " + " | ".join(NAMES) + " |")
    print("|---" * (len(NAMES) + 2) + "|")
    for path in images:
        for threads in args.threads:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
            best = np.min([time_page(path, digitizer, diagnoser) for _ in range(args.rounds)], axis=0)
            cells = " | ".join(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in best)
            print(f"| {path.name} | {threads} | {cells} |", flush=True)
    print(f"\nmost memory {_peak_gb():.2f} GB")
    wall, cpu = np.min([time_start() for _ in range(args.rounds)], axis=0)
    print(f"start {wall:.2f} ({cpu:.2f}) s")


if __name__ == "__main__":
    main()
