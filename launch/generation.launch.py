"""Starts the node that makes images on request: action `generate_image`, service `generate`, topic `generated`."""

from __future__ import annotations

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.ros.launch_parts import common_arguments, prepared_transport, vision_node

GENERATION_PARAMETERS = {
    "generator_model": "generator.model",
    "load": "generator.load",
    "duty": "generator.duty",
    "threads": "session.threads",
    "provider": "session.provider",
    "autostart": "autostart",
}
"""Parameter of the node that a launch argument sets."""


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    arguments = common_arguments(GENERATION_PARAMETERS)
    return LaunchDescription([*arguments, prepared_transport(), OpaqueFunction(function=_node)])


def _node(context: LaunchContext) -> list[Node]:
    return [vision_node(context, "generator_node", [], names=GENERATION_PARAMETERS)]
