"""Starts one composed node for several cameras, as `cameras:=front=/cam0/image_raw,rear`, on one set of networks."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.ros.launch_parts import common_arguments, prepared_transport, vision_node


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    arguments = [
        DeclareLaunchArgument(
            "cameras",
            description="names with commas between, each with =topic if its images are not on <name>/image "
            "(base name, without /compressed)",
        ),
        *common_arguments(),
    ]
    return LaunchDescription([*arguments, prepared_transport(), OpaqueFunction(function=_node)])


def _node(context: LaunchContext) -> list[Node]:
    pairs = [entry.strip().partition("=") for entry in LaunchConfiguration("cameras").perform(context).split(",")]
    remappings = [(f"{name}/image", topic) for name, _, topic in pairs if topic]
    return [vision_node(context, "perception_node", remappings, {"camera.names": [name for name, _, _ in pairs]})]
