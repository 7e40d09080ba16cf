"""Kalman filter over the boxes of all tracks at once.

Each of the four box axes (cx, cy, w, h) is a constant-velocity system of its own that is disturbed by continuous white
noise in its acceleration and measured directly (Kalman, "A New Approach to Linear Filtering and Prediction Problems",
1960; the discrete process noise of that model: Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking
and Navigation", 2001, section 6.2.2). The axes do not mix, so every covariance is a symmetric 2x2 block, the innovation
is a scalar, and no matrix is ever inverted.

Tracks live in one array of *moments*, (4, 5, N) float64: for each axis and track the mean position, the mean velocity
(per second), and the covariance block's position variance, position-velocity covariance and velocity variance. These
five are carried forward in time by a linear map, so prediction is one product of small matrices. Noise is proportional
to the box size, so the filter does the same at any image resolution and distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robot_vision.types import Float64Array

SMALLEST_SIZE = 1.0
"""Width and height in pixels below which a predicted box does not shrink."""


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
        self._acceleration_variances = noise.centre_acceleration**2, noise.size_acceleration**2
        self._error_variance = _per_axis(noise.centre_error, noise.size_error)[:, None] ** 2
        self._start_variance = _per_axis(noise.start_speed, noise.start_growth)[:, None] ** 2
        self._score_factor = noise.score_factor
        self._growth_memory = noise.growth_memory

    def start(self, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        """Moments of new tracks: at the measured box, at rest.

        Args:
            boxes_cxcywh: (4, K) float64 cx, cy, w, h in pixels.
            scores: (K,) float64 in [0, 1].

        Returns:
            (4, 5, K) float64 moments.
        """
        moments = np.zeros((4, 5, boxes_cxcywh.shape[1]))
        moments[:, 0] = boxes_cxcywh
        moments[:, 2] = self._measurement_variance(boxes_cxcywh, scores)
        moments[:, 4] = self._start_variance * (boxes_cxcywh[2] * boxes_cxcywh[3])
        return moments

    def predict(self, moments: Float64Array, seconds: float) -> Float64Array:
        """Moments some time later, without a measurement.

        Args:
            moments: (4, 5, N) float64.
            seconds: Time that passes, at least 0.

        Returns:
            New (4, 5, N) float64 moments; widths and heights are at least `SMALLEST_SIZE`.
        """
        # Centre and size axes come in pairs that move alike.
        pairs = moments.reshape(2, 2, 5, -1)
        out: Float64Array = self._transitions(seconds) @ pairs
        out += self._noise(seconds) * (moments[2, 0] * moments[3, 0])
        out = out.reshape(moments.shape)
        sizes = out[2:, 0]
        np.maximum(sizes, SMALLEST_SIZE, out=sizes)
        return out

    def update(self, moments: Float64Array, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        """Moments after one measured box each.

        Args:
            moments: (4, 5, M) float64, predicted to the time of the measurement.
            boxes_cxcywh: (4, M) float64 measured cx, cy, w, h in pixels.
            scores: (M,) float64 in [0, 1]; a low score counts as a less exact box.

        Returns:
            New (4, 5, M) float64 moments.
        """
        innovation_variance = moments[:, 2] + self._measurement_variance(moments[:, 0], scores)
        gains = moments[:, 2:4] / innovation_variance[:, None]
        innovation = boxes_cxcywh - moments[:, 0]
        out: Float64Array = moments.copy()
        out[:, :2] += gains * innovation[:, None]
        out[:, 4] -= gains[:, 1] * moments[:, 3]
        out[:, 2:4] *= 1.0 - gains[:, :1]
        return out

    def _transitions(self, seconds: float) -> Float64Array:
        """(2, 1, 5, 5) maps over some time of the moments of a centre's axes and of a size's axes."""
        lost = -math.expm1(-seconds / self._growth_memory)
        flat = _transition(seconds, 1.0) + _transition(self._growth_memory * lost, 1.0 - lost)
        return np.array(flat).reshape(2, 1, 5, 5)

    def _noise(self, seconds: float) -> Float64Array:
        """(2, 1, 5, 1) what some time adds to the moments of a centre's axes and of a size's axes, per area."""
        powers = 0.0, 0.0, seconds**3 / 3.0, seconds**2 / 2.0, seconds
        flat = [variance * power for variance in self._acceleration_variances for power in powers]
        return np.array(flat).reshape(2, 1, 5, 1)

    def _measurement_variance(self, boxes_cxcywh: Float64Array, scores: Float64Array) -> Float64Array:
        inflation = (1.0 + self._score_factor) - self._score_factor * scores
        inflation *= inflation
        inflation *= boxes_cxcywh[2] * boxes_cxcywh[3]
        return np.asarray(self._error_variance * inflation)


def _transition(step: float, keep: float) -> list[float]:
    """Map of one axis' moments, row by row, for the way per unit of velocity and the share of it that is kept."""
    return [
        1.0, step, 0.0, 0.0, 0.0,
        0.0, keep, 0.0, 0.0, 0.0,
        0.0, 0.0, 1.0, 2.0 * step, step * step,
        0.0, 0.0, 0.0, keep, keep * step,
        0.0, 0.0, 0.0, 0.0, keep * keep,
    ]  # fmt: skip


def _per_axis(centre: float, size: float) -> Float64Array:
    """(4,) values for cx, cy, w, h."""
    return np.array([centre, centre, size, size])
