"""Which findings are right: precision and recall over the score, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.geometry import box_area, intersection_matrix, iou_matrix
from robot_vision.types import Detections, Float32Array, Float64Array, Int64Array

BoolArray = npt.NDArray[np.bool_]

IOU_THRESHOLD = 0.5
FALSE_ALARM = -1
NOTHING = -2


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of the findings that score at least so much.

    Attributes:
        objects: Number of objects to find.
        scores: (K,) float64, every score that a finding has, falling.
        precision: (K,) float64 in [0, 1], at that score as threshold.
        recall: (K,) float64 in [0, 1]; 0 where there is no object.
    """

    objects: int
    scores: Float64Array
    precision: Float64Array
    recall: Float64Array

    @property
    def f1(self) -> Float64Array:
        """(K,) float64, harmonic means of precision and recall; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / np.where(total > 0, total, 1)

    @property
    def best(self) -> int | None:
        """Index of the best F1, the highest score of several; None if nothing was found rightly."""
        return int(np.argmax(self.f1)) if len(self.scores) and self.recall[-1] > 0 else None


@dataclass(frozen=True, eq=False)
class Pairing:
    """What became of the findings and objects of one image.

    Attributes:
        object_of: (N,) int64, index of the object that each finding is paired with, `FALSE_ALARM`, or `NOTHING` for
            one in an ignored region.
        right: (N,) bool, findings that are paired with an object of their class.
        missed: (M,) bool, objects that must be found and have no finding.
    """

    object_of: Int64Array
    right: BoolArray
    missed: BoolArray

    @property
    def false_alarms(self) -> BoolArray:
        """(N,) bool, findings where no object is."""
        return np.asarray(self.object_of == FALSE_ALARM)

    @property
    def misnamed(self) -> BoolArray:
        """(N,) bool, findings that are paired with an object of another class."""
        return np.asarray((self.object_of >= 0) & ~self.right)

    @property
    def mistakes(self) -> int:
        """Number of missed objects, false alarms and wrong names."""
        return int(self.missed.sum() + self.false_alarms.sum() + self.misnamed.sum())


def precision_recall(truth: Sequence[LabelledBoxes], found: Sequence[Detections], class_id: int | None = None) -> Curve:
    """Precision and recall by score, with findings and objects paired as by COCO at IoU 0.5.

    Args:
        truth: Ground truth of each image; a finding that lies by half in an ignored object of its class is not counted.
        found: Detections in the same images.
        class_id: The class to look at; None takes all together, each finding still against objects of its class.

    Returns:
        The curve.

    Raises:
        EvaluationError: If the numbers of images differ.
    """
    _check_same_length(truth, found)
    scores, right, objects = [np.zeros(0)], [np.zeros(0, np.bool_)], 0
    for boxes, findings in zip(truth, found, strict=True):
        chosen = findings if class_id is None else findings.select(findings.class_ids == class_id)
        wanted = ~boxes.ignored if class_id is None else ~boxes.ignored & (boxes.class_ids == class_id)
        object_of = _pair_within_classes(boxes, chosen)
        counted = (object_of >= 0) | ~_in_ignored(boxes, chosen, same_class=True)
        scores.append(chosen.scores[counted].astype(np.float64))
        right.append(object_of[counted] >= 0)
        objects += int(wanted.sum())
    return _curve(np.concatenate(scores), np.concatenate(right), objects)


def _curve(scores: Float64Array, right: BoolArray, objects: int) -> Curve:
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(right[order])
    # Findings of one score come together: no threshold parts them.
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True)) if len(scores) else np.zeros(0, np.int64)
    return Curve(objects, scores[last], hits[last] / (last + 1), hits[last] / max(objects, 1))


def pair(truth: LabelledBoxes, found: Detections) -> Pairing:
    """Pair the findings of one image with its objects.

    First within classes as COCO does it, strong findings first; what is left then across classes, most overlap first.

    Args:
        truth: Objects; ignored ones are never paired, and a finding that lies by half in one is nothing, of whatever
            class.
        found: Detections of one image, already cut at the score that matters.

    Returns:
        The pairs, all with an IoU of at least 0.5.
    """
    object_of = _pair_within_classes(truth, found)
    right = object_of >= 0
    free = ~truth.ignored
    free[object_of[object_of >= 0]] = False
    iou = iou_matrix(found.boxes_xyxy, truth.boxes_xyxy)
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        finding, thing = divmod(int(flat), max(1, len(truth)))
        if iou[finding, thing] < IOU_THRESHOLD:
            break
        if object_of[finding] == FALSE_ALARM and free[thing]:
            object_of[finding] = thing
            free[thing] = False
    object_of[(object_of == FALSE_ALARM) & _in_ignored(truth, found, same_class=False)] = NOTHING
    return Pairing(object_of, right, free)


def _pair_within_classes(truth: LabelledBoxes, found: Detections) -> Int64Array:
    """(N,) index of the object of each finding by COCO's rule, or `FALSE_ALARM`."""
    object_of = np.full(len(found), FALSE_ALARM, np.int64)
    if not len(truth):
        return object_of
    iou = iou_matrix(found.boxes_xyxy, truth.boxes_xyxy)
    iou[found.class_ids[:, None] != truth.class_ids[None, :]] = 0
    iou[:, truth.ignored] = 0
    for finding in np.argsort(-found.scores, kind="stable"):
        thing = int(np.argmax(iou[finding]))
        if iou[finding, thing] >= IOU_THRESHOLD:
            object_of[finding] = thing
            iou[:, thing] = 0
    return object_of


