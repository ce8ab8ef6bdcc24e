#!/usr/bin/env python
"""Turn the images of all records in a folder into signals and labels.

python run_model.py -d test_data -m model -o test_outputs -v
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from ecgpage.core.conventions import EcgPageError
from helper_code import *
from team_code import load_models, run_models


def get_parser() -> argparse.ArgumentParser:
    """Arguments of the script."""
    parser = argparse.ArgumentParser(description="Run the trained Challenge models.")
    parser.add_argument("-d", "--data_folder", type=str, required=True, help="records with images")
    parser.add_argument("-m", "--model_folder", type=str, required=True, help="the trained models")
    parser.add_argument("-o", "--output_folder", type=str, required=True, help="where signals and labels go")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    parser.add_argument("-f", "--allow_failures", action="store_true", help="go on after a record that fails")
    return parser


def run(args: argparse.Namespace) -> None:
    """Load the models, run them on every record, save what they return."""
    say = print if args.verbose else _say_nothing
    say("Loading the Challenge model...")
    digitization_model, classification_model = load_models(args.model_folder, args.verbose)

    say("Finding the Challenge data...")
    records = find_records(args.data_folder)
    if not records:
        raise Exception("No data were provided.")

    make_output_folder(args.output_folder, args.data_folder)
    say("Running the Challenge model(s) on the Challenge data...")
    for i, record in enumerate(records, start=1):
        say(f"- {i:>{len(str(len(records)))}}/{len(records)}: {record}...")
        data_record, output_record = (os.path.join(f, record) for f in (args.data_folder, args.output_folder))
        tolerate = partial(tolerate_failure, record, args.allow_failures, say)
        signals, labels = None, None
        with tolerate():
            signals, labels = run_models(data_record, digitization_model, classification_model, args.verbose)
        with tolerate():
            copy_header(data_record, output_record)
            if signals is not None:
                with tolerate():
                    add_signals(output_record, signals)
            if labels is not None:
                save_labels(output_record, labels)
    say("Done.")


@contextmanager
def tolerate_failure(record: str, allowed: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Let an error of one record pass, if allowed: it must not cost the others. Its reason goes to stderr."""
    try:
        yield
    except Exception as error:
        if not allowed:
            raise
        say("... failed.")
        print(f"{record}: {type(error).__name__}: {error}", file=sys.stderr)


def make_output_folder(folder: str, data_folder: str) -> None:
    """Create the output folder and try to write there, before hours are spent on the records."""
    way_out = "choose another folder with -o"
    if os.path.realpath(folder) == os.path.realpath(data_folder):
        raise EcgPageError(f"the output folder {folder} is the data folder and would overwrite it: {way_out}")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise EcgPageError(
            f"cannot write to the output folder {folder}: {reason}; make it writable or {way_out}"
        ) from error


def copy_header(data_record: str, output_record: str) -> None:
    """Write the input header unchanged; a signal that an earlier run left must not pass for this run's."""
    os.makedirs(os.path.dirname(output_record), exist_ok=True)
    remove_signals(output_record)
    save_header(output_record, load_header(data_record))


def add_signals(output_record: str, signals: np.ndarray) -> None:
    """Write the signals and a header that fits them; after a failure the header is as it was."""
    header = load_header(output_record)
    comments = [line for line in header.split("\n") if line.startswith("#")]
    try:
        save_signals(output_record, signals, comments)
    except Exception:
        remove_signals(output_record)
        save_header(output_record, header)
        raise


def remove_signals(output_record: str) -> None:
    """Delete the record's signal file, if there is one."""
    with suppress(FileNotFoundError):
        os.remove(output_record + ".dat")


def _say_nothing(message: str) -> None:
    pass


if __name__ == "__main__":
    try:
        run(get_parser().parse_args(sys.argv[1:]))
    except EcgPageError as problem:
        sys.exit(f"run_model.py: {problem}")
