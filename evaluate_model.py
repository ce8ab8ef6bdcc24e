#!/usr/bin/env python
"""Score a folder of outputs against a folder of references.

python evaluate_model.py -d references -o test_outputs -s scores.txt
"""

import os

if __name__ == "__main__":
    # one thread for each process: they share the cores already. numpy reads this when it is first imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from ecgpage.challenge import scoring
from helper_code import *

Scores = tuple[float, float, float, float, float, float, dict[tuple[str, str], float], np.ndarray, list[str]]


def get_parser() -> argparse.ArgumentParser:
    """Arguments of the script."""
    parser = argparse.ArgumentParser(description="Evaluate the Challenge models.")
    parser.add_argument(
        "-d", "--folder_ref", type=str, required=True, help="references: headers, signals, labels"
    )
    parser.add_argument("-o", "--folder_est", type=str, required=True, help="outputs of run_model.py")
    parser.add_argument(
        "-n", "--no_shift", action="store_true", help="do not align the signals before scoring"
    )
    parser.add_argument("-x", "--extra_scores", action="store_true", help="more metrics of the signals")
    parser.add_argument(
        "-s", "--summary_score_file", type=str, help="write the summary there, do not print it"
    )
    parser.add_argument(
        "-ta", "--total_snr_file", type=str, help="write the SNR of each record and lead there"
    )
    parser.add_argument(
        "-tb", "--total_f_measure_file", type=str, help="write the F-measure of each class there"
    )
    parser.add_argument(
        "--jobs", type=positive_int, help="processes to score with (default: one for each core)"
    )
    return parser


def positive_int(text: str) -> int:
    """A count of at least one."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


@dataclass
class RecordScore:
    """Scores of one reference record."""

    digitized: bool = False
    """Whether there is an estimated signal."""
    leads: dict[str, scoring.LeadScore] = field(default_factory=dict)
    """Score of each lead; none without a reference signal."""
    labels_ref: list[str] = field(default_factory=list)
    """Reference labels; none if they are not given or all empty."""
    labels_est: list[str] = field(default_factory=list)
    """Estimated labels."""


def evaluate_model(
    folder_ref: str,
    folder_est: str,
    no_shift: bool = False,
    extra_scores: bool = False,
    *,
    jobs: int | None = None,
) -> Scores:
    """Score every record of ``folder_ref``.

    Returns the means over all records and leads of SNR (dB), SNR median, KS metric, ASCI metric and weighted
    absolute difference (mV), the macro F-measure, the SNR of each (record, lead), the F-measure of each
    class and the classes. Without ``extra_scores`` the four metrics after SNR are NaN. ``jobs``: processes,
    one for each core by default.
    """
    records = find_records(folder_ref)
    if not records:
        raise FileNotFoundError("No records found.")
    score = partial(score_record, folder_ref, folder_est, no_shift=no_shift, extra_scores=extra_scores)
    scores = dict(zip(records, map_records(score, records, jobs or os.cpu_count() or 1), strict=True))
    snr = {(record, lead): value.snr for record, s in scores.items() for lead, value in s.leads.items()}
    signal_means = average_leads(scores.values())
    f_measure, per_class, classes = score_labels(scores.values())
    return *signal_means, f_measure, snr, per_class, classes


def map_records(score: "partial[RecordScore]", records: list[str], jobs: int) -> list[RecordScore]:
    """Score the records in ``jobs`` processes, with a progress bar where stderr is a terminal."""
    scores = Parallel(n_jobs=min(jobs, len(records)), return_as="generator")(map(delayed(score), records))
    return list(tqdm(scores, total=len(records), unit="record", disable=None, file=sys.stderr))


def score_record(
    folder_ref: str, folder_est: str, record: str, *, no_shift: bool, extra_scores: bool
) -> RecordScore:
    """Score one record; an error names the record."""
    record_ref, record_est = os.path.join(folder_ref, record), os.path.join(folder_est, record)
    try:
        score = score_signals(record_ref, record_est, no_shift, extra_scores)
    except Exception as error:
        error.add_note(f"while scoring the record {record}")
        raise
    score.labels_ref = read_labels(record_ref)
    score.labels_est = read_labels(record_est)
    return score


def score_signals(record_ref: str, record_est: str, no_shift: bool, extra_scores: bool) -> RecordScore:
    """Score each lead of one record; without an estimate each is scored as missing throughout."""
    signal_ref, fields_ref = load_signals(record_ref)
    if signal_ref is None or fields_ref is None:
        return RecordScore()
    signal_est, fields_est = load_signals(record_est)
    leads = fields_ref["sig_name"]
    digitized = signal_est is not None
    if signal_est is None or fields_est is None:
        signal_est = np.full(signal_ref.shape, np.nan)
    else:
        check_fields(fields_ref, fields_est)
        signal_est = reorder_signal(signal_est, normalize_names(leads, fields_est["sig_name"]), leads)
    fs = fields_ref["fs"]
    pairs = zip(leads, signal_ref.T, signal_est.T, strict=True)
    return RecordScore(
        digitized,
        {
            lead: scoring.score_lead(ref, est, fs, no_shift=no_shift, extra=extra_scores)
            for lead, ref, est in pairs
        },
    )


def check_fields(ref: dict[str, Any], est: dict[str, Any]) -> None:
    """AssertionError unless both signals have the same sampling frequency, units (all mV) and leads."""
    for name in ("fs", "units"):
        require(ref[name] == est[name], f"{name} of the reference is {ref[name]}, of the output {est[name]}")
    require(set(ref["units"]) == {"mV"}, f"units must all be mV, not {ref['units']}")
    missing = [lead for lead in ref["sig_name"] if not normalize_names([lead], est["sig_name"])]
    require(not missing, f"the output lacks the leads {', '.join(missing)}")


def require(condition: bool, message: str) -> None:
    """An assertion that also holds under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def read_labels(record: str) -> list[str]:
    """Labels of a record; none if there is no header or no labels line, or if all of them are empty."""
    if not os.path.isfile(get_header_file(record)):
        return []
    labels, _ = get_variables(load_header(record), substring_labels)
    return labels if any(labels) else []


