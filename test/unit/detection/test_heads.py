"""Layout decoders on tiny outputs written by hand: every expected number is worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot_vision.detection.heads import HEADS, Candidates
from robot_vision.errors import ModelError

SIZE = (32, 64)
CELLS = 4 * 8 + 2 * 4 + 1 * 2
NAN, INF = math.nan, math.inf

every_head = pytest.mark.parametrize("head", HEADS)


def decode(head: str, *outputs: object, threshold: float = 0.25) -> Candidates:
    return HEADS[head].decode([np.asarray(output, np.float32) for output in outputs], SIZE, threshold)


def check(found: Candidates, boxes: list[list[float]], scores: list[float], class_ids: list[int]) -> None:
    np.testing.assert_allclose(found.boxes_xyxy, np.reshape(boxes, (-1, 4)), rtol=1e-6)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)
    np.testing.assert_array_equal(found.class_ids, class_ids)
    assert (found.boxes_xyxy.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int64)


def test_yolov8() -> None:
    columns = [[10, 20, 4, 8, 0.1, 0.9, 0.2], [1, 2, 3, 4, 0.2, 0.2, 0.1], [20, 30, 2, 2, 0.25, 0, 0]]
    check(
        decode("yolov8", np.array([columns]).transpose(0, 2, 1)),
        [[8, 16, 12, 24], [19, 29, 21, 31]],
        [0.9, 0.25],
        [1, 0],
    )


def test_yolov5() -> None:
    rows = [
        [10, 20, 4, 8, 0.5, 0.1, 0.8],
        [1, 2, 3, 4, 0.9, 0.2, 0.1],
        [1, 2, 3, 4, 0.2, 1, 1],
        [20, 30, 2, 2, 1, 0.3, 0],
    ]
    check(decode("yolov5", [rows]), [[8, 16, 12, 24], [19, 29, 21, 31]], [0.4, 0.3], [1, 0])


def test_yolox() -> None:
    output = np.zeros((1, CELLS, 7))
    # Stride 8 has 4 columns: cell 6 is row 1, column 2. Stride 16 begins at 32: cell 35 is row 1, column 1.
    output[0, 6] = [0.5, -0.5, math.log(2), math.log(3), 0.5, 0.2, 0.8]
    output[0, 35] = [0, 1, 0, math.log(0.5), 0.9, 1, 0]
    output[0, 41] = [0, 0, 0, 0, 1, 0.5, 0.4]
    # Centres (2.5, 0.5)·8, (1, 2)·16, (0, 1)·32; sizes (2, 3)·8, (1, 0.5)·16, (1, 1)·32.
    boxes = [[12, -8, 28, 16], [8, 28, 24, 36], [-16, 16, 16, 48]]
    check(decode("yolox", output), boxes, [0.4, 0.9, 0.5], [1, 0, 0])


def test_yolov10() -> None:
    rows = [[1, 2, 3, 4, 0.3, 1], [5, 6, 7, 8, 0.1, 0], [9, 9, 12, 12, 0.9, 2]]
    check(decode("yolov10", [rows]), [[1, 2, 3, 4], [9, 9, 12, 12]], [0.3, 0.9], [1, 2])


def test_nms_rows_of_the_first_image() -> None:
    rows = [[0, 1, 2, 3, 4, 1, 0.3], [1, 5, 6, 7, 8, 0, 0.9], [0, 9, 9, 12, 12, 2, 0.2]]
    check(decode("nms_rows", rows), [[1, 2, 3, 4]], [0.3], [1])


def test_nms_outputs_end_at_their_number() -> None:
    boxes = [[[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 12, 12]]]
    check(decode("nms_outputs", [[2]], boxes, [[0.3, 0.1, 0.9]], [[1, 0, 2]]), [[1, 2, 3, 4]], [0.3], [1])


def test_detr_boxes() -> None:
    boxes = [[[1, 2, 3, 4], [5, 6, 7, 8]]]
    check(decode("detr_boxes", [[2, 1]], boxes, [[0.1, 0.6]]), [[5, 6, 7, 8]], [0.6], [1])


def test_detr() -> None:
    """Boxes are relative to 32x64 pixels; ln 3 and -ln 3 are the logits of 3/4 and 1/4."""
    logits = [[[-9, math.log(3), 0], [-math.log(3), -9, -9], [-9, -9, -math.log(3) - 0.01]]]
    boxes = [[[0.5, 0.5, 0.25, 0.125], [0.25, 0.75, 0.5, 0.5], [0.5, 0.5, 1, 1]]]
    check(decode("detr", logits, boxes), [[12, 28, 20, 36], [0, 32, 16, 64]], [0.75, 0.25], [1, 0])


def test_nanodet() -> None:
    """Cell 6 of stride 8 has its centre at (20, 12), cell 3 of stride 16 at (24, 24)."""
    scores, distances = nanodet()
    scores[0][0, 6] = [0.2, 0.8]
    # Half a stride left and right (bins 0 and 1 alike), two strides up (all in bin 2), none down.
    distances[0][0, 6] = [*[50, 50, 0], *[0, 0, 50], *[50, 50, 0], *[50, 0, 0]]
    scores[1][0, 3] = [0.6, 0]
    distances[1][0, 3] = [*[0, 50, 0], *[50, 0, 0], *[0, 0, 0], *[0, 0, 50]]
    check(decode("nanodet", *scores, *distances), [[16, -4, 24, 12], [8, 24, 40, 56]], [0.8, 0.6], [1, 0])


def nanodet() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Scores of two classes and logits over three distances, all zero, at three strides."""
    return [np.zeros((1, n, 2)) for n in (32, 8, 2)], [np.zeros((1, n, 12)) for n in (32, 8, 2)]


