"""Publishes a recording as it was recorded: the same bytes, the same stamps, the same pace."""

from __future__ import annotations

import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from robot_vision.data.bags import RawMessage
from robot_vision.data.described_bag import DescribedBag, RecordedStream, known_fields
from robot_vision.data.replay import (
    CLOCK_TOPIC,
    Due,
    Playlist,
    Route,
    bag_playlist,
    camera_playlist,
    repeated,
    schedule,
    selected,
)
from robot_vision.data.replay_params import ReplayParams
from robot_vision.data.sources import open_source
from robot_vision.data.type_layout import difference
from robot_vision.errors import BagError, InvalidValueError, RobotVisionError
from robot_vision.params import settings
from robot_vision.ros.message_types import installed_fields, message_class, why_missing
from robot_vision.ros.parameters import describe, descriptor
from robot_vision.ros.replay_control import KEYS_HELP, POLL_S, ReplayControl, hold, keys, offer_services, served
from robot_vision.ros.spin import END_SIGNALS, EndRequest, export_fastdds_profile, init_interruptible

NAME = "replay_node"
CAMERA_DEPTH = 5
BAG_DEPTH = 100
SETTLE_S = 0.6
ACKNOWLEDGE_S = 2

OnPublished = Callable[[RawMessage, int], None]
"""Gets each message with `time.monotonic_ns()` just before it was published."""


def header_stamp_ns(data: bytes | memoryview) -> int:
    """Stamp of a serialised message that begins with a std_msgs/Header.

    Args:
        data: CDR bytes with encapsulation header (OMG DDSI-RTPS 2.5, 10.5).

    Returns:
        The stamp in integer nanoseconds.
    """
    order = "<" if bytes(data[1:2]) == b"\x01" else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


@contextmanager
def open_playlist(recording: Path, params: ReplayParams) -> Iterator[Playlist]:
    """What a replay publishes.

    Args:
        recording: Bag, or for the images of one camera also a video or a folder of images.
        params: Says which topics.

    Yields:
        The playlist, which can be read within the block.

    Raises:
        BagError: If the recording is missing or damaged, or holds nothing that can be published.
    """
    if not params.whole_bag:
        yield camera_playlist(open_source(recording, params.from_topic or None), params.topic)
        return
    with DescribedBag(recording) as bag:
        yield bag_playlist(bag, params, _obstacle)


def _obstacle(bag: DescribedBag, stream: RecordedStream) -> str:
    """Why a recorded topic cannot be published here; empty if it can."""
    if missing := why_missing(stream.msgtype):
        return missing
    if bag.is_ros1 and known_fields(stream.msgtype) is None:
        return f"{stream.msgtype} of ROS 1 cannot be converted, its ROS 2 definition is not known"
    differs = difference(stream.msgtype, bag.fields, installed_fields, ros1=bag.is_ros1)
    if bag.is_ros1 and not differs:
        differs = difference(stream.msgtype, bag.fields, known_fields, ros1=True)
    return f"recorded with another definition, its bytes would be misread: {differs}" if differs else ""


def replay(
    recording: Path, params: ReplayParams, remappings: Sequence[str] = (), on_published: OnPublished | None = None
) -> int:
    """Publish a recording, and say what was published.

    Args:
        recording: Bag, or for the images of one camera also a video or a folder of images.
        params: What and how.
        remappings: Rules as in `from:=to`.
        on_published: Called for each message.

    Returns:
        Exit status: 0, also after Ctrl-C or SIGTERM.

    Raises:
        RobotVisionError: If no subscriber appears in time, or nothing is recorded in the part that is asked for.
        InvalidValueError: If a remapping is not understood.
        BagError: If the recording is missing or damaged.
    """
    with open_playlist(recording, params) as playlist:
        _show_lines(playlist)
        end = init_interruptible()
        try:
            _play(_node(remappings), playlist, params, end, on_published)
        finally:
            _finish()
    return 0


def _node(remappings: Sequence[str] = ()) -> Node:
    words = [word for rule in remappings for word in ("-r", rule)]
    try:
        return rclpy.create_node(NAME, cli_args=["--ros-args", *words])
    except RuntimeError as error:  # what rclpy says about wrong ROS arguments
        raise InvalidValueError(
            f"remap: expected rules from:=to with valid topic names, got {' '.join(remappings)}"
        ) from error


