"""Decoders of detector outputs, one small function a layout: raw output to boxes in network pixels.

Every decoder drops weak candidates by score before it decodes a box, because nearly all of them are weak, and drops and
counts what is not finite. A candidate's class is its best one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import ModelError
from robot_vision.geometry import cxcywh_to_xyxy
from robot_vision.runtime.layouts import STRIDES, Head
from robot_vision.types import Float32Array, Int64Array

Size = tuple[int, int]
Outputs = Sequence[npt.NDArray[Any]]
_SCORE_TOLERANCE = 1e-3
_LARGEST_LOGIT = 80.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes of one image before suppression.

    Attributes:
        boxes_xyxy: (N, 4) float32 in network pixels, unclipped.
        scores: (N,) float32 in [0, 1].
        class_ids: (N,) int64.
        malformed: Number of further candidates whose score is no number, or whose score or box is infinite.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array
    class_ids: Int64Array
    malformed: int = 0

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: npt.NDArray[Any]) -> Candidates:
        """Rows chosen by a boolean mask (N,) or an integer index (M,)."""
        return Candidates(self.boxes_xyxy[index], self.scores[index], self.class_ids[index], self.malformed)


def merge(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of several tiles, in the order given; at least one."""
    boxes, scores, class_ids = zip(*((part.boxes_xyxy, part.scores, part.class_ids) for part in parts), strict=True)
    malformed = sum(part.malformed for part in parts)
    return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids), malformed)


