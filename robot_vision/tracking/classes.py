"""Class of a track by vote, so that a detector's changes of mind do not change what the track is."""

from __future__ import annotations

import numpy as np

from robot_vision.types import Float64Array, Int64Array

SLOTS = 4
"""Different classes that a track remembers; the weakest makes room for a new one."""


def start_votes(class_ids: Int64Array, scores: Float64Array) -> tuple[Int64Array, Float64Array]:
    """Votes of new tracks.

    Args:
        class_ids: (K,) int64 class of the first detection.
        scores: (K,) float64 its score.

    Returns:
        Candidate classes (SLOTS, K) int64, the elected one first and -1 where a slot is free, and their weights
        (SLOTS, K) float64.
    """
    candidates = np.full((SLOTS, len(class_ids)), -1)
    weights = np.zeros((SLOTS, len(class_ids)))
    candidates[0] = class_ids
    weights[0] = scores
    return candidates, weights


def add_votes(candidates: Int64Array, weights: Float64Array, class_ids: Int64Array, scores: Float64Array) -> None:
    """Count one more detection each, weighted by its score, in place.

    A class that no slot holds takes the slot of least weight, as in the frequent-items sketch of Metwally et al.
    ("Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005), but without inheriting that weight.

    Args:
        candidates: (SLOTS, M) int64, the elected class first.
        weights: (SLOTS, M) float64.
        class_ids: (M,) int64.
        scores: (M,) float64.
    """
    if not np.count_nonzero(candidates[0] != class_ids):
        weights[0] += scores
        return
    known = candidates == class_ids
    weights += known * scores
    fresh = (~known.any(axis=0)).nonzero()[0]
    weakest = 1 + weights[1:, fresh].argmin(axis=0)
    candidates[weakest, fresh] = class_ids[fresh]
    weights[weakest, fresh] = scores[fresh]
    winner = weights.argmax(axis=0)
    changed = winner.nonzero()[0]
    for array in (candidates, weights):
        array[0, changed], array[winner[changed], changed] = array[winner[changed], changed], array[0, changed]
