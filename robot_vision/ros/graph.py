"""The ROS graph as a node sees it, in the terms of `topic_advice`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from robot_vision.ros.fastdds_profile import export_command
from robot_vision.ros.topic_advice import IMAGE_TYPES, Endpoint, Graph


def read_graph(node: Node, topics: Iterable[str], inactive: Mapping[str, str] | None = None) -> Graph:
    """What is known about the publishers of some topics, and of all that have images.

    Args:
        node: The node that looks.
        topics: Full names of topics to look at whatever their type.
        inactive: State of managed nodes that are not active, by full name.

    Returns:
        The graph.
    """
    names = {name for name, types in node.get_topic_names_and_types() if set(types) & set(IMAGE_TYPES)} | set(topics)
    publishers = {name: endpoints(node.get_publishers_info_by_topic(name)) for name in sorted(names) if name}
    return Graph({name: found for name, found in publishers.items() if found}, inactive or {}, export_command())


def endpoints(infos: Iterable[TopicEndpointInfo]) -> list[Endpoint]:
    """Publishers or subscriptions as rclpy gives them.

    Args:
        infos: From `get_publishers_info_by_topic` or `get_subscriptions_info_by_topic`.

    Returns:
        One endpoint each.
    """
    return [Endpoint(node_name(info), info.topic_type, info.qos_profile) for info in infos]


def node_name(info: TopicEndpointInfo) -> str:
    """Full name of the node of an endpoint.

    Args:
        info: The endpoint.
    """
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
