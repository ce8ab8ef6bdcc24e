"""The scores equal those of the Challenge's own evaluator, and the fast alignment equals its definition.

``golden/`` holds real signals, estimates disturbed on purpose (``cases.json`` says how) and what the
Challenge's evaluator of September 2024 wrote for them:

    evaluate_model.py -d reference -o estimate -s summary.txt -ta snr_by_lead.tsv -tb f_measure_by_class.tsv
    evaluate_model.py -d reference -o estimate -n -s summary_no_shift.txt -ta snr_by_lead_no_shift.tsv
    evaluate_model.py -d ... -o ... -x -s summary_extra.txt       (on the records EXTRA_RECORDS alone)
"""

import csv
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import evaluate_model
from ecgpage.challenge import alignment, scoring
from helper_code import load_signals

GOLDEN = Path(__file__).parents[1] / "golden"
EXTRA_RECORDS = ("noise", "late", "early", "offset", "flipped", "short")
DB = 1e-6  # per lead; the formulas are the same, only the order of float64 sums is not


def evaluate(folder, *arguments):
    """Run the script's own parser and order of work; the folder holds ``reference`` and ``estimate``."""
    arguments = ["-d", str(folder / "reference"), "-o", str(folder / "estimate"), *map(str, arguments)]
    evaluate_model.run(evaluate_model.get_parser().parse_args(arguments))


def read_table(path):
    with open(path, newline="") as file:
        heading, *rows = csv.reader(file, delimiter="\t")
    return heading, [row[0] for row in rows], np.array([[float(cell) for cell in row[1:]] for row in rows])


@pytest.mark.medium
@pytest.mark.parametrize(("flags", "suffix", "jobs"), [([], "", 2), (["-n"], "_no_shift", 1)])
def test_summary_and_tables_equal_the_challenges_own(tmp_path, flags, suffix, jobs):
    summary, snr, f_measure = (tmp_path / name for name in ("summary", "snr", "f"))
    evaluate(GOLDEN, *flags, "-s", summary, "-ta", snr, "-tb", f_measure, "--jobs", jobs)
    assert summary.read_text() == (GOLDEN / f"summary{suffix}.txt").read_text()
    assert f_measure.read_text() == (GOLDEN / "f_measure_by_class.tsv").read_text()
    ours, theirs = read_table(snr), read_table(GOLDEN / f"snr_by_lead{suffix}.tsv")
    assert ours[:2] == theirs[:2]
    np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=DB)


@pytest.fixture
def extra_folder(tmp_path):
    for folder in ("reference", "estimate"):
        (tmp_path / folder).mkdir()
        for record in EXTRA_RECORDS:
            for suffix in (".hea", ".dat"):
                shutil.copy(GOLDEN / folder / (record + suffix), tmp_path / folder)
    return tmp_path


@pytest.mark.medium
def test_extra_scores_equal_the_challenges_own(extra_folder, capsys):
    evaluate(extra_folder, "-x", "--jobs", "1")
    assert capsys.readouterr().out == (GOLDEN / "summary_extra.txt").read_text() + "\n"


@pytest.mark.medium
def test_extra_scores_skip_a_record_without_any_estimate(extra_folder):
    for suffix in (".hea", ".dat"):
        shutil.copy(GOLDEN / "reference" / f"absent{suffix}", extra_folder / "reference")
    score = partial(evaluate_model.evaluate_model, no_shift=True, extra_scores=True, jobs=1)
    with_absent = score(str(extra_folder / "reference"), str(extra_folder / "estimate"))
    (extra_folder / "reference" / "absent.hea").unlink()
    without = score(str(extra_folder / "reference"), str(extra_folder / "estimate"))
    assert with_absent[2:5] == without[2:5]
    assert with_absent[0] == pytest.approx(without[0] * 6 / 7)


# Alignment: the fast way against its definition


def lag_by_definition(ref, est, levels=256, sigma=0.5):
    """What the Challenge describes, step by step: images, smoothed, correlated, first maximum in C order."""
    width = max(len(ref), len(est))
    low, high = min(np.nanmin(ref), np.nanmin(est)), max(np.nanmax(ref), np.nanmax(est))
    images = []
    for lead in (ref, est):
        image = np.zeros((levels, width))
        for sample, mv in enumerate(lead):
            if np.isfinite(mv):
                level = round((levels - 1) * (mv - low) / (high - low) + 1)
                image[min(max(level, 1), levels) - 1, sample] = 1
        images.append(gaussian_filter(image, sigma))
    cross = fftconvolve(images[0], images[1][::-1, ::-1])
    auto = fftconvolve(images[0], images[0][::-1, ::-1])
    to = np.unravel_index(auto.argmax(), auto.shape)
    at = np.unravel_index(cross.argmax(), cross.shape)
    return int(to[1] - at[1]), float((to[0] - at[0]) / (levels - 1) * (high - low))


