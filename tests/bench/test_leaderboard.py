"""The leaderboard: which page each record gets, a run by the command line, its scores, and the published figures."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import leaderboard
from bench.leaderboard import (
    Page,
    Run,
    answer_all,
    branch_scores,
    choose_pages,
    number_of,
    read_predictions,
    read_recordings,
    score_all,
)
from bench.leaderboard_report import (
    CHALLENGE_KINDS,
    KINDS,
    Score,
    beside_published,
    describe,
    own_values,
    plot,
    read_published,
)
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.synth.sources import Recording
from ecgpage.train.stack import table_of
from helper_code import load_header, load_labels, save_labels, save_signals
from tests.drawn import FS, record

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "reference"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recording(name: str, *labels: str) -> Recording:
    return Recording(name, record().astype(np.float32), FS, (), labels)


# records


@pytest.mark.parametrize(
    ("name", "number"), [("00027_hr", 27), ("a/b/01226_hr", 1226), ("887374646", 887374646)]
)
def test_a_records_number_is_its_first_digits(name: str, number: int) -> None:
    assert number_of(name) == number


def test_names_without_digits_have_a_number_of_their_own() -> None:
    assert number_of("one") == number_of("one")
    assert number_of("one") != number_of("two")


def test_each_of_many_records_is_drawn_once_in_the_kind_of_its_number() -> None:
    pages = choose_pages([recording(f"{k:05d}_hr", "NORM") for k in range(40)])
    assert [page.kind for page in pages] == list(KINDS) * 4


def test_few_records_are_drawn_in_every_kind() -> None:
    pages = choose_pages([recording("00001", "NORM"), recording("00002", "CD")])
    assert sorted((p.kind, p.recording.name) for p in pages) == sorted(
        (kind, name) for kind in KINDS for name in ("00001", "00002")
    )


def test_the_kinds_are_the_challenges_eight_and_the_generators_two() -> None:
    assert set(CHALLENGE_KINDS) == set(read_published()[0].values) - {"leaderboard"}
    assert len(KINDS) == 10


def test_records_are_read_in_the_same_order_and_those_without_labels_left_out(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "data")
    both = [r.name for r in read_recordings(tmp_path / "data", "9", None)]
    assert sorted(both) == ["01226_hr", "887374646"]
    assert [r.name for r in read_recordings(tmp_path / "data", "9", 1)] == both[:1]
    header = tmp_path / "data" / "01226_hr.hea"
    header.write_text("".join(line for line in header.open() if "Labels" not in line))
    assert [r.name for r in read_recordings(tmp_path / "data", "9", None)] == ["887374646"]
    (tmp_path / "data" / "887374646.hea").unlink()
    with pytest.raises(EcgPageError, match="no records with labels"):
        read_recordings(tmp_path / "data", "9", None)


# a run


STAND_IN = """
import argparse, json, os
from pathlib import Path
p = argparse.ArgumentParser()
for flag in "-d", "-m", "-o": p.add_argument(flag, type=Path)
p.add_argument("-f", action="store_true")
a = p.parse_args()
for header in sorted(a.d.rglob("*.hea")):
    name = header.relative_to(a.d)
    text = header.read_text()
    assert "Labels" not in text, "the labels are shown"
    assert all((header.parent / f.strip()).exists() for f in text.split("# Image:")[1].split(","))
    with open(os.environ["LOG"], "a") as log: log.write(f"{name}\\n")
    if header.stem == os.environ.get("FAILS"): continue
    target = a.o / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "# Labels: NORM\\n")
    report = Path(os.environ["ECGPAGE_REPORT"]) / name.with_suffix(".json")
    report.parent.mkdir(parents=True, exist_ok=True)
    classes = json.loads(os.environ["CLASSES"])
    said = {c: 0.9 if c == "NORM" else 0.1 for c in classes}
    report.write_text(json.dumps({"labels": ["NORM"], "probabilities": said, "signal": said, "page": None,
        "leads_read": 0, "snr_db": None, "reasons": [], "seconds": 1.5}))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose command line answers NORM to every header that it is shown."""
    program = tmp_path / "root"
    program.mkdir()
    (program / "run_model.py").write_text(STAND_IN)
    monkeypatch.setattr(leaderboard, "ROOT", program)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CLASSES", json.dumps(leaderboard.CLASSES))
    return Run(tmp_path / "run", ROOT / "model")


def pages() -> list[Page]:
    return [
        Page("generator-clean", recording("00010", "NORM")),
        Page("generator-distorted", recording("00011", "CD", "HYP")),
    ]


@pytest.mark.medium
def test_pages_are_answered_by_the_command_line_without_their_labels(run: Run) -> None:
    assert leaderboard.answer_chunk(run, pages()) == 2
    assert all(run.answered(page) for page in pages())
    assert sorted(p.suffix for p in run.folder.rglob("*") if p.is_file()) == [
        ".dat", ".dat", ".hea", ".hea", ".hea", ".hea", ".json", ".json",
    ]  # fmt: skip
    reference = str(run.reference / "generator-distorted" / "00011")
    assert load_labels(reference) == ["CD", "HYP"]
    assert "Image: 00011-0.png" in load_header(reference)


@pytest.mark.medium
def test_what_is_answered_is_kept_and_what_failed_is_tried_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    class Pool:
        """Works in this process, where the stand-in is."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, function, *arguments):  # type: ignore[no-untyped-def]
            asked.append([page.recording.name for page in arguments[1]])
            done = function(*arguments)
            return type("Done", (), {"result": staticmethod(lambda: done)})

    monkeypatch.setattr(leaderboard, "ProcessPoolExecutor", Pool)
    monkeypatch.setenv("FAILS", "00011")
    answer_all(run, pages(), jobs=1, minutes=None)
    monkeypatch.delenv("FAILS")
    answer_all(run, pages(), jobs=1, minutes=0)
    assert not run.answered(pages()[1])
    answer_all(run, pages(), jobs=1, minutes=None)
    assert asked == [["00010", "00011"], ["00011"], ["00011"]]
    assert (tmp_path / "log").read_text().split() == [
        "generator-clean/00010.hea", "generator-distorted/00011.hea", "generator-distorted/00011.hea",
    ]  # fmt: skip


