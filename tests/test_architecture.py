"""The house: stages import downwards only, files stay small, tests of the product know no bench."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    "core", "image", "grid", "layout", "trace", "vector", "signal", "results", "pipeline", "measurements", "diagnosis",
    "export", "challenge", "synth", "train", "reader", "cli", "web",
)  # fmt: skip
"""Folders and modules of the package from the bottom to the top, in the order of the data."""
LONGEST_FILE = 500
"""Lines."""
LONGEST_TRAINING = 349
"""Lines of a file of a training, which is read from top to bottom."""
SOURCES = [
    path
    for folder in ("ecgpage", "bench", "yolov7", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stage(module: str) -> str | None:
    """Stage of a module of the package; None of others and of the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "ecgpage" and len(parts) > 1 and parts[1] in ORDER else None


def uses() -> Iterator[tuple[str, str]]:
    """(module, module that it imports) within the package."""
    for path in sorted((ROOT / "ecgpage").rglob("*.py")):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield from ((own, other) for other in imported(path) if other.startswith("ecgpage."))


def test_every_part_of_the_package_has_its_place_in_the_order() -> None:
    parts = {
        path.stem
        for path in (ROOT / "ecgpage").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - {"__init__", "__main__"} <= set(ORDER)


def test_stages_import_downwards_only() -> None:
    upwards = {
        f"{own} imports {other}"
        for own, other in uses()
        if (a := stage(own)) and (b := stage(other)) and ORDER.index(b) > ORDER.index(a)
    }
    assert not upwards


def test_no_module_needs_itself() -> None:
    """No import runs in a circle, also within a stage."""
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "ecgpage").rglob("*.py")}
    needs: dict[str, set[str]] = {}
    for own, other in uses():
        if other in modules and other != own:
            needs.setdefault(own, set()).add(other)
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for other in sorted(needs.get(module, ())):
                visit(other, (*way, module))
            done.add(module)

    for module in sorted(modules):
        visit(module, ())


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_trainings_stay_small() -> None:
    lines = {p.name: len(p.read_text("utf-8").splitlines()) for p in (ROOT / "ecgpage/train").glob("*.py")}
    assert len(lines) > 20
    assert {name: n for name, n in lines.items() if n > LONGEST_TRAINING} == {}


def test_tests_of_the_product_import_neither_benches_nor_other_tests() -> None:
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for module in imported(path)
        if (module.split(".")[0] == "bench" and path.parent.name != "bench")
        or any(part.startswith("test_") for part in module.split(".")[:-1])
    }
    assert not found
