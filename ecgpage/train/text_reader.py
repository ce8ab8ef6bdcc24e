"""Train the text reader on drawn windows of printed pages.

    python -m ecgpage.train.text_reader --windows DIR --valid VALID --out model --minutes 20

DIR and VALID hold shards of windows (``ecgpage.synth.text_windows``, ``ecgpage.synth.world_text_windows``); shards drawn
meanwhile join in. Training windows are stretched, turned a little, made brighter, paler, blurred or noisy. ``--work`` holds
checkpoint and log; ``--resume`` continues a stopped run; ``--start model --lr 1e-3`` trains weights further.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.torch_runtime import half_precision, network_precision, save_tensors
from ecgpage.core.types import Light, Rng
from ecgpage.core.weights import Card
from ecgpage.layout.text_network import TextNet, load_network
from ecgpage.layout.text_reader import (
    BORDER_CELLS,
    CELL,
    NAME,
    PX_PER_MM,
    darkness,
)
from ecgpage.layout.words import WORDS
from ecgpage.synth.origins import summarize_origins
from ecgpage.synth.text_windows import SIDE, WindowPool, Windows
from ecgpage.train import loop
from ecgpage.train.command import COMMON, Setting, build_parser, list_options, read_recipe, set_up
from ecgpage.train.devices import choose_device

Batch = tuple[Tensor, Tensor, Tensor]
"""Light uint8 (b, SEEN_SIDE, SEEN_SIDE), places float32 (b, MOST_WORDS, 2) px, classes (b, MOST_WORDS)."""

SEEN_SIDE: Final = 80
"""Side, px, of the part of a window that a step of training sees: 20 mm."""
STRETCHED: Final = 0.6
"""Share of windows that are stretched in a step of training."""
AT_WORD: Final = 0.85
"""Share of the parts that show a word, if the window has one."""
NEAR_PX: Final = 4.5
"""Distance, px, of the middles of a cell and a word, up to which the cell is the word's."""
UNSURE_PX: Final = 10.0
"""Distance, px, of the middles, up to which a cell that is not the word's does not count."""
SETTINGS: Final = (
    *COMMON,
    Setting("width", "--width", "channels of the network"),
    Setting("peak_lr", "--lr", "highest learning rate"),
)


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """Numbers of one training."""

    minutes: float = 50.0
    batch: int = 48
    width: int = 64
    """Number of channels of the network."""
    fine: int = 1
    """Number of its layers at pairs of pixels."""
    peak_lr: float = 3e-3
    warmup: int = 100
    clip: float = 5.0
    nothing_weight: float = 2.0
    """Weight in the loss of cells without a word over that of cells with one."""
    valid_windows: int = 1536
    """Number of windows of the validation, at most."""
    checkpoint_minutes: float = 4.0


# --- windows as a step sees them ----------------------------------------------------------------------------


def draw_batches(pool: WindowPool, batch: int, rng: Rng) -> Iterator[Batch]:
    """Endless batches of parts of windows in passes of random order; new shards join in."""
    while True:
        windows = pool.windows()
        order = rng.permutation(len(windows))
        for start in range(0, max(1, len(order) - batch + 1), batch):
            part = np.sort(order[start : start + batch])
            light, places = cut_parts(*stretch_windows(windows.light[part], windows.places[part], rng), rng)
            yield torch.from_numpy(light), torch.from_numpy(places), torch.from_numpy(windows.classes[part])


