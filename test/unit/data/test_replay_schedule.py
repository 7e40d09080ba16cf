"""What a replay publishes and when, from bags of every storage."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from camera_bags import header
from rosbags import rosbag1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import RawMessage
from robot_vision.data.described_bag import DescribedBag
from robot_vision.data.replay import bag_playlist, repeated, schedule, selected, valid_topic_name
from robot_vision.data.replay_params import ReplayParams
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, InvalidValueError

HEADER, TEXT = "std_msgs/msg/Header", "std_msgs/msg/String"
SECOND_NS = 10**9


def at(*seconds: float) -> list[RawMessage]:
    """Messages that were recorded at these times."""
    return [RawMessage(round(second * SECOND_NS), b"", TEXT, "/t") for second in seconds]


def times(messages) -> list[float]:
    """When messages were recorded, in seconds."""
    return [message.stamp_ns / SECOND_NS for message in messages]


# --- which messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_s", "duration_s", "expected"),
    [(0, 0, [10, 11, 12, 13]), (1.5, 0, [12, 13]), (1, 2, [11, 12]), (0, 0.5, [10]), (9, 0, [])],
)
def test_a_part_of_a_recording(start_s, duration_s, expected) -> None:
    """The end is exclusive; times count from the first message."""
    assert times(selected(at(10, 11, 12, 13), None, start_s, duration_s)) == expected


def test_a_start_counts_from_the_recording_not_from_the_topic() -> None:
    assert times(selected(at(10, 11, 12), 8 * SECOND_NS, 3.0)) == [11, 12]


def test_a_loop_begins_again_and_an_empty_one_ends() -> None:
    assert times(islice(repeated(lambda: iter(at(1, 2))), 5)) == [1, 2, 1, 2, 1]
    assert list(repeated(lambda: iter(()))) == []


# --- when ------------------------------------------------------------------------------------------------------------


def test_messages_are_due_at_the_recorded_distances() -> None:
    assert [due.offset_s for due in schedule(at(100, 100.5, 103))] == [0, 0.5, 3]
    assert [due.offset_s for due in schedule(at(100, 100.5, 103), rate=2.0)] == [0, 0.25, 1.5]
    assert [due.offset_s for due in schedule(at(100, 100.5, 103), rate=0.0)] == [0, 0, 0]


def test_time_that_goes_back_neither_stalls_nor_bursts() -> None:
    """A clock that was set back by an hour, as at the end of a loop: the pace goes on from there."""
    offsets = [due.offset_s for due in schedule(at(5000, 5001, 1400, 1401, 1402))]
    assert offsets == [0, 1, 1, 2, 3]


def test_the_clock_ticks_between_messages_and_never_goes_beyond_the_next() -> None:
    found = [(due.offset_s, due.stamp_ns / SECOND_NS, due.message is None) for due in schedule(at(10, 11), 2.0, 8.0)]
    assert found == [
        (0, 10, False),
        (0.125, 10.25, True),
        (0.25, 10.5, True),
        (0.375, 10.75, True),
        (0.5, 11, False),
    ]


def test_the_clock_keeps_its_beat_across_messages() -> None:
    """Ten ticks a second stay ten, however many messages lie between them."""
    messages = at(*(0.001 * 37 * index for index in range(100)))
    ticks = [due.offset_s for due in schedule(messages, 1.0, 10.0) if due.message is None]
    assert ticks == pytest.approx([0.1 * number for number in range(1, 37)])


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("/camera/image_raw", "/camera/image_raw"),
        ("fiducial_vertices", "/fiducial_vertices"),
        ("/a//b/", "/a/b"),
        ("/left-cam/image", "/left_cam/image"),
        ("/1/points", "/topic_1/points"),
        ("~status", "/status"),
        ("/", "/topic"),
    ],
)
def test_names_of_ros_1_become_valid(recorded, name) -> None:
    assert valid_topic_name(recorded) == name


# --- bags ------------------------------------------------------------------------------------------------------------


def write_mcap(path: Path, storage: str = "mcap") -> Path:
    """A latched text at 1 s, headers from 2 s on, and an empty topic."""
    store = ros_typestore()
    with BagWriter(path, storage) as bag:
        bag.add_topic("/words", TEXT, latched=True)
        bag.add_topic("/head", HEADER)
        bag.add_topic("/empty", TEXT)
        bag.write("/words", SECOND_NS, store.types[TEXT]("hello"))
        for second in (2, 3, 4):
            bag.write("/head", second * SECOND_NS, header(second))
    return path


def write_sqlite3(path: Path) -> Path:
    """The same in a database."""
    return write_mcap(path, "sqlite3")


def write_zstd(path: Path, mode: CompressionMode = CompressionMode.STORAGE) -> Path:
    """The same with compressed chunks."""
    store = ros_typestore()
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with DescribedBag(write_mcap(path.with_name("plain"))) as plain, writer:
        connections = {
            connection.topic: writer.add_connection(
                connection.topic, connection.msgtype, typestore=store,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )
            for connection in plain._connections
        }  # fmt: skip
        for message in plain.raw():
            writer.write(connections[message.topic], message.stamp_ns, message.data)
    return path


def write_zstd_file(path: Path) -> Path:
    """The same, compressed as a whole."""
    return write_zstd(path, CompressionMode.FILE)


def write_ros1(path: Path) -> Path:
    """The same as ROS 1 records it."""
    store = get_typestore(Stores.ROS1_NOETIC)
    time = store.types["builtin_interfaces/msg/Time"]
    with rosbag1.Writer(path.with_suffix(".bag")) as writer:
        words = writer.add_connection("/words", TEXT, typestore=store, latching=1)
        head = writer.add_connection("/head", HEADER, typestore=store)
        writer.write(words, SECOND_NS, store.serialize_ros1(store.types[TEXT]("hello"), TEXT))
        for second in (2, 3, 4):
            message = store.types[HEADER](seq=7, stamp=time(sec=0, nanosec=second), frame_id="cam")
            writer.write(head, second * SECOND_NS, store.serialize_ros1(message, HEADER))
    return path.with_suffix(".bag")


STORAGES = {
    "mcap": write_mcap,
    "sqlite3": write_sqlite3,
    "mcap with zstd chunks": write_zstd,
    "mcap in a zstd file": write_zstd_file,
    "ROS 1": write_ros1,
}


@pytest.fixture(params=sorted(STORAGES))
def described(request, tmp_path):
    """An open bag of every storage."""
    with DescribedBag(STORAGES[request.param](tmp_path / "bag")) as bag:
        yield bag


def nothing(bag, stream) -> str:
    """Everything can be published."""
    return ""


def test_every_storage_gives_the_same_playlist(described) -> None:
    """Names, bytes, times and latching; topics without messages are left out."""
    store = ros_typestore()
    playlist = bag_playlist(described, ReplayParams(all=True), nothing)
    assert {route.topic: (route.msgtype, route.latched) for route in playlist.routes.values()} == {
        "/words": (TEXT, 1),
        "/head": (HEADER, 0),
    }
    expected = [(SECOND_NS, bytes(store.serialize_cdr(store.types[TEXT]("hello"), TEXT)))]
    expected += [(s * SECOND_NS, bytes(store.serialize_cdr(header(s), HEADER))) for s in (2, 3, 4)]
    for _ in range(2):
        assert [(m.stamp_ns, bytes(m.data)) for m in playlist.messages()] == expected
    assert playlist.origin_ns == SECOND_NS


def test_topics_can_be_chosen_and_a_wrong_one_is_named_with_those_that_are_there(described) -> None:
    playlist = bag_playlist(described, ReplayParams(topics=("/head",)), nothing)
    assert [message.topic for message in playlist.messages()] == ["/head"] * 3
    with pytest.raises(BagError, match=r"/nope, /empty in this bag.*/head \(std_msgs/msg/Header\), /words"):
        bag_playlist(described, ReplayParams(topics=("/head", "/nope", "/empty")), nothing)


def test_what_cannot_be_published_is_named_and_nothing_at_all_is_an_error(described) -> None:
    def no_text(bag, stream) -> str:
        return "no text here" if stream.msgtype == TEXT else ""

    playlist = bag_playlist(described, ReplayParams(all=True), no_text)
    assert playlist.skipped == (f"/words ({TEXT}, 1 messages): no text here",)
    assert {message.topic for message in playlist.messages()} == {"/head"}
    with pytest.raises(BagError, match=r"nothing to publish:\n  /words .*no text here"):
        bag_playlist(described, ReplayParams(topics=("/words",)), no_text)


def test_definitions_are_those_of_the_bag(described) -> None:
    (described_time, described_id) = described.fields(HEADER)[-2:]
    assert described_id == ("frame_id", "string")
    assert described_time[0] == "stamp"
    assert described.fields("no_msgs/msg/Thing") is None


def test_names_that_become_equal_and_a_recorded_clock(tmp_path) -> None:
    """Two types cannot share a topic, and two clocks would contradict each other."""
    store = get_typestore(Stores.ROS1_NOETIC)
    with rosbag1.Writer(tmp_path / "odd.bag") as writer:
        for topic, msgtype in (("a", TEXT), ("/a", HEADER), ("/clock", "rosgraph_msgs/msg/Clock")):
            connection = writer.add_connection(topic, msgtype, typestore=store)
            time = store.types["builtin_interfaces/msg/Time"](0, 1)
            message = {
                TEXT: lambda: store.types[TEXT]("x"),
                HEADER: lambda time=time: store.types[HEADER](0, time, ""),
            }.get(msgtype, lambda time=time: store.types["rosgraph_msgs/msg/Clock"](time))()
            writer.write(connection, 5, store.serialize_ros1(message, msgtype))
    with DescribedBag(tmp_path / "odd.bag") as bag:
        playlist = bag_playlist(bag, ReplayParams(all=True, clock=10.0), nothing)
    skipped = " ".join(playlist.skipped)
    assert "a clock of its own" in skipped
    assert "/a is published with type" in skipped
    assert [route.topic for route in playlist.routes.values()] == ["/a"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"all": True, "topics": ("/a",)}, "give one of them"),
        ({"all": True, "topic": "/other"}, "from:=to"),
        ({"topics": ("/a",), "from_topic": "/b"}, "from:=to"),
        ({"rate": -1.0}, "rate: must be within"),
        ({"clock": -1.0}, "clock: must be within"),
        ({"start": float("nan")}, "start: must be finite"),
    ],
)
def test_settings_that_contradict_each_other_or_are_out_of_range(values, words) -> None:
    with pytest.raises(InvalidValueError, match=words):
        ReplayParams(**values)
