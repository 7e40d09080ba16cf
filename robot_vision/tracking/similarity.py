"""What a similarity of the image, the motion of a camera, does to tracks.

A similarity is a (2, 3) float64 array [[a, -b, x], [b, a, y]] from pixels of one frame to pixels of the next: a point p
goes to [[a, -b], [b, a]] p + (x, y), lengths are multiplied by hypot(a, b), the zoom.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.tracking.kalman import SMALLEST_SIZE
from robot_vision.types import Float64Array

_LARGEST_SKEW = 1e-6
"""Relative deviation from a similarity that counts as rounding."""


def checked_similarity(camera_motion: npt.NDArray[Any]) -> Float64Array:
    """A camera motion, checked.

    Args:
        camera_motion: (2, 3) numbers [[a, -b, x], [b, a, y]].

    Returns:
        The same as float64.

    Raises:
        InvalidValueError: If the shape differs, a number is not finite, or it is no similarity: mirrored, sheared, or
            of zoom 0.
    """
    motion = np.asarray(camera_motion, np.float64)
    if motion.shape != (2, 3) or not np.isfinite(motion).all():
        raise InvalidValueError(f"camera_motion: expected (2, 3) finite numbers, got shape {motion.shape}: {motion}")
    (a, c, _), (b, d, _) = motion.tolist()
    if not max(abs(a - d), abs(b + c)) <= _LARGEST_SKEW * np.hypot(a, b) or np.hypot(a, b) == 0.0:
        raise InvalidValueError(f"camera_motion: expected a similarity [[a, -b, x], [b, a, y]], got {motion.tolist()}")
    return motion


def moved(moments: Float64Array, similarity: Float64Array) -> Float64Array:
    """Moments after a similarity of the image, as a moving camera makes it.

    Variances of the centre's axes turn with the image; the covariance between x and y that this would make is left out,
    as everywhere in this filter. Boxes stay upright: their sizes are zoomed, not turned.

    Args:
        moments: (5, 4, N) float64.
        similarity: (2, 3) float64 [[a, -b, x], [b, a, y]], from pixels before to pixels after.

    Returns:
        New (5, 4, N) float64 moments; widths and heights are at least `SMALLEST_SIZE`.
    """
    turn = similarity[:, :2]
    zoom_squared = turn[0, 0] ** 2 + turn[1, 0] ** 2
    out = np.empty_like(moments)
    out[:2, :2] = turn @ moments[:2, :2]
    out[0, :2] += similarity[:, 2:]
    out[2:, :2] = turn**2 @ moments[2:, :2]
    out[:2, 2:] = math.sqrt(zoom_squared) * moments[:2, 2:]
    out[2:, 2:] = zoom_squared * moments[2:, 2:]
    np.maximum(out[0, 2:], SMALLEST_SIZE, out=out[0, 2:])
    return out


def moved_boxes(boxes_cxcywh: Float64Array, similarity: Float64Array) -> Float64Array:
    """Boxes after a similarity of the image; upright, zoomed, not turned.

    Args:
        boxes_cxcywh: (4, N) float64 in pixels.
        similarity: (2, 3) float64 [[a, -b, x], [b, a, y]].

    Returns:
        New (4, N) float64 boxes.
    """
    centres = similarity[:, :2] @ boxes_cxcywh[:2] + similarity[:, 2:]
    return np.concatenate([centres, math.hypot(*similarity[:, 0]) * boxes_cxcywh[2:]])
