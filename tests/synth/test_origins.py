"""Origins of records: one line says from which packs, databases and folds how many records came."""

import pytest

from ecgpage.synth.origins import name_origin, summarize_origins


@pytest.mark.parametrize(
    ("pack", "fold", "database", "said"),
    [
        ("ptbxl100", "3", "", "ptbxl100 fold 3"),
        ("hires500", "3", "ptbxl", "hires500 ptbxl fold 3"),
        ("hires500", "", "cinc2011", "hires500 cinc2011"),
    ],
)
def test_an_origin_names_pack_database_and_fold(pack: str, fold: str, database: str, said: str) -> None:
    assert name_origin(pack, fold, database) == said


def test_records_are_counted_by_pack_with_their_folds() -> None:
    origins = [f"ptbxl100 fold {k}" for k in (1, 2, 3, 7, 9, 10)] + ["ward 7", "ward 7"]
    assert summarize_origins(origins) == "8 records (ptbxl100 folds 1-3, 7, 9, 10: 6, ward 7: 2)"


def test_records_without_a_fold_or_an_origin_are_told_apart() -> None:
    assert summarize_origins(["ward fold a", "ward"]) == "2 records (ward fold a and none: 2)"
    assert summarize_origins([""]) == "1 record (unknown origin: 1)"
    assert summarize_origins([]) == "0 records"
