"""The model folder refuses what it cannot vouch for, and says the way out."""

import json

import pytest
import torch

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.runtime import PRECISION
from ecgpage.core.shipped_weights import TABLE
from ecgpage.core.torch_runtime import (
    half_precision,
    load_module,
    load_tensors,
    network_precision,
    save_tensors,
)
from ecgpage.core.weights import Card, load_card

CARD = Card(
    "12 leads",
    "logits",
    "a few numbers",
    "pytest",
    "none",
    settings={"classes": ["NORM"], "thresholds": [0.5]},
)
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}


@pytest.fixture
def folder(tmp_path):
    save_tensors(tmp_path / "model", "net", half_precision(TENSORS), CARD)
    return tmp_path / "model"


def test_what_was_saved_is_loaded(folder):
    tensors = load_tensors(folder, "net")
    assert tensors["a"].dtype == torch.float16
    torch.testing.assert_close(tensors["a"].float(), TENSORS["a"])
    assert int(tensors["count"]) == 7
    assert load_card(folder, "net") == CARD


def test_the_table_holds_what_a_reader_wants_to_know(folder):
    entry = json.loads((folder / TABLE).read_text())["net"]
    assert entry["file"] == "net.safetensors"
    assert len(entry["sha256"]) == 64
    assert {"input", "output", "trained_on", "command", "score", "licence", "settings"} <= entry.keys()


def test_a_second_save_replaces_its_own_entry_and_keeps_the_others(folder):
    save_tensors(folder, "other", {"b": torch.ones(1)}, CARD)
    save_tensors(folder, "net", {"a": torch.zeros(1)}, CARD)
    assert load_tensors(folder, "net")["a"].tolist() == [0.0]
    assert load_tensors(folder, "other")["b"].tolist() == [1.0]
    assert sorted(p.name for p in folder.iterdir()) == ["net.safetensors", "other.safetensors", TABLE]


def _flip_last_byte(folder):
    path = folder / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


def _point_outside(folder):
    table = json.loads((folder / TABLE).read_text())
    table["net"]["file"] = "../net.safetensors"
    (folder / TABLE).write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_flip_last_byte, "net.safetensors: its sha256 is"),
        (lambda folder: (folder / "net.safetensors").unlink(), "net.safetensors: No such file"),
        (lambda folder: (folder / TABLE).unlink(), "weights.json: No such file"),
        (lambda folder: (folder / TABLE).write_text("{}"), "no entry 'net'"),
        (lambda folder: (folder / TABLE).write_text("[1]"), "not a JSON object"),
        (lambda folder: (folder / TABLE).write_text("{"), "not JSON"),
        (_point_outside, "names no file of this folder"),
    ],
)
def test_damage_is_refused_with_file_reason_and_way_out(folder, damage, named):
    damage(folder)
    with pytest.raises(EcgPageError, match=r"train_model\.py.*pretrained") as error:
        load_tensors(folder, "net")
    assert named in str(error.value)
    assert str(folder) in str(error.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EcgPageError, match="there is no such folder"):
        load_card(tmp_path / "nowhere", "net")


def test_an_entry_without_a_field_is_named(folder):
    table = json.loads((folder / TABLE).read_text())
    del table["net"]["licence"]
    (folder / TABLE).write_text(json.dumps(table))
    with pytest.raises(EcgPageError, match="licence"):
        load_card(folder, "net")


def test_a_pickle_with_the_right_hash_is_still_not_loaded(folder):
    import hashlib  # noqa: PLC0415
    import pickle  # noqa: PLC0415

    content = pickle.dumps({"a": 1})
    (folder / "net.safetensors").write_bytes(content)
    table = json.loads((folder / TABLE).read_text())
    table["net"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / TABLE).write_text(json.dumps(table))
    with pytest.raises(EcgPageError, match="not a safetensors file"):
        load_tensors(folder, "net")


def product_type() -> torch.dtype:
    with network_precision(torch.device("cpu")):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(("asked", "found"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
@pytest.mark.parametrize("faster", [False, True])
def test_networks_multiply_in_the_precision_that_is_asked_for(monkeypatch, asked, found, faster):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: faster)
    monkeypatch.setenv(PRECISION, asked)
    assert product_type() == found


@pytest.mark.parametrize("asked", [None, "", "auto"])
@pytest.mark.parametrize(("faster", "found"), [(False, torch.float32), (True, torch.bfloat16)])
def test_networks_multiply_in_bfloat16_where_that_is_faster_unless_asked(monkeypatch, asked, faster, found):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: faster)
    monkeypatch.delenv(PRECISION, raising=False)
    if asked is not None:
        monkeypatch.setenv(PRECISION, asked)
    assert product_type() == found


def test_an_unknown_precision_is_refused_before_any_weights_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv(PRECISION, "float16")
    with pytest.raises(EcgPageError, match=r"ECGPAGE_PRECISION=float16 .* auto, float32, bfloat16"):
        load_module(tmp_path / "nowhere", "net", lambda settings: torch.nn.Identity())
