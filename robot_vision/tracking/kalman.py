"""A Kalman filter over many boxes at once (Kalman 1960), with time in seconds.

The state of a box is its centre and size (cx, cy, w, h) and their velocities. The four axes do not interact, so each is a
filter of its own with a 2×2 covariance [[p11, p12], [p12, p22]]: nothing has to be inverted and every step is a handful
of operations on (N, 4) arrays. Process noise is white acceleration over the time step (Bar-Shalom et al. 2001, 6.2.2).
Noise is relative to the size of the box, so that near and far objects behave alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robot_vision.types import Float64Array

ACCELERATION = np.array([1.0, 1.0, 0.3, 0.3])
"""Spectral density of the acceleration, in box sizes per second^1.5, of centre and size."""
MEASUREMENT = np.array([0.05, 0.05, 0.05, 0.05])
"""Standard deviation of a measured box, in box sizes."""
FIRST_VELOCITY = np.array([1.0, 1.0, 0.1, 0.1])
"""Standard deviation of a new track's velocity, in box sizes per second."""
SMALLEST_SIDE_PX = 2.0


@dataclass
class BoxStates:
    """Filter state of N boxes.

    Attributes:
        boxes_cxcywh: (N, 4) float64, pixels.
        velocities: (N, 4) float64, pixels per second.
        p11: (N, 4) float64, variance of the box, square pixels.
        p12: (N, 4) float64, covariance of box and velocity.
        p22: (N, 4) float64, variance of the velocity.
    """

    boxes_cxcywh: Float64Array
    velocities: Float64Array
    p11: Float64Array
    p12: Float64Array
    p22: Float64Array

    @classmethod
    def first_seen(cls, boxes_cxcywh: Float64Array) -> BoxStates:
        """States after one measurement each.

        Args:
            boxes_cxcywh: (N, 4) float64, pixels.

        Returns:
            Resting boxes with uncertain velocity.
        """
        scale, zero = box_scale(boxes_cxcywh), np.zeros_like(boxes_cxcywh)
        return cls(boxes_cxcywh.copy(), zero, (scale * MEASUREMENT) ** 2, zero.copy(), (scale * FIRST_VELOCITY) ** 2)

    def select(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> BoxStates:
        """Rows chosen by a mask (N,) or an index (M,)."""
        return BoxStates(
            self.boxes_cxcywh[index], self.velocities[index], self.p11[index], self.p12[index], self.p22[index]
        )

    def joined(self, other: BoxStates) -> BoxStates:
        """These rows, then those of another."""
        return BoxStates(
            np.concatenate([self.boxes_cxcywh, other.boxes_cxcywh]),
            np.concatenate([self.velocities, other.velocities]),
            np.concatenate([self.p11, other.p11]),
            np.concatenate([self.p12, other.p12]),
            np.concatenate([self.p22, other.p22]),
        )

    def predicted(self, dt_s: float) -> BoxStates:
        """The states some time later.

        Args:
            dt_s: Time step in seconds, at least 0.

        Returns:
            New states; a size never falls below `SMALLEST_SIDE_PX`.
        """
        noise = (box_scale(self.boxes_cxcywh) * ACCELERATION) ** 2
        boxes = self.boxes_cxcywh + dt_s * self.velocities
        boxes[:, 2:] = np.maximum(boxes[:, 2:], SMALLEST_SIDE_PX)
        return BoxStates(
            boxes,
            self.velocities.copy(),
            self.p11 + dt_s * (2 * self.p12 + dt_s * self.p22) + noise * dt_s**3 / 3,
            self.p12 + dt_s * self.p22 + noise * dt_s**2 / 2,
            self.p22 + noise * dt_s,
        )

    def correct(self, rows: npt.NDArray[np.int64], measured_cxcywh: Float64Array) -> None:
        """Take measurements of some boxes into account, in place.

        Args:
            rows: (M,) distinct row numbers.
            measured_cxcywh: (M, 4) float64, pixels.
        """
        noise = (box_scale(self.boxes_cxcywh[rows]) * MEASUREMENT) ** 2
        p11, p12 = self.p11[rows], self.p12[rows]
        gain_box, gain_velocity = p11 / (p11 + noise), p12 / (p11 + noise)
        residual = measured_cxcywh - self.boxes_cxcywh[rows]
        self.boxes_cxcywh[rows] += gain_box * residual
        self.velocities[rows] += gain_velocity * residual
        self.p22[rows] -= gain_velocity * p12
        self.p12[rows] = (1 - gain_box) * p12
        self.p11[rows] = (1 - gain_box) * p11


def box_scale(boxes_cxcywh: Float64Array) -> Float64Array:
    """Size of each box: the square root of its area, at least one pixel.

    Args:
        boxes_cxcywh: (N, 4) float64, pixels.

    Returns:
        (N, 1) float64, pixels.
    """
    sides = np.maximum(boxes_cxcywh[:, 2:], 1.0)
    return np.sqrt(sides[:, :1] * sides[:, 1:])
