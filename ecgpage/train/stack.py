"""Fit the stack, which combines the diagnoses of signal and page into one prediction.

    python -m ecgpage.train.stack --table TABLE.npz --out model

TABLE holds the predictions of both branches for pages of fold 8 (``Table``), from one pass of the whole pipeline over
drawn pages. Scores and thresholds come from five-fold cross-validation, with all pages of a record in one part.
``--score TABLE`` scores another table, of fold 9, with the stored stack; with ``--table`` it also reports the branches
alone, class by class, with thresholds from that table.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.types import Array
from ecgpage.diagnosis.stack import FEATURES, Stack, decide, drop_unlikely_norm, features
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.train.pulled_regression import fit_near_common
from ecgpage.train.scores import choose_thresholds, expected_thresholds, f_measures, macro_interval

log = logging.getLogger(__name__)


PARTS: Final = 5
"""Number of parts of the cross-validation."""
PULL: Final = 100.0
"""Penalty that draws a class's weights to the common ones. Mean average precision on unseen pages of fold 8: 0.776; 0.778
with common weights alone, 0.769 with those of each class alone (0.748 signal branch, 0.727 page branch)."""
COMMON_PULL: Final = 1.0
"""Penalty that draws the common weights to half of each branch's logit."""
NORM_BESIDE: Final = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
"""Probabilities that NORM may need beside a finding; 0: its threshold is enough, 1.01: never beside one."""