def average_leads(scores: Iterable[RecordScore]) -> tuple[float, float, float, float, float]:
    """SNR, SNR median, KS, ASCI, weighted difference: means over all leads; NaN if nothing was digitized."""
    scores = list(scores)
    leads = [lead for score in scores for lead in score.leads.values()]
    if not any(score.digitized for score in scores):
        leads = []
    return (
        scoring.nan_mean(lead.snr for lead in leads),
        # the Challenge's evaluator averages over the ratio *and* both powers; numbers stay comparable with it
        scoring.nan_mean(value for lead in leads for value in lead.snr_median),
        scoring.nan_mean(lead.ks for lead in leads),
        scoring.nan_mean(lead.asci for lead in leads),
        scoring.nan_mean(lead.weighted_difference for lead in leads),
    )


def score_labels(scores: Iterable[RecordScore]) -> tuple[float, np.ndarray, list[str]]:
    """Macro F-measure, F-measure of each class, classes; NaN if no record has any estimated label."""
    labelled = [score for score in scores if score.labels_ref]
    f_measure, per_class, classes = compute_f_measure(
        [score.labels_ref for score in labelled], [score.labels_est for score in labelled]
    )
    if not any(score.labels_est for score in labelled):
        return float("nan"), np.full(len(classes), np.nan), classes
    return f_measure, per_class, classes


def summarize(scores: Scores, extra_scores: bool) -> str:
    """Text of the summary: one ``name: value`` line for each score."""
    names = [
        "SNR",
        "SNR median",
        "KS metric",
        "ASCI metric",
        "Weighted absolute difference metric",
        "F-measure",
    ]
    values = dict(zip(names, scores[:6], strict=True))
    shown = names if extra_scores else ["SNR", "F-measure"]
    return "".join(f"{name}: {values[name]:.3f}\n" for name in shown)


def tabulate_snr(snr: dict[tuple[str, str], float]) -> str:
    """Table of the SNR: a row for each record, a column for each lead, None where a record lacks a lead."""
    leads = sorted({lead for _, lead in snr})
    rows = [["Record", *leads]]
    for record in sorted({record for record, _ in snr}):
        values = (snr.get((record, lead)) for lead in leads)
        rows.append([record, *("None" if value is None else str(float(value)) for value in values)])
    return "".join("\t".join(row) + "\n" for row in rows)


def tabulate_f_measure(per_class: np.ndarray, classes: list[str]) -> str:
    """Table of the F-measure of each class, without a heading."""
    return "".join(f"{name}\t{float(value)}\n" for name, value in zip(classes, per_class, strict=True))


def run(args: argparse.Namespace) -> None:
    """Score the folders, then print or save the scores."""
    scores = evaluate_model(
        args.folder_ref, args.folder_est, args.no_shift, args.extra_scores, jobs=args.jobs
    )
    snr, per_class, classes = scores[6:]
    summary = summarize(scores, args.extra_scores)
    if args.summary_score_file:
        save_text(args.summary_score_file, summary)
    else:
        print(summary)
    if args.total_snr_file:
        save_text(args.total_snr_file, tabulate_snr(snr))
    if args.total_f_measure_file:
        save_text(args.total_f_measure_file, tabulate_f_measure(per_class, classes))


if __name__ == "__main__":
    run(get_parser().parse_args(sys.argv[1:]))
