"""One frame's decision: which track each detection continues, and which detections are new objects.

Two-stage association: detections with a high score are matched first, those with a low score may then continue tracks
that are left over (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", 2022).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.params import TrackerParams
from robot_vision.tracking.appearance import Looks
from robot_vision.tracking.association import Pairs, assign, one_to_one
from robot_vision.tracking.detections import Observations
from robot_vision.tracking.table import TrackTable
from robot_vision.types import Float64Array, Int64Array

_SCORE_WEIGHT: Float64Array = np.array(0.5)
"""Share of the overlap of a sure detection that is scaled by its score: the better of two candidates wins."""

_BASE_WEIGHT: Float64Array = np.array(1.0 - _SCORE_WEIGHT)
"""The share that is not."""

_DIRECTION_WEIGHT: Float64Array = np.array(0.025)
"""Gain of lying exactly ahead of the track's last observed box, for a detection and a track of score 1."""

_SOFTENING: Float64Array = np.array(1e-6)
"""Added to a product of a way and a speed, in square pixels per second: things at rest have no direction."""

_DUPLICATE_OVERLAP = 0.5
"""Overlap with a matched track from which an unmatched detection is that object once more, not a new one."""

_LEAST_GAIN = 1e-3
"""Gain of a pair that overlaps enough, however unlike the two look."""


class Match(NamedTuple):
    """Outcome of one frame.

    Attributes:
        tracks: (K,) int64 index of each continued track.
        observations: (K,) int64 index of the observation that continues it.
        newcomers: (L,) int64 index of the observations that start a track.
    """

    tracks: Int64Array
    observations: Int64Array
    newcomers: Int64Array


def match(
    tracks: TrackTable,
    observations: Observations,
    pairs: Pairs,
    params: TrackerParams,
    looks: Looks | None = None,
) -> Match:
    """Match observations with tracks in two stages.

    Args:
        tracks: The tracks, predicted to the time of the frame.
        observations: Detections of the frame, best first.
        pairs: Overlaps of the tracks' predicted boxes with the observations; with looks, their pairs.
        params: Thresholds.
        looks: What the looks of the pairs say; None if not known. They decide among pairs that overlap enough or that
            are known again, and forbid none.

    Returns:
        The match.
    """
    rows, columns = pairs.rows, pairs.columns
    gains = _gains(tracks, observations, pairs, params.class_penalty)
    fitting, worth = gains >= params.match_threshold, gains
    if looks is not None:
        fitting |= looks.known_again
        worth = np.maximum(gains + params.appearance_weight * looks.likeness, _LEAST_GAIN)
    if observations.sure == len(observations.scores):
        matched = _best_pairs(fitting, pairs, worth)
    else:
        is_sure = columns < observations.sure
        matched = _best_pairs(is_sure & fitting, pairs, worth)
        free = tracks.confirmed.copy()
        free[rows[matched]] = False
        second = free[rows] & ~is_sure & (gains >= params.low_match_threshold)
        if np.count_nonzero(second):
            matched = np.concatenate([matched, _best_pairs(second, pairs, worth)])
    continued, continuing = rows[matched], columns[matched]
    return Match(continued, continuing, _newcomers(observations, pairs, continued, continuing, params))


def _best_pairs(fitting: npt.NDArray[np.bool_], pairs: Pairs, gains: Float64Array) -> Int64Array:
    """Index (K,) of the pairs that the assignment chooses among the fitting ones, mask (P,)."""
    index = fitting.nonzero()[0]
    if pairs.one_to_one:
        return index
    rows, columns = pairs.rows[index], pairs.columns[index]
    if one_to_one(rows, columns, pairs.shape):
        return index
    return index[assign(rows, columns, gains[index], pairs.shape)]


def _newcomers(
    observations: Observations, pairs: Pairs, continued: Int64Array, continuing: Int64Array, params: TrackerParams
) -> Int64Array:
    """Index (L,) of the sure observations that neither continue a track nor are one that is continued once more."""
    if len(continuing) == len(observations.scores):
        return np.empty(0, np.int64)
    newcomer = observations.scores >= max(params.new_track_threshold, params.high_threshold)
    newcomer[continuing] = False
    if np.count_nonzero(newcomer):
        is_continued = np.zeros(pairs.shape[0], bool)
        is_continued[continued] = True
        newcomer[pairs.columns[is_continued[pairs.rows] & (pairs.iou >= _DUPLICATE_OVERLAP)]] = False
    return newcomer.nonzero()[0]


def _gains(tracks: TrackTable, observations: Observations, pairs: Pairs, class_penalty: float) -> Float64Array:
    """What each pair (P,) is worth: overlap, weighed by score, direction of motion and class."""
    rows, columns = pairs.rows, pairs.columns
    weight = _SCORE_WEIGHT * observations.scores
    weight += _BASE_WEIGHT
    weight[observations.sure :] = 1.0
    gains = pairs.iou * weight[columns]
    gains += (_DIRECTION_WEIGHT * tracks.scores)[rows] * _ahead(tracks, observations, rows, columns)
    differs = tracks.class_ids[rows] != observations.class_ids[columns]
    if np.count_nonzero(differs):
        gains -= class_penalty * (differs * np.abs(gains))
    return gains


def _ahead(tracks: TrackTable, observations: Observations, rows: Int64Array, columns: Int64Array) -> Float64Array:
    """Cosine (P,) between a track's velocity and the way from its last observed box to a detection.

    Observation-centric momentum (Cao et al., "Observation-Centric SORT", 2023) with the filter's velocity.
    """
    boxes, observed, velocities = observations.boxes_cxcywh, tracks.observed, tracks.velocities_xy
    way_x, way_y = boxes[0][columns] - observed[0][rows], boxes[1][columns] - observed[1][rows]
    speed_x, speed_y = velocities[0][rows], velocities[1][rows]
    lengths = np.hypot(way_x, way_y) * np.hypot(speed_x, speed_y)
    return np.asarray((way_x * speed_x + way_y * speed_y) / (lengths + _SOFTENING))