def real_leads(record, start, stop):
    signal, _ = load_signals(str(GOLDEN / "reference" / record))
    return [lead for lead in signal[start:stop].T if np.isfinite(lead).sum() > 100]


def with_gaps(lead, rng):
    gappy = lead.copy()
    gappy[rng.random(len(lead)) < 0.4] = np.nan
    gappy[: len(lead) // 5] = np.nan
    return gappy


DISTURBANCES = {
    "noise": lambda lead, rng: lead + 0.03 * rng.standard_normal(len(lead)),
    "strong noise": lambda lead, rng: lead + 0.2 * rng.standard_normal(len(lead)),
    "late and high": lambda lead, rng: np.roll(lead, 17) * 0.9 + 0.2,
    "early, three quarters long": lambda lead, rng: lead[30 : 30 + len(lead) * 3 // 4],
    "upside down": lambda lead, rng: -lead,
    "gaps": with_gaps,
    "stretched": lambda lead, rng: np.interp(np.arange(len(lead)) * 1.04, np.arange(len(lead)), lead),
    "nothing but noise": lambda lead, rng: rng.standard_normal(len(lead)),
}


@pytest.mark.medium
@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_real_leads_align_as_defined(disturb):
    rng = np.random.default_rng(7)
    for lead in real_leads("noise", 1000, 1700):
        estimate = disturb(lead, rng)
        assert alignment.align(lead, estimate)[1:] == lag_by_definition(lead, estimate)


@st.composite
def lead_pairs(draw):
    """Random walks, steps and noise with gaps, the estimate related to the reference or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(2, 90))
    ref = np.cumsum(rng.standard_normal(length)) * draw(st.sampled_from([0.01, 0.3]))
    est = rng.random(length)
    if draw(st.booleans()):
        est = np.roll(ref, draw(st.integers(-9, 9))) + draw(st.floats(-1, 1))
    est = est[: draw(st.integers(2, length))] + rng.standard_normal(1) * 0.01
    if draw(st.booleans()):
        ref, est = np.round(ref, 1), np.round(est, 1)
    for lead in (ref, est):
        lead[rng.random(len(lead)) < draw(st.sampled_from([0, 0.1, 0.6]))] = np.nan
    return ref, est


@pytest.mark.medium
@settings(max_examples=150, deadline=None)
@given(pair=lead_pairs(), levels=st.sampled_from([8, 100, 256]), sigma=st.sampled_from([0.5, 1.2]))
def test_random_leads_align_as_defined(pair, levels, sigma):
    ref, est = pair
    both = np.concatenate(pair)
    if not (np.isfinite(ref).any() and np.isfinite(est).any() and np.nanmin(both) < np.nanmax(both)):
        moved, samples, millivolts = alignment.align(ref, est)
        np.testing.assert_array_equal(moved, est)
        assert (samples, millivolts) == (0, 0)
        return
    lag = alignment.align(ref, est, levels=levels, sigma=sigma)[1:]
    assert lag == lag_by_definition(ref, est, levels, sigma)


def test_usual_estimates_need_no_large_transform(monkeypatch):
    def large_transform(*_arguments, **_options):
        raise AssertionError("the slow way was taken")

    monkeypatch.setattr(alignment, "find_lag_literally", large_transform)
    monkeypatch.setattr(alignment, "MOST_EXACT_SUMS", 20)
    rng = np.random.default_rng(1)
    for lead in real_leads("noise", 0, 5000):
        samples = alignment.align(lead, np.roll(lead, 6) + 0.02 * rng.standard_normal(len(lead)))[1]
        assert abs(samples - 6) <= 1


def test_a_tie_is_settled_as_the_definition_settles_it():
    ref = np.full(60, np.nan)
    ref[20:40] = 0.5  # fits anywhere on a flat line
    est = np.zeros(60)
    assert alignment.align(ref, est)[1:] == lag_by_definition(ref, est)


def test_a_tie_is_seen_through_rounding():
    """An upside-down lead correlates alike as late and as early; float64 sums differ by a last bit."""
    for seed in range(13, 60):
        lead = np.round(np.cumsum(np.random.default_rng(seed).standard_normal(80)), 1)
        assert alignment.align(lead, -lead)[1:] == lag_by_definition(lead, -lead)


def test_smoothing_mirrors_at_the_borders_of_the_image():
    lead = np.array([-1.0, 1.0, np.nan, 0.0, -0.99, 1.0])
    for sigma in (0.5, 2.0):
        kernel = alignment.gaussian_kernel(sigma)
        sparse = alignment.smooth_sparsely(lead, -1.0, 1.0, width=6, kernel=kernel, levels=256)
        smooth = gaussian_filter(alignment.draw(lead, -1.0, 1.0, 6), sigma)
        np.testing.assert_allclose(sparse.dense(), smooth, rtol=0, atol=1e-15)


# Worked examples


def heartbeat(samples=5000):
    """A lead at 500 Hz with an R wave of 1.2 mV and a T wave in each beat, the beats of unequal length."""
    time = np.arange(samples) / 500
    beat = np.sin(2 * np.pi * 1.2 * time + 0.4 * np.sin(0.9 * time)) - 1
    return 1.2 * np.exp(80 * beat) + 0.25 * np.exp(8 * np.roll(beat, 120))


@pytest.mark.parametrize(
    ("disturb", "low", "high", "why"),
    [
        (lambda x: x + 0, np.nan, np.nan, "a perfect lead has no noise to compare with"),
        (np.zeros_like, 0, 0, "zeros leave the whole signal as noise"),
        (lambda x: np.full_like(x, np.nan), 0, 0, "nothing in common scores 0 dB"),
        (lambda x: np.roll(x, 5) + 1e-6, 20, 120, "5 samples late is forgiven"),
        (lambda x: np.roll(x, -5) + 1e-6, 20, 120, "5 samples early is forgiven"),
        (lambda x: np.roll(x, 300), -9, 3, "0.6 s is too late to be forgiven"),
        (lambda x: x + 0.4, 15, 60, "0.4 mV is forgiven, to a level"),
        (lambda x: x + 1.5, -25, -10, "1.5 mV is too high to be forgiven"),
    ],
)
def test_what_a_disturbance_costs(disturb, low, high, why):
    lead = heartbeat()
    score = scoring.score_lead(lead, disturb(lead), 500).snr
    assert np.isnan(score) if np.isnan(low) else low <= score <= high, f"{why}, got {score} dB"


def test_missing_half_of_a_lead_costs_half_of_its_decibels():
    lead = heartbeat()
    whole = lead + 0.01 * np.cos(np.arange(5000))
    half = np.where(np.arange(5000) % 2, whole, np.nan)
    scores = [scoring.compute_snr(lead, est) for est in (whole, half)]
    assert scores[1][0] == pytest.approx(10 * np.log10(scores[1][1] / scores[1][2]) / 2)
    assert scores[1][0] == pytest.approx(scores[0][0] / 2, rel=0.02)


def test_an_estimate_may_be_shorter_or_longer():
    lead = heartbeat(1000)
    noisy = lead + 0.01
    assert scoring.compute_snr(lead, np.append(noisy, [9.0, 9.0])) == scoring.compute_snr(lead, noisy)
    short, whole = (scoring.compute_snr(ref, noisy[:800])[0] for ref in (lead[:800], lead))
    assert whole == pytest.approx(short * 0.8)


def test_missing_samples_may_be_taken_for_zero_instead():
    ref, est = np.array([1.0, 2.0, 2.0]), np.array([1.0, np.nan, 1.0])
    assert scoring.compute_snr(ref, est)[0] == pytest.approx(10 * np.log10(2.5 / 0.5) * 2 / 3)
    assert scoring.compute_snr(ref, est, keep_nans=False)[0] == pytest.approx(10 * np.log10(3 / (5 / 3)))


def test_shifts_up_to_the_limits_are_forgiven_and_none_beyond(monkeypatch):
    est, moved = np.zeros(9), np.ones(9)
    for shift, kept in [((50, 1.0), True), ((-50, -1.0), True), ((51, 0.0), False), ((0, -1.001), False)]:
        monkeypatch.setattr(scoring, "align", lambda ref, est, shift=shift: (moved, *shift))
        assert (scoring.forgive_shift(est, est, 100) is moved) == kept


def test_extra_metrics_by_hand():
    ref, est = np.array([0.0, 1.0, -1.0, 2.0]), np.array([0.0, 1.0, 1.0, np.nan])
    assert scoring.compute_ks_metric(ref, est) == pytest.approx(1.0)
    assert scoring.compute_ks_metric(ref, est[::-1]) == pytest.approx(1 - 1 / 2)
    assert scoring.compute_asci_metric(ref, est) == pytest.approx(1 / 3)
    assert scoring.compute_asci_metric(ref, est, beta=1.0) == pytest.approx(1 / 3)
    # at 10 Hz the average spans one sample: weights 1 - x/(2 max x)
    weights = np.array([1.0, 0.5, 1.5])
    difference = scoring.compute_weighted_absolute_difference(ref, est, 10)
    assert difference == pytest.approx(2 * 1.5 / weights.sum())
    with pytest.raises(ValueError, match="beta"):
        scoring.compute_asci_metric(ref, est, beta=0)


def test_metrics_of_leads_without_a_common_sample_are_nan():
    ref, est = np.array([1.0, np.nan]), np.array([np.nan, 1.0])
    score = scoring.score_lead(ref, est, 500, no_shift=True, extra=True)
    assert score.snr == 0
    assert np.isnan([score.ks, score.asci, score.weighted_difference]).all()
