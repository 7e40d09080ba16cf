"""What `robot_vision doctor` looks at in the running system: image topics, managed nodes, diagnostics."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.task import Future

from robot_vision.ros.finding import Finding, Level
from robot_vision.ros.graph import endpoints, node_name, read_graph
from robot_vision.ros.message_types import message_class
from robot_vision.ros.qos import camera_qos
from robot_vision.ros.topic_advice import (
    COMPRESSED,
    IMAGE_TYPES,
    RAW,
    SUFFIX,
    Arrivals,
    Wanted,
    activation,
    explain,
    unmet_subscriptions,
)

OWN_PROGRAMS = ("perception_node", "detector_node", "tracker_node", "encoder_node")
SHORTEST_DISCOVERY_S, LONGEST_DISCOVERY_S, QUIET_S = 3.5, 5.0, 0.5
"""Participants that miss one another at first meet at the next announcement: after 3 s, where nothing is configured."""

MOST_TOPICS = 8
QUEUE = 50
CLOCK_TOLERANCE_S = 60.0
_GET_STATE = "lifecycle_msgs/srv/GetState"
_LEVELS: dict[bytes, Level] = {
    DiagnosticStatus.WARN: "WARN",
    DiagnosticStatus.ERROR: "FAIL",
    DiagnosticStatus.STALE: "WARN",
}


class Listener:
    """Counts what comes on one topic, without making message objects of it."""

    def __init__(self, node: Node, wanted: Wanted) -> None:
        """Subscribe.

        Args:
            node: Owner of the subscription.
            wanted: Topic, type and profile.
        """
        self.wanted = wanted
        self.newest_age_s: float | None = None
        self._received = 0
        self._lost: int | None = 0
        self._begin_s = time.monotonic()
        qos = camera_qos([info.qos_profile.reliability for info in node.get_publishers_info_by_topic(wanted.topic)])
        # Deep, so that a moment's delay in this process does not look like a loss on the way.
        qos.depth = QUEUE

        def subscribe(events: SubscriptionEventCallbacks | None) -> None:
            node.create_subscription(
                message_class(wanted.msgtype), wanted.topic, self._on_message, qos, raw=True, event_callbacks=events
            )

        try:
            subscribe(SubscriptionEventCallbacks(message_lost=self._on_lost))
        except UnsupportedEventTypeError:
            self._lost = None
            subscribe(None)

    def arrivals(self) -> Arrivals:
        """What came so far."""
        return Arrivals(time.monotonic() - self._begin_s, self._received, self._lost)

    def _on_message(self, content: bytes) -> None:
        self._received += 1
        # The stamp is first in the header, which is first in the message, after four bytes of CDR encapsulation.
        seconds, nanoseconds = struct.unpack_from("<iI" if content[1] & 1 else ">iI", content, 4)
        self.newest_age_s = time.time() - seconds - nanoseconds / 1e9

    def _on_lost(self, event: Any) -> None:
        self._lost += event.total_count_change


def graph_findings(topic: str, seconds: float) -> Iterator[Finding]:
    """Listen for a while and say what is wrong.

    Args:
        topic: Topic on which images are expected; empty for all image topics and those that this package's nodes want.
        seconds: How long to listen.
    """
    rclpy.init()
    node = Node(f"robot_vision_doctor_{os.getpid()}")
    _discover(node)
    own = own_nodes(node)
    yield _nodes_finding(node, own)
    wanted = _wanted(node, own, topic)
    listeners = [Listener(node, entry) for entry in wanted[:MOST_TOPICS]]
    states = _ask_states(
        node, {*own, *(node_name(info) for entry in wanted for info in node.get_publishers_info_by_topic(entry.topic))}
    )
    statuses: dict[str, DiagnosticStatus] = {}

    def keep(message: DiagnosticArray) -> None:
        statuses.update({status.name: status for status in message.status})

    node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    _spin(node, lambda: False, seconds)
    inactive = _inactive(states)
    yield from lifecycle_findings({name: state for name, state in inactive.items() if name in own})
    yield from diagnostics_findings(statuses, own)
    yield from _topic_findings(node, listeners, inactive)
    if len(wanted) > MOST_TOPICS:
        left = ", ".join(entry.topic for entry in wanted[MOST_TOPICS:])
        yield Finding(
            "WARN", "topics", f"not listened to, name one with --topic: {left}", "robot_vision doctor --topic NAME"
        )
    node.destroy_node()
    rclpy.shutdown()


def own_nodes(node: Node) -> dict[str, str]:
    """Running nodes of this package, by their default names: program by full name.

    Args:
        node: A node that has seen the graph.
    """
    found = node.get_node_names_and_namespaces()
    return {f"{space.rstrip('/')}/{name}": name for name, space in found if name in OWN_PROGRAMS}


def lifecycle_findings(inactive: dict[str, str]) -> Iterator[Finding]:
    """Managed nodes that are not active.

    Args:
        inactive: State by full name of the node.
    """
    for name, state in sorted(inactive.items()):
        yield Finding("WARN", name, f"the node is {state}: it takes no frame", activation(name, state))


def diagnostics_findings(statuses: dict[str, DiagnosticStatus], own: dict[str, str]) -> Iterator[Finding]:
    """What this package's nodes complain about themselves.

    Args:
        statuses: Newest status by name.
        own: Full names of the nodes.
    """
    names = {name.lstrip("/") for name in own}
    for name, status in sorted(statuses.items()):
        if status.level in _LEVELS and name.split(": ")[0] in names:
            mend = f"ros2 topic echo /diagnostics  # after doing what it says; {name} should become OK"
            yield Finding(_LEVELS[status.level], f"diagnostics of {name}", status.message, mend)


def _topic_findings(node: Node, listeners: list[Listener], inactive: dict[str, str]) -> Iterator[Finding]:
    if not listeners:
        text = "no image topic in this domain, and no node of this package that waits for one"
        yield Finding(
            "WARN", "topics", text, "printenv ROS_DOMAIN_ID ROS_AUTOMATIC_DISCOVERY_RANGE  # as for the camera?"
        )
    graph = read_graph(node, [listener.wanted.topic for listener in listeners], inactive)
    for listener in listeners:
        topic = listener.wanted.topic
        yield from explain(listener.wanted, graph, listener.arrivals())
        subscriptions = node.get_subscriptions_info_by_topic(topic)
        others = [info for info in subscriptions if info.node_name != node.get_name()]
        yield from unmet_subscriptions(topic, graph.publishers.get(topic, ()), endpoints(others))
        yield from stamp_findings(topic, listener.newest_age_s)


def stamp_findings(topic: str, age_s: float | None) -> Iterator[Finding]:
    """Whether the camera stamps its images by this machine's clock.

    Args:
        topic: Topic of the images.
        age_s: Age of the newest image in seconds, by the clock of this machine; None without images.
    """
    if age_s is not None and not -CLOCK_TOLERANCE_S < age_s < CLOCK_TOLERANCE_S:
        text = (
            f"stamps are {age_s:.0f} s behind this machine's clock: another machine's clock is wrong, a recording is "
            "replayed, or the camera does not stamp"
        )
        yield Finding("WARN", topic, text, "timedatectl  # on both machines; for a recording: -p use_sim_time:=true")


def _wanted(node: Node, own: dict[str, str], topic: str) -> list[Wanted]:
    """What to listen to: one topic, or what this package's nodes wait for and then every other image topic."""
    found = {entry.topic: entry for name, program in own.items() for entry in _wanted_by(node, name, program)}
    if topic:
        full_name = f"/{topic.lstrip('/')}"
        msgtype = COMPRESSED if full_name.endswith(SUFFIX) else RAW
        return [found.get(full_name, Wanted(full_name, msgtype, camera_qos([])))]
    for name, types in sorted(node.get_topic_names_and_types()):
        for msgtype in IMAGE_TYPES:
            if msgtype in types and node.get_publishers_info_by_topic(name):
                found.setdefault(name, Wanted(name, msgtype, camera_qos([])))
    return list(found.values())


