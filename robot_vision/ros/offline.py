"""The pipeline on recordings: every frame, in order, with the results that the live nodes would have published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import BagReader, RawMessage, TopicSummary
from robot_vision.data.sources import BagImageSource, ImageSource
from robot_vision.data.typestore import ros_typestore
from robot_vision.data.video import image_message
from robot_vision.errors import BagError, FrameError, RobotVisionError
from robot_vision.ros.convert import label_info, latent_state
from robot_vision.ros.following import Follower
from robot_vision.ros.networks import open_crop_encoders, open_detectors, open_encoders
from robot_vision.ros.outputs import class_labels, serialised_detections, serialised_tracks, track_states
from robot_vision.ros.recorder import TOPICS
from robot_vision.types import Frame, Tracks


class Followed(NamedTuple):
    """A frame that has been processed.

    Attributes:
        frame: The image.
        tracks: All live tracks.
    """

    frame: Frame
    tracks: Tracks


class OfflinePipeline:
    """Detector, tracker and encoder of `perception_node`, for one recording after the other.

    Attributes:
        labels: What `class_id` holds for each class number.

    Args:
        params: Settings by stage, from `robot_vision.params.stage_params`.

    Raises:
        ModelError: If a model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
        InvalidValueError: If a setting names a class that the model does not have.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        session = params["session"]
        self._params = params
        self._detector = open_detectors(session, params["detector"], 1)[0]
        self._encoder = open_encoders(session, params["encoder"], 1)[0]
        self._crops = open_crop_encoders(session, params["tracker"], 1)[0]
        self.labels = class_labels(self._detector.class_names, params["detector"].class_id_format)

    def process(
        self,
        source: ImageSource,
        bag: Path,
        inputs: bool = False,
        on_problem: Callable[[RobotVisionError], None] | None = None,
    ) -> Iterator[Followed]:
        """Write the results for all frames of a recording; the bag gets its name when the last one is taken.

        The tracker begins anew, so that the results depend on the recording and the settings alone. Every message is
        recorded at the time of its image.

        Args:
            source: The recording.
            bag: Bag to write.
            inputs: Copy the recording's own messages into the bag, too.
            on_problem: Called with what is left out: an image that cannot be decoded, a topic that cannot be copied.
                None lets an image that cannot be decoded end the run.

        Yields:
            Each frame with its tracks.

        Raises:
            BagError: If the recording is damaged, has no image that can be decoded, or the bag cannot be written.
            FrameError: If an image cannot be decoded or encoded and `on_problem` is None.
            ModelError: If a network fails.
        """
        follower = Follower(self._params["tracker"], self._crops)
        with BagWriter(bag) as writer:
            for topic, (_, msgtype) in TOPICS.items():
                writer.add_topic(f"/{topic}", msgtype, latched=topic == "label_info")
            copy = _Copy(source, writer, on_problem) if inputs else None
            count, described = 0, False
            for recorded_ns, frame in source.recorded_frames(on_problem):
                if copy is not None:
                    copy.until(recorded_ns)
                if not described:
                    self._describe(writer, recorded_ns)
                    described = True
                try:
                    tracks = self._write(writer, follower, recorded_ns, frame)
                except FrameError as error:
                    if on_problem is None:
                        raise
                    on_problem(error)
                    continue
                count += 1
                yield Followed(frame, tracks)
            if not count:
                raise BagError(f"{source.path}: no image on {source.topic} can be decoded")
            if copy is not None:
                copy.until(None)

    def _describe(self, writer: BagWriter, recorded_ns: int) -> None:
        header = Header(stamp=_time(recorded_ns))
        threshold = self._params["detector"].confidence_threshold
        message = label_info(self._detector.class_names, threshold, header)
        writer.write("/label_info", recorded_ns, _serialised(message, "label_info"))

    def _write(self, writer: BagWriter, follower: Follower, recorded_ns: int, frame: Frame) -> Tracks:
        header = Header(stamp=_time(frame.stamp_ns), frame_id=frame.frame_id)
        detections = self._detector.detect(frame)
        # A camera that does not stamp its images: the time of recording is that of arrival, as the nodes take it.
        tracks = follower.update(frame, frame.stamp_ns or recorded_ns, detections)
        latent = self._encoder.encode(frame)
        for topic, message in (
            ("detections", serialised_detections(header, detections, self.labels)),
            ("tracks", serialised_tracks(header, tracks, self.labels)),
            ("track_states", _serialised(track_states(header, tracks, self.labels), "track_states")),
            ("latent", _serialised(latent_state(header, latent), "latent")),
        ):
            writer.write(f"/{topic}", recorded_ns, message)
        return tracks


class _Copy:
    """Copies a recording's own messages, in step with the results."""

    def __init__(
        self, source: ImageSource, writer: BagWriter, on_problem: Callable[[RobotVisionError], None] | None
    ) -> None:
        self._writer = writer
        self._types: dict[str, str] = {}
        self._messages = self._copied(source, on_problem or (lambda _error: None))
        self._next = next(self._messages, None)

    def until(self, recorded_ns: int | None) -> None:
        """Copy what was recorded up to a time in nanoseconds; None is the end."""
        while self._next is not None and (recorded_ns is None or self._next.stamp_ns <= recorded_ns):
            if self._next.msgtype == self._types[self._next.topic]:
                self._writer.write(self._next.topic, self._next.stamp_ns, self._next.data)
            self._next = next(self._messages, None)

    def _copied(self, source: ImageSource, on_problem: Callable[[RobotVisionError], None]) -> Iterator[RawMessage]:
        """The messages of all topics that can be copied, which are declared first."""
        if not isinstance(source, BagImageSource):
            self._declare(source.topic, source.msgtype, latched=False)
            for stamp_ns, frame in source.recorded_frames(lambda _error: None):
                yield image_message(frame.rgb, "rgb8", stamp_ns)
            return
        with BagReader(source.path) as bag:
            for topic in bag.topics.values():
                why_not = _why_not_copied(topic)
                if why_not:
                    on_problem(BagError(f"{source.path}: {topic.name} is not copied: {why_not}"))
                else:
                    self._declare(topic.name, topic.msgtype, topic.latched)
            if self._types:
                yield from bag.raw([*self._types])

    def _declare(self, topic: str, msgtype: str, latched: bool) -> None:
        self._writer.add_topic(topic, msgtype, latched=latched)
        self._types[topic] = msgtype


def _why_not_copied(topic: TopicSummary) -> str:
    if topic.name.strip("/") in TOPICS:
        return "the results have a topic of that name"
    return "" if topic.msgtype in ros_typestore().types else f"{topic.msgtype} is not known here"


def _serialised(message: Any, topic: str) -> bytes:
    """The bytes of a message; where CDR pads, the middleware's own hold whatever lay in memory."""
    store, msgtype = ros_typestore(), TOPICS[topic][1]
    return bytes(store.serialize_cdr(store.deserialize_cdr(serialize_message(message), msgtype), msgtype))


def _time(stamp_ns: int) -> Time:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)
