"""What a replay publishes and when: selection of a recording's messages, their schedule, and the clock's ticks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from robot_vision.data.bags import RawMessage
from robot_vision.data.described_bag import DescribedBag, RecordedStream
from robot_vision.data.replay_params import ReplayParams
from robot_vision.data.sources import COMPRESSED_IMAGE, ImageSource
from robot_vision.errors import BagError

CLOCK_TOPIC = "/clock"


def valid_topic_name(recorded: str) -> str:
    """A full ROS 2 topic name for a recorded one (ROS 2 design, "Topic and Service name mapping").

    Args:
        recorded: Name in a bag; ROS 1 also recorded relative names, and allowed what ROS 2 does not.

    Returns:
        The same name if it is valid, else one as similar as possible.
    """
    tokens = [re.sub(r"[^A-Za-z0-9_]", "_", token.lstrip("~")) for token in recorded.split("/")]
    named = [f"topic_{token}" if token[0].isdigit() else token for token in tokens if token]
    return "/" + ("/".join(named) or "topic")


class Route(NamedTuple):
    """Where the messages of one recorded topic and type go.

    Attributes:
        topic: Name to publish under, before remapping.
        msgtype: Type as in `sensor_msgs/msg/Image`.
        latched: Number of messages for late subscribers; 0 publishes to present ones only.
    """

    topic: str
    msgtype: str
    latched: int = 0


@dataclass(frozen=True)
class Playlist:
    """What a replay publishes, which can be read any number of times.

    Attributes:
        path: The recording.
        routes: By recorded topic and type.
        messages: Reads the messages of all routes in the order of recording.
        origin_ns: Recorded time from which a start is counted; None for that of the first message.
        skipped: Topics that are not published, each with the reason.
        notes: What else the user should know.
    """

    path: Path
    routes: Mapping[tuple[str, str], Route]
    messages: Callable[[], Iterator[RawMessage]]
    origin_ns: int | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def camera_playlist(source: ImageSource, topic: str) -> Playlist:
    """The images of one camera, published under another name.

    Args:
        source: The recording.
        topic: Base name; compressed images go to `<topic>/compressed`.

    Returns:
        The playlist.
    """
    full = f"{topic}/compressed" if source.msgtype == COMPRESSED_IMAGE else topic
    routes = {(source.topic, source.msgtype): Route(full, source.msgtype)}
    return Playlist(source.path, routes, source.messages, notes=(source.note,) if source.note else ())


def bag_playlist(
    bag: DescribedBag, params: ReplayParams, obstacle: Callable[[DescribedBag, RecordedStream], str]
) -> Playlist:
    """Topics of a bag, published under their own names.

    Args:
        bag: An open bag; must stay open while the playlist is read.
        params: Says which topics, and whether `/clock` is made here.
        obstacle: Says why a stream cannot be published; empty if it can.

    Returns:
        The playlist.

    Raises:
        BagError: If a topic asked for is not in the bag, or nothing can be published.
    """
    routes: dict[tuple[str, str], Route] = {}
    taken: dict[str, str] = {}
    skipped, notes = [], []
    for stream in _wanted(bag, params.topics):
        name = valid_topic_name(stream.topic)
        reason = obstacle(bag, stream)
        if params.clock and name == CLOCK_TOPIC:
            reason = "the replay publishes a clock of its own"
        elif taken.get(name, stream.msgtype) != stream.msgtype:
            reason = f"{name} is published with type {taken[name]}"
        if reason:
            skipped.append(f"{stream.topic} ({stream.msgtype}, {stream.message_count} messages): {reason}")
            continue
        if name != stream.topic:
            notes.append(f"{stream.topic} is published as {name}")
        taken[name] = stream.msgtype
        routes[stream.topic, stream.msgtype] = Route(name, stream.msgtype, stream.latched)
    if not routes:
        listed = "".join(f"\n  {entry}" for entry in skipped)
        raise BagError(f"{bag.path}: there is nothing to publish{':' if listed else ', the bag is empty'}{listed}")
    topics = {topic for topic, _ in routes}

    def messages() -> Iterator[RawMessage]:
        return (message for message in bag.raw(topics) if (message.topic, message.msgtype) in routes)

    return Playlist(bag.path, routes, messages, bag.start_ns, tuple(skipped), tuple(notes))


def _wanted(bag: DescribedBag, topics: Collection[str]) -> list[RecordedStream]:
    """The streams of some topics, which may be given as recorded or as published; all if none is given."""
    streams = bag.streams()
    if not topics:
        return streams
    names = {stream.topic: {stream.topic, valid_topic_name(stream.topic)} for stream in streams}
    missing = [topic for topic in topics if not any(topic in known for known in names.values())]
    if missing:
        listed = ", ".join(f"{stream.topic} ({stream.msgtype})" for stream in streams) or "none"
        raise BagError(
            f"{bag.path}: no message on topic {', '.join(missing)} in this bag; its topics with messages are: {listed}"
        )
    return [stream for stream in streams if names[stream.topic] & set(topics)]


def selected(
    messages: Iterable[RawMessage], origin_ns: int | None = None, start_s: float = 0.0, duration_s: float = 0.0
) -> Iterator[RawMessage]:
    """The messages of a part of a recording.

    Args:
        messages: In the order of recording.
        origin_ns: Recorded time from which `start_s` is counted, in nanoseconds; None for that of the first message.
        start_s: Messages before this time are left out.
        duration_s: Ends before the first message that is so much later than `start_s`; 0 takes all.

    Yields:
        One message at a time.
    """
    first_ns, last_ns = None, math.inf
    for message in messages:
        if first_ns is None:
            first_ns = (message.stamp_ns if origin_ns is None else origin_ns) + round(start_s * 1e9)
            last_ns = first_ns + round(duration_s * 1e9) if duration_s else math.inf
        if message.stamp_ns >= last_ns:
            return
        if message.stamp_ns >= first_ns:
            yield message


def repeated(make: Callable[[], Iterator[RawMessage]]) -> Iterator[RawMessage]:
    """The same messages again and again.

    Args:
        make: Begins to read them.

    Yields:
        One message at a time, without end, unless there is none.
    """
    is_empty = False
    while not is_empty:
        is_empty = True
        for message in make():
            is_empty = False
            yield message


class Due(NamedTuple):
    """What is to be published at some moment.

    Attributes:
        offset_s: The moment, in seconds since the replay began.
        stamp_ns: Recorded time at that moment in nanoseconds.
        message: The message; None for a tick of the clock alone.
    """

    offset_s: float
    stamp_ns: int
    message: RawMessage | None


def schedule(messages: Iterable[RawMessage], rate: float = 1.0, clock_hz: float = 0.0) -> Iterator[Due]:
    """When each message is due, and between them the ticks of the clock.

    Where recorded time goes back, at the end of a loop or inside a recording, the next message is due at once and the
    pace goes on from there.

    Args:
        messages: In the order in which they are to be published.
        rate: Factor on the recorded pace; 0 makes everything due at once.
        clock_hz: Ticks a second; 0 for none.

    Yields:
        One `Due` at a time, with `offset_s` never decreasing.
    """
    elapsed_ns = 0
    last: Due | None = None
    for message in messages:
        if last is not None:
            elapsed_ns += max(0, message.stamp_ns - last.stamp_ns)
        due = Due(elapsed_ns / 1e9 / rate if rate else 0.0, message.stamp_ns, message)
        if last is not None and clock_hz:
            yield from _ticks(last, due, rate, clock_hz)
        yield due
        last = due


def _ticks(last: Due, due: Due, rate: float, clock_hz: float) -> Iterator[Due]:
    number = math.floor(last.offset_s * clock_hz) + 1
    while (offset_s := number / clock_hz) < due.offset_s:
        yield Due(offset_s, last.stamp_ns + round((offset_s - last.offset_s) * rate * 1e9), None)
        number += 1
