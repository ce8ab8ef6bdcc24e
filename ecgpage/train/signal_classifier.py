"""Train the signal classifier on recorded ECGs, masked and altered by simulated digitization.

    python -m ecgpage.train.signal_classifier --data FOLDER_WITH_PACKS --out model

The network on windows is trained first, then the one on their beats, together with the trees on rhythm and form;
``--part beats --start MODEL`` trains one part and takes the other from MODEL.

FOLDER_WITH_PACKS holds ``fold1.xz`` ... ``fold9.xz`` (see ``ecgpage.core.signal_packs``) and ``labels.csv``. Folds 1-7 are
trained on, fold 8 stops the training and gives the thresholds, fold 9 is scored once, with ``--score 9``. A stopped run
continues: ``--work`` holds checkpoint and log, the folder ``packs`` beside it the decoded packs.

``ecgpage.train.signal_records`` trains on any labelled records, from scratch or from given weights.
"""

import argparse
import hashlib
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from ecgpage.core.conventions import CLASSES
from ecgpage.core.torch_runtime import half_precision, load_tensors, save_tensors
from ecgpage.core.weights import Card, load_card
from ecgpage.diagnosis.beat_pattern import PATTERN
from ecgpage.diagnosis.beats import FORM, RHYTHM
from ecgpage.diagnosis.signal_classifier import NAME
from ecgpage.diagnosis.signal_network import SignalNets, load_nets
from ecgpage.synth.origins import summarize_origins
from ecgpage.synth.simulated_digitization import mask_as_page, simulate_digitization
from ecgpage.train import several
from ecgpage.train.devices import describe_duration, name_device
from ecgpage.train.loop_parts import write_checkpoint
from ecgpage.train.scores import choose_thresholds, f_measures, macro_interval
from ecgpage.train.signal_examples import (
    BeatViews,
    Examples,
    Windows,
    load_folds,
    one_hot,
)
from ecgpage.train.signal_fitting import Fitted, Log, Recipe, fit, probabilities
from ecgpage.train.tree_growing import grow_trees

INPUT: Final = "12 leads, 10 s at 100 Hz, mV, NaN where unknown (as planes of signal and mask; as usual beat, sequence, form)"
"""Input of the networks, for the model card."""
PARTS: Final = ("windows", "beats")
"""Networks of the signal branch, in the order of their training."""
TIME_SHARE: Final = {"windows": 0.6, "beats": 0.15, "reading": 0.1, "trees": 0.1}
"""Share of a training's time that networks, reading of beats and trees get, at most; the rest is for validating."""
VIEWS: Final = 4
"""Number of simulated digitizations of each record from which beats are read, at most: reading takes longer than a step."""
BEATS_BATCH: Final = 128
"""Number of records in a step of the network on beats."""
OUTPUT: Final = "one logit per class; a label where its sigmoid reaches the class's threshold (settings)"
"""Output of the networks, for the model card."""


def select_outputs(nets: SignalNets, rows: Sequence[int], *, trees: bool = True) -> SignalNets:
    """Copy of the networks with some of their outputs, in the order of ``rows``; the trees' likewise, or as they are."""
    settings = nets.settings
    chosen = SignalNets(len(rows), **settings)
    state = nets.state_dict()
    for key, value in state.items():
        if ".head." in key or (trees and key.startswith("trees.")):
            state[key] = value[list(rows)]
    chosen.load_state_dict(state)
    return chosen.eval()


# --- both networks ------------------------------------------------------------------------------------------


def start_nets(classes: list[str], start_from: str | Path | None) -> tuple[SignalNets, list[float]]:
    """Networks with one output a class, without trees, and default thresholds; from the start weights where given."""
    if start_from is None:
        return SignalNets(len(classes)), [0.4] * len(classes)
    old, settings = load_nets(start_from, NAME), load_card(start_from, NAME).settings
    known_classes = list(settings["classes"])
    nets = SignalNets(len(classes), old.windows.settings, old.beats.settings)
    for part in PARTS:
        network: nn.Module = getattr(nets, part)
        state = network.state_dict()
        for key, value in getattr(old, part).state_dict().items():
            if not key.startswith("head."):
                state[key] = value
                continue
            for row, name in enumerate(classes):
                if name in known_classes:
                    state[key][row] = value[known_classes.index(name)]
        network.load_state_dict(state)
    known = dict(zip(known_classes, settings["thresholds"], strict=True))
    return nets, [known.get(name, 0.4) for name in classes]


