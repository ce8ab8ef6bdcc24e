"""The command ``ecgpage``: its sub-commands and exit statuses.

Help must come at once, so neither NumPy nor PyTorch is imported before the command line is understood.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn

from ecgpage import __version__
from ecgpage.cli import digitize_command, info_command
from ecgpage.core.conventions import EcgPageError

NOTHING_DONE: Final = 2
"""Exit status when nothing was done: usage, inputs, weights, device, output folder."""
INTERRUPTED: Final = 130
"""Exit status after Ctrl-C."""


class Command(NamedTuple):
    """One sub-command."""

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Exit status; ``EcgPageError`` when nothing could be done."""


COMMANDS: Final = (
    Command(
        "digitize",
        "read pictures, PDFs and DICOM files of ECGs into signals and diagnoses",
        digitize_command.add_arguments,
        digitize_command.run,
    ),
    Command(
        "info",
        "say what is installed, for reports of bugs: versions, device, weights",
        info_command.add_arguments,
        info_command.run,
    ),
)


class Parser(argparse.ArgumentParser):
    """Parser whose errors say where help is."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and leave with NOTHING_DONE."""
        self.exit(NOTHING_DONE, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def build_parser() -> Parser:
    """Parser of the whole command line."""
    parser = Parser(
        prog="ecgpage",
        description="From a picture of a 12-lead ECG to its signals in millivolts and to diagnoses. Not for clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"ecgpage {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS:
        own = commands.add_parser(
            command.name,
            help=command.about,
            description=f"{command.about[0].upper()}{command.about[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run, parser=own)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` when None); the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except EcgPageError as error:
        print(f"ecgpage: {error}", file=sys.stderr)
        return NOTHING_DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOTHING_DONE
    return status
