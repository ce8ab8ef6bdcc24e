"""Read, write and score Challenge records: the names that the Challenge's scripts and ``team_code.py`` share.

Conventions
    record   path of a record's files without extension
    header   text of a record's ``.hea`` file
    signal   float (n_samples, n_leads), mV, NaN where there is no sample

The names and what they do are fixed by the PhysioNet/CinC Challenge 2024, whose organisers put their own file
in this one's place; the scoring itself lives in ``ecgpage.challenge.scoring``.
"""

import math
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy as sp
import wfdb
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from ecgpage.challenge import alignment, scoring, wfdb_header

if TYPE_CHECKING:
    from PIL import Image

substring_labels = "# Labels:"
substring_images = "# Image:"

Array = NDArray[np.float64]


# Input and output


def find_records(folder: str) -> list[str]:
    """Every ``.hea`` file at any depth: its path within ``folder`` without extension; unique and sorted."""
    records = set()
    for root, _, files in os.walk(folder):
        for file in files:
            if os.path.splitext(file)[1] == ".hea":
                records.add(os.path.relpath(os.path.join(root, file), folder)[: -len(".hea")])
    return sorted(records)


def load_header(record: str) -> str:
    """Text of the record's header."""
    return load_text(get_header_file(record))


def load_signals(record: str) -> tuple[Array, dict[str, Any]] | tuple[None, None]:
    """Signal (n_samples, n_leads) in physical units and its fields (fs, sig_len, units, sig_name, ...).

    (None, None) without a header, without signal files in the header, or if one of those files is missing.
    """
    folder = os.path.dirname(record)
    files = get_signal_files(record)
    if not files or not all(os.path.isfile(os.path.join(folder, file)) for file in files):
        return None, None
    signal, fields = wfdb.rdsamp(get_header_file(record)[: -len(".hea")])
    if None in fields["sig_name"]:
        fields["sig_name"] = get_signal_names(load_header(record))
    return signal, fields


def load_images(record: str) -> "list[Image.Image]":
    """The record's images in the header's order, opened but not yet decoded; missing files are skipped."""
    from PIL import Image  # noqa: PLC0415 (who only scores needs no image library)

    paths = [os.path.join(os.path.dirname(record), file) for file in get_image_files(record)]
    return [Image.open(path) for path in paths if os.path.isfile(path)]


def load_labels(record: str) -> list[str]:
    """Labels in the record's header; an exception if it has no labels line."""
    return get_labels_from_header(load_header(record))


def save_header(record: str, header: str) -> None:
    """Write the record's header."""
    save_text(get_header_file(record), header)


def save_signals(record: str, signal: Array, comments: Sequence[str] = ()) -> None:
    """Write ``signal`` beside the record's header and rewrite the header to match, followed by ``comments``.

    Sampling frequency, formats, gains, baselines, units and lead names are those of the header already there.
    """
    header = load_header(record)
    folder, name = os.path.split(record)
    wfdb.wrsamp(
        name,
        fs=get_sampling_frequency(header) or wfdb_header.DEFAULT_FS,
        units=get_signal_units(header),
        sig_name=get_signal_names(header),
        p_signal=signal,
        fmt=get_signal_formats(header),
        adc_gain=get_adc_gains(header),
        baseline=get_baselines(header),
        # wfdb stops at bytes that are not UTF-8
        comments=[c.replace("#", "").strip().encode("utf-8", "replace").decode() for c in comments],
        write_dir=folder,
    )


def save_labels(record: str, labels: Sequence[str]) -> str:
    """Append the labels line to the record's header, and return the new header."""
    header = load_header(record)
    if header and not header.endswith("\n"):
        header += "\n"
    header += f"{substring_labels} {', '.join(labels)}\n"
    save_header(record, header)
    return header


# Text


