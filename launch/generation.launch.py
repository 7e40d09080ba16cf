"""Starts the node that makes images on request: action `generate_image`, service `generate`, topic `generated`."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetLaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.params import STAGES, settings
from robot_vision.ros.launch_parts import (
    NOT_GIVEN,
    PIPELINE_PARAMETERS,
    common_arguments,
    given_parameters,
    prepared_transport,
    vision_node,
)
from robot_vision.ros.parameters import describe

GENERATION_PARAMETERS = {
    "generator_model": "generator.model",
    "load": "generator.load",
    "duty": "generator.duty",
    "threads": "session.threads",
}
"""Parameter of the node that a launch argument sets, beside the common ones."""

SHARED_PARAMETERS = ("provider", "autostart")
"""Those of the pipeline's arguments that mean something here."""


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    without = set(PIPELINE_PARAMETERS) - set(SHARED_PARAMETERS)
    arguments = [argument for argument in common_arguments() if argument.name not in without]
    unset = [SetLaunchConfiguration(name, NOT_GIVEN) for name in sorted(without)]
    return LaunchDescription(
        [*_own_arguments(), *arguments, *unset, prepared_transport(), OpaqueFunction(function=_node)]
    )


def _own_arguments() -> list[DeclareLaunchArgument]:
    known = {f"{stage}.{one.name}": one for stage in ("generator", "session") for one in settings(STAGES[stage])}
    return [
        DeclareLaunchArgument(
            argument,
            default_value=NOT_GIVEN,
            description=f"parameter {name}: {describe(known[name])}. Empty: as params_file or the node says",
        )
        for argument, name in GENERATION_PARAMETERS.items()
    ]


def _node(context: LaunchContext) -> list[Node]:
    return [vision_node(context, "generator_node", [], given_parameters(context, GENERATION_PARAMETERS))]
