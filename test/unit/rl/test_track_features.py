"""Tracks as an array of fixed size."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.rl.features import TrackFeatures

FEATURES = TrackFeatures((200, 100), ("box", "ball"), max_tracks=2)


def test_lengths_are_shares_of_the_image_and_class_and_age_are_not() -> None:
    """Along x by the width, along y by the height, velocities likewise."""
    rows, mask = FEATURES.array(np.array([[50.0, 50.0, 20.0, 10.0, -100.0, 25.0, 1.0, 7.0]]))
    np.testing.assert_allclose(rows, [[0.25, 0.5, 0.1, 0.1, -0.5, 0.25, 1, 7], [0] * 8])
    assert (rows.dtype, mask.dtype) == (np.float32, np.int8)
    assert mask.tolist() == [1, 0]


def test_of_too_many_tracks_the_oldest_are_kept() -> None:
    """In the order of age, equals in the order of the message."""
    tracks = np.zeros((5, 8))
    tracks[:, 6] = range(5)
    tracks[:, 7] = [1.0, 3.0, 2.0, 3.0, 0.0]
    rows, mask = FEATURES.array(tracks)
    assert rows[:, 6].tolist() == [1, 3]
    assert mask.tolist() == [1, 1]


def test_no_tracks_are_an_array_of_zeros() -> None:
    rows, mask = FEATURES.array(np.zeros((0, 8)))
    assert rows.shape == (2, 8)
    assert not rows.any() and not mask.any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size_wh": (0, 100)}, r"1 or more, got \(0, 100\) and 2"),
        ({"max_tracks": 0}, r"1 or more, got \(200, 100\) and 0"),
        ({"class_names": ("box", "box")}, "a name is there twice"),
    ],
)
def test_what_makes_no_array_is_refused(change, said) -> None:
    with pytest.raises(InvalidValueError, match=said):
        TrackFeatures(**{"size_wh": (200, 100), "class_names": ("box",), "max_tracks": 2, **change})