def test_a_command_that_fails_says_why(run: Run) -> None:
    (leaderboard.ROOT / "run_model.py").write_text("raise SystemExit('no weights at all')")
    with pytest.raises(EcgPageError, match="no weights at all"):
        leaderboard.answer_chunk(run, pages()[:1])
    assert not run.answered(pages()[0])


@pytest.mark.medium
def test_scores_come_from_the_answers(run: Run) -> None:
    time = np.arange(1500)[:, None] / FS
    short = np.sin(2 * np.pi * (1.3 + 0.1 * np.arange(12)) * time) ** 9  # (1500, 12), a wave for each lead
    noise = np.random.default_rng(0).normal(0, 0.1, short.shape)
    for kind, name, truth, said in (
        ("scan-color", "00002", ["NORM"], ["NORM"]),
        ("scan-bw", "00003", ["CD"], ["NORM", "CD"]),
        ("photo-clean", "00004", ["CD"], []),
    ):
        for folder, signal, labels in (
            (run.reference, short, truth), (run.answers, short + noise, said),
        ):  # fmt: skip
            (folder / kind).mkdir(parents=True)
            target = folder / kind / name
            lines = [f"{name}.dat 16 1000.0(0)/mV 16 0    {lead}" for lead in LEADS]
            target.with_suffix(".hea").write_text("\n".join([f"{name} 12 500 1500", *lines, ""]))
            save_signals(str(target), signal, [])
            save_labels(str(target), labels)
        report = {
            "labels": said, "probabilities": None, "leads_read": 12 if said else 0, "snr_db": 20.0, "seconds": 2.0,
            "signal": dict.fromkeys(leaderboard.CLASSES, 0.7), "page": None,
        }  # fmt: skip
        (run.reports / kind).mkdir(parents=True)
        (run.reports / kind / f"{name}.json").write_text(json.dumps(report))
    found = score_all(run, jobs=1)
    assert set(found) == {"scan-color", "scan-bw", "photo-clean", "scans", "photos", "all"}
    assert found["scan-color"].f == 1.0
    assert found["scan-bw"].f == 1.0  # the Challenge counts the classes that the references have
    assert found["photo-clean"].f == 0.0
    assert found["scans"].f == pytest.approx((2 / 3 + 1) / 2)
    assert found["all"].f == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert (found["all"].pages, found["all"].unread, found["all"].seconds) == (3, 1, 2.0)
    power = np.mean(short**2, axis=0)
    wanted = np.mean(10 * np.log10(power / np.mean(noise**2, axis=0)))
    assert found["scan-color"].snr == pytest.approx(wanted, abs=1.5)
    table = table_of(read_predictions(run))
    assert sorted(table.kind.tolist()) == ["photo-clean", "scan-bw", "scan-color"]
    assert sorted(table.record.tolist()) == [2, 3, 4]
    assert np.isnan(table.page).all()
    ways = branch_scores(run)
    assert ways["answer"][0] == pytest.approx((2 / 3 + 2 / 3) / 2)


# the report


def score(kind: str, snr: float, f: float) -> Score:
    return Score(kind, 10, 1, snr, 0.02, 0.001, f, f - 0.1, f + 0.1, 5.0)


def test_the_published_figures_are_those_of_all_ranked_teams() -> None:
    teams = read_published()
    for task in ("digitization", "classification"):
        assert [p.rank for p in teams if p.task == task] == list(range(1, 17))
    best = {p.task: p for p in teams if p.rank == 1}
    assert (best["digitization"].team, best["digitization"].values["leaderboard"]) == (
        "SignalSavants",
        12.151,
    )
    assert (best["classification"].team, best["classification"].values["monitor"]) == ("AIMED", 0.636)
    assert best["classification"].mean == pytest.approx(0.733, abs=5e-4)
    unpublished = next(p for p in teams if p.team == "wavie_ABI")
    assert math.isnan(unpublished.mean)


def test_one_row_is_ours_and_the_others_are_published() -> None:
    scores = {"scan-color": score("scan-color", -21.0, 0.8), "scans": score("scans", 20.5, 0.75)}
    lines = beside_published(scores, "digitization").splitlines()
    columns = [cell.strip() for cell in lines[0].split("|")]
    own = [cell.strip() for cell in lines[2].split("|")]
    assert own[columns.index("leaderboard")] == "**20.50**"
    assert own[columns.index("scan-color")] == "**−21.00**"
    assert own[columns.index("monitor")] == own[columns.index("mean 8")] == "**–**"
    assert len(lines) == 3 + 16
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert own_values(scores, "classification")["leaderboard"] == 0.75


def test_the_report_says_that_drawn_pages_are_not_the_hidden_ones(tmp_path: Path) -> None:
    scores = {kind: score(kind, 10.0, 0.5) for kind in (*KINDS, "scans", "photos", "all")}
    text = describe(tmp_path.name, scores, {"answer": (0.5, 0.4, 0.6)})
    assert "Drawn pages are not the hidden pages" in text
    assert "| answer | 0.500 (0.400–0.600) |" in text
    plot(scores, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
