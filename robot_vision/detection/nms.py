"""Greedy non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_vision.geometry import overlapping_spans
from robot_vision.types import Float32Array, Float64Array, Int64Array

_BLOCK = 256
_HEAD = 1024
"""Of more than twice as many boxes the best of these are looked at first: they usually give all that may be kept."""


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
    best = _strongest(scores, _HEAD)
    found = _greedy(boxes_xyxy, scores, class_ids, best, iou_threshold, max_detections)
    if len(found) < max_detections and len(best) < len(scores):
        found = _greedy(boxes_xyxy, scores, class_ids, np.arange(len(scores)), iou_threshold, max_detections)
    return found


def _strongest(scores: Float32Array, count: int) -> npt.NDArray[np.intp]:
    """Indices, in order, of the `count` best scores and of all that equal the last of them."""
    if len(scores) <= 2 * count:
        return np.arange(len(scores))
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= least)


def _greedy(
    boxes_xyxy: Float32Array,
    scores: Float32Array,
    class_ids: Int64Array | None,
    candidates: npt.NDArray[np.intp],
    iou_threshold: float,
    max_detections: int,
) -> npt.NDArray[np.intp]:
    """`suppress` among the candidates (M,), given as indices."""
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    corners = np.ascontiguousarray(boxes_xyxy[order].T)
    spans = _spans(corners, None if class_ids is None else class_ids[order])
    kept = np.zeros(0, np.intp)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        alive = np.ones(len(block), np.bool_)
        if len(kept):
            alive[_overlapping(corners, spans, block, kept, iou_threshold)[0]] = False
            block = block[alive]
        kept = np.concatenate([kept, block[_survivors(corners, spans, block, iou_threshold)]])
        if len(kept) >= max_detections:
            break
    return order[kept[:max_detections]]


def _spans(corners: Float32Array, class_ids: Int64Array | None) -> Float64Array:
    """Where each box begins and ends along x (2, N), the classes side by side, so that only boxes of one class meet."""
    spans = corners[[0, 2]].astype(np.float64)
    if class_ids is not None and spans.size:
        spans += class_ids * (spans.max() - spans.min() + 1)
    return spans


def _survivors(
    corners: Float32Array, spans: Float64Array, block: npt.NDArray[np.intp], iou_threshold: float
) -> npt.NDArray[np.bool_]:
    """Mask (B,) of the boxes of a block, by falling score, that no better surviving one of the block overlaps."""
    better, worse = _overlapping(corners, spans, block, block, iou_threshold)
    alive = [True] * len(block)
    # Pairs come row by row, so whether the better one survives is settled before its first pair.
    for i, j in zip(better.tolist(), worse.tolist(), strict=True):
        if alive[i]:
            alive[j] = False
    return np.array(alive, np.bool_)


def _overlapping(
    corners: Float32Array,
    spans: Float64Array,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    iou_threshold: float,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pairs of boxes of one class that overlap by more than the threshold, row by row; once if `columns` is `rows`.

    Few boxes touch, and a sweep along x finds those that may; y is tested next. `iou > threshold` is tested as
    `intersection > threshold * union`: boxes without area overlap nothing.

    Args:
        corners: (4, N) float32 rows x1, y1, x2, y2.
        spans: (2, N) float64 from `_spans`.
        rows: (R,) indices of boxes.
        columns: (C,) indices of boxes.
        iou_threshold: Overlap above which a pair counts.

    Returns:
        Two (P,) arrays: positions in `rows` and in `columns`.
    """
    row, column = overlapping_spans(*spans[:, rows], *spans[:, columns])
    a_y, b_y = corners[1::2, rows], corners[1::2, columns]
    near = (a_y[0].take(row) < b_y[1].take(column)) & (a_y[1].take(row) > b_y[0].take(column))
    if rows is columns:
        near &= row < column
    row, column = row[near], column[near]
    a, b = corners.take(rows[row], axis=1), corners.take(columns[column], axis=1)
    overlap_wh = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    intersection = overlap_wh[0] * overlap_wh[1]
    a_wh, b_wh = a[2:] - a[:2], b[2:] - b[:2]
    union = a_wh[0] * a_wh[1] + b_wh[0] * b_wh[1] - intersection
    over = intersection > np.float32(iou_threshold) * union
    return row[over], column[over]
