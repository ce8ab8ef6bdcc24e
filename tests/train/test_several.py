"""Trainings in two processes: they stay one network, that of all examples together; torchrun starts them."""

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ecgpage.core.signal_packs import save_pack
from ecgpage.core.weights import load_card
from ecgpage.trace.crop_reader import NAME
from ecgpage.trace.network import load_network
from ecgpage.train import loop, several
from tests.drawn import record

ROOT = Path(__file__).parents[2]
STEPS = 12
Pair = tuple[Tensor, Tensor]


class Trainer(loop.Trainer[Pair, loop.Recipe]):
    """Small network in training."""

    def losses(self, batch: Pair) -> loop.Parts:
        return {"square": F.mse_loss(self.network(batch[0]), batch[1])}

    def count(self, batch: Pair) -> int:
        return len(batch[0])


def examples() -> Pair:
    """(STEPS, 8, 5) inputs and (STEPS, 8, 1) targets."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((STEPS, 8, 5), np.float32))
    return x, x[:, :, :1] * 2 - x[:, :, 1:2]


def train(work: Path, rank: int, world: int) -> None:
    """Train on every ``world``-th example of each batch and store the weights; steps decide when it ends, not time."""
    torch.set_num_threads(1)
    torch.manual_seed(rank)  # the first process's weights count
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    recipe = loop.Recipe(most_seen=8.0 * STEPS, warmup=2, peak_lr=1e-2, report_steps=4, ema=0.5)
    trainer = Trainer(net, recipe, torch.device("cpu"))
    trainer.begin(work / "c.pt", resume=True)

    def batches() -> Iterator[Pair]:
        for x, y in zip(*examples(), strict=True):
            yield x[rank::world], y[rank::world]

    told: list[str] = []
    trainer.log = told.append
    trainer.run(batches(), lambda net: {}, write=lambda net, scores, folder: told.append("stored"), out=work)
    assert (len(told) > 0) == (rank == 0)
    assert trainer.progress.seen == 8 * STEPS
    torch.save(trainer.averaged.state_dict(), work / f"rank{rank}.pt")
    if rank == 0:
        assert told.count("stored") == 3
        assert [entry["seen"] for entry in trainer.progress.history] == [32, 64, 96]


def train_joined(work: Path, rank: int, port: int) -> None:
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    several.join()
    assert (several.rank(), several.joined()) == (rank, 2)
    train(work, rank, 2)


@pytest.mark.medium
def test_two_processes_train_the_network_of_one_that_sees_all(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    train(tmp_path / "one", 0, 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=train_joined, args=(tmp_path / "two", rank, port)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    one, first, second = (
        torch.load(tmp_path / name) for name in ("one/rank0.pt", "two/rank0.pt", "two/rank1.pt")
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, one, rtol=1e-4, atol=1e-6)


def start(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in two processes, without a GPU."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--nproc-per-node", "2", *arguments],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_torchrun_trains_the_trace_network_in_two_processes(tmp_path: Path) -> None:
    microvolts = np.round(1000 * record().T[[0, 1, 6, 7, 8, 9, 10, 11]]).astype(np.int16)
    (tmp_path / "hires500").mkdir()
    save_pack(tmp_path / "hires500" / "signals.xz", np.stack([microvolts] * 4))
    rows = ["ward,1,2,", "ward,2,3,", "ward,3,4,", "ward,4,8,"]
    (tmp_path / "hires500" / "records.csv").write_text(
        "\n".join(["database,record,strat_fold,labels", *rows])
    )
    arguments = (
        *("-m", "ecgpage.train.trace", "--data", tmp_path, "--out", tmp_path / "model", "--work", tmp_path / "w"),
        *("--widths", 8, 8, 16, 16, "--layers", 0, "--batch", 8, "--workers", 0, "--threads", 1, "--resume"),
    )  # fmt: skip
    for crops in (32, 64):  # the second goes on where the first ended
        found = start(tmp_path, *map(str, arguments), "--crops", str(crops))
        assert found.returncode == 0, found.stderr
        card = load_card(tmp_path / "model", NAME)
        assert card.trained_on.startswith(f"{crops} different crops drawn from 3 records")
        assert f"{crops} seen" in card.trained_on
    assert found.stderr.count("goes on after") == 1  # one tells it
    assert load_network(tmp_path / "model", NAME).settings["layers"] == 0


@pytest.mark.medium
def test_a_second_process_leaves_the_retraining_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecgpage.train.retrain import Options, retrain  # noqa: PLC0415

    monkeypatch.setenv("RANK", "1")
    assert retrain(tmp_path / "none", tmp_path / "model", None, Options()) == {}
    assert not (tmp_path / "model").exists()
