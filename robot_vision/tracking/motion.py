"""Motion that all boxes share: what a moving or shaking camera does to the image, seen from the boxes alone."""

from __future__ import annotations

import numpy as np

from robot_vision.tracking.association import Pairs, corners, mutual_best, overlaps
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

_ENOUGH = 0.8
"""Share of the boxes that must correspond at a glance before the camera is believed to rest."""

_CAUTION = 2.5
"""Standard errors that a shift must exceed to count at all."""


def estimate_shift(predicted_cxcywh: Float64Array, measured_cxcywh: Float64Array, pairs: Pairs) -> Float64Array:
    """Displacement of the image that tracks and detections show together.

    A glance at the boxes that overlap anyway settles the usual case, a camera at rest. If they moved, or few overlap,
    the estimate is made with grown boxes that also find what moved further.

    Args:
        predicted_cxcywh: (4, N) float64 boxes of the tracks, predicted to the time of the frame, in pixels.
        measured_cxcywh: (4, M) float64 boxes of trustworthy detections in pixels.
        pairs: Overlaps between the two sets; may name further detections from M on, which are left out.

    Returns:
        (2,) float64 in pixels; 0 where too few boxes correspond or they do not agree.
    """
    count = measured_cxcywh.shape[1]
    fewer = min(len(predicted_cxcywh[0]), count)
    if fewer < _FEWEST_PAIRS:
        return np.zeros(2)
    among = pairs if count == pairs.shape[1] else pairs.select(pairs.columns < count)
    offsets = _offsets(predicted_cxcywh, measured_cxcywh, among)
    if offsets.shape[1] >= _ENOUGH * fewer and not np.count_nonzero(common_shift(offsets)):
        return np.zeros(2)
    grown = overlaps(corners(predicted_cxcywh, _REACH), corners(measured_cxcywh, _REACH))
    offsets = _offsets(predicted_cxcywh, measured_cxcywh, grown)
    return common_shift(offsets) if offsets.shape[1] >= _FEWEST_PAIRS else np.zeros(2)


def _offsets(predicted_cxcywh: Float64Array, measured_cxcywh: Float64Array, pairs: Pairs) -> Float64Array:
    """Way (2, K) from the predicted to the measured centre of the boxes that correspond without doubt."""
    best = mutual_best(pairs, _SMALLEST_OVERLAP)
    measured_xy = measured_cxcywh[:2].take(pairs.columns[best], axis=1)
    measured_xy -= predicted_cxcywh[:2].take(pairs.rows[best], axis=1)
    return measured_xy


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
    # A sorted list is cheaper than an array for the few dozen values that there are.
    return np.array([_shrunk_median(sorted(axis)) for axis in offsets_xy.tolist()])


def _shrunk_median(ordered: list[float]) -> float:
    """Median of rising values, shrunk towards zero by its standard error."""
    count = len(ordered)
    low, high = (count - 1) // 2, count // 2
    median = 0.5 * (ordered[low] + ordered[high])
    deviations = sorted([abs(value - median) for value in ordered])
    error = _MEDIAN_ERROR * _SIGMA_PER_MAD * 0.5 * (deviations[low] + deviations[high])
    doubt = (_CAUTION * error) ** 2 / count
    return median * (1.0 - doubt / median**2) if median**2 > doubt else 0.0
