"""The wheel holds the reader with its weights under one name, and reads a page where there is no repository."""

import email
import json
import re
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import ecgpage

pytestmark = pytest.mark.medium  # a wheel is built

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "input" / "887374646-0.png"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
HEAVY = {"torch", "numpy", "cv2", "scipy", "PIL"}

READ_A_PAGE = """
BLOCKED = ["torch", "efficientnet_pytorch", "onnx", "matplotlib", "pandas", "sklearn", "wfdb", "yolov7"]
import json, sys
target, page = sys.argv[1:]
sys.path.insert(0, target)
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
from ecgpage import Reader
import ecgpage.core.yolov7 as yolov7
found = Reader(device="cpu").digitize(page)
print(json.dumps({
    "status": found.status,
    "labels": found.labels,
    "samples": int((found.signal == found.signal).sum()),
    "yolov7": yolov7.__file__,
    "files": [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)],
}))
"""


def run_python(code: str, *arguments: str, cwd: Path) -> str:
    """What the code prints; isolated from the environment and from the folder it runs in."""
    command = [sys.executable, "-I", "-c", code, *arguments]
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, "wheel", *options, str(ROOT)], cwd=folder, check=True, timeout=300)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*PIP, "install", *options, str(wheel)], cwd=folder, check=True, timeout=300)
    return folder


# what the wheel holds


def test_the_wheel_is_about_23_megabytes(wheel: Path) -> None:
    assert wheel.name == f"ecgpage-{ecgpage.__version__}-py3-none-any.whl"
    assert 20_000_000 < wheel.stat().st_size < 26_000_000


def test_the_wheel_has_one_top_level_name(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert tops == {"ecgpage", f"ecgpage-{ecgpage.__version__}.dist-info"}


def test_the_wheel_holds_every_module_once(names: set[str]) -> None:
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ecgpage").rglob("*.py")}
    modules -= {"ecgpage/core/yolov7.py"}
    modules |= {f"ecgpage/core/yolov7/{p.name}" for p in (ROOT / "yolov7").glob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_the_wheel_holds_the_weights_the_licence_and_the_mark_of_types(names: set[str]) -> None:
    weights = {f"ecgpage/model/{p.name}" for p in (ROOT / "model").iterdir() if p.is_file()}
    licences = {f"ecgpage-{ecgpage.__version__}.dist-info/licenses/{n}" for n in ("LICENSE", "AUTHORS.txt")}
    assert weights | licences | {"ecgpage/py.typed"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_needs_pytorch_only_as_an_extra(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    always = {re.split(r"[^\w-]", r)[0] for r in requirements if "extra ==" not in r}
    assert always == {
        "numpy", "onnxruntime", "opencv-python-headless", "pi-heif", "pillow", "pypdfium2", "safetensors", "scipy",
        "threadpoolctl", "tqdm",
    }  # fmt: skip
    assert all(">=" in r for r in requirements)
    assert {"torch", "train", "challenge"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_wheel_brings_the_command(wheel: Path, names: set[str]) -> None:
    (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(entries).decode().split() == [
            "[console_scripts]",
            "ecgpage",
            "=",
            "ecgpage.cli.main:main",
        ]


def test_wheel_and_citation_name_one_version_and_licence(metadata: Message) -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {metadata['Version']}\n" in citation
    assert f"\nlicense: {metadata['License-Expression']}\n" in citation


# what it does


def test_the_installed_wheel_reads_a_page_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run_python(READ_A_PAGE, str(installed), str(EXAMPLE), cwd=tmp_path))
    assert found["status"] == "ok"
    assert found["labels"] == ["NORM"]
    assert found["samples"] > 12 * 1200  # 2.5 s of each lead
    assert found["yolov7"] == str(installed / "ecgpage" / "core" / "yolov7" / "__init__.py")
    files = [Path(file) for file in found["files"]]
    assert [f for f in files if f.is_relative_to(ROOT) and not f.is_relative_to(sys.prefix)] == []
    assert installed / "ecgpage" / "reader.py" in files


def test_importing_the_package_loads_nothing_heavy(installed: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import ecgpage; print(*sys.modules)"
    loaded = run_python(code, str(installed), cwd=tmp_path).split()
    assert "ecgpage" in loaded
    assert HEAVY & set(loaded) == set()


def test_every_public_name_is_there_and_no_other() -> None:
    assert {name for name in ecgpage.__all__ if getattr(ecgpage, name) is not None} <= set(dir(ecgpage))
    with pytest.raises(AttributeError, match="has no attribute 'Raeder'"):
        _ = ecgpage.Raeder  # type: ignore[attr-defined]