def stretch_windows(light: Light, places: NDArray[np.float32], rng: Rng) -> tuple[Light, NDArray[np.float32]]:
    """Windows (b, SIDE, SIDE) and the places in them, a share ``STRETCHED`` stretched, turned and slanted a little."""
    seen, moved = light.copy(), places.copy()
    for k in np.flatnonzero(rng.random(len(light)) < STRETCHED):
        turn = rng.uniform(-0.03, 0.03)
        transform = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        slant = np.array([[1.0, rng.uniform(-0.12, 0.12)], [0.0, 1.0]])
        transform = transform @ slant @ np.diag(rng.uniform(0.88, 1.15, 2))
        shift = SIDE / 2 - transform @ np.full(2, SIDE / 2)  # of edge coordinates
        # OpenCV counts from the middles of pixels
        middles = np.column_stack([transform, shift + transform @ np.full(2, 0.5) - 0.5])
        seen[k] = cv2.warpAffine(
            light[k], middles, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        moved[k] = places[k] @ transform.T + shift
    return seen, moved


def cut_parts(light: Light, places: NDArray[np.float32], rng: Rng) -> tuple[Light, NDArray[np.float32]]:
    """Part (b, SEEN_SIDE, SEEN_SIDE) of each window, mostly with a word well inside, and the places in it."""
    margin = (BORDER_CELLS + 1) * CELL
    seen = np.empty((len(light), SEEN_SIDE, SEEN_SIDE), np.uint8)
    moved = places.copy()
    for k, (window, at) in enumerate(zip(light, places, strict=True)):
        corner = rng.integers(0, SIDE - SEEN_SIDE + 1, 2)
        words = at[np.isfinite(at[:, 0])]
        if len(words) and rng.random() < AT_WORD:
            word = words[rng.integers(len(words))]
            corner = word - rng.uniform(margin, SEEN_SIDE - margin, 2)
            corner = np.clip(np.rint(corner), 0, SIDE - SEEN_SIDE).astype(int)
        x, y = corner
        seen[k] = window[y : y + SEEN_SIDE, x : x + SEEN_SIDE]
        moved[k] -= corner
    return seen, moved


def augment(light: Tensor) -> Tensor:
    """Windows float32 (b, 1, h, w), 0 to 255, of uint8 (b, h, w): some blurred, paler or darker, noisy."""
    x = light[:, None].float()

    def rand() -> Tensor:
        return torch.rand(len(x), 1, 1, 1, device=x.device)

    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = rand() * (rand() < 0.4)
    x = torch.lerp(x, soft, share)
    white = x.amax(dim=(2, 3), keepdim=True)
    contrast = 0.5 + 0.7 * rand()
    x = white - (white - x) * contrast
    noise = torch.randn_like(x) * (6.0 * rand() ** 2)
    return (x + noise).clamp(0, 255)


def measure_darkness(light: Tensor) -> Tensor:
    """Darkness (``ecgpage.layout.text_reader.darkness``) of windows float32 (b, 1, h, w), 0 to 255, on their device."""
    found = np.stack([darkness(one) for one in light[:, 0].cpu().numpy()])
    return torch.from_numpy(found)[:, None].to(light.device)


# --- training -----------------------------------------------------------------------------------------------


def label_cells(places: Tensor, classes: Tensor, side: int = SIDE) -> Tensor:
    """Class + 1 of each cell (b, side / CELL, side / CELL); 0 without a word, -1 for cells that do not count.

    ``places`` (b, k, 2): px, NaN for none; ``classes`` (b, k).
    """
    n = side // CELL
    middle = (torch.arange(n, device=places.device) + 0.5) * CELL
    dx = middle[None, None, None, :] - places[:, :, 0, None, None]  # (b, k, 1, n)
    dy = middle[None, None, :, None] - places[:, :, 1, None, None]  # (b, k, n, 1)
    distance = torch.hypot(dx, dy).nan_to_num(nan=torch.inf)  # (b, k, n, n)
    nearest, word = distance.min(dim=1)
    found = classes[:, :, None, None].expand(-1, -1, n, n).gather(1, word[:, None])[:, 0] + 1
    cell = torch.where(nearest < NEAR_PX, found, torch.where(nearest < UNSURE_PX, -1, 0))
    counts = torch.zeros(n, n, dtype=torch.bool, device=places.device)
    counts[BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS] = True
    return torch.where(counts, cell, -1)


def cell_loss(logits: Tensor, cell: Tensor, nothing_weight: float) -> Tensor:
    """Cross-entropy over the number of words' cells: of these, plus, weighted, of empty cells, where hard ones count more."""
    each = F.cross_entropy(logits.float(), cell.clamp_min(0), reduction="none")
    words, nothing = cell > 0, cell == 0
    count = words.sum().clamp_min(1)
    hard = (1 - torch.exp(-each.detach())) ** 2
    return (each * words).sum() / count + nothing_weight * (each * hard * nothing).sum() / count


def add_fine_layers(network: TextNet, fine: int) -> TextNet:
    """Copy of a network with at least ``fine`` layers at pairs of pixels; new layers change nothing at first."""
    settings: dict[str, Any] = network.settings | {"fine": max(fine, len(network.fine))}
    wider = TextNet(**settings)
    wider.load_state_dict(network.state_dict(), strict=False)
    for name, parameter in wider.fine[len(network.fine) :].named_parameters():
        if name.endswith("norm.weight"):
            nn.init.zeros_(parameter)
    return wider


class Trainer(loop.Trainer[Batch, Recipe]):
    """Text reader in training."""

    def __init__(
        self, recipe: Recipe, device: torch.device, start: Path | None = None, *, compiled: bool = False
    ) -> None:
        """``start``: model folder whose weights are trained further; fine layers it lacks change nothing at first."""
        network = TextNet(recipe.width, fine=recipe.fine)
        self.before = ""
        """Text of the card of the weights that it began with."""
        if start is not None:
            stored, card = load_network(start, NAME)
            network, self.before = add_fine_layers(stored, recipe.fine), card.trained_on
        self.network_settings: dict[str, Any] = network.settings
        super().__init__(network, recipe, device, compiled=compiled)

    def losses(self, batch: Batch) -> loop.Parts:
        light, places, classes = (part.to(self.device, non_blocking=True) for part in batch)
        x = measure_darkness(augment(light)).contiguous(memory_format=torch.channels_last)
        with self.autocast():
            logits = self.forward(x)
        cell = label_cells(places, classes, light.shape[-1])
        return {"cells": cell_loss(logits, cell, self.recipe.nothing_weight)}

    def count(self, batch: Batch) -> int:
        return len(batch[0])


@torch.inference_mode()
def validate(network: nn.Module, windows: Windows) -> loop.Scores:
    """Share of words found, share of found words named right, number of false words a window, and F over all words."""
    network.eval()
    device = next(network.parameters()).device
    found = right = words = false = 0
    for start in range(0, len(windows), 64):
        part = slice(start, start + 64)
        x = measure_darkness(torch.from_numpy(windows.light[part])[:, None].float()).to(device)
        with network_precision(device):
            logits = network(x.contiguous(memory_format=torch.channels_last)).float()
        chances = logits.softmax(1).cpu()
        cell = label_cells(torch.from_numpy(windows.places[part]), torch.from_numpy(windows.classes[part]))
        is_word = chances[:, 0] < 0.5
        own = cell > 0
        words += int(own.sum())
        found += int((own & is_word).sum())
        right += int((own & is_word & (chances[:, 1:].argmax(1) + 1 == cell)).sum())
        false += int(((cell == 0) & is_word).sum())
    return {
        "found": found / max(1, words),
        "right": right / max(1, found),
        "false": false / max(1, len(windows)),
        "F": 2 * right / max(1, words + found + false),
    }


def train(
    pool: WindowPool,
    valid: WindowPool,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    start: Path | None = None,
    compiled: bool = False,
) -> None:
    """Train for ``recipe.minutes`` from the weights of the model folder ``start`` or from random ones, and write weights and
    card to ``out``.
    """
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, choose_device(), start, compiled=compiled)
    trainer.begin(work / "checkpoint.pt", resume=resume)
    held_out = Windows(
        *(getattr(valid.windows(), k)[: recipe.valid_windows] for k in ("light", "places", "classes"))
    )
    valid_records = summarize_origins(valid.origins.values())

    def feed() -> Iterator[Batch]:
        rng = np.random.default_rng(trainer.seeds)
        for batch in draw_batches(pool, recipe.batch, rng):
            trainer.progress.drawn = len(pool.windows())
            yield batch

    def store(network: nn.Module, scores: loop.Scores, folder: Path) -> None:
        records = f"pages of {summarize_origins(pool.origins.values())}"
        write(trainer, network, scores, folder, records, f"{len(held_out)} drawn windows of {valid_records}")

    trainer.run(feed(), partial(validate, windows=held_out), write=store, out=out)