def _finish() -> None:
    # At its exit Python gives back the handlers of others, and one more Ctrl-C would count as a crash.
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    rclpy.try_shutdown()


def _show_lines(playlist: Playlist) -> None:
    for line in (*playlist.notes, *(f"skipped {entry}" for entry in playlist.skipped)):
        print(line, flush=True)


def _play(
    node: Node, playlist: Playlist, params: ReplayParams, end: EndRequest, on_published: OnPublished | None = None
) -> None:
    """Publish a playlist and print what was published."""
    control = ReplayControl(params.start_paused)
    offer_services(node, control)
    player = Player(node, playlist, params, control, end)
    try:
        with served(node), keys(control) as has_keys:
            if has_keys:
                print(KEYS_HELP, flush=True)
            player.wait_for_subscriber(params.wait)
            player.play(on_published)
            player.wait_for_acknowledgement()
    except KeyboardInterrupt:
        pass
    for line in player.summary(params.whole_bag):
        print(line, flush=True)


class Player:
    """Publishes the messages of a playlist when they are due.

    Attributes:
        counts: Number of published messages by topic.
    """

    def __init__(
        self, node: Node, playlist: Playlist, params: ReplayParams, control: ReplayControl, end: EndRequest
    ) -> None:
        """Create the publishers.

        Args:
            node: Node that owns them.
            playlist: What to publish.
            params: How.
            control: Pauses and steps.
            end: Whether the program has been asked to end.
        """
        self.counts: Counter[str] = Counter()
        self._playlist = playlist
        self._params = params
        self._control = control
        self._end = end
        depth = BAG_DEPTH if params.whole_bag else CAMERA_DEPTH
        by_topic: dict[str, list[Route]] = {}
        for route in playlist.routes.values():
            by_topic.setdefault(route.topic, []).append(route)
        publishers = {topic: _publisher(node, routes, depth) for topic, routes in by_topic.items()}
        self._publishers = {key: publishers[route.topic] for key, route in playlist.routes.items()}
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, 1) if params.clock else None
        self._clock_ns = 0

    def wait_for_subscriber(self, wait_s: float) -> None:
        """Wait until somebody subscribes to any of the topics.

        Args:
            wait_s: Longest wait in seconds; 0 does not wait.

        Raises:
            RobotVisionError: If nobody does.
            KeyboardInterrupt: If the program has been asked to end.
        """
        if wait_s <= 0:
            return
        deadline_s = time.monotonic() + wait_s
        publishers = set(self._publishers.values())
        while not any(publisher.get_subscription_count() for publisher in publishers):
            if self._control.ended:
                return
            if time.monotonic() > deadline_s:
                names = ", ".join(sorted(publisher.topic_name for publisher in publishers))
                raise RobotVisionError(
                    f"nobody subscribed to {names} within {wait_s:g} s; is the node running, in this domain?"
                )
            self._end.sleep(0.02)
        # A subscriber may still change its reliability to match this publisher's.
        self._end.sleep(SETTLE_S)

    def play(self, on_published: OnPublished | None = None) -> None:
        """Publish until the end of the recording, or of patience.

        Args:
            on_published: Called for each message.

        Raises:
            BagError: If the recording is damaged, or nothing is recorded in the part that is asked for.
            KeyboardInterrupt: If the program has been asked to end.
        """
        zero_s: float | None = None
        for due in schedule(self._messages(), self._params.rate, self._params.clock):
            zero_s = time.monotonic() if zero_s is None else zero_s
            zero_s += self._wait_until(zero_s + due.offset_s)
            if self._control.ended:
                return
            self._publish(due, on_published)
        if zero_s is None:
            raise BagError(
                f"{self._playlist.path}: nothing is recorded from {self._params.start:g} s on; start earlier, or play "
                "longer"
            )

    def wait_for_acknowledgement(self) -> None:
        """Give subscribers the time to get the last messages."""
        deadline_s = time.monotonic() + ACKNOWLEDGE_S
        for publisher in set(self._publishers.values()):
            left_s = max(0.0, deadline_s - time.monotonic())
            publisher.wait_for_all_acked(Duration(seconds=left_s))

    def summary(self, by_topic: bool) -> Iterator[str]:
        """What was published, in words.

        Args:
            by_topic: Whether to list the topics.

        Yields:
            One line at a time.
        """
        kind = "messages" if by_topic else "images"
        yield f"published {self.counts.total()} {kind} of {self._playlist.path}"
        if by_topic:
            for name in sorted({publisher.topic_name for publisher in self._publishers.values()}):
                yield f"  {self.counts[name]:7d}  {name}"
            yield from (f"skipped {entry}" for entry in self._playlist.skipped)

    def _messages(self) -> Iterator[RawMessage]:
        def one_pass() -> Iterator[RawMessage]:
            playlist, params = self._playlist, self._params
            return selected(playlist.messages(), playlist.origin_ns, params.start, params.duration)

        return repeated(one_pass) if self._params.loop else one_pass()

    def _wait_until(self, due_s: float) -> float:
        """Wait until a moment of `time.monotonic()`, longer if paused.

        Returns:
            How much later everything after this is due, in seconds.
        """
        shift_s = 0.0
        while not self._control.ended:
            self._end.check()
            if self._control.holds:
                shift_s += hold(self._control, self._end.check, self._repeat_clock, POLL_S)
                continue
            left_s = due_s + shift_s - time.monotonic()
            if self._control.steps:
                return shift_s - max(0.0, left_s)
            if left_s <= 0:
                return shift_s
            time.sleep(min(left_s, POLL_S))
        return shift_s

    def _publish(self, due: Due, on_published: OnPublished | None) -> None:
        self._publish_clock(due.stamp_ns)
        message = due.message
        if message is None:
            return
        publisher = self._publishers[message.topic, message.msgtype]
        now_ns = time.monotonic_ns()
        publisher.publish(bytes(message.data))
        self._control.published()
        self.counts[publisher.topic_name] += 1
        if on_published is not None:
            on_published(message, now_ns)

    def _publish_clock(self, stamp_ns: int) -> None:
        self._clock_ns = stamp_ns
        if self._clock is not None:
            sec, nanosec = divmod(stamp_ns, 1_000_000_000)
            self._clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))

    def _repeat_clock(self) -> None:
        """Let who comes while the replay is paused know the time."""
        if self._clock_ns:
            self._publish_clock(self._clock_ns)


