"""Greedy non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_vision.geometry import iou_matrix
from robot_vision.types import Float32Array, Int64Array

_BLOCK = 128


def suppress(
    boxes_xyxy: Float32Array,
    scores: Float32Array,
    class_ids: Int64Array | None,
    iou_threshold: float,
    max_detections: int,
) -> npt.NDArray[np.intp]:
    """Keep the best box of every heap of overlapping ones.

    Boxes are taken by falling score, equal scores in the order given, and a box is dropped when its overlap with a box
    already kept is above the threshold. Candidates are compared in blocks, with the boxes kept so far and among
    themselves, which gives the same result as one by one and never a matrix of all against all.

    Args:
        boxes_xyxy: (N, 4) float32, any unit.
        scores: (N,) float32.
        class_ids: (N,) int64: boxes of different classes do not suppress each other; None to ignore classes.
        iou_threshold: Overlap (intersection over union) above which the weaker box goes.
        max_detections: Stop after this many boxes.

    Returns:
        (K,) indices of the boxes kept, by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_overlapping(boxes_xyxy, class_ids, block, kept, iou_threshold).any(axis=1)]
        kept = np.concatenate([kept, block[_kept_of_block(boxes_xyxy, class_ids, block, iou_threshold)]])
        if len(kept) >= max_detections:
            return kept[:max_detections]
    return kept


def _overlapping(
    boxes_xyxy: Float32Array,
    class_ids: Int64Array | None,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    iou_threshold: float,
) -> npt.NDArray[np.bool_]:
    over: npt.NDArray[np.bool_] = iou_matrix(boxes_xyxy[rows], boxes_xyxy[columns]) > iou_threshold
    if class_ids is not None:
        over &= class_ids[rows][:, None] == class_ids[columns][None, :]
    return over


def _kept_of_block(
    boxes_xyxy: Float32Array, class_ids: Int64Array | None, block: npt.NDArray[np.intp], iou_threshold: float
) -> npt.NDArray[np.bool_]:
    over = _overlapping(boxes_xyxy, class_ids, block, block, iou_threshold)
    alive = np.ones(len(block), np.bool_)
    # Rows that overlap only themselves (or, without area, nothing) suppress nobody.
    for i in np.flatnonzero(over.sum(axis=1) > 1):
        if alive[i]:
            alive[i + 1 :] &= ~over[i, i + 1 :]
    return alive
