"""Kalman filter over the boxes of all tracks at once.

Each of the four box axes (cx, cy, w, h) is a constant-velocity system of its own that is disturbed by continuous white
noise in its acceleration and measured directly (Kalman, "A New Approach to Linear Filtering and Prediction Problems",
1960; the discrete process noise of that model: Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking
and Navigation", 2001, section 6.2.2). The axes do not mix, so every covariance is a symmetric 2x2 block, the innovation
is a scalar, and no matrix is ever inverted.

Tracks live in one array of *moments*, (5, 4, N) float64: the mean position, the mean velocity (per second), and the
covariance block's position variance, position-velocity covariance and velocity variance, each for the four axes of
every track. Together with the box area these are carried forward in time by a linear map, so prediction is one matrix
product. Noise is proportional to the box size, so the filter does the same at any image resolution and distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robot_vision.types import Float64Array

SMALLEST_SIZE: Float64Array = np.array(1.0)
"""Width and height in pixels below which a predicted box does not shrink."""

_PRODUCT_TRACKS = 512
"""Tracks carried forward by one matrix product; a larger one would wake the threads of the linear algebra library."""


@dataclass(frozen=True)
class NoiseModel:
    """How boxes move and how well they are measured; lengths are in units of sqrt(width * height).

    Attributes:
        centre_acceleration: Root spectral density of the centre's acceleration, 1 / s^1.5.
        size_acceleration: The same of width and height.
        centre_error: Standard deviation of a measured centre at score 1.
        size_error: Standard deviation of a measured width or height at score 1.
        score_factor: How much larger those errors are, relatively, at score 0 (confidence-aware measurement noise in
            the spirit of NSA Kalman: Du et al., "GIAOTracker", 2021).
        start_speed: Standard deviation of a new track's centre velocity, 1 / s.
        start_growth: The same of width and height.
        growth_memory: Time constant in seconds with which the velocity of width and height decays: sizes keep
            changing for a moment, not for the length of an occlusion.
    """

    centre_acceleration: float = 1.0
    size_acceleration: float = 0.3
    centre_error: float = 0.05
    size_error: float = 0.05
    score_factor: float = 1.5
    start_speed: float = 1.0
    start_growth: float = 0.1
    growth_memory: float = 0.3


class BoxFilter:
    """The filter's equations for one noise model; holds no track."""

    def __init__(self, noise: NoiseModel) -> None:
        self._error_variance = _per_axis(noise.centre_error, noise.size_error)[:, None] ** 2
        self._start_variance = _per_axis(noise.start_speed, noise.start_growth)[:, None] ** 2
        self._largest_inflation = np.array(1.0 + noise.score_factor)
        self._score_factor = np.array(noise.score_factor)
        self._growth_memory = noise.growth_memory
        self._terms = _transition_terms(noise)

    def start(self, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        """Moments of new tracks: at the measured box, at rest.

        Args:
            boxes_cxcywh: (4, K) float64 cx, cy, w, h in pixels.
            scores: (K,) float64 in [0, 1].

        Returns:
            (5, 4, K) float64 moments.
        """
        moments = np.zeros((5, *boxes_cxcywh.shape))
        moments[0] = boxes_cxcywh
        moments[2] = self._measurement_variance(boxes_cxcywh, scores)
        moments[4] = self._start_variance * (boxes_cxcywh[2] * boxes_cxcywh[3])
        return moments

    def predict(self, moments: Float64Array, seconds: float) -> Float64Array:
        """Moments some time later, without a measurement.

        Args:
            moments: (5, 4, N) float64.
            seconds: Time that passes, at least 0.

        Returns:
            New (5, 4, N) float64 moments; widths and heights are at least `SMALLEST_SIZE`.
        """
        count = moments.shape[2]
        before = np.empty((21, count))
        before[:20] = moments.reshape(20, count)
        np.multiply(before[2], before[3], out=before[20])
        transition = self._transition(seconds)
        after: Float64Array
        if count <= _PRODUCT_TRACKS:
            after = transition.dot(before)
        else:
            blocks = np.array_split(before, range(_PRODUCT_TRACKS, count, _PRODUCT_TRACKS), axis=1)
            after = np.concatenate([transition.dot(block) for block in blocks], axis=1)
        sizes = after[2:4]
        np.maximum(sizes, SMALLEST_SIZE, out=sizes)
        return after.reshape(5, 4, count)

    def update(self, moments: Float64Array, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        """Moments after one measured box each.

        Args:
            moments: (5, 4, M) float64, predicted to the time of the measurement.
            boxes_cxcywh: (4, M) float64 measured cx, cy, w, h in pixels.
            scores: (M,) float64 in [0, 1]; a low score counts as a less exact box.

        Returns:
            New (5, 4, M) float64 moments.
        """
        variance, covariance = moments[2], moments[3]
        error_variance = self._measurement_variance(moments[0], scores)
        innovation_variance = variance + error_variance
        position_gain, velocity_gain = variance / innovation_variance, covariance / innovation_variance
        innovation = boxes_cxcywh - moments[0]
        kept = error_variance / innovation_variance
        out: Float64Array = moments.copy()
        out[0] += position_gain * innovation
        out[1] += velocity_gain * innovation
        out[2] *= kept
        out[3] *= kept
        out[4] -= velocity_gain * covariance
        return out

    def _transition(self, seconds: float) -> Float64Array:
        """(20, 21) map from moments and box area to the moments some time later."""
        lost = -math.expm1(-seconds / self._growth_memory)
        way, keep = self._growth_memory * lost, 1.0 - lost
        powers = 1.0, seconds, seconds**2, seconds**3, way, way**2, keep, keep * way, keep**2
        transition: Float64Array = np.array(powers).dot(self._terms).reshape(20, 21)
        return transition

    def _measurement_variance(self, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        inflation = self._largest_inflation - self._score_factor * scores
        inflation *= inflation
        inflation *= boxes_cxcywh[2] * boxes_cxcywh[3]
        variance: Float64Array = self._error_variance.dot(inflation[None])
        return variance


def _transition_terms(noise: NoiseModel) -> Float64Array:
    """(9, 420) what multiplies the powers of time in each entry of the map over that time.

    The powers are 1, s, s^2 and s^3 of the time, then w, w^2, k, k w, k^2 of the way that a size goes per unit of its
    velocity and of the share of that velocity that is kept.
    """
    one, s, s2, s3, w, w2, k, kw, k2 = np.eye(9)
    terms = np.zeros((5, 4, 21, 9))
    for axis in range(4):
        step, step2, keep, keep_step, keep2 = (s, s2, one, s, one) if axis < 2 else (w, w2, k, kw, k2)
        position, velocity, variance, covariance, velocity_variance = range(axis, 20, 4)
        terms[0, axis, [position, velocity]] = one, step
        terms[1, axis, velocity] = keep
        terms[2, axis, [variance, covariance, velocity_variance]] = one, 2.0 * step, step2
        terms[3, axis, [covariance, velocity_variance]] = keep, keep_step
        terms[4, axis, velocity_variance] = keep2
    accelerations = _per_axis(noise.centre_acceleration, noise.size_acceleration)[:, None] ** 2
    terms[2, :, 20], terms[3, :, 20], terms[4, :, 20] = (accelerations * term for term in (s3 / 3.0, s2 / 2.0, s))
    flat: Float64Array = terms.reshape(420, 9).T.copy()
    return flat


def _per_axis(centre: float, size: float) -> Float64Array:
    """(4,) values for cx, cy, w, h."""
    return np.array([centre, centre, size, size])
