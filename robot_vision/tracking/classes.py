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
        Candidate classes (SLOTS, K) int64, -1 where a slot is free, and their weights (SLOTS, K) float64.
    """
    candidates = np.full((SLOTS, len(class_ids)), -1)
    weights = np.zeros((SLOTS, len(class_ids)))
    candidates[0] = class_ids
    weights[0] = scores
    return candidates, weights


def add_votes(
    candidates: Int64Array, weights: Float64Array, class_ids: Int64Array, scores: Float64Array
) -> tuple[Int64Array, Float64Array]:
    """Votes after one more detection each, weighted by its score.

    Args:
        candidates: (SLOTS, M) int64.
        weights: (SLOTS, M) float64.
        class_ids: (M,) int64.
        scores: (M,) float64.

    Returns:
        New candidates and weights. A class that no slot holds takes the slot of least weight, as in the frequent-items
        sketch of Metwally et al. ("Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005), but
        without inheriting that weight.
    """
    known = candidates == class_ids
    weights = weights + known * scores
    if np.count_nonzero(known) < len(class_ids):
        fresh = (~known.any(axis=0)).nonzero()[0]
        candidates = candidates.copy()
        weakest = weights[:, fresh].argmin(axis=0)
        candidates[weakest, fresh] = class_ids[fresh]
        weights[weakest, fresh] = scores[fresh]
    return candidates, weights


def elected(candidates: Int64Array, weights: Float64Array) -> Int64Array:
    """The class with the most weight, per track.

    Args:
        candidates: (SLOTS, N) int64.
        weights: (SLOTS, N) float64.

    Returns:
        (N,) int64.
    """
    winners: Int64Array = candidates[weights.argmax(axis=0), np.arange(candidates.shape[1])]
    return winners
