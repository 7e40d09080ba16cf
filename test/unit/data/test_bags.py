"""Bags of every storage read the same; damaged ones say what is wrong and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from camera_bags import DELAY_NS, MAKERS, PERIOD_NS, START_NS, header, picture, write_camera_bag
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import BagReader
from robot_vision.data.sources import open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError


@pytest.mark.parametrize("msgtype", sorted(MAKERS))
def test_every_storage_form_and_image_type_gives_the_same_frames(tmp_path, storage, form, msgtype) -> None:
    source = open_source(form(write_camera_bag(tmp_path / "run", storage, msgtype)))
    assert (source.topic, source.msgtype, source.count) == ("/camera/image_raw", msgtype, 5)
    assert (source.duration_s, source.rate_hz) == pytest.approx((0.4, 10.0))
    assert source.stamps_ns() == [START_NS + i * PERIOD_NS for i in range(5)]
    for _ in range(2):
        frames = list(source.frames())
        assert [frame.stamp_ns for frame in frames] == [START_NS + i * PERIOD_NS for i in range(5)]
        for index, frame in enumerate(frames):
            assert frame.frame_id == "cam"
            np.testing.assert_array_equal(frame.rgb, picture(index))


def test_messages_are_the_recorded_bytes_at_the_time_of_recording(tmp_path, storage, form) -> None:
    source = open_source(form(write_camera_bag(tmp_path / "run", storage, "sensor_msgs/msg/Image")))
    store = ros_typestore()
    for index, message in enumerate(source.messages()):
        original = MAKERS[message.msgtype](START_NS + index * PERIOD_NS, picture(index))
        assert bytes(message.data) == bytes(store.serialize_cdr(original, message.msgtype))
        assert message.stamp_ns == START_NS + index * PERIOD_NS + DELAY_NS


def test_reader_agrees_with_the_reference_reader_on_recorded_bags(shared_data) -> None:
    for name in ("gen_person_compressed_mcap", "gen_person_compressed_db3", "gen_person_raw_bgr8_mcap"):
        path = shared_data / "bags" / name
        with AnyReader([path]) as reference, BagReader(path) as bag:
            expected = [(connection.topic, stamp, data) for connection, stamp, data in reference.messages()]
            assert [(m.topic, m.stamp_ns, bytes(m.data)) for m in bag.raw()] == expected
            assert bag.duration_s == pytest.approx((expected[-1][1] - expected[0][1]) / 1e9)


def test_the_same_clip_in_both_storages_gives_equal_frames(shared_data) -> None:
    mcap, db3 = (open_source(shared_data / "bags" / f"gen_person_compressed_{kind}") for kind in ("mcap", "db3"))
    assert mcap.count == db3.count == 60
    for left, right in zip(mcap.frames(), db3.frames(), strict=True):
        assert left.stamp_ns == right.stamp_ns
        np.testing.assert_array_equal(left.rgb, right.rgb)


@pytest.mark.parametrize(
    ("name", "topic", "count", "size_wh"),
    [
        ("fiducials_aruco_images_ros1.bag", None, 1, (1280, 960)),
        ("fiducials_aruco_marker_ros1.bag", None, 1, (1280, 720)),
    ],
)
def test_ros_1_bags_of_real_cameras(shared_data, name, topic, count, size_wh) -> None:
    source = open_source(shared_data / "bags" / name, topic)
    frames = list(source.frames())
    assert (len(frames), source.count) == (count, count)
    assert frames[0].size_wh == size_wh
    assert frames[0].rgb.std() > 10
    message = next(source.messages())
    assert ros_typestore().deserialize_cdr(message.data, message.msgtype).header.frame_id == frames[0].frame_id


def test_several_image_topics_take_the_first_by_name_and_say_so(tmp_path, storage) -> None:
    make = MAKERS["sensor_msgs/msg/Image"]
    with BagWriter(tmp_path / "two", storage) as bag:
        for topic in ("/b/image", "/a/image", "/empty/image"):
            bag.add_topic(topic, "sensor_msgs/msg/Image")
        bag.write("/b/image", 1, make(1, picture(1)))
        bag.write("/a/image", 2, make(2, picture(2)))
    source = open_source(tmp_path / "two")
    assert source.topic == "/a/image"
    assert "/a/image" in source.note
    assert "/b/image" in source.note
    assert "/empty/image" not in source.note
    named = open_source(tmp_path / "two", "/b/image")
    assert [frame.stamp_ns for frame in named.frames()] == [1]
    assert named.note == ""
    with pytest.raises(BagError, match=r"/c/image.*/a/image, /b/image"):
        open_source(tmp_path / "two", "/c/image")


def test_a_bad_frame_inside_a_bag_is_reported_and_skipped_or_ends_the_reading(tmp_path) -> None:
    make = MAKERS["sensor_msgs/msg/CompressedImage"]
    bad = make(2, picture(1))
    bad.data = bad.data[:30]
    with BagWriter(tmp_path / "bad") as bag:
        bag.add_topic("/i", "sensor_msgs/msg/CompressedImage")
        for stamp, message in ((1, make(1, picture(1))), (2, bad), (3, make(3, picture(1)))):
            bag.write("/i", stamp, message)
    source = open_source(tmp_path / "bad")
    errors: list[Exception] = []
    assert [frame.stamp_ns for frame in source.frames(errors.append)] == [1, 3]
    assert len(errors) == 1
    for part in ("bad", "/i", "message 1"):
        assert part in str(errors[0])
    with pytest.raises(type(errors[0])):
        list(source.frames())


def test_definitions_in_the_bag_win_over_the_installed_ones(tmp_path) -> None:
    """A bag of another release of a package with the same type name is read with its own fields."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("string old_field\nint32 number", "vision_msgs/msg/Point2D"))
    with Writer(tmp_path / "old", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/p", "vision_msgs/msg/Point2D", typestore=store)
        message = store.types["vision_msgs/msg/Point2D"]("hello", 7)
        writer.write(connection, 1, store.serialize_cdr(message, "vision_msgs/msg/Point2D"))
    with BagReader(tmp_path / "old") as bag:
        ((_, read),) = bag.messages("/p")
    assert (read.old_field, read.number) == ("hello", 7)


# --- what is wrong, where, and what to do ----------------------------------------------------------------------------


def failure(path: Path) -> str:
    """The message with which a bag is refused, at the latest while it is read."""
    with pytest.raises(BagError) as caught:
        list(open_source(path).frames())
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_missing_path(tmp_path) -> None:
    assert "no such bag" in failure(tmp_path / "nothing")
    assert "no such bag" in failure(tmp_path / "nothing.mcap")


def test_folder_that_is_no_bag(tmp_path) -> None:
    assert "neither metadata.yaml nor" in failure(tmp_path)


def test_other_file(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "not a bag" in failure(path)


@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_empty_and_foreign_files(tmp_path, suffix) -> None:
    path = tmp_path / f"x{suffix}"
    path.touch()
    assert "0 bytes" in failure(path)
    for content in (b"x", b"this is not a bag at all\n" * 100):
        path.write_bytes(content)
        assert "cannot be read as a bag" in failure(path)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.9, 0.999])
