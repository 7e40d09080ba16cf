"""Which detection belongs to which track: overlapping pairs, their gains, and the assignment of largest total gain.

Everything works on *pairs*, parallel arrays of track index and detection index: only boxes that overlap become pairs.
A full matrix is made only for a few boxes; for many, the assignment problem is solved only within groups of pairs that
really compete.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from robot_vision.geometry import overlapping_spans
from robot_vision.types import Float64Array, Int64Array

_DENSE_PAIRS = 4096
"""Comparisons up to which testing every pair is faster than sweeping."""

_FEW_CELLS = 1024
"""Tracks times detections up to which one dense problem is faster than even setting the uncontested pairs aside."""

_DENSE_CELLS = 8192
"""Tracks times detections up to which one dense problem is faster than looking for what competes."""

_BLOCK_ROWS = 48
"""Tracks up to which competing groups are solved together in one dense problem."""


class Pairs(NamedTuple):
    """Pairs of overlapping boxes out of two sets.

    Attributes:
        rows: (P,) int64 index into the first set.
        columns: (P,) int64 index into the second set.
        iou: (P,) float64 intersection over union.
        shape: Sizes of the two sets.
        one_to_one: Whether no box is in two of the pairs; False may also mean that nobody has looked.
    """

    rows: Int64Array
    columns: Int64Array
    iou: Float64Array
    shape: tuple[int, int]
    one_to_one: bool = False

    def select(self, index: npt.NDArray[Any]) -> Pairs:
        """Some of the pairs, by mask (P,) or index (K,)."""
        return Pairs(self.rows[index], self.columns[index], self.iou[index], self.shape, self.one_to_one)


def corners(boxes_cxcywh: Float64Array, reach: float = 0.0) -> Float64Array:
    """Corners of boxes, grown on every side if wanted.

    Args:
        boxes_cxcywh: (4, N) float64 rows cx, cy, w, h.
        reach: Share of its width and height by which a box grows on every side.

    Returns:
        (4, N) float64 rows x1, y1, x2, y2.
    """
    corners_xyxy: Float64Array = _corner_map(reach).dot(boxes_cxcywh)
    return corners_xyxy


def overlaps(a_xyxy: Float64Array, b_xyxy: Float64Array) -> Pairs:
    """Every pair of boxes that overlap, and by how much.

    Args:
        a_xyxy: (4, N) float64 rows x1, y1, x2, y2; every box has a positive area.
        b_xyxy: (4, M) float64, likewise.

    Returns:
        The pairs.
    """
    rows, columns = overlapping_pairs(a_xyxy, b_xyxy)
    a = a_xyxy.take(rows, axis=1)
    b = b_xyxy.take(columns, axis=1)
    overlap_wh = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    intersection = overlap_wh[0] * overlap_wh[1]
    a_wh = a[2:] - a[:2]
    b_wh = b[2:] - b[:2]
    iou = intersection / (a_wh[0] * a_wh[1] + b_wh[0] * b_wh[1] - intersection)
    shape = a_xyxy.shape[1], b_xyxy.shape[1]
    return Pairs(rows, columns, iou, shape, one_to_one(rows, columns, shape))


def overlapping_pairs(a_xyxy: Float64Array, b_xyxy: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Every pair of boxes that overlap.

    Args:
        a_xyxy: (4, N) float64 rows x1, y1, x2, y2.
        b_xyxy: (4, M) float64, likewise.

    Returns:
        Two (P,) int64 arrays: index into `a_xyxy` and into `b_xyxy`, ordered by the first, then not further defined.
    """
    if a_xyxy.shape[1] * b_xyxy.shape[1] <= _DENSE_PAIRS:
        a, b = a_xyxy[:, :, None], b_xyxy[:, None]
        hit = a[:2] < b[2:]
        hit &= a[2:] > b[:2]
        rows, columns = (hit[0] & hit[1]).nonzero()
        return rows, columns
    rows, columns = overlapping_spans(a_xyxy[0], a_xyxy[2], b_xyxy[0], b_xyxy[2])
    near = (a_xyxy[1][rows] < b_xyxy[3][columns]) & (a_xyxy[3][rows] > b_xyxy[1][columns])
    return rows[near], columns[near]


def one_to_one(rows: Int64Array, columns: Int64Array, shape: tuple[int, int]) -> bool:
    """Whether no box is in two pairs.

    Args:
        rows: (P,) int64, each below `shape[0]`.
        columns: (P,) int64, each below `shape[1]`.
        shape: Sizes of the two sets of boxes.
    """
    return not len(rows) or (len(rows) <= min(shape) and _most(rows) == 1 and _most(columns) == 1)


def mutual_best(pairs: Pairs, least_iou: float) -> Int64Array:
    """Pairs in which each box is the other's best.

    Args:
        pairs: Overlapping boxes.
        least_iou: Overlap that a pair must exceed.

    Returns:
        Index (K,) int64 into the pairs; of equal overlaps of one box, each is its best.
    """
    enough = pairs.iou > least_iou
    if not pairs.one_to_one:
        # Of several values for one place the last one stays, which is the best of rising ones.
        rising = pairs.iou.argsort()
        risen = pairs.iou[rising]
        best_of_row, best_of_column = np.empty(pairs.shape[0]), np.empty(pairs.shape[1])
        best_of_row[pairs.rows[rising]] = risen
        best_of_column[pairs.columns[rising]] = risen
        enough &= pairs.iou == best_of_row[pairs.rows]
        enough &= pairs.iou == best_of_column[pairs.columns]
    return enough.nonzero()[0]


