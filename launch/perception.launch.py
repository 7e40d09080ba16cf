"""Starts the pipeline: one composed node by default, one node per stage with `composed:=false`."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.ros.launch_parts import common_arguments, exported_profile, vision_node


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    arguments = [
        DeclareLaunchArgument(
            "image", default_value="image", description="camera topic (base name, without /compressed)"
        ),
        DeclareLaunchArgument("composed", default_value="true", description="one process, or one node per stage"),
        *common_arguments(),
    ]
    return LaunchDescription([*arguments, exported_profile(), OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    composed = IfCondition(LaunchConfiguration("composed")).evaluate(context)
    stages = ("perception",) if composed else ("detector", "tracker", "encoder")
    image = [("image", LaunchConfiguration("image"))]
    return [vision_node(context, f"{stage}_node", image) for stage in stages]
