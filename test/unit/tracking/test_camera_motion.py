"""The image tells how the camera moved, and tracks that are moved with it keep their places, errors and names."""

from __future__ import annotations

import numpy as np
import pytest
from tracking_worlds import SECOND, detections

from robot_vision.errors import InvalidValueError
from robot_vision.params import TrackerParams
from robot_vision.tracking.camera_motion import CameraMotion
from robot_vision.tracking.similarity import checked_similarity, moved, moved_boxes
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Float64Array, Tracks

SIZE_WH = (640, 480)
NO_BOXES = np.zeros((0, 4), np.float32)
POINTS = np.array([[x, y] for x in (20.0, 320.0, 620.0) for y in (20.0, 240.0, 460.0)])


def similarity(
    shift: tuple[float, float] = (0, 0),
    degrees: float = 0.0,
    zoom: float = 1.0,
    about: tuple[float, float] = (320, 240),
) -> Float64Array:
    """Turn and zoom about a point, then shift."""
    turn = zoom * np.exp(1j * np.radians(degrees))
    offset = complex(*about) * (1 - turn) + complex(*shift)
    return np.array([[turn.real, -turn.imag, offset.real], [turn.imag, turn.real, offset.imag]])


def at(motion: Float64Array, points_xy: np.ndarray) -> np.ndarray:
    return points_xy @ motion[:, :2].T + motion[:, 2]


def view(motion: Float64Array, size_wh: tuple[int, int] = SIZE_WH, seed: int = 1) -> np.ndarray:
    """An endless surface (H, W, 3) after a motion: each pixel looks up where its centre came from.

    The surface is a sum of plane waves of 12 to 200 px, the long ones stronger as in natural images. It has no pixels
    of its own, so nothing is resampled.
    """
    rng = np.random.default_rng(seed)
    lengths, directions, phases = rng.uniform((np.log(12), 0, 0), (np.log(200), 2 * np.pi, 2 * np.pi), (60, 3)).T
    lengths = np.exp(lengths)
    heights = 2.2 * np.sqrt(lengths)[:, None]
    waves = 2 * np.pi / lengths[:, None] * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    turned = waves @ np.linalg.inv(motion[:, :2])
    across = turned[:, :1] * (np.arange(size_wh[0]) + 0.5 - motion[0, 2])
    down = turned[:, 1:] * (np.arange(size_wh[1])[None] + 0.5 - motion[1, 2]) + phases[:, None]
    waving = np.sin(down).T @ (heights * np.cos(across)) + np.cos(down).T @ (heights * np.sin(across))
    grey = np.clip(128 + waving, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


REST = similarity()
MOTIONS = {
    "shift": similarity((7.3, -4.6)),
    "large shift": similarity((70, 45)),
    "rotation": similarity(degrees=4),
    "zoom": similarity(zoom=1.06),
    "all": similarity((-15, 9), degrees=-3, zoom=0.95),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_a_known_motion_of_the_image_is_recovered(name: str) -> None:
    """To half a pixel anywhere in the image; also protects the offset between pixel centres and box coordinates."""
    camera = CameraMotion()
    np.testing.assert_array_equal(camera.estimate(view(REST), NO_BOXES), np.eye(2, 3))
    found = camera.estimate(view(MOTIONS[name]), NO_BOXES)
    np.testing.assert_allclose(at(found, POINTS), at(MOTIONS[name], POINTS), atol=0.5)
    assert camera.unknown == 0


@pytest.mark.parametrize("size_wh", [(1280, 723), (200, 150), (301, 517)])
def test_any_size_of_image_gives_source_pixels(size_wh: tuple[int, int]) -> None:
    """Protects the way back from the reduced image, also where the sides are not reduced by the same factor."""
    motion = similarity((6, -5), degrees=1.5, about=(size_wh[0] / 2, size_wh[1] / 2))
    camera = CameraMotion()
    camera.estimate(view(REST, size_wh), NO_BOXES)
    corners = np.array([[0.0, 0.0], [size_wh[0], 0], [0, size_wh[1]], [*size_wh]])
    found = camera.estimate(view(motion, size_wh), NO_BOXES)
    np.testing.assert_allclose(at(found, corners), at(motion, corners), atol=0.8)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 400), (2000, 1), (16, 12)])