@dataclass(frozen=True)
class Table:
    """Predictions of both branches for n pages, with the true labels."""

    record: NDArray[np.int64]
    """(n,) number of the record on each page."""
    kind: NDArray[np.str_]
    """(n,) kind of each page, such as "photo" or "scan"."""
    truth: NDArray[np.bool_]
    """(n, 11) true labels in the order of ``CLASSES``."""
    signal: Array
    """(n, 11) probabilities of the signal branch, NaN where there was no signal."""
    page: Array
    """(n, 11) probabilities of the page branch."""
    leads_read: Array
    """(n,) number of leads read, 0 to 12."""
    snr_db: Array
    """(n,) mean expected SNR, dB, NaN where not known."""

    def __post_init__(self) -> None:
        n, wide = len(self.record), (len(self.record), len(CLASSES))
        for name, shape in {"truth": wide, "signal": wide, "page": wide, "kind": (n,)}.items():
            found = getattr(self, name).shape
            if found != shape:
                raise EcgPageError(f"table: {name} is {found}, wanted {shape}")

    @property
    def features(self) -> Array:
        """(n, 11, 8) features of each page and class (``FEATURES``)."""
        return features(self.signal, self.page, self.leads_read, self.snr_db)

    @property
    def read(self) -> NDArray[np.bool_]:
        """(n,) whether at least one branch made a prediction."""
        return np.asarray(np.isfinite(self.signal).any(1) | np.isfinite(self.page).any(1), np.bool_)

    def rows(self, chosen: NDArray[Any]) -> "Table":
        """Table of the chosen rows."""
        return Table(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def save(self, path: Path) -> None:
        """Write the table to an npz file."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Table of an npz file; ``EcgPageError`` when it is no table."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{f.name: file[f.name] for f in fields(cls)})
        except (OSError, KeyError, ValueError) as error:
            raise EcgPageError(f"{path}: not a table of answers ({error})") from error


@dataclass(frozen=True)
class Prediction:
    """Predictions of both branches for one page; ``table_of`` collects them in a table."""

    record: int
    kind: str
    labels: list[str]
    """True labels."""
    signal: Diagnosis | None
    page: Diagnosis | None
    leads_read: int
    snr_db: float


def table_of(predictions: list[Prediction]) -> Table:
    """Table of pages; ``EcgPageError`` when there is no page."""
    if not predictions:
        raise EcgPageError("no page was answered: nothing to fit a stack to")

    def p(branch: Diagnosis | None) -> list[float]:
        return [np.nan if branch is None else branch.probabilities[c] for c in CLASSES]

    return Table(
        record=np.array([a.record for a in predictions], np.int64),
        kind=np.array([a.kind for a in predictions]),
        truth=np.array([[c in a.labels for c in CLASSES] for a in predictions], np.bool_),
        signal=np.array([p(a.signal) for a in predictions], np.float64),
        page=np.array([p(a.page) for a in predictions], np.float64),
        leads_read=np.array([a.leads_read for a in predictions], np.float64),
        snr_db=np.array([a.snr_db for a in predictions], np.float64),
    )


# --- fitting ------------------------------------------------------------------------------------------------


def coefficients(x: Array, truth: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Weights (11, 8) and biases (11,) of logistic regressions on ``x`` (n, 11, 8), one a class, drawn to common weights.

    A class that none or all of the pages have keeps the mean of both logits.
    """
    usual = np.isin(FEATURES, ("signal", "page")) / 2
    return fit_near_common(x, truth, usual, common_pull=COMMON_PULL, pull=PULL)


def parts(table: Table) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit and rows to predict, ``PARTS`` times; all pages of a record are on one side."""
    count = min(PARTS, len(np.unique(table.record)))
    if count < 2:
        raise EcgPageError("a stack needs pages of at least two records")
    yield from GroupKFold(count, shuffle=True, random_state=0).split(table.record, groups=table.record)


def unseen(table: Table) -> Array:
    """(n, 11) probabilities of stacks fitted without the page's record."""
    x, found = table.features, np.full(table.truth.shape, np.nan)
    for others, answered in parts(table):
        fitted = others[table.read[others]]
        weights, bias = coefficients(x[fitted], table.truth[fitted])
        stack = Stack(weights, bias, CLASSES, [0.5] * len(CLASSES), at_least_one=False)
        found[answered] = stack.probabilities(x[answered])
    return found


def unseen_labels(
    table: Table, p: Array, *, at_least_one: bool = False, calibrated: bool = False
) -> NDArray[np.bool_]:
    """Labels (n, 11) for probabilities ``p`` (n, 11), with thresholds chosen on the pages of other records.

    ``calibrated`` probabilities, such as a stack's, need no labels for their thresholds. Pages without a prediction of
    either branch have no labels.
    """
    held = np.zeros(table.truth.shape, np.bool_)
    known = np.nan_to_num(p)
    for fitted, answered in parts(table):
        if calibrated:
            thresholds = np.array(expected_thresholds(p[fitted[table.read[fitted]]]))
        else:
            thresholds = np.array(choose_thresholds(table.truth[fitted], known[fitted]))
        held[answered] = decide(known[answered], thresholds, at_least_one=at_least_one)
    return held & table.read[:, None]


@dataclass(frozen=True)
class Fitted:
    """Stack, and macro F (value, 2.5 % and 97.5 % points) of each way to predict, on unseen pages."""

    stack: Stack
    scores: dict[str, tuple[float, float, float]]


def fit(table: Table) -> Fitted:
    """Fit on all pages with a prediction; thresholds and scores by cross-validation."""
    p = unseen(table)
    ways = {"signal": table.signal, "page": table.page, "mean of both": _mean(table), "stack": p}
    scores = {}
    for name, values in ways.items():
        scores[name] = macro_interval(table.truth, unseen_labels(table, values, calibrated=name == "stack"))
    held = {one: unseen_labels(table, p, at_least_one=one, calibrated=True) for one in (False, True)}
    scores["stack, at least one label"] = macro_interval(table.truth, held[True])
    at_least_one = scores["stack, at least one label"][0] > scores["stack"][0]
    norm_beside = _norm_beside(table.truth, p, held[at_least_one])
    labels = drop_unlikely_norm(held[at_least_one], np.nan_to_num(p), CLASSES, norm_beside)
    scores["stack as stored"] = macro_interval(table.truth, labels)
    seen = table.read
    weights, bias = coefficients(table.features[seen], table.truth[seen])
    stack = Stack(
        weights,
        bias,
        CLASSES,
        expected_thresholds(p[seen]),
        at_least_one=at_least_one,
        norm_beside=norm_beside,
        uses_snr=bool(np.isfinite(table.snr_db).any()),
    )
    return Fitted(stack, scores)


def _norm_beside(truth: NDArray[np.bool_], p: Array, held: NDArray[np.bool_]) -> float:
    """Entry of ``NORM_BESIDE`` with the best macro F of labels ``held`` on unseen pages; the least of equal ones."""
    found = {
        value: float(
            np.nanmean(f_measures(truth, drop_unlikely_norm(held, np.nan_to_num(p), CLASSES, value)))
        )
        for value in NORM_BESIDE
    }
    return max(found, key=lambda value: (found[value], -value))


def _mean(table: Table) -> Array:
    """Mean probabilities of the branches; those of one where the other made no prediction."""
    both = np.stack([table.signal, table.page])
    count = np.isfinite(both).sum(0)
    total = np.nan_to_num(both).sum(0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


# --- scoring ------------------------------------------------------------------------------------------------


def probabilities_of(stack: Stack, table: Table) -> Array:
    """(n, 11) probabilities of a stored stack, NaN for pages without a prediction of either branch."""
    x = stack.features(table.signal, table.page, table.leads_read, table.snr_db)
    return np.where(table.read[:, None], stack.probabilities(x), np.nan)


def labels_of(stack: Stack, table: Table) -> NDArray[np.bool_]:
    """(n, 11) labels of a stored stack."""
    return stack.labels(np.nan_to_num(probabilities_of(stack, table))) & table.read[:, None]


def score(stack: Stack, table: Table) -> dict[str, tuple[float, float, float]]:
    """Macro F of a stored stack with its 95 % interval, over all pages and by kind."""
    held = labels_of(stack, table)
    found = {"all": macro_interval(table.truth, held)}
    for kind in sorted(set(table.kind.tolist())):
        rows = table.kind == kind
        found[kind] = macro_interval(table.truth[rows], held[rows])
    single = zip(CLASSES, f_measures(table.truth, held), strict=True)
    log.info("%s", ", ".join(f"{c} {f:.3f}" for c, f in single))
    return found


def labels_of_all(stack: Stack, scored: Table, chosen_on: Table) -> dict[str, NDArray[np.bool_]]:
    """Labels (n, 11) on ``scored`` by each branch, by the mean of both and by the stack.

    Thresholds of all but the stack come from ``chosen_on``, a table of other records.
    """
    ways = {
        "signal branch": (chosen_on.signal, scored.signal),
        "page branch": (chosen_on.page, scored.page),
        "mean of both": (_mean(chosen_on), _mean(scored)),
    }
    found = {
        name: np.asarray(np.nan_to_num(p) >= np.array(choose_thresholds(chosen_on.truth, np.nan_to_num(q))))
        for name, (q, p) in ways.items()
    }
    return found | {"stack": labels_of(stack, scored)}


def report(truth: NDArray[np.bool_], held: dict[str, NDArray[np.bool_]]) -> str:
    """Markdown table: F of each class and macro F with its 95 % interval, a column for each way to predict."""
    each = {name: f_measures(truth, labels) for name, labels in held.items()}
    lines = ["| class | records | " + " | ".join(held) + " |", "|---|---|" + "---|" * len(held)]
    for c, label in enumerate(CLASSES):
        values = " | ".join(f"{f[c]:.3f}" for f in each.values())
        lines.append(f"| {label} | {int(truth[:, c].sum())} | {values} |")
    totals = [macro_interval(truth, labels) for labels in held.values()]
    values = " | ".join(f"**{value:.3f} ({low:.3f}–{high:.3f})**" for value, low, high in totals)
    return "\n".join([*lines, f"| **macro** | {len(truth)} | {values} |"])


def _text(value: tuple[float, float, float]) -> str:
    return "macro F {:.3f} ({:.3f}-{:.3f})".format(*value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, help="answers to pages of fold 8, to fit on")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--score", type=Path, help="answers to pages of another fold, to score")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.table:
        table = Table.load(args.table)
        fitted = fit(table)
        for name, value in fitted.scores.items():
            log.info("%s: %s", name, _text(value))
        fitted.stack.save(
            args.out,
            trained_on=f"answers of both branches to {len(table.record)} drawn pages of PTB-XL fold 8",
            command="python -m ecgpage.train.stack --table TABLE.npz",
            score=f"{_text(fitted.scores['stack as stored'])} on fold 8, pages of unseen records",
        )
    if args.score:
        for name, value in score(Stack.load(args.out), Table.load(args.score)).items():
            log.info("%s: %s", name, _text(value))
        if args.table:
            held = labels_of_all(Stack.load(args.out), Table.load(args.score), Table.load(args.table))
            print(report(Table.load(args.score).truth, held))


if __name__ == "__main__":
    main()