def _wanted_by(node: Node, full_name: str, program: str) -> list[Wanted]:
    space, _, name = full_name.rpartition("/")
    try:
        topics = node.get_subscriber_names_and_types_by_node(name, space or "/")
    except RuntimeError:  # rclpy's NodeNameNonExistentError: it has ended meanwhile
        return []
    return [
        Wanted(topic, msgtype, camera_qos([]), program=program, node=full_name)
        for topic, types in topics
        for msgtype in IMAGE_TYPES
        if msgtype in types
    ]


def _nodes_finding(node: Node, own: dict[str, str]) -> Finding:
    others = len([name for name in node.get_node_names() if not name.startswith("robot_vision_doctor")])
    return Finding("OK", "nodes", f"{others} running; of this package: {', '.join(sorted(own)) or 'none'}")


def _ask_states(node: Node, names: set[str]) -> dict[str, Future]:
    """A request for the state of each of these nodes that is managed."""
    offered = {name for name, types in node.get_service_names_and_types() if _GET_STATE in types}
    futures = {}
    for name in names:
        service = f"{name}/get_state"
        if service in offered:
            client = node.create_client(GetState, service)
            client.wait_for_service(QUIET_S)
            futures[name] = client.call_async(GetState.Request())
    return futures


def _inactive(states: dict[str, Future]) -> dict[str, str]:
    answers = {name: future.result().current_state.label if future.done() else "" for name, future in states.items()}
    return {name: state or "not answering" for name, state in answers.items() if state != "active"}


def _discover(node: Node) -> None:
    """Wait until nothing new has been seen for a moment."""
    begin_s = changed_s = time.monotonic()
    seen: object = None
    while (now_s := time.monotonic()) - begin_s < LONGEST_DISCOVERY_S:
        present = (sorted(node.get_topic_names_and_types()), sorted(node.get_node_names()))
        if present != seen:
            seen, changed_s = present, now_s
        if now_s - begin_s > SHORTEST_DISCOVERY_S and now_s - changed_s > QUIET_S:
            return
        _spin(node, lambda: False, 0.1)


def _spin(node: Node, condition: Callable[[], bool], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while not condition() and (left_s := end_s - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left_s)
