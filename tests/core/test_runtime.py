"""What runs the networks: as asked, else ONNX Runtime unless there is a GPU; what is not there says the way out."""

import sys

import pytest

from ecgpage.core import runtime
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.runtime import PRECISION, RUNTIME, Runtime, choose_runtime, count_threads

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNTIME, raising=False)
    monkeypatch.delenv(PRECISION, raising=False)


def have(monkeypatch: pytest.MonkeyPatch, *names: str, gpus: int = 0) -> None:
    """Pretend that these runtimes are installed, and that the driver finds ``gpus``."""
    monkeypatch.setattr(runtime, "is_installed", lambda name: name in names)
    monkeypatch.setattr(runtime, "_count_gpus", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)


@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("names", [("onnx",), ("onnx", "torch")])
def test_without_a_gpu_it_is_onnx(
    monkeypatch: pytest.MonkeyPatch, device: str, names: tuple[str, ...]
) -> None:
    have(monkeypatch, *names)
    assert choose_runtime(device) == Runtime("onnx")


@pytest.mark.parametrize(("device", "found"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", None)])
def test_a_gpu_is_used_by_torch_unless_the_cpu_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: str, found: str | None
) -> None:
    have(monkeypatch, "onnx", "torch", gpus=1)
    assert choose_runtime(device) == (Runtime("torch", "cuda") if found else Runtime("onnx"))


def test_a_gpu_without_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "onnx", gpus=1)
    assert choose_runtime() == Runtime("onnx")


def test_torch_steps_in_where_onnx_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "torch")
    assert choose_runtime() == choose_runtime("cpu") == Runtime("torch")


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    have(monkeypatch, "onnx", "torch", gpus=1)
    monkeypatch.setenv(RUNTIME, name)
    assert choose_runtime("cpu").name == name
    assert choose_runtime("auto").name == name


def test_bfloat16_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "onnx", "torch")
    monkeypatch.setenv(PRECISION, "bfloat16")
    assert choose_runtime() == Runtime("torch")


@pytest.mark.parametrize(
    ("variables", "device", "names", "said"),
    [
        ({RUNTIME: "tensorrt"}, "auto", ("onnx", "torch"), "ECGPAGE_RUNTIME=tensorrt .* auto, onnx, torch"),
        ({PRECISION: "float16"}, "auto", ("onnx",), "ECGPAGE_PRECISION=float16 .* auto, float32, bfloat16"),
        ({}, "tpu", ("onnx",), "'tpu' is not known; use one of auto, cpu, cuda"),
        ({}, "cuda", ("onnx",), r"torch is not installed, and device 'cuda' needs it; .*ecgpage\[torch\]"),
        ({}, "cuda", ("onnx", "torch"), "PyTorch finds no GPU; use 'cpu' or 'auto'"),
        ({RUNTIME: "torch"}, "cpu", ("onnx",), r"torch is not installed, but ECGPAGE_RUNTIME=torch"),
        ({PRECISION: "bfloat16"}, "cpu", ("onnx",), "torch is not installed, and ECGPAGE_PRECISION=bfloat16"),
        (
            {RUNTIME: "onnx"},
            "cuda",
            ("onnx", "torch"),
            "device 'cuda' needs PyTorch, but ECGPAGE_RUNTIME=onnx",
        ),
        ({RUNTIME: "onnx", PRECISION: "bfloat16"}, "cpu", ("onnx", "torch"), "bfloat16 needs PyTorch"),
        ({}, "cpu", (), "onnxruntime is not installed; install it with: pip install onnxruntime"),
    ],
)
def test_what_cannot_be_says_why(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    device: str,
    names: tuple[str, ...],
    said: str,
) -> None:
    have(monkeypatch, *names)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EcgPageError, match=said):
        choose_runtime(device)


def test_a_blocked_library_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.is_installed("torch")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not runtime.is_installed("torch")


@pytest.mark.parametrize(("asked", "wanted"), [("3", 3), ("2,1", 2)])
def test_networks_get_the_threads_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, wanted: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert count_threads() == wanted


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_without_a_number_networks_get_all_processors(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert count_threads() == 6