def raw(head: str, box: list[float], scores: list[float]) -> list[np.ndarray]:
    """Outputs of the layout in which one place holds the given numbers and the rest is nothing."""
    if head == "nanodet":
        grid_scores, distances = nanodet()
        grid_scores[0][0, 3] = scores
        distances[0][0, 3, ::3] = box
        return [*grid_scores, *distances]
    if head == "detr":
        with np.errstate(all="ignore"):
            known = np.clip(np.asarray(scores, float), 1e-9, 1 - 1e-9)
            logits = np.where(np.isfinite(scores), np.log(known / (1 - known)), scores)
        boxes = np.zeros((1, 5, 4))
        boxes[0, 3] = box
        return [np.stack([np.full((5, 2), -30.0)]) + _placed((1, 5, 2), logits + 30), boxes]
    if head in ("nms_outputs", "detr_boxes", "nms_rows"):
        return _finished(head, box, scores[0])
    if head == "yolov10":
        return [_placed((1, 5, 6), [*box, scores[0], 0])]
    if head == "yolov8":
        return [_placed((1, CELLS, 4 + len(scores)), [*box, *scores]).transpose(0, 2, 1)]
    return [_placed((1, CELLS, 5 + len(scores)), [*box, 1, *scores])]


def _finished(head: str, box: list[float], score: float) -> list[np.ndarray]:
    if head == "nms_rows":
        return [_placed((1, 5, 7), [0, *box, 0, score])[0]]
    boxes, scores, classes = _placed((1, 5, 4), box), _placed((1, 5), score), np.zeros((1, 5))
    return [classes, boxes, scores] if head == "detr_boxes" else [np.array([[5]]), boxes, scores, classes]


def _placed(shape: tuple[int, ...], values: object) -> np.ndarray:
    """Zeros with the given values at place 3 of the second axis."""
    output = np.zeros(shape)
    output[0, 3] = values
    return output


@every_head
def test_finds_the_one_candidate(head: str) -> None:
    assert len(decode(head, *raw(head, [1, 1, 2, 2], [0.5, 0.4]))) == 1


def test_class_of_many_candidates_is_the_first_best_one() -> None:
    """Where most cells are candidates their classes are found another way: the same classes, equal scores included."""
    rng = np.random.default_rng(5)
    output = rng.integers(1, 4, (1, 4 + 6, CELLS)).astype(np.float32) / 4
    found = HEADS["yolov8"].decode([output], SIZE, 0.1)
    assert len(found) == CELLS
    for column, class_id in enumerate(found.class_ids.tolist()):
        scores = output[0, 4:, column].tolist()
        assert class_id == scores.index(max(scores))


@every_head
def test_finds_nothing_in_nothing(head: str) -> None:
    check(decode(head, *raw(head, [1, 1, 2, 2], [0.0, 0.0])), [], [], [])


@every_head
def test_threshold_is_inclusive(head: str) -> None:
    outputs = raw(head, [1, 1, 2, 2], [0.5, 0.4])
    assert len(decode(head, *outputs, threshold=0.5)) == 1
    assert len(decode(head, *outputs, threshold=0.5001)) == 0


@every_head
@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("place", range(4))
def test_drops_and_counts_a_box_that_is_not_finite(head: str, bad: float, place: int) -> None:
    box = [1.0, 1.0, 2.0, 2.0]
    box[place] = bad
    found = decode(head, *raw(head, box, [0.5, 0.4]))
    assert (len(found), found.malformed) == (0, 1)


@every_head
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_drops_and_counts_a_score_that_is_not_finite(head: str, bad: float) -> None:
    """Minus infinity is no more than a weak score."""
    found = decode(head, *raw(head, [1, 1, 2, 2], [bad, 0.4]), threshold=0.45)
    assert (len(found), found.malformed) == (0, int(bad != -INF))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"detr"}))
def test_scores_above_one_are_an_error_that_says_so(head: str) -> None:
    with pytest.raises(ModelError, match=r"expected scores within \[0, 1\], got 7.*output.head"):
        decode(head, *raw(head, [1, 1, 2, 2], [7, 0.1]))


@every_head
def test_does_not_change_the_output(head: str) -> None:
    outputs = [output.astype(np.float32) for output in raw(head, [1, 1, 2, 2], [0.5, 0.4])]
    for output in outputs:
        output.flags.writeable = False
    HEADS[head].decode(outputs, SIZE, 0.1)


def test_yolox_size_too_large_for_a_float_is_dropped_quietly() -> None:
    with np.errstate(all="raise"):
        assert len(decode("yolox", *raw("yolox", [0, 0, 200, 0], [0.9, 0]))) == 0


def test_yolov10_class_that_is_not_finite_is_dropped() -> None:
    found = decode("yolov10", [[[1, 2, 3, 4, 0.9, NAN]]])
    assert (len(found), found.malformed) == (0, 1)