def test_images_too_small_to_tell_anything_are_no_error(size_wh: tuple[int, int]) -> None:
    """Protects the frame from a crash in OpenCV, whatever a camera sends."""
    camera = CameraMotion()
    for motion in (REST, similarity((2, 1)), similarity((4, 2))):
        found = camera.estimate(view(motion, size_wh), np.array([[0, 0, 1, 1]], np.float32))
        np.testing.assert_array_equal(found, np.eye(2, 3))


def test_what_moves_inside_boxes_is_not_the_camera() -> None:
    """Objects over half of the image move together; without their boxes they would be taken for the world."""
    motion, own = similarity((5, 3)), similarity((-12, -6))
    boxes = np.array([[60, 40, 340, 440], [420, 60, 600, 420]], np.float32)
    images = view(REST), view(motion)
    for image, objects, way in zip(images, (REST, own), (np.zeros(2), own[:, 2]), strict=True):
        for left, top, right, bottom in (boxes + np.tile(way, 2)).astype(int):
            image[top:bottom, left:right] = view(objects, seed=2)[top:bottom, left:right]
    masked, unmasked = CameraMotion(), CameraMotion()
    masked.estimate(images[0], boxes)
    unmasked.estimate(images[0], NO_BOXES)
    np.testing.assert_allclose(at(masked.estimate(images[1], boxes), POINTS), at(motion, POINTS), atol=0.5)
    assert np.abs(at(unmasked.estimate(images[1], NO_BOXES), POINTS) - at(motion, POINTS)).max() > 5


def test_an_image_that_tells_nothing_gives_identity() -> None:
    """A blank wall, a cut to another scene, boxes over everything: no motion is made up, and it is counted."""
    blank, whole = np.full((480, 640, 3), 90, np.uint8), np.array([[0, 0, 640, 480]], np.float32)
    noise = np.random.default_rng(3).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    for before, after, boxes in (
        (blank, blank, NO_BOXES),
        (blank, view(REST), NO_BOXES),
        (view(REST), blank, NO_BOXES),
        (view(REST), view(REST, seed=4), NO_BOXES),
        (noise, noise[::-1], NO_BOXES),
        (view(REST), view(similarity((9, 0))), whole),
    ):
        camera = CameraMotion()
        camera.estimate(before, boxes)
        np.testing.assert_array_equal(camera.estimate(after, boxes), np.eye(2, 3))
        assert camera.unknown == 1


def test_corners_in_one_spot_tell_no_rotation() -> None:
    """Protects tracks at the far side of a bare wall from a rotation that was extrapolated from a small picture."""
    camera = CameraMotion()
    for motion in (REST, similarity((2, 1))):
        bare = np.full((480, 640, 3), 90, np.uint8)
        bare[200:270, 30:100] = view(motion)[200:270, 30:100]
        found = camera.estimate(bare, NO_BOXES)
    np.testing.assert_array_equal(found, np.eye(2, 3))


def test_frames_without_a_predecessor_give_identity() -> None:
    """After `reset` and a change of size an old image is never compared with a new one; that is no failure."""
    camera = CameraMotion()
    for image in (view(REST), view(similarity((9, 0)), (320, 240)), view(similarity((18, 0)))):
        np.testing.assert_array_equal(camera.estimate(image, NO_BOXES), np.eye(2, 3))
    camera.reset()
    np.testing.assert_array_equal(camera.estimate(view(REST), NO_BOXES), np.eye(2, 3))
    assert camera.unknown == 0


def test_odd_inputs_and_repeats_give_the_same() -> None:
    """Boxes that are no numbers or lie outside, read-only and mirrored memory; and RANSAC has a fixed seed."""
    odd = np.array([[np.nan, 0, 9, 9], [-50, -50, -10, -10], [700, 10, 900, 40], [0, 0, np.inf, 9]], np.float32)
    images = view(REST), view(MOTIONS["all"])
    found = []
    for boxes in (NO_BOXES, odd):
        camera = CameraMotion()
        for image in images:
            mirrored = image[:, :, ::-1]
            mirrored.flags.writeable = False
            last = camera.estimate(mirrored, boxes)
        found.append(last)
    np.testing.assert_array_equal(*found)


