"""Starts the pipeline: one composed node by default, one node per stage with `composed:=false`."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.ros.spin import export_fastdds_profile


def generate_launch_description() -> LaunchDescription:
    """The launch description; settings not given here keep the nodes' own defaults."""
    arguments = [
        DeclareLaunchArgument(
            "image", default_value="image", description="camera topic (base name, without /compressed)"
        ),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of nodes and result topics"),
        DeclareLaunchArgument("params_file", default_value=_default_params(), description="YAML file with parameters"),
        DeclareLaunchArgument("composed", default_value="true", description="one process, or one node per stage"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
    ]
    export_profile = OpaqueFunction(function=_export_profile)
    composed = LaunchConfiguration("composed")
    nodes = [_node("perception_node", IfCondition(composed))]
    nodes += [_node(f"{stage}_node", UnlessCondition(composed)) for stage in ("detector", "tracker", "encoder")]
    return LaunchDescription([*arguments, export_profile, *nodes])


def _export_profile(_context: LaunchContext) -> None:
    """Set the profile before the first process starts, for everything that this launch starts."""
    export_fastdds_profile()


def _default_params() -> str:
    return str(Path(get_package_share_directory("robot_vision")) / "config" / "perception.yaml")


def _node(executable: str, condition: IfCondition | UnlessCondition) -> Node:
    return Node(
        package="robot_vision",
        executable=executable,
        namespace=LaunchConfiguration("namespace"),
        remappings=[("image", LaunchConfiguration("image"))],
        parameters=[LaunchConfiguration("params_file"), {"use_sim_time": LaunchConfiguration("use_sim_time")}],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        condition=condition,
        output="screen",
    )
