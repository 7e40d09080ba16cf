"""The class of a track is that of the majority by score."""

from __future__ import annotations

import numpy as np

from robot_vision.tracking.classes import SLOTS, add_votes, start_votes


def elect(class_ids: list[list[int]], scores: list[list[float]]) -> np.ndarray:
    """Classes after a history: one row a frame, one column a track."""
    candidates, weights = start_votes(np.array(class_ids[0]), np.array(scores[0]))
    for classes, weight in zip(class_ids[1:], scores[1:], strict=True):
        add_votes(candidates, weights, np.array(classes), np.array(weight))
    return candidates[0]


def test_equals_a_tally_while_the_slots_suffice() -> None:
    rng = np.random.default_rng(0)
    class_ids = rng.integers(10, 10 + SLOTS, (50, 20))
    scores = rng.uniform(0.1, 1, (50, 20))
    tally = np.zeros((10 + SLOTS, 20))
    for frame in range(50):
        np.add.at(tally, (class_ids[frame], np.arange(20)), scores[frame])
        expected = tally.argmax(axis=0)
        np.testing.assert_array_equal(elect(class_ids[: frame + 1].tolist(), scores[: frame + 1].tolist()), expected)


def test_a_flip_of_a_frame_changes_nothing() -> None:
    assert elect([[1], [1], [2], [1]], [[0.6], [0.6], [0.9], [0.3]]) == [1]


def test_many_classes_in_passing_do_not_drive_out_the_real_one() -> None:
    """More classes than slots, each once, against one that keeps coming back."""
    history = [3] + [c for other in range(10, 60) for c in (3, other)]
    assert elect([[c] for c in history], [[0.5]] * len(history)) == [3]
