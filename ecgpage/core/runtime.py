"""Choose what runs the networks: ONNX Runtime, which is small, or PyTorch, which also runs on GPUs.

The networks are seen from outside as functions on arrays (``Network``). Neither library is imported here, so that a command
line can ask which one it will be.
"""

import ctypes
import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from ecgpage.core.conventions import EcgPageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNTIME: Final = "ECGPAGE_RUNTIME"
"""Environment variable that says what runs the networks."""
RUNTIMES: Final = ("auto", "onnx", "torch")
DEVICES: Final = ("auto", "cpu", "cuda")
PRECISION: Final = "ECGPAGE_PRECISION"
"""Environment variable that says in which precision networks multiply that read pages or are trained."""
PRECISIONS: Final = ("auto", "float32", "bfloat16", "int8")
LIBRARIES: Final = {"onnx": "onnxruntime", "torch": "torch"}
"""Runtime -> the module that it needs."""
WAY_OUT: Final = {"onnx": "pip install onnxruntime", "torch": 'pip install "ecgpage[torch]"'}
"""Runtime -> the command that installs it."""


class Network(Protocol):
    """A network ready to answer, whatever runs it."""

    def __call__(self, *inputs: "NDArray[Any]") -> "tuple[NDArray[Any], ...]":
        """Outputs, float32, for inputs float32; the first axis of each is the batch."""


@dataclass(frozen=True)
class Runtime:
    """What runs the networks, and where."""

    name: Literal["onnx", "torch"]
    device: Literal["cpu", "cuda"] = "cpu"


def choose_runtime(device: str = "auto") -> Runtime:
    """Runtime for a device of ``DEVICES``, as ``ECGPAGE_RUNTIME`` asks.

    With "auto", or nothing asked, PyTorch is taken for a GPU (where "cuda" is wanted, or PyTorch is installed and the driver
    finds one), for bfloat16, and where ONNX Runtime is not installed. Raises ``EcgPageError`` with the way out when device,
    runtime or precision are not known or not there.
    """
    if device not in DEVICES:
        raise EcgPageError(f"device {device!r} is not known; use one of {', '.join(DEVICES)}")
    asked = os.environ.get(RUNTIME) or "auto"
    if asked not in RUNTIMES:
        raise EcgPageError(f"{RUNTIME}={asked} is no runtime; it is one of {', '.join(RUNTIMES)}, or not set")
    half = asked_precision() == "bfloat16"
    if asked == "onnx" and (half or device == "cuda"):
        what = f"{PRECISION}=bfloat16" if half else "device 'cuda'"
        raise EcgPageError(f"{what} needs PyTorch, but {RUNTIME}=onnx; leave one of them out")
    name: Literal["onnx", "torch"] = "onnx"
    if asked == "torch" or half or device == "cuda" or (asked == "auto" and _torch_is_better(device)):
        name = "torch"
    if not is_installed(name):
        reason = "" if name == "onnx" else _reason(asked, half, device)
        raise EcgPageError(f"{LIBRARIES[name]} is not installed{reason}; install it with: {WAY_OUT[name]}")
    return Runtime(name, "cpu" if name == "onnx" else _torch_device(device))


def is_installed(name: str) -> bool:
    """Whether the library of a runtime can be imported, as far as that is known without importing it."""
    module = LIBRARIES[name]
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def asked_precision() -> str:
    """Precision of the networks' products that the environment variable ``ECGPAGE_PRECISION`` asks for, one of PRECISIONS.

    EcgPageError for any other value.
    """
    asked = os.environ.get(PRECISION) or "auto"
    if asked not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise EcgPageError(f"{PRECISION}={asked} is no precision; it is one of {known}, or not set")
    return asked


def count_threads() -> int:
    """Number of threads of a network: OMP_NUM_THREADS, else the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _torch_is_better(device: str) -> bool:
    """Whether PyTorch is installed and either alone or with a GPU that may be used."""
    if not is_installed("torch"):
        return False
    return not is_installed("onnx") or (device == "auto" and _count_gpus() > 0)


def _reason(asked: str, half: bool, device: str) -> str:
    if asked == "torch":
        return f", but {RUNTIME}=torch"
    return f", and {f'{PRECISION}=bfloat16' if half else f'device {device!r}'} needs it"


def _torch_device(wanted: str) -> Literal["cpu", "cuda"]:
    if wanted == "cpu":
        return "cpu"
    import torch  # noqa: PLC0415 - seconds, and only this way needs it

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise EcgPageError(
            "device 'cuda': PyTorch finds no GPU; use 'cpu' or 'auto', or install a PyTorch built for CUDA and its driver"
        )
    return "cpu"


def _count_gpus() -> int:
    """Number of GPUs that NVIDIA's driver shows to this process; asked of the driver, as importing PyTorch takes seconds."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value
