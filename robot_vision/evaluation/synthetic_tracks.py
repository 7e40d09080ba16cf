"""Made-up objects with known truth: what a detector would say about them, with each of its faults in a known measure.

Objects move straight, bounce off the border of the world and now and then take another course. Each is at a distance of
its own: near ones are larger and hide those behind. The camera may sweep and shake; without a sweep it sees
the whole world.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from robot_vision.errors import EvaluationError, InvalidValueError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.sequences import TrackingFrame, TrackingSequence
from robot_vision.geometry import box_area, clip_boxes, cxcywh_to_xyxy
from robot_vision.types import Detections, Float64Array, Int64Array

Mask = npt.NDArray[np.bool_]

_ENTERS, _LEAVES = 0.6, 0.3
"""Share of a box inside the image from which an object is there, and below which it is gone."""

_SHAKE_SECONDS = 0.1
"""Time over which the camera's shaking forgets where it was."""

_SMALLEST_SCORE, _LARGEST_SCORE = 0.05, 0.99


@dataclass(frozen=True)
class Scene:
    """What happens, and how well a detector sees it.

    Attributes:
        objects: Number of objects.
        seconds: Length.
        rates_hz: Frames a second; with several, each holds for an equal part of the time.
        size_wh: Width and height of the image in pixels.
        height: Median height of an object in pixels; heights vary by a quarter.
        speed: Speed of an object along each axis in pixels per second, standard deviation.
        band: Share of the image's height in which the objects' centres stay; a narrow one makes them cross often.
        turns_hz: Sudden changes of course per object and second.
        hidden_from: Share of a box covered by one nearer object from which it is not seen; above 1 none covers another.
        miss_rate: Share of visible objects that are not detected.
        miss_seconds: About how long an object is missed at a stretch; 0 makes each miss independent of the last.
        false_alarms: Mean number of false detections a frame.
        jitter: Standard deviation of the detected centre and, relatively, size as a share of the size, by axis.
        dropped_frames: Share of frames that do not arrive.
        pan: Largest speed of the camera's sweep to and fro in pixels per second.
        shake: Standard deviation of the camera's shaking by axis in pixels.
        classes: Number of classes.
        confusion: Share of detections that report another class.
        score: Mean score of an object that nothing covers; half of it is lost with full cover.
        score_spread: Standard deviation of scores.
        false_score: Mean score of a false alarm.

    Raises:
        InvalidValueError: If a value makes no scene.
    """

    objects: int = 20
    seconds: float = 20.0
    rates_hz: tuple[float, ...] = (30.0,)
    size_wh: tuple[int, int] = (1280, 720)
    height: float = 90.0
    speed: float = 70.0
    band: float = 1.0
    turns_hz: float = 0.1
    hidden_from: float = 0.6
    miss_rate: float = 0.05
    miss_seconds: float = 0.0
    false_alarms: float = 0.5
    jitter: float = 0.03
    dropped_frames: float = 0.0
    pan: float = 0.0
    shake: float = 0.0
    classes: int = 1
    confusion: float = 0.0
    score: float = 0.8
    score_spread: float = 0.12
    false_score: float = 0.4

    def __post_init__(self) -> None:
        shares = ("miss_rate", "dropped_frames", "confusion")
        for entry in fields(self):
            value = getattr(self, entry.name)
            if min(value if isinstance(value, tuple) else (value,), default=0) < 0:
                raise InvalidValueError(f"{entry.name}: must not be negative, got {value}")
            if entry.name in shares and value >= 1:
                raise InvalidValueError(f"{entry.name}: must be below 1, got {value}")
        for name in ("objects", "seconds", "height", "classes"):
            if not getattr(self, name):
                raise InvalidValueError(f"{name}: must be above 0")
        if not self.rates_hz or not all(self.rates_hz):
            raise InvalidValueError(f"rates_hz: expected rates above 0, got {self.rates_hz}")
        if self.confusion and self.classes < 2:
            raise InvalidValueError("confusion: needs two classes or more")


def crowd(objects: int) -> Scene:
    """A scene of many objects, whose size shrinks with their number, so that the crowding stays about the same.

    Args:
        objects: Number of objects.
    """
    height = 1.4 * min(90.0, max(24.0, 900 / math.sqrt(objects)))
    return Scene(objects, min(20.0, 2000 / objects), size_wh=(1920, 1080), height=height, false_alarms=0.02 * objects)


