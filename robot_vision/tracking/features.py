"""Tracks as an array of fixed size, for policies that need one; live and from recordings alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.types import Float32Array, Float64Array, Int64Array

TRACK_FEATURES = ("cx", "cy", "w", "h", "vx", "vy", "class_id", "age_s")
AGE_COLUMN = TRACK_FEATURES.index("age_s")


@dataclass(frozen=True)
class TrackFeatures:
    """How tracks become an array.

    The columns are `TRACK_FEATURES`: centre and size of the box, x and w in units of the image's width, y and h of its
    height; the velocity of the centre in the same units per second; the class's index; the track's age in seconds.

    Attributes:
        size_wh: Width and height of the source image in pixels.
        class_names: Labels in the order of their indices, as `class_id` carries them.
        max_tracks: Number of rows.

    Raises:
        InvalidValueError: If a size is not positive or a label is there twice.
    """

    size_wh: tuple[int, int]
    class_names: tuple[str, ...]
    max_tracks: int = 16

    def __post_init__(self) -> None:
        if min(*self.size_wh, self.max_tracks) < 1:
            raise InvalidValueError(
                f"TrackFeatures: expected size_wh and max_tracks of 1 or more, got {self.size_wh} and {self.max_tracks}"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise InvalidValueError(f"TrackFeatures.class_names: a name is there twice in {self.class_names}")

    def array(self, tracks: Float64Array) -> tuple[Float32Array, npt.NDArray[np.int8]]:
        """The tracks in rows.

        Args:
            tracks: (N, 8) float64, columns as `TRACK_FEATURES` but in pixels and pixels per second; of more than
                `max_tracks` the oldest are kept.

        Returns:
            (max_tracks, 8) float32, the oldest track first, rows of zeros where there is none; and (max_tracks,) int8,
            1 where a row holds a track.
        """
        kept = tracks[self.kept(tracks)]
        rows = np.zeros((self.max_tracks, len(TRACK_FEATURES)), np.float32)
        rows[: len(kept)] = kept
        rows[:, :6] /= np.tile(np.array(self.size_wh, np.float32), 3)
        return rows, (np.arange(self.max_tracks) < len(kept)).astype(np.int8)

    def kept(self, tracks: Float64Array) -> Int64Array:
        """Which tracks get a row, in the order of the rows.

        Args:
            tracks: As for `array`.

        Returns:
            (at most max_tracks,) int64, indices of the oldest tracks, the oldest first.
        """
        return np.argsort(-tracks[:, AGE_COLUMN], kind="stable")[: self.max_tracks].astype(np.int64)


def track_rows(message: Any, class_names: Sequence[str]) -> Float64Array:
    """The tracks of a message as numbers.

    Args:
        message: `robot_vision_msgs/TrackArray`, of rclpy or read from a bag.
        class_names: Labels in the order of their indices.

    Returns:
        (N, 8) float64, columns as `TRACK_FEATURES`, in pixels and pixels per second.

    Raises:
        InvalidValueError: If a track's class is not among those given.
    """
    unknown = sorted({track.class_id for track in message.tracks} - set(class_names))
    if unknown:
        raise InvalidValueError(
            f"tracks of class {', '.join(unknown)}: not among the class_names given, {', '.join(class_names)}"
        )
    rows = [
        (
            track.bbox.center.position.x,
            track.bbox.center.position.y,
            track.bbox.size_x,
            track.bbox.size_y,
            track.velocity_x,
            track.velocity_y,
            class_names.index(track.class_id),
            track.age,
        )
        for track in message.tracks
    ]
    return np.array(rows, np.float64).reshape(-1, len(TRACK_FEATURES))
