"""What this package's launch files have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext
from robot_vision.data.replay_params import ReplayParams
from robot_vision.params import STAGES, Setting, StageParams, settings
from robot_vision.ros.lifecycle import AUTOSTART
from robot_vision.ros.parameters import describe
from robot_vision.ros.shared_memory import remove_dead_segments
from robot_vision.ros.spin import export_fastdds_profile

RESPAWN_DELAY_S = 2.0
PIPELINE_PARAMETERS = {
    "image_transport": "camera.image_transport",
    "detector_model": "detector.model",
    "encoder_model": "encoder.model",
    "provider": "session.provider",
    "autostart": "autostart",
}
"""Parameter of the pipeline's nodes that a launch argument sets."""

REPLAY_PARAMETERS = {name: name for name in ("from_topic", "rate", "loop", "start", "duration")}
"""Parameter of `replay_node` that a launch argument sets."""

NOT_GIVEN = ""


def common_arguments(names: Mapping[str, str] = PIPELINE_PARAMETERS) -> list[DeclareLaunchArgument]:
    """Arguments of every launch file; settings that are not given keep the nodes' own defaults.

    Args:
        names: Parameters of the nodes by launch argument.
    """
    params = str(shared("config/perception.yaml"))
    return [
        DeclareLaunchArgument("namespace", default_value="", description="namespace of nodes and result topics"),
        DeclareLaunchArgument("params_file", default_value=params, description="YAML file with parameters"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
        DeclareLaunchArgument("respawn", default_value="false", description="start a node again when its process dies"),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
        *_setting_arguments(names, "params_file or the node"),
    ]


def pipeline_arguments() -> list[DeclareLaunchArgument]:
    """Arguments of a launch file that starts `pipeline_nodes`."""
    composed = DeclareLaunchArgument("composed", default_value="true", description="one process, or one node per stage")
    return [composed, *common_arguments()]


def replay_arguments() -> list[DeclareLaunchArgument]:
    """Arguments of a launch file that replays a recording."""
    return _setting_arguments(REPLAY_PARAMETERS, "replay_node")


def shared(relative: str) -> Path:
    """An installed file or folder of this package.

    Args:
        relative: Path inside its share folder.
    """
    return Path(get_package_share_directory("robot_vision")) / relative


def prepared_transport() -> OpaqueFunction:
    """Sets the Fast DDS profile before the first process starts, for everything that the launch starts."""
    return OpaqueFunction(function=_export_profile)


def given_parameters(context: LaunchContext, names: Mapping[str, str]) -> dict[str, ParameterValue]:
    """The parameters whose launch arguments were given, each of its setting's type.

    Args:
        context: The launch, which knows what arguments were given.
        names: Parameters by launch argument, as in `PIPELINE_PARAMETERS`.

    Returns:
        Values by parameter.
    """
    return {
        parameter: ParameterValue(LaunchConfiguration(argument), value_type=_setting(parameter).kind)
        for argument, parameter in names.items()
        if LaunchConfiguration(argument).perform(context) != NOT_GIVEN
    }


def vision_node(
    context: LaunchContext,
    executable: str,
    remappings: Sequence[tuple[str, Any]],
    parameters: Mapping[str, Any] | None = None,
    names: Mapping[str, str] = PIPELINE_PARAMETERS,
) -> Node:
    """A node of this package that obeys the common arguments.

    It is an ordinary node for launch: with `autostart` it configures and activates itself, without it whoever calls its
    lifecycle services does.

    Args:
        context: The launch, which knows what arguments were given.
        executable: Name of the program.
        remappings: Pairs of names, from and to.
        parameters: Parameters that override those of the file, and give way to those of the launch arguments.
        names: As given to `common_arguments`.

    Returns:
        The action.
    """
    own = {
        "use_sim_time": LaunchConfiguration("use_sim_time"),
        **(parameters or {}),
        **given_parameters(context, names),
    }
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
        on_exit=[OpaqueFunction(function=_free_memory)],
    )


def pipeline_nodes(context: LaunchContext, image: Any, parameters: Mapping[str, Any] | None = None) -> list[Node]:
    """The pipeline of one camera: one node, or with `composed:=false` one node per stage.

    Args:
        context: The launch, which knows what arguments were given.
        image: Camera topic, base name.
        parameters: As in `vision_node`.

    Returns:
        The actions.
    """
    composed = IfCondition(LaunchConfiguration("composed")).evaluate(context)
    stages = ("perception",) if composed else ("detector", "tracker", "encoder")
    return [vision_node(context, f"{stage}_node", [("image", image)], parameters) for stage in stages]


def _setting_arguments(names: Mapping[str, str], otherwise: str) -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            argument,
            default_value=NOT_GIVEN,
            description=f"parameter {parameter}: {describe(_setting(parameter))}. Empty: as {otherwise} says",
        )
        for argument, parameter in names.items()
    ]


def _setting(parameter: str) -> Setting:
    if parameter == AUTOSTART.name:
        return AUTOSTART
    stage, _, name = parameter.rpartition(".")
    kind: type[StageParams] = STAGES[stage] if stage else ReplayParams
    return next(setting for setting in settings(kind) if setting.name == name)


def _export_profile(_context: LaunchContext) -> None:
    export_fastdds_profile()


def _free_memory(_context: LaunchContext) -> None:
    remove_dead_segments()