SCENES: dict[str, Scene] = {
    "plain": Scene(),
    "crossings": Scene(objects=16, band=0.15, speed=120.0),
    "occlusions": Scene(objects=14, height=200.0, hidden_from=0.4),
    "misses": Scene(miss_rate=0.3, miss_seconds=0.2),
    "false_alarms": Scene(false_alarms=10.0, false_score=0.5),
    "jitter": Scene(jitter=0.1),
    "frame_drops": Scene(dropped_frames=0.4),
    "rate_changes": Scene(rates_hz=(30.0, 6.0, 60.0, 12.0)),
    "low_rate": Scene(rates_hz=(10.0,), seconds=40.0),
    "manoeuvres": Scene(turns_hz=1.5, speed=150.0),
    "camera_shake": Scene(shake=20.0),
    "camera_pan": Scene(pan=400.0),
    "classes": Scene(classes=4, confusion=0.15),
    "unsure": Scene(score=0.5, score_spread=0.2),
    **{f"crowd_{objects}": crowd(objects) for objects in (10, 50, 300, 1000)},
}
"""Scenes by name, each hard in one way."""


def scene_named(name: str) -> Scene:
    """A known scene.

    Args:
        name: A key of `SCENES`.

    Raises:
        EvaluationError: If there is none of that name.
    """
    if name not in SCENES:
        raise EvaluationError(f"unknown scene {name!r}; known are {', '.join(SCENES)}")
    return SCENES[name]


def synthetic_sequence(name: str, seed: int = 0) -> TrackingSequence:
    """All frames of a known scene.

    Args:
        name: A key of `SCENES`.
        seed: The same one gives the same frames.

    Returns:
        The sequence, named after scene and seed.

    Raises:
        EvaluationError: If there is no such scene.
    """
    return TrackingSequence(f"{name} {seed}", tuple(generate(scene_named(name), seed)))


def generate(scene: Scene, seed: int = 0) -> Iterator[TrackingFrame]:
    """Frames of a scene.

    Args:
        scene: What happens.
        seed: The same one gives the same frames.

    Yields:
        The frames that arrive. The truth is all objects in the image with their boxes cut at its border and their order
        kept, hidden ones ignored; an object that comes back after it has left the image has a new id.
    """
    rng = np.random.default_rng(seed)
    world, stamp_ns = _World(scene, rng), 0
    detector = _Detector(scene, rng)
    for rate_hz in scene.rates_hz:
        for _ in range(round(scene.seconds / len(scene.rates_hz) * rate_hz)):
            truth, cover = world.view()
            detections = detector.detect(truth, cover, world.present)
            if rng.random() >= scene.dropped_frames:
                yield TrackingFrame(stamp_ns, detections, truth)
            stamp_ns += round(1e9 / rate_hz)
            world.move(1 / rate_hz)
            detector.wait(1 / rate_hz)


