"""The three scripts: arguments, order of work, messages, outputs, errors; with a stand-in for team_code."""

import importlib
import itertools
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import evaluate_model
from ecgpage.core.conventions import LEADS
from helper_code import (
    load_header,
    load_labels,
    load_signals,
    save_header,
    save_labels,
    save_signals,
    save_text,
)

ROOT = Path(__file__).parents[2]


def header_of(record, samples=100):
    name = record.split("/")[-1]
    lines = [f"{name}.dat 16 1000.0(0)/mV 16 0    {lead}" for lead in LEADS]
    return "\n".join([f"{name} 12 500 {samples}", *lines, "# Age: 56", f"# Image: {name}-0.png", ""])


def put_headers(folder, *records):
    for record in records:
        (folder / record).parent.mkdir(parents=True, exist_ok=True)
        save_header(str(folder / record), header_of(record))


def signal_of(number, samples=100):
    """A signal that no other number has, with gaps."""
    signal = np.full((samples, 12), number / 100) + np.arange(12) / 1000
    signal[samples // 2 :, 3:] = np.nan
    return signal


@pytest.fixture
def team(monkeypatch):
    """A stand-in for ``team_code``; ``answers``: record name -> what ``run_models`` returns or raises."""
    team = SimpleNamespace(calls=[], answers={})

    def run_models(*arguments):
        team.calls.append(("run_models", *arguments))
        answer = team.answers[os.path.basename(arguments[0])]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def load_models(*arguments):
        team.calls.append(("load_models", *arguments))
        return "digitizer", "classifier"

    module = ModuleType("team_code")
    module.run_models, module.load_models = run_models, load_models
    module.train_models = lambda *arguments: team.calls.append(("train_models", *arguments))
    monkeypatch.setitem(sys.modules, "team_code", module)
    for script in ("run_model", "train_model"):
        monkeypatch.delitem(sys.modules, script, raising=False)
    return team


@pytest.fixture
def script(team, tmp_path):
    """Run ``run_model`` in-process from ``tmp_path/data`` to ``tmp_path/out``."""

    def run_script(*flags, out="out"):
        run_model = importlib.import_module("run_model")
        folders = ["-d", str(tmp_path / "data"), "-m", "model", "-o", str(tmp_path / out)]
        run_model.run(run_model.get_parser().parse_args([*folders, *flags]))

    return run_script


# train_model.py


@pytest.mark.parametrize("verbose", [False, True])
def test_training_hands_the_folders_over(team, verbose):
    train_model = importlib.import_module("train_model")
    flags = ["-v"] if verbose else []
    train_model.run(train_model.get_parser().parse_args(["-d", "data", "-m", "model", *flags]))
    assert team.calls == [("train_models", "data", "model", verbose)]


# run_model.py


def test_models_run_on_every_record_in_order(team, script, tmp_path):
    put_headers(tmp_path / "data", "b", "sub/a", "sub/deeper/c")
    team.answers = dict.fromkeys("abc", (None, None))
    script()
    data = str(tmp_path / "data")
    assert team.calls == [
        ("load_models", "model", False),
        *(
            ("run_models", f"{data}/{name}", "digitizer", "classifier", False)
            for name in ("b", "sub/a", "sub/deeper/c")
        ),
    ]


def test_outputs_mirror_the_input_folders(team, script, tmp_path):
    put_headers(tmp_path / "data", "b", "sub/a")
    (tmp_path / "data" / "b-0.png").touch()
    team.answers = {"a": (signal_of(1), ["NORM"]), "b": (signal_of(2), ["PAC", "AFIB/AFL"])}
    script()
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert files == ["b.dat", "b.hea", "sub/a.dat", "sub/a.hea"]
    for record, number, labels in (("sub/a", 1, ["NORM"]), ("b", 2, ["PAC", "AFIB/AFL"])):
        signal, fields = load_signals(str(tmp_path / "out" / record))
        np.testing.assert_allclose(signal, signal_of(number), atol=1e-9)
        assert fields["sig_name"] == list(LEADS)
        assert load_labels(str(tmp_path / "out" / record)) == labels


def test_the_header_keeps_its_comments_and_ends_with_the_labels(team, script, tmp_path):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (signal_of(1), ["NORM", "CD"])}
    script()
    lines = load_header(str(tmp_path / "out" / "a")).splitlines()
    assert lines[0] == "a 12 500 100"
    assert lines[13:] == ["# Age: 56", "# Image: a-0.png", "# Labels: NORM, CD"]


