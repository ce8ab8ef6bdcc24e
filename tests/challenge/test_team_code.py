"""The Challenge's functions on headers and images of every kind, good and bad."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from ecgpage.challenge.habits import challenge_options
from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.torch_runtime import load_tensors, save_tensors
from ecgpage.core.weights import Card, load_card
from ecgpage.diagnosis import page_classifier, signal_classifier
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.diagnosis.page_network import PageNet, pack_weights
from ecgpage.diagnosis.page_view import MARGIN_MM, PULSE_MM, page_view
from ecgpage.diagnosis.stack import FEATURES, Stack, logit
from ecgpage.pipeline import Digitizer
from ecgpage.results import RecordReading
from helper_code import load_signals, save_signals
from team_code import TORCH, digitize_record, load_models, run_models, train_models
from tests.drawn import FS, clean_page, record

pytestmark = pytest.mark.medium  # the first test that reads loads the networks

ROOT = Path(__file__).parents[2]
MODEL = str(ROOT / "model")


@cache
def models() -> tuple:  # type: ignore[type-arg]
    return load_models(MODEL, False)


def header(
    *,
    names: tuple[str, ...] = LEADS,
    fs: float | str = FS,
    samples: int | str = 5000,
    images: str | None = "r-0.png",
) -> str:
    lines = [f"r {len(names)} {fs} {samples}".strip()]
    lines += [f"r.dat 16 1000.0(0)/mV 16 0    {name}" for name in names]
    if images is not None:
        lines.append(f"# Image: {images}")
    return "\n".join(lines) + "\n"


def write(folder: Path, text: str, *, picture: bool = True) -> str:
    (folder / "r.hea").write_text(text)
    if picture:
        PilImage.fromarray(clean_page().image).save(folder / "r-0.png")
    return str(folder / "r")


def run(record_path: str) -> tuple[np.ndarray | None, list[str]]:
    return run_models(record_path, *models(), False)


def test_a_page_gives_signals_and_labels_in_header_order(tmp_path: Path) -> None:
    names = ("V6", "AVR", "I", "II")
    signal, labels = run(write(tmp_path, header(names=names)))
    assert signal is not None
    assert (signal.dtype, signal.shape) == (np.float32, (5000, 4))
    assert labels
    truth = clean_page().masked_signal
    for column, lead in enumerate(("V6", "aVR", "I", "II")):
        true = truth[:, LEADS.index(lead)]
        both = np.isfinite(true) & np.isfinite(signal[:, column])
        assert both.sum() > 0.9 * np.isfinite(true).sum()
        assert np.corrcoef(true[both], signal[both, column])[0, 1] > 0.95


@pytest.mark.parametrize("fs", [100, 250, 1000])
def test_the_headers_rate_and_length_are_kept(tmp_path: Path, fs: int) -> None:
    signal, _ = run(write(tmp_path, header(fs=fs, samples=10 * fs)))
    assert signal is not None
    assert signal.shape == (10 * fs, 12)
    assert np.isfinite(signal[: 2 * fs, 0]).mean() > 0.95
    assert np.isnan(signal[3 * fs :, 0]).all()


def test_no_samples_in_the_header_give_labels_only(tmp_path: Path) -> None:
    signal, labels = run(write(tmp_path, header(samples=0)))
    assert signal is None
    assert labels


@pytest.mark.parametrize(
    ("fs", "samples", "shape"),
    [("", "", (2500, 12)), (500, 1250, (1250, 12)), (500, 1, (1, 12))],
    ids=["neither rate nor length", "2.5 s", "one sample"],
)
def test_a_header_may_say_less_than_the_page_shows(
    tmp_path: Path, fs: int | str, samples: int | str, shape: tuple[int, int]
) -> None:
    signal, labels = run(write(tmp_path, header(fs=fs, samples=samples)))
    assert signal is not None
    assert signal.shape == shape
    # the ink's first tenth of a millimetre is seen or not by rounding: two samples
    assert np.isfinite(signal[2 : shape[0] // 5, 0]).all()
    assert labels == whole_labels()


def test_a_rate_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match=r"r 12 -500 5000.*positive sampling frequency"):
        run(write(tmp_path, header(fs=-500)))


def test_of_two_images_the_readable_one_counts(tmp_path: Path) -> None:
    PilImage.new("RGB", (800, 600), "white").save(tmp_path / "blank.png")
    signal, _ = run(write(tmp_path, header(images="blank.png, r-0.png")))
    assert signal is not None
    assert np.isfinite(signal[:, 1]).mean() > 0.95


def test_an_unknown_lead_stays_empty(tmp_path: Path) -> None:
    signal, _ = run(write(tmp_path, header(names=("I", "V7"))))
    assert signal is not None
    assert np.isfinite(signal[:, 0]).any()
    assert np.isnan(signal[:, 1]).all()


def _truncate(folder: Path) -> None:
    path = folder / "r-0.png"
    path.write_bytes(path.read_bytes()[:20000])


@pytest.mark.parametrize(
    ("spoil", "images", "says"),
    [
        (lambda folder: (folder / "r-0.png").unlink(), "r-0.png", "no such image"),
        (_truncate, "r-0.png", "cannot be decoded"),
        (lambda folder: (folder / "r-0.png").write_text("?"), "r-0.png", "cannot be decoded"),
        (lambda folder: PilImage.new("L", (1, 1)).save(folder / "r-0.png"), "r-0.png", "too small"),
        (
            lambda folder: PilImage.new("L", (900, 700), 255).save(folder / "r-0.png"),
            "r-0.png",
            "no ECG grid",
        ),
        (lambda folder: None, None, "names no image"),
    ],
    ids=["missing", "truncated", "text", "1x1", "all white", "no image line"],
)
def test_a_bad_page_gives_nothing_but_a_reason(  # type: ignore[no-untyped-def]
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil, images: str | None, says: str
) -> None:
    path = write(tmp_path, header(images=images))
    spoil(tmp_path)
    with caplog.at_level(logging.WARNING):
        signal, labels = run(path)
    assert signal is not None
    assert signal.shape == (5000, 12)
    assert np.isnan(signal).all()
    assert labels == []
    assert says in caplog.text
    assert path in caplog.text


@pytest.mark.slow
def test_a_12000_px_scan_is_read_in_less_than_2_gb(tmp_path: Path) -> None:
    page = PilImage.fromarray(clean_page().image).convert("L")
    page.resize((12000, 9273), PilImage.Resampling.BILINEAR).save(tmp_path / "r-0.png", compress_level=1)
    path = write(tmp_path, header(), picture=False)
    program = (
        "import numpy as np\n"
        "from team_code import load_models, run_models\n"
        f"signal, _ = run_models({path!r}, *load_models({MODEL!r}, False), False)\n"
        # the process's own peak: the one in resource begins with what the process that started it held
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(np.isfinite(signal[:, 1]).mean(), int(peak.split()[1]) * 1024 / 1e9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    found, peak_gb = (float(v) for v in done.stdout.split())
    assert found > 0.9
    assert peak_gb < 2.0


def test_missing_or_changed_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="nowhere"):
        load_models(str(tmp_path / "nowhere"), False)
    shutil.copytree(MODEL, tmp_path / "model")
    weights = tmp_path / "model" / "trace.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(EcgPageError, match=weights.name):
        load_models(str(tmp_path / "model"), False)


def test_training_writes_all_that_loading_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGPAGE_TRAIN_HOURS", "1")  # few records end sooner
    data = tmp_path / "data" / "a"
    data.mkdir(parents=True)
    for k, label in enumerate(["NORM", "AFIB/AFL", "NORM", "New class"]):
        name = f"r{k}"
        text = header(images=f"{name}-0.png").replace("r.dat", f"{name}.dat").replace("r 12", f"{name} 12")
        (data / f"{name}.hea").write_text(text + f"# Labels: {label}\n")
        save_signals(str(data / name), record(), [f"Labels: {label}"])
    shutil.copy(data / "r0.hea", data / "broken.hea")  # its signal file is that of another record
    (data / "unlabelled.hea").write_text(header())
    train_models(str(tmp_path / "data"), str(tmp_path / "model"), False)
    digitizer, classifier = load_models(str(tmp_path / "model"), False)
    assert set(classifier.classes) == {"NORM", "AFIB/AFL", "New class"}
    assert digitizer.network is not None
    assert load_signals(str(data / "r0"))[0] is not None


def test_training_without_records_says_so(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="no records"):
        train_models(str(tmp_path), str(tmp_path / "model"), False)


# both branches


@cache
def whole_labels() -> list[str]:
    return models()[1].diagnose(clean_reading(), FS).answer.labels


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shipped networks, but a small page branch with random weights and a stack that hears both branches alike."""
    folder = tmp_path_factory.mktemp("both")
    for name in (signal_classifier.NAME, "trace", "detector"):
        save_tensors(folder, name, load_tensors(MODEL, name), load_card(MODEL, name))
    torch.manual_seed(0)
    network = PageNet(len(CLASSES), size=(64, 96))
    settings = {
        "classes": list(CLASSES),
        "thresholds": [0.5] * len(CLASSES),
        "network": network.settings,
    }
    card = Card("input", "output", "data", "command", "score", settings=settings)
    save_tensors(folder, page_classifier.NAME, pack_weights(network.state_dict()), card)
    weights = np.zeros((len(CLASSES), len(FEATURES)))
    weights[:, :2] = 0.5
    stack = Stack(weights, np.zeros(len(CLASSES)), CLASSES, [0.5] * len(CLASSES), at_least_one=True)
    stack.save(folder, trained_on="nothing", command="none", score="none")
    return folder


