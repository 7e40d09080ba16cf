"""Bags that are written are whole or not there, and other tools read them."""

from __future__ import annotations

import pytest
from camera_bags import header, picture, raw_message
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, InvalidValueError

IMAGE = "sensor_msgs/msg/Image"


def test_objects_and_bytes_read_back_with_the_reference_reader(tmp_path, storage) -> None:
    message = raw_message(123, picture(3))
    data = ros_typestore().serialize_cdr(message, IMAGE)
    with BagWriter(tmp_path / "out", storage) as bag:
        bag.add_topic("/i", IMAGE)
        bag.add_topic("/label", "std_msgs/msg/Header", latched=True)
        bag.write("/i", 5, message)
        bag.write("/i", 6, data)
        bag.write("/i", 7, bytes(data))
        bag.write("/label", 8, header(8))
    with AnyReader([tmp_path / "out"]) as reader:
        read = [(connection.topic, stamp, bytes(raw)) for connection, stamp, raw in reader.messages()]
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
    assert read[:3] == [("/i", stamp, bytes(data)) for stamp in (5, 6, 7)]
    assert durability == {"/i": QosDurability.VOLATILE, "/label": QosDurability.TRANSIENT_LOCAL}
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == sorted(
        ["metadata.yaml", "out.mcap" if storage == "mcap" else "out.db3"]
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_our_messages_have_the_listed_type_hash_in_metadata(tmp_path) -> None:
    """Published hash of vision_msgs 4.1.1: programs of other people talk to ours only if it is equal."""
    with BagWriter(tmp_path / "out") as bag:
        bag.add_topic("/d", "vision_msgs/msg/Detection2DArray")
        bag.add_topic("/z", "robot_vision_msgs/msg/LatentState")
    text = (tmp_path / "out" / "metadata.yaml").read_text()
    assert "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968" in text


def test_nothing_has_the_bags_name_until_it_is_complete(tmp_path, storage) -> None:
    with BagWriter(tmp_path / "out", storage) as bag:
        bag.add_topic("/i", IMAGE)
        bag.write("/i", 1, raw_message(1, picture(1)))
        assert not (tmp_path / "out").exists()
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "failed", storage) as bag:
        bag.add_topic("/i", IMAGE)
        raise RuntimeError
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_leftovers_of_a_killed_run_are_replaced(tmp_path, storage) -> None:
    stale = tmp_path / "out.part" / "out"
    stale.mkdir(parents=True)
    (stale / "out.mcap").write_bytes(b"half")
    with BagWriter(tmp_path / "out", storage) as bag:
        bag.add_topic("/i", IMAGE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_existing_bag_is_not_overwritten(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "out")
    with pytest.raises(BagError, match="came into being"), BagWriter(tmp_path / "late") as bag:
        bag.add_topic("/i", IMAGE)
        (tmp_path / "late").mkdir()


def test_a_place_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BagError, match="cannot be created"):
        BagWriter(tmp_path / "file" / "out")


def test_wrong_use_says_what_was_wrong(tmp_path) -> None:
    with pytest.raises(InvalidValueError, match="mcap, sqlite3"):
        BagWriter(tmp_path / "x", "zip")
    with BagWriter(tmp_path / "out") as bag:
        bag.add_topic("/i", IMAGE)
        with pytest.raises(InvalidValueError, match="declared before"):
            bag.add_topic("/i", IMAGE)
        with pytest.raises(InvalidValueError, match="no_msgs/msg/Thing"):
            bag.add_topic("/t", "no_msgs/msg/Thing")
        with pytest.raises(InvalidValueError, match="/u was not declared"):
            bag.write("/u", 1, b"")
        with pytest.raises(InvalidValueError, match="negative"):
            bag.write("/i", -1, b"")
        with pytest.raises(InvalidValueError, match=r"Image.*Header"):
            bag.write("/i", 1, header(1))


def test_two_writers_of_one_bag_do_not_spoil_each_other(tmp_path) -> None:
    """What a killed process left is replaced; what a living one writes is not."""
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "half").write_bytes(b"left")
    with BagWriter(tmp_path / "out") as bag:
        bag.add_topic("/label", "std_msgs/msg/Header")
        bag.write("/label", 1, header(1))
        with pytest.raises(BagError, match=r"out\.part: another process is writing this bag"):
            BagWriter(tmp_path / "out")
        bag.write("/label", 2, header(2))
    with AnyReader([tmp_path / "out"]) as reader:
        assert [stamp for _, stamp, _ in reader.messages()] == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