def _in_ignored(truth: LabelledBoxes, found: Detections, *, same_class: bool) -> BoolArray:
    """(N,) whether at least half of a finding lies in one ignored object."""
    inside = intersection_matrix(found.boxes_xyxy, truth.boxes_xyxy[truth.ignored])
    if same_class:
        inside[found.class_ids[:, None] != truth.class_ids[truth.ignored][None, :]] = 0
    most: Float32Array = inside.max(axis=1, initial=0)
    return np.asarray((most > 0) & (most >= IOU_THRESHOLD * box_area(found.boxes_xyxy)))


def worst_images(found: Sequence[Detections], pairings: Sequence[Pairing], most: int) -> list[int]:
    """The images with most mistakes, the worst first; of equals the one whose wrong findings score more in sum.

    Args:
        found: Detections in each image.
        pairings: What `pair` makes of them.
        most: How many images at most.

    Returns:
        Indices of images that have a mistake.
    """

    def badness(index: int) -> tuple[int, float]:
        pairing = pairings[index]
        wrong = pairing.false_alarms | pairing.misnamed
        return pairing.mistakes, float(found[index].scores[wrong].sum())

    faulty = [index for index, pairing in enumerate(pairings) if pairing.mistakes]
    return sorted(faulty, key=badness, reverse=True)[:most]


def confusion_matrix(
    truth: Sequence[LabelledBoxes], found: Sequence[Detections], pairings: Sequence[Pairing], classes: int
) -> Int64Array:
    """How often each class is taken for each.

    Args:
        truth: Ground truth of each image.
        found: Detections in the same images.
        pairings: What `pair` makes of them.
        classes: Number of classes.

    Returns:
        (classes + 1, classes + 1) int64 counts by true class (row) and found class (column); the last row has the false
        alarms, the last column the missed objects.

    Raises:
        EvaluationError: If the numbers of images differ.
    """
    _check_same_length(truth, found)
    counts: Int64Array = np.zeros((classes + 1, classes + 1), np.int64)
    for boxes, findings, pairing in zip(truth, found, pairings, strict=True):
        paired, false_alarms = pairing.object_of >= 0, findings.class_ids[pairing.false_alarms]
        missed = boxes.class_ids[pairing.missed]
        seen = boxes.class_ids[pairing.object_of[paired]]
        true_class = np.concatenate([seen, np.full_like(false_alarms, classes), missed])
        found_class = np.concatenate([findings.class_ids[paired], false_alarms, np.full_like(missed, classes)])
        np.add.at(counts, (true_class, found_class), 1)
    return counts


def _check_same_length(truth: Sequence[LabelledBoxes], found: Sequence[Detections]) -> None:
    if len(truth) != len(found):
        raise EvaluationError(f"ground truth has {len(truth)} images, the detections {len(found)}; compare the same")
