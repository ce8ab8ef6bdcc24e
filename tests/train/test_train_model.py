"""train_model.py as organisers start it: from scratch, offline, killed, started again, and again after its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import CLASSES
from ecgpage.train.retrain import REPORT, WORK
from team_code import load_models
from tests.train.records import write_record

ROOT = Path(__file__).parents[2]
OFFLINE = """
import socket

connect = socket.socket.connect

def refuse(*_):
    raise AssertionError("the network was asked for")

def connect_here(own, address):
    return connect(own, address) if own.family == socket.AF_UNIX else refuse()

socket.socket.connect, socket.getaddrinfo = connect_here, refuse
"""


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_training_from_scratch_survives_a_kill_and_leaves_nothing_outside(tmp_path: Path) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    for k in range(12):
        write_record(data, f"r{k}", seed=k, fs=500, labels=", ".join((CLASSES[k % 11], CLASSES[0])))
    before = files_of(data)
    for name in ("home", "tmp", "here", "site"):
        (tmp_path / name).mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(OFFLINE)
    data.chmod(0o555)
    env = os.environ | {
        "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONDONTWRITEBYTECODE": "1", "ECGPAGE_TRAIN_HOURS": "0.02", "ECGPAGE_FROM_SCRATCH": "1",
    }  # fmt: skip
    command = [sys.executable, str(ROOT / "train_model.py"), "-d", str(data), "-m", str(model), "-v"]

    def start(log: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=env, cwd=tmp_path / "here", stderr=log.open("wb"), start_new_session=True
        )

    first = start(tmp_path / "first.log")
    while not (model / WORK / "seconds").exists():  # the clock runs
        assert first.poll() is None, (tmp_path / "first.log").read_text()
        time.sleep(0.1)
    time.sleep(np.random.default_rng(3).uniform(5, 30))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    load_models(str(model), False)
    assert (model / WORK).exists()

    second = start(tmp_path / "second.log")
    assert second.wait() == 0, (tmp_path / "second.log").read_text()
    assert "goes on with" in (tmp_path / "second.log").read_text()
    found = json.loads((model / REPORT).read_text())
    assert len(found["stages"]) == 6
    assert found["stages"]["trace network"]["taken"]
    assert found["stages"]["signal classifier"]["taken"]
    assert not (model / WORK).exists()
    load_models(str(model), False)

    content = files_of(model)
    third = start(tmp_path / "third.log")
    assert third.wait(timeout=120) == 0
    assert "was finished from these records and options" in (tmp_path / "third.log").read_text()
    assert files_of(model) == content
    assert files_of(data) == before
    for name in ("home", "tmp", "here"):
        assert files_of(tmp_path / name) == {}
