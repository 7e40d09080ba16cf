"""Decoders of detector outputs, one small function a layout: raw output to boxes in network pixels.

Every decoder drops weak candidates by score before it decodes a box, because nearly all of them are weak, and drops
what is not finite. A candidate's class is its best one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import ModelError
from robot_vision.geometry import cxcywh_to_xyxy
from robot_vision.runtime.card import Head
from robot_vision.types import Float32Array, Int64Array

Size = tuple[int, int]
_STRIDES = (8, 16, 32)
_SCORE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes of one image before suppression.

    Attributes:
        boxes_xyxy: (N, 4) float32 in network pixels, unclipped.
        scores: (N,) float32 in [0, 1].
        class_ids: (N,) int64.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array
    class_ids: Int64Array

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: npt.NDArray[Any]) -> Candidates:
        """Rows chosen by a boolean mask (N,) or an integer index (M,)."""
        return Candidates(self.boxes_xyxy[index], self.scores[index], self.class_ids[index])


def decode_yolov8(output: Float32Array, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Anchor-free layout of YOLOv8, v9, v11 and of this project's own detector.

    Args:
        output: (1, 4 + C, N) float32: rows cx, cy, w, h in network pixels, then one probability a class.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the output's columns.

    Raises:
        ModelError: If a score is no probability.
    """
    boxes, scores = output[0, :4], output[0, 4:]
    kept = np.flatnonzero(scores.max(axis=0) >= threshold)
    chosen = scores[:, kept]
    class_ids = chosen.argmax(axis=0)
    return _finite(cxcywh_to_xyxy(boxes[:, kept].T), chosen[class_ids, np.arange(len(kept))], class_ids)


def decode_yolov5(output: Float32Array, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Layout of YOLOv5 and v7, and of YOLOX exports that decode their boxes themselves.

    Args:
        output: (1, N, 5 + C) float32: cx, cy, w, h in network pixels, objectness, one probability a class.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score (objectness times class probability) to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows, scores, class_ids = _scored_rows(output, threshold)[:3]
    return _finite(cxcywh_to_xyxy(rows[:, :4]), scores, class_ids)


def decode_yolox(output: Float32Array, size_wh: Size, threshold: float) -> Candidates:
    """Raw grid of YOLOX (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021).

    Args:
        output: (1, N, 5 + C) float32: offset of the centre within the cell and logarithm of w, h, in units of the
            cell's stride, then objectness and one probability a class; cells row by row, strides 8, 16, 32.
        size_wh: Width and height of the network's input in pixels.
        threshold: Smallest score (objectness times class probability) to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows, scores, class_ids, kept = _scored_rows(output, threshold)
    cells = _grid(size_wh)[kept]
    stride = cells[:, 2:]
    with np.errstate(over="ignore"):
        boxes_cxcywh = np.concatenate([(rows[:, :2] + cells[:, :2]) * stride, np.exp(rows[:, 2:4]) * stride], axis=1)
    return _finite(cxcywh_to_xyxy(boxes_cxcywh), scores, class_ids)


def decode_yolov10(output: Float32Array, size_wh: Size, threshold: float) -> Candidates:  # noqa: ARG001
    """Finished boxes: end-to-end networks such as YOLOv10, and exports with suppression built in.

    Args:
        output: (1, N, 6) float32: x1, y1, x2, y2 in network pixels, score, class id.
        size_wh: Width and height of the network's input; not needed here.
        threshold: Smallest score to keep.

    Returns:
        The candidates in the order of the output's rows.

    Raises:
        ModelError: If a score is no probability.
    """
    rows = output[0]
    rows = rows[rows[:, 4] >= threshold]
    rows = rows[np.isfinite(rows[:, 5])]
    return _finite(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


@dataclass(frozen=True)
class HeadDecoder:
    """What is done with the output of one layout.

    Attributes:
        decode: Output, input size and score threshold to candidates.
        needs_suppression: Whether one object gives several candidates.
    """

    decode: Callable[[Float32Array, Size, float], Candidates]
    needs_suppression: bool = True


HEADS: dict[Head, HeadDecoder] = {
    "yolov5": HeadDecoder(decode_yolov5),
    "yolov8": HeadDecoder(decode_yolov8),
    "yolov10": HeadDecoder(decode_yolov10, needs_suppression=False),
    "yolox": HeadDecoder(decode_yolox),
}


def _scored_rows(
    output: Float32Array, threshold: float
) -> tuple[Float32Array, Float32Array, Int64Array, npt.NDArray[np.intp]]:
    """Rows whose objectness times best class reaches the threshold, with score, class and row number.

    The product of two probabilities is at most the first, so objectness alone rules out nearly every row.
    """
    kept = np.flatnonzero(output[0, :, 4] >= threshold)
    rows = output[0, kept]
    class_ids = rows[:, 5:].argmax(axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + class_ids]
    strong = scores >= threshold
    return rows[strong], scores[strong], class_ids[strong], kept[strong]


@lru_cache(maxsize=8)
def _grid(size_wh: Size) -> Float32Array:
    """(N, 3) float32: column, row and stride of every cell."""
    levels = []
    for stride in _STRIDES:
        columns, rows = np.meshgrid(np.arange(size_wh[0] // stride), np.arange(size_wh[1] // stride))
        levels.append(np.stack([columns.ravel(), rows.ravel(), np.full(columns.size, stride)], axis=1))
    grid = np.concatenate(levels).astype(np.float32)
    grid.flags.writeable = False
    return grid


def _finite(boxes_xyxy: Float32Array, scores: Float32Array, class_ids: Int64Array) -> Candidates:
    found = Candidates(
        np.asarray(boxes_xyxy, np.float32), np.asarray(scores, np.float32), np.asarray(class_ids, np.int64)
    )
    if not (np.isfinite(found.boxes_xyxy).all() and np.isfinite(found.scores).all()):
        found = found.select(np.isfinite(found.boxes_xyxy).all(axis=1) & np.isfinite(found.scores))
    if len(found) and found.scores.max() > 1 + _SCORE_TOLERANCE:
        raise ModelError(
            f"detector output: expected scores within [0, 1], got {found.scores.max():g}; output.head in the model "
            "card names another layout than the network has, or the network was exported without its sigmoid"
        )
    return found