@cache
def clean_reading() -> RecordReading:
    page = models()[0].read_page(clean_page().image, FS, 5000)
    return RecordReading(page.signals.mv, page.signals.readings, [page], located=[page.located])


def test_signal_and_page_answer_together_where_their_stack_is(both: Path) -> None:
    found = Diagnoser.load(both, runtime=TORCH).diagnose(clean_reading(), FS)
    assert found.signal is not None
    assert found.page is not None
    wanted = [
        (logit(np.array(p)) + logit(np.array(q))) / 2
        for p, q in zip(found.signal.probabilities.values(), found.page.probabilities.values(), strict=True)
    ]
    np.testing.assert_allclose(logit(np.array(list(found.answer.probabilities.values()))), wanted, atol=1e-5)
    assert found.leads_read == 12
    assert found.answer.labels


def test_the_page_branch_sees_the_ecg_and_little_else() -> None:
    (located,) = clean_reading().located
    assert located is not None
    view = page_view(located.image, located.grid, located.segments, located.traces)
    assert view is not None
    assert (view.dtype, max(view.shape)) == (np.uint8, 640)
    drawn = clean_page().truth
    boxes = np.array([s.box for s in drawn.segments])
    size_mm = (boxes[:, 2:].max(0) - boxes[:, :2].min(0)) / drawn.px_per_mm + 2 * MARGIN_MM
    assert view.shape[0] / view.shape[1] == pytest.approx(size_mm[1] / (size_mm[0] + PULSE_MM), rel=0.1)


