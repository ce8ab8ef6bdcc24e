"""Windows to train the text reader on: the words in them, the printed pages, the way through the shards."""

from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.signal_packs import save_pack
from ecgpage.layout.text_reader import LEAD_WORDS, WORDS, darkness
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.rasterize import name_text
from ecgpage.synth.text_windows import (
    SIDE,
    WindowPool,
    Windows,
    draw_shards,
    draw_windows,
    join_windows,
    print_words,
    save_shard,
)
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.truth import text_box
from tests.drawn import FS, record


@pytest.fixture(scope="module")
def drawn() -> Windows:
    return join_windows([draw_windows(record(), FS, [4, k]) for k in range(2)])


def test_windows_hold_the_words_that_they_name(drawn: Windows) -> None:
    assert drawn.light.shape[1:] == (SIDE, SIDE)
    known = np.isfinite(drawn.places[..., 0])
    assert known.any(axis=1).mean() > 0.5
    assert drawn.classes[known].max() < len(WORDS)
    dark = np.stack([darkness(window) for window in drawn.light])
    around = []
    for k, word in zip(*np.nonzero(known), strict=True):
        x, y = drawn.places[k, word].astype(int)
        if 10 < x < SIDE - 10 and 10 < y < SIDE - 10:
            around.append(dark[k, y - 4 : y + 5, x - 6 : x + 7].max() - np.median(dark[k]))
    assert np.median(around) > 0.15


def test_scales_and_names_stand_on_the_paper_and_touch_nothing() -> None:
    seen = set()
    for k in range(12):
        rng = np.random.default_rng([7, k])
        page = build_page(PageStyle(), len(record()), FS)
        page, known = print_words(page, rng)
        whole = [text_box(t) for t in page.texts]
        names = [name_text(page, s) for s in page.segments]
        whole += [text_box(t) for t in names if t is not None]
        for j, a in enumerate(whole):
            assert 0 < a[0] < a[2] < page.paper.width
            assert 0 < a[1] < a[3] < page.paper.height
            assert all(a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1] for b in whole[:j])
        for text, word in known:
            seen.add(word)
            number = text.text.replace(",", ".").removesuffix("mm")
            if word >= len(LEAD_WORDS):
                assert float(number) == float(WORDS[word].split()[0])
                assert any(
                    t.text.startswith(text.text) and (t.x, t.y) == (text.x, text.y) for t in page.texts
                )
            else:
                assert text.text.rstrip(":").upper().replace("C", "V") == WORDS[word].upper()
    assert len(seen) == len(WORDS)


def test_shards_that_are_drawn_meanwhile_join_in(drawn: Windows, tmp_path: Path) -> None:
    pool = WindowPool(tmp_path)
    with pytest.raises(EcgPageError, match="no words_"):
        pool.windows()
    save_shard(tmp_path / "words_1_0.npz", drawn, {7: "ward fold 3"})
    assert len(pool.windows()) == len(drawn)
    save_shard(tmp_path / "words_1_1.npz", drawn, {7: "ward fold 3", 9: "ward fold 4"})
    assert len(pool.windows()) == 2 * len(drawn)
    assert pool.origins == {7: "ward fold 3", 9: "ward fold 4"}


def test_shards_name_the_records_that_they_show(tmp_path: Path) -> None:
    microvolts = np.round(1000 * record().T[[0, 1, 6, 7, 8, 9, 10, 11]]).astype(np.int16)
    (tmp_path / "hires500").mkdir()
    save_pack(tmp_path / "hires500/signals.xz", microvolts[None])
    (tmp_path / "hires500/records.csv").write_text(
        "database,record,strat_fold,labels\nward,0007,4,\n", encoding="utf-8"
    )
    draw_shards(TrainingRecords(tmp_path, {"4"}), tmp_path / "shards", seconds=0.01, seed=3)
    pool = WindowPool(tmp_path / "shards")
    assert len(pool.windows()) > 5
    assert list(pool.origins.values()) == ["hires500 ward fold 4"]
