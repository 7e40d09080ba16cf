"""Labelled boxes by frame, read from the Detection2DArray topics of bags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.data.bags import BagReader
from robot_vision.data.sources import stamp_ns
from robot_vision.errors import EvaluationError, InvalidValueError
from robot_vision.types import Detections, Float32Array, Int64Array

DETECTION_ARRAY = "vision_msgs/msg/Detection2DArray"


@dataclass(frozen=True, eq=False)
class LabelledBoxes:
    """Boxes of one frame with class and identity: ground truth, or what a tracker says.

    Attributes:
        boxes_xyxy: (N, 4) float32, corners in source pixels.
        class_ids: (N,) int64.
        ids: (N,) int64, the same for one object in every frame.
        ignored: (N,) bool, objects that need not be found; whatever matches one is not counted.

    Raises:
        InvalidValueError: If a shape differs.
    """

    boxes_xyxy: Float32Array
    class_ids: Int64Array
    ids: Int64Array
    ignored: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.boxes_xyxy)
        shapes = (self.boxes_xyxy.shape, self.class_ids.shape, self.ids.shape, self.ignored.shape)
        if shapes != ((count, 4), (count,), (count,), (count,)):
            raise InvalidValueError(f"LabelledBoxes: expected shapes (N, 4), (N,), (N,), (N,), got {shapes}")

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @classmethod
    def empty(cls) -> LabelledBoxes:
        """The value for a frame without objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))


@dataclass(frozen=True)
class RecordedArray:
    """One Detection2DArray message as plain arrays.

    Attributes:
        received_ns: Time at which it was recorded, in nanoseconds.
        boxes_xyxy: (N, 4) float32, corners in pixels.
        scores: (N,) float32; 0 where a detection has no hypothesis.
        class_names: Class of each detection as the message has it.
        ids: Identity of each detection as the message has it, possibly empty.
    """

    received_ns: int
    boxes_xyxy: Float32Array
    scores: Float32Array
    class_names: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


def read_arrays(bag: BagReader, topic: str) -> dict[int, RecordedArray]:
    """The messages of a Detection2DArray topic by the stamp of their header.

    Args:
        bag: An open bag.
        topic: A topic of that type.

    Returns:
        One entry for each stamp in nanoseconds, in the order of recording.

    Raises:
        BagError: If the topic is not in the bag, or the bag is damaged.
        EvaluationError: If the topic has another type or two messages have the same stamp.
    """
    summary = bag.topics.get(topic)
    if summary is not None and summary.msgtype != DETECTION_ARRAY:
        raise EvaluationError(f"{bag.path}: topic {topic} has type {summary.msgtype}, expected {DETECTION_ARRAY}")
    arrays: dict[int, RecordedArray] = {}
    for received_ns, message in bag.messages(topic):
        captured_ns = stamp_ns(message.header)
        if captured_ns in arrays:
            raise EvaluationError(f"{bag.path}: two messages on {topic} have the stamp {captured_ns} ns")
        arrays[captured_ns] = _recorded(received_ns, message.detections)
    return arrays


def _recorded(received_ns: int, detections: Sequence[Any]) -> RecordedArray:
    centres_sizes = np.array(
        [[d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y] for d in detections]
    ).reshape(-1, 4)
    half_wh = centres_sizes[:, 2:] / 2
    boxes_xyxy = np.concatenate([centres_sizes[:, :2] - half_wh, centres_sizes[:, :2] + half_wh], axis=1)
    hypotheses = [d.results[0].hypothesis if len(d.results) else None for d in detections]
    return RecordedArray(
        received_ns=received_ns,
        boxes_xyxy=boxes_xyxy.astype(np.float32),
        scores=np.array([h.score if h else 0.0 for h in hypotheses], np.float32),
        class_names=tuple(str(h.class_id) if h else "" for h in hypotheses),
        ids=tuple(str(d.id) for d in detections),
    )


def ground_truth_topic(bag: BagReader) -> str | None:
    """The topic that holds the ground truth: a Detection2DArray whose last name is `ground_truth`.

    Args:
        bag: An open bag.

    Returns:
        Its name, the first one by name if there are several; None if there is none.
    """
    for name, summary in bag.topics.items():
        if summary.msgtype == DETECTION_ARRAY and name.rsplit("/", 1)[-1] == "ground_truth":
            return name
    return None


class Vocabulary:
    """Numbers for the class names and identities that messages carry as text."""

    def __init__(self, class_names: Mapping[str, str] | None = None) -> None:
        """Start empty.

        Args:
            class_names: Name by what a message may hold instead, such as the index as text.
        """
        self._aliases = dict(class_names or {})
        self._class_ids: dict[str, int] = {}
        self._identities: dict[str, int] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names met so far, by number."""
        return tuple(self._class_ids)

    def class_id(self, text: str) -> int:
        """Number of a class."""
        return self._class_ids.setdefault(self._aliases.get(text, text), len(self._class_ids))

    def detections(self, array: RecordedArray) -> Detections:
        """A recorded array as detections."""
        class_ids = np.array([self.class_id(name) for name in array.class_names], np.int64)
        return Detections(array.boxes_xyxy, array.scores, class_ids)

    def labelled(self, array: RecordedArray, *, scored: bool) -> LabelledBoxes:
        """A recorded array as boxes with identities.

        Args:
            array: Recorded ground truth or tracks.
            scored: Whether a score of zero or less marks an object that need not be found, as it does in ground truth.

        Returns:
            The boxes.
        """
        class_ids = np.array([self.class_id(name) for name in array.class_names], np.int64)
        ids = np.array([self._identities.setdefault(text, len(self._identities)) for text in array.ids], np.int64)
        return LabelledBoxes(array.boxes_xyxy, class_ids, ids, (array.scores <= 0) & scored)
