"""Examples for the signal classifier: windows, beats read from them, and the packs' folds."""

import csv
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.signal_packs import load_pack, twelve_leads
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_network import to_beats, to_planes
from ecgpage.synth.origins import name_origin
from ecgpage.synth.simulated_digitization import simulate_digitization

MIXED: Final = 0.5
"""Share of the drawn beats that are mixed with others."""

Record = tuple[NDArray[np.floating[Any]], float, Sequence[str], Sequence[str]]
"""Signal (n_samples, n_leads) mV with NaN, sampling frequency, lead names, labels."""

Inputs = tuple[Tensor, ...]
"""Inputs of a network for a batch."""


class Examples(Protocol):
    """Examples that a network is trained on or validated with."""

    y: Tensor
    """float32 (n, n_targets) targets, 0 or 1; the first columns are the classes."""

    def draw(self, rows: Tensor, rng: np.random.Generator, device: torch.device) -> tuple[Inputs, Tensor]:
        """Inputs of the examples ``rows`` (b,), altered at random, and their targets (b, n_targets), 0 to 1."""

    def batches(self, device: torch.device) -> Iterator[Inputs]:
        """Inputs of all examples in turn, unaltered."""


@dataclass
class Windows:
    """Examples for the network on windows."""

    x: Tensor
    """float16 (n, 12, 1000) signals, mV, NaN where unknown."""
    y: Tensor

    def draw(self, rows: Tensor, rng: np.random.Generator, device: torch.device) -> tuple[Inputs, Tensor]:
        x = simulate_digitization(self.x[rows].to(device).float(), rng)  # (b, 12, 1000)
        return (to_planes(x),), self.y[rows].to(device)

    def batches(self, device: torch.device) -> Iterator[Inputs]:
        for x in self.x.split(128):
            yield (to_planes(x.to(device).float()),)


@dataclass
class BeatViews:
    """Examples for the network on beats, read from several simulated digitizations (views) of each window."""

    usual: Tensor
    """float16 (views, n, 12, 88) usual beat, mV, NaN where unknown."""
    sequence: Tensor
    """float32 (views, n, 86) numbers of rhythm and pattern."""
    numbers: Tensor
    """float32 (views, n, 492) input of the trees."""
    y: Tensor

    @classmethod
    def of(cls, windows: Windows, views: int = 0, seed: int = 0, seconds: float = math.inf) -> "BeatViews":
        """Beats read from ``views`` simulated digitizations of each window; 0 reads the unaltered window once.

        There are fewer views, but one, where another one would take longer than what is left of ``seconds``.
        """
        rng = np.random.default_rng([seed, 77])
        began, read, done = time.monotonic(), [], 0
        while done == 0 or (done < views and (time.monotonic() - began) * (done + 1) <= seconds * done):
            for x in windows.x.split(256):
                usual, sequence, numbers = to_beats(
                    simulate_digitization(x.float(), rng) if views else x.float()
                )
                read.append((usual.half(), sequence, numbers))
            done += 1
        shape = (done, len(windows.x))
        parts = [torch.cat(part).unflatten(0, shape) for part in zip(*read, strict=True)]
        return cls(parts[0], parts[1], parts[2], windows.y)

    def draw(self, rows: Tensor, rng: np.random.Generator, device: torch.device) -> tuple[Inputs, Tensor]:
        """Inputs with targets, some mixed with others, which aligned beats allow; gain varies by 5 %.

        Source of the mixing: Zhang et al. 2018, mixup: Beyond empirical risk minimization.
        """
        n = len(rows)
        view = torch.from_numpy(rng.integers(len(self.usual), size=n))
        share = (0.5 - np.abs(rng.beta(0.4, 0.4, n) - 0.5)) * (rng.random(n) < MIXED)
        part, other = torch.from_numpy(share.astype(np.float32)), torch.from_numpy(rng.permutation(n))
        gain = torch.from_numpy(1 + 0.05 * rng.standard_normal((n, 1, 1), np.float32))
        usual, sequence, y = self.usual[view, rows].float(), self.sequence[view, rows], self.y[rows]
        usual = torch.lerp(usual, usual[other], part[:, None, None]) * gain
        sequence = torch.lerp(sequence, sequence[other], part[:, None])
        y = torch.lerp(y, y[other], part[:, None])
        return (usual.to(device), sequence.to(device)), y.to(device)

    def batches(self, device: torch.device) -> Iterator[Inputs]:
        for usual, sequence in zip(self.usual[0].split(512), self.sequence[0].split(512), strict=True):
            yield usual.to(device).float(), sequence.to(device)


@dataclass(frozen=True)
class Fold:
    """Labelled records of some folds."""

    x: Tensor
    """float16 (n, 12, 1000) complete signals, mV."""
    labels: list[list[str]]
    statements: list[list[str]]
    """SCP codes of each record's reading, which the classes summarise."""
    origins: list[str]
    """Pack and fold of each record."""


def load_folds(data: Path, folds: Iterable[int], cache: Path) -> Fold:
    """Read the labelled records of the packs ``fold<k>.xz``; decoded packs are kept in ``cache``."""
    with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts, labels, statements, origins = [], [], [], []
    cache.mkdir(parents=True, exist_ok=True)
    for fold in folds:
        decoded = cache / f"fold{fold}.npy"
        if not decoded.exists():
            np.save(decoded, twelve_leads(load_pack(data / f"fold{fold}.xz")).astype(np.float16))
        x = np.load(decoded)
        own = [row for row in rows if int(row["strat_fold"]) == fold]
        if len(own) != len(x):
            raise EcgPageError(f"{data}: fold {fold} has {len(x)} records, labels.csv has {len(own)}")
        kept = [i for i, row in enumerate(own) if row["labels"]]
        parts.append(x[kept])
        origins += [name_origin(data.resolve().name, str(fold))] * len(kept)
        labels += [own[i]["labels"].split(";") for i in kept]
        statements += [[s.split(":")[0] for s in own[i]["scp_codes"].split(";") if s] for i in kept]
    return Fold(torch.from_numpy(np.concatenate(parts)), labels, statements, origins)


def one_hot(held: list[list[str]], names: Sequence[str]) -> Tensor:
    """float32 (n, len(names)) targets: 1 where a record holds the name, else 0."""
    return torch.tensor([[float(name in h) for name in names] for h in held])


def draw_weights(y: NDArray[np.float32], balance: float) -> NDArray[np.float64]:
    """Probability (n,) of each record being drawn; see ``Recipe.balance``."""
    count = np.maximum(y.sum(0), 1)
    weight = np.maximum((y * (count.max() / count) ** balance).max(1), 1.0).astype(np.float64)
    return weight / weight.sum()


def sort_classes(labels: Iterable[str]) -> list[str]:
    """Known classes in the order ``CLASSES``, then the others by name."""
    found = set(labels)
    return [c for c in CLASSES if c in found] + sorted(found - set(CLASSES))


def collect_windows(records: Iterable[Record]) -> list[tuple[int, NDArray[np.float16], list[str]]]:
    """Windows of all labelled records: (number of the record, window (12, 1000) mV, labels)."""
    examples = []
    for i, (signal, fs, leads, labels) in enumerate(records):
        held = [label for label in labels if label]
        if held:
            examples += [(i, window.astype(np.float16), held) for window in to_windows(signal, fs, leads)]
    return examples