def load_text(filename: str) -> str:
    """Whole text of a file; bytes that are not UTF-8 survive ``save_text``."""
    with open(filename, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def save_text(filename: str, string: str) -> None:
    """Write a text file."""
    with open(filename, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(string)


def get_variable(string: str, variable_name: str) -> tuple[str, bool]:
    """What follows the name on the last line that starts with it, and whether there is such a line."""
    found = _values(string, variable_name)
    return (found[-1], True) if found else ("", False)


def get_variables(string: str, variable_name: str, sep: str = ",") -> tuple[list[str], bool]:
    """Items on all lines that start with the name (no item: ``['']``), and whether there is such a line."""
    found = _values(string, variable_name)
    return [item.strip() for item in sep.join(found).split(sep)] if found else [], bool(found)


def _values(string: str, name: str) -> list[str]:
    """What follows the name on the lines that start with it.

    Where none does, lines count that start with ``#`` and the name in other case or with other blanks (``#Image:``,
    ``# image :``), as people write it, and the Challenge's first headers did.
    """
    lines = string.split("\n")
    exact = [line[len(name) :].strip() for line in lines if line.startswith(name)]
    if exact or not name.startswith("#"):
        return exact
    word = name.strip("# \t:")
    loose = re.compile(
        rf"\s*#\s*{re.escape(word)}\s*{':' if name.rstrip().endswith(':') else ''}(.*)", re.IGNORECASE
    )
    return [match[1].strip() for match in map(loose.match, lines) if match]


def get_signal_files_from_header(string: str) -> list[str]:
    """Signal files that the header names, each once."""
    return list(dict.fromkeys(line.given("file") for line in wfdb_header.signal_lines(string)))


def get_image_files_from_header(string: str) -> list[str]:
    """Image files that the header names; an exception if it has no images line."""
    images, found = get_variables(string, substring_images)
    if not found:
        raise Exception("No images available: did you forget to generate or include the images?")
    return images


def get_labels_from_header(string: str) -> list[str]:
    """Labels that the header names; an exception if it has no labels line."""
    labels, found = get_variables(string, substring_labels)
    if not found:
        raise Exception("No labels available: are you trying to load the labels from the held-out data?")
    return labels


def get_header_file(record: str) -> str:
    """The record's header file."""
    return record if record.endswith(".hea") else record + ".hea"


def get_signal_files(record: str) -> list[str]:
    """Signal files that the record's header names; none without a header."""
    header_file = get_header_file(record)
    return get_signal_files_from_header(load_text(header_file)) if os.path.isfile(header_file) else []


def get_image_files(record: str) -> list[str]:
    """Image files that the record's header names; none without a header."""
    header_file = get_header_file(record)
    return get_image_files_from_header(load_text(header_file)) if os.path.isfile(header_file) else []


# Fields of WFDB headers. An error names the file, the line and the way out (``wfdb_header.HeaderError``, a ValueError).


def get_record_name(string: str) -> str:
    """Name of the record."""
    return wfdb_header.record_name(string)


def get_num_signals(string: str) -> int | None:
    """Number of signals, None if the header does not say."""
    return wfdb_header.count_signals(string)


def get_sampling_frequency(string: str) -> float | None:
    """Samples per second, None if the header does not say; readers of WFDB then take 250."""
    return wfdb_header.rate(string)


def get_num_samples(string: str) -> int | None:
    """Samples of each signal, None if the header does not say."""
    return wfdb_header.count_samples(string)


def get_signal_formats(string: str) -> list[str]:
    """Storage format of each signal, without samples per frame, skew and byte offset."""
    return wfdb_header.formats(string)


def get_adc_gains(string: str) -> list[float]:
    """Digital units per physical unit of each signal; 200 where the header gives none or 0."""
    return wfdb_header.gains(string)


def get_baselines(string: str) -> list[int]:
    """Digital value of 0 physical units of each signal; the ADC zero where the header gives no baseline."""
    return wfdb_header.baselines(string)


def get_signal_units(string: str) -> list[str]:
    """Physical unit of each signal; mV where the header gives none."""
    return wfdb_header.units(string)


def get_adc_resolutions(string: str) -> list[int]:
    """Bits of the converter of each signal; 12, or 10 for format 8, where the header gives none."""
    return wfdb_header.resolutions(string)


def get_adc_zeros(string: str) -> list[int]:
    """Digital value in the middle of the converter's range of each signal; 0 where the header gives none."""
    return wfdb_header.zeros(string)


def get_initial_values(string: str) -> list[int]:
    """First digital value of each signal, the ADC zero on lines that end before it; ValueError on hidden headers."""
    return wfdb_header.initial_values(string)


def get_checksums(string: str) -> list[int]:
    """Checksum of each signal; ValueError on hidden headers and lines that end before it."""
    return wfdb_header.checksums(string)


def get_block_sizes(string: str) -> list[int]:
    """Block size of each signal, 0 on lines that end before it; ValueError on hidden headers."""
    return wfdb_header.block_sizes(string)


def get_signal_names(string: str) -> list[str]:
    """Name of each signal; ``record NAME, signal NUMBER`` where the header gives none."""
    return wfdb_header.names(string)


# Evaluation


def compute_one_vs_rest_confusion_matrix(
    labels: ArrayLike, outputs: ArrayLike, classes: Sequence[Any]
) -> Array:
    """Counts [[TP, FP], [FN, TN]] of each class, from one-hot matrices (n_records, n_classes)."""
    return scoring.confusion_matrices(labels, outputs)


def compute_f_measure(
    labels: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]
) -> tuple[float, Array, list[str]]:
    """Macro F-measure, F-measure of each class, and the classes: the sorted union of ``labels``."""
    return scoring.compute_f_measure(labels, outputs)


def normalize_names(names_ref: Sequence[str], names_est: Sequence[str]) -> list[str]:
    """For each estimated name the first reference name that equals it but for case; others are dropped."""
    spelling = {name.casefold(): name for name in reversed(names_ref)}
    return [spelling[name.casefold()] for name in names_est if name.casefold() in spelling]


def reorder_signal(
    input_signal: Array, input_channels: Sequence[str], output_channels: Sequence[str]
) -> Array:
    """Columns of the signal in the order of ``output_channels``; zeros for channels that the input lacks."""
    for channels in (input_channels, output_channels):
        assert len(set(channels)) == len(channels), f"channel named twice: {', '.join(channels)}"
    if list(input_channels) == list(output_channels):
        return input_signal
    output_signal = np.zeros((len(input_signal), len(output_channels)), dtype=input_signal.dtype)
    column_of = {channel: column for column, channel in enumerate(input_channels)}
    for column, channel in enumerate(output_channels):
        if channel in column_of:
            output_signal[:, column] = input_signal[:, column_of[channel]]
    return output_signal


def convert_signal(x: ArrayLike, num_quant_levels: int, min_amp: float, max_amp: float, max_t: int) -> Array:
    """Binary image (num_quant_levels, max_t) of a lead; row 0 is ``min_amp``, the last row ``max_amp``."""
    return alignment.draw(alignment.as_lead(x), min_amp, max_amp, max_t, num_quant_levels)


def fft_correlate(A_ref: Array, A_est: Array) -> Array:
    """Full two-dimensional cross-correlation of two images."""
    return alignment.correlate_images(A_ref, A_est)


def align_signals(
    x_ref: ArrayLike, x_est: ArrayLike, num_quant_levels: int, smooth: bool = True, sigma: float = 0.5
) -> tuple[Array, int, float]:
    """Estimated lead moved onto the reference; the samples it was late and the mV it was too high."""
    return alignment.align(
        alignment.as_lead(x_ref),
        alignment.as_lead(x_est),
        levels=num_quant_levels,
        sigma=sigma if smooth else 0.0,
    )


def compute_snr(
    x_ref: ArrayLike,
    x_est: ArrayLike,
    keep_nans: bool = True,
    signal_median: bool = False,
    noise_median: bool = False,
) -> tuple[float, float, float]:
    """Signal-to-noise ratio in dB times coverage, signal power and noise power in mV^2."""
    return scoring.compute_snr(
        x_ref, x_est, keep_nans=keep_nans, signal_median=signal_median, noise_median=noise_median
    )


def compute_ks_metric(x_ref: ArrayLike, x_est: ArrayLike, keep_nans: bool = True) -> float:
    """Kolmogorov-Smirnov metric, 1 is best."""
    return scoring.compute_ks_metric(x_ref, x_est, keep_nans=keep_nans)


def compute_asci_metric(
    x_ref: ArrayLike, x_est: ArrayLike, beta: float = 0.05, keep_nans: bool = True
) -> float:
    """Adaptive signed correlation index, -1..1; ValueError unless 0 < beta <= 1."""
    return scoring.compute_asci_metric(x_ref, x_est, beta=beta, keep_nans=keep_nans)


def compute_weighted_absolute_difference(
    x_ref: ArrayLike, x_est: ArrayLike, sampling_frequency: float, keep_nans: bool = True
) -> float:
    """Weighted mean absolute difference in mV, 0 is best."""
    return scoring.compute_weighted_absolute_difference(x_ref, x_est, sampling_frequency, keep_nans=keep_nans)


# Other


def is_number(x: Any) -> bool:
    """Whether x can be read as a float."""
    try:
        float(x)
    except (TypeError, ValueError):
        return False
    return True


def is_integer(x: Any) -> bool:
    """Whether x can be read as a number without a fraction."""
    return is_number(x) and float(x).is_integer()


def is_finite_number(x: Any) -> bool:
    """Whether x can be read as a number, neither NaN nor infinite."""
    return is_number(x) and math.isfinite(float(x))


def is_nan(x: Any) -> bool:
    """Whether x can be read as a number and is NaN."""
    return is_number(x) and math.isnan(float(x))


def cast_int_float_unknown(x: Any) -> int | float | str:
    """An int if x is integral, a float if finite, 'Unknown' if NaN or infinite; else NotImplementedError."""
    if is_integer(x):
        return int(float(x))
    if is_finite_number(x):
        return float(x)
    if is_number(x):
        return "Unknown"
    raise NotImplementedError(f"Unable to cast {x}.")


def compute_one_hot_encoding(data: Sequence[Sequence[Any]], classes: Sequence[Any]) -> NDArray[np.bool_]:
    """Matrix (n_records, n_classes): which classes each record's labels name; unknown labels are ignored."""
    return scoring.one_hot(data, classes)
