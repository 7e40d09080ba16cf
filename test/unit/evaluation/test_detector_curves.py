"""Precision, recall and confusion equal hand-worked cases, slow obvious loops and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.detection import detection_metrics
from robot_vision.evaluation.detector_curves import confusion_matrix, pair, precision_recall, worst_images
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.types import Detections

BOX, NEAR, FAR, OTHER = [0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60], [100, 0, 120, 20]


def objects(*rows, ignored=()) -> LabelledBoxes:
    """Rows of (class, box)."""
    boxes = np.array([row[1] for row in rows], np.float32).reshape(-1, 4)
    flags = np.isin(np.arange(len(rows)), ignored)
    return LabelledBoxes(boxes, np.array([row[0] for row in rows], np.int64), np.arange(len(rows)), flags)


def findings(*rows) -> Detections:
    """Rows of (class, score, box)."""
    boxes = np.array([row[2] for row in rows], np.float32).reshape(-1, 4)
    return Detections(
        boxes, np.array([row[1] for row in rows], np.float32), np.array([row[0] for row in rows], np.int64)
    )


def random_images(rng: np.random.Generator, count: int = 40):
    """Crowded images in which classes, overlaps, ignored objects and equal scores all occur."""
    truth, found = [], []
    for _ in range(count):
        corners = rng.uniform(0, 60, (rng.integers(0, 6), 2))
        boxes = np.concatenate([corners, corners + rng.uniform(8, 30, corners.shape)], axis=1)
        class_ids = rng.integers(0, 3, len(boxes))
        rows = list(zip(class_ids, boxes, strict=True))
        truth.append(objects(*rows, ignored=np.flatnonzero(rng.random(len(rows)) < 0.2)))
        again = [
            (rng.choice([class_id, 0, 1, 2], p=[0.7, 0.1, 0.1, 0.1]), round(rng.random(), 1), box + rng.normal(0, 3, 4))
            for class_id, box in rows
            for _ in range(rng.integers(0, 3))
        ]
        found.append(findings(*again))
    return truth, found


def overlap(a, b) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou(a, b) -> float:
    return overlap(a, b) / (area(a) + area(b) - overlap(a, b))


def slow_counts(truth, found, class_id: int, threshold: float) -> tuple[int, int, int]:
    """Right findings, wrong findings and objects at one threshold, counted one by one."""
    right = wrong = there = 0
    for boxes, things in zip(truth, found, strict=True):
        open_objects = [i for i in range(len(boxes)) if boxes.class_ids[i] == class_id and not boxes.ignored[i]]
        regions = [i for i in range(len(boxes)) if boxes.class_ids[i] == class_id and boxes.ignored[i]]
        there += len(open_objects)
        mine = [i for i in range(len(things)) if things.class_ids[i] == class_id and things.scores[i] >= threshold]
        for i in sorted(mine, key=lambda i: -things.scores[i]):
            box = things.boxes_xyxy[i]
            close = [j for j in open_objects if iou(box, boxes.boxes_xyxy[j]) >= 0.5]
            if close:
                open_objects.remove(max(close, key=lambda j: iou(box, boxes.boxes_xyxy[j])))
                right += 1
            elif not any(overlap(box, boxes.boxes_xyxy[j]) >= 0.5 * area(box) for j in regions):
                wrong += 1
    return right, wrong, there


def test_a_curve_worked_by_hand() -> None:
    """Two objects; found at 0.9, wrong at 0.6, found at 0.3: precision 1, 1/2, 2/3, recall 1/2, 1/2, 1."""
    truth = [objects((0, BOX), (0, FAR))]
    curve = precision_recall(truth, [findings((0, 0.3, FAR), (0, 0.9, NEAR), (0, 0.6, OTHER))], 0)
    np.testing.assert_allclose(curve.scores, [0.9, 0.6, 0.3], rtol=1e-6)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(curve.f1, [2 / 3, 1 / 2, 4 / 5])
    assert curve.best == 2
    assert curve.objects == 2


def test_every_point_equals_counting_at_its_threshold() -> None:
    """Also where several findings have one score, which no threshold can part, and in ignored objects."""
    truth, found = random_images(np.random.default_rng(1))
    for class_id in range(3):
        curve = precision_recall(truth, found, class_id)
        assert (np.diff(curve.scores) < 0).all()
        for score, precision, recall in zip(curve.scores, curve.precision, curve.recall, strict=True):
            right, wrong, there = slow_counts(truth, found, class_id, score)
            assert (precision, recall) == pytest.approx((right / (right + wrong), right / there))


def test_all_classes_together_count_each_against_its_own() -> None:
    truth, found = random_images(np.random.default_rng(2))
    curve = precision_recall(truth, found)
    counts = np.array([slow_counts(truth, found, class_id, curve.scores[2]) for class_id in range(3)]).sum(axis=0)
    assert curve.precision[2] == pytest.approx(counts[0] / (counts[0] + counts[1]))
    assert curve.recall[2] == pytest.approx(counts[0] / counts[2])
    assert curve.objects == counts[2]


def test_the_curve_is_that_behind_cocos_average_precision() -> None:
    """AP50 by pycocotools is the curve's best precision at or right of each of 101 recalls, averaged."""
    pytest.importorskip("pycocotools")
    truth, found = random_images(np.random.default_rng(3))
    # COCO goes through findings one by one, so scores must differ.
    rng = np.random.default_rng(4)
    found = [Detections(f.boxes_xyxy, rng.random(len(f), np.float32), f.class_ids) for f in found]
    by_class = detection_metrics(truth, found, ["a", "b", "c"]).ap50_by_class
    for class_id, name in enumerate("abc"):
        curve = precision_recall(truth, found, class_id)
        best = [curve.precision[curve.recall >= level].max(initial=0) for level in np.linspace(0, 1, 101)]
        assert np.mean(best) == pytest.approx(by_class[name], abs=1e-9)


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        (objects((0, BOX)), findings(), (1, 0)),
        (objects(), findings((0, 0.5, BOX)), (0, 1)),
        (objects(), findings(), (0, 0)),
        (objects((0, BOX), ignored=[0]), findings((0, 0.5, BOX)), (0, 0)),
    ],
)
def test_nothing_there_or_nothing_found_gives_numbers(truth, found, expected) -> None:
    """No NaN and no warning where a quotient has nothing below the line."""
    with np.errstate(all="raise"):
        curve = precision_recall([truth], [found], 0)
        values = np.concatenate([curve.precision, curve.recall, curve.f1])
    assert (curve.objects, len(curve.scores)) == expected
    assert not values.any()
    assert curve.best is None


