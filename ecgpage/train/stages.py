"""Stages of the retraining of the whole system: each trains one part and says how it compares with the shipped one.

A stage trains in its own folder, goes on there where it was stopped, and validates its result and the shipped weights on
the same held-out patients. Nothing here touches the model folder but the stack's stage, which reads the branches that it
combines.
"""

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ecgpage.core.conventions import CLASSES
from ecgpage.core.runtime import Runtime
from ecgpage.core.torch_runtime import half_precision, save_tensors
from ecgpage.core.weights import copy_weights, digest, load_bytes, load_card, save_bytes
from ecgpage.diagnosis import page_classifier, page_network, signal_classifier, signal_network
from ecgpage.diagnosis import stack as stored_stack
from ecgpage.diagnosis.stack import Stack
from ecgpage.layout import detector as lead_detector
from ecgpage.layout import detector_network, text_network
from ecgpage.layout import text_reader as printed_text
from ecgpage.synth import text_windows, world_text_windows
from ecgpage.synth.page_shards import PageShards
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.trace import crop_reader
from ecgpage.trace import network as trace_network
from ecgpage.train import detector, stack, text_reader, trace
from ecgpage.train import page_classifier as page_training
from ecgpage.train.devices import choose_device
from ecgpage.train.signal_classifier import select_outputs
from ecgpage.train.signal_records import Trained, choose_and_score, train_on_records
from ecgpage.train.stack_table import make_table
from ecgpage.train.stage_task import (
    MIN_DIAGNOSED,
    TRAIN_FOLDS,
    VALID_FOLD,
    Outcome,
    Stage,
    Task,
    compare,
    draw_training_pages,
    draw_valid_pages,
    need_challenge_classes,
    need_records,
    read_records,
)
from ecgpage.train.trace_crops import Variation, draw_fixed_crops, load_signals

log = logging.getLogger(__name__)

TORCH: Final = Runtime("torch")
"""What runs the networks that are validated."""


def train_trace(task: Task) -> Outcome:
    """Trace network, validated on drawn crops."""
    train = need_records(task, "hires500/records.csv", "of 200 Hz or more")
    cuda = choose_device().type == "cuda"
    recipe = trace.Recipe(
        **task.common(2e-3 if cuda else 1e-3, 2e-4),
        batch=128 if cuda else 8,
        repeat=4 if cuda else 1,
        most_seen=500.0 * train,
        folds=TRAIN_FOLDS,
        valid_folds=str(VALID_FOLD),
        valid_crops=int(np.clip(4 * task.minutes, 8 if task.scratch else 64, 300)),
    )
    workers = max(1, task.workers - 1)
    trace.train(task.packs, task.out, task.work, recipe, resume=True, workers=workers, start=task.start)
    signals, _ = load_signals(task.packs, {str(VALID_FOLD)})
    crops = draw_fixed_crops(signals, recipe.valid_crops, Variation().width)

    def score(folder: Path) -> float:
        return trace.validate(trace_network.load_network(folder, crop_reader.NAME), crops)["mean"]

    return compare(task, "SNR of drawn crops, dB", score, crop_reader.NAME)


def train_signal(task: Task) -> Outcome:
    """Signal classifier on the records' own classes, validated on the windows of held-out records."""
    validating: set[int] = set()
    trained = train_on_records(
        read_records(task, validating), task.out, task.start, log=log.info, validating=validating,
        minutes=task.minutes, work=task.work,
    )  # fmt: skip
    retrained = math.nan
    if trained.val is not None:
        nets = signal_network.load_nets(task.out, signal_classifier.NAME)
        thresholds = load_card(task.out, signal_classifier.NAME).settings["thresholds"]
        retrained = choose_and_score(nets, trained.val, thresholds)[1]
    shipped, kept = keep_signal(task, trained)
    enough = trained.val is not None and len(trained.val.x) >= MIN_DIAGNOSED
    metric = "macro F of held-out records"
    return Outcome(metric, shipped, retrained, (signal_classifier.NAME,), task.out, kept, enough=enough)


def keep_signal(task: Task, trained: Trained) -> tuple[float, Path | None]:
    """Macro F of the shipped signal classifier, and a model folder that holds it with the classes and thresholds of the data.

    NaN without validation; None where there is none that knows all the classes.
    """
    name = signal_classifier.NAME
    if task.shipped is None:
        return math.nan, None
    card = load_card(task.shipped, name)
    known = card.settings["classes"]
    if not set(trained.classes) <= set(known):
        return math.nan, None
    rows = [known.index(c) for c in trained.classes]
    thresholds, macro = [card.settings["thresholds"][row] for row in rows], math.nan
    nets = select_outputs(signal_network.load_nets(task.shipped, name), rows)
    if trained.val is not None:
        thresholds, macro = choose_and_score(nets, trained.val, thresholds)
    settings = {"classes": trained.classes, "thresholds": thresholds, "networks": nets.settings}
    card = replace(card, settings=card.settings | settings)
    kept = task.work / "kept"
    if trained.classes == known:  # the file stays that which a stack knows
        save_bytes(kept, name, f"{name}.safetensors", load_bytes(task.shipped, name), card)
    else:
        save_tensors(kept, name, half_precision(nets.state_dict()), card)
    return macro, kept


