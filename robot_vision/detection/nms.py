"""Greedy non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
        boxes_xyxy: (N, 4) float32 x1 <= x2, y1 <= y2, any unit.
        scores: (N,) float32.
        class_ids: (N,) int64: boxes of different classes do not suppress each other; None to ignore classes.
        iou_threshold: Overlap (intersection over union) above which the weaker box goes.
        max_detections: Stop after this many boxes.

    Returns:
        (K,) indices of the boxes kept, by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    boxes_xyxy = boxes_xyxy[order]
    class_ids = None if class_ids is None else class_ids[order]
    kept = np.zeros(0, np.intp)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        if len(kept):
            block = block[~_overlapping(boxes_xyxy, class_ids, block, kept, iou_threshold).any(axis=1)]
        kept = np.concatenate(
            [kept, block[_survivors(_overlapping(boxes_xyxy, class_ids, block, block, iou_threshold))]]
        )
        if len(kept) >= max_detections:
            break
    return order[kept[:max_detections]]


def _overlapping(
    boxes_xyxy: Float32Array,
    class_ids: Int64Array | None,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    iou_threshold: float,
) -> npt.NDArray[np.bool_]:
    """(R, C) whether two boxes overlap by more than the threshold.

    `iou > threshold` is tested as `intersection > threshold * union`, one coordinate at a time in contiguous memory:
    several times faster than a matrix of IoU values, and boxes without area overlap nothing.
    """
    left, top, right, bottom = np.ascontiguousarray(boxes_xyxy[rows].T)[:, :, None]
    other_left, other_top, other_right, other_bottom = np.ascontiguousarray(boxes_xyxy[columns].T)[:, None, :]
    intersection = np.minimum(right, other_right)
    intersection -= np.maximum(left, other_left)
    np.maximum(intersection, 0, out=intersection)
    height = np.minimum(bottom, other_bottom)
    height -= np.maximum(top, other_top)
    np.maximum(height, 0, out=height)
    intersection *= height
    union = (right - left) * (bottom - top) + (other_right - other_left) * (other_bottom - other_top)
    union -= intersection
    union *= np.float32(iou_threshold)
    over: npt.NDArray[np.bool_] = intersection > union
    if class_ids is not None:
        over &= class_ids[rows][:, None] == class_ids[columns]
    return over


def _survivors(over: npt.NDArray[np.bool_]) -> list[int]:
    """Rows of a block that no better surviving row overlaps; (B, B), rows by falling score.

    A row of booleans is one long integer here: the loop over rows is then a few operations each.
    """
    bits = np.packbits(over, axis=1, bitorder="little")
    survivors, dropped = [], 0
    for i, row in enumerate(bits):
        if not dropped >> i & 1:
            survivors.append(i)
            dropped |= int.from_bytes(row.tobytes(), "little")
    return survivors
