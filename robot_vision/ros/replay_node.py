"""Publishes a recorded camera as it was recorded: the same bytes, the same stamps, the same pace."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from robot_vision.data.bags import RawMessage
from robot_vision.data.sources import COMPRESSED_IMAGE, ImageSource
from robot_vision.errors import RobotVisionError
from robot_vision.ros.spin import EndRequest, init_interruptible

REPLAY_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
SETTLE_S = 0.6
ACKNOWLEDGE_S = 2


@dataclass(frozen=True)
class ReplayOptions:
    """How to replay.

    Attributes:
        topic: Base name of the topic; compressed images go to `<topic>/compressed`.
        rate: Factor on the recorded pace; 0 publishes as fast as possible.
        wait_s: Longest wait for a subscriber in seconds; 0 starts at once.
    """

    topic: str = "/camera/image"
    rate: float = 1.0
    wait_s: float = 20.0


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


def replay(source: ImageSource, options: ReplayOptions) -> list[tuple[int, int]]:
    """Publish every image of a recording.

    Args:
        source: The recording.
        options: Topic and pace.

    Returns:
        Header stamp and `time.monotonic_ns()` just before publishing, one pair an image.

    Raises:
        RobotVisionError: If no subscriber appears in time.
        BagError: If the recording is damaged.
    """
    compressed = source.msgtype == COMPRESSED_IMAGE
    topic = options.topic + ("/compressed" if compressed else "")
    end = init_interruptible()
    try:
        node = rclpy.create_node("replay_node")
        publisher = node.create_publisher(CompressedImage if compressed else Image, topic, REPLAY_QOS)
        _wait_for_subscriber(publisher, topic, options.wait_s, end)
        published = []
        for message in _paced(source.messages(), options.rate, end):
            now_ns = time.monotonic_ns()
            publisher.publish(bytes(message.data))
            published.append((header_stamp_ns(message.data), now_ns))
        publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
        return published
    finally:
        rclpy.try_shutdown()


def _wait_for_subscriber(publisher, topic: str, wait_s: float, end: EndRequest) -> None:  # noqa: ANN001 (generic)
    if wait_s <= 0:
        return
    deadline_s = time.monotonic() + wait_s
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline_s:
            raise RobotVisionError(
                f"nobody subscribed to {topic} within {wait_s:g} s; is the node running, in this domain?"
            )
        end.sleep(0.02)
    # A subscriber may still change its reliability to match this publisher's.
    end.sleep(SETTLE_S)


def _paced(messages: Iterator[RawMessage], rate: float, end: EndRequest) -> Iterator[RawMessage]:
    start_s, first_ns = None, 0
    for message in messages:
        if start_s is None:
            start_s, first_ns = time.monotonic(), message.stamp_ns
        elif rate > 0:
            due_s = start_s + (message.stamp_ns - first_ns) / 1e9 / rate
            end.sleep(due_s - time.monotonic())
        end.check()
        yield message
