"""Shards of drawn pages: what is written is read back, whoever drew it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import Order, PageDrawer, PageShards, draw_shards
from ecgpage.synth.training_records import TrainingRecords


@pytest.mark.medium
def test_what_is_written_is_read_back_whichever_worker_drew_it(training_data: Path, tmp_path: Path):
    records = TrainingRecords(training_data, {"1", ""})
    order = Order(tmp_path, seed=4, workers=2, any_look=0.5, count=6, shard_pages=2)
    for worker in range(2):
        assert draw_shards(records, order, worker) == 3
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
