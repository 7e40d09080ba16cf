"""The values that flow through the pipeline: frozen, shape-checked structs of arrays.

One box format (`xyxy`, source pixels, continuous coordinates whose origin is the outer corner of the top-left pixel),
one colour order (RGB), one clock (integer nanoseconds). Empty is an ordinary value of the right shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


_UINT8, _FLOAT32, _INT64 = np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.int64)


def _check_array(name: str, array: Any, shape: tuple[int | None, ...], dtype: np.dtype[Any]) -> None:
    """Check dtype and shape; a `None` in `shape` matches any length.

    Raises:
        InvalidValueError: If `array` is no ndarray, or its dtype or shape differs.
    """
    if isinstance(array, np.ndarray) and array.dtype == dtype:
        if array.shape == shape:
            return
        if array.ndim == len(shape) and all(a in (None, b) for a, b in zip(shape, array.shape, strict=True)):
            return
    wanted = f"{dtype.name} array of shape ({', '.join('*' if n is None else str(n) for n in shape)})"
    found = f"{array.dtype.name} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
    raise InvalidValueError(f"{name}: expected a {wanted}, got {found}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image.

    Attributes:
        rgb: (H, W, 3) uint8, RGB, marked read-only on construction.
        stamp_ns: Capture time in integer nanoseconds, as stamped by the camera.
        frame_id: Coordinate frame of the camera.

    Raises:
        InvalidValueError: If `rgb` is not (H, W, 3) uint8 or has no pixels.
    """

    rgb: UInt8Array
    stamp_ns: int
    frame_id: str

    def __post_init__(self) -> None:
        _check_array("Frame.rgb", self.rgb, (None, None, 3), _UINT8)
        if self.rgb.size == 0:
            raise InvalidValueError(f"Frame.rgb: an image needs at least one pixel, got shape {self.rgb.shape}")
        self.rgb.flags.writeable = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[0])


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects found in one frame.

    Attributes:
        boxes_xyxy: (N, 4) float32, corners x1, y1, x2, y2 in source pixels.
        scores: (N,) float32 in [0, 1].
        class_ids: (N,) int64, index into the detector's class names.

    Raises:
        InvalidValueError: If a dtype or shape differs or the lengths disagree.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array
    class_ids: Int64Array

    def __post_init__(self) -> None:
        _check_array("Detections.boxes_xyxy", self.boxes_xyxy, (None, 4), _FLOAT32)
        count = len(self.boxes_xyxy)
        _check_array("Detections.scores", self.scores, (count,), _FLOAT32)
        _check_array("Detections.class_ids", self.class_ids, (count,), _INT64)

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @classmethod
    def empty(cls) -> Detections:
        """The value for a frame in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def select(self, index: npt.NDArray[Any]) -> Detections:
        """Rows chosen by a boolean mask (N,) or an integer index (M,)."""
        return Detections(self.boxes_xyxy[index], self.scores[index], self.class_ids[index])


class TrackState(IntEnum):
    """Life of a track; the values are those of `robot_vision_msgs/Track`."""

    TENTATIVE = 0
    CONFIRMED = 1
    LOST = 2


@dataclass(frozen=True, eq=False)
class Tracks:
    """Objects followed over time, as they stand after one frame.

    Attributes:
        ids: (N,) int64, owned by the tracker instance and never reused.
        boxes_xyxy: (N, 4) float32, corners in source pixels.
        scores: (N,) float32 in [0, 1], score of the detection last matched.
        class_ids: (N,) int64.
        states: (N,) int64 values of `TrackState`.
        velocities_xy: (N, 2) float32, velocity of the box centre in pixels per second.
        ages_s: (N,) float32, seconds since the first detection.
        times_since_seen_s: (N,) float32, seconds since a detection was last matched; 0 in the frame of a match.
        covariances: (N, 4, 4) float32 over (cx, cy, w, h) in square pixels.

    Raises:
        InvalidValueError: If a dtype or shape differs or the lengths disagree.
    """

    ids: Int64Array
    boxes_xyxy: Float32Array
    scores: Float32Array
    class_ids: Int64Array
    states: Int64Array
    velocities_xy: Float32Array
    ages_s: Float32Array
    times_since_seen_s: Float32Array
    covariances: Float32Array

    def __post_init__(self) -> None:
        _check_array("Tracks.ids", self.ids, (None,), _INT64)
        count = len(self.ids)
        _check_array("Tracks.boxes_xyxy", self.boxes_xyxy, (count, 4), _FLOAT32)
        _check_array("Tracks.scores", self.scores, (count,), _FLOAT32)
        _check_array("Tracks.class_ids", self.class_ids, (count,), _INT64)
        _check_array("Tracks.states", self.states, (count,), _INT64)
        _check_array("Tracks.velocities_xy", self.velocities_xy, (count, 2), _FLOAT32)
        _check_array("Tracks.ages_s", self.ages_s, (count,), _FLOAT32)
        _check_array("Tracks.times_since_seen_s", self.times_since_seen_s, (count,), _FLOAT32)
        _check_array("Tracks.covariances", self.covariances, (count, 4, 4), _FLOAT32)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> Tracks:
        """The value when nothing is tracked."""
        f32, i64 = np.float32, np.int64
        return cls(
            np.zeros(0, i64), np.zeros((0, 4), f32), np.zeros(0, f32), np.zeros(0, i64), np.zeros(0, i64),
            np.zeros((0, 2), f32), np.zeros(0, f32), np.zeros(0, f32), np.zeros((0, 4, 4), f32),
        )  # fmt: skip

    def select(self, index: npt.NDArray[Any]) -> Tracks:
        """Rows chosen by a boolean mask (N,) or an integer index (M,)."""
        return Tracks(
            self.ids[index], self.boxes_xyxy[index], self.scores[index], self.class_ids[index], self.states[index],
            self.velocities_xy[index], self.ages_s[index], self.times_since_seen_s[index], self.covariances[index],
        )  # fmt: skip

    def confirmed(self) -> Tracks:
        """The tracks that consumers act on: confirmed ones."""
        return self.select(self.states == TrackState.CONFIRMED)


@dataclass(frozen=True, eq=False)
class Latent:
    """Gaussian posterior q(z|x) of one frame.

    Attributes:
        mean: (D,) float32.
        log_variance: (D,) float32, natural logarithm of the variance; empty (0,) for an encoder without one.
        encoder: Name of the encoder's model card.
        encoder_hash: SHA-256 (hex) over weights and preprocessing: latents are comparable only where it is equal.
        novelty: Standardised reconstruction error of the frame; NaN when it was not computed.

    Raises:
        InvalidValueError: If a dtype or shape differs.
    """

    mean: Float32Array
    log_variance: Float32Array
    encoder: str
    encoder_hash: str
    novelty: float

    def __post_init__(self) -> None:
        _check_array("Latent.mean", self.mean, (None,), _FLOAT32)
        _check_array("Latent.log_variance", self.log_variance, (None,), _FLOAT32)
        if len(self.log_variance) not in (0, len(self.mean)):
            raise InvalidValueError(
                f"Latent.log_variance: expected 0 or {len(self.mean)} values to match the mean, "
                f"got {len(self.log_variance)}"
            )
