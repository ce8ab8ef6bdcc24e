"""Fit the stack: how the signal's and the page's diagnoses make one answer.

    python -m ecgpage.train.stack --table TABLE.npz --out model

TABLE holds what both branches said of pages of fold 8 (``Table``), as one pass of the whole pipeline over drawn
pages gives it. Every score and every threshold comes from answers to pages that the fit had not seen: five parts
with all pages of a record in the same one. ``--score TABLE`` scores another table, of fold 9, with what is stored;
beside ``--table`` it also reports the branches alone, with thresholds from that table, class by class.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.model_selection import GroupKFold

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.types import Array
from ecgpage.diagnosis.stack import FEATURES, Stack, decide, drop_unlikely_norm, features
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.train.scores import choose_thresholds, expected_thresholds, f_measures, macro_interval

log = logging.getLogger(__name__)


PARTS: Final = 5
PULL: Final = 100.0
"""How strongly a class's weights are drawn to the common ones. Mean average precision on unseen pages of fold 8: 0.776,
0.778 with common weights alone, 0.769 with those of each class alone (0.748 signal branch, 0.727 page branch)."""
COMMON_PULL: Final = 1.0
"""How strongly the common weights are drawn to half of each logit."""
NORM_BESIDE: Final = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
"""What NORM may need beside a finding: nothing more than its threshold, a probability, or never."""


@dataclass(frozen=True)
class Table:
    """What both branches said of n pages."""

    record: NDArray[np.int64]
    """(n,) a record's pages share its number."""
    kind: NDArray[np.str_]
    """(n,) kind of page."""
    truth: NDArray[np.bool_]
    """(n, 11) in the order of ``ecg.CLASSES``."""
    signal: Array
    """(n, 11) probabilities of the signal branch, NaN where there was no signal."""
    page: Array
    """(n, 11) of the page branch."""
    leads_read: Array
    """(n,) 0 to 12."""
    snr_db: Array
    """(n,) mean expected SNR, NaN where not known."""

    def __post_init__(self) -> None:
        n, wide = len(self.record), (len(self.record), len(CLASSES))
        for name, shape in {"truth": wide, "signal": wide, "page": wide, "kind": (n,)}.items():
            found = getattr(self, name).shape
            if found != shape:
                raise EcgPageError(f"table: {name} is {found}, wanted {shape}")

    @property
    def features(self) -> Array:
        """(n, 11, 8)."""
        return features(self.signal, self.page, self.leads_read, self.snr_db)

    @property
    def read(self) -> NDArray[np.bool_]:
        """(n,) pages of which at least one branch said something."""
        return np.asarray(np.isfinite(self.signal).any(1) | np.isfinite(self.page).any(1), np.bool_)

    def rows(self, chosen: NDArray[Any]) -> "Table":
        """Some of the pages."""
        return Table(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def save(self, path: Path) -> None:
        """Write an npz file."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Read an npz file; EcgPageError when it is no table."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{f.name: file[f.name] for f in fields(cls)})
        except (OSError, KeyError, ValueError) as error:
            raise EcgPageError(f"{path}: not a table of answers ({error})") from error


@dataclass(frozen=True)
class Prediction:
    """What both branches predict of one page; ``table_of`` makes a table of many."""

    record: int
    kind: str
    labels: list[str]
    """The true ones."""
    signal: Diagnosis | None
    page: Diagnosis | None
    leads_read: int
    snr_db: float


def table_of(predictions: list[Prediction]) -> Table:
    """The table of pages; EcgPageError when there is none."""
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
    """Weights (11, 8) and bias (11,) of logistic regressions on x (n, 11, 8), one a class, drawn to common weights.

    First one set of weights for all classes, with a bias each; then each class's own weights, which a penalty holds near
    the common ones: rare classes follow what the others teach of both branches, frequent ones their own pages. A class
    that none or all of the pages have keeps the mean of both logits.
    """
    weights, bias = np.zeros((len(CLASSES), len(FEATURES))), np.zeros(len(CLASSES))
    weights[:, [FEATURES.index("signal"), FEATURES.index("page")]] = 0.5
    held = [c for c in range(len(CLASSES)) if 0 < truth[:, c].sum() < len(truth)]
    if not held:
        return weights, bias
    common, _ = _regression(x[:, held], truth[:, held], weights[0], COMMON_PULL)
    for c in held:
        weights[c], bias[c : c + 1] = _regression(x[:, [c]], truth[:, [c]], common, PULL)
    return weights, bias


def _regression(x: Array, truth: NDArray[np.bool_], prior: Array, pull: float) -> tuple[Array, Array]:
    """Weights (8,) and biases (k,) of x (n, k, 8): least cross-entropy + ``pull`` |standardised weights - prior|^2."""
    mean, spread = x.mean(0), x.reshape(-1, x.shape[2]).std(0)  # (k, 8), (8,)
    centred = x - mean

    def loss(values: Array) -> tuple[float, Array]:
        change, bias = values[: len(prior)], values[len(prior) :]
        z = centred @ (prior + change) + bias  # (n, k)
        error = 1 / (1 + np.exp(-z)) - truth
        penalty = change * spread**2
        entropy = np.logaddexp(0, z).sum() - z[truth].sum()
        slope = np.tensordot(error, centred, 2) + 2 * pull * penalty
        return float(entropy + pull * change @ penalty), np.concatenate([slope, error.sum(0)])

    start = np.zeros(len(prior) + x.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights = prior + found[: len(prior)]
    return weights, found[len(prior) :] - mean @ weights


def parts(table: Table) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to fit and rows to answer, five times; all pages of a record are on the same side."""
    count = min(PARTS, len(np.unique(table.record)))
    if count < 2:
        raise EcgPageError("a stack needs pages of at least two records")
    yield from GroupKFold(count, shuffle=True, random_state=0).split(table.record, groups=table.record)


def unseen(table: Table) -> Array:
    """(n, 11) probabilities of stacks that were fitted without the page's record."""
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
    """Labels (n, 11) for probabilities p (n, 11) with thresholds taken on the pages of other records.

    ``calibrated`` probabilities, as a stack's are, need no labels for their thresholds. Pages without any branch have none.
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
    """A stack and the macro F (value, 2.5 % and 97.5 % points) of every way to answer, on unseen pages."""

    stack: Stack
    scores: dict[str, tuple[float, float, float]]


def fit(table: Table) -> Fitted:
    """Fit on all pages that were read; thresholds and scores as the module's text says."""
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
    """The one of ``NORM_BESIDE`` with the best macro F of labels ``held`` on unseen pages; the least of equal ones."""
    found = {
        value: float(
            np.nanmean(f_measures(truth, drop_unlikely_norm(held, np.nan_to_num(p), CLASSES, value)))
        )
        for value in NORM_BESIDE
    }
    return max(found, key=lambda value: (found[value], -value))


def _mean(table: Table) -> Array:
    """Mean of what the branches say, of one where the other is silent."""
    both = np.stack([table.signal, table.page])
    count = np.isfinite(both).sum(0)
    total = np.nan_to_num(both).sum(0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


# --- scoring ------------------------------------------------------------------------------------------------


def probabilities_of(stack: Stack, table: Table) -> Array:
    """(n, 11) of a stored stack, NaN for pages of which neither branch said anything."""
    x = stack.features(table.signal, table.page, table.leads_read, table.snr_db)
    return np.where(table.read[:, None], stack.probabilities(x), np.nan)


def labels_of(stack: Stack, table: Table) -> NDArray[np.bool_]:
    """(n, 11) labels of a stored stack."""
    return stack.labels(np.nan_to_num(probabilities_of(stack, table))) & table.read[:, None]


def score(stack: Stack, table: Table) -> dict[str, tuple[float, float, float]]:
    """Macro F with its 95 % interval over all pages and by kind, of a stored stack."""
    held = labels_of(stack, table)
    found = {"all": macro_interval(table.truth, held)}
    for kind in sorted(set(table.kind.tolist())):
        rows = table.kind == kind
        found[kind] = macro_interval(table.truth[rows], held[rows])
    single = zip(CLASSES, f_measures(table.truth, held), strict=True)
    log.info("%s", ", ".join(f"{c} {f:.3f}" for c, f in single))
    return found


def labels_of_all(stack: Stack, scored: Table, chosen_on: Table) -> dict[str, NDArray[np.bool_]]:
    """Labels (n, 11) on ``scored`` of each branch, of both branches' mean and of the stack.

    Thresholds of the first three come from ``chosen_on``, a table of other records.
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
    """Markdown: F of each class and macro F with its 95 % interval, a column for each way to answer."""
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
