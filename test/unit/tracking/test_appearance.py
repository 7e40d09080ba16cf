"""Looks keep ids where places mislead, and without looks nothing is different."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tracking_worlds import SECOND, crowd, detections

from robot_vision.errors import InvalidValueError
from robot_vision.params import TrackerParams
from robot_vision.tracking.appearance import blended, mean_cosine
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Tracks, TrackState

PARAMS = TrackerParams()
RED, BLUE = np.eye(8)[:2]


def assert_same(left: Tracks, right: Tracks) -> None:
    for name in Tracks.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def box(centre_x: float, centre_y: float = 200.0) -> list[float]:
    return [centre_x - 30, centre_y - 40, centre_x + 30, centre_y + 40]


def collide(looks: np.ndarray | None) -> list[Tracks]:
    """Two objects meet, are hidden while they bump into each other, and go back where they came from.

    Args:
        looks: (2, D) of the left and the right one.
    """
    tracker, results = Tracker(PARAMS), []
    for number in range(60):
        distance = 20 + 5 * abs(number - 30)
        found = detections([box(300 - distance), box(300 + distance)])
        hidden = 25 <= number <= 35
        if hidden:
            found = Detections.empty()
        noisy = None if looks is None else (looks[:0] if hidden else looks)
        results.append(tracker.update(found, number * SECOND // 30, None, noisy))
    return results


def ids_by_place(tracks: Tracks) -> list[int]:
    return tracks.ids[np.argsort(tracks.boxes_xyxy[:, 0])].tolist()


def test_two_that_turn_round_while_hidden_are_told_apart_by_looks_alone() -> None:
    """By motion they seem to have passed each other; with looks each keeps its id, also with looks that are alike."""
    similar = unit(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]]))
    before = ids_by_place(collide(None)[20])
    assert ids_by_place(collide(None)[-1]) == before[::-1]
    for looks in (np.stack([RED, BLUE]), similar):
        assert ids_by_place(collide(looks)[-1]) == before


def test_looks_that_say_nothing_leave_the_decision_to_motion() -> None:
    """The same look for both objects, or none known: as without looks."""
    alone = collide(None)
    for looks in (np.zeros((2, 8)), np.stack([RED, RED])):
        for tracks, wanted in zip(collide(looks), alone, strict=True):
            assert_same(tracks, wanted)


@pytest.mark.parametrize("case", ["unknown", "weight 0"])
def test_without_looks_the_tracker_is_the_same_to_the_last_bit(case: str) -> None:
    """Rows of zeros, and any looks at weight 0, change nothing in a crowd with misses, false alarms and crossings."""
    rng = np.random.default_rng(1)
    plain = Tracker(PARAMS)
    seeing = Tracker(TrackerParams(appearance_weight=0.0) if case == "weight 0" else PARAMS)
    for number, found in enumerate(crowd(40, 60, 10, seed=2, classes=3)):
        looks = unit(rng.normal(size=(len(found), 16))) * (case == "weight 0")
        stamp = number * SECOND // 10
        assert_same(seeing.update(found, stamp, None, looks), plain.update(found, stamp))


def turn_up(look: np.ndarray, centre_x: float) -> Tracks:
    """A red and a blue object rest, vanish for a third of a second, and one turns up with a look at a place."""
    tracker = Tracker(PARAMS)
    for number in range(30):
        tracker.update(detections([box(200), box(500)]), number * SECOND // 30, None, np.stack([RED, BLUE]))
    tracker.update(Detections.empty(), SECOND, None, np.zeros((0, 8)))
    return tracker.update(detections([box(centre_x)]), 4 * SECOND // 3, None, look[None])


def test_a_lost_one_is_found_again_beside_its_expected_place_by_its_look() -> None:
    """No overlap with the expected box: known by its look and a plausible way, else a new object."""
    assert turn_up(RED, 265).states.tolist() == [TrackState.CONFIRMED, TrackState.LOST]
    assert turn_up(BLUE, 265).ids.tolist() == [1, 2, 3], "another look"
    assert turn_up(np.zeros(8), 265).ids.tolist() == [1, 2, 3], "no look"
    assert turn_up(RED, 900).ids.tolist() == [1, 2, 3], "too far for the time"


def test_what_is_found_again_must_have_about_its_size() -> None:
    """The same look in a box of thrice the size is another object."""
    tracker = Tracker(PARAMS)
    for number in range(10):
        tracker.update(detections([box(200)]), number * SECOND // 30, None, RED[None])
    tracker.update(Detections.empty(), SECOND // 2, None, np.zeros((0, 8)))
    large = [300.0, 120.0, 480.0, 360.0]
    assert tracker.update(detections([large]), SECOND, None, RED[None]).ids.tolist() == [1, 2]


def test_a_look_is_an_average_over_time_weighed_by_score() -> None:
    """Closed form: two frames a time constant apart, at score 1 and 0.5; unknown looks change nothing."""
    before = np.array([[1.0, 0.0]] * 4, np.float32)
    now = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]], np.float32)
    seconds = np.array([0.5, 0.5, 0.5, 0.0])
    share = 1 - np.exp(-1)
    wanted = np.array([[1 - share, share], [1 - share / 2, share / 2], [1.0, 0.0], [1.0, 0.0]])
    after = blended(before, now, np.array([1.0, 0.5, 1.0, 1.0]), seconds)
    np.testing.assert_allclose(after, unit(wanted), atol=1e-6)
    np.testing.assert_array_equal(blended(np.zeros((1, 2), np.float32), now[:1], np.ones(1), seconds[:1]), now[:1])


def test_one_bad_look_does_not_change_what_a_track_looks_like() -> None:
    """Red but for one frame at a low score, in which something blue covers it: red is still its look."""
    tracker = Tracker(PARAMS)
    for number in range(30):
        covered = number == 29
        look, score = (BLUE, 0.55) if covered else (RED, 0.9)
        tracker.update(detections([box(200)], score), number * SECOND // 30, None, look[None])
    tracker.update(Detections.empty(), SECOND, None, np.zeros((0, 8)))
    assert tracker.update(detections([box(265)]), 4 * SECOND // 3, None, RED[None]).ids.tolist() == [1]


def test_what_strangers_have_in_common_is_the_mean_over_all_pairs() -> None:
    """Against a slow loop, without the looks that are not known; too few say nothing new."""
    looks = unit(np.random.default_rng(3).normal(size=(6, 5)) + 2.0).astype(np.float32)
    looks[2] = 0
    cosines = [float(looks[i] @ looks[j]) for i, j in itertools.permutations([0, 1, 3, 4, 5], 2)]
    assert mean_cosine(looks, 0.0) == pytest.approx(np.mean(cosines), abs=1e-6)
    assert [mean_cosine(few, 0.4) for few in (looks[:0], looks[:1], looks[1:3])] == [0.4] * 3


def test_an_encoder_to_which_all_look_alike_finds_nothing_again() -> None:
    """Cosines of 0.9 are likeness for one encoder and nothing for another: what counts is how much strangers have."""
    offset = np.full(8, 3.0)
    alike = unit(np.stack([RED, BLUE, RED + BLUE]) + offset)
    assert (alike @ alike.T).min() > 0.9
    for stranger in (alike[2], alike[1]):
        tracker = Tracker(PARAMS)
        for number in range(30):
            tracker.update(detections([box(200), box(500)]), number * SECOND // 30, None, alike[:2])
        tracker.update(Detections.empty(), SECOND, None, np.zeros((0, 8)))
        assert tracker.update(detections([box(265)]), 4 * SECOND // 3, None, stranger[None]).ids.tolist() == [1, 2, 3]


def test_a_last_object_does_not_forget_how_strangers_look() -> None:
    """When only one is left, what was learnt from two still tells a stranger from it."""
    one, gone = unit(np.stack([RED, BLUE]) + 3.0)
    tracker = Tracker(PARAMS)
    for number in range(90):
        alone = number >= 30
        found = detections([box(200)] if alone else [box(200), box(500)])
        tracker.update(found, number * SECOND // 30, None, one[None] if alone else np.stack([one, gone]))
    tracker.update(Detections.empty(), 3 * SECOND, None, np.zeros((0, 8)))
    assert one @ gone > 0.9, "an encoder to which all look alike"
    assert tracker.update(detections([box(265)]), 10 * SECOND // 3, None, gone[None]).ids.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("embeddings", "said"),
    [
        (np.eye(8)[:1], r"expected shape \(2, D\)"),
        (np.eye(8)[0], r"expected shape \(2, D\)"),
        (np.zeros((2, 0)), r"expected shape \(2, D\)"),
        (np.eye(7)[:2], "expected 8 values each, as before, got 7"),
        (np.stack([RED, RED * np.nan]), r"embeddings\[1\].*length nan"),
        (np.stack([RED + np.inf, RED]), r"embeddings\[0\]"),
        (np.stack([RED, 2 * BLUE]), r"embeddings\[1\].*length 2"),
    ],
)
def test_wrong_embeddings_are_an_error_that_changes_nothing(embeddings: np.ndarray, said: str) -> None:
    """The error names the row or the shape, and the tracker goes on as if the call had not been made."""
    found, looks = detections([box(200), box(500)]), np.stack([RED, BLUE])
    disturbed, twin = Tracker(PARAMS), Tracker(PARAMS)
    for tracker in (disturbed, twin):
        tracker.update(found, 0, None, looks)
    with np.errstate(invalid="ignore"), pytest.raises(InvalidValueError, match=said):
        disturbed.update(detections([box(210), box(510)]), SECOND // 2, None, embeddings)
    assert_same(disturbed.update(found, SECOND // 30, None, looks), twin.update(found, SECOND // 30, None, looks))


def test_another_encoder_is_welcome_after_a_reset() -> None:
    """Looks may change their length with a new episode, and may be missing in some frames of one."""
    tracker = Tracker(PARAMS)
    tracker.update(detections([box(200)]), 0)
    tracker.update(detections([box(200), box(500)]), SECOND // 30, None, np.stack([RED, BLUE]))
    tracker.update(detections([box(200), box(500), box(800)]), SECOND // 15)
    assert tracker.update(detections([box(200)]), SECOND // 10, None, RED[None]).ids.tolist() == [1, 2, 3]
    tracker.reset()
    assert tracker.update(detections([box(200)]), SECOND, None, np.eye(3)[:1]).ids.tolist() == [4]


def test_order_of_detections_has_no_influence() -> None:
    """Looks go with their detections, wherever these stand in the input."""
    rng = np.random.default_rng(5)
    left, right = Tracker(PARAMS), Tracker(PARAMS)
    for number, found in enumerate(crowd(30, 40, 10, seed=6, classes=2)):
        looks = unit(rng.normal(size=(len(found), 4))).astype(np.float32)
        order = rng.permutation(len(found))
        stamp = number * SECOND // 10
        assert_same(
            left.update(found, stamp, None, looks), right.update(found.select(order), stamp, None, looks[order])
        )


def test_hostile_looks_do_no_harm() -> None:
    """Opposite, equal and unknown looks in random frames: ids stay unique and every value finite."""
    rng = np.random.default_rng(7)
    tracker = Tracker(TrackerParams(appearance_weight=5.0))
    for number, found in enumerate(crowd(30, 60, 10, seed=8)):
        signs = rng.choice([-1.0, 0.0, 1.0], (len(found), 1))
        tracks = tracker.update(found, number * SECOND // 10, None, signs * RED)
        assert len(np.unique(tracks.ids)) == len(tracks)
        for name in ("boxes_xyxy", "velocities_xy", "covariances"):
            assert np.isfinite(getattr(tracks, name)).all(), name
