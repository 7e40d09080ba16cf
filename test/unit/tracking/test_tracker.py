"""Identities last, time is what the stamps say, and nothing that comes in can break the tracker."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from tracking_worlds import SECOND, crowd, detections, shuffled

from robot_vision.params import TrackerParams
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Tracks, TrackState

PARAMS = TrackerParams()
STILL = [[100, 100, 150, 180]]


def run(frames: list[Detections], rate_hz: float = 30.0, tracker: Tracker | None = None) -> list[Tracks]:
    tracker = tracker or Tracker(PARAMS)
    return [tracker.update(found, round(number * SECOND / rate_hz)) for number, found in enumerate(frames)]


def assert_same(left: Tracks, right: Tracks) -> None:
    for name in Tracks.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def moving_box(seconds: float, speed: float = 60.0) -> list[float]:
    left = 100 + speed * seconds
    return [left, 200, left + 50, 280]


def test_a_sure_detection_is_out_with_its_first_frame() -> None:
    tracks = Tracker(PARAMS).update(detections(STILL), 5)
    assert tracks.states.tolist() == [TrackState.CONFIRMED]
    np.testing.assert_allclose(tracks.boxes_xyxy, STILL, atol=1e-3)
    assert (tracks.ids, tracks.ages_s, tracks.times_since_seen_s) == ([1], [0], [0])
    assert tracks.scores == pytest.approx([0.9])


def test_a_less_sure_one_must_last() -> None:
    states = [int(tracks.states[0]) for tracks in run([detections(STILL, 0.65)] * 5, rate_hz=10)]
    assert states == [TrackState.TENTATIVE] * 2 + [TrackState.CONFIRMED] * 3  # confirm_time is 150 ms


def test_a_less_sure_one_seen_once_is_gone() -> None:
    assert [len(tracks) for tracks in run([detections(STILL, 0.65), Detections.empty(), detections(STILL, 0.65)])] == [
        1,
        0,
        1,
    ]


def test_once_confirmed_always_confirmed() -> None:
    """Also in a frame with unsure detections, which are matched with what confirmed tracks are left."""
    tracker = Tracker(TrackerParams())
    tracker.update(detections([[100, 100, 150, 180]], [0.9]), 0)
    tracks = tracker.update(detections([[100, 100, 150, 180], [500, 100, 550, 180]], [0.65, 0.3]), SECOND // 30)
    assert tracks.states.tolist() == [TrackState.CONFIRMED]


def test_one_that_is_seen_again_stays_beside_one_that_is_not() -> None:
    """An unproven track ends if it is not seen again, not if another one is not."""
    tracker = Tracker(TrackerParams())
    tracker.update(detections([[100, 100, 150, 180], [300, 100, 350, 180]], [0.9, 0.65]), 0)
    tracks = tracker.update(detections([[300, 100, 350, 180]], [0.65]), SECOND // 30)
    assert tracks.states.tolist() == [TrackState.LOST, TrackState.TENTATIVE]


def test_a_track_that_is_not_seen_takes_nothing_from_the_others_detections() -> None:
    """Class, score and first box are its own after frames in which only its neighbours, of another class, are seen."""
    tracker = Tracker(TrackerParams())
    boxes = [[100, 100, 150, 180], [300, 100, 350, 180], [500, 100, 550, 180]]
    tracker.update(detections(boxes, [0.9, 0.8, 0.75], [7, 8, 9]), 0)
    for frame in range(1, 4):
        tracks = tracker.update(detections(boxes[::2], [0.95, 0.95], [4, 4]), frame * SECOND // 30)
    assert tracks.class_ids.tolist() == [4, 8, 4]
    np.testing.assert_allclose(tracks.scores, [0.95, 0.8, 0.95], rtol=1e-6)
    np.testing.assert_allclose(tracks.times_since_seen_s, [0, 0.1, 0], atol=1e-6)
    np.testing.assert_allclose(tracks.boxes_xyxy[1], boxes[1], atol=1e-3)


def test_unsure_detections_continue_tracks_and_start_none() -> None:
    frames = [detections(STILL, 0.9), detections([*STILL, [500, 100, 550, 180]], 0.2)]
    tracks = run(frames)[-1]
    assert tracks.ids.tolist() == [1]
    assert tracks.times_since_seen_s.tolist() == [0]


def test_an_unsure_detection_continues_by_its_overlap_alone() -> None:
    """Its low score counts against it once, in the second stage, not in the overlap that is asked of it as well."""
    moved = detections([[120, 100, 220, 200]], 0.3)
    tracks = run([detections([[100, 100, 200, 200]], 0.9), moved])[-1]
    assert tracks.times_since_seen_s.tolist() == [0]


@pytest.mark.parametrize("rate_hz", [5, 10, 30, 60])
def test_an_id_survives_one_second_of_occlusion(rate_hz: int) -> None:
    frames = []
    for number in range(4 * rate_hz):
        seconds = number / rate_hz
        hidden = 2.0 < seconds < 3.0
        frames.append(Detections.empty() if hidden else detections([moving_box(seconds)]))
    results = run(frames, rate_hz)
    assert {int(i) for tracks in results for i in tracks.ids} == {1}
    during = results[round(2.5 * rate_hz)]
    assert during.states.tolist() == [TrackState.LOST]
    np.testing.assert_allclose(during.boxes_xyxy[0], moving_box(round(2.5 * rate_hz) / rate_hz), atol=8)


def test_two_that_cross_keep_their_ids() -> None:
    frames = []
    for number in range(90):
        left, right = 100 + 6 * number, 640 - 6 * number
        frames.append(detections([[left, 100, left + 40, 180], [right, 110, right + 44, 196]]))
    last = run(frames)[-1]
    assert last.ids[np.argmax(last.boxes_xyxy[:, 0])] == 1


@pytest.mark.parametrize("rate_hz", [10, 30, 60])
def test_frame_rate_does_not_matter(rate_hz: int) -> None:
    """The same world of turning objects at three rates: every object keeps one id, and speeds are per second."""
    seconds = np.arange(0, 6, 1 / rate_hz)
    ids, velocity = [], np.zeros((1, 2))
    tracker = Tracker(PARAMS)
    for instant in seconds:
        angle = instant * 0.8 + np.arange(6) * np.pi / 3
        centre = np.stack([640 + 300 * np.cos(angle), 360 + 300 * np.sin(angle)], axis=1)
        tracks = tracker.update(detections(np.hstack([centre - 25, centre + 25])), round(instant * SECOND))
        ids.append(tracks.ids.tolist())
        velocity = tracks.velocities_xy
    assert all(seen == [1, 2, 3, 4, 5, 6] for seen in ids)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), 0.8 * 300, rtol=0.1)


def test_empty_frames_age_tracks_until_they_end() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL), 0)
    for tenth in range(1, 30):
        tracks = tracker.update(Detections.empty(), tenth * SECOND // 10)
        if tenth * 0.1 <= PARAMS.lost_time:
            assert tracks.states.tolist() == [TrackState.LOST]
            assert tracks.times_since_seen_s == pytest.approx([tenth * 0.1])
            assert tracks.ages_s == pytest.approx([tenth * 0.1])
        else:
            assert len(tracks) == 0


def test_doubt_grows_while_nothing_is_seen() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL), 0)
    variances = [tracker.update(Detections.empty(), t * SECOND // 10).covariances[0] for t in range(1, 10)]
    assert all((np.diag(later) > np.diag(earlier)).all() for earlier, later in itertools.pairwise(variances))


def test_a_gap_longer_than_the_lost_time_gives_new_ids() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL), 0)
    assert tracker.update(detections(STILL), round((PARAMS.lost_time + 0.1) * SECOND)).ids.tolist() == [2]


def test_an_equal_stamp_is_a_frame_after_no_time() -> None:
    tracker = Tracker(PARAMS)
    first = tracker.update(detections(STILL), 7)
    again = tracker.update(detections(STILL), 7)
    np.testing.assert_array_equal(again.ids, first.ids)
    np.testing.assert_allclose(again.boxes_xyxy, first.boxes_xyxy, atol=1e-4)
    assert np.isfinite(again.velocities_xy).all()
    unseen = tracker.update(Detections.empty(), 7)
    assert unseen.ids.tolist() == [1]
    assert unseen.states.tolist() == [TrackState.LOST]


def test_time_that_goes_back_resets_without_repeating_an_id() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL), 10 * SECOND)
    tracks = tracker.update(detections(STILL), 3 * SECOND)
    assert tracks.ids.tolist() == [2]
    assert tracks.ages_s.tolist() == [0]


def test_reset_forgets_tracks_and_goes_on_counting() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL), 0)
    tracker.reset()
    assert len(tracker.predict(0)) == 0
    assert tracker.update(detections(STILL), 1).ids.tolist() == [2]


def test_malformed_boxes_are_dropped_and_counted() -> None:
    nan, inf = float("nan"), float("inf")
    bad = [[nan, 0, 10, 10], [0, 0, inf, 10], [-inf, 0, 10, 10], [inf, 0, inf, 10], [20, 0, 10, 10], [0, 20, 10, 10]]
    bad += [[5, 5, 5, 10], [5, 5, 10, 5], [-1e30, 0, 1e30, 10]]
    tracker = Tracker(PARAMS)
    tracks = tracker.update(detections([*bad, *STILL, [300, 0, 320, 20]], [0.9] * 10 + [nan]), 0)
    assert tracks.ids.tolist() == [1]
    assert tracker.dropped_boxes == len(bad) + 1
    tracker.update(detections(STILL), 1)
    assert tracker.dropped_boxes == len(bad) + 1


def test_a_class_that_flips_keeps_track_and_class() -> None:
    frames = [detections(STILL, 0.8, 4 if number % 5 == 3 else 2) for number in range(20)]
    results = run(frames)
    assert {int(i) for tracks in results for i in tracks.ids} == {1}
    assert {int(c) for tracks in results for c in tracks.class_ids} == {2}


def test_the_right_class_wins_between_equals() -> None:
    """Two boxes fit a track equally well: the one of its class continues it."""
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL, class_ids=5), 0)
    shifted = [[104, 100, 154, 180], [96, 100, 146, 180]]
    tracks = tracker.update(detections(shifted, class_ids=[1, 5]), SECOND // 30)
    np.testing.assert_allclose(tracks.boxes_xyxy[tracks.ids == 1], [shifted[1]], atol=2)


def test_classes_apart_when_the_penalty_is_full() -> None:
    tracker = Tracker(TrackerParams(class_penalty=1.0))
    tracker.update(detections(STILL, class_ids=0), 0)
    tracks = tracker.update(detections(STILL, class_ids=1), SECOND // 30)
    assert tracks.states[tracks.ids == 1] == TrackState.LOST


def test_a_second_box_on_a_tracked_object_is_no_new_one() -> None:
    found = detections([*STILL, [103, 102, 152, 181]], [0.9, 0.8], [0, 1])
    assert run([detections(STILL), found, found])[-1].ids.tolist() == [1]


def test_a_hidden_track_stays_for_a_moment() -> None:
    """One passes behind another: it stays confirmed for `occlusion_time`, one in the open does not."""
    front, behind, alone = [100, 100, 180, 220], [140, 100, 200, 210], [500, 100, 560, 210]
    frames = [detections([front, behind, alone], [0.9, 0.8, 0.7])] * 20 + [detections([front])] * 10
    results = run(frames)
    assert results[20].states.tolist() == [TrackState.CONFIRMED, TrackState.CONFIRMED, TrackState.LOST]
    assert results[-1].states.tolist() == [TrackState.CONFIRMED, TrackState.LOST, TrackState.LOST]


def test_a_panning_camera_does_not_cost_ids() -> None:
    """Objects at rest, and a camera that turns in jerks of half an object: no box overlaps where it is expected."""
    rng = np.random.default_rng(0)
    corner = np.stack(np.meshgrid(np.arange(6) * 150.0, np.arange(3) * 150.0), axis=-1).reshape(-1, 2)
    frames = []
    for _ in range(40):
        corner = corner + rng.choice([-26.0, 0.0, 26.0], 2)
        frames.append(detections(np.hstack([corner, corner + 40])))
    assert all(tracks.ids.tolist() == list(range(1, 19)) for tracks in run(frames))


def test_predict_looks_ahead_and_changes_nothing() -> None:
    frames = [detections([moving_box(number / 30)]) for number in range(30)]
    left, right = Tracker(PARAMS), Tracker(PARAMS)
    run(frames, tracker=left)
    last = run(frames, tracker=right)[-1]
    now = round(29 * SECOND / 30)
    ahead = left.predict(now + SECOND // 5)
    np.testing.assert_allclose(ahead.boxes_xyxy[0], moving_box(29 / 30 + 0.2), atol=1.5)
    assert ahead.times_since_seen_s == pytest.approx([0.2])
    assert (np.diagonal(ahead.covariances[0]) > np.diagonal(last.covariances[0])).all()
    assert_same(left.predict(now), last)
    assert_same(left.predict(now - SECOND), last)
    following = detections([moving_box(1.0)])
    assert_same(left.update(following, SECOND), right.update(following, SECOND))


def test_predict_before_any_frame_is_empty() -> None:
    assert len(Tracker(PARAMS).predict(123)) == 0


def test_order_of_detections_has_no_influence() -> None:
    rng = np.random.default_rng(1)
    frames = crowd(40, 40, 10, seed=2, classes=3)
    coarse = [Detections(f.boxes_xyxy, np.round(f.scores, 1), f.class_ids) for f in frames]  # many equal scores
    for left, right in zip(run(coarse, 10), run([shuffled(f, rng) for f in coarse], 10), strict=True):
        assert_same(left, right)


def test_same_input_same_output() -> None:
    frames = crowd(60, 30, 15, seed=3, classes=4)
    for left, right in zip(run(frames, 15), run(frames, 15), strict=True):
        assert_same(left, right)


def test_two_trackers_share_nothing() -> None:
    frames = crowd(15, 30, 30, seed=4)
    alone = run(frames)
    first, second = Tracker(PARAMS), Tracker(PARAMS)
    for number, found in enumerate(frames):
        tracks = first.update(found, round(number * SECOND / 30))
        second.update(detections(STILL), number)
        assert_same(tracks, alone[number])
    assert second.predict(0).ids.tolist() == [1]


def test_ids_are_never_given_twice() -> None:
    """Over changes of scene, resets and loops: an id that was gone does not come back."""
    tracker, gone, live = Tracker(PARAMS), set(), set()
    for number, found in enumerate(crowd(30, 120, 10, seed=5)):
        if number in (30, 60):
            tracker.reset()
        stamp = number % 100 * SECOND // 10
        ids = set(tracker.update(found, stamp).ids.tolist())
        assert not ids & gone
        gone |= live - ids
        live = ids


def test_settings_may_change_between_frames() -> None:
    tracker = Tracker(PARAMS)
    tracker.update(detections(STILL, 0.5), 0)
    tracker.params = TrackerParams(high_threshold=0.3, new_track_threshold=0.4, confirm_threshold=0.5)
    assert tracker.update(detections(STILL, 0.5), 1).states.tolist() == [TrackState.CONFIRMED]


def test_what_goes_out_is_not_the_trackers_own_memory() -> None:
    frames = crowd(10, 4, 10, seed=6)
    left, right = Tracker(PARAMS), Tracker(PARAMS)
    for number, found in enumerate(frames):
        tracks = left.update(found, number * SECOND // 10)
        assert_same(tracks, right.update(found, number * SECOND // 10))
        for name in Tracks.__dataclass_fields__:
            getattr(tracks, name)[:] = 0


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_any_number_of_detections(count: int) -> None:
    """Also thousands, and without comparing each with each: two frames in far less than a dense solve takes."""
    grid = np.stack([np.arange(count) % 100 * 60.0, np.arange(count) // 100 * 60.0], axis=1)
    boxes = np.hstack([grid, grid + 40])
    tracker = Tracker(PARAMS)
    tracker.update(detections(boxes), 0)
    started = time.monotonic()
    tracks = tracker.update(detections(boxes + 3), SECOND // 30)
    assert time.monotonic() - started < 2
    assert tracks.ids.tolist() == list(range(1, count + 1))


def test_hostile_numbers_do_no_harm() -> None:
    """Huge and tiny boxes, equal boxes, far-off positions, random stamps: every value out stays finite."""
    rng = np.random.default_rng(7)
    tracker = Tracker(PARAMS)
    stamp = 0
    for _ in range(60):
        count = int(rng.integers(0, 30))
        corner = rng.normal(0, 10 ** rng.uniform(0, 6), (count, 2))
        boxes = np.hstack([corner, corner + 10 ** rng.uniform(-3, 6.5, (count, 2))])
        found = detections(np.repeat(boxes, 2, axis=0), rng.uniform(0, 1, 2 * count), rng.integers(0, 2**40, 2 * count))
        stamp += int(rng.choice([0, 1, SECOND // 30, SECOND, 5 * SECOND, -SECOND], p=[0.1, 0.1, 0.6, 0.1, 0.05, 0.05]))
        tracks = tracker.update(found, stamp)
        assert len(np.unique(tracks.ids)) == len(tracks)
        for name in ("boxes_xyxy", "scores", "velocities_xy", "ages_s", "times_since_seen_s", "covariances"):
            assert np.isfinite(getattr(tracks, name)).all(), name
        assert (tracks.boxes_xyxy[:, 2:] >= tracks.boxes_xyxy[:, :2]).all()
