"""The detection stage around a network whose output the test writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_writer import write_network

from robot_vision.detection.yolo import Detector
from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import InputSpec, ModelCard
from robot_vision.runtime.layouts import Output
from robot_vision.types import Detections, Frame

SIZE = (64, 64)
CELLS = 8 * 8 + 4 * 4 + 2 * 2
NAMES = ("cat", "dog", "fox")
CARD = ModelCard(
    "tiny",
    "detection",
    Path("tiny.onnx"),
    "0" * 64,
    InputSpec("images", SIZE, "RGB", "letterbox", 114, 1.0),
    "yolov8",
    NAMES,
)
FRAME = Frame(np.zeros((64, 128, 3), np.uint8), 5, "camera")


class FakeSession:
    """A network that returns what it is given."""

    provider = device = "cpu"
    output_names = ("out",)

    def __init__(self, output: np.ndarray) -> None:
        self.output = output.astype(np.float32)
        self.outputs = (Output("out", self.output.shape),)

    def new_input(self) -> np.ndarray:
        """Zeros."""
        return np.zeros((1, 3, SIZE[1], SIZE[0]), np.float32)

    def new_outputs(self) -> None:
        """Nothing to write into."""

    def run(self, network_input: np.ndarray, into: None) -> tuple[np.ndarray, ...]:
        """The output, whatever the input is."""
        return (self.output,)


def yolov8_output(*rows: tuple[list[float], int, float]) -> np.ndarray:
    """An output with the given (cx, cy, w, h), class id and score; everything else is zero."""
    output = np.zeros((1, 4 + len(NAMES), CELLS))
    for column, (box, class_id, score) in enumerate(rows):
        output[0, :4, column] = box
        output[0, 4 + class_id, column] = score
    return output


def detector(output: np.ndarray, card: ModelCard = CARD, **params: Any) -> Detector:
    return Detector(card, SessionParams(), DetectorParams(**params), FakeSession(output))


def detect(output: np.ndarray, **params: Any) -> Detections:
    return detector(output, **params).detect(FRAME)


def test_boxes_are_in_frame_pixels_and_clipped() -> None:
    """128×64 in 64×64 is scaled by a half and has 16 rows of padding above."""
    found = detect(yolov8_output(([32, 32, 20, 10], 1, 0.5), ([5, 20, 20, 20], 2, 0.75)))
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 0, 30, 28], [44, 22, 84, 42]])
    np.testing.assert_allclose(found.scores, [0.75, 0.5])
    np.testing.assert_array_equal(found.class_ids, [2, 1])


def test_a_frame_is_prepared_while_the_network_runs_on_the_one_before() -> None:
    """The pipeline overlaps the parts of successive frames, so two prepared inputs must not share memory."""
    white = Frame(np.full((64, 128, 3), 255, np.uint8), 6, "camera")
    parts = detector(yolov8_output())
    first = parts.prepare(FRAME)
    before = first.network_inputs[0].copy()
    second = parts.prepare(white)
    np.testing.assert_array_equal(first.network_inputs[0], before)
    assert second.network_inputs[0].max() > before.max()


def test_a_region_of_interest_gives_boxes_of_the_whole_frame() -> None:
    """The lower right quarter, 64x32 of the frame, fills the width of the network and has 16 rows of padding above."""
    found = detect(yolov8_output(([32, 32, 20, 10], 1, 0.5)), region_left=0.5, region_top=0.5)
    np.testing.assert_allclose(found.boxes_xyxy, [[64 + 22, 32 + 27 - 16, 64 + 42, 32 + 37 - 16]])


def test_slices_find_in_each_part_and_suppress_across_them() -> None:
    """Two slices side by side without overlap, 64x64 each as the network's input, and the frame as a whole.

    The network always finds the same two boxes. One lies at the left edge: whole in the first slice, cut in the second.
    The other is whole in both. From the whole frame, both come at twice the size.
    """
    output = yolov8_output(([4, 30, 8, 8], 0, 0.5), ([40, 30, 8, 8], 1, 0.75))
    found = detect(output, slice_columns=2, slice_overlap=0.0)
    boxes = sorted(np.rint(found.boxes_xyxy).tolist())
    in_slices = [[0, 26, 8, 34], [36, 26, 44, 34], [100, 26, 108, 34]]
    in_the_whole = [[0, 20, 16, 36], [72, 20, 88, 36]]
    assert boxes == sorted(in_slices + in_the_whole)


def test_boxes_of_an_end_to_end_network_are_suppressed_across_tiles() -> None:
    """What such a network decided for one tile says nothing of another: slice and whole see one object each."""
    card = dataclasses.replace(CARD, head="yolov10")
    rows = np.zeros((1, 2, 6))
    rows[0, 0] = [10, 20, 30, 40, 0.9, 0]
    wide = Frame(np.zeros((64, 96, 3), np.uint8), 5, "camera")
    params = {"slice_columns": 2, "slice_overlap": 0.5, "iou_threshold": 0.1}
    apart = detector(rows, card, **params).detect(wide)
    assert len(apart) == len(detector(rows, card, **{**params, "iou_threshold": 0.99}).detect(wide)) - 1


def test_box_in_the_padding_is_no_detection() -> None:
    assert len(detect(yolov8_output(([32, 6, 20, 10], 1, 0.5)))) == 0


@pytest.mark.parametrize("size", [[-20, 10], [20, -10], [-20, -10], [0, 10], [0, 0]])
def test_box_turned_inside_out_is_dropped_and_suppresses_nothing(size: list[float]) -> None:
    found = detect(yolov8_output(([32, 32, *size], 1, 0.9), ([32, 32, 20, 10], 1, 0.5)))
    np.testing.assert_allclose(found.scores, [0.5])


def test_boxes_that_are_no_numbers_are_dropped_and_counted() -> None:
    """A network gone wrong is seen in the count; what is sound in the same frame is still found."""
    output = yolov8_output(([32, 16, 8, 8], 0, 0.9), ([np.nan, 16, 8, 8], 0, 0.9), ([32, 16, 8, 8], 1, np.inf))
    counting = detector(output)
    for frames in (1, 2):
        assert len(counting.detect(FRAME)) == 1
        assert counting.malformed == 2 * frames


def test_nothing_found_is_an_empty_value() -> None:
    found = detect(yolov8_output())
    assert (found.boxes_xyxy.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))


OVERLAPPING = yolov8_output(([32, 32, 20, 10], 0, 0.9), ([32, 32, 20, 10], 1, 0.8), ([32, 33, 20, 10], 0, 0.7))


def test_suppression_within_a_class_or_across() -> None:
    assert detect(OVERLAPPING).class_ids.tolist() == [0, 1]
    assert detect(OVERLAPPING, class_agnostic=True).class_ids.tolist() == [0]
    assert detect(OVERLAPPING, iou_threshold=0.9).class_ids.tolist() == [0, 1, 0]


def test_class_filter_works_before_suppression() -> None:
    """A class that is not wanted must not hide one that is."""
    assert detect(OVERLAPPING, classes=["dog"], class_agnostic=True).class_ids.tolist() == [1]
    assert len(detect(OVERLAPPING, classes=["fox"])) == 0


def test_most_certain_boxes_are_kept() -> None:
    rows = [([8 * i + 4.0, 32.0, 4.0, 4.0], 0, 0.2 + 0.1 * i) for i in range(6)]
    found = detect(yolov8_output(*rows), max_detections=2)
    np.testing.assert_allclose(found.scores, [0.7, 0.6], rtol=1e-6)


def test_parameters_change_between_frames() -> None:
    stage = detector(OVERLAPPING)
    stage.set_params(DetectorParams(confidence_threshold=0.85))
    assert stage.params.confidence_threshold == 0.85
    assert stage.detect(FRAME).class_ids.tolist() == [0]
    stage.set_params(DetectorParams(classes=["dog"]))
    assert stage.detect(FRAME).class_ids.tolist() == [1]


def test_unknown_class_lists_the_names_and_changes_nothing() -> None:
    with pytest.raises(InvalidValueError, match=r"detector.classes: model tiny has no class cow; it has cat, dog, fox"):
        detector(OVERLAPPING, classes=["dog", "cow"])
    stage = detector(OVERLAPPING, classes=["dog"])
    with pytest.raises(InvalidValueError, match="cow"):
        stage.set_params(DetectorParams(classes=["cow"]))
    assert stage.detect(FRAME).class_ids.tolist() == [1]


def test_layout_is_recognised_where_the_card_is_silent() -> None:
    card = dataclasses.replace(CARD, head=None)
    assert detector(OVERLAPPING, card).detect(FRAME).class_ids.tolist() == [0, 1]


def test_finished_boxes_are_suppressed_only_across_classes_on_request() -> None:
    card = dataclasses.replace(CARD, head="yolov10")
    rows = [[20, 20, 40, 40, 0.7, 0], [20, 20, 40, 40, 0.9, 1], [20, 20, 40, 40, 0.8, 0]]
    assert detector(np.array([rows]), card).detect(FRAME).class_ids.tolist() == [1, 0, 0]
    assert detector(np.array([rows]), card, class_agnostic=True).detect(FRAME).class_ids.tolist() == [1]
    assert len(detector(np.array([rows]), card, max_detections=2).detect(FRAME)) == 2


def test_single_classes_have_thresholds_of_their_own() -> None:
    """Lower or higher than the common one; the class filter still holds."""
    rows = [([10 * n, 32, 8, 8], n % 3, score) for n, score in enumerate([0.3, 0.3, 0.3, 0.6, 0.6, 0.6])]
    ids = detect(yolov8_output(*rows), confidence_threshold=0.5).class_ids
    assert sorted(ids.tolist()) == [0, 1, 2]
    names = CARD.class_names
    own = (f"{names[0]}:0.2", f"{names[1]}:0.7")
    found = detect(yolov8_output(*rows), confidence_threshold=0.5, class_thresholds=own)
    assert sorted(found.class_ids.tolist()) == [0, 0, 2]
    only = detect(yolov8_output(*rows), confidence_threshold=0.5, class_thresholds=own, classes=(names[0],))
    assert sorted(only.class_ids.tolist()) == [0, 0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("unicorn:0.5", "detector.class_thresholds: model .* has no class unicorn; it has"),
        ("0.5", "expected name:score, such as person:0.4; got '0.5'"),
        (f"{NAMES[0]}:high", "expected name:score"),
        (f"{NAMES[0]}:1.5", "expected name:score"),
        (f"{NAMES[0]}:nan", "expected name:score"),
    ],
)
def test_class_thresholds_that_make_no_sense_are_refused(entry: str, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        detect(yolov8_output(), class_thresholds=(entry,))


@pytest.mark.parametrize("class_id", [-1, 3])
def test_class_that_the_card_does_not_name(class_id: int) -> None:
    card = dataclasses.replace(CARD, head="yolov10")
    with pytest.raises(ModelError, match=rf"returned class ids {class_id} to {class_id}, its card names 3 classes"):
        detector(np.array([[[20, 20, 40, 40, 0.7, class_id]]]), card).detect(FRAME)


@pytest.mark.parametrize(
    ("head", "shape", "message"),
    [
        ("yolov8", (1, 8, CELLS), "as layout yolov8 has 4 classes, its card names 3"),
        ("yolov5", (1, 50, 9), "as layout yolov5 has 4 classes, its card names 3"),
        ("yolox", (1, CELLS + 1, 8), r"the card says layout yolox, but output \[1, 85, 8\] cannot be that"),
        ("yolov10", (1, 50, 7), r"the card says layout yolov10, but output \[1, 50, 7\] cannot be that"),
        (None, (1, 50, 9), r"output \[1, 50, 9\] fits no known layout; set output.head .* yolov5, yolov8"),
        (None, (50, 9), r"output \[50, 9\] fits no known layout"),
        ("detr", (1, 50, 9), r"the card says layout detr, but output \[1, 50, 9\] cannot be that"),
    ],
)
def test_output_that_contradicts_the_card(head: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        detector(np.zeros(shape), dataclasses.replace(CARD, head=head))


def test_card_for_another_task() -> None:
    with pytest.raises(ModelError, match="model tiny: expected task detection, its card says latent_encoder"):
        detector(OVERLAPPING, dataclasses.replace(CARD, task="latent_encoder"))


def test_runs_a_file_through_onnx_runtime(tmp_path: Path) -> None:
    path = write_network(tmp_path / "tiny.onnx", [1, 3, 64, 64], {"out": OVERLAPPING})
    stage = Detector(dataclasses.replace(CARD, onnx_path=path), SessionParams(provider="cpu"), DetectorParams())
    assert stage.class_names == NAMES
    assert stage.session.provider == "cpu"
    assert stage.detect(FRAME).class_ids.tolist() == [0, 1]


def test_same_frame_twice_gives_the_same(tmp_path: Path) -> None:
    stage = detector(OVERLAPPING)
    first, second = stage.detect(FRAME), stage.detect(FRAME)
    np.testing.assert_array_equal(first.boxes_xyxy, second.boxes_xyxy)
    assert first.boxes_xyxy is not second.boxes_xyxy