def fit_parts(
    nets: SignalNets,
    parts: Iterable[str],
    train: Windows,
    val: Windows | None,
    classes: Sequence[str],
    recipe: Recipe,
    *,
    log: Log,
    work: Path | None = None,
    seconds: float | None = None,
) -> dict[str, Fitted]:
    """Train some of ``PARTS`` in place, each to the weights of its best report.

    Of ``seconds``, each gets its share at most (``TIME_SHARE``). Trees are grown with the network on beats; their outputs are
    the classes alone. ``work`` keeps checkpoints, beats and trees for a training that is stopped.
    """
    fitted = {}
    limit = {name: share * (math.inf if seconds is None else seconds) for name, share in TIME_SHARE.items()}
    for part in parts:
        network: nn.Module = getattr(nets, part)
        examples: tuple[Examples, Examples | None] = train, val
        own = recipe
        if part == "beats":
            kept = None if work is None else work / f"beats_{_digest(train, recipe.seed)}"
            own = replace(recipe, batch=min(2 * recipe.batch, BEATS_BATCH))
            views = _read_beats(train, recipe.seed, kept, limit["reading"])
            examples = views, None if val is None else BeatViews.of(val)
            nets.trees = grow_trees(views.numbers, train.y[:, : len(classes)], kept, limit["trees"])
            nets.trees.to(next(network.parameters()).device)  # the views stay on the CPU
        log(f"{part}:")
        checkpoint = None if work is None else work / f"{part}.pt"
        if seconds is not None:
            own = replace(own, minutes=limit[part] / 60)
        fitted[part] = fit(network, *examples, len(classes), own, log=log, checkpoint=checkpoint)
        network.load_state_dict(fitted[part].state)
    return fitted


def _digest(windows: Windows, seed: int) -> str:
    """Digest of windows and targets with a seed, from which beats and trees are made, and of the numbers' names."""
    found = hashlib.sha256(repr((seed, RHYTHM, FORM, PATTERN)).encode())
    for part in (windows.x, windows.y):
        found.update(np.ascontiguousarray(part.numpy()).view(np.uint8).data)
    return found.hexdigest()[:16]


def _read_beats(windows: Windows, seed: int, kept: Path | None, seconds: float) -> BeatViews:
    """Beats of several views of the windows; the folder ``kept`` keeps them for a training that is stopped."""
    path = None if kept is None else kept / "beats.pt"
    if path is not None and path.exists():
        return BeatViews(**torch.load(path, weights_only=True), y=windows.y)
    views = BeatViews.of(windows, VIEWS, seed, seconds)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint({key: getattr(views, key) for key in ("usual", "sequence", "numbers")}, path)
    return views


# --- the packs ----------------------------------------------------------------------------------------------


