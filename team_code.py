"""Provide the three functions of the Challenge as a thin layer over the package ``ecgpage``.

They use only names of ``helper_code`` that the organisers' file has too, so that it can replace ours.
"""

import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

# Idle OpenMP threads sleep instead of spinning: on busy cores that is ten times faster. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from ecgpage.challenge import ptbxl_100hz
from ecgpage.challenge.habits import challenge_options, clip_for_wfdb
from ecgpage.challenge.report import write_report
from ecgpage.core.conventions import LEADS, EcgPageError, canonical_lead
from ecgpage.core.runtime import Runtime
from ecgpage.diagnosis.diagnoser import Diagnoser, RecordDiagnosis
from ecgpage.layout.shown_time import PAGE_S
from ecgpage.pipeline import Digitizer
from ecgpage.results import RecordReading
from helper_code import (
    find_records,
    get_image_files_from_header,
    get_num_samples,
    get_sampling_frequency,
    get_signal_names,
    load_header,
)

log = logging.getLogger("team_code")

HERE = os.path.dirname(os.path.abspath(__file__))
"""Folder of this file."""
SHIPPED = ("pretrained", "model")
"""Folders beside this file that may hold shipped weights; a mounted ``model`` hides the second, not the first."""
FALLBACK_FS = 250.0
"""Sampling frequency, Hz, of a header that gives none: WFDB's default."""
TORCH = Runtime("torch")
"""What runs the networks in the Challenge: PyTorch on the processor, which is what its requirements hold."""
REPORT = "ECGPAGE_REPORT"
"""Environment variable that names a folder for reports; ``run_models`` writes one file a record there, named after the
record and the folder that holds it: ``<folder>/<record>.json``."""


def train_models(data_folder: str, model_folder: str, verbose: bool) -> None:
    """Retrain the whole system on the records of ``data_folder``; ``model_folder`` gets all that ``load_models`` needs.

    It holds the shipped weights from the first minute; what beats them on held-out patients replaces them (see
    ``ecgpage.train.retrain``, also for the time that it takes). Raises ``EcgPageError`` when there are no records.
    """
    from ecgpage.train.retrain import retrain  # slow to import, and running does without  # noqa: PLC0415

    _log_to_stderr(verbose)
    if not find_records(data_folder):
        raise EcgPageError(f"{data_folder}: no records; give a folder with WFDB headers (.hea)")
    retrain(Path(data_folder), Path(model_folder), _shipped_weights())


def load_models(model_folder: str, verbose: bool) -> tuple[Digitizer, Diagnoser]:
    """Digitizer and diagnoser; ``EcgPageError`` names the file and the way out when weights are missing or wrong."""
    _log_to_stderr(verbose)
    digitizer = Digitizer.load(model_folder, challenge_options(), TORCH)
    return digitizer, Diagnoser.load(model_folder, ask_page=bool(os.environ.get(REPORT)), runtime=TORCH)


def run_models(
    record: str, digitization_model: Digitizer, classification_model: Diagnoser, verbose: bool
) -> tuple[np.ndarray | None, list[str]]:
    """Signals and labels of one record.

    Returns float32 (n_samples, n_leads) mV in header order, NaN where nothing is known, within +-32 mV (None when the
    header gives 0 samples), and the labels. A page that cannot be read gives all NaN, and no labels unless its ECG could
    be located; the log gives the reason.
    """
    header = load_header(record)
    reading = digitize_record(record, header, digitization_model)
    found = diagnose_record(header, reading, classification_model)
    if os.environ.get(REPORT):
        write_report(os.environ[REPORT], record, reading, found)
    return signal_of(header, reading), found.answer.labels


def digitize_record(record: str, header: str, digitizer: Digitizer) -> RecordReading:
    """Reading of the images of a record at the header's rate and length; the log names what is missing.

    The length is that of one page when the header gives none.
    """
    fs, n_samples = rate_of(header), get_num_samples(header)
    n_samples = round(PAGE_S * fs) if n_samples is None else n_samples
    reading = ptbxl_100hz.read_record(digitizer, _image_paths(record, header), fs, n_samples)
    for reason in reading.reasons:
        log.warning("%s: %s", record, reason)
    log.info("%s: grade %s", record, ", ".join((str(reading.grade), *reading.grade.reasons)))
    return reading


def diagnose_record(header: str, reading: RecordReading, diagnoser: Diagnoser) -> RecordDiagnosis:
    """Diagnosis of a record, with the diagnoses of both branches."""
    return diagnoser.diagnose(reading, rate_of(header), by_picture_alone=True)


def rate_of(header: str) -> float:
    """Sampling frequency, Hz; ``EcgPageError`` when the header's number is no rate."""
    fs = get_sampling_frequency(header)
    if fs is None:
        return FALLBACK_FS
    if not (math.isfinite(fs) and fs > 0):
        raise EcgPageError(f"{header.splitlines()[0]!r}: {fs:g} Hz; give a positive sampling frequency")
    return fs


def answer(header: str, reading: RecordReading, diagnoser: Diagnoser) -> tuple[np.ndarray | None, list[str]]:
    """Signal in the header's order, and labels, as ``run_models`` returns them."""
    return signal_of(header, reading), diagnose_record(header, reading, diagnoser).answer.labels


def signal_of(header: str, reading: RecordReading) -> np.ndarray | None:
    """Signal, float32 (n_samples, n_leads), mV, in the header's order; None when the header gives 0 samples."""
    names = get_signal_names(header)
    if len(reading.mv) == 0:
        return None
    signal = np.full((len(reading.mv), len(names)), np.nan, np.float32)
    for column, name in enumerate(names):
        lead = canonical_lead(name)
        if lead is None:
            log.warning("%r is none of the twelve leads; it stays empty", name)
        else:
            signal[:, column] = reading.mv[:, LEADS.index(lead)]
    return clip_for_wfdb(signal)


def _image_paths(record: str, header: str) -> list[str]:
    """Paths of the images that the header names; empty when it names none."""
    try:
        files = get_image_files_from_header(header)
    except Exception:  # the organisers' helper raises plain Exception for a header without images
        return []
    return [os.path.join(os.path.dirname(record), file) for file in files if file]


def _shipped_weights() -> Path | None:
    folders = [Path(HERE) / name for name in SHIPPED]
    return next((folder for folder in folders if (folder / "weights.json").exists()), None)


def _log_to_stderr(verbose: Any) -> None:
    """Send the log to stderr, set up once: reasons always, progress when ``verbose``."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
    level = logging.INFO if verbose else logging.WARNING
    for name in ("team_code", "ecgpage"):
        logging.getLogger(name).setLevel(level)
