"""ONNX Runtime and PyTorch answer alike, with the same weights; the way of ONNX Runtime never meets PyTorch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgpage import Digitization, EcgPageError, Reader
from ecgpage.core.conventions import LEADS
from ecgpage.core.onnx_runtime import GRAPH
from ecgpage.core.runtime import PRECISION, RUNTIME, Runtime
from ecgpage.core.weights import copy_weights, load_arrays, load_card, save_arrays
from ecgpage.diagnosis.signal_classifier import NAME as SIGNAL
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.layout.text_reader import NAME as WORDS
from ecgpage.layout.text_reader import TextReader
from ecgpage.synth.challenge_picture import draw_challenge_page
from ecgpage.trace.crop_reader import NAME as TRACE
from ecgpage.trace.crop_reader import CropReader
from tests.drawn import FS, record

pytestmark = pytest.mark.medium  # every network is loaded twice

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "model"
EXAMPLE = ROOT / "examples" / "input" / "887374646-0.png"
ONNX, TORCH = Runtime("onnx"), Runtime("torch")
TOLERANCE_MV = 1e-4
CAPPED = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
"""Environment in which PyTorch takes kernels for the oldest processors: other orders of sums."""

REFUSAL = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "efficientnet_pytorch", "onnx", "matplotlib", "pandas", "sklearn", "wfdb"}:
            raise ImportError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
"""
"""Start of each process in which what only training needs cannot be imported."""


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION, "float32")


def answers(reader: Reader) -> list[Digitization]:
    drawn = draw_challenge_page(record(), FS, seed=2).image
    return [reader.digitize(source) for source in (EXAMPLE, drawn)]


@pytest.fixture(scope="module")
def by_onnx() -> list[Digitization]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUNTIME, "onnx")
        patch.setenv(PRECISION, "float32")
        return answers(Reader("cpu"))


def test_torch_reads_the_same_signals_and_labels(
    by_onnx: list[Digitization], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUNTIME, "torch")
    for one, other in zip(by_onnx, answers(Reader("cpu")), strict=True):
        assert one.status == other.status == "ok"
        np.testing.assert_allclose(one.signal, other.signal, rtol=0, atol=TOLERANCE_MV)  # NaN equals NaN
        assert one.labels == other.labels
        np.testing.assert_allclose(
            list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-3
        )