def _publisher(node: Node, routes: Sequence[Route], depth: int) -> Publisher:
    latched = sum(route.latched for route in routes)
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    qos = QoSProfile(depth=latched or depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
    return node.create_publisher(message_class(routes[0].msgtype), routes[0].topic, qos)


def _declared_params(node: Node) -> ReplayParams:
    """The settings given as ROS parameters.

    Raises:
        InvalidValueError: If a value is outside its contract, or a name is no setting's.
    """
    values: dict[str, Any] = {}
    for setting in settings(ReplayParams):
        default = [""] if setting.kind is tuple else setting.default
        try:
            value = node.declare_parameter(setting.name, default, descriptor(setting)).value
        except InvalidParameterValueException as error:
            raise InvalidValueError(f"parameter {setting.name} ({describe(setting)}): {error}") from error
        values[setting.name] = tuple(filter(None, value or ())) if setting.kind is tuple else value
    return ReplayParams(**values)


def main() -> int:
    """Publish the recording that the parameter `bag` names; the other parameters are those of `ReplayParams`.

    Returns:
        Exit status: 0 at the end, or after Ctrl-C or SIGTERM; 1 after an error.
    """
    export_fastdds_profile()
    try:
        end = init_interruptible()
        node = rclpy.create_node(NAME)
        params = _declared_params(node)
        recording = str(node.declare_parameter("bag", "").value)
        if not recording:
            raise InvalidValueError("parameter bag: give the recording to publish, `-p bag:=PATH`")
        with open_playlist(Path(recording), params) as playlist:
            _show_lines(playlist)
            _play(node, playlist, params, end)
    except KeyboardInterrupt:
        pass
    except (RobotVisionError, RuntimeError) as error:  # RuntimeError: what rclpy says about wrong ROS arguments
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    finally:
        _finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
