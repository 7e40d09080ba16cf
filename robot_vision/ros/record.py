"""Records topics of any type as they appear: the same bytes, stamped with the time of their reception.

A middleware may append up to three zero bytes to a message, to a multiple of four (Fast DDS does; readers ignore them).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from robot_vision.data.described_bag import DescribingWriter
from robot_vision.data.mcap_repair import finish_cut_off
from robot_vision.data.record_params import RecordParams
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.ros.message_types import installed_definitions, message_class, why_missing
from robot_vision.ros.recorder import TOPICS
from robot_vision.ros.spin import END_SIGNALS, EndRequest, init_interruptible

RESULTS = {topic: msgtype for topic, (_, msgtype) in TOPICS.items()} | {
    "diagnostics": "diagnostic_msgs/msg/DiagnosticArray"
}
CAMERA_TYPES = frozenset({"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"})
OVERLAY = "annotated"
DEPTH = 100
DISCOVERY_PERIOD_S = 0.1
STATUS_PERIOD_S = 0.5
# A chunk that is not yet on the disk, and the index at the end of the file.
RESERVE_BYTES = 8_000_000


def is_wanted(topic: str, msgtype: str, params: RecordParams) -> bool:
    """Whether a topic is to be recorded.

    Args:
        topic: Full name.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        params: What the user asks for, `topics` with full names.

    Returns:
        Whether it is among the topics given, or a result of the pipeline if none is; or a camera, if those are asked
        for. The pipeline's overlay is no camera, and is drawn only for those who subscribe.
    """
    if params.all or topic in params.topics:
        return True
    name = topic.rpartition("/")[2]
    if params.images and msgtype in CAMERA_TYPES and OVERLAY not in topic.split("/"):
        return True
    return not params.topics and RESULTS.get(name) == msgtype


@dataclass
class Recorded:
    """One topic on its way into the bag.

    Attributes:
        msgtype: Type as in `sensor_msgs/msg/Image`.
        reliable: Whether every publisher so far offers reliable delivery.
        latched: Whether every publisher so far keeps messages for late subscribers.
        subscription: Where the messages come from.
        count: Number of messages in the bag.
    """

    msgtype: str
    reliable: bool
    latched: bool
    subscription: Subscription | None = None
    count: int = 0


class TopicRecorder(Node):
    """Subscribes to topics as they appear and writes their messages.

    Attributes:
        recorded: By topic.
        skipped: Why a topic is not recorded, by topic.
        size_bytes: Size of all messages.
        began_s: Monotonic time in seconds of the first message; None before it.
        failure: What ended the writing; None if nothing has.
    """

    def __init__(self, writer: DescribingWriter, params: RecordParams, tell: Callable[[str], None]) -> None:
        """Start without any topic.

        Args:
            writer: Bag to write to.
            params: Says which topics.
            tell: Called with a line about each topic.

        Raises:
            InvalidValueError: If a topic's name is not valid.
        """
        super().__init__("record_node")
        self.recorded: dict[str, Recorded] = {}
        self.skipped: dict[str, str] = {}
        self.size_bytes = 0
        self.began_s: float | None = None
        self.failure: BagError | None = None
        self._writer = writer
        self._tell = tell
        self._params = params
        if params.topics:
            self._params = RecordParams(topics=tuple(map(self._full_name, params.topics)), images=params.images)

    @property
    def count(self) -> int:
        """Number of messages in the bag."""
        return sum(entry.count for entry in self.recorded.values())

    def missing(self) -> list[str]:
        """Topics given by name that nobody has published so far."""
        return [topic for topic in self._params.topics if topic not in self.recorded and topic not in self.skipped]

    def discover(self) -> None:
        """Subscribe to what has appeared, and with another profile where a publisher with another has come."""
        for topic, msgtypes in self.get_topic_names_and_types():
            if topic in self.skipped or not any(is_wanted(topic, msgtype, self._params) for msgtype in msgtypes):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._match(topic, publishers)

    def _full_name(self, topic: str) -> str:
        try:
            return str(self.resolve_topic_name(topic))
        except Exception as error:  # each rule that a name can break has an exception of its own
            raise InvalidValueError(f"topics: {topic!r} is not a valid topic name") from error

    def _match(self, topic: str, publishers: Sequence[Any]) -> None:
        offered = [info.qos_profile for info in publishers]
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        entry = self.recorded.get(topic)
        if entry is None:
            entry = self._add(topic, {info.topic_type for info in publishers}, reliable, latched)
            if entry is None:
                return
        elif (reliable or not entry.reliable) and (latched or not entry.latched):
            return
        # Never back to the stricter profile, which would bring latched messages a second time.
        entry.reliable &= reliable
        entry.latched &= latched
        self._subscribe(topic, entry)

    def _add(self, topic: str, msgtypes: set[str], reliable: bool, latched: bool) -> Recorded | None:
        msgtype = min(msgtypes)
        reason = why_missing(msgtype) if len(msgtypes) == 1 else f"published with several types: {', '.join(msgtypes)}"
        if not reason:
            try:
                if not self._writer.knows(msgtype):
                    self._writer.define(installed_definitions(msgtype))
                self._writer.add_topic(topic, msgtype, latched=latched)
            except InvalidValueError as error:
                reason = str(error)
        if reason:
            self.skipped[topic] = reason
            self._tell(f"skipped {topic}: {reason}")
            return None
        self.recorded[topic] = Recorded(msgtype, reliable, latched)
        self._tell(f"recording {topic} ({msgtype})")
        return self.recorded[topic]

    def _subscribe(self, topic: str, entry: Recorded) -> None:
        if entry.subscription is not None:
            self.destroy_subscription(entry.subscription)
        qos = QoSProfile(
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if entry.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if entry.latched else DurabilityPolicy.VOLATILE,
        )

        def on_message(data: bytes, info: dict[str, Any]) -> None:
            self._write(topic, entry, info["received_timestamp"] or time.time_ns(), data)

        entry.subscription = self.create_subscription(message_class(entry.msgtype), topic, on_message, qos, raw=True)

    def _write(self, topic: str, entry: Recorded, stamp_ns: int, data: bytes) -> None:
        if self.failure is not None:
            return
        try:
            _require_space(self._writer.path, len(data))
            self._writer.write(topic, stamp_ns, data)
        except BagError as error:
            self.failure = error
            return
        entry.count += 1
        self.size_bytes += len(data)
        self.began_s = self.began_s or time.monotonic()


class DiskFullError(BagError):
    """A disk with just enough room left to finish the bag."""


def _require_space(bag: Path, message_bytes: int) -> None:
    status = os.statvfs(bag.parent)
    free_bytes = status.f_bavail * status.f_frsize
    if free_bytes < RESERVE_BYTES + 2 * message_bytes:
        raise DiskFullError(f"{bag}: the disk is full, {free_bytes / 1e6:.1f} MB are left; free some space")


class StatusLine:
    """Says how a recording goes: in place on a terminal, else only what is new."""

    def __init__(self) -> None:
        """Start with an empty line."""
        self._live = sys.stdout.isatty()
        self._shown_s = 0.0

    def tell(self, line: str) -> None:
        """Print a line that stays.

        Args:
            line: The text.
        """
        print(f"\r\033[K{line}" if self._live else line, flush=True)

    def show(self, recorder: TopicRecorder) -> None:
        """Print the present state, twice a second.

        Args:
            recorder: What has arrived so far.
        """
        now_s = time.monotonic()
        if not self._live or now_s - self._shown_s < STATUS_PERIOD_S:
            return
        self._shown_s = now_s
        missing = f", waiting for {', '.join(recorder.missing())}" if recorder.missing() else ""
        text = (
            f"{recorder.count} messages, {recorder.size_bytes / 1e6:.1f} MB, {len(recorder.recorded)} topics{missing}"
        )
        print(f"\r\033[K{text}", end="", flush=True)


def record(bag: Path, params: RecordParams) -> int:
    """Record until Ctrl-C, SIGTERM or the end of the given duration, and say what was recorded.

    Args:
        bag: Bag to write.
        params: What to record.

    Returns:
        Exit status: 0.

    Raises:
        BagError: If the bag exists or cannot be written, or nothing was recorded; where the disk refuses at last, what
            was written until then is in the bag.
        InvalidValueError: If a topic's name is not valid.
    """
    writer = DescribingWriter(bag)
    status = StatusLine()
    end = init_interruptible()
    try:
        recorder = TopicRecorder(writer, params, status.tell)
        _listen(recorder, params, status, end)
        for line in _finish(recorder, writer):
            status.tell(line)
    except InvalidValueError:
        writer.abort()
        raise
    finally:
        # At its exit Python gives back the handlers of others, and one more Ctrl-C would count as a crash.
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        rclpy.try_shutdown()
    return 0


def _listen(recorder: TopicRecorder, params: RecordParams, status: StatusLine, end: EndRequest) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    discovered_s = 0.0
    while not end.wanted and recorder.failure is None:
        now_s = time.monotonic()
        if now_s - discovered_s > DISCOVERY_PERIOD_S:
            discovered_s = now_s
            recorder.discover()
        executor.spin_once(timeout_sec=DISCOVERY_PERIOD_S)
        status.show(recorder)
        if params.duration and recorder.began_s and time.monotonic() - recorder.began_s > params.duration:
            break
    # What has arrived already belongs to the recording.
    before = -1
    while before != recorder.count:
        before = recorder.count
        executor.spin_once(timeout_sec=0)
    executor.shutdown()


def _finish(recorder: TopicRecorder, writer: DescribingWriter) -> Iterator[str]:
    """Close the bag.

    Yields:
        What was recorded, one line at a time.

    Raises:
        BagError: If the writing failed or nothing was recorded.
    """
    failure = recorder.failure
    if failure is not None and not isinstance(failure, DiskFullError):
        raise _rescued(writer, failure)
    if not recorder.count:
        writer.abort()
        if failure is not None:
            raise failure
        known = ", ".join(recorder.missing() or sorted(recorder.recorded)) or "the topics asked for"
        raise BagError(f"{writer.path}: nothing was recorded, nobody published on {known}; is the pipeline running?")
    try:
        writer.close()
    except BagError as error:
        raise (error if writer.path.exists() else _rescued(writer, error)) from error
    yield f"recorded {recorder.count} messages, {recorder.size_bytes / 1e6:.1f} MB, in {writer.path}"
    for topic, entry in sorted(recorder.recorded.items()):
        yield f"  {entry.count:7d}  {topic}"
    yield from (f"skipped {topic}: {reason}" for topic, reason in sorted(recorder.skipped.items()))
    if recorder.missing():
        yield f"nobody published on {', '.join(recorder.missing())}"
    if failure is not None:
        raise BagError(f"{failure}; the messages until then are in the bag")


def _rescued(writer: DescribingWriter, failure: BagError) -> BagError:
    """Give what could be written the bag's name.

    Returns:
        The failure, with what has become of the messages.
    """
    try:
        (writer.part / writer.path.name).rename(writer.path)
        # Closes the file, which fails because there are bytes left to be written.
        with suppress(OSError):
            writer.abort()
        finish_cut_off(writer.path / f"{writer.path.name}.mcap")
    except (OSError, BagError) as error:
        return BagError(f"{failure}; nor can what was written until then be saved: {error}")
    finally:
        shutil.rmtree(writer.part, ignore_errors=True)
    return BagError(f"{failure}; the messages until then are in the bag, which has no metadata.yaml")
