"""Starts the pipeline: one composed node by default, one node per stage with `composed:=false`."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription
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
    composed, image = LaunchConfiguration("composed"), [("image", LaunchConfiguration("image"))]
    nodes = [vision_node("perception_node", image, condition=IfCondition(composed))]
    nodes += [
        vision_node(f"{stage}_node", image, condition=UnlessCondition(composed))
        for stage in ("detector", "tracker", "encoder")
    ]
    return LaunchDescription([*arguments, exported_profile(), *nodes])
