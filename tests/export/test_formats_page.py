"""docs/formats.md names every format with its suffixes, and its Python runs."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgpage.export.formats import FORMATS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_the_table_names_every_format_with_its_suffixes() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", TEXT, re.MULTILINE))
    assert {name: tuple(re.findall(r"`(\S+)`", files)) for name, files in rows.items()} == {
        name: row.suffixes for name, row in FORMATS.items()
    }


@pytest.mark.medium
def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyedflib", "edfio", "pydicom"):
        pytest.importorskip(module)
    (tmp_path / "examples").mkdir()
    shutil.copytree(ROOT / "examples" / "input", tmp_path / "examples" / "input")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        exec(code, names)
    known = np.isfinite(names["signal"])
    assert known.shape == (5000, 12)
    assert (names["table"].iloc[:, 1:].notna().to_numpy() == known).all()  # type: ignore[attr-defined]
    assert ((names["dicom"] != 0) == known).all()  # type: ignore[operator]
    assert names["twelve_by_n"].shape == (12, 5000)  # type: ignore[attr-defined]
    assert "I read" in names["annotations"][2]  # type: ignore[index]