def assign(rows: Int64Array, columns: Int64Array, gains: Float64Array, shape: tuple[int, int]) -> Int64Array:
    """The one-to-one choice of pairs with the largest total gain.

    Few boxes are one dense problem. Among many, a pair that gains more than the best other pair of its row and the best
    other pair of its column together belongs to every best choice: instead of whatever two pairs its ends were given,
    it gains more alone. Nearly all pairs are taken or ruled out by that; the rest falls into connected components,
    which are solved independently of one another.

    Args:
        rows: (P,) int64, each below `shape[0]`; a (row, column) occurs at most once.
        columns: (P,) int64, each below `shape[1]`.
        gains: (P,) float64, positive; leaving a track or a detection unmatched gains 0.
        shape: Number of tracks and of detections.

    Returns:
        Index (K,) int64 into the pairs, in no particular order.
    """
    cells = shape[0] * shape[1]
    if cells <= _FEW_CELLS:
        return _chosen(rows, columns, gains, shape)
    if cells <= _DENSE_CELLS:
        return _assign_after_uncontested(rows, columns, gains, shape)
    rival = _best_other(rows, gains, shape[0]) + _best_other(columns, gains, shape[1])
    taken = (gains > rival).nonzero()[0]
    free_rows, free_columns = np.ones(shape[0], bool), np.ones(shape[1], bool)
    free_rows[rows[taken]] = False
    free_columns[columns[taken]] = False
    contested = (free_rows[rows] & free_columns[columns]).nonzero()[0]
    if not len(contested):
        return taken
    solved = _assign_contested(rows[contested], columns[contested], gains[contested], shape)
    return np.concatenate([taken, contested[solved]])


@cache
def _corner_map(reach: float) -> Float64Array:
    """(4, 4) map from cx, cy, w, h to the corners of a box grown on every side by that share of its size."""
    half = 0.5 + reach
    return np.array([[1, 0, -half, 0], [0, 1, 0, -half], [1, 0, half, 0], [0, 1, 0, half]])


def _most(index: Int64Array) -> int:
    """How often the most frequent value occurs; `argmax` takes a tenth of the time of `max`."""
    counts = np.bincount(index)
    return int(counts[counts.argmax()])


def _assign_after_uncontested(
    rows: Int64Array, columns: Int64Array, gains: Float64Array, shape: tuple[int, int]
) -> Int64Array:
    """Assignment in which pairs whose row and column are in no other pair are taken and the others solved densely."""
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    taken, contested = alone.nonzero()[0], (~alone).nonzero()[0]
    if len(contested):
        solved = _assign_dense(rows[contested], columns[contested], gains[contested], shape)
        taken = np.concatenate([taken, contested[solved]])
    return np.asarray(taken)


def _best_other(index: Int64Array, gains: Float64Array, size: int) -> Float64Array:
    """For each pair (P,) the largest gain of another pair with the same index; 0 where there is none."""
    best = np.zeros(size)
    np.maximum.at(best, index, gains)
    is_best = gains == best[index]
    second = np.zeros(size)
    np.maximum.at(second, index, np.where(is_best, 0.0, gains))
    if np.count_nonzero(is_best) > np.count_nonzero(best):
        tied = np.bincount(index[is_best], minlength=size) > 1
        second[tied] = best[tied]
    return np.where(is_best, second[index], best[index])


def _assign_contested(rows: Int64Array, columns: Int64Array, gains: Float64Array, shape: tuple[int, int]) -> Int64Array:
    """Assignment of pairs that compete, component by component."""
    if np.count_nonzero(np.bincount(rows, minlength=shape[0])) <= _BLOCK_ROWS:
        return _assign_dense(rows, columns, gains, shape)
    nodes = sum(shape)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns + shape[0])), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    component = label[rows]
    order = np.argsort(component, kind="stable")
    ordered = component[order]
    chosen = []
    for block in np.split(order, _block_starts(ordered)):
        solved = _assign_dense(rows[block], columns[block], gains[block], shape)
        chosen.append(block[solved])
    return np.concatenate(chosen)


def _block_starts(component: Int64Array) -> Int64Array:
    """Where to cut sorted component labels (P,) so that whole components share blocks of a few dozen pairs."""
    starts = np.flatnonzero(np.diff(component)) + 1
    block = starts // (2 * _BLOCK_ROWS)
    return starts[np.flatnonzero(np.diff(block, prepend=0))]


def _assign_dense(rows: Int64Array, columns: Int64Array, gains: Float64Array, shape: tuple[int, int]) -> Int64Array:
    """Assignment by one dense problem over the rows and columns that occur (Crouse 2016, as SciPy implements it)."""
    row_rank, row_count = _ranks(rows, shape[0])
    column_rank, column_count = _ranks(columns, shape[1])
    return _chosen(row_rank, column_rank, gains, (row_count, column_count))


def _chosen(rows: Int64Array, columns: Int64Array, gains: Float64Array, shape: tuple[int, int]) -> Int64Array:
    """Assignment by one dense problem over all rows and columns."""
    cost = np.zeros(shape)
    cost[rows, columns] = -gains
    best_row, best_column = linear_sum_assignment(cost)
    partner = np.empty(shape[0], np.int64)
    partner.fill(-1)
    partner[best_row] = best_column
    chosen: Int64Array = (partner[rows] == columns).nonzero()[0]
    return chosen


def _ranks(index: Int64Array, size: int) -> tuple[Int64Array, int]:
    """Position of each value among the distinct values, and how many those are."""
    present = np.zeros(size, bool)
    present[index] = True
    rank = np.cumsum(present) - 1
    return rank[index], int(rank[-1]) + 1