def write(
    trainer: Trainer, network: nn.Module, scores: loop.Scores, folder: Path, records: str, valid: str
) -> None:
    """Store a network in float16 and its card, which names the ``records`` of training and validation."""
    seen = trainer.describe("windows", records)
    command = f"python -m ecgpage.train.text_reader --windows DIR --valid VALID{list_options(trainer.recipe, SETTINGS)}"
    card = Card(
        input=f"darkness against the paper around, about 0 to 1, {PX_PER_MM} px/mm, any size",
        output=f"for each mm2: logits of no word and of {len(WORDS)} words (leads, paper speeds, gains)",
        trained_on=f"{trainer.before}; then {seen}" if trainer.before else seen,
        command=command + (" --start model" if trainer.before else ""),
        score=(
            f"{scores['found']:.1%} of the words' cells found, {scores['right']:.2%} of these named right, "
            f"{scores['false']:.3f} false cells a window, on {valid}"
        ),
        settings={"network": trainer.network_settings, "words": list(WORDS)},
    )
    save_tensors(folder, NAME, half_precision(network.state_dict()), card)


def main() -> None:
    parser = build_parser(__doc__, Recipe, SETTINGS, "runs/text_reader")
    parser.add_argument("--windows", type=Path, required=True, help="folder of training shards")
    parser.add_argument("--valid", type=Path, required=True, help="folder of validation shards")
    parser.add_argument("--start", type=Path, help="model folder whose weights are trained further")
    args = parser.parse_args()
    set_up(args)
    train(
        WindowPool(args.windows),
        WindowPool(args.valid),
        args.out,
        args.work,
        read_recipe(args, Recipe, SETTINGS),
        resume=args.resume,
        start=args.start,
        compiled=args.compile,
    )


if __name__ == "__main__":
    main()
