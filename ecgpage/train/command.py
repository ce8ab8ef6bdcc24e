"""Command line that the trainings share: options of the recipe, folders, threads, log."""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import torch

from ecgpage.train import several
from ecgpage.train.loop import AnyRecipe, Recipe


class Setting(NamedTuple):
    """Number of a recipe that can be set on the command line."""

    field: str
    option: str
    help: str


COMMON: Final = (
    Setting("minutes", "--minutes", "time of the training, all resumed runs together"),
    Setting("batch", "--batch", "examples of a step"),
    Setting("seed", "--seed", "of the random numbers"),
    Setting("checkpoint_minutes", "--checkpoint-minutes", "between two validations"),
)
"""Settings of every training by time."""
MOST_SEEN: Final = Setting("most_seen", "--most-seen", "end after so many examples, if that is sooner")


def build_parser(
    text: str | None, recipe: type[Recipe], settings: Sequence[Setting], work: str
) -> argparse.ArgumentParser:
    """Parser with an option for each setting and the options of every training; ``text``: the script's docstring."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path(work), help="checkpoint and log")
    for setting in settings:
        default: Any = getattr(recipe, setting.field)
        several = isinstance(default, tuple)
        parser.add_argument(
            setting.option,
            dest=setting.field,
            type=type(default[0] if several else default),
            nargs=len(default) if several else None,
            default=default,
            help=setting.help,
        )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument("--compile", action="store_true", help="fuse with torch.compile (a C++ compiler)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch")
    return parser


def read_recipe(args: argparse.Namespace, recipe: type[AnyRecipe], settings: Sequence[Setting]) -> AnyRecipe:
    """Recipe with the numbers given on the command line."""
    given = {setting.field: getattr(args, setting.field) for setting in settings}
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    return recipe(**values)


def list_options(recipe: Recipe, settings: Sequence[Setting]) -> str:
    """Command-line options of a recipe, each after a blank, without those at their default."""
    text = ""
    for field, option, _ in settings:
        value = getattr(recipe, field)
        if value != getattr(type(recipe), field):
            values = value if isinstance(value, tuple) else (value,)
            text += " ".join([f" {option}", *(v if isinstance(v, str) else f"{v:g}" for v in values)])
    return text


def set_up(args: argparse.Namespace) -> None:
    """Set threads and log by the command line, and join other processes; the first one alone tells how it goes."""
    several.join()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)  # before workers fork: OpenCV's threads do not survive it
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if several.rank() == 0:
        handlers.append(logging.FileHandler(args.work / "log.txt"))
    level = logging.INFO if several.rank() == 0 else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", handlers=handlers)
