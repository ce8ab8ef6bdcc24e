"""Arguments of ``ecgpage digitize``."""

import argparse
import hashlib
import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ecgpage.cli.page_choice import ALL_PAGES, PageChoice, parse_pages
from ecgpage.cli.settings import (
    DEFAULT_FORMATS,
    DEVICES,
    FORMATS,
    GAINS_MM_PER_MV,
    LIBRARIES,
    OVERLAYS,
    PAGES_ARE,
    SPEEDS_MM_PER_S,
    Order,
    Overlay,
    Settings,
)
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.shipped_weights import TABLE, find_weights
from ecgpage.layout.options import Hints

WORKER_GB: Final = 1.5
"""Memory of one worker, GB: what it needs for a page of 12,000 x 12,000 px."""
EPILOG: Final = """\
results of OUT/<path below INPUT>/<name>[_p2]:
  .hea .dat .csv .json ...   by --to; the .json is written in any case, last, and vouches for the others
  .plot.png .overlay.jpg     the leads; the traces on the picture (--to png, --overlay)
  summary.csv                a row for each page, whatever became of it
Names keep A-Z a-z 0-9 _ -; other characters become _ and a hash follows.

exit status:
  0  all pages were read (partial ones count as read, with --strict as failed)
  1  a page failed; the others are written
  2  nothing was done: command line, inputs, weights, device, output folder
  130  interrupted; the same command with --skip-existing goes on

Each worker (--jobs) is a process of one thread (OMP_NUM_THREADS) with about 0.6 GB, 1.5 GB for the largest pictures.
Nothing is sent anywhere. This is research software, not for clinical use.
"""
"""End of the help text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a parser."""
    parser.usage = "%(prog)s INPUT [INPUT ...] -o OUT [options]"
    parser.epilog = EPILOG
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, folder, pattern such as 'scans/**/*.png', or @LIST with one a line",
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder for the results")
    _add_reading(parser.add_argument_group("what is read"))
    _add_writing(parser.add_argument_group("what is written"))
    _add_running(parser.add_argument_group("how"))


def _add_reading(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--pages",
        metavar="LIST",
        type=_checked(parse_pages),
        default=ALL_PAGES,
        help="pages of each file, such as 1,3-5 or 2-",
    )
    group.add_argument(
        "--pages-are",
        choices=PAGES_ARE,
        default="auto",
        help="each page of a file a record, all of them one, or one where they complete each other: "
        "limb leads on one page, chest leads on the next (auto)",
    )
    group.add_argument("--password", metavar="TEXT", help="of PDFs")
    group.add_argument(
        "--dpi",
        metavar="N",
        type=_parse_dpi,
        default=None,
        help="dots per inch at which PDF pages are drawn (auto: 300, scans as they are)",
    )
    group.add_argument(
        "--speed",
        metavar="MM/S",
        type=float,
        choices=SPEEDS_MM_PER_S,
        help="paper speed, whatever was read: 25, 50, ...",
    )
    group.add_argument(
        "--gain",
        metavar="MM/MV",
        type=float,
        choices=GAINS_MM_PER_MV,
        help="gain, whatever was read: 5, 10, 20, ...",
    )
    group.add_argument(
        "--layout",
        metavar="NAME",
        default="auto",
        help="layout, whatever was read: 3x4+1, 6x2, 12x1, ... (auto)",
    )


