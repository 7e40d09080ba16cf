"""What boxes have in common is found, what they do on their own is not."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.tracking.association import overlaps
from robot_vision.tracking.motion import common_shift, estimate_shift


def corners(boxes_cxcywh: np.ndarray) -> np.ndarray:
    half = boxes_cxcywh[2:] / 2
    return np.concatenate([boxes_cxcywh[:2] - half, boxes_cxcywh[:2] + half])


def scene(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0, 2000, (2, count)), rng.uniform(40, 80, (2, count))])


def estimated(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    return estimate_shift(predicted, measured, overlaps(corners(predicted), corners(measured)))


@pytest.mark.parametrize("shift", [(3.0, -2.0), (15.0, 9.0), (45.0, -40.0)])
def test_a_moved_camera_is_seen_whole(shift: tuple[float, float]) -> None:
    """Up to shifts that leave hardly a box overlapping with itself."""
    predicted = scene(20, 1)
    measured = predicted + np.array([[*shift, 0, 0]]).T + np.random.default_rng(2).normal(0, 0.5, (4, 20))
    np.testing.assert_allclose(estimated(predicted, measured), shift, atol=0.6)


def test_some_objects_of_their_own_mind_do_not_matter() -> None:
    predicted = scene(21, 3)
    measured = predicted + np.array([[8.0, 0, 0, 0]]).T + np.random.default_rng(4).normal(0, 0.3, (4, 21))
    measured[:2, :6] += 12
    np.testing.assert_allclose(estimated(predicted, measured), (8, 0), atol=1.0)


def test_independent_motion_is_no_camera_motion() -> None:
    """Averaged over many scenes, noise of 5 px comes through with a small part of the median's own error."""
    rng = np.random.default_rng(5)
    offsets = rng.normal(0, 5, (400, 2, 12))
    shifts = np.array([common_shift(sample) for sample in offsets])
    assert (shifts == 0).mean() > 0.95
    assert np.abs(shifts).mean() < 0.1 * np.abs(np.median(offsets, axis=2)).mean()


def test_median_is_the_usual_one() -> None:
    """Offsets that agree exactly leave no doubt, so nothing is shrunk, for odd and even counts."""
    for count in (4, 5):
        np.testing.assert_allclose(common_shift(np.full((2, count), 7.0)), (7, 7))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_few_boxes_say_nothing(count: int) -> None:
    predicted = scene(count, 6)
    np.testing.assert_array_equal(estimated(predicted, predicted + 5), (0, 0))
