"""Starts the pipeline: one composed node by default, one node per stage with `composed:=false`."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.ros.launch_parts import pipeline_arguments, pipeline_nodes, prepared_transport


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    arguments = [
        DeclareLaunchArgument(
            "image", default_value="image", description="camera topic (base name, without /compressed)"
        ),
        *pipeline_arguments(),
    ]
    return LaunchDescription([*arguments, prepared_transport(), OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    return pipeline_nodes(context, LaunchConfiguration("image"))
