"""The detector's network, decoding, assignment, losses and average precision.

``sas-yolov7`` (GPL-3.0, never imported by the product) holds the reference network; where it is installed, the
same weights must give the same output.
"""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_convert, box_iou

from yolov7 import (
    PAD_GREY,
    STRIDES,
    Config,
    Detections,
    Targets,
    YoloV7,
    assign,
    average_precision,
    decode,
    detection_loss,
    letterbox,
    suppress,
)
from yolov7.blocks import RepConv
from yolov7.boxes import paired_iou
from yolov7.loss import candidates, flatten

SMALL = Config("tiny", classes=3, channels=1, width=0.25, anchors=(((8, 8),), ((32, 16),), ((64, 64),)))
"""One anchor a level."""


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def settle(network: nn.Module, seed: int = 1) -> nn.Module:
    """In place: batch norms and implicit knowledge far from their initial values; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "added", "implicit")):
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
            elif name.endswith(("running_var", "factor")):
                value.mul_(0.7 + 0.6 * torch.rand(value.shape, generator=generator))
    return network.eval()


# network


@pytest.mark.parametrize(("family", "count"), [("yolov7", 37_622_682), ("tiny", 6_228_762)])
def test_the_published_configurations_have_their_published_number_of_parameters(
    family: str, count: int
) -> None:
    with torch.device("meta"):
        assert parameters(YoloV7(Config(family))) == count


def reference_weights(reference: nn.Module) -> list[Tensor]:
    """Tensors of the reference in our order: its heads hold all convolutions, then the implicit vectors."""
    state = {key: value for key, value in reference.state_dict().items() if "anchor" not in key}
    trunk = [value for key, value in state.items() if ".m." not in key and ".implicit" not in key]
    heads = []
    for level in range(3):
        for part in ("ia.{}.implicit", "im.{}.implicit", "m.{}.weight", "m.{}.bias"):
            heads += [value for key, value in state.items() if key.endswith("." + part.format(level))]
    return trunk + heads


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(("family", "description"), [("yolov7", "yolov7"), ("tiny", "yolov7-tiny")])
def test_the_reference_network_gives_the_same_output_with_the_same_weights(
    family: str, description: str
) -> None:
    package = pytest.importorskip("sas_yolov7")
    models = pytest.importorskip("sas_yolov7.models.yolo", exc_type=ImportError)
    torch.manual_seed(3)
    folder = Path(package.__file__).parent
    reference = settle(models.Model(str(folder / f"cfg/training/{description}.yaml")))
    ours = YoloV7(Config(family)).eval()
    weights = reference_weights(reference)
    state = ours.state_dict()
    assert [value.shape for value in state.values()] == [value.shape for value in weights]
    ours.load_state_dict(dict(zip(state, weights, strict=True)))
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        decoded, raw = reference(images)
        predictions = ours.predict(images)
        for own, theirs in zip(ours(images), raw, strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(predictions, decoded, rtol=1e-3, atol=1e-3)
        assert predictions.std() > 0.1, "all alike would prove nothing"


@pytest.mark.parametrize("family", ["yolov7", "tiny"])
def test_the_fused_network_gives_the_same_boxes_with_fewer_parameters(family: str) -> None:
    torch.manual_seed(1)
    network = settle(YoloV7(Config(family, classes=4, channels=1, width=0.25)))
    images = torch.rand(2, 1, 64, 96)
    before = parameters(network)
    with torch.inference_mode():
        wanted = network.predict(images)
        found = network.fuse().predict(images)
        twice = network.fuse().predict(images)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(twice, found)
    assert parameters(network) < before
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(("n_out", "stride", "has_identity"), [(8, 1, True), (12, 1, False), (8, 2, False)])
def test_a_repconv_becomes_one_convolution(n_out: int, stride: int, has_identity: bool) -> None:
    torch.manual_seed(2)
    block = settle(RepConv(8, n_out, stride))
    assert (block.identity is not None) == has_identity
    x = torch.randn(2, 8, 7, 9)
    with torch.inference_mode():
        wanted = block(x)
        block.fuse()
        torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)
    assert [type(m) for m in block.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)] == [nn.Conv2d]


def test_a_configuration_comes_back_from_its_settings() -> None:
    assert Config(**SMALL.settings()) == SMALL
    assert Config(**Config("yolov7").settings()) == Config("yolov7")


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "yolov8"},
        {"classes": 0},
        {"width": 0.0},
        {"anchors": (((8, 8),), ((16, 16),))},  # a level is missing
        {"anchors": (((8, 8),), ((16, 16),), ((16, 16), (32, 32)))},  # levels differ
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r".+"):
        replace(SMALL, **wrong)


# letterbox, decoding, suppression


@pytest.mark.parametrize("shape", [(50, 100), (100, 50), (33, 99), (640, 200), (1, 300)])
def test_a_letterboxed_box_comes_back(shape: tuple[int, int]) -> None:
    grey = np.full(shape, 200, np.uint8)
    canvas, place = letterbox(grey, 160)
    assert canvas.shape == (160, 160)
    whole = np.array([[0, 0, shape[1], shape[0]], [3.5, 0.25, shape[1] / 2, shape[0] / 2]], np.float32)
    on_canvas = place.to_canvas(whole)
    np.testing.assert_allclose(place.to_picture(on_canvas), whole, atol=1e-3)
    x0, y0, x1, y1 = on_canvas[0].round().astype(int)
    assert max(x1 - x0, y1 - y0) == 160
    inside = np.zeros((160, 160), bool)
    inside[y0:y1, x0:x1] = True
    assert (canvas[inside] == 200).all()
    assert (canvas[~inside] == PAD_GREY).all()


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)]
)
def test_a_picture_that_is_not_grey_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="grey"):
        letterbox(wrong, 64)


def raw_maps(size: int = 64, classes: int = 3, value: float = -8.0) -> list[Tensor]:
    """Maps of SMALL without any object."""
    return [torch.full((1, 1, size // s, size // s, 5 + classes), value) for s in STRIDES]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_decoding_follows_the_formula() -> None:
    raw = raw_maps()
    # level 16, cell x 2, y 1: s = 0.75 along x, 0.5 along y; size factors (2 * 0.5)^2 = 1 and (2 * 0.6)^2 = 1.44
    raw[1][0, 0, 1, 2] = torch.tensor([logit(0.75), 0.0, 0.0, logit(0.6), logit(0.9), logit(0.8), -8.0, -8.0])
    predictions = decode(raw, SMALL.anchors, STRIDES)
    assert predictions.shape == (1, 64 + 16 + 4, 8)
    row = predictions[0, 64 + 1 * 4 + 2]
    expected = torch.tensor([(2 * 0.75 - 0.5 + 2) * 16, (2 * 0.5 - 0.5 + 1) * 16, 32.0, 16 * 1.44, 0.9, 0.8])
    torch.testing.assert_close(row[:6], expected)
    (found,) = suppress(predictions.numpy(), score=0.5)
    np.testing.assert_allclose(found.boxes, box_convert(expected[None, :4], "cxcywh", "xyxy"), rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.9 * 0.8], rtol=1e-5)
    assert found.classes.tolist() == [0]
    np.testing.assert_array_equal(found.probabilities[0], row[5:])


def test_suppression_keeps_the_best_of_a_class_and_boxes_of_other_classes() -> None:
    rows = [
        [50, 50, 20, 20, 0.9, 1, 0],  # the best
        [52, 50, 20, 20, 0.8, 1, 0],  # IoU 0.82 with it, same class
        [52, 50, 20, 20, 0.7, 0, 1],  # the same place, another class
        [80, 50, 20, 20, 0.6, 1, 0],  # elsewhere
        [20, 20, 20, 20, 0.2, 1, 0],  # too unsure
    ]
    (found,) = suppress(np.array([rows], np.float32), score=0.25, overlap=0.5)
    assert found.classes.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6], rtol=1e-6)
    assert found.boxes[:, 0].tolist() == [40, 42, 70]
    (two,) = suppress(np.array([rows], np.float32), score=0.25, overlap=0.5, most=2)
    assert two.classes.tolist() == [0, 1]
    (none,) = suppress(np.array([rows], np.float32), score=0.95)
    assert none.boxes.shape == (0, 4)


def test_suppression_keeps_what_torchvision_keeps() -> None:
    rng = torch.Generator().manual_seed(5)
    rows = torch.rand(400, 8, generator=rng) * torch.tensor([200.0, 200, 60, 60, 1, 1, 1, 1])
    (found,) = suppress(rows[None].numpy(), score=0.1, overlap=0.4, most=60)
    names, classes = rows[:, 5:].max(1)
    boxes, scores = box_convert(rows[:, :4], "cxcywh", "xyxy"), names * rows[:, 4]
    sure = scores >= 0.1
    best = batched_nms(boxes[sure], scores[sure], classes[sure], 0.4)[:60]
    np.testing.assert_allclose(found.boxes, boxes[sure][best], rtol=1e-5)
    np.testing.assert_allclose(found.scores, scores[sure][best], rtol=1e-5)


# assignment and losses


def one_target(*boxes: tuple[float, float, float, float], classes: list[int] | None = None) -> Targets:
    names = torch.tensor(classes or [0] * len(boxes))
    return Targets.of([torch.tensor(boxes, dtype=torch.float32)], [names])


SHAPES = [(64 // s, 64 // s) for s in STRIDES]


def test_candidates_are_the_three_nearest_cells_of_the_anchors_that_fit() -> None:
    # centre (37, 27), 32 x 16: sides within a factor of 4 of the anchors 32x16 and (barely not) 64x64, 8x8
    targets = one_target((21, 19, 53, 35))
    may = candidates(SHAPES, SMALL, targets)
    places = set(may.place[may.allowed].tolist())
    # at stride 16 the centre lies at (2.31, 1.69): cell (2, 1), left (1, 1), below (2, 2); rows of 4 cells after
    # the 64 of stride 8
    assert places == {64 + 1 * 4 + 2, 64 + 1 * 4 + 1, 64 + 2 * 4 + 2}
    assert int(may.allowed.sum()) == 3


def test_candidates_stay_on_the_map() -> None:
    targets = one_target((-1, 0, 7, 8))  # centre (3, 4) at stride 8: cell (0, 0), left of it there is nothing
    may = candidates(SHAPES, SMALL, targets)
    assert set(may.place[may.allowed].tolist()) == {0, 8}  # its own cell and, at 0.5, the one below


def put(raw: list[Tensor], level: int, cell: tuple[int, int], box: tuple[float, ...], name: int) -> None:
    """In place: a sure prediction of ``box`` x0, y0, x1, y1 and class ``name`` at a cell (x, y) of SMALL."""
    x0, y0, x1, y1 = box
    stride, (w, h) = STRIDES[level], SMALL.anchors[level][0]
    shares = (
        ((x0 + x1) / 2 / stride - cell[0] + 0.5) / 2,
        ((y0 + y1) / 2 / stride - cell[1] + 0.5) / 2,
        ((x1 - x0) / w) ** 0.5 / 2,
        ((y1 - y0) / h) ** 0.5 / 2,
    )
    values = [logit(s) for s in shares] + [6.0] + [6.0 if k == name else -6.0 for k in range(3)]
    raw[level][0, 0, cell[1], cell[0]] = torch.tensor(values)


def test_an_object_takes_as_many_places_as_predictions_overlap_it_best_ones_first() -> None:
    box = (21.0, 19.0, 53.0, 35.0)
    raw = raw_maps()
    put(raw, 1, (2, 1), box, 0)
    got = assign(flatten(raw), SHAPES, SMALL, one_target(box))
    assert got.place.tolist() == [64 + 1 * 4 + 2]  # IoUs add up to less than 2: one place
    put(raw, 1, (1, 1), box, 0)
    got = assign(flatten(raw), SHAPES, SMALL, one_target(box))
    assert sorted(got.place.tolist()) == [64 + 1 * 4 + 1, 64 + 1 * 4 + 2]
    torch.testing.assert_close(got.boxes, torch.tensor([box, box]), atol=1e-3, rtol=0)
    put(raw, 1, (1, 1), box, 1)  # as good a box, but of another class
    put(raw, 1, (2, 2), box, 0)
    raw[1][0, 0, 1, 1, :4] = -8.0  # and now a bad one
    got = assign(flatten(raw), SHAPES, SMALL, one_target(box))
    assert sorted(got.place.tolist()) == [64 + 1 * 4 + 2, 64 + 2 * 4 + 2]


def test_the_class_decides_between_equal_boxes() -> None:
    box = (21.0, 19.0, 53.0, 35.0)
    raw = raw_maps()
    put(raw, 1, (2, 1), box, 2)
    put(
        raw, 1, (1, 1), (21.0, 19.0, 52.0, 35.0), 1
    )  # IoU 0.97 with the right class; together they give k = 1
    got = assign(flatten(raw), SHAPES, SMALL, one_target(box, classes=[1]))
    assert got.place.tolist() == [64 + 1 * 4 + 1]


def test_a_place_goes_to_the_object_for_which_it_is_cheapest() -> None:
    left, right = (21.0, 19.0, 53.0, 35.0), (24.0, 19.0, 56.0, 35.0)
    raw = raw_maps()
    put(raw, 1, (2, 1), right, 0)
    got = assign(flatten(raw), SHAPES, SMALL, one_target(left, right))
    owner = dict(zip(got.place.tolist(), got.target.tolist(), strict=True))
    assert owner[64 + 1 * 4 + 2] == 1
    assert len(owner) == len(got.place), "a place is given once"
    same = assign(flatten(raw), SHAPES, SMALL, one_target(right, right))
    owner = dict(zip(same.target.tolist(), same.place.tolist(), strict=True))
    assert owner[0] == 64 + 1 * 4 + 2, "of two equal objects the first takes it"
    assert owner[1] in {64 + 1 * 4 + 1, 64 + 2 * 4 + 2}, "the other its next best place"


def test_very_wide_boxes_have_candidates_on_the_shipped_anchors() -> None:
    from ecgpage.train.detector import CONFIG  # noqa: PLC0415  (the product's own numbers)

    shapes = [(640 // s, 640 // s) for s in STRIDES]
    strips = [(20.0, y, 620.0, y + 24.0) for y in np.arange(60.0, 600.0, 26.0)]  # 12 x 1 and denser
    pulse, column = (10.0, 100.0, 21.0, 123.0), (40.0, 100.0, 180.0, 130.0)
    targets = one_target(*strips, pulse, column)
    may = candidates(shapes, CONFIG, targets)
    assert (may.allowed.sum(2) >= 3).all()
    torch.manual_seed(0)
    for spread in (0.0, 0.1, 1.0):  # 0: each anchor in the middle of its cell, which several rows want
        raw = [spread * torch.randn(1, 3, h, w, 18) for h, w in shapes]
        got = assign(flatten(raw), shapes, CONFIG, targets)
        assert set(got.target.tolist()) == set(range(len(strips) + 2)), "no object goes without a place"
        assert len(set(got.place.tolist())) == len(got.place), "no place is given twice"


def test_losses_are_small_for_right_and_large_for_wrong_predictions() -> None:
    box = (21.0, 19.0, 53.0, 35.0)
    right = raw_maps()
    put(right, 1, (2, 1), box, 0)
    wrong = raw_maps()
    put(wrong, 1, (2, 1), (30.0, 25.0, 60.0, 45.0), 1)
    good, bad = (detection_loss(raw, SMALL, one_target(box)) for raw in (right, wrong))
    assert good["box"] < 1e-3
    assert good["classes"] < 0.02
    assert good["objectness"] < 0.1
    for key, value in bad.items():
        assert value > 5 * good[key], key


def test_the_objectness_aims_at_the_overlap() -> None:
    box = (21.0, 19.0, 53.0, 35.0)
    half = (21.0, 19.0, 37.0, 35.0)
    losses = {}
    for objectness in (0.1, 0.3, 0.5, 0.7, 0.9):
        raw = raw_maps()
        put(raw, 1, (2, 1), half, 0)
        raw[1][0, 0, 1, 2, 4] = logit(objectness)
        losses[objectness] = float(detection_loss(raw, SMALL, one_target(box))["objectness"])
    assert min(losses, key=lambda p: losses[p]) == 0.5


def test_gradients_are_finite_and_reach_every_parameter_also_without_objects() -> None:
    torch.manual_seed(4)
    network = YoloV7(SMALL)
    images = torch.rand(2, 1, 64, 64)
    none = torch.zeros(0, 4)
    many = torch.tensor([[4, 4, 12, 12], [21, 19, 53, 35], [2, 2, 62, 60]], dtype=torch.float32)
    for boxes in ([many, none], [none, none]):
        targets = Targets.of(boxes, [torch.zeros(len(b), dtype=torch.int64) for b in boxes])
        network.zero_grad()
        losses = detection_loss(network(images), SMALL, targets)
        torch.stack(list(losses.values())).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        if boxes[0] is many:
            assert all(bool((p.grad != 0).any()) for p in network.parameters() if p.grad is not None)
            assert losses["box"] > 0


def test_paired_overlaps_are_the_diagonal_of_all() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = (box_convert(torch.rand(50, 4, generator=rng) * 20 + 1, "cxcywh", "xyxy") for _ in range(2))
    torch.testing.assert_close(paired_iou(a, b), box_iou(a, b).diagonal())


# average precision


def detections(rows: list[tuple[float, float, float, int]]) -> Detections:
    """From rows (score, x0, x1, class), 10 px high."""
    rows = sorted(rows, reverse=True)
    boxes = np.array([[x0, 0.0, x1, 10.0] for _, x0, x1, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[0] for row in rows], np.float32)
    classes = np.array([row[3] for row in rows], np.int64)
    return Detections(boxes, scores, classes, np.zeros((len(rows), 2), np.float32))


def truth(*rows: tuple[float, float, int]) -> tuple[Tensor, Tensor]:
    boxes = torch.tensor([[x0, 0.0, x1, 10.0] for x0, x1, _ in rows]).reshape(-1, 4)
    return boxes, torch.tensor([row[2] for row in rows], dtype=torch.int64)


TWO = truth((0, 10, 0), (20, 30, 0))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0.9, 0, 10, 0), (0.8, 20, 30, 0)], 1.0),
        ([(0.9, 0, 10, 0)], 51 / 101),  # recall ends at 0.5: precision 1 at 0, 0.01, ... 0.5
        ([(0.9, 50, 60, 0), (0.8, 0, 10, 0), (0.7, 20, 30, 0)], 2 / 3),  # 1/2, then 2/3, which covers both
        ([(0.9, 0, 10, 0), (0.8, 0, 10, 0), (0.7, 20, 30, 0)], (51 + 50 * 2 / 3) / 101),  # twice is wrong
        ([(0.9, 0, 10, 1), (0.8, 20, 30, 1)], 0.0),  # another class
        ([], 0.0),
    ],
)
def test_average_precision_of_hand_made_cases(found: list, expected: float) -> None:
    boxes, classes = TWO
    got = average_precision([detections(found)], [boxes], [classes], 2, [0.5])
    assert float(got[0, 0]) == pytest.approx(expected, abs=1e-6)
    assert math.isnan(float(got[0, 1])), "no truth of this class"


def test_a_rough_box_counts_up_to_its_overlap() -> None:
    boxes, classes = truth((0, 10, 0))
    got = average_precision([detections([(0.9, 0, 7.2, 0)])], [boxes], [classes], 1)  # IoU 0.72
    assert got[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_scores_rank_over_all_pictures() -> None:
    boxes, classes = truth((0, 10, 0))
    pages = [detections([(0.9, 0, 10, 0)]), detections([(0.95, 40, 50, 0), (0.3, 0, 10, 0)])]
    got = average_precision(pages, [boxes, boxes], [classes, classes], 1, [0.5])
    assert float(got[0, 0]) == pytest.approx(2 / 3)  # wrong, right, right: 1/2 and 2/3, which covers both
    empty = average_precision([pages[0], detections([])], [boxes, boxes], [classes, classes], 1, [0.5])
    assert float(empty[0, 0]) == pytest.approx(51 / 101)


# export


class Predicting(nn.Module):
    """The decoded output as the forward pass, which exporters take."""

    def __init__(self, network: YoloV7) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.predict(images)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_opencv_finds_the_same_boxes_in_an_exported_network(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    torch.manual_seed(5)
    network = settle(YoloV7(Config("tiny", classes=13, channels=1, width=0.25)))
    assert isinstance(network, YoloV7)
    with torch.no_grad():
        for head in network.heads:
            head.conv.weight *= 20  # boxes of many scores, sizes and classes
    network.fuse()
    images = torch.rand(1, 1, 96, 128)
    path = tmp_path / "network.onnx"
    torch.onnx.export(Predicting(network).eval(), (images,), str(path), dynamo=False, opset_version=17)
    opened = cv2.dnn.readNetFromONNX(str(path))
    opened.setInput(images.numpy())
    theirs = torch.from_numpy(opened.forward())
    with torch.inference_mode():
        ours = network.predict(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)
    (a,), (b,) = (suppress(p.numpy(), score=0.02) for p in (ours, theirs))
    assert len(a.scores) > 5
    assert a.classes.tolist() == b.classes.tolist()
    np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-3, atol=1e-2)
