"""Drawn training pages: what a page shows, what its boxes say, and the way through the shards."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.signal_packs import save_pack
from ecgpage.synth import flat_pages
from ecgpage.synth.flat_pages import (
    LONG_SIDE,
    PULSE_CLASS,
    DrawnFlatPage,
    Order,
    PageDrawer,
    PageShards,
    TrainingRecords,
    draw_flat_page,
    draw_shards,
)
from ecgpage.synth.page.layout import LAYOUTS


def beats(fs: float, count: int, seed: int = 0) -> np.ndarray:
    """int16 (count, 8, 10 s) microvolts: spikes of 1 mV twice a second, of another height in each lead."""
    t = np.arange(round(10 * fs)) / fs
    spikes = np.exp(-0.5 * (((t % 0.5) - 0.25) / 0.015) ** 2)
    gain = np.random.default_rng(seed).uniform(0.4, 1.2, (count, 8, 1))
    return np.round(1000 * gain * spikes).astype(np.int16)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds at 100 Hz, and 500-Hz records of which the first is also in fold 1 and the last has no fold."""
    folder = tmp_path_factory.mktemp("data")
    write_table(
        folder / "ptbxl100/labels.csv",
        [
            {"ecg_id": 11, "strat_fold": 1, "labels": "NORM"},
            {"ecg_id": 12, "strat_fold": 1, "labels": "CD;PVC"},
            {"ecg_id": 13, "strat_fold": 1, "labels": ""},
            {"ecg_id": 81, "strat_fold": 8, "labels": "HYP"},
        ],
    )
    save_pack(folder / "ptbxl100/fold1.xz", beats(100, 3))
    save_pack(folder / "ptbxl100/fold8.xz", beats(100, 1))
    write_table(
        folder / "hires500/records.csv",
        [
            {"database": "ptbxl", "record": "00012_hr", "strat_fold": 1, "labels": "CD;PVC"},
            {"database": "georgia", "record": "E1", "strat_fold": "", "labels": "TACHY"},
        ],
    )
    save_pack(folder / "hires500/signals.xz", beats(500, 2))
    return folder


def by_number(records: TrainingRecords) -> dict[int, int]:
    return {int(number): k for k, number in enumerate(records.numbers)}


def test_each_record_is_there_once_in_its_sharper_form(data: Path):
    records = TrainingRecords(data, {"1", ""})
    place = by_number(records)
    assert sorted(place) == [-2, 11, 12, 13]
    assert records.signal(place[11])[1] == 100.0
    signal, fs = records.signal(place[12])
    assert (signal.shape, fs) == ((5000, 12), 500.0)


def test_each_record_knows_its_pack_and_fold(data: Path):
    records = TrainingRecords(data, {"1", ""})
    assert {n: records.origins[k] for n, k in by_number(records).items()} == {
        11: "ptbxl100 fold 1",
        12: "hires500 ptbxl fold 1",
        13: "ptbxl100 fold 1",
        -2: "hires500 georgia",
    }


def test_labels_are_those_of_ptb_xl_alone(data: Path):
    records = TrainingRecords(data, {"1", ""})
    held = {
        n: [c for c, on in zip(CLASSES, records.labels[k], strict=True) if on]
        for n, k in by_number(records).items()
    }
    assert held == {11: ["NORM"], 12: ["CD", "PVC"], 13: [], -2: []}
    assert {n: bool(records.labelled[k]) for n, k in by_number(records).items()} == {
        11: True,
        12: True,
        13: False,
        -2: False,
    }


def test_other_folds_and_what_has_none_stay_away(data: Path):
    assert list(TrainingRecords(data, {"8"}).numbers) == [81]


def test_a_folder_without_the_folds_says_what_it_needs(tmp_path: Path):
    with pytest.raises(EcgPageError, match=r"ptbxl100/fold<k>.xz"):
        TrainingRecords(tmp_path, {"1"})


@pytest.fixture(scope="module")
def drawn() -> list[DrawnFlatPage]:
    """Twelve pages of one record."""
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))
    labels = np.zeros(len(CLASSES), np.bool_)
    found = [draw_flat_page(signal, 100.0, [5, k]) for k in range(12)]
    return [DrawnFlatPage(i, b, c, labels, False, 7, layout, mix) for i, b, c, layout, mix in found]


