"""Made-up scenes have the faults that were asked for, in the measure that was asked for, and a truth to rely on."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from robot_vision.errors import EvaluationError, InvalidValueError
from robot_vision.evaluation.sequences import TrackingFrame, TrackingSequence, evaluate_sequence
from robot_vision.evaluation.synthetic_tracks import SCENES, Scene, crowd, generate, scene_named, synthetic_sequence
from robot_vision.params import TrackerParams

FAULTLESS = Scene(
    objects=10, hidden_from=math.inf, miss_rate=0, false_alarms=0, jitter=0, turns_hz=0, score=0.95, score_spread=0
)
SIGMAS = 4.5
"""Standard errors within which a measured share is taken for the one that was asked for."""


def arrays(frame: TrackingFrame) -> list[np.ndarray]:
    found, truth = frame.detections, frame.truth
    return [
        np.array([frame.stamp_ns]), found.boxes_xyxy, found.scores, found.class_ids,
        truth.boxes_xyxy, truth.ids, truth.class_ids, truth.ignored,
    ]  # fmt: skip


def same(one: list[TrackingFrame], other: list[TrackingFrame]) -> bool:
    return all(
        np.array_equal(a, b)
        for frames in zip(one, other, strict=True)
        for a, b in zip(*map(arrays, frames), strict=True)
    )


def share_is(count: int, total: int, share: float) -> bool:
    """Whether a count fits a binomial distribution."""
    return abs(count - total * share) <= SIGMAS * math.sqrt(total * share * (1 - share))


def centres(frames: list[TrackingFrame]) -> np.ndarray:
    """(frames, objects, 2) centres of a scene whose objects are all in view all the time."""
    boxes = np.stack([frame.truth.boxes_xyxy for frame in frames]).astype(np.float64)
    return (boxes[..., :2] + boxes[..., 2:]) / 2


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_reproducible_and_makes_sense(name) -> None:
    """A seed gives the same frames, another seed others; boxes are in the image, stamps rise, ids are each once."""
    scene = replace(scene_named(name), seconds=min(1.0, 100 / scene_named(name).objects))
    frames = list(generate(scene, 3))
    assert same(frames, list(generate(scene, 3)))
    other = list(generate(scene, 4))
    assert len(other) != len(frames) or not same(frames, other)
    assert np.all(np.diff([frame.stamp_ns for frame in frames]) > 0)
    for frame in frames:
        for boxes in (frame.truth.boxes_xyxy, frame.detections.boxes_xyxy):
            assert np.all(boxes[:, :2] >= 0) and np.all(boxes[:, 2:] <= scene.size_wh)
        assert np.all(frame.truth.boxes_xyxy[:, 2:] > frame.truth.boxes_xyxy[:, :2])
        assert np.all((frame.detections.scores > 0) & (frame.detections.scores < 1))
        assert len(np.unique(frame.truth.ids)) == len(frame.truth)


@pytest.mark.parametrize("count", [10, 50, 300, 1000])
def test_crowds_have_their_number_of_objects(count) -> None:
    frame = next(generate(SCENES[f"crowd_{count}"]))
    assert len(frame.truth) == count
    assert SCENES[f"crowd_{count}"] == crowd(count)


@pytest.mark.parametrize("miss_seconds", [0.0, 0.5])
def test_misses_are_as_many_as_asked_for_and_as_long(miss_seconds) -> None:
    """Independent misses are binomial; runs of misses have the same share and last as long as they should."""
    scene = replace(FAULTLESS, objects=200, seconds=30, miss_rate=0.2, miss_seconds=miss_seconds)
    frames = list(generate(scene))
    found = np.zeros((len(frames), 200), bool)
    for row, frame in zip(found, frames, strict=True):
        corners = {tuple(box) for box in frame.detections.boxes_xyxy.tolist()}
        row[:] = [tuple(box) in corners for box in frame.truth.boxes_xyxy.tolist()]
    missed = ~found
    if not miss_seconds:
        assert share_is(missed.sum(), missed.size, 0.2)
    starts = np.count_nonzero(missed[1:] & ~missed[:-1])
    mean_run = missed[1:].sum() / starts / 30.0
    expected = miss_seconds if miss_seconds else 1 / 0.8 / 30.0
    assert missed.mean() == pytest.approx(0.2, rel=0.1)
    assert mean_run == pytest.approx(expected, rel=0.1)


def test_false_alarms_are_as_many_as_asked_for() -> None:
    """Everything beside the objects, all of which are found, is one; their scores are their own."""
    frames = list(generate(replace(FAULTLESS, false_alarms=3.0, false_score=0.3)))
    alarms = sum(len(frame.detections) - len(frame.truth) for frame in frames)
    assert abs(alarms - 3.0 * len(frames)) <= SIGMAS * math.sqrt(3.0 * len(frames))
    scores = np.concatenate([frame.detections.scores for frame in frames])
    assert np.count_nonzero(np.isclose(scores, 0.3)) == alarms


def test_boxes_jitter_by_a_share_of_their_size() -> None:
    """Detections come in the order of the objects here; boxes at the border are cut and do not tell."""
    scene = replace(FAULTLESS, objects=50, jitter=0.05, size_wh=(100_000, 100_000))
    pairs = [(frame.truth.boxes_xyxy, frame.detections.boxes_xyxy) for frame in generate(scene)]
    truth, found = (np.concatenate(boxes).astype(np.float64) for boxes in zip(*pairs, strict=True))
    size, found_size = truth[:, 2:] - truth[:, :2], found[:, 2:] - found[:, :2]
    offset = (found[:, :2] + found[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2 / size
    assert offset.mean() == pytest.approx(0, abs=SIGMAS * 0.05 / math.sqrt(offset.size))
    assert offset.std() == pytest.approx(0.05, rel=0.02)
    assert np.log(found_size / size).std() == pytest.approx(0.05, rel=0.02)


def test_frames_are_dropped_as_often_as_asked_for() -> None:
    """Stamps stay those of the camera."""
    frames = list(generate(replace(FAULTLESS, seconds=60, dropped_frames=0.4)))
    assert share_is(60 * 30 - len(frames), 60 * 30, 0.4)
    assert {frame.stamp_ns % round(1e9 / 30) for frame in frames} == {0}


def test_rates_change_and_objects_keep_their_speed() -> None:
    """Each rate holds for its part of the time; pixels per second are the same at all of them."""
    scene = replace(FAULTLESS, seconds=9, rates_hz=(30.0, 5.0, 60.0), size_wh=(100_000, 100_000))
    frames = list(generate(scene))
    gaps_ns = np.diff([frame.stamp_ns for frame in frames])
    assert gaps_ns.tolist() == [33_333_333] * 90 + [200_000_000] * 15 + [16_666_667] * 179
    velocity = np.diff(centres(frames), axis=0) / (gaps_ns / 1e9)[:, None, None]
    assert np.median(np.abs(velocity - velocity[0])) < 1.0


def test_speed_and_changes_of_course() -> None:
    """In an image too large to bounce, a velocity changes as often as asked for and is as large."""
    scene = replace(FAULTLESS, objects=300, speed=50.0, turns_hz=0.5, size_wh=(100_000, 100_000), rates_hz=(10.0,))
    velocity = np.diff(centres(list(generate(scene))), axis=0) * 10
    turns = np.count_nonzero(np.abs(np.diff(velocity, axis=0)).max(axis=2) > 1.0)
    expected = (1 - math.exp(-0.5 / 10)) * velocity[1:].shape[0] * 300
    assert turns == pytest.approx(expected, rel=0.1)
    assert velocity.std() == pytest.approx(50.0, rel=0.1)
    still = replace(scene, turns_hz=0.0)
    straight = np.diff(centres(list(generate(still))), axis=0) * 10
    bounces = np.count_nonzero(np.abs(np.diff(straight, axis=0)).max(axis=2) > 1.0)
    assert bounces < 10


def test_hidden_objects_are_not_detected() -> None:
    """By a slow loop, hidden is what a nearer object covers by the share; the rest is found, less surely if covered."""
    scene = replace(FAULTLESS, objects=25, height=150.0, hidden_from=0.5, seconds=5)
    seen_hidden = 0
    for frame in generate(scene):
        boxes = frame.truth.boxes_xyxy.astype(np.float64)
        cover = np.zeros(len(boxes))
        for far, near in itertools.combinations(range(len(boxes) - 1, -1, -1), 2):
            low, high = np.maximum(boxes[far, :2], boxes[near, :2]), np.minimum(boxes[far, 2:], boxes[near, 2:])
            area = np.prod(boxes[far, 2:] - boxes[far, :2])
            cover[far] = max(cover[far], np.prod(np.maximum(high - low, 0)) / area)
        assert np.all(np.diff(boxes[:, 3] - boxes[:, 1]) <= 1e-3), "near ones, the large ones, come first"
        hidden = frame.truth.ignored
        assert np.all(cover[hidden] >= 0.5 - 1e-5) and np.all(cover[~hidden] < 0.5 + 1e-5)
        np.testing.assert_array_equal(frame.detections.boxes_xyxy, frame.truth.boxes_xyxy[~hidden])
        np.testing.assert_allclose(frame.detections.scores, 0.95 * (1 - cover[~hidden] / 2), atol=1e-5)
        seen_hidden += hidden.sum()
    assert seen_hidden > 100


@pytest.mark.parametrize("scene", [replace(FAULTLESS, pan=400.0), replace(FAULTLESS, shake=20.0)], ids=["pan", "shake"])
def test_an_id_is_one_object_without_a_gap(scene) -> None:
    """Also where objects leave the image and come back: then as others. Class and speed belong to the object."""
    frames = list(generate(replace(scene, objects=40, classes=5)))
    seen, classes = defaultdict(list), defaultdict(set)
    for number, frame in enumerate(frames):
        for identity, class_id in zip(frame.truth.ids.tolist(), frame.truth.class_ids.tolist(), strict=True):
            seen[identity].append(number)
            classes[identity].add(class_id)
    assert all(numbers == list(range(numbers[0], numbers[-1] + 1)) for numbers in seen.values())
    assert all(len(names) == 1 for names in classes.values())
    assert sorted(seen) == list(range(1, len(seen) + 1))
    assert len(seen) > 40 or not scene.pan


def test_the_camera_sweeps_and_shakes_as_asked_for() -> None:
    """Everything at rest moves together: at most as fast as the sweep, spread as wide as the shaking."""
    still = replace(FAULTLESS, speed=0.0, size_wh=(1280, 720), objects=300, height=24.0, seconds=30)
    steps = []
    for before, after in itertools.pairwise(generate(replace(still, pan=300.0))):
        common, first, second = np.intersect1d(before.truth.ids, after.truth.ids, return_indices=True)
        inner = (before.truth.boxes_xyxy[first, 0] > 50) & (before.truth.boxes_xyxy[first, 2] < 1230)
        moved = (after.truth.boxes_xyxy[second] - before.truth.boxes_xyxy[first])[inner]
        assert len(common) > 50
        assert np.ptp(moved[:, 0]) < 1e-2 and np.abs(moved[:, 1]).max() < 1e-2
        steps.append(moved[0, 0])
    assert np.abs(steps).max() * 30 == pytest.approx(300.0, rel=0.01)
    large = replace(still, size_wh=(100_000, 100_000), shake=8.0, seconds=200, rates_hz=(10.0,), objects=1)
    assert centres(list(generate(large))).std(axis=0) == pytest.approx(8.0, rel=0.12)


def test_classes_are_confused_as_often_as_asked_for() -> None:
    """Detections come in the order of the objects here; each other class is as likely."""
    frames = list(generate(replace(FAULTLESS, classes=4, confusion=0.15)))
    shift = np.concatenate([frame.detections.class_ids - frame.truth.class_ids for frame in frames]) % 4
    assert share_is(np.count_nonzero(shift), len(shift), 0.15)
    assert all(share_is(np.count_nonzero(shift == other), len(shift), 0.05) for other in (1, 2, 3))


def test_scores_are_spread_as_asked_for() -> None:
    scores = np.concatenate([f.detections.scores for f in generate(replace(FAULTLESS, score=0.5, score_spread=0.1))])
    assert scores.mean() == pytest.approx(0.5, abs=0.01)
    assert scores.std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("objects", [10, 60])
def test_a_faultless_detector_gives_almost_perfect_tracks(objects) -> None:
    """The whole chain of scene, tracker and metrics agrees on which object is which, where there is room for all."""
    scene = replace(FAULTLESS, objects=objects, size_wh=(200 * objects, 200 * objects), height=60, seconds=10)
    metrics = evaluate_sequence(TrackingSequence("faultless", tuple(generate(scene))), TrackerParams()).metrics
    assert metrics.hota > 0.99
    assert (metrics.misses, metrics.false_positives, metrics.id_switches) == (0, 0, 0)


def test_unknown_scenes_name_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"unknown scene 'moon'; known are plain, crossings, .*crowd_1000"):
        synthetic_sequence("moon")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"miss_rate": 1.0}, "miss_rate: must be below 1"),
        ({"dropped_frames": -0.1}, "dropped_frames: must not be negative"),
        ({"objects": 0}, "objects: must be above 0"),
        ({"rates_hz": ()}, "rates_hz: expected rates above 0"),
        ({"rates_hz": (30.0, 0.0)}, "rates_hz: expected rates above 0"),
        ({"confusion": 0.1}, "needs two classes"),
    ],
)
def test_impossible_scenes_are_refused(changes, message) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Scene(**changes)
