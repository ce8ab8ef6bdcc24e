"""Origins of drawn records: pack, database and fold of each, and one line that states them."""

from collections import Counter
from collections.abc import Iterable


def name_origin(pack: str, fold: str, database: str = "") -> str:
    """Origin of one record, such as "hires500 ptbxl fold 3": its pack, its database if known, its fold ("" for none)."""
    return " ".join(part for part in (pack, database, fold and f"fold {fold}") if part)


def summarize_origins(origins: Iterable[str]) -> str:
    """Number of records and their origins, such as "1,442 records (hires500 ptbxl folds 1-7: 350, hires500 cinc2011: 717)".

    ``origins`` holds one text of ``name_origin`` a record; an empty one counts as of an unknown origin.
    """
    total = 0
    records: Counter[str] = Counter()
    folds: dict[str, set[str]] = {}
    for origin in origins:
        name, _, fold = origin.partition(" fold ")
        records[name] += 1
        folds.setdefault(name, set()).add(fold)
        total += 1
    parts = [f"{_with_folds(name, folds[name])}: {count:,}" for name, count in sorted(records.items())]
    return f"{total:,} record{'' if total == 1 else 's'}" + (f" ({', '.join(parts)})" if parts else "")


def _with_folds(name: str, folds: set[str]) -> str:
    name = name or "unknown origin"
    held = sorted(folds - {""}, key=lambda fold: (len(fold), fold))
    if not held:
        return name
    text = f"{name} fold{'' if len(held) == 1 else 's'} {_as_ranges(held)}"
    return f"{text} and none" if "" in folds else text


def _as_ranges(folds: list[str]) -> str:
    """Folds in order, runs of three and more numbers with a dash: "1-7", "1, 2, 8"."""
    runs: list[list[str]] = []
    for fold in folds:
        if runs and fold.isdigit() and runs[-1][-1].isdigit() and int(fold) == int(runs[-1][-1]) + 1:
            runs[-1].append(fold)
        else:
            runs.append([fold])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(texts)
