"""Train the signal classifier on any labelled records, from scratch or from given weights, within a time.

The classes are those of the records' labels.
"""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.torch_runtime import half_precision, save_tensors
from ecgpage.core.weights import Card
from ecgpage.diagnosis.signal_classifier import NAME
from ecgpage.diagnosis.signal_network import SignalNets
from ecgpage.synth.simulated_digitization import mask_as_page
from ecgpage.train.devices import choose_device, describe_duration, name_device
from ecgpage.train.scores import choose_thresholds, f_measures
from ecgpage.train.signal_classifier import INPUT, OUTPUT, PARTS, fit_parts, start_nets
from ecgpage.train.signal_examples import Record, Windows, collect_windows, sort_classes
from ecgpage.train.signal_fitting import Fitted, Log, Recipe, probabilities


@dataclass(frozen=True)
class Trained:
    """Outcome of a training on any records."""

    fitted: dict[str, Fitted]
    """What each network learned."""
    classes: list[str]
    val: Windows | None
    """Windows that validated; None for too few records."""


def train_on_records(
    records: Iterable[Record],
    model_folder: str | Path,
    start_from: str | Path | None = None,
    *,
    epochs: int | None = None,
    device: str = "auto",
    log: Log | None = None,
    validating: Collection[int] | None = None,
    minutes: float | None = None,
    work: Path | None = None,
) -> Trained:
    """Train the classifier on ``records`` and write it to ``model_folder``; returns what was learned.

    Args:
        records: (signal (n_samples, n_leads) mV with NaN, fs, lead names, labels); those without label are
            left out. A complete signal is masked like pages of many layouts, a partial one keeps its gaps.
        model_folder: made if missing.
        start_from: model folder of the first weights; outputs of classes known there are taken over, those of
            new classes are random. None starts from scratch.
        epochs: default falls with the number of records, from 200 (up to 225 records) to 21 (20,000); with
            ``start_from``, from 30 (up to 100 records) to 3.
        device: "auto" takes CUDA where it exists.
        log: function that takes one line; default the module's logger.
        validating: numbers of the records (from 0, as they come) that validate, which may be filled while they are read;
            None holds out every seventh.
        minutes: time of the networks' training, which may mean fewer epochs; None for as long as they take.
        work: folder of checkpoints, from which a stopped training goes on.

    Of 50 or more records some are held out: the loss there chooses the epoch (macro F of few records would
    choose by chance), the probabilities there the thresholds.

    Raises EcgPageError when no record has both a label and a signal.
    """
    log = log or logging.getLogger(__name__).info
    began = time.monotonic()
    examples = collect_windows(records)
    records_used = len({i for i, _, _ in examples})
    classes = sort_classes(label for _, _, held in examples for label in held)
    if not classes:
        raise EcgPageError("no record has a label and a signal; training needs headers with '# Labels: ...'")
    nets, fallback = start_nets(classes, start_from)
    nets.to(choose_device(device))
    train, val = _split(examples, classes, validating)
    n = len(train.x)
    if epochs is None:
        epochs = int(np.clip(300 / n**0.5, 3, 30) if start_from else np.clip(3000 / n**0.5, 20, 200))
    recipe = Recipe(
        epochs=max(1, epochs),
        batch=int(np.clip(n, 16, 64)),
        peak_lr=5e-4 if start_from else 2e-3,
        ema=0.99 if n < 5000 else 0.998,
    )
    log(f"classifier: {n} windows, {len(classes)} classes, {epochs} epochs, start: {start_from or 'random'}")
    seconds = None if minutes is None else 60 * minutes
    fitted = fit_parts(nets, PARTS, train, val, classes, recipe, log=log, work=work, seconds=seconds)
    thresholds, score = fallback, "not validated (fewer than 50 records)"
    if val is not None:
        thresholds, macro = choose_and_score(nets, val, fallback)
        score = f"macro F {macro:.3f} on {len(val.x)} held-out windows that chose epochs and thresholds"
    card = Card(
        input=INPUT,
        output=OUTPUT,
        trained_on=(
            f"{n} of the {len(examples)} labelled 10-s windows of {records_used} records, "
            f"{describe_duration(time.monotonic() - began)} on {name_device(next(nets.parameters()).device)}; "
            f"start: {'given weights' if start_from else 'random'}"
        ),
        command="python train_model.py -d DATA -m MODEL",
        score=score,
        settings={"classes": classes, "thresholds": thresholds, "networks": nets.settings},
    )
    save_tensors(model_folder, NAME, half_precision(nets.state_dict()), card)
    return Trained(fitted, classes, val)


def choose_and_score(nets: SignalNets, val: Windows, fallback: Sequence[float]) -> tuple[list[float], float]:
    """Thresholds chosen on the windows ``val``, drawn to ``fallback`` where positives are few, and macro F with them."""
    truth, p = val.y.numpy() > 0.5, probabilities(nets, val.x)
    thresholds = choose_thresholds(truth, p, fallback, trust=10)
    return thresholds, float(np.nanmean(f_measures(truth, p >= np.array(thresholds))))


def _split(
    examples: list[tuple[int, NDArray[np.float16], list[str]]],
    classes: list[str],
    validating: Collection[int] | None = None,
) -> tuple[Windows, Windows | None]:
    """Training and validation windows; of 50 or more records the given ones or every seventh (in random order) validate."""
    x = torch.from_numpy(np.stack([window for _, window, _ in examples]))
    y = torch.tensor([[float(c in held) for c in classes] for _, _, held in examples])
    owner = np.array([i for i, _, _ in examples])
    numbers = np.random.default_rng(0).permutation(np.unique(owner))
    if len(numbers) < 50:
        return Windows(x, y), None
    held_out = torch.from_numpy(np.isin(owner, numbers[::7] if validating is None else list(validating)))
    if held_out.all() or not held_out.any():
        return Windows(x, y), None
    x_val = mask_as_page(x[held_out])
    return Windows(x[~held_out], y[~held_out]), Windows(x_val, y[held_out])
