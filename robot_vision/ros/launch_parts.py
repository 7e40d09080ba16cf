"""What this package's launch files have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext
from robot_vision.ros.spin import export_fastdds_profile

RESPAWN_DELAY_S = 2.0
PARAMETERS: dict[str, tuple[str, type]] = {
    "autostart": ("autostart", bool),
    "detector_model": ("detector.model", str),
    "encoder_model": ("encoder.model", str),
    "provider": ("session.provider", str),
}
"""Parameter that a launch argument sets, with its type."""


def common_arguments() -> list[DeclareLaunchArgument]:
    """Arguments of every launch file; settings that are not given keep the nodes' own defaults."""
    params = str(Path(get_package_share_directory("robot_vision")) / "config" / "perception.yaml")
    return [
        DeclareLaunchArgument("namespace", default_value="", description="namespace of nodes and result topics"),
        DeclareLaunchArgument("params_file", default_value=params, description="YAML file with parameters"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
        DeclareLaunchArgument("respawn", default_value="false", description="start a node again when its process dies"),
        *(
            DeclareLaunchArgument(
                name, default_value="", description=f"parameter {parameter}; empty: as params_file or the node says"
            )
            for name, (parameter, _) in PARAMETERS.items()
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
    ]


def exported_profile() -> OpaqueFunction:
    """Sets the Fast DDS profile before the first process starts, for everything that the launch starts."""
    return OpaqueFunction(function=_export_profile)


def vision_node(
    context: LaunchContext,
    executable: str,
    remappings: Sequence[tuple[str, Any]],
    parameters: Mapping[str, Any] | None = None,
) -> Node:
    """A node of this package that obeys the common arguments.

    It is an ordinary node for launch: with `autostart` it configures and activates itself, without it whoever calls its
    lifecycle services does.

    Args:
        context: The launch, which knows what arguments were given.
        executable: Name of the program.
        remappings: Pairs of names, from and to.
        parameters: Parameters that override those of the file.

    Returns:
        The action.
    """
    given = {
        parameter: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (parameter, kind) in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    own = {"use_sim_time": LaunchConfiguration("use_sim_time"), **given, **(parameters or {})}
    return Node(
        package="robot_vision",
        executable=executable,
        namespace=LaunchConfiguration("namespace"),
        remappings=list(remappings),
        parameters=[LaunchConfiguration("params_file"), own],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=RESPAWN_DELAY_S,
    )


def _export_profile(_context: LaunchContext) -> None:
    export_fastdds_profile()