@pytest.mark.parametrize(("labels", "tail"), [(None, ""), (["CD"], "# Labels: CD\n"), ([], "# Labels: \n")])
def test_without_a_signal_the_header_is_copied_as_it_is(team, script, tmp_path, labels, tail):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (None, labels)}
    script()
    assert (tmp_path / "out" / "a.hea").read_text() == header_of("a") + tail
    assert not (tmp_path / "out" / "a.dat").exists()


def test_a_shorter_signal_sets_the_length_in_the_header(team, script, tmp_path):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (signal_of(1, samples=70), None)}
    script()
    assert load_header(str(tmp_path / "out" / "a")).startswith("a 12 500 70\n")
    assert "Labels" not in load_header(str(tmp_path / "out" / "a"))


def test_verbose_messages_come_in_order(team, script, tmp_path, capsys):
    records = [f"r{number:02d}" for number in range(10)]
    put_headers(tmp_path / "data", *records)
    team.answers = dict.fromkeys(records, (None, None)) | {"r01": RuntimeError("no grid")}
    script("-v", "-f")
    out, err = capsys.readouterr()
    steps = [f"- {i:2d}/10: {record}..." for i, record in enumerate(records, start=1)]
    assert out.splitlines() == [
        "Loading the Challenge model...",
        "Finding the Challenge data...",
        "Running the Challenge model(s) on the Challenge data...",
        *steps[:2],
        "... failed.",
        *steps[2:],
        "Done.",
    ]
    assert err == "r01: RuntimeError: no grid\n"
    assert all(call[-1] is True for call in team.calls)


def test_nothing_is_said_unless_asked(team, script, tmp_path, capsys):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (signal_of(1), ["NORM"])}
    script()
    assert capsys.readouterr() == ("", "")


def test_no_data_is_an_error(script, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(Exception, match=r"^No data were provided\.$"):
        script()


def test_a_failure_stops_the_run_unless_allowed(team, script, tmp_path):
    put_headers(tmp_path / "data", "a", "b")
    team.answers = {"a": RuntimeError("no grid"), "b": (signal_of(2), ["CD"])}
    with pytest.raises(RuntimeError, match="no grid"):
        script()
    script("-f")
    assert (tmp_path / "out" / "a.hea").read_text() == header_of("a")
    assert load_labels(str(tmp_path / "out" / "b")) == ["CD"]


BAD_ANSWERS = {
    "the model raises": RuntimeError("no grid"),
    "no pair": None,
    "values beyond 16 bit": (np.full((100, 12), 40.0), ["CD"]),
    "infinities": (np.full((100, 12), np.inf), ["CD"]),
    "integers": (np.ones((100, 12), dtype=int), ["CD"]),
    "leads as rows": (np.zeros((12, 100)), ["CD"]),
    "labels that are no strings": (signal_of(1), [1, 2]),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_one_bad_record_never_loses_the_others(team, script, tmp_path, capsys, answer):
    put_headers(tmp_path / "data", "a", "b")
    team.answers = {"a": answer, "b": (signal_of(2), ["PAC"])}
    script("-f")
    np.testing.assert_allclose(load_signals(str(tmp_path / "out" / "b"))[0], signal_of(2), atol=1e-9)
    assert load_labels(str(tmp_path / "out" / "b")) == ["PAC"]
    assert capsys.readouterr().err.startswith("a: ")
    with pytest.raises((Exception, SystemExit)):
        script()


def test_labels_survive_a_signal_that_cannot_be_stored(team, script, tmp_path):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (np.full((100, 12), 40.0), ["CD"])}
    script("-f")
    assert (tmp_path / "out" / "a.hea").read_text() == header_of("a") + "# Labels: CD\n"
    assert not (tmp_path / "out" / "a.dat").exists()


def test_a_signal_that_was_half_written_is_taken_back(team, script, tmp_path, monkeypatch):
    put_headers(tmp_path / "data", "a")
    team.answers = {"a": (signal_of(1), ["CD"])}

    def fill_the_disk(record, *_arguments):
        save_text(f"{record}.hea", "half a head")
        save_text(f"{record}.dat", "half a signal")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importlib.import_module("run_model"), "save_signals", fill_the_disk)
    script("-f")
    assert (tmp_path / "out" / "a.hea").read_text() == header_of("a") + "# Labels: CD\n"
    assert not (tmp_path / "out" / "a.dat").exists()


def test_a_broken_header_loses_its_own_record_alone(team, script, tmp_path):
    put_headers(tmp_path / "data", "a", "b")
    (tmp_path / "data" / "a.hea").write_text("a twelve leads\n")
    team.answers = {"a": (signal_of(1), ["CD"]), "b": (signal_of(2), ["PAC"])}
    script("-f")
    assert load_labels(str(tmp_path / "out" / "b")) == ["PAC"]