def train_page(task: Task) -> Outcome:
    """Page classifier, validated on drawn pages of held-out records."""
    need_records(task, "ptbxl100/labels.csv", "with all leads", MIN_DIAGNOSED)
    need_challenge_classes(task)
    pages, valid = (
        page_training.load_pages(folder, threads=task.workers)
        for folder in (draw_training_pages(task), draw_valid_pages(task, "valid_plain", 0.0, 2180))
    )
    device = choose_device()
    recipe = page_training.Recipe(
        **task.common(1e-3, 2e-4, task.minutes * 0.6),
        batch=128 if device.type == "cuda" else page_training.CPU_BATCH,
        most_seen=20.0 * len(pages),
    )
    torch.manual_seed(recipe.seed)
    before = "random weights"
    network = page_network.PageNet(len(CLASSES), size=page_classifier.SIZE)
    if task.start is not None:
        network = page_network.load_network(task.start, page_classifier.NAME)
        before = load_card(task.start, page_classifier.NAME).trained_on
    trainer = page_training.Trainer(network, pages.to(device), recipe, device)
    trainer.begin(task.work / "checkpoint.pt", resume=True)
    page_training.train(trainer, valid.to(device), task.out, before)

    def score(folder: Path) -> float:
        network = page_network.load_network(folder, page_classifier.NAME)
        return page_training.score(network.to(device), valid.to(device)).macro_f

    return compare(task, "macro F of drawn pages", score, page_classifier.NAME)


def train_detector(task: Task) -> Outcome:
    """Lead detector, validated on drawn pages of held-out records."""
    need_records(task, "ptbxl100/labels.csv", "with all leads")
    pages, valid = draw_training_pages(task), draw_valid_pages(task, "valid_any", 0.6, 256)
    cuda = choose_device().type == "cuda"
    recipe = detector.Recipe(
        **task.common(2e-3, 3e-4, task.minutes * 0.6),
        batch=64 if cuda else 8,
        keep=40_000 if cuda else 12_000,
        most_seen=100.0 * sum(1 for _ in PageShards(pages)),
    )
    detector.train(pages, valid, task.out, task.work, recipe, resume=True, start=task.start)
    held_out = list(PageShards(valid))

    def score(folder: Path) -> float:
        network, _ = detector_network.load_network(folder, lead_detector.NAME)
        return detector.validate(network.to(choose_device()), held_out, recipe.size)["mAP50-95"]

    return compare(task, "mAP50-95 of drawn pages", score, lead_detector.NAME)


def train_text(task: Task) -> Outcome:
    """Text reader, validated on windows of drawn pages of held-out records."""
    need_records(task, "ptbxl100/labels.csv", "with all leads")
    train, valid = task.shared / "windows", task.shared / "windows_valid"
    for folder, folds, seconds, seed in ((train, TRAIN_FOLDS, 15 * task.minutes, 1), (valid, "8", 5, 8)):
        if not (folder / "done").exists():
            records = TrainingRecords(task.packs, set(folds))
            number = 100 * len(list(folder.glob("words_*.npz"))) + seed
            half = max(seconds / 2, 0.5)  # at least one page
            text_windows.draw_shards(records, folder, half, number)
            text_windows.draw_shards(records, folder, half, number + 50, world_text_windows.draw_windows)
            (folder / "done").touch()
    pool, held_out = text_windows.WindowPool(train), text_windows.WindowPool(valid)
    recipe = text_reader.Recipe(
        **task.common(3e-3, 6e-4, task.minutes * 0.7), most_seen=100.0 * len(pool.windows())
    )
    text_reader.train(pool, held_out, task.out, task.work, recipe, resume=True, start=task.start)
    windows = held_out.windows()

    def score(folder: Path) -> float:
        network, _ = text_network.load_network(folder, printed_text.NAME)
        return text_reader.validate(network.to(choose_device()), windows)["F"]

    return compare(task, "F of printed words", score, printed_text.NAME)


def train_stack(task: Task) -> Outcome:
    """Stack of the model folder's branches, by cross-validation on held-out records.

    The shipped stack is compared where its branches are still there, else the signal branch alone, which answers without one.
    """
    need_challenge_classes(task)
    need_records(task, "ptbxl100/labels.csv", "with all leads", MIN_DIAGNOSED)
    pages = list(PageShards(draw_valid_pages(task, "valid_plain", 0.0, 2180)))
    branches = signal_classifier.NAME, page_classifier.NAME
    signal = signal_classifier.SignalClassifier.load(task.model, TORCH)
    page = page_classifier.PageClassifier.load(task.model, TORCH)
    table = make_table(TrainingRecords(task.packs, {str(VALID_FOLD)}), pages, signal, page)
    fitted = stack.fit(table)
    before = fitted.scores["signal"][0]
    if task.shipped is not None and digest(task.shipped, stored_stack.NAME):
        kept = Stack.load(task.shipped)
        if all(kept.branches.get(name) == digest(task.model, name) for name in branches):
            before = stack.score(kept, table)["all"][0]
    macro = fitted.scores["stack as stored"][0]
    copy_weights(task.model, task.out, branches)
    fitted.stack.save(
        task.out,
        trained_on=f"answers of both branches to {len(table.record)} drawn pages of held-out records",
        command="python train_model.py -d DATA -m MODEL",
        score=f"macro F {macro:.3f}, pages of unseen records",
    )
    return Outcome("macro F of drawn pages", before, macro, (stored_stack.NAME,), task.out)


STAGES: Final = (
    Stage("trace network", 0.35, train_trace),
    Stage("signal classifier", 0.22, train_signal),
    Stage("page classifier", 0.13, train_page),
    Stage("lead detector", 0.15, train_detector),
    Stage("text reader", 0.10, train_text),
    Stage("stack", 0.05, train_stack),
)
"""Stages in the order of their worth."""