def random_moments(count: int, seed: int) -> Float64Array:
    """Moments (5, 4, N) with positive definite covariances."""
    rng = np.random.default_rng(seed)
    moments = rng.uniform(50, 400, (5, 4, count))
    moments[1] = rng.normal(0, 50, (4, count))
    moments[3] = rng.uniform(-0.9, 0.9, (4, count)) * np.sqrt(moments[2] * moments[4])
    return moments


def test_moved_moments_are_those_of_a_plain_loop() -> None:
    """Means by complex numbers, covariances by the full 4 x 4 matrix of x, y and their velocities, track by track."""
    motion = similarity((30, -8), degrees=25, zoom=1.3)
    turn, shift = complex(*motion[:, 0]), complex(*motion[:, 2])
    before = random_moments(7, 5)
    after = moved(before, motion)
    full = np.kron(motion[:, :2], np.eye(2))
    for track in range(7):
        x, y, width, height = before[:, :, track].T
        position, velocity = turn * complex(x[0], y[0]) + shift, turn * complex(x[1], y[1])
        np.testing.assert_allclose(after[0, :2, track], (position.real, position.imag))
        np.testing.assert_allclose(after[1, :2, track], (velocity.real, velocity.imag))
        covariance = np.zeros((4, 4))
        for axis, moments in enumerate((x, y)):
            block = slice(2 * axis, 2 * axis + 2)
            covariance[block, block] = [[moments[2], moments[3]], [moments[3], moments[4]]]
        turned = full @ covariance @ full.T
        for axis in (0, 1):
            place = 2 * axis
            wanted = turned[place, place], turned[place, place + 1], turned[place + 1, place + 1]
            np.testing.assert_allclose(after[2:, axis, track], wanted)
        for axis, moments in ((2, width), (3, height)):
            np.testing.assert_allclose(after[:2, axis, track], 1.3 * moments[:2])
            np.testing.assert_allclose(after[2:, axis, track], 1.3**2 * moments[2:])


def test_a_motion_and_its_inverse_bring_boxes_back() -> None:
    """Protects the last observed boxes, from which a track's direction is judged."""
    boxes = np.random.default_rng(6).uniform(20, 300, (4, 9))
    there = similarity((3, 40), degrees=-70, zoom=0.4)
    back = np.hstack([np.linalg.inv(there[:, :2]), -np.linalg.inv(there[:, :2]) @ there[:, 2:]])
    np.testing.assert_allclose(moved_boxes(moved_boxes(boxes, there), back), boxes)


@pytest.mark.parametrize(
    ("motion", "said"),
    [
        (np.eye(3), "(2, 3)"),
        (np.full((2, 3), np.nan), "finite"),
        (np.zeros((2, 3)), "similarity"),
        (np.array([[1.0, 0, 0], [0, -1, 0]]), "similarity"),
        (np.array([[1.0, 0.1, 0], [0, 1, 0]]), "similarity"),
        (np.array([[1.1, 0, 0], [0, 1, 0]]), "similarity"),
    ],
)
def test_what_is_no_similarity_is_refused(motion: np.ndarray, said: str) -> None:
    """A transform given by the robot in another form is an error, and it leaves the tracker as it was."""
    with pytest.raises(InvalidValueError) as caught:
        checked_similarity(motion)
    assert said in str(caught.value)
    tracker, frame = Tracker(TrackerParams()), detections([[10, 10, 50, 60]])
    tracker.update(frame, 0)
    with pytest.raises(InvalidValueError):
        tracker.update(frame, 5, motion)
    assert tracker.update(frame, 1).ids.tolist() == [1]
    assert tracker.resets == 0


PANNED = np.array([[120.0, 90], [400, 160], [230, 300], [520, 330]])
"""Centres of objects at rest."""

PANS = np.cumsum([0, 0, 0, 0, -75, -80, 0, 70, 95, -60, -60, 0, 0, 80, 70, -40])
"""Place of a jerking camera, frame by frame: jumps of two box widths from rest."""


def panned_boxes(pan: float) -> np.ndarray:
    centres = PANNED + np.array([pan, 0.0])
    return np.hstack([centres - 20, centres + 20])


def identities(tracks: Tracks) -> list[int]:
    """Ids of the tracks in view from the highest object to the lowest."""
    seen = tracks.times_since_seen_s == 0
    return tracks.ids[seen][np.argsort(tracks.boxes_xyxy[seen, 1])].tolist()


