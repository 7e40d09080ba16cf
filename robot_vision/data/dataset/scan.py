"""First reading of a bag: the time of every message of the chosen topics, without decoding them."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from robot_vision.data.bags import BagReader, RawMessage
from robot_vision.data.dataset.settings import Clock
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.types import Int64Array

_LARGEST_OFFSET_S = 1.0


@dataclass(frozen=True, eq=False)
class TopicTimes:
    """When the messages of a topic count.

    Attributes:
        topic: Name as recorded.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        times_ns: (N,) int64, sorted; of equal ones the one recorded later comes later.
        messages: (N,) int64, the position of each in the order of recording.
        clock: Which time it is.
        offset_ms: Median of reception minus header's stamp in milliseconds; NaN without a header.
        out_of_order: Messages with an earlier time than the one recorded before them.
        first: The message recorded first.
    """

    topic: str
    msgtype: str
    times_ns: Int64Array
    messages: Int64Array
    clock: Clock
    offset_ms: float
    out_of_order: int
    first: Any


def scan(
    bag: BagReader, topics: Sequence[str], clock: Clock, on_message: Callable[[], object] = lambda: None
) -> dict[str, TopicTimes]:
    """Read the times of all messages.

    A topic counts from its headers' stamps if that is the clock and every one of its messages has a stamp that is not
    zero, which ROS takes for "not set"; else from reception.

    Args:
        bag: An open bag.
        topics: Names as recorded.
        clock: Which time is wanted.
        on_message: Called after each message.

    Returns:
        The times by topic.

    Raises:
        BagError: If a topic is missing or empty, or the bag is damaged.
        InvalidValueError: If one topic counts from a clock that is far from another's.
    """
    known = bag.topics
    empty = [topic for topic in topics if topic in known and not known[topic].message_count]
    if empty:
        raise BagError(f"{bag.path}: no message on {', '.join(empty)}")
    collected: dict[str, _Collected] = {}
    for message in bag.raw(topics):
        if message.topic not in collected:
            collected[message.topic] = _Collected(message, bag.deserialise(message))
        collected[message.topic].add(message)
        on_message()
    found = {topic: collected[topic].times(clock) for topic in topics}
    _check_clocks(bag, found)
    return found


class _Collected:
    """The times of one topic, 16 bytes a message."""

    def __init__(self, raw: RawMessage, first: Any) -> None:
        self._topic, self._msgtype, self._first = raw.topic, raw.msgtype, first
        self._received, self._stamps = array("q"), array("q")
        names = [entry.name for entry in fields(first)]
        self._has_header = names[0] == "header" and hasattr(first.header, "stamp")

    def add(self, message: RawMessage) -> None:
        self._received.append(message.stamp_ns)
        if self._has_header:
            self._stamps.append(_header_stamp_ns(message.data))

    def times(self, clock: Clock) -> TopicTimes:
        received: Int64Array = np.frombuffer(self._received, np.int64)
        stamps: Int64Array = np.frombuffer(self._stamps, np.int64)
        stamped = self._has_header and bool((stamps != 0).all())
        used: Clock = "header" if clock == "header" and stamped else "reception"
        recorded = stamps if used == "header" else received
        order = np.argsort(recorded, kind="stable").astype(np.int64)
        return TopicTimes(
            self._topic,
            self._msgtype,
            recorded[order],
            order,
            used,
            float(np.median(received - stamps)) / 1e6 if stamped else float("nan"),
            int((np.diff(recorded) < 0).sum()),
            self._first,
        )


def _header_stamp_ns(data: bytes | memoryview) -> int:
    """Stamp of CDR bytes that begin with a std_msgs/Header; byte 1 tells the byte order (DDSI-RTPS 2.5, 10.2)."""
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def _check_clocks(bag: BagReader, found: Mapping[str, TopicTimes]) -> None:
    """Refuse to mix stamps of one clock, such as simulated time, with times of reception of another."""
    received = [times.topic for times in found.values() if times.clock == "reception"]
    for times in found.values():
        if received and times.clock == "header" and not abs(times.offset_ms) <= 1000 * _LARGEST_OFFSET_S:
            raise InvalidValueError(
                f"{bag.path}: {', '.join(received)} count from reception, having no stamps, but the stamps of "
                f"{times.topic} are {times.offset_ms / 1000:.3g} s before it: another clock; use reception for all"
            )
