"""Definitions that would misread each other's bytes are told from those that only look different."""

from __future__ import annotations

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from robot_vision.data.type_layout import Fields, difference, fields_of_rosbags, without_bounds

NAME = "my_msgs/msg/Thing"


def fields_of(store):
    """Fields by type, as a rosbags store has them."""

    def known(msgtype: str) -> Fields | None:
        definition = store.get(msgtype)
        return None if definition is None else fields_of_rosbags(definition)

    return known


def defined(text: str, point: str = "float64 x\nfloat64 y"):
    """Fields of one definition and of a type in it."""
    return fields_of({**get_types_from_msg(text, NAME), **get_types_from_msg(point, "my_msgs/msg/Point")})


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("int32 a", "int32 a", ""),
        ("int32 a\nstring b", "string b\nint32 a", "`int32 a` in the recording, `string b`"),
        ("int32 a", "uint32 a", "`int32 a` in the recording, `uint32 a`"),
        ("int32 a", "int32 b", "`int32 b` as installed"),
        ("int32 a", "int32 a\nint32 b", "1 fields in the recording, 2 as installed"),
        ("float64[9] k", "float64[] k", "`double[9] k` in the recording, `sequence<double> k`"),
        ("float64[<=3] k\nstring<=4 s", "float64[] k\nstring s", ""),
        ("", "", ""),
    ],
)
def test_order_names_and_types_count_and_bounds_do_not(before, now, words) -> None:
    found = difference(NAME, defined(before), defined(now))
    assert (found == "") == (words == "")
    assert words in found


def test_a_nested_type_is_compared_too() -> None:
    """The changed field is named where it is."""
    text = "my_msgs/Point[] points"
    found = difference(NAME, defined(text), defined(text, point="float32 x\nfloat32 y"))
    assert "my_msgs/msg/Point" in found
    assert "float x" in found


def test_types_of_ros_1_that_did_not_change_but_for_spelling_pass() -> None:
    """Checked with the definitions of both releases: Noetic's K is Jazzy's k, and the header lost its number."""
    noetic, jazzy = (fields_of(get_typestore(s).fielddefs) for s in (Stores.ROS1_NOETIC, Stores.ROS2_JAZZY))
    for name in ("sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "geometry_msgs/msg/PoseStamped"):
        assert difference(name, noetic, jazzy, ros1=True) == ""
    assert "`" in difference("sensor_msgs/msg/CameraInfo", noetic, jazzy)


def test_a_type_that_a_release_changed_is_found() -> None:
    """Jazzy gave `shape_msgs/SolidPrimitive` a polygon; what Foxy recorded does not hold one."""
    foxy, jazzy = (fields_of(get_typestore(s).fielddefs) for s in (Stores.ROS2_FOXY, Stores.ROS2_JAZZY))
    assert "2 fields in the recording, 3 as installed" in difference("shape_msgs/msg/SolidPrimitive", foxy, jazzy)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sequence<double, 3>", "sequence<double>"),
        ("sequence<string<5>, 3>", "sequence<string>"),
        ("string<9>[2]", "string[2]"),
        ("double[9]", "double[9]"),
    ],
)
def test_bounds(text, expected) -> None:
    assert without_bounds(text) == expected
