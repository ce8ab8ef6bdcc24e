"""Score estimated signals and labels against references by the formulas of the Challenge of 2024.

Conventions
    lead      (n_samples,), mV, NaN or infinite where there is no sample; the two leads may differ in length
    score     NaN where it is not defined: a perfect estimate has no finite SNR, an empty one no KS metric
    keep_nans True: only samples finite in both count; False: missing samples of the estimate count as 0 mV

Source: Reyna et al., "Digitization and Classification of ECG Images: The George B. Moody PhysioNet Challenge
2024", CinC 2024; the alignment is the version in use when the Challenge was scored (September 2024).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import filtfilt

from ecgpage.challenge.alignment import Lead, align, as_lead

MOST_SHIFT_S = 0.5
"""Longest time shift, s, that is forgiven, inclusive."""
MOST_SHIFT_MV = 1.0
"""Largest offset, mV, that is forgiven, inclusive."""
ASCI_BETA = 0.05
"""Tolerance of the ASCI metric, in standard deviations of the reference."""
WINDOW_S = 0.1
"""Length, s, of the moving average behind the weights of the weighted absolute difference."""

Snr = tuple[float, float, float]
"""Signal-to-noise ratio in dB times coverage, signal power and noise power in mV^2."""


@dataclass(frozen=True)
class LeadScore:
    """Scores of one estimated lead."""

    snr: float
    """Signal-to-noise ratio in dB times the share of reference samples estimated; the ranked score."""
    snr_median: Snr = (math.nan, math.nan, math.nan)
    """Signal-to-noise ratio with the median noise power instead of the mean, and the two powers."""
    ks: float = math.nan
    """1 - Kolmogorov-Smirnov distance of the cumulated absolute signals; 1 is best."""
    asci: float = math.nan
    """Adaptive signed correlation index, -1..1."""
    weighted_difference: float = math.nan
    """Weighted mean absolute difference in mV; 0 is best."""


def score_lead(
    ref: ArrayLike, est: ArrayLike, sampling_frequency: float, *, no_shift: bool = False, extra: bool = False
) -> LeadScore:
    """Scores of one lead (n_samples,), mV; unless ``no_shift``, a small shift in time and voltage is removed first.

    ``extra``: whether all metrics are computed, not the SNR alone.
    """
    ref, est = as_lead(ref), as_lead(est)
    if not no_shift:
        est = forgive_shift(ref, est, sampling_frequency)
    snr = compute_snr(ref, est)[0]
    if not extra:
        return LeadScore(snr)
    return LeadScore(
        snr=snr,
        snr_median=compute_snr(ref, est, noise_median=True),
        ks=compute_ks_metric(ref, est),
        asci=compute_asci_metric(ref, est),
        weighted_difference=compute_weighted_absolute_difference(ref, est, sampling_frequency),
    )


def forgive_shift(ref: Lead, est: Lead, sampling_frequency: float) -> Lead:
    """Estimate moved onto the reference, or unchanged when it is too far off in time or in voltage."""
    moved, samples, millivolts = align(ref, est)
    small = abs(samples) <= round(MOST_SHIFT_S * sampling_frequency) and abs(millivolts) <= MOST_SHIFT_MV
    return moved if small else est


def common_samples(ref: ArrayLike, est: ArrayLike, keep_nans: bool) -> tuple[Lead, Lead, float]:
    """Samples present in both leads, and their share of the reference's samples (NaN if it has none)."""
    ref, est = as_lead(ref), as_lead(est)
    length = max(len(ref), len(est))
    ref, est = (np.pad(lead, (0, length - len(lead)), constant_values=np.nan) for lead in (ref, est))
    if not keep_nans:
        est = np.nan_to_num(est)
    in_ref = np.isfinite(ref)
    in_both = in_ref & np.isfinite(est)
    coverage = float(in_both.sum() / in_ref.sum()) if in_ref.any() else math.nan
    return ref[in_both], est[in_both], coverage


def compute_snr(
    ref: ArrayLike,
    est: ArrayLike,
    *,
    keep_nans: bool = True,
    signal_median: bool = False,
    noise_median: bool = False,
) -> Snr:
    """Signal-to-noise ratio in dB times coverage, signal power and noise power in mV^2.

    The reference's mean counts as signal. No common sample: 0 dB with NaN powers. A perfect estimate, or a
    reference that is zero or empty: NaN.
    """
    ref, est, coverage = common_samples(ref, est, keep_nans)
    signal = _middle(ref**2, signal_median)
    noise = _middle((ref - est) ** 2, noise_median)
    if signal > 0 and noise > 0:
        return 10 * math.log10(signal / noise) * coverage, signal, noise
    return (0.0 if coverage == 0 else math.nan), signal, noise


