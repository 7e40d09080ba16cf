"""Layouts told from the outputs that published exports have."""

from __future__ import annotations

import pytest

from robot_vision.runtime.layouts import Layout, Output, recognise_layout

Shape = tuple[int | None, ...]


def recognise(*outputs: Output, size_wh: tuple[int, int] = (640, 640)) -> Layout | None:
    return recognise_layout(outputs, size_wh)


@pytest.mark.parametrize(
    ("shape", "size_wh", "head", "classes"),
    [
        ((1, 25200, 85), (640, 640), "yolov5", 80),
        ((1, 84, 8400), (640, 640), "yolov8", 80),
        ((1, 11, 2100), (320, 320), "yolov8", 7),
        ((1, 6, 2100), (320, 320), "yolov8", 2),
        ((None, 11, 8500), (320, 320), "yolov8", 7),
        ((1, 84, 34000), (640, 640), "yolov8", 80),
        ((1, 102000, 85), (1280, 1280), "yolov5", 80),
        ((1, 84, 6300), (640, 480), "yolov8", 80),
        ((1, 3549, 85), (416, 416), "yolox", 80),
        ((1, 2100, 6), (320, 320), "yolox", 1),
        ((1, 300, 6), (640, 640), "yolov10", None),
        ((1, None, 6), (640, 640), "yolov10", None),
        ((None, 7), (640, 640), "nms_rows", None),
        ((0, 7), (640, 640), "nms_rows", None),
    ],
)
def test_one_output(shape: Shape, size_wh: tuple[int, int], head: str, classes: int | None) -> None:
    layout = recognise(Output("output0", shape), size_wh=size_wh)
    assert layout is not None
    assert (layout.head, layout.class_count, layout.order) == (head, classes, (0,))
    assert str(Output("", shape)) in layout.evidence


@pytest.mark.parametrize("shape", [(1, 1000, 85), (1, 4, 8400), (25200, 85), (7,), (1, 3, 80, 80, 85)])
def test_one_output_of_no_known_layout(shape: Shape) -> None:
    assert recognise(Output("output0", shape)) is None


COUNT, BOXES = Output("num_dets", (1, 1), is_integer=True), Output("det_boxes", (1, 100, 4))
SCORES, CLASSES = Output("det_scores", (1, 100)), Output("det_classes", (1, 100), is_integer=True)


@pytest.mark.parametrize("classes", [CLASSES, Output("det_classes", (1, 100))], ids=["integers", "by name"])
def test_suppressed_boxes_in_four_outputs_in_any_order(classes: Output) -> None:
    """The decoder takes number, boxes, scores, classes, however the network orders them."""
    assert recognise(COUNT, BOXES, SCORES, classes).order == (0, 1, 2, 3)
    layout = recognise(classes, SCORES, COUNT, BOXES)
    assert (layout.head, layout.order) == ("nms_outputs", (2, 3, 1, 0))


def test_labels_boxes_scores() -> None:
    labels, scores = Output("labels", (1, 300), is_integer=True), Output("scores", (1, 300))
    layout = recognise(scores, labels, Output("boxes", (1, 300, 4)))
    assert (layout.head, layout.order, layout.class_count) == ("detr_boxes", (1, 2, 0), None)


def test_logits_and_boxes() -> None:
    layout = recognise(Output("pred_boxes", (1, 300, 4)), Output("logits", (1, 300, 80)))
    assert (layout.head, layout.order, layout.class_count) == ("detr", (1, 0), 80)


def test_four_classes_look_like_boxes_but_for_the_name() -> None:
    layout = recognise(Output("logits", (1, 300, 4)), Output("pred_boxes", (1, 300, 4)))
    assert (layout.order, layout.class_count) == ((0, 1), 4)
    assert recognise(Output("a", (1, 300, 4)), Output("b", (1, 300, 4))) is None


def test_nanodet_levels_are_sorted_by_stride() -> None:
    cells = (2704, 676, 169)
    scores = [Output(f"s{n}", (1, n, 80)) for n in reversed(cells)]
    distances = [Output(f"d{n}", (1, n, 32)) for n in cells]
    layout = recognise(*scores, *distances, size_wh=(416, 416))
    assert (layout.head, layout.class_count, layout.order) == ("nanodet", 80, (2, 1, 0, 3, 4, 5))


@pytest.mark.parametrize(
    "outputs",
    [
        [Output("a", (1, 2704, 80)), Output("b", (1, 676, 80))],
        [Output("a", (1, 300, 4)), Output("b", (1, 300)), Output("c", (1, 300))],
        [BOXES, SCORES, CLASSES, Output("more", (1, 100))],
        [Output("x", (1, 10, 4))] * 5,
        [],
    ],
)
def test_several_outputs_of_no_known_layout(outputs: list[Output]) -> None:
    assert recognise(*outputs) is None
