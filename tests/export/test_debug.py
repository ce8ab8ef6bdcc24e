"""The files for a report of a fault hold every stage, in pictures and numbers, and no header."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from scipy.ndimage import maximum_filter

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.export.debug import describe_stages, write_debug
from ecgpage.layout.boxes import PageBoxes, PrintedNames
from tests.export.drawn_page import Drawn, draw_page

BOXES = PageBoxes(
    leads=np.array([[15.0, 30.0, 77.0, 50.0], [77.0, 30.0, 140.0, 50.0]]),
    scores=np.array([0.9, 0.8]),
    names=np.eye(12)[[0, 3]],
    pulses=np.array([[5.0, 30.0, 10.0, 40.0]]),
    printed=PrintedNames(np.array([[18.0, 33.0]]), np.eye(12)[:1] * 0.95, np.zeros(1)),
    speed_mm_per_s=25.0,
)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    page = draw_page(gaps={"V2": (150.0, 180.0)}, px_per_mm=4.0)
    located = page.page.located
    assert located is not None
    return replace(page, page=replace(page.page, located=replace(located, boxes=BOXES)))


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_every_stage_is_written(drawn: Drawn, tmp_path: Path) -> None:
    paths = write_debug(tmp_path / "new", "page", drawn.page, drawn.image, width_px=1000)
    stages = ("grid", "boxes", "layout", "traces")
    assert names(paths) == [*(f"page-{stage}.jpg" for stage in stages), "page-debug.json"]
    pictures = [np.asarray(PilImage.open(path)).astype(int) for path in paths[:-1]]
    assert all(picture.shape[1] <= 1000 for picture in pictures)
    shape = pictures[0].shape
    for one, other in pairwise(pictures[:3]):
        assert other.shape == shape
        assert (np.abs(one - other).max(axis=2) > 60).mean() > 0.005  # each shows something else


def test_the_numbers_are_those_of_the_reading(drawn: Drawn, tmp_path: Path) -> None:
    *_, path = write_debug(tmp_path, "page", drawn.page, drawn.image, width_px=1000, reasons=["why"])
    report = json.loads(path.read_text())
    assert report["reasons"] == ["why"]
    assert report["picture_px"] == [drawn.image.shape[1], drawn.image.shape[0]]
    np.testing.assert_allclose(report["grid"]["nodes_px"], drawn.page.grid.nodes, atol=6e-4)
    assert report["boxes"]["leads_mm"] == BOXES.leads.tolist()
    assert report["boxes"]["gain_mm_per_mv"] is None
    assert [segment["lead"] for segment in report["segments"]][:4] == ["I", "aVR", "V1", "V4"]
    for trace, told in zip(drawn.page.traces, report["traces"], strict=True):
        first, last, count = told["x_mm"]
        np.testing.assert_allclose(np.linspace(first, last, count), trace.x_mm, atol=1e-3)
        y_mm = np.array([np.nan if y is None else y for y in told["y_mm"]])
        np.testing.assert_allclose(y_mm, trace.y_mm, atol=6e-4)
    assert [reading["lead"] for reading in report["signals"]["readings"]] == list(LEADS)


def test_a_page_that_failed_writes_what_is_known(drawn: Drawn, tmp_path: Path) -> None:
    located = drawn.page.located
    assert located is not None
    place = replace(located, traces=())
    paths = write_debug(tmp_path, "a", None, drawn.image, located=place, reasons=["no"], width_px=1000)
    assert names(paths) == ["a-grid.jpg", "a-boxes.jpg", "a-traces.jpg", "a-debug.json"]
    unboxed = replace(place, boxes=None)
    paths = write_debug(tmp_path, "b", None, drawn.image, located=unboxed, reasons=["no"], width_px=1000)
    assert names(paths) == ["b-grid.jpg", "b-traces.jpg", "b-debug.json"]
    paths = write_debug(tmp_path, "c", None, drawn.image, reasons=["no"], width_px=1000)
    assert names(paths) == ["c-traces.jpg", "c-debug.json"]
    report = json.loads(paths[-1].read_text())
    assert (report["grid"], report["boxes"], report["segments"], report["reasons"]) == (
        None,
        None,
        [],
        ["no"],
    )


def test_the_extrapolated_part_of_a_map_is_grey(drawn: Drawn, tmp_path: Path) -> None:
    quality = drawn.page.grid.quality.copy()
    quality[:, 30:] = 0
    page = replace(drawn.page, grid=replace(drawn.page.grid, quality=quality))
    path = write_debug(tmp_path, "a", page, drawn.image, width_px=1000)[0]
    picture = np.asarray(PilImage.open(path)).astype(int)
    coloured = (picture[..., 2] - picture[..., 0] > 40).mean(axis=0)
    assert coloured[100:400].mean() > 0.02
    assert coloured[650:950].mean() < 0.002


def test_no_header_is_shown_unless_the_page_is_asked_for(drawn: Drawn, tmp_path: Path) -> None:
    for area, seen in (("ecg", False), ("page", True)):
        paths = write_debug(tmp_path, area, drawn.page, drawn.image, area=area, width_px=1000)  # type: ignore[arg-type]
        for path in paths[:-1]:
            grey = np.asarray(PilImage.open(path).convert("L"))
            assert (maximum_filter(grey, 9) < 130).any() == seen, path.name  # no line is as thick


def test_a_folder_that_cannot_be_made_is_named(drawn: Drawn, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EcgPageError, match="cannot be written"):
        write_debug(tmp_path / "file", "a", None, drawn.image)


def test_numbers_that_are_not_known_are_null(drawn: Drawn) -> None:
    report = describe_stages(drawn.page, drawn.image, drawn.page.located, [])
    assert None in report["traces"][6]["y_mm"]
    json.dumps(report, allow_nan=False)
