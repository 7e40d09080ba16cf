"""What objects look like, for a tracker that is given an embedding of each detection: any vectors of unit length.

A track remembers a moving average of its detections' embeddings, weighed by their scores, as in StrongSORT (Du et al.,
"StrongSORT: Make DeepSORT Great Again", 2023) and Deep OC-SORT (Maggiolino et al., "Deep OC-SORT: Multi-Pedestrian
Tracking by Adaptive Re-Identification", 2023), but over seconds, not frames. Likeness is a cosine; how large that is
between strangers differs from encoder to encoder, so it is measured on the tracks themselves, which all are strangers,
and taken out.

An embedding of zeros stands for a look that is not known; it is neither like nor unlike any other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.tracking.association import Pairs, overlapping_pairs
from robot_vision.tracking.detections import Observations
from robot_vision.types import Float32Array, Float64Array, Int64Array

_MEMORY = 0.5
"""Time constant in seconds of a track's look, for detections of score 1."""

_LENGTH_ERROR = 1e-3
"""Deviation from unit length that counts as rounding."""

_LEAST_CONTRAST = 0.1
"""What a cosine can be above that of strangers, below which differences are no longer magnified: they are noise."""

_REACH = 5.0
"""Standard deviations of its prediction within which a track may be known again by its look."""

_LARGEST_GROWTH = 2.0
"""Ratio of widths or heights up to which it may."""

_LEAST_LIKENESS = 0.3
"""Likeness from which it is."""


def checked_embeddings(embeddings: npt.NDArray[Any], count: int, dimensions: int) -> Float32Array:
    """Embeddings of a frame's detections, checked.

    Args:
        embeddings: (N, D) numbers, each row of unit length or zero.
        count: Number of detections.
        dimensions: D of the embeddings before; 0 if there were none.

    Returns:
        The same as float32.

    Raises:
        InvalidValueError: If the shape differs, a number is not finite, or a row is neither of unit length nor zero.
    """
    looks = np.asarray(embeddings, np.float32)
    if looks.ndim != 2 or len(looks) != count or looks.shape[1] == 0:
        raise InvalidValueError(f"embeddings: expected shape ({count}, D), a row a detection; got {looks.shape}")
    if dimensions not in (0, looks.shape[1]):
        raise InvalidValueError(
            f"embeddings: expected {dimensions} values each, as before, got {looks.shape[1]}; reset the tracker to "
            "change the encoder"
        )
    lengths = np.linalg.norm(looks, axis=1)
    wrong = np.flatnonzero(~((np.abs(lengths - 1.0) <= _LENGTH_ERROR) | (lengths == 0.0)))
    if len(wrong):
        raise InvalidValueError(
            f"embeddings[{wrong[0]}]: expected finite numbers of unit length or zeros, got length {lengths[wrong[0]]:g}"
        )
    return looks


def blended(before: Float32Array, now: Float32Array, scores: Float64Array, seconds: Float64Array) -> Float32Array:
    """Looks of tracks after one more detection each.

    Args:
        before: (M, D) float32 looks of the tracks.
        now: (M, D) float32 looks of their detections.
        scores: (M,) float64 scores of the detections in [0, 1].
        seconds: (M,) float64 since the track was seen before.

    Returns:
        (M, D) float32, each of unit length or zero.
    """
    share = (-np.expm1(-seconds / _MEMORY) * scores).astype(np.float32)[:, None]
    looks = (1.0 - share) * before + share * now
    return np.asarray(looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6), np.float32)


def mean_cosine(looks: Float32Array, otherwise: float) -> float:
    """What looks of different objects have in common.

    Args:
        looks: (N, D) float32 looks of tracks.
        otherwise: What to give if fewer than two of them are known.

    Returns:
        Mean cosine between different known looks.
    """
    count = int(np.count_nonzero(_known(looks)))
    if count < 2:
        return otherwise
    total: Float64Array = looks.sum(axis=0, dtype=np.float64)
    return float(total @ total - count) / (count * (count - 1))


def _known(looks: Float32Array) -> npt.NDArray[np.bool_]:
    """Mask (N,) of the rows that are not zero."""
    return np.asarray((looks != 0).any(axis=1))


class Looks(NamedTuple):
    """What looks say about pairs of tracks and detections.

    Attributes:
        pairs: Those that overlap, and those that do not but may belong together all the same.
        likeness: (P,) float64: 1 for equal looks (less where even strangers look nearly equal), about 0 for strangers,
            and 0 where a look is not known.
        known_again: (P,) bool, whether the detection is like the track, and where that may have gone, so that the two
            need not overlap.
    """

    pairs: Pairs
    likeness: Float64Array
    known_again: npt.NDArray[np.bool_]


def compare(
    tracks: Float32Array,
    moments: Float64Array,
    confirmed: npt.NDArray[np.bool_],
    observations: Observations,
    embeddings: Float32Array,
    pairs: Pairs,
    strangers: float,
) -> Looks:
    """Compare the looks of tracks and detections that may belong together.

    Args:
        tracks: (N, D) float32 looks of tracks.
        moments: (5, 4, N) float64 their predicted moments.
        confirmed: (N,) bool, which of them may be known again by looks alone.
        observations: M detections of the frame.
        embeddings: (M, D) float32 their looks.
        pairs: Those that overlap.
        strangers: Cosine of looks of different objects.

    Returns:
        The comparison.
    """
    rows, columns = _in_reach(moments, confirmed, observations.boxes_cxcywh)
    width = pairs.shape[1]
    overlapping, reached = pairs.rows * width + pairs.columns, rows * width + columns
    further = ~np.isin(reached, overlapping)
    near = np.concatenate([np.isin(overlapping, reached), further[further]])
    both = Pairs(
        np.concatenate([pairs.rows, rows[further]]),
        np.concatenate([pairs.columns, columns[further]]),
        np.concatenate([pairs.iou, np.zeros(np.count_nonzero(further))]),
        pairs.shape,
    )
    cosines = np.einsum("pd,pd->p", tracks.take(both.rows, axis=0), embeddings.take(both.columns, axis=0))
    known = _known(tracks).take(both.rows) & _known(embeddings).take(both.columns)
    likeness = np.where(known, (cosines.astype(np.float64) - strangers) / max(1.0 - strangers, _LEAST_CONTRAST), 0.0)
    return Looks(both, likeness, near & (likeness >= _LEAST_LIKENESS))


def _in_reach(
    moments: Float64Array, confirmed: npt.NDArray[np.bool_], boxes_cxcywh: Float64Array
) -> tuple[Int64Array, Int64Array]:
    """Every confirmed track and box of (4, M) that it may have become, though the two need not overlap."""
    tracks = confirmed.nonzero()[0]
    expected = moments[:, :, tracks]
    way = _REACH * np.sqrt(expected[2, :2])
    areas = np.concatenate([expected[0, :2] - way, expected[0, :2] + way])
    rows, columns = overlapping_pairs(areas, np.concatenate([boxes_cxcywh[:2]] * 2))
    growth = boxes_cxcywh[2:, columns] / expected[0, 2:].take(rows, axis=1)
    similar = (np.maximum(growth, 1.0 / growth) <= _LARGEST_GROWTH).all(axis=0)
    return tracks[rows[similar]], columns[similar]
