"""Table the predictions of both branches for the records of a fold, in minutes, to fit and to score their stack.

    python -m ecgpage.synth.page_shards --data FOLDER --folds 8 --any-look 0 --count 2164 --seed 8 --out PAGES
    python -m ecgpage.train.stack_table --data FOLDER --folds 8 --pages PAGES --model model --out fold8.npz

The page branch sees drawn flattened pages (``ecgpage.synth.flat_pages``); ``--any-look 0`` draws the Challenge's layout,
which is needed here. The signal branch sees the records of these pages through simulated digitization
(``ecgpage.synth.simulated_digitization``): windows, noise, gain and time error, lost leads, gaps; of the share ``UNREAD``
it sees nothing. No page is digitized, so the table tells how the branches compare and add up; the loss by digitization is
measured on whole pages by ``bench.leaderboard``.

The kinds are the pages' mixes: photo, scan, worn, clean.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.logistic import sigmoid
from ecgpage.diagnosis.page_classifier import PageClassifier, to_input
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import PageShards
from ecgpage.synth.simulated_digitization import simulate_digitization
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.train.stack import Table

log = logging.getLogger(__name__)

UNREAD: Final[dict[str, float]] = {"worn": 0.1, "photo": 0.03, "scan": 0.02, "clean": 0.0}
"""Share of pages, by kind, whose signals the digitizer refuses though it locates the ECG; rounded from the few refusals on
whole drawn pages."""
BATCH: Final = 8
"""Number of pages in a batch: larger batches are slower on a CPU, whose cache their planes do not fit."""


def make_table(
    records: TrainingRecords,
    pages: Sequence[DrawnFlatPage],
    signal: SignalClassifier,
    page: PageClassifier,
    *,
    seed: int = 0,
) -> Table:
    """Predictions of both branches for drawn pages and the signals on them.

    Pages of unlabelled records and further pages of a record are left out. Raises ``EcgPageError`` when no page is left or
    a page shows a record that ``records`` does not hold.
    """
    kept = _first_labelled(pages)
    if not kept:
        raise EcgPageError("no page of a labelled record: nothing to table")
    place = {int(number): k for k, number in enumerate(records.numbers)}
    unknown = [p.record for p in kept if p.record not in place]
    if unknown:
        raise EcgPageError(
            f"record {unknown[0]} is shown on a page, but is not among the records of these folds"
        )
    windows = torch.from_numpy(np.stack([_window(records, place[p.record]) for p in kept]))
    kinds = [p.mix.removesuffix(" cut") for p in kept]
    rng = np.random.default_rng(seed)
    read = digitized(windows, kinds, rng)
    leads = read.isfinite().any(2).sum(1).numpy().astype(np.float64)
    logits = [signal.network(part.numpy())[0] for part in read.split(128)]
    p_signal = _in_order(sigmoid(np.concatenate(logits)), signal.classes)
    p_signal[leads == 0] = np.nan
    return Table(
        record=np.array([p.record for p in kept], np.int64),
        kind=np.array(kinds),
        truth=np.array([p.labels for p in kept], np.bool_),
        signal=p_signal,
        page=_in_order(_page_probabilities(page, kept), page.classes),
        leads_read=leads,
        snr_db=np.full(len(kept), np.nan),
    )


def digitized(windows: Tensor, kinds: Sequence[str], rng: np.random.Generator) -> Tensor:
    """(n, 12, 1000) signals, mV, of complete ``windows`` as if read from a 3x4 page with lead II below; NaN where unread.

    Of the share ``UNREAD`` of each kind, nothing is left.
    """
    read = torch.cat([simulate_digitization(x.float(), rng, mixed_layouts=False) for x in windows.split(256)])
    refused = rng.random(len(kinds)) < np.array([UNREAD[kind] for kind in kinds])
    read[torch.from_numpy(refused)] = torch.nan
    return read


def _first_labelled(pages: Sequence[DrawnFlatPage]) -> list[DrawnFlatPage]:
    first: dict[int, DrawnFlatPage] = {}
    for page in pages:
        if page.labelled:
            first.setdefault(page.record, page)
    return list(first.values())


def _window(records: TrainingRecords, index: int) -> NDArray[np.float32]:
    """(12, 1000) signals of a record, mV at 100 Hz."""
    signal, fs = records.signal(index)
    window: NDArray[np.float32] = to_windows(signal, fs, LEADS)[0]
    return window


def _page_probabilities(page: PageClassifier, pages: Sequence[DrawnFlatPage]) -> NDArray[np.float32]:
    """(n, classes) probabilities of the page branch."""
    parts = []
    for start in range(0, len(pages), BATCH):
        images = np.stack([to_input(p.image, page.size) for p in pages[start : start + BATCH]])
        parts.append(page.probabilities(images))
        log.info("%d of %d pages", start + len(images), len(pages))
    return np.concatenate(parts)


def _in_order(p: NDArray[np.float32], classes: Sequence[str]) -> NDArray[np.float64]:
    """Columns of ``p`` in the order of ``CLASSES``; ``EcgPageError`` when a class is not known."""
    missing = [c for c in CLASSES if c not in classes]
    if missing:
        raise EcgPageError(
            f"a branch does not know {', '.join(missing)}; take the weights of all eleven classes"
        )
    return np.asarray(p[:, [list(classes).index(c) for c in CLASSES]], np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100/ or hires500/ or both")
    parser.add_argument("--folds", required=True, help="digits: 8 to fit a stack, 9 to score it")
    parser.add_argument(
        "--pages", type=Path, required=True, help="shards of these folds, ecgpage.synth.page_shards"
    )
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--out", type=Path, required=True, help="table, .npz")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    branches = SignalClassifier.load(args.model), PageClassifier.load(args.model)
    records = TrainingRecords(args.data, set(args.folds))
    table = make_table(records, list(PageShards(args.pages)), *branches, seed=args.seed)
    table.save(args.out)
    log.info("%s: %d records", args.out, len(table.record))


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        raise SystemExit(str(error)) from None