def _add_writing(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--to", metavar="LIST", type=_parse_formats, default=DEFAULT_FORMATS,
        help=f"formats, of {','.join(FORMATS)} ({','.join(DEFAULT_FORMATS)})",
    )  # fmt: skip
    group.add_argument("--fs", metavar="HZ", type=_positive, default=500.0, help="samples per second (500)")
    group.add_argument(
        "--seconds", metavar="S", type=_positive, default=10.0, help="length of the signals (10)"
    )
    group.add_argument(
        "--overlay", choices=OVERLAYS,
        help="picture of the traces found: on the ECG alone, on the whole page with all that it names, or none "
        "(ecg with --to png)",
    )  # fmt: skip
    group.add_argument(
        "--anonymous",
        action="store_true",
        help="name records by their content; no name or path of a source in any result",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument(
        "--skip-existing", dest="existing", action="store_const", const="skip", default="refuse",
        help="go on: leave pages that were read from this content, with these settings and this version",
    )  # fmt: skip
    existing.add_argument(
        "--overwrite", dest="existing", action="store_const", const="replace", help="read everything again"
    )
    group.add_argument(
        "--debug", metavar="DIR", help="also draw grid, boxes, text, layout and traces of each page there"
    )


def _add_running(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--device", choices=DEVICES, default="auto", help="processor or GPU (auto: a GPU where there is one)"
    )
    group.add_argument("--model", metavar="DIR", help="folder with weights other than those of the package")
    group.add_argument(
        "-j", "--jobs", metavar="N", type=_count, help="workers (one for each core that has the memory)"
    )
    group.add_argument("--timeout", metavar="S", type=_positive, default=120.0, help="time for a page (120)")
    group.add_argument("--strict", action="store_true", help="partial pages count as failed")
    volume = group.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="neither progress nor reasons")
    volume.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="a line for each page; -vv: all that the reader says",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit status. ``EcgPageError`` when nothing can be done."""
    order = read_order(options)
    check_order(order)
    from ecgpage.cli.batch import run_batch  # noqa: PLC0415 - help needs nothing of it

    return run_batch(order)


def read_order(options: argparse.Namespace) -> Order:
    """What the arguments ask for; ``EcgPageError`` when the weights are not there."""
    weights = options.model or find_weights()
    overlay: Overlay = options.overlay or ("ecg" if "png" in options.to else "none")
    settings = Settings(
        formats=options.to,
        fs=options.fs,
        seconds=options.seconds,
        overlay=overlay,
        anonymous=options.anonymous,
        hints=Hints(options.speed, options.gain, None if options.layout == "auto" else options.layout),
        pages_are=options.pages_are,
        dpi=options.dpi,
        password=options.password,
        device=options.device,
        model=options.model,
        weights=_hash_table(Path(weights)),
        existing=options.existing,
        debug=options.debug,
        verbosity=-1 if options.quiet else options.verbose,
    )
    return Order(
        inputs=tuple(options.inputs),
        out=options.output,
        settings=settings,
        pages=options.pages,
        jobs=options.jobs or count_workers(),
        timeout_s=options.timeout,
        strict=options.strict,
    )


def check_order(order: Order) -> None:
    """``EcgPageError`` when arguments do not go together, or ask for what is not installed."""
    settings = order.settings
    if settings.anonymous and settings.overlay == "page":
        raise EcgPageError("--overlay page shows names that stand on a page; leave it or --anonymous out")
    if round(settings.fs * settings.seconds) < 1:
        raise EcgPageError(
            f"--fs {settings.fs:g} and --seconds {settings.seconds:g} make no sample; give more"
        )
    for name, (module, extra) in LIBRARIES.items():
        if name in settings.formats and importlib.util.find_spec(module) is None:
            raise EcgPageError(f'--to {name} needs {module}; install it with: pip install "ecgpage[{extra}]"')
    from ecgpage.layout.known_layouts import LAYOUT_OF  # noqa: PLC0415 - help needs nothing of it

    layout = settings.hints.layout
    if layout is not None and layout not in LAYOUT_OF:
        raise EcgPageError(f"--layout {layout!r} is not known; choose auto, {', '.join(LAYOUT_OF)}")


def count_workers() -> int:
    """Workers that the machine has cores and memory for, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, OSError, ValueError):  # Windows tells it in other ways
        return cores
    return max(1, min(cores, int(memory_gb / WORKER_GB)))


def _hash_table(folder: Path) -> str:
    """sha256 of the table of the weights, which names that of each file."""
    try:
        return hashlib.sha256((folder / TABLE).read_bytes()).hexdigest()
    except OSError as error:
        raise EcgPageError(
            f"{folder / TABLE}: {error.strerror or error}; name a folder with weights: --model DIR"
        ) from error


def _checked(parse: Callable[[str], PageChoice]) -> Callable[[str], PageChoice]:
    """Parser of an argument whose ``EcgPageError`` is one of the command line."""

    def parsed(text: str) -> PageChoice:
        try:
            return parse(text)
        except EcgPageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _parse_formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'} is no format; choose of {','.join(FORMATS)}"
        )
    return names


def _parse_dpi(text: str) -> float | None:
    return None if text == "auto" else _positive(text)


def _positive(text: str) -> float:
    """Number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _count(text: str) -> int:
    """Whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)