def decode_yolov8(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Anchor-free layout of YOLOv8, v9, v11 and of this project's own detector.

    Args:
        outputs: One, (1, 4 + C, N) float32: rows cx, cy, w, h in network pixels, then one probability a class.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the output's columns.

    Raises:
        ModelError: If a score is no probability.
    """
    boxes, scores = outputs[0][0, :4], outputs[0][0, 4:]
    best = scores.max(axis=0)
    kept, unscored = _strong(best, threshold)
    class_ids = _first_place(scores, best)[kept] if 2 * len(kept) > len(best) else scores[:, kept].argmax(axis=0)
    return _finite(cxcywh_to_xyxy(boxes.take(kept, axis=1).T), best[kept], class_ids, unscored)


def decode_yolov5(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Layout of YOLOv5 and v7, and of YOLOX exports that decode their boxes themselves.

    Args:
        outputs: One, (1, N, 5 + C) float32: cx, cy, w, h in network pixels, objectness, one probability a class.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score (objectness times class probability) to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows, scores, class_ids, _, unscored = _scored_rows(outputs[0], threshold)
    return _finite(cxcywh_to_xyxy(rows[:, :4]), scores, class_ids, unscored)


def decode_yolox(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:
    """Raw grid of YOLOX (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021).

    Args:
        outputs: One, (1, N, 5 + C) float32: offset of the centre within the cell and logarithm of w, h, in units of the
            cell's stride, then objectness and one probability a class; cells row by row, strides 8, 16, 32.
        size_wh: Width and height of the network's input in pixels.
        threshold: Smallest score (objectness times class probability) to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows, scores, class_ids, kept, unscored = _scored_rows(outputs[0], threshold)
    cells = _grid(size_wh)[kept]
    stride = cells[:, 2:]
    with np.errstate(over="ignore"):
        boxes_cxcywh = np.concatenate([(rows[:, :2] + cells[:, :2]) * stride, np.exp(rows[:, 2:4]) * stride], axis=1)
    return _finite(cxcywh_to_xyxy(boxes_cxcywh), scores, class_ids, unscored)


def decode_yolov10(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Finished boxes: end-to-end networks such as YOLOv10, and exports with suppression built in.

    Args:
        outputs: One, (1, N, 6) float32: x1, y1, x2, y2 in network pixels, score, class id.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows = outputs[0][0]
    return _finished(rows[:, :4], rows[:, 4], rows[:, 5], threshold)


def decode_nms_rows(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Finished boxes as YOLOv7 exports them with suppression inside.

    Args:
        outputs: One, (N, 7) float32: number of the image, x1, y1, x2, y2 in network pixels, class id, score; rows of
            other images than the first are left out.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows = outputs[0][outputs[0][:, 0] == 0]
    return _finished(rows[:, 1:5], rows[:, 6], rows[:, 5], threshold)


def decode_nms_outputs(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Finished boxes in four outputs, as TensorRT's EfficientNMS plug-in gives them.

    Args:
        outputs: Number of boxes (1, 1); boxes (1, N, 4) float32 x1, y1, x2, y2 in network pixels; scores (1, N)
            float32; class ids (1, N). What lies behind the number is padding.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the outputs.

    Raises:
        ModelError: If a score is no probability.
    """
    count = int(outputs[0].reshape(-1)[0])
    boxes, scores, class_ids = (output[0, :count] for output in outputs[1:])
    return _finished(boxes, scores, class_ids, threshold)


def decode_detr(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:
    """Raw queries of the DETR family with independent class logits, such as RT-DETR and D-FINE.

    (Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2024.)

    Args:
        outputs: Class logits (1, N, C) and boxes (1, N, 4) float32 cx, cy, w, h relative to the input's size.
        size_wh: Width and height of the network's input in pixels.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the queries.

    Raises:
        ModelError: Never; every logit has a score within [0, 1].
    """
    logits, boxes = outputs[0][0], outputs[1][0]
    best = logits.max(axis=1)
    # The score of a logit is 1 / (1 + exp(-logit)), which grows with it.
    kept, unscored = _strong(best, _logit(threshold))
    scale = np.array([*size_wh, *size_wh], np.float32)
    scores = 1 / (1 + np.exp(-np.clip(best[kept], -_LARGEST_LOGIT, _LARGEST_LOGIT)))
    scores[np.isinf(best[kept])] = np.inf
    return _finite(cxcywh_to_xyxy(boxes[kept] * scale), scores, logits[kept].argmax(axis=1), unscored)


def decode_detr_boxes(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Finished boxes of the DETR family, exported with its post-processing.

    Args:
        outputs: Class ids (1, N), boxes (1, N, 4) float32 x1, y1, x2, y2 in network pixels (the session tells a network
            that asks for the image's size the size of its input), scores (1, N) float32.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the outputs.

    Raises:
        ModelError: If a score is no probability.
    """
    class_ids, boxes, scores = (output[0] for output in outputs)
    return _finished(boxes, scores, class_ids, threshold)


def decode_nanodet(outputs: Outputs, size_wh: Size, threshold: float) -> Candidates:
    """NanoDet's grid: each side of a box is the mean of a distribution over distances.

    (Li et al., "Generalized Focal Loss", 2020.)

    Args:
        outputs: Class scores (1, cells, C) float32 at strides 8, 16 and 32, then as many arrays (1, cells, 4 · bins)
            float32 of logits over the distances 0, 1, 2, … strides from the cell's centre to left, top, right, bottom.
        size_wh: Width and height of the network's input in pixels.
        threshold: Smallest score to keep.

    Returns:
        The candidates, cell by cell.

    Raises:
        ModelError: If a score is no probability.
    """
    levels = len(outputs) // 2
    scores = np.concatenate([output[0] for output in outputs[:levels]])
    kept, unscored = _strong(scores.max(axis=1), threshold)
    bins = outputs[levels].shape[2] // 4
    logits = np.concatenate([output[0] for output in outputs[levels:]])[kept].reshape(len(kept), 4, bins)
    with np.errstate(invalid="ignore"):  # an infinite logit makes a box that is not finite and is dropped
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    distances = (weights @ np.arange(bins, dtype=np.float32)) / weights.sum(axis=2)
    cells = _grid(size_wh)[kept]
    stride = cells[:, 2:]
    centres = (cells[:, :2] + np.float32(0.5)) * stride
    boxes = np.concatenate([centres - distances[:, :2] * stride, centres + distances[:, 2:] * stride], axis=1)
    class_ids = scores[kept].argmax(axis=1)
    return _finite(boxes, scores[kept, class_ids], class_ids, unscored)


@dataclass(frozen=True)
class HeadDecoder:
    """What is done with the output of one layout.

    Attributes:
        decode: Outputs in the layout's order, input size and score threshold to candidates.
        needs_suppression: Whether one object gives several candidates.
    """

    decode: Callable[[Outputs, Size, float], Candidates]
    needs_suppression: bool = True


HEADS: dict[Head, HeadDecoder] = {
    "yolov5": HeadDecoder(decode_yolov5),
    "yolov8": HeadDecoder(decode_yolov8),
    "yolov10": HeadDecoder(decode_yolov10, needs_suppression=False),
    "yolox": HeadDecoder(decode_yolox),
    "nms_rows": HeadDecoder(decode_nms_rows, needs_suppression=False),
    "nms_outputs": HeadDecoder(decode_nms_outputs, needs_suppression=False),
    "detr": HeadDecoder(decode_detr, needs_suppression=False),
    "detr_boxes": HeadDecoder(decode_detr_boxes, needs_suppression=False),
    "nanodet": HeadDecoder(decode_nanodet),
}


def _strong(scores: Float32Array, threshold: float) -> tuple[npt.NDArray[np.intp], int]:
    """Indices of the scores that reach the threshold, and how many are no number."""
    return np.flatnonzero(scores >= threshold), int(np.count_nonzero(np.isnan(scores)))


def _first_place(scores: Float32Array, best: Float32Array) -> Int64Array:
    """`scores.argmax(axis=0)` of (C, N) where the maxima (N,) are known; several times faster for many columns."""
    class_ids, columns = np.divmod(np.flatnonzero(scores == best), len(best))
    places = np.zeros(len(best), np.int64)
    places[columns[::-1]] = class_ids[::-1]  # of equal ones the first is written last
    return places


def _scored_rows(
    output: Float32Array, threshold: float
) -> tuple[Float32Array, Float32Array, Int64Array, npt.NDArray[np.intp], int]:
    """Rows whose objectness times best class reaches the threshold, with score, class and row number.

    And how many rows have a score that is no number.

    The product of two probabilities is at most the first, so objectness alone rules out nearly every row.
    """
    kept, unscored = _strong(output[0, :, 4], threshold)
    rows = output[0, kept]
    class_ids = rows[:, 5:].argmax(axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + class_ids]
    strong, unsure = _strong(scores, threshold)
    return rows[strong], scores[strong], class_ids[strong], kept[strong], unscored + unsure


@lru_cache(maxsize=8)
def _grid(size_wh: Size) -> Float32Array:
    """(N, 3) float32: column, row and stride of every cell."""
    levels = []
    for stride in STRIDES:
        columns, rows = np.meshgrid(np.arange(size_wh[0] // stride), np.arange(size_wh[1] // stride))
        levels.append(np.stack([columns.ravel(), rows.ravel(), np.full(columns.size, stride)], axis=1))
    grid = np.concatenate(levels).astype(np.float32)
    grid.flags.writeable = False
    return grid


def _finished(
    boxes_xyxy: Float32Array, scores: Float32Array, class_ids: npt.NDArray[Any], threshold: float
) -> Candidates:
    """Candidates out of what a network has decided already; rows without a class number are malformed."""
    strong, unscored = _strong(scores, threshold)
    kept = strong[np.isfinite(class_ids[strong])]
    malformed = unscored + len(strong) - len(kept)
    return _finite(boxes_xyxy[kept], scores[kept], class_ids[kept].astype(np.int64), malformed)


def _logit(probability: float) -> float:
    """Number whose logistic function is the probability."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _finite(boxes_xyxy: Float32Array, scores: Float32Array, class_ids: Int64Array, malformed: int) -> Candidates:
    boxes_xyxy, scores = np.asarray(boxes_xyxy, np.float32), np.asarray(scores, np.float32)
    class_ids = np.asarray(class_ids, np.int64)
    if not (np.isfinite(boxes_xyxy).all() and np.isfinite(scores).all()):
        finite = np.isfinite(boxes_xyxy).all(axis=1) & np.isfinite(scores)
        malformed += len(finite) - int(finite.sum())
        boxes_xyxy, scores, class_ids = boxes_xyxy[finite], scores[finite], class_ids[finite]
    found = Candidates(boxes_xyxy, scores, class_ids, malformed)
    if len(found) and found.scores.max() > 1 + _SCORE_TOLERANCE:
        raise ModelError(
            f"detector output: expected scores within [0, 1], got {found.scores.max():g}; output.head in the model "
            "card names another layout than the network has, or the network was exported without its sigmoid"
        )
    return found
