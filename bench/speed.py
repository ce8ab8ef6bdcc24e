"""Time every stage on one page, alone on the machine.

python -m bench.speed [IMAGE ...]     default: the example pages
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from ecgpage.diagnose import SignalClassifier
from ecgpage.ecg import LEADS
from ecgpage.flat import flatten_page
from ecgpage.grid import lock_grid
from ecgpage.images import read_image
from ecgpage.leads import read_layout
from ecgpage.page import find_carriers
from ecgpage.pipeline import Digitizer
from ecgpage.signals import assemble
from ecgpage.trace import read_traces

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path)
    images = parser.parse_args().images or sorted((ROOT / "examples" / "input").glob("*-0.*"))
    digitizer, classifier = Digitizer.load(ROOT / "model"), SignalClassifier.load(ROOT / "model")
    names = ("decode", "carriers", "grid", "flat", "layout", "traces", "signals", "diagnosis")
    print("| page | " + " | ".join(names) + " | whole page |")
    print("|---" * (len(names) + 2) + "|")
    for path in images:
        rounds = [_time_page(path, digitizer, classifier) for _ in range(ROUNDS)]
        best = np.min(rounds, axis=0)
        print(f"| {path.name} | " + " | ".join(f"{s:.2f}" for s in best) + " |")
    print(f"\nmost memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _time_page(path: Path, digitizer: Digitizer, classifier: SignalClassifier) -> list[float]:
    """Seconds of each stage in order, then of the pipeline as a whole, which also decides which way up."""
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    image = read_image(path)
    mark()
    carriers = find_carriers(image)
    mark()
    grid = lock_grid(image, carriers)
    mark()
    flat = flatten_page(image, grid)
    mark()
    plan = read_layout(flat, 10.0)
    mark()
    traces = read_traces(image, flat, plan, digitizer.network)
    mark()
    signals = assemble(traces, plan, 500.0, 5000)
    mark()
    classifier.predict(signals.mv, 500.0, LEADS)
    mark()
    digitizer.read_record([path], 500.0, 5000)
    mark()
    return list(np.diff(marks))


if __name__ == "__main__":
    main()
