"""Cameras of the simulated world: how each kind moves, and the pinhole model they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.sim.engine import mujoco
from robot_vision.types import Float64Array

CAMERA_KINDS = ("fixed", "handheld", "uav")
FRAME_ID = "camera_optical_frame"


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole model without distortion.

    `cx` and `cy` follow the convention of `sensor_msgs/CameraInfo`, where whole numbers are pixel centres; box edges
    count from the image's corner, so a projected point is 0.5 larger in box coordinates.

    Attributes:
        width: Pixels.
        height: Pixels.
        fx: Pixels.
        fy: Pixels.
        cx: Pixels.
        cy: Pixels.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_fovy(cls, size_wh: tuple[int, int], fovy_deg: float) -> Intrinsics:
        """Square pixels, optical axis through the middle of the image."""
        width, height = size_wh
        focal = height / 2 / float(np.tan(np.deg2rad(fovy_deg) / 2))
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    def project(self, points: Float64Array) -> Float64Array:
        """Points (N, 3) in the optical frame (metres, z > 0) to (N, 2) box coordinates in pixels."""
        scale = np.array([self.fx, self.fy])
        return np.asarray(points[:, :2] / points[:, 2:] * scale + np.array([self.cx + 0.5, self.cy + 0.5]))


@dataclass(frozen=True, eq=False)
class CameraPose:
    """Pose of the optical frame (x right, y down, z forward) in the world.

    Attributes:
        position: (3,) float64, metres.
        rotation: (3, 3) float64; its columns are the optical axes in world coordinates.
    """

    position: Float64Array
    rotation: Float64Array


class CameraPath(Protocol):
    """A camera's motion over time."""

    def pose(self, time_s: float) -> CameraPose:
        """Pose at a time in seconds since the start."""


def quaternion_xyzw(rotation: Float64Array) -> Float64Array:
    """Unit quaternion x, y, z, w of a rotation matrix (3, 3)."""
    wxyz = np.zeros(4)
    mujoco.mju_mat2Quat(wxyz, rotation.ravel())
    return wxyz[[1, 2, 3, 0]]


def look_at(position: Float64Array, target: Float64Array, roll: float = 0.0) -> CameraPose:
    """Camera at a position that looks at a target, rolled about its axis (radians, clockwise in the image)."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    return CameraPose(position, np.stack([cos * right - sin * down, sin * right + cos * down, forward], axis=1))


class BandNoise:
    """Smooth random signal: a sum of sines with frequencies in a band.

    Args:
        rng: Draws frequencies and phases.
        channels: Length of the signal's value.
        band_hz: Lowest and highest frequency.
        rms: Root mean square of each channel.
    """

    def __init__(
        self, rng: np.random.Generator, channels: int, band_hz: tuple[float, float], rms: float | Float64Array
    ) -> None:
        terms = 5
        self._omega = 2 * np.pi * np.exp(rng.uniform(np.log(band_hz[0]), np.log(band_hz[1]), (terms, channels)))
        self._phase = rng.uniform(0, 2 * np.pi, (terms, channels))
        self._gain = np.asarray(rms) * np.sqrt(2 / terms)

    def __call__(self, time_s: float) -> Float64Array:
        """Value (channels,) at a time in seconds."""
        return np.asarray(self._gain * np.sin(self._omega * time_s + self._phase).sum(axis=0))


class _Fixed:
    def __init__(self, rng: np.random.Generator) -> None:
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(14, 50))
        self.target = np.append(rng.uniform(-0.2, 0.2, 2), rng.uniform(0.0, 0.15))
        self.azimuth, self.elevation = float(azimuth), float(elevation)
        self.distance = float(rng.uniform(1.9, 2.9))

    def pose(self, time_s: float) -> CameraPose:  # noqa: ARG002
        return look_at(self.place(self.azimuth, self.elevation, self.distance), self.target)

    def place(self, azimuth: float, elevation: float, distance: float) -> Float64Array:
        flat = np.cos(elevation)
        return distance * np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)]) + [0, 0, 0.1]


class _Handheld:
    def __init__(self, rng: np.random.Generator) -> None:
        self._base = _Fixed(rng)
        self._stroll = BandNoise(rng, 3, (0.03, 0.15), np.array([0.18, 0.05, 0.12]))
        self._shift = BandNoise(rng, 3, (0.5, 4.0), 0.008)
        self._turn = BandNoise(rng, 3, (0.5, 6.0), np.deg2rad([0.55, 0.55, 0.7]))

    def pose(self, time_s: float) -> CameraPose:
        base = self._base
        azimuth, elevation, distance = np.array([base.azimuth, base.elevation, base.distance]) + self._stroll(time_s)
        position = base.place(float(azimuth), max(float(elevation), 0.15), min(float(distance), 2.95))
        pose = look_at(position + self._shift(time_s), base.target)
        return CameraPose(pose.position, pose.rotation @ _small_rotation(self._turn(time_s)))


class _Uav:
    def __init__(self, rng: np.random.Generator) -> None:
        self._height = float(rng.uniform(1.9, 3.0))
        self._radius = self._height * float(np.tan(np.deg2rad(rng.uniform(12, 44))))
        self._phase = float(rng.uniform(0, 2 * np.pi))
        self._rate = float(rng.uniform(0.12, 0.3) * rng.choice([-1, 1]))
        self._wander = BandNoise(rng, 3, (0.04, 0.2), np.array([0.16, 0.16, 0.1]))
        self._aim = BandNoise(rng, 2, (0.05, 0.25), 0.13)
        self._turn = BandNoise(rng, 3, (0.3, 2.5), np.deg2rad(0.35))

    def _position(self, time_s: float) -> Float64Array:
        angle = self._phase + self._rate * time_s
        circle = np.array([self._radius * np.cos(angle), self._radius * np.sin(angle), self._height])
        return circle + self._wander(time_s)

    def pose(self, time_s: float) -> CameraPose:
        step = 0.05
        here = self._position(time_s)
        ahead, behind = self._position(time_s + step), self._position(time_s - step)
        acceleration = (ahead - 2 * here + behind) / step**2
        pose = look_at(here, np.append(self._aim(time_s), 0.0))
        bank = np.arctan2(acceleration @ pose.rotation[:, 0], 9.81) * 2.0
        pose = look_at(here, np.append(self._aim(time_s), 0.0), float(bank))
        return CameraPose(here, pose.rotation @ _small_rotation(self._turn(time_s)))


def _small_rotation(angles: Float64Array) -> Float64Array:
    cos, sin = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def camera_path(kind: str, rng: np.random.Generator) -> CameraPath:
    """The motion of one camera.

    Args:
        kind: `fixed`, `handheld` (a standing person's drift and shake) or `uav` (circles above, yaws and banks).
        rng: Decides place, distance and motion.

    Returns:
        The path.

    Raises:
        InvalidValueError: If the kind is unknown.
    """
    paths: dict[str, Callable[[np.random.Generator], CameraPath]]
    paths = {"fixed": _Fixed, "handheld": _Handheld, "uav": _Uav}
    if kind not in paths:
        raise InvalidValueError(f"camera {kind!r} is unknown; use one of {', '.join(CAMERA_KINDS)}")
    return paths[kind](rng)