def test_pages_have_a_longer_side_of_640_px_and_boxes_within(drawn: list[DrawnFlatPage]):
    for page in drawn:
        rows, columns = page.image.shape
        assert page.image.dtype == np.uint8
        assert max(rows, columns) == LONG_SIDE
        assert page.boxes.dtype == np.float32
        assert (page.boxes >= 0).all()
        assert (page.boxes <= [columns, rows, columns, rows]).all()
        assert (page.boxes[:, 2:] - page.boxes[:, :2] >= 3).all()


def test_classes_are_the_leads_of_the_layout(drawn: list[DrawnFlatPage]):
    for page in drawn:
        printed = {LEADS.index(lead.removeprefix("-")) for c in LAYOUTS[page.layout].columns for lead in c}
        found = set(page.classes.tolist()) - {PULSE_CLASS}
        assert len(printed - found) <= 2  # a corner of a page may be out of the picture
        assert page.classes.dtype == np.int64


def test_both_whole_and_cut_pages_are_drawn(drawn: list[DrawnFlatPage]):
    assert {page.mix.endswith(" cut") for page in drawn} == {True, False}


def test_a_lead_is_drawn_where_its_box_is(monkeypatch: pytest.MonkeyPatch):
    """On clean pages the darkest hundredth of the pixels lies in the leads' boxes far more often than chance."""
    monkeypatch.setattr(flat_pages, "MIX_ODDS", {"clean": 1.0})
    monkeypatch.setattr(flat_pages, "P_OUTSIDE", 0.0)
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))
    for k in range(6):
        image, boxes, classes, _, _ = draw_flat_page(signal, 100.0, [k], any_look=0.0)
        inside = np.zeros(image.shape, bool)
        for x0, y0, x1, y1 in np.round(boxes[classes < PULSE_CLASS]).astype(int):
            inside[y0:y1, x0:x1] = True
        dark = image <= np.quantile(image, 0.01)
        assert inside[dark].mean() > 1.4 * inside.mean()


def test_leads_are_exchanged_where_they_are_asked_for_and_nowhere_else():
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))

    def names(k: int, share: float) -> list[int]:
        """Classes in the order of reading."""
        _, boxes, classes, _, _ = draw_flat_page(signal, 100.0, [k], any_look=1.0, in_any_order=share)
        return [int(c) for c in classes[np.lexsort((boxes[:, 0], boxes[:, 1].round(-1)))]]

    usual, exchanged, again = ([names(k, share) for k in range(4)] for share in (0.0, 1.0, 0.0))
    assert usual == again
    assert sum(a != b for a, b in zip(usual, exchanged, strict=True)) >= 2  # names are printed on most pages


def test_the_edge_without_picture_spares_the_boxes():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (200, 300), dtype=np.uint8)
    boxes = np.array([[20, 10, 290, 180]], np.float32)
    changed = np.zeros(image.shape, bool)
    for _ in range(40):
        changed |= flat_pages._without_edge(image, boxes, rng) != image
    assert changed.any()
    assert not changed[10:180, 20:290].any()


def test_boxes_off_the_page_are_cut_or_left_out():
    boxes = np.array([[-10, 5, 30, 20], [90, 0, 130, 50], [10, 10, 12, 40]], np.float32)
    inside, seen = flat_pages._on_page(boxes, (60, 100))
    assert seen.tolist() == [True, False, False]  # a quarter seen; too narrow
    np.testing.assert_array_equal(inside, [[0, 5, 30, 20]])


def test_what_is_written_is_read_back_whichever_worker_drew_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flat_pages, "SHARD_PAGES", 2)
    records = TrainingRecords(data, {"1", ""})
    for worker in range(2):
        assert draw_shards(records, Order(tmp_path, seed=4, workers=2, any_look=0.5, count=6), worker) == 3
    shards = PageShards(tmp_path)
    assert [path.name for path in shards.paths] == [
        f"shard_4_{w}_{k}.npz" for w in range(2) for k in range(2)
    ]
    drawer = PageDrawer(records, 4, 0.5)
    wanted = [drawer.draw(number) for number in (0, 2, 4, 1, 3, 5)]
    for found, page in zip(shards, wanted, strict=True):
        for field in dataclasses.fields(DrawnFlatPage):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(page, field.name))
    assert (
        len({page.record for page in wanted[:2] + wanted[3:5]}) == 4
    )  # all four records before one comes again


def test_a_folder_without_shards_is_refused(tmp_path: Path):
    with pytest.raises(EcgPageError, match="no shard"):
        PageShards(tmp_path)