def test_what_is_taken_for_what_by_hand() -> None:
    """One right, one misnamed, one missed, one false alarm, and a second finding on an object is a false alarm, too."""
    truth = objects((0, BOX), (1, FAR), (1, OTHER))
    found = findings((0, 0.9, BOX), (0, 0.8, FAR), (0, 0.7, NEAR), (1, 0.6, [200, 0, 210, 10]))
    pairing = pair(truth, found)
    assert pairing.object_of.tolist() == [0, 1, -1, -1]
    assert pairing.right.tolist() == [True, False, False, False]
    assert pairing.misnamed.tolist() == [False, True, False, False]
    assert pairing.missed.tolist() == [False, False, True]
    assert pairing.mistakes == 4
    assert confusion_matrix([truth], [found], [pairing], 2).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]


def test_the_right_class_comes_before_more_overlap() -> None:
    """A finding of the right class is not lost to one of another class that fits better or scores higher."""
    truth, found = objects((0, BOX)), findings((1, 0.9, BOX), (0, 0.3, NEAR))
    assert pair(truth, found).object_of.tolist() == [-1, 0]


def test_across_classes_most_overlap_comes_first() -> None:
    truth, found = objects((0, BOX), (0, [0, 3, 10, 13])), findings((1, 0.9, NEAR), (1, 0.4, BOX))
    assert pair(truth, found).object_of.tolist() == [-1, 0]


def test_half_inside_an_ignored_object_is_nothing() -> None:
    """Of whatever class; less than half is a false alarm, and an ignored object is never missed nor found."""
    truth = objects((0, BOX), (0, FAR), ignored=[0])
    found = findings((0, 0.9, BOX), (1, 0.8, [5, 0, 15, 10]), (1, 0.7, [6, 0, 16, 10]), (0, 0.6, FAR))
    pairing = pair(truth, found)
    assert pairing.object_of.tolist() == [-2, -2, -1, 1]
    assert not pairing.missed.any()
    assert confusion_matrix([truth], [found], [pairing], 2).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_the_diagonal_and_the_sums_are_what_the_curve_counts() -> None:
    """Every object that must be found is in one row once, and the diagonal is the curve's right findings."""
    truth, found = random_images(np.random.default_rng(5))
    strong = [f.select(f.scores >= np.float32(0.4)) for f in found]
    pairings = [pair(boxes, things) for boxes, things in zip(truth, strong, strict=True)]
    counts = confusion_matrix(truth, strong, pairings, 3)
    for class_id in range(3):
        right, _, there = slow_counts(truth, strong, class_id, 0.0)
        assert counts[class_id, class_id] == right
        assert counts[class_id].sum() == there
    nothing = sum(int((pairing.object_of == -2).sum()) for pairing in pairings)
    assert counts[:, :3].sum() == sum(map(len, strong)) - nothing
    assert counts[3, 3] == 0


def test_empty_images_give_an_empty_matrix() -> None:
    pairing = pair(objects(), findings())
    assert pairing.mistakes == 0
    assert not confusion_matrix([objects()], [findings()], [pairing], 2).any()


def test_the_worst_image_comes_first() -> None:
    """By number of mistakes, then by the sum of the wrong scores; a faultless image is not among them."""
    truth = [objects((0, BOX)) for _ in range(4)]
    found = [
        findings((0, 0.9, BOX), (0, 0.3, FAR)),
        findings((0, 0.9, BOX)),
        findings((0, 0.2, BOX), (0, 0.7, FAR)),
        findings((0, 0.1, FAR)),
    ]
    pairings = [pair(*both) for both in zip(truth, found, strict=True)]
    assert worst_images(found, pairings, 9) == [3, 2, 0]
    assert worst_images(found, pairings, 1) == [3]


def test_as_many_findings_as_images() -> None:
    with pytest.raises(EvaluationError, match="2 images, the detections 1"):
        precision_recall([objects(), objects()], [findings()])
    with pytest.raises(EvaluationError, match="1 images, the detections 0"):
        confusion_matrix([objects()], [], [], 1)