@pytest.mark.parametrize("source", ["boxes", "truth", "flow"])
def test_ids_outlast_a_jerking_camera(source: str) -> None:
    """Jumps of two box widths lose boxes alone; the true motion and that seen in the images keep every id."""
    surface = view(REST, (1000, 480))
    tracker, camera = Tracker(TrackerParams()), CameraMotion()
    seen = []
    for number, pan in enumerate(PANS):
        image = surface[:, 180 - pan : 820 - pan].copy()
        for left, top, right, bottom in panned_boxes(pan).astype(int):
            image[max(top, 0) : bottom, max(left, 0) : max(right, 0)] = (200, 30, 30)
        found = detections(panned_boxes(pan))
        motion = {
            "boxes": None,
            "truth": similarity((pan - PANS[max(number - 1, 0)], 0)),
            "flow": camera.estimate(image, found.boxes_xyxy),
        }[source]
        seen.append(identities(tracker.update(found, number * SECOND // 20, motion)))
    kept = all(ids == seen[0] for ids in seen)
    assert kept == (source != "boxes"), seen


def test_an_unseen_object_turns_with_the_world() -> None:
    """A track keeps its place on the ground while a camera above it turns, shifts and descends, and is found there."""
    step = similarity((4, -6), degrees=6, zoom=1.02)
    centres, size = np.array([[150.0, 120], [500, 300]]), 40.0
    tracker = Tracker(TrackerParams())
    for number in range(14):
        if number:
            centres, size = at(step, centres), size * 1.02
        boxes = np.hstack([centres - size / 2, centres + size / 2])
        found = detections(boxes[:1] if 5 <= number < 13 else boxes)
        tracks = tracker.update(found, number * SECOND // 20, step if number else None)
        assert tracks.ids.tolist() == [1, 2]
        np.testing.assert_allclose(tracks.boxes_xyxy, boxes, atol=1.0)
    assert (tracks.times_since_seen_s == 0).all()


def test_velocities_given_out_are_in_the_image() -> None:
    """What steers by them sees the camera's own motion, too: objects at rest run, spread and are predicted so."""
    step = similarity((5, 0), zoom=1.01)
    centres, size = np.array([[500.0, 300], [150, 120]]), 40.0
    tracker = Tracker(TrackerParams())
    for number in range(40):
        boxes = np.hstack([centres - size / 2, centres + size / 2])
        stamp_ns = number * SECOND // 20
        tracks = tracker.update(detections(boxes), stamp_ns, step if number else None)
        before, centres, size = centres, at(step, centres), size * 1.01
    order = np.argsort(-tracks.boxes_xyxy[:, 1])
    np.testing.assert_allclose(tracks.velocities_xy[order], 20 * (centres - before), rtol=0.03, atol=1)
    ahead = tracker.predict(stamp_ns + SECOND // 20).boxes_xyxy[order]
    np.testing.assert_allclose(ahead, np.hstack([centres - size / 2, centres + size / 2]), atol=0.5)


def test_no_motion_told_is_the_identity_told() -> None:
    """Protects the default: telling that the camera rests changes nothing beyond rounding."""
    told, untold = Tracker(TrackerParams()), Tracker(TrackerParams())
    rng = np.random.default_rng(8)
    for number in range(30):
        boxes = panned_boxes(3.0 * number) + rng.normal(0, 1, (4, 4))
        found = detections(boxes) if number % 7 else Detections.empty()
        left = untold.update(found, number * SECOND // 20)
        right = told.update(found, number * SECOND // 20, np.eye(2, 3))
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_allclose(left.boxes_xyxy, right.boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(left.covariances, right.covariances, rtol=1e-4)


def test_a_jump_back_in_time_forgets_the_camera_too() -> None:
    """The first frame of a bag that starts over has no motion, whatever was told with it."""
    tracker = Tracker(TrackerParams())
    for number in range(5):
        tracker.update(detections([[100 + 9 * number, 50, 140 + 9 * number, 90]]), number * SECOND, similarity((9, 0)))
    tracks = tracker.update(detections([[300, 50, 340, 90]]), 0, similarity((160, 0)))
    assert tracker.resets == 1
    np.testing.assert_allclose(tracks.boxes_xyxy, [[300, 50, 340, 90]], atol=1e-3)
    np.testing.assert_array_equal(tracks.velocities_xy, [[0, 0]])
