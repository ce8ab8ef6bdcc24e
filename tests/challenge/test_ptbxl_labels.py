"""Labels of PTB-XL's records by the Challenge's rules."""

from pathlib import Path

import pytest

from ecgpage.challenge.ptbxl_labels import LabelRules, read_codes
from ecgpage.core.conventions import EcgPageError


@pytest.fixture
def rules(tmp_path: Path) -> LabelRules:
    (tmp_path / "scp.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class\n"
        "NORM,normal,1.0,,,NORM\nIMI,infarct,1.0,,,MI\nLVH,thick,1.0,,,HYP\nNDT,T,1.0,1.0,,STTC\n"
        "CRBBB,block,1.0,,,CD\nPVC,beat,,1.0,,\nSTD_,depression,,1.0,,\nSR,sinus,,,1.0,\n"
    )
    (tmp_path / "statements.csv").write_text(
        "ecg_id,statements\n7,\"['SR', 'ACUTMI']\"\n8,\"['SR', 'OLDMI']\"\n9,\"['IINJ']\"\n"
    )
    (tmp_path / "acronyms.csv").write_text("StatementNumber,Acronym\n700,OLDMI\n821,ACUTMI\n964,IINJ\n")
    return LabelRules.read(tmp_path / "scp.csv", tmp_path / "statements.csv", tmp_path / "acronyms.csv")


@pytest.mark.parametrize(
    ("number", "codes", "labels"),
    [
        (1, "{'NORM': 100.0, 'SR': 0.0}", ["NORM"]),
        (1, "{'PVC': 0.0, 'CRBBB': 15.0, 'NDT': 50.0, 'LVH': 0.0}", ["STTC", "CD", "HYP", "PVC"]),
        (7, "{'IMI': 80.0}", ["Acute MI"]),  # the program calls it acute, which an old one then is not
        (8, "{'IMI': 80.0}", ["Old MI"]),
        (9, "{'NORM': 80.0}", ["NORM", "Acute MI"]),  # whatever the reading says
        (1, "{'AFLT': 0.0, 'PSVT': 0.0, 'SBRAD': 0.0, 'PAC': 0.0}", ["PAC", "AFIB/AFL", "TACHY", "BRADY"]),
        (1, "{'STD_': 100.0, 'SR': 0.0}", []),  # forms and rhythms that are no class
    ],
)
def test_statements_give_the_classes(rules: LabelRules, number: int, codes: str, labels: list[str]) -> None:
    assert rules.labels(number, read_codes(codes)) == labels


def test_without_the_12sl_program_no_infarction_is_acute(tmp_path: Path, rules: LabelRules) -> None:
    assert LabelRules.read(tmp_path / "scp.csv").labels(7, ["IMI"]) == ["Old MI"]


def test_what_is_no_such_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match=r"nowhere.csv"):
        LabelRules.read(tmp_path / "nowhere.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EcgPageError, match="no column diagnostic, diagnostic_class"):
        LabelRules.read(tmp_path / "other.csv")
    with pytest.raises(EcgPageError, match="no SCP codes"):
        read_codes("NORM: 100")