def test_the_signal_of_an_earlier_run_does_not_stay(team, script, tmp_path):
    put_headers(tmp_path / "data", "a")
    for answer, there in (((signal_of(1), None), True), ((None, None), False)):
        team.answers = {"a": answer}
        script()
        assert (tmp_path / "out" / "a.dat").exists() == there


def test_an_output_folder_that_cannot_be_written_is_named_with_reason_and_way_out(
    team, tmp_path, monkeypatch
):
    put_headers(tmp_path / "data", "a")
    (tmp_path / "file").write_text("in the folder's place")
    out = tmp_path / "file" / "out"
    monkeypatch.setattr(
        sys, "argv", ["run_model.py", "-d", str(tmp_path / "data"), "-m", "model", "-o", str(out)]
    )
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(ROOT / "run_model.py"), run_name="__main__")
    # a string exits with status 1 after it was printed on stderr
    assert exit_.value.code == (
        f"run_model.py: cannot write to the output folder {out}: Not a directory;"
        " make it writable or choose another folder with -o"
    )


def test_a_read_only_output_folder_is_found_before_the_models_run(team, script, tmp_path, monkeypatch):
    put_headers(tmp_path / "data", "a")
    run_model = importlib.import_module("run_model")

    def refuse(**_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_model.tempfile, "TemporaryFile", refuse)
    with pytest.raises(
        run_model.EcgPageError, match="out: Permission denied; make it writable or choose another"
    ):
        script("-f")
    assert [call[0] for call in team.calls] == ["load_models"]


def test_the_data_are_never_overwritten(team, script, tmp_path):
    put_headers(tmp_path / "data", "a")
    importlib.import_module("run_model")
    with pytest.raises(Exception, match="is the data folder"):
        script(out="data")


@pytest.mark.parametrize("name", ["train_model", "run_model", "evaluate_model"])
def test_missing_arguments_exit_with_two(team, name):
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module(name).get_parser().parse_args([])
    assert exit_.value.code == 2


# evaluate_model.py


def save_record(folder, record, signal, labels, *, header=None):
    (folder / record).parent.mkdir(parents=True, exist_ok=True)
    save_header(str(folder / record), header or header_of(record, len(signal)))
    save_signals(str(folder / record), signal)
    if labels is not None:
        save_labels(str(folder / record), labels)


def wave(number, samples=400):
    time = np.arange(samples)[:, None] + 1000 * number
    return np.sin(time / (7 + np.arange(12))) * (1 + np.cos(time / 90))


@pytest.fixture
def folders(tmp_path):
    """Two labelled records, one in a sub-folder, and their estimates with 10 uV of ripple."""
    for number, record, labels in ((1, "a", ["NORM"]), (2, "sub/b", ["CD", "PAC"])):
        save_record(tmp_path / "ref", record, wave(number), labels)
        save_record(
            tmp_path / "est", record, wave(number) + 0.01 * (-1) ** np.arange(400)[:, None], labels[:1]
        )
    return tmp_path


def score(folders, **options):
    return evaluate_model.evaluate_model(str(folders / "ref"), str(folders / "est"), **options)


def run_evaluation(folders, *flags):
    arguments = ["-d", str(folders / "ref"), "-o", str(folders / "est"), "--jobs", "1", *map(str, flags)]
    evaluate_model.run(evaluate_model.get_parser().parse_args(arguments))


def test_good_estimates_score_well(folders):
    scores = score(folders, jobs=1)
    assert len(scores) == 9
    assert 30 < scores[0] < 50
    assert np.isnan(scores[1:5]).all()
    assert scores[5] == pytest.approx(2 / 3)
    assert set(scores[6]) == set(itertools.product(("a", "sub/b"), LEADS))
    assert scores[7].tolist() == [1, 1, 0]
    assert scores[8] == ["CD", "NORM", "PAC"]


@pytest.mark.medium
def test_two_processes_score_like_one(folders):
    one, two = (score(folders, jobs=jobs, extra_scores=True) for jobs in (1, 2))
    assert one[:7] == two[:7]


def test_the_summary_is_printed_with_three_decimals_and_a_blank_line(folders, capsys):
    run_evaluation(folders)
    assert capsys.readouterr() == (f"SNR: {score(folders, jobs=1)[0]:.3f}\nF-measure: 0.667\n\n", "")