@pytest.mark.slow
def test_torch_reads_the_same_with_kernels_of_other_processors(
    by_onnx: list[Digitization], tmp_path: Path
) -> None:
    code = (
        "import sys, numpy as np; from ecgpage import Reader\n"
        "np.save(sys.argv[2], Reader('cpu').digitize(sys.argv[1]).signal)"
    )
    environment = {**os.environ, **CAPPED, RUNTIME: "torch", PRECISION: "float32"}
    path = tmp_path / "signal.npy"
    subprocess.run(
        [sys.executable, "-c", code, str(EXAMPLE), str(path)],
        check=True, cwd=ROOT, env=environment, timeout=300,
    )  # fmt: skip
    np.testing.assert_allclose(by_onnx[0].signal, np.load(path), rtol=0, atol=TOLERANCE_MV)


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "from ecgpage import Reader; Reader()"],
        ["-m", "ecgpage", "digitize", str(EXAMPLE), "-j", "1", "-o", "out"],
        ["-m", "ecgpage", "info"],
    ],
    ids=["reader", "digitize", "info"],
)
def test_the_way_of_onnx_imports_nothing_of_training(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(REFUSAL, encoding="utf-8")  # worker processes run it, too
    environment = {key: value for key, value in os.environ.items() if key not in (RUNTIME, PRECISION)}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
    probe = [sys.executable, "-c", "import torch"]
    assert subprocess.run(probe, check=False, env=environment, capture_output=True).returncode == 1
    done = subprocess.run(
        [sys.executable, *command], check=False, cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# graphs


def test_graphs_hold_no_weights() -> None:
    graphs = sorted(MODEL.glob("*.onnx"))
    assert len(graphs) == 7
    assert sum(path.stat().st_size for path in graphs) < 400_000


@pytest.mark.parametrize("graph", ["trace", "detector", "words", "page_classifier", "signal_windows"])
def test_each_graph_was_exported_from_the_network_that_ships(graph: str) -> None:
    """Weights of another network need ``python -m ecgpage.train.export_graphs``."""
    weights = {"signal_windows": SIGNAL}.get(graph, graph)
    made_from, now = load_card(MODEL, graph + GRAPH).settings, load_card(MODEL, weights).settings
    wanted = now["networks"]["windows"] if weights == SIGNAL else now["network"]
    assert made_from["network"] == wanted


def changed_weights(folder: Path, name: str) -> None:
    """Store other weights of the same network, without a graph."""
    arrays = {
        key: value * np.asarray(1.05, value.dtype) if value.ndim > 1 else value
        for key, value in load_arrays(MODEL, name).items()
    }
    save_arrays(folder, name, arrays, load_card(MODEL, name))


def test_new_weights_need_no_new_graph(tmp_path: Path) -> None:
    changed_weights(tmp_path, TRACE)
    crop = np.random.default_rng(1).integers(0, 256, (320, 64), dtype=np.uint8)
    shipped, onnx, torch = (
        CropReader.load(folder, runtime).read_crops([crop])[0].height_mm
        for folder, runtime in ((MODEL, ONNX), (tmp_path, ONNX), (tmp_path, TORCH))
    )
    assert np.abs(onnx - shipped).max() > 0.01
    np.testing.assert_allclose(onnx, torch, atol=1e-3)


def test_the_trace_network_in_8_bits_reads_as_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    image = draw_challenge_page(record(), FS, seed=2).image
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    crops = [grey[y : y + 320, 300:1004] for y in (500, 900)]
    exact = CropReader.load(MODEL, ONNX).read_crops(crops)
    monkeypatch.setenv(PRECISION, "int8")
    for one, other in zip(exact, CropReader.load(MODEL, ONNX).read_crops(crops), strict=True):
        drawn = one.visible > 0.9
        assert drawn.mean() > 0.5
        apart = np.abs(one.height_mm - other.height_mm)[drawn]
        assert 0 < np.median(apart) < 0.02  # another graph, and the same line
        assert np.quantile(apart, 0.95) < 0.1
        assert (other.visible[drawn] > 0.5).all()


def test_weights_without_a_graph_of_their_own_in_8_bits_run_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_weights(MODEL, tmp_path)
    changed_weights(tmp_path, TRACE)  # the copied graph in 8 bits belongs to others
    crop = np.random.default_rng(1).integers(0, 256, (320, 64), dtype=np.uint8)
    exact = CropReader.load(tmp_path, ONNX).read_crops([crop])[0]
    monkeypatch.setenv(PRECISION, "int8")
    usual = CropReader.load(tmp_path, ONNX).read_crops([crop])[0]
    np.testing.assert_array_equal(exact.height_mm, usual.height_mm)


def test_a_network_of_other_settings_names_the_way_out(tmp_path: Path) -> None:
    card = load_card(MODEL, WORDS)
    card.settings["network"]["dilations"] = [1, 1, 1, 1, 1, 1]
    save_arrays(tmp_path, WORDS, load_arrays(MODEL, WORDS), card)
    assert TextReader.load(tmp_path, TORCH) is not None
    with pytest.raises(EcgPageError, match=r"export_graphs --model .*, or set ECGPAGE_RUNTIME=torch"):
        TextReader.load(tmp_path, ONNX)


def test_weights_that_miss_a_tensor_name_the_way_out(tmp_path: Path) -> None:
    arrays = load_arrays(MODEL, WORDS)
    del arrays["head.bias"]
    save_arrays(tmp_path, WORDS, arrays, load_card(MODEL, WORDS))
    with pytest.raises(EcgPageError, match=f"{WORDS}_?.*ECGPAGE_RUNTIME=torch"):
        TextReader.load(tmp_path, ONNX)


def test_a_damaged_graph_is_not_run(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model" / "words.onnx").write_bytes(b"damaged")
    found = TextReader.load(tmp_path / "model", ONNX)  # the shipped graph fits these weights
    assert found.network is not None
    table = json.loads((tmp_path / "model" / "weights.json").read_text(encoding="utf-8"))
    del table[WORDS + GRAPH]
    (tmp_path / "model" / "weights.json").write_text(json.dumps(table), encoding="utf-8")
    assert TextReader.load(tmp_path / "model", ONNX).network is not None


def test_the_signal_branches_agree_on_odd_windows() -> None:
    rng = np.random.default_rng(5)
    signal = rng.standard_normal((5000, 12)).astype(np.float32)
    signal[1000:, :6] = np.nan
    signal[:, 11] = np.nan
    one, other = (
        SignalClassifier.load(MODEL, runtime).predict(signal, 500, LEADS) for runtime in (ONNX, TORCH)
    )
    np.testing.assert_allclose(
        list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-4
    )