def compute_ks_metric(ref: ArrayLike, est: ArrayLike, *, keep_nans: bool = True) -> float:
    """KS metric, 1 - max |F_ref - F_est|, F the cumulated absolute signal over its total; NaN if no sample is common."""
    ref, est, _ = common_samples(ref, est, keep_nans)
    if not len(ref):
        return math.nan
    sums = [np.cumsum(np.abs(lead)) for lead in (ref, est)]
    shares = [total / total[-1] if total[-1] > 0 else total for total in sums]
    return float(1 - np.max(np.abs(shares[0] - shares[1])))


def compute_asci_metric(
    ref: ArrayLike, est: ArrayLike, *, beta: float = ASCI_BETA, keep_nans: bool = True
) -> float:
    """ASCI, -1 to 1: mean of +1 where the estimate is within ``beta`` standard deviations of the reference, else -1.

    NaN if no sample is common; ValueError unless 0 < ``beta`` <= 1.
    """
    if not 0 < beta <= 1:
        raise ValueError(f"beta must be above 0 and at most 1, got {beta}")
    ref, est, _ = common_samples(ref, est, keep_nans)
    if not len(ref):
        return math.nan
    return float(np.mean(np.where(np.abs(ref - est) <= beta * np.std(ref), 1.0, -1.0)))


def compute_weighted_absolute_difference(
    ref: ArrayLike, est: ArrayLike, sampling_frequency: float, *, keep_nans: bool = True
) -> float:
    """Mean absolute difference in mV, weighted by 1 - a/(2 max a), a being the zero-phase average over 0.1 s.

    The average is that of the signed reference. NaN without a common sample or with a reference of zeros.
    """
    ref, est, _ = common_samples(ref, est, keep_nans)
    if not ref.any():
        return math.nan
    window = max(1, round(WINDOW_S * sampling_frequency))
    smooth = filtfilt(np.full(window, 1 / window), np.ones(1), ref, method="gust")
    weights = 1 - 0.5 * smooth / np.max(smooth)
    return float(np.sum(weights * np.abs(ref - est)) / np.sum(weights))


def nan_mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    kept = [value for value in values if not math.isnan(value)]
    return float(np.mean(kept)) if kept else math.nan


def _middle(values: Lead, median: bool) -> float:
    if not len(values):
        return math.nan
    return float(np.median(values) if median else np.mean(values))


def is_nan(value: object) -> bool:
    """Whether the value is the number NaN."""
    return isinstance(value, float) and math.isnan(value)


def one_hot(data: Sequence[Sequence[object]], classes: Sequence[object]) -> NDArray[np.bool_]:
    """Matrix (n_records, n_classes) of labels; NaN equals NaN, unknown labels are ignored."""

    def same(a: object, b: object) -> bool:
        return a == b or (is_nan(a) and is_nan(b))

    matrix = np.zeros((len(data), len(classes)), dtype=bool)
    for i, labels in enumerate(data):
        for j, wanted in enumerate(classes):
            matrix[i, j] = any(same(label, wanted) for label in labels)
    return matrix


def confusion_matrices(labels: ArrayLike, outputs: ArrayLike) -> NDArray[np.float64]:
    """Counts [[TP, FP], [FN, TN]] of each class against all others, from one-hot matrices."""
    truth = np.asarray(labels, dtype=bool)
    found = np.asarray(outputs, dtype=bool)
    counts = [[truth & found, ~truth & found], [truth & ~found, ~truth & ~found]]
    return np.array(counts).sum(axis=2).transpose(2, 0, 1).astype(np.float64)


def compute_f_measure(
    labels: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]
) -> tuple[float, NDArray[np.float64], list[str]]:
    """Macro F-measure, F-measure 2TP/(2TP + FP + FN) of each class, and the sorted classes of the references."""
    classes = sorted({label for row in labels for label in row})
    counts = confusion_matrices(one_hot(labels, classes), one_hot(outputs, classes))
    hits, false, missed = counts[:, 0, 0], counts[:, 0, 1], counts[:, 1, 0]
    total = 2 * hits + false + missed
    per_class = np.divide(2 * hits, total, out=np.full(len(classes), np.nan), where=total > 0)
    return nan_mean(per_class), per_class, classes
