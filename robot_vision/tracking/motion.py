"""Motion that all boxes share: what a moving or shaking camera does to the image, seen from the boxes alone."""

from __future__ import annotations

import numpy as np

from robot_vision.tracking.association import mutual_best, overlapping_pairs, pair_iou
from robot_vision.types import Float64Array

_REACH = 0.3
"""Fraction of its size by which a box is grown on every side in the search for its displaced self."""

_SMALLEST_OVERLAP = 0.15
"""Overlap of grown boxes from which two mutual best candidates are believed."""

_FEWEST_PAIRS = 4
"""Pairs without which nothing is called common."""

_SIGMA_PER_MAD = 1.4826
"""Standard deviation of a Gaussian relative to its median absolute deviation."""

_MEDIAN_ERROR = 1.2533
"""Standard error of a median relative to a mean's, sqrt(pi / 2), for Gaussian samples."""

_CAUTION = 2.5
"""Standard errors that a shift must exceed to count at all."""


def estimate_shift(predicted_cxcywh: Float64Array, measured_cxcywh: Float64Array) -> Float64Array:
    """Displacement of the image that tracks and detections show together.

    Args:
        predicted_cxcywh: (4, N) float64 boxes of the tracks, predicted to the time of the frame, in pixels.
        measured_cxcywh: (4, M) float64 boxes of trustworthy detections in pixels.

    Returns:
        (2,) float64 in pixels; 0 where too few boxes correspond or they do not agree.
    """
    shape = (predicted_cxcywh.shape[1], measured_cxcywh.shape[1])
    if min(shape) < _FEWEST_PAIRS:
        return np.zeros(2)
    predicted = _grown(predicted_cxcywh)
    measured = _grown(measured_cxcywh)
    rows, columns = overlapping_pairs(predicted, measured)
    iou = pair_iou(predicted, measured, rows, columns)
    pairs = mutual_best(rows, columns, iou, shape)
    pairs = pairs[iou.take(pairs) > _SMALLEST_OVERLAP]
    if len(pairs) < _FEWEST_PAIRS:
        return np.zeros(2)
    measured_xy = measured_cxcywh[:2].take(columns[pairs], axis=1)
    return common_shift(measured_xy - predicted_cxcywh[:2].take(rows[pairs], axis=1))


def common_shift(offsets_xy: Float64Array) -> Float64Array:
    """Displacement that a set of objects has in common.

    The median of the offsets, per axis, shrunk towards zero by how uncertain it is: the positive-part rule of James and
    Stein ("Estimation with Quadratic Loss", 1961) with the median's standard error. Objects that move in their own ways
    give (almost) nothing, a camera movement comes through whole.

    Args:
        offsets_xy: (2, K) float64, measured minus predicted centre in pixels, K at least 1.

    Returns:
        (2,) float64 in pixels.
    """
    shift = _medians(offsets_xy)
    spread = _medians(np.abs(offsets_xy - np.array(shift)[:, None]))
    return np.array([_shrunk(*axis, offsets_xy.shape[1]) for axis in zip(shift, spread, strict=True)])


def _shrunk(median: float, absolute_deviation: float, count: int) -> float:
    """Median shrunk towards zero by its standard error."""
    error = _MEDIAN_ERROR * _SIGMA_PER_MAD * absolute_deviation
    doubt = (_CAUTION * error) ** 2 / count
    return median * (1.0 - doubt / median**2) if median**2 > doubt else 0.0


def _medians(values: Float64Array) -> list[float]:
    """Median of each row; much cheaper than `numpy.median` for a handful of columns."""
    middle = (values.shape[1] - 1) // 2, values.shape[1] // 2
    return [0.5 * (row[middle[0]] + row[middle[1]]) for row in np.sort(values, axis=1).tolist()]


def _grown(boxes_cxcywh: Float64Array) -> Float64Array:
    """Corners (4, N) of boxes that are larger by the reach on every side."""
    half = (0.5 + _REACH) * boxes_cxcywh[2:]
    return np.concatenate([boxes_cxcywh[:2] - half, boxes_cxcywh[:2] + half])
