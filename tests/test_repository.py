"""What the repository says of itself is true: README, requirements, licence, shipped weights, sizes.

Tests marked ``release`` hold what a contributor may change on the way (versions, words of README and Makefile);
``make test`` runs them, ``pytest`` alone does not.
"""

import ast
import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MARKDOWN = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/README.md")

USERS_OWN = re.compile(
    r"^(/|\$|out/|\.venv/|training_data|test_data|test_outputs|my_model|reference|pretrained|https?:)"
)
PATH_LIKE = re.compile(r"^[\w.-]+(/[\w.-]*)+$|^[\w.-]+\.(py|md|txt|json|png|toml|cff)$")
LARGEST_FILE = 8_000_000  # bytes; no large-file storage is needed to clone
LARGEST_DOCUMENT = 300_000  # bytes; a picture that is drawn anew stays in the history with all its forms


def tracked_files() -> list[Path]:
    """Every file that git tracks and that is there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert files, "git lists no files"
    return [file for file in files if file.exists()]


def tracked_texts() -> dict[str, str]:
    """Path below the root -> text, of every tracked file that is UTF-8 text."""
    texts = {}
    for file in tracked_files():
        content = file.read_bytes()
        if b"\0" in content:
            continue
        try:
            texts[file.relative_to(ROOT).as_posix()] = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return texts


def requirement_lines(name: str) -> list[str]:
    """Requirements of a file, without comments, blank lines and `-r` lines."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-r ")]


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# README


@pytest.mark.release
def test_every_make_command_of_the_readme_is_a_target():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test", "score"} <= named
    assert named <= targets


def named_paths(markdown: str) -> set[str]:
    """Targets of links, paths in `code` and in the command lines of fences; not the reader's own folders."""
    fence = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    commands = [line for block in fence.findall(markdown) for line in block.splitlines() if "python" in line]
    prose = fence.sub("", markdown)
    words = [word for text in commands + re.findall(r"`([^`]+)`", prose) for word in text.split()]
    found = re.findall(r"\]\(([^)#]+)\)", prose) + [word for word in words if PATH_LIKE.match(word)]
    return {word for word in found if not USERS_OWN.match(word)}


@pytest.mark.parametrize("document", MARKDOWN)
def test_every_path_that_a_document_names_exists(document: str):
    folder = (ROOT / document).parent
    text = (ROOT / document).read_text(encoding="utf-8")
    missing = [
        path
        for path in sorted(named_paths(text))
        if not any((base / path).exists() or list(base.glob(path + ".*")) for base in (folder, ROOT))
    ]
    assert missing == []


def test_every_link_of_every_document_leads_to_a_file():
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # those with a colon lead to the web
    documents = {name: text for name, text in tracked_texts().items() if name.endswith(".md")}
    assert {"README.md", "docs/results.md"} <= set(documents)
    broken = [
        f"{name}: {target}"
        for name, text in documents.items()
        for target in link.findall(text)
        if not ((ROOT / name).parent / target).exists()
    ]
    assert broken == []


@pytest.mark.release
def test_the_first_screen_of_the_readme_names_the_example_pages_and_the_two_commands():
    first_screen = README.split("\n## ")[0]
    assert "make demo" in first_screen
    assert "run_model.py -d examples/input" in first_screen


@pytest.mark.release
def test_the_readme_tells_which_images_work_before_how_to_train():
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert headings.index("Which images work") < headings.index("How to train")
    assert "Not for clinical use" in headings


@pytest.mark.release
def test_no_slot_of_the_readme_waits_for_a_number():
    assert re.findall(r"\bFILL\b.*", README) == []


# Requirements


@pytest.mark.release
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-light.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_to_one_version(name: str):
    lines = requirement_lines(name)
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []


@pytest.mark.release
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-light.txt", "requirements-dev.txt"])
def test_installed_versions_are_the_pinned_ones(name: str):
    pinned = dict(line.split("==") for line in requirement_lines(name))
    installed = {package: importlib.metadata.version(package).split("+")[0] for package in pinned}
    assert installed == pinned


@pytest.mark.release
def test_both_ways_to_install_have_the_same_versions():
    light, whole = (
        dict(line.split("==") for line in requirement_lines(name))
        for name in ("requirements-light.txt", "requirements.txt")
    )
    assert "torch" not in light
    shared = light.keys() & whole.keys()
    assert {"numpy", "scipy", "pillow"} <= shared
    assert {name: light[name] for name in shared} == {name: whole[name] for name in shared}


def imported_modules(source: str) -> set[str]:
    """Top-level names of all absolute imports, those inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def offered_by_the_package() -> set[str]:
    """Distributions that the package itself or one of its extras brings along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    return {canonical(re.split(r"[^\w.-]", line)[0]) for line in lines}


