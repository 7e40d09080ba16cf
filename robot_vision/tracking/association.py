"""Which detection belongs to which track: gated similarity, solved on connected components only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from robot_vision.types import Float64Array, Int64Array

Pairs = tuple[Int64Array, Int64Array]


def assign(similarity: Float64Array, least: float) -> Pairs:
    """Pairs with the largest total similarity, none below a limit (Kuhn 1955, Munkres 1957).

    Rows and columns that compete with nobody are taken at once; the rest is solved component by component, so that the
    cost grows with the crowding and not with the number of objects.

    Args:
        similarity: (T, D) float64.
        least: Smallest similarity of a pair; above 0.

    Returns:
        Row and column numbers of the pairs, by rising row.
    """
    rows, columns = np.nonzero(similarity >= least)
    if rows.size == 0:
        return rows, columns
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    pairs = [(rows[alone], columns[alone]), *_crowded(similarity, rows[~alone], columns[~alone])]
    row, column = (np.concatenate(side) for side in zip(*pairs, strict=True))
    order = np.argsort(row, kind="stable")
    return row[order], column[order]


def _crowded(similarity: Float64Array, rows: Int64Array, columns: Int64Array) -> list[Pairs]:
    if rows.size == 0:
        return []
    row_names, row_index = np.unique(rows, return_inverse=True)
    column_names, column_index = np.unique(columns, return_inverse=True)
    count = len(row_names) + len(column_names)
    links = coo_array((np.ones(rows.size), (row_index, len(row_names) + column_index)), shape=(count, count))
    number, label = connected_components(links, directed=False)
    value = np.zeros((len(row_names), len(column_names)))
    value[row_index, column_index] = similarity[rows, columns]
    pairs = []
    for component in range(number):
        members = np.flatnonzero(label[: len(row_names)] == component)
        rivals = np.flatnonzero(label[len(row_names) :] == component)
        block = value[np.ix_(members, rivals)]
        row, column = linear_sum_assignment(block, maximize=True)
        kept = block[row, column] > 0
        pairs.append((row_names[members[row[kept]]], column_names[rivals[column[kept]]]))
    return pairs


def same_class(track_classes: Int64Array, detection_classes: Int64Array) -> npt.NDArray[np.bool_]:
    """Which pairs have one class.

    Args:
        track_classes: (T,) int64.
        detection_classes: (D,) int64.

    Returns:
        (T, D) bool.
    """
    return np.asarray(track_classes[:, None] == detection_classes[None, :])