class _World:
    """The objects and the camera; rows of all arrays are objects, the nearest first.

    Attributes:
        present: (N,) bool, which objects were in the last view.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        count, width, height = scene.objects, *scene.size_wh
        self._scene, self._rng = scene, rng
        heights = np.sort(scene.height * np.exp(rng.normal(0, 0.25, count)))[::-1]
        self._size: Float64Array = np.stack([heights / 1.4, heights], axis=1)
        np.minimum(self._size, 0.9 * np.array(scene.size_wh), out=self._size)
        middle = np.array([width, height]) / 2
        reach = np.array([width / 4 if scene.pan else 0.0, 0.0])
        room = np.maximum((middle + reach - self._size / 2) * (1.0, scene.band), 0.0)
        self._low, self._high = middle - room, middle + room
        self._centre = rng.uniform(self._low, self._high)
        self._velocity = self._course(count)
        self._class_ids = rng.integers(0, scene.classes, count)
        self.present: Mask = np.zeros(count, bool)
        self._ids: Int64Array = np.zeros(count, np.int64)
        self._next_id = 1
        self._seconds, self._shake = 0.0, np.zeros(2)

    def _course(self, count: int) -> Float64Array:
        return self._rng.normal(0, self._scene.speed, (count, 2)) * (1.0, self._scene.band)

    def move(self, seconds: float) -> None:
        """Let some time go by."""
        scene, rng = self._scene, self._rng
        turning = rng.random(scene.objects) < -math.expm1(-scene.turns_hz * seconds)
        self._velocity = np.where(turning[:, None], self._course(scene.objects), self._velocity)
        moved = self._centre + self._velocity * seconds
        outside = (moved < self._low) | (moved > self._high)
        self._velocity = np.where(outside, -self._velocity, self._velocity)
        moved = np.where(moved < self._low, 2 * self._low - moved, moved)
        moved = np.where(moved > self._high, 2 * self._high - moved, moved)
        self._centre = np.clip(moved, self._low, self._high)
        self._seconds += seconds
        memory = math.exp(-seconds / _SHAKE_SECONDS)
        self._shake = memory * self._shake + math.sqrt(1 - memory**2) * rng.normal(0, scene.shake, 2)

    def view(self) -> tuple[LabelledBoxes, Float64Array]:
        """What is in the image now, and the share (N,) of each object there that one nearer object covers."""
        boxes: Float64Array = cxcywh_to_xyxy(np.concatenate([self._centre - self._camera(), self._size], axis=1))
        cut = clip_boxes(boxes, self._scene.size_wh)
        inside = box_area(cut) / box_area(boxes)
        present = inside >= np.where(self.present, _LEAVES, _ENTERS)
        entering = present & ~self.present
        self._ids[entering] = np.arange(self._next_id, self._next_id + np.count_nonzero(entering))
        self._next_id += int(np.count_nonzero(entering))
        self.present = present
        cover = _cover(cut[present]) if self._scene.hidden_from <= 1 else np.zeros(np.count_nonzero(present))
        hidden = cover >= self._scene.hidden_from
        return LabelledBoxes(
            cut[present].astype(np.float32), self._class_ids[present], self._ids[present], hidden
        ), cover

    def _camera(self) -> Float64Array:
        """Position (2,) of the camera in pixels of the image."""
        reach = self._scene.size_wh[0] / 4
        sweep = reach * math.sin(self._scene.pan / reach * self._seconds)
        return np.array([self._shake[0] + sweep, self._shake[1]])


def _cover(boxes_xyxy: Float64Array) -> Float64Array:
    """Share (N,) of each box, nearest first, that the one of the nearer boxes which covers it most covers."""
    x1, y1, x2, y2 = boxes_xyxy.T.copy()
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    # A matrix an axis is ten times faster than `intersection_matrix` for a thousand boxes.
    shared = np.tril(np.maximum(width, 0.0) * np.maximum(height, 0.0), -1)
    share: Float64Array = shared.max(axis=1, initial=0.0) / box_area(boxes_xyxy)
    return share


class _Detector:
    """What is said about the objects."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._scene, self._rng = scene, rng
        self._missing: Mask = np.zeros(scene.objects, bool)
        self.wait(math.inf)

    def wait(self, seconds: float) -> None:
        """Let some time go by, after which other objects are missed.

        A Markov chain in continuous time that misses an object in a share `miss_rate` of the time, for `miss_seconds`
        in the mean.
        """
        rate, length = self._scene.miss_rate, self._scene.miss_seconds
        memory = math.exp(-seconds / (length * (1 - rate))) if length else 0.0
        chance = rate + memory * (self._missing - rate)
        self._missing = self._rng.random(self._scene.objects) < chance

    def detect(self, truth: LabelledBoxes, cover: Float64Array, present: Mask) -> Detections:
        """Detections of one view."""
        seen = ~truth.ignored & ~self._missing[present]
        boxes = truth.boxes_xyxy[seen].astype(np.float64)
        boxes = np.concatenate([self._jittered(boxes), self._false_boxes()])
        alarms = len(boxes) - int(np.count_nonzero(seen))
        scores = self._scene.score * (1 - cover[seen] / 2)
        scores = np.concatenate([scores, np.full(alarms, self._scene.false_score)])
        scores += self._rng.normal(0, self._scene.score_spread, len(boxes))
        class_ids = np.concatenate([
            self._confused(truth.class_ids[seen]), self._rng.integers(0, self._scene.classes, alarms)
        ])  # fmt: skip
        return Detections(
            clip_boxes(boxes, self._scene.size_wh).astype(np.float32),
            np.clip(scores, _SMALLEST_SCORE, _LARGEST_SCORE).astype(np.float32),
            class_ids,
        )

    def _jittered(self, boxes_xyxy: Float64Array) -> Float64Array:
        sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
        noise = self._rng.normal(0, self._scene.jitter, (2, *sizes.shape))
        centres = boxes_xyxy[:, :2] + sizes / 2 + noise[0] * sizes
        return cxcywh_to_xyxy(np.concatenate([centres, sizes * np.exp(noise[1])], axis=1))

    def _false_boxes(self) -> Float64Array:
        """False alarms (M, 4), anywhere, of the objects' sizes."""
        count = self._rng.poisson(self._scene.false_alarms)
        heights = self._scene.height * np.exp(self._rng.normal(0, 0.25, (count, 1)))
        centres = self._rng.uniform((0, 0), self._scene.size_wh, (count, 2))
        return cxcywh_to_xyxy(np.concatenate([centres, heights / 1.4, heights], axis=1))

    def _confused(self, class_ids: Int64Array) -> Int64Array:
        """The same classes (N,), some taken for another, each other one alike."""
        confused = self._rng.random(len(class_ids)) < self._scene.confusion
        other = class_ids + self._rng.integers(1, max(2, self._scene.classes), len(class_ids))
        return np.where(confused, other % self._scene.classes, class_ids)
