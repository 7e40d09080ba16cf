"""Camera paths: where the eye is and where it looks, as smooth functions of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Float64Array

CAMERA_KINDS = ("fixed", "handheld", "uav")


@dataclass(frozen=True, eq=False)
class CameraPose:
    """Pose of the camera in the world.

    Attributes:
        position_xyz: (3,) float64, metres.
        rotation: (3, 3) float64, columns are the optical axes x right, y down, z forward in world coordinates.
    """

    position_xyz: Float64Array
    rotation: Float64Array


CameraPath = Callable[[float], CameraPose]


def make_path(kind: str, rng: np.random.Generator) -> CameraPath:
    """A random camera path of one kind.

    Args:
        kind: `fixed`; `handheld`, which drifts and shakes; or `uav`, which flies curves above and banks into them.
        rng: Decides viewpoint and motion.

    Returns:
        The pose by time in seconds.

    Raises:
        InvalidValueError: If the kind is unknown.
    """
    if kind == "fixed":
        return _ground_path(rng, drift_m=0.0, shake_rad=0.0)
    if kind == "handheld":
        return _ground_path(rng, drift_m=float(rng.uniform(0.06, 0.18)), shake_rad=float(rng.uniform(0.004, 0.014)))
    if kind == "uav":
        return _uav_path(rng)
    raise InvalidValueError(f"camera kind {kind!r} is unknown; use one of {', '.join(CAMERA_KINDS)}")


def _ground_path(rng: np.random.Generator, drift_m: float, shake_rad: float) -> CameraPath:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.28, 0.8)
    distance = rng.uniform(1.9, 2.9)
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    target = np.array([*rng.uniform(-0.2, 0.2, 2), 0.05])
    drift = _Wander(rng, size=3, low_hz=0.08, high_hz=0.35, amplitude=drift_m)
    shake = _Wander(rng, size=3, low_hz=0.8, high_hz=3.5, amplitude=shake_rad)

    def pose(time_s: float) -> CameraPose:
        position = direction * distance + drift(time_s)
        return CameraPose(position, look_at(position, target) @ small_rotation(shake(time_s)))

    return pose


def _uav_path(rng: np.random.Generator) -> CameraPath:
    height, tilt = rng.uniform(1.9, 3.0), rng.uniform(0.15, 0.65)
    radius_xy, turn = rng.uniform(0.25, 0.9, 2), rng.uniform(0.25, 0.6) * rng.choice([-1.0, 1.0])
    phase, heading = rng.uniform(0, 2 * np.pi, 2)
    yaw = _Wander(rng, size=1, low_hz=0.03, high_hz=0.12, amplitude=0.7)
    sway = _Wander(rng, size=3, low_hz=0.1, high_hz=0.5, amplitude=0.08)
    tremble = _Wander(rng, size=3, low_hz=1.5, high_hz=5.0, amplitude=0.004)

    def pose(time_s: float) -> CameraPose:
        angle = phase + turn * time_s
        circle = np.array([radius_xy[0] * np.cos(angle), radius_xy[1] * np.sin(angle)])
        facing = heading + float(yaw(time_s)[0])
        forward = np.array([np.cos(facing), np.sin(facing)])
        behind = -np.tan(tilt) * height * forward
        position = np.array([*(circle + behind), height]) + sway(time_s)
        aim = position + np.array([*(np.sin(tilt) * forward), -np.cos(tilt)])
        # A multirotor leans towards its acceleration: a = turn^2 r, lean = a / g.
        bank = 6.0 * turn**2 * float(circle @ np.array([-forward[1], forward[0]])) / 9.81
        up_hint = np.array([*forward, 0.3])
        return CameraPose(position, look_at(position, aim, up_hint) @ small_rotation(tremble(time_s) + [0, 0, bank]))

    return pose


class _Wander:
    """Band-limited noise: a sum of sines with random phases."""

    def __init__(self, rng: np.random.Generator, size: int, low_hz: float, high_hz: float, amplitude: float) -> None:
        waves = 4
        self._omega = 2 * np.pi * rng.uniform(low_hz, high_hz, (waves, size))
        self._phase = rng.uniform(0, 2 * np.pi, (waves, size))
        self._gain = amplitude * rng.dirichlet(np.ones(waves), size).T

    def __call__(self, time_s: float) -> Float64Array:
        return np.asarray((self._gain * np.sin(self._omega * time_s + self._phase)).sum(axis=0))


def look_at(position_xyz: Float64Array, target_xyz: Float64Array, up_xyz: Float64Array | None = None) -> Float64Array:
    """Rotation of a camera that looks at a point.

    Args:
        position_xyz: (3,) camera position in metres.
        target_xyz: (3,) point in the image centre.
        up_xyz: (3,) direction that should point up in the image; None takes the world's z axis.

    Returns:
        (3, 3) columns are the optical axes x right, y down, z forward.
    """
    forward = target_xyz - position_xyz
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, np.array([0.0, 0.0, 1.0]) if up_xyz is None else up_xyz)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], axis=1)


def small_rotation(angles_rad: Float64Array) -> Float64Array:
    """Rotation about x, then y, then z.

    Args:
        angles_rad: (3,) angles in radians.

    Returns:
        (3, 3) rotation matrix.
    """
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles_rad), np.cos(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)
