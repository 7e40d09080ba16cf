"""Cameras: valid poses, the pinhole convention, and motion that fits each kind."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import CAMERA_KINDS, Intrinsics, camera_path, look_at, quaternion_xyzw


def poses(kind: str, seed: int, rate_hz: float = 20.0, count: int = 100) -> tuple[np.ndarray, np.ndarray]:
    path = camera_path(kind, np.random.default_rng(seed))
    listed = [path.pose(k / rate_hz) for k in range(count)]
    return np.array([p.position for p in listed]), np.array([p.rotation for p in listed])


@pytest.mark.parametrize("kind", CAMERA_KINDS)
def test_rotations_are_proper_and_look_down_at_the_stage(kind: str) -> None:
    for seed in range(5):
        positions, rotations = poses(kind, seed)
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (100, 3, 3)), atol=1e-9
        )
        np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
        forward = rotations[:, :, 2]
        ground = positions - forward * (positions[:, 2:] / forward[:, 2:])
        assert (positions[:, 2] > 0.2).all()
        assert (np.linalg.norm(ground[:, :2], axis=1) < 1.2).all()


def test_only_the_fixed_camera_stands_still() -> None:
    assert np.ptp(poses("fixed", 0)[0], axis=0).max() == 0
    for kind in ("handheld", "uav"):
        assert np.ptp(poses(kind, 0)[0], axis=0).max() > 0.02


def test_handheld_shake_has_no_power_above_its_band() -> None:
    _, rotations = poses("handheld", 3, rate_hz=100.0, count=1000)
    signal = rotations[:, 2, 2] - np.linspace(rotations[0, 2, 2], rotations[-1, 2, 2], 1000)
    power = np.abs(np.fft.rfft(signal * np.hanning(1000))) ** 2
    frequency = np.fft.rfftfreq(1000, 0.01)
    assert power[frequency > 9].sum() < 1e-4 * power.sum()


def test_the_flying_camera_is_above_and_turns() -> None:
    for seed in range(5):
        positions, rotations = poses("uav", seed, rate_hz=5.0)
        assert (positions[:, 2] > 1.5).all()
        heading = np.unwrap(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]))
        assert np.ptp(heading) > 0.5


def test_look_at_puts_the_target_in_the_image_centre_upright() -> None:
    pose = look_at(np.array([3.0, 1.0, 2.0]), np.array([0.5, -0.5, 0.0]))
    seen = pose.rotation.T @ (np.array([0.5, -0.5, 0.0]) - pose.position)
    np.testing.assert_allclose(seen[:2], 0, atol=1e-12)
    assert seen[2] > 0
    above = pose.rotation.T @ (np.array([0.5, -0.5, 0.4]) - pose.position)
    assert above[1] < 0
    assert above[0] == pytest.approx(0)


def test_a_point_on_the_axis_projects_to_the_middle_of_the_image() -> None:
    eye = Intrinsics.from_fovy((320, 240), 90.0)
    assert eye.fy == pytest.approx(120.0)
    np.testing.assert_allclose(eye.project(np.array([[0.0, 0.0, 2.0], [0.0, 2.0, 2.0]])), [[160, 120], [160, 240]])


def test_quaternion_of_a_known_turn() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(quaternion_xyzw(turn), [0, 0, np.sqrt(0.5), np.sqrt(0.5)], atol=1e-12)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(InvalidValueError, match="handheld"):
        camera_path("crane", np.random.default_rng(0))