@pytest.mark.medium
def test_everything_that_is_imported_is_a_pinned_requirement():
    product = {canonical(line.split("==")[0]) for line in requirement_lines("requirements.txt")}
    lines = requirement_lines("requirements-dev.txt") + requirement_lines("requirements-light.txt")
    tools = {canonical(line.split("==")[0]) for line in lines}
    package = product | tools & offered_by_the_package()
    own = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    own |= {path.name.removesuffix(".py") for path in (ROOT / "tests").iterdir()}
    distributions = importlib.metadata.packages_distributions()
    undeclared = []
    for name, source in tracked_texts().items():
        if not name.endswith(".py"):
            continue
        declared = product | tools if name.startswith("tests/") else product
        declared = package if name.startswith("ecgpage/") else declared
        for module in sorted(imported_modules(source) - own - set(sys.stdlib_module_names)):
            if not {canonical(dist) for dist in distributions.get(module, [module])} & declared:
                undeclared.append(f"{name}: {module}")
    assert undeclared == []


# Licence, sizes, paths


@pytest.mark.release
def test_the_licence_is_bsd_3_clause():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License\n\nCopyright (c) 2026, the ECG page authors\n")
    assert len(re.findall(r"^[123]\. ", text, re.MULTILINE)) == 3
    assert "Neither the name of the copyright holder" in text
    assert 'license = "BSD-3-Clause"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "license: BSD-3-Clause" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_no_tracked_file_is_larger_than_8_megabytes():
    sizes = {file.relative_to(ROOT).as_posix(): file.stat().st_size for file in tracked_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}


def test_no_document_is_larger_than_300_kilobytes():
    documents = [file for file in tracked_files() if ROOT / "docs" in file.parents]
    assert documents, "docs holds no files"
    sizes = {file.relative_to(ROOT).as_posix(): file.stat().st_size for file in documents}
    assert {name: size for name, size in sizes.items() if size > LARGEST_DOCUMENT} == {}


def test_no_tracked_text_names_a_path_of_one_machine():
    foreign = re.compile(r"/[w]ork/|/[h]ome/|/[r]oot/|\.\./[s]hared")
    makefile, defaults = re.subn(r"^DATA \?= .*$", "", MAKEFILE, flags=re.MULTILINE)
    assert defaults == 1, "the Makefile gives DATA one default"
    texts = tracked_texts() | {"Makefile": makefile}
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if foreign.search(line)
    ]
    assert found == []


def test_the_examples_are_pairs_of_hidden_and_reference_records():
    hidden = sorted(path.stem for path in (ROOT / "examples/input").glob("*.hea"))
    reference = sorted(path.stem for path in (ROOT / "examples/reference").glob("*.hea"))
    assert hidden == reference == ["01226_hr", "887374646"]
    for record in hidden:
        header = (ROOT / f"examples/input/{record}.hea").read_text(encoding="ascii")
        assert "# Labels" not in header
        (image,) = re.findall(r"^# Image: (.+)$", header, re.MULTILINE)
        assert (ROOT / "examples/input" / image).exists()
        assert (ROOT / f"examples/reference/{record}.dat").exists()


@pytest.mark.release
def test_continuous_integration_is_make_test():
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    assert "make test" in script.read_text(encoding="utf-8")


# Weights


def test_weights_json_vouches_for_exactly_the_shipped_files():
    table = json.loads((ROOT / "model/weights.json").read_text(encoding="utf-8"))
    stated = {card["file"]: card["sha256"] for card in table.values()}
    shipped = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in tracked_files()
        if file.parent == ROOT / "model" and file.name not in ("weights.json", "README.md")
    }
    assert shipped, "no weights are shipped"
    assert stated == shipped
    assert len(stated) == len(table), "two entries name the same file"


def test_every_card_of_the_weights_is_filled_in():
    table = json.loads((ROOT / "model/weights.json").read_text(encoding="utf-8"))
    wanted = ("input", "output", "trained_on", "command", "score", "licence")
    empty = [
        f"{name}: {key}"
        for name, card in table.items()
        for key in wanted
        if not str(card.get(key, "")).strip()
    ]
    assert empty == []


def test_nothing_that_runs_code_when_loaded_is_shipped():
    pickled = {".pt", ".pth", ".pkl", ".pickle", ".sav", ".joblib"}
    assert [file.name for file in tracked_files() if file.suffix in pickled] == []


# The image


@pytest.mark.release
def test_the_dockerfile_has_the_layout_of_the_challenge():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "FROM python:3.11-slim"
    layout = ["RUN mkdir /challenge", "COPY ./ /challenge", "WORKDIR /challenge"]
    start = lines.index(layout[0])
    assert lines[start : start + 3] == layout
    assert not [line for line in lines if line.startswith(("ENTRYPOINT", "CMD", "USER"))]
    assert "cp -r model pretrained" in "\n".join(lines)


def test_the_image_holds_every_file_that_trains_runs_or_scores():
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n"))
    needed = {"model", "ecgpage", "yolov7", "examples", "requirements.txt", "team_code.py", "helper_code.py"}
    assert not needed & ignored