def test_cut_off_bags(tmp_path, storage, form, fraction) -> None:
    bag = write_camera_bag(tmp_path / "run", storage, "sensor_msgs/msg/Image", frames=300)
    file = next(entry for entry in bag.iterdir() if entry.suffix in (".mcap", ".db3"))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * fraction)])
    path = form(bag)
    with pytest.raises(BagError) as caught:
        list(open_source(path).frames())
    text = str(caught.value)
    assert str(path).removesuffix("/metadata.yaml") in text
    assert "recover" in text


def test_random_damage_gives_no_other_error(tmp_path, storage) -> None:
    bag = write_camera_bag(tmp_path / "run", storage, "sensor_msgs/msg/CompressedImage", frames=20)
    (bag / "metadata.yaml").unlink()
    file = next(bag.iterdir())
    content = file.read_bytes()
    generator = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(content)
        for position in generator.integers(0, len(content), 6):
            damaged[position] = generator.integers(0, 256)
        file.write_bytes(bytes(damaged))
        try:
            list(open_source(file).frames(lambda error: None))
        except BagError as error:
            assert str(file) in str(error)


def test_metadata_that_is_damaged_or_names_a_missing_file(tmp_path, storage) -> None:
    bag = write_camera_bag(tmp_path / "run", storage, "sensor_msgs/msg/Image")
    metadata = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(metadata[:100])
    assert "cannot be read as a bag" in failure(bag)
    (bag / "metadata.yaml").write_text(metadata)
    for entry in bag.iterdir():
        if entry.suffix != ".yaml":
            entry.unlink()
    assert "missing" in failure(bag)


def test_bag_without_images_lists_its_topics(tmp_path, storage) -> None:
    with BagWriter(tmp_path / "h", storage) as bag:
        bag.add_topic("/head", "std_msgs/msg/Header")
        bag.write("/head", 1, header(1))
    assert "/head (std_msgs/msg/Header, 1 messages)" in failure(tmp_path / "h")
    with BagWriter(tmp_path / "e", storage) as bag:
        bag.add_topic("/i", "sensor_msgs/msg/Image")
    assert "have no message" in failure(tmp_path / "e")


def test_a_recording_still_in_its_write_ahead_log(tmp_path) -> None:
    bag = write_camera_bag(tmp_path / "run", "sqlite3", "sensor_msgs/msg/Image")
    (bag / "run.db3-wal").write_bytes(b"pending")
    assert "unfinished" in failure(bag)
