"""Replays a recording into the pipeline: a shipped sample, or `bag:=PATH` with images of one camera."""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robot_vision.data.replay_params import CAMERA_TOPIC
from robot_vision.data.sources import COMPRESSED_IMAGE, open_source
from robot_vision.ros.launch_parts import (
    REPLAY_PARAMETERS,
    given_parameters,
    pipeline_arguments,
    pipeline_nodes,
    prepared_transport,
    replay_arguments,
    shared,
)

CLOCK_HZ = 100.0


def generate_launch_description() -> LaunchDescription:
    """The launch description."""
    sample = str(shared("samples/simworld_handheld"))
    arguments = [
        DeclareLaunchArgument("bag", default_value=sample, description="bag, video or folder of images"),
        DeclareLaunchArgument("end_with_replay", default_value="false", description="end all when the replay ends"),
        *replay_arguments(),
        *pipeline_arguments(),
    ]
    return LaunchDescription([*arguments, prepared_transport(), OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    bag, topic = (LaunchConfiguration(name).perform(context) for name in ("bag", "from_topic"))
    source = open_source(bag, topic or None)
    transport = "compressed" if source.msgtype == COMPRESSED_IMAGE else "raw"
    pipeline = pipeline_nodes(context, CAMERA_TOPIC, {"camera.image_transport": transport})
    return [*pipeline, _replay_node(context)]


def _replay_node(context: LaunchContext) -> Node:
    with_clock = IfCondition(LaunchConfiguration("use_sim_time")).evaluate(context)
    ends_all = IfCondition(LaunchConfiguration("end_with_replay")).evaluate(context)
    parameters = {
        "bag": LaunchConfiguration("bag"),
        **({"clock": CLOCK_HZ} if with_clock else {}),
        **given_parameters(context, REPLAY_PARAMETERS),
    }
    return Node(
        package="robot_vision",
        executable="replay_node",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        on_exit=[Shutdown(reason="the replay has ended")] if ends_all else None,
    )
