"""Every message becomes the same vector by stated rules, or says why not."""

from __future__ import annotations

import numpy as np
import pytest
from camera_bags import header, picture, raw_message
from dataset_bags import START_NS, floats, joints, text, twist

from robot_vision.data.dataset.flatten import flat_layout
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import InvalidValueError


def odometry(x: float):
    types = ros_typestore().types
    pose = types["geometry_msgs/msg/Pose"](
        types["geometry_msgs/msg/Point"](x, 2.0, 3.0), types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.6, 0.8)
    )
    return types["nav_msgs/msg/Odometry"](
        header(START_NS),
        "base",
        types["geometry_msgs/msg/PoseWithCovariance"](pose, np.ones(36)),
        types["geometry_msgs/msg/TwistWithCovariance"](twist(0.5, 0.1), np.ones(36)),
    )


def test_nested_fields_come_in_order_and_covariances_and_text_are_left_out() -> None:
    layout = flat_layout("/odom", odometry(1.0))
    values, mask = layout.vector(odometry(1.0))
    assert values.tolist() == [1.0, 2.0, 3.0, 0.0, 0.0, 0.6, 0.8, 0.5, 0.0, 0.0, 0.0, 0.0, 0.1]
    assert values.dtype == np.float64
    assert mask.all()
    assert layout.names[0] == "pose.pose.position.x"
    assert layout.names[-1] == "twist.twist.angular.z"
    assert layout.left_out == ("child_frame_id", "pose.covariance", "twist.covariance")


def test_fields_can_be_chosen_and_a_named_covariance_is_taken() -> None:
    layout = flat_layout("/odom", odometry(1.0), ("twist.twist.linear.x", "pose.covariance"))
    assert layout.vector(odometry(1.0))[0].tolist() == [1.0] * 36 + [0.5]


def test_joints_are_labelled_with_their_names() -> None:
    layout = flat_layout("/joints", joints(START_NS, [1.0, 2.0], ["hip", "knee"]))
    assert layout.names == ("position[hip]", "position[knee]", "velocity[hip]", "velocity[knee]")


def test_joints_in_another_order_are_an_error() -> None:
    layout = flat_layout("/joints", joints(START_NS, [1.0, 2.0], ["hip", "knee"]))
    with pytest.raises(InvalidValueError, match="/joints: its names changed"):
        layout.vector(joints(START_NS, [2.0, 1.0], ["knee", "hip"]))


def test_an_array_of_another_length_is_an_error_that_says_what_to_do() -> None:
    layout = flat_layout("/values", floats([1.0, 2.0]))
    assert layout.dtype == np.float32
    with pytest.raises(InvalidValueError, match=r"data had 2 values in the first message and has 3.*pad"):
        layout.vector(floats([1.0, 2.0, 3.0]))


def test_padding_fills_with_zeros_and_tells_where() -> None:
    layout = flat_layout("/values", floats([1.0]), pad=3)
    values, mask = layout.vector(floats([4.0, 5.0]))
    assert values.tolist() == [4.0, 5.0, 0.0]
    assert mask.tolist() == [1, 1, 0]
    with pytest.raises(InvalidValueError, match=r"has 4 values.*padded to 3"):
        layout.vector(floats([1.0, 2.0, 3.0, 4.0]))


def test_bools_and_durations_are_numbers() -> None:
    types = ros_typestore().types
    truth = types["std_msgs/msg/Bool"](True)
    assert flat_layout("/b", truth).vector(truth)[0].tolist() == [1.0]
    point = types["trajectory_msgs/msg/JointTrajectoryPoint"](
        np.array([3.0]), np.zeros(0), np.zeros(0), np.zeros(0), types["builtin_interfaces/msg/Duration"](1, 500_000_000)
    )
    assert flat_layout("/p", point).vector(point)[0].tolist() == [3.0, 1.5]


def test_bytes_are_no_numbers_unless_named() -> None:
    image = raw_message(START_NS, picture(0))
    assert "data" in flat_layout("/image", image).left_out
    assert len(flat_layout("/image", image, ("data",)).names) == 6 * 8 * 3


def test_a_type_without_numbers_and_a_field_that_is_not_there_are_errors() -> None:
    with pytest.raises(InvalidValueError, match=r"/words: a std_msgs/msg/String has no numbers"):
        flat_layout("/words", text("hello"))
    with pytest.raises(InvalidValueError, match=r"no numbers in lineal; there are linear\.x"):
        flat_layout("/cmd_vel", twist(1.0), ("lineal",))