def test_a_page_without_signals_is_answered_by_its_picture(both: Path) -> None:
    nothing = np.full((5000, 12), np.nan, np.float32)
    located = replace(clean_reading(), mv=nothing)
    diagnoser = Diagnoser.load(both, runtime=TORCH)
    found = diagnoser.diagnose(located, FS, by_picture_alone=True)
    assert found.signal is None
    assert found.page is not None
    np.testing.assert_allclose(
        list(found.answer.probabilities.values()), list(found.page.probabilities.values()), atol=1e-6
    )
    assert found.answer.labels
    unseen = replace(located, located=[None])
    for lost in (diagnoser.diagnose(located, FS), diagnoser.diagnose(unseen, FS, by_picture_alone=True)):
        assert lost.answer.labels == []
        assert all(np.isnan(list(lost.answer.probabilities.values())))


def test_pictures_of_a_refused_page_are_kept(tmp_path: Path) -> None:
    loaded = models()[0]
    strict = replace(challenge_options(), min_confidence=2.0, max_grids=1)
    digitizer = Digitizer(loaded.network, loaded.detector, loaded.reader, strict)
    path = write(tmp_path, header())
    reading = digitize_record(path, header(), digitizer)
    assert reading.is_empty
    assert reading.located[0] is not None
    assert "no 12-lead ECG recognised" in reading.reasons[0]


def test_after_training_the_signal_branch_answers_alone(both: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(both, folder)
    tensors = {key: value + 1e-3 for key, value in load_tensors(folder, signal_classifier.NAME).items()}
    save_tensors(folder, signal_classifier.NAME, tensors, load_card(folder, signal_classifier.NAME))
    diagnoser = Diagnoser.load(folder, runtime=TORCH)
    assert diagnoser.stacked is None
    assert diagnoser.page is None
    found = diagnoser.diagnose(clean_reading(), FS)
    assert found.answer == found.signal
    assert Diagnoser.load(folder, ask_page=True, runtime=TORCH).diagnose(clean_reading(), FS).page is not None


def test_a_report_says_what_both_branches_found(
    both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGPAGE_REPORT", str(tmp_path / "reports"))
    path = write(tmp_path, header(images=None), picture=False)
    run_models(path, *load_models(str(both), False), False)
    report = json.loads((tmp_path / "reports" / tmp_path.name / "r.json").read_text())
    assert report["labels"] == []
    assert report["probabilities"] == dict.fromkeys(CLASSES)
    assert report["leads_read"] == 0
    assert "names no image" in report["reasons"][0]


def test_a_shipped_stack_fits_the_shipped_branches() -> None:
    shipped = json.loads((ROOT / "model" / "weights.json").read_text())
    assert (Diagnoser.load(MODEL).stacked is not None) == ("stack" in shipped)


def test_no_file_of_the_shipped_model_changes_in_these_tests() -> None:
    cards = json.loads((ROOT / "model" / "weights.json").read_text())
    assert set(os.listdir(MODEL)) == {card["file"] for card in cards.values()} | {"weights.json"}
    for card in cards.values():
        content = (ROOT / "model" / card["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == card["sha256"]