def test_files_take_the_tables_and_keep_the_summary_off_the_screen(folders, capsys):
    run_evaluation(folders, "-x", "-s", folders / "s", "-ta", folders / "ta", "-tb", folders / "tb")
    assert capsys.readouterr().out == ""
    names = [line.split(": ")[0] for line in (folders / "s").read_text().splitlines()]
    assert names[:4] == ["SNR", "SNR median", "KS metric", "ASCI metric"]
    assert names[4:] == ["Weighted absolute difference metric", "F-measure"]
    table = [line.split("\t") for line in (folders / "ta").read_text().splitlines()]
    assert table[0] == ["Record", "I", "II", "III", "V1", "V2", "V3", "V4", "V5", "V6", "aVF", "aVL", "aVR"]
    assert [row[0] for row in table[1:]] == ["a", "sub/b"]
    assert float(table[2][1]) == score(folders, jobs=1)[6]["sub/b", "I"]
    assert (folders / "tb").read_text() == "CD\t1.0\nNORM\t1.0\nPAC\t0.0\n"


def test_a_lead_that_a_record_lacks_is_none_in_the_table():
    table = evaluate_model.tabulate_snr({("a", "I"): 1.5, ("b", "V1"): float("nan")})
    assert table == "Record\tI\tV1\na\t1.5\tNone\nb\tNone\tnan\n"


def test_a_missing_record_counts_as_zero_decibels_and_missed_labels(folders):
    (folders / "est" / "sub" / "b.hea").unlink()
    whole = score(folders, jobs=1)
    assert [whole[6]["sub/b", lead] for lead in LEADS] == [0.0] * 12
    assert whole[0] == pytest.approx(np.mean([whole[6]["a", lead] for lead in LEADS]) / 2)
    assert whole[7].tolist() == [0, 1, 0]


def test_an_empty_output_folder_scores_nan(folders, capsys):
    for path in (folders / "est").rglob("*.*"):
        path.unlink()
    run_evaluation(folders, "-x")
    assert [line.split(": ")[1] for line in capsys.readouterr().out.split("\n")[:6]] == ["nan"] * 6


def test_no_reference_is_an_error(folders):
    with pytest.raises(FileNotFoundError, match=r"^No records found\.$"):
        evaluate_model.evaluate_model(str(folders / "nowhere"), str(folders / "est"))


def test_references_without_labels_or_signals_are_left_out_of_their_score(folders):
    save_record(folders / "ref", "unlabelled", wave(3), None)
    save_record(folders / "est", "unlabelled", wave(3) + 1e-3, ["HYP"])
    put_headers(folders / "ref", "without_signal")
    scores = score(folders, jobs=1)
    assert scores[5] == pytest.approx(2 / 3)
    assert {record for record, _ in scores[6]} == {"a", "sub/b", "unlabelled"}


def test_leads_are_matched_by_name_whatever_the_case_and_order(folders):
    straight = score(folders, jobs=1)
    signal = load_signals(str(folders / "est" / "a"))[0]
    turned = header_of("a", 400).splitlines()
    header = "\n".join([turned[0], *(line.replace("aV", "AV") for line in turned[12:0:-1]), ""])
    save_record(folders / "est", "a", signal[:, ::-1], ["NORM"], header=header)
    assert score(folders, jobs=1)[6] == straight[6]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: header.replace("12 500", "12 250"), "fs of the reference is 500, of the output 250"),
        (lambda header: header.replace("/mV", "/uV"), "units of the reference"),
        (lambda header: header.replace("V6", "V7"), "the output lacks the leads V6"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_outputs_that_cannot_be_compared_stop_the_evaluation(folders, change, reason, jobs):
    header = change(header_of("a", 400))
    save_record(folders / "est", "a", wave(1), None, header=header)
    with pytest.raises(AssertionError, match=reason) as error:
        score(folders, jobs=jobs)
    assert error.value.__notes__ == ["while scoring the record a"]


def test_an_estimate_without_any_label_gives_no_f_measure(folders):
    for record in ("a", "sub/b"):
        save_text(str(folders / "est" / f"{record}.hea"), header_of(record) + "# Labels: \n")
    for path in (folders / "est").rglob("*.dat"):
        path.unlink()
    scores = score(folders, jobs=1)
    assert np.isnan(scores[5])
    assert np.isnan(scores[7]).all()


def test_references_without_any_label_still_give_an_snr(folders):
    for record in ("a", "sub/b"):
        save_record(folders / "ref", record, wave(1), None)
    scores = score(folders, jobs=1)
    assert np.isfinite(scores[0])
    assert np.isnan(scores[5])
    assert (len(scores[7]), scores[8]) == (0, [])


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_senseless_number_of_jobs_is_refused(jobs):
    with pytest.raises(SystemExit) as exit_:
        evaluate_model.get_parser().parse_args(["-d", "a", "-o", "b", "--jobs", jobs])
    assert exit_.value.code == 2