def train_on_packs(
    data: Path, out: Path, work: Path, recipe: Recipe, log: Log, *, part: str | None, start: Path | None
) -> None:
    """Train on folds 1-7, choose by fold 8, and write weights and card to ``out``.

    ``part``: network that is trained alone; the other one comes from the model folder ``start``.
    """
    began = time.monotonic()
    fold = load_folds(data, range(1, 8), work.parent / "packs")
    codes = [s for held in fold.statements for s in held]
    statements = sorted(s for s in set(codes) if codes.count(s) >= 40)
    y = torch.cat([one_hot(fold.labels, CLASSES), one_hot(fold.statements, statements)], 1)
    held_out = load_folds(data, [8], work.parent / "packs")
    held_records = summarize_origins(held_out.origins)
    rng = np.random.default_rng(8)
    x_val = torch.cat(
        [mask_as_page(held_out.x), simulate_digitization(held_out.x.float(), rng, mixed_layouts=False).half()]
    )
    val = Windows(x_val, one_hot(held_out.labels, CLASSES).repeat(2, 1))
    log(f"{len(y)} records, {y.shape[1]} targets ({len(CLASSES)} classes), validation {len(held_out.x)}")
    torch.manual_seed(recipe.seed)
    nets, _ = start_nets([*CLASSES, *statements], start)
    parts = PARTS if part is None else (part,)
    fitted = fit_parts(nets, parts, Windows(fold.x, y), val, CLASSES, recipe, log=log, work=work)
    if "beats" not in parts and start is not None:
        nets.trees = load_nets(start, NAME).trees
    nets = select_outputs(nets, range(len(CLASSES)), trees=False)
    truth, p = val.y.numpy() > 0.5, probabilities(nets, val.x)
    thresholds = choose_thresholds(truth, p)
    macro = np.nanmean(f_measures(truth, p >= np.array(thresholds)))
    each = ", ".join(f"{part} alone {one.macro_f:.3f}" for part, one in fitted.items())
    options = f"--epochs {recipe.epochs} --seed {recipe.seed}" + (
        f" --part {part} --start MODEL" if part else ""
    )
    card = Card(
        input=INPUT,
        output=OUTPUT,
        trained_on=(
            f"{summarize_origins(fold.origins)}, windows masked as printed, simulated digitization; "
            f"{describe_duration(time.monotonic() - began)} on {name_device(next(nets.parameters()).device)}"
        ),
        command=f"python -m ecgpage.train.signal_classifier --data FOLDER_WITH_PACKS {options}",
        score=f"macro F {macro:.3f} ({each}) on {held_records}, printed windows, which chose epochs and thresholds",
        settings={"classes": list(CLASSES), "thresholds": thresholds, "networks": nets.settings},
    )
    save_tensors(out, NAME, half_precision(nets.state_dict()), card)


def score_packs(data: Path, model: Path, work: Path, fold: int, log: Log) -> None:
    """Log macro F, its 95 % bootstrap interval and each class's F, as printed (3x4 + II) and complete.

    The macro F of the printed windows is added to the weights' card.
    """
    nets, settings = load_nets(model, NAME), load_card(model, NAME).settings
    classes, thresholds = settings["classes"], np.array(settings["thresholds"])
    held_out = load_folds(data, [fold], work.parent / "packs")
    truth = one_hot(held_out.labels, classes).numpy() > 0.5
    rng = np.random.default_rng(fold)
    scores: dict[str, str] = {}
    kinds = {
        "printed windows": mask_as_page(held_out.x),
        "printed windows, disturbed": simulate_digitization(held_out.x.float(), rng, mixed_layouts=False),
        "full signals": held_out.x,
    }
    for kind, x in kinds.items():
        p = probabilities(nets, x)
        guess = p >= thresholds
        macro, low, high = macro_interval(truth, guess)
        interval = f"{low:.3f}-{high:.3f}"
        scores[kind] = f"macro F {macro:.3f} ({interval}) on fold {fold}, {kind}, {len(truth)} records"
        single = zip(classes, f_measures(truth, guess), strict=True)
        log(f"{scores[kind]}: " + ", ".join(f"{c} {f:.3f}" for c, f in single))
    card = load_card(model, NAME)
    earlier = [part for part in card.score.split("; ") if f"fold {fold}," not in part]
    card = replace(card, score="; ".join([*earlier, scores["printed windows"]]))
    save_tensors(model, NAME, load_tensors(model, NAME), card)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with fold1.xz ... and labels.csv")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/classifier/first"), help="checkpoint and log")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--part", choices=PARTS, help="train this network alone; needs --start")
    parser.add_argument("--start", type=Path, help="model folder whose weights are the start")
    parser.add_argument(
        "--compile", action="store_true", help="fuse with torch.compile (needs a C++ compiler)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--score", type=int, metavar="FOLD", help="only score the weights in --out on this fold"
    )
    args = parser.parse_args()
    if args.part and not args.start:
        parser.error("--part needs --start, the model folder that holds the other network")
    if several.started() > 1:
        parser.error("this network is small: it trains in one process, without torchrun")
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    log = logging.getLogger(__name__).info
    if args.score is not None:
        score_packs(args.data, args.out, args.work, args.score, log)
    else:
        recipe = Recipe(epochs=args.epochs, compiled=args.compile, seed=args.seed)
        train_on_packs(args.data, args.out, args.work, recipe, log, part=args.part, start=args.start)


if __name__ == "__main__":
    main()
