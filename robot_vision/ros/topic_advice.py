"""Why no image arrives, or not every one: from what the ROS graph says to words and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from rclpy.duration import Duration
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from robot_vision.ros.finding import Finding, Level

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW, COMPRESSED)
SUFFIX = "/compressed"
SIMILAR_SPELLING = 0.8
SHARE_LOST_THAT_FAILS = 0.1
MOST_NAMED = 8
_POLICIES = ("reliability", "durability", "deadline", "liveliness", "liveliness_lease_duration")


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscription of the graph.

    Attributes:
        node: Full name of its node.
        msgtype: Message type, as in `sensor_msgs/msg/Image`.
        qos: Its profile.
    """

    node: str
    msgtype: str
    qos: QoSProfile


@dataclass(frozen=True)
class Wanted:
    """What a node subscribes to.

    Attributes:
        topic: Full name of the topic, with `/compressed` where the transport adds that.
        msgtype: Message type that it takes.
        qos: Profile that it asks for.
        base: Name in the node, without the transport's, that a remapping has on its left.
        program: Executable of the node.
        node: Full name of the node, whose own images are no advice; empty where nobody subscribes yet.
    """

    topic: str
    msgtype: str
    qos: QoSProfile
    base: str = "image"
    program: str = "perception_node"
    node: str = ""


@dataclass(frozen=True)
class Arrivals:
    """What came while a subscription listened.

    Attributes:
        seconds: How long it listened.
        received: Messages received.
        lost: Messages that were sent and did not come; None where that cannot be told.
    """

    seconds: float
    received: int
    lost: int | None


@dataclass(frozen=True)
class Graph:
    """What is known of the other side.

    Attributes:
        publishers: Publishers by topic; at least those of all image topics and of the wanted one.
        inactive: State of each managed node that is not active, by full name.
        loss_command: Command that keeps large images from being lost between processes.
    """

    publishers: Mapping[str, Sequence[Endpoint]]
    inactive: Mapping[str, str] = field(default_factory=dict)
    loss_command: str = ""


def explain(wanted: Wanted, graph: Graph, arrivals: Arrivals) -> list[Finding]:
    """Say what is right or wrong with a subscription to a camera.

    Args:
        wanted: The subscription.
        graph: The other side.
        arrivals: What came.

    Returns:
        At least one finding, the most important first.
    """
    here = graph.publishers.get(wanted.topic, ())
    fitting = [publisher for publisher in here if publisher.msgtype == wanted.msgtype]
    if not here:
        return [_nobody(wanted, graph)]
    if not fitting:
        return [_other_type(wanted, here, graph)]
    unmet = [finding for publisher in fitting for finding in _unmet(wanted.topic, publisher, "this node", wanted.qos)]
    if unmet and not arrivals.received:
        return unmet
    return [_flow(wanted, fitting, graph, arrivals), *unmet]


def unmet_subscriptions(topic: str, publishers: Sequence[Endpoint], subscriptions: Sequence[Endpoint]) -> list[Finding]:
    """Subscriptions of anybody that get nothing from a publisher, since it offers less than they ask for.

    Args:
        topic: Full name of the topic.
        publishers: All that publish there.
        subscriptions: All that subscribe.

    Returns:
        A finding for each policy of each pair that does not match.
    """
    return [
        finding
        for subscription in subscriptions
        for publisher in publishers
        if publisher.msgtype == subscription.msgtype
        for finding in _unmet(topic, publisher, subscription.node, subscription.qos)
    ]


def incompatible_policies(offered: QoSProfile, asked: QoSProfile) -> list[str]:
    """Names of the policies of which a publisher offers less than a subscription asks for.

    Args:
        offered: Profile of the publisher.
        asked: Profile of the subscription.

    Returns:
        Names as in `QoSProfile`; empty if messages can pass.
    """
    return [
        policy
        for policy in _POLICIES
        if qos_check_compatible(_only(policy, offered), _only(policy, asked))[0] == QoSCompatibility.ERROR
    ]


def _only(policy: str, qos: QoSProfile) -> QoSProfile:
    """A profile that differs from the default in one policy."""
    return QoSProfile(depth=1, **{policy: getattr(qos, policy)})


def _unmet(topic: str, publisher: Endpoint, who: str, asked: QoSProfile) -> list[Finding]:
    findings = []
    for policy in incompatible_policies(publisher.qos, asked):
        offer = _value(getattr(publisher.qos, policy))
        text = (
            f"incompatible QoS: {who} asks for {policy} {_value(getattr(asked, policy))}, {publisher.node} offers "
            f"{offer}, so nothing passes between them. Ask for less (the parameter exists where the program allows QoS "
            "overrides), or let the publisher offer more"
        )
        mend = f"--ros-args -p qos_overrides.{topic}.subscription.{policy}:={offer}"
        findings.append(Finding("FAIL", topic, text, f"start {who} with {mend}"))
    return findings


def _value(policy: object) -> str:
    """A policy's value as `qos_overrides` parameters have it."""
    return str(policy.nanoseconds) if isinstance(policy, Duration) else policy.name.lower()


def _nobody(wanted: Wanted, graph: Graph) -> Finding:
    ranked = _other_topics(wanted, graph)
    if not ranked:
        text = f"no publisher on {wanted.topic}, and no image topic at all: start the camera, in the same domain"
        return Finding(
            "FAIL", wanted.topic, text, "printenv ROS_DOMAIN_ID ROS_AUTOMATIC_DISCOVERY_RANGE  # on both sides"
        )
    best, msgtype = ranked[0]
    kind = f"no publisher on {wanted.topic}, but {best} has {msgtype}{_likeness(wanted, best)}"
    return Finding("FAIL", wanted.topic, kind + _named(ranked[1:]), remapping(wanted, best, msgtype))


def _other_type(wanted: Wanted, here: Sequence[Endpoint], graph: Graph) -> Finding:
    found = ", ".join(sorted({f"{publisher.msgtype} (from {publisher.node})" for publisher in here}))
    text = f"type mismatch: {wanted.topic} carries {found}, and the node takes {wanted.msgtype}"
    types = {publisher.msgtype for publisher in here}
    readable = next((msgtype for msgtype in IMAGE_TYPES if msgtype in types), None)
    if readable:
        return Finding("FAIL", wanted.topic, text, remapping(wanted, wanted.topic, readable))
    ranked = _other_topics(wanted, graph)
    if not ranked:
        return Finding("FAIL", wanted.topic, f"{text}; there is no image topic", "ros2 topic list -t")
    return Finding("FAIL", wanted.topic, text + _named(ranked), remapping(wanted, *ranked[0]))


def _flow(wanted: Wanted, publishers: Sequence[Endpoint], graph: Graph, arrivals: Arrivals) -> Finding:
    names = ", ".join(sorted({publisher.node for publisher in publishers}))
    lost, sent = arrivals.lost or 0, arrivals.received + (arrivals.lost or 0)
    if lost:
        level: Level = "FAIL" if lost > SHARE_LOST_THAT_FAILS * sent else "WARN"
        text = (
            f"frames lost in transport: {lost} of {sent} from {names} in {arrivals.seconds:.1f} s; run this in the "
            "shell of the camera, too, and start it again"
        )
        return Finding(level, wanted.topic, text, graph.loss_command)
    if not arrivals.received:
        return _silent(wanted.topic, publishers, graph, arrivals)
    rate = f"{arrivals.received} frames in {arrivals.seconds:.1f} s from {names}"
    if arrivals.lost is None:
        rate += "; this distribution does not tell whether any was lost"
    return Finding("OK", wanted.topic, rate)


def _silent(topic: str, publishers: Sequence[Endpoint], graph: Graph, arrivals: Arrivals) -> Finding:
    for publisher in publishers:
        state = graph.inactive.get(publisher.node)
        if state is not None:
            text = f"{publisher.node} publishes nothing: it is a managed node and {state}"
            return Finding("FAIL", topic, text, activation(publisher.node, state))
    names, seconds = ", ".join(sorted({publisher.node for publisher in publishers})), arrivals.seconds
    if arrivals.lost is None:
        text = (
            f"publisher exists, but no message came from {names} in {seconds:.1f} s: it is silent, or every frame is "
            "lost in transport. Look at its log; then run this in its shell and start it again"
        )
        return Finding("FAIL", topic, text, graph.loss_command)
    text = (
        f"publisher exists but is silent: no message from {names} in {seconds:.1f} s. Look at its log and its device, "
        "and start it again; if it runs in a container, start that with --ipc=host"
    )
    return Finding("FAIL", topic, text, f"ros2 node info {publishers[0].node}")


def activation(node: str, state: str) -> str:
    """The command that makes a managed node work.

    Args:
        node: Full name.
        state: Its present state.
    """
    first = f"ros2 lifecycle set {node} configure && " if state == "unconfigured" else ""
    return f"{first}ros2 lifecycle set {node} activate"


def remapping(wanted: Wanted, topic: str, msgtype: str) -> str:
    """The command that starts the node on another topic.

    Args:
        wanted: What it subscribes to now.
        topic: Full name of a topic that has images.
        msgtype: Their type.
    """
    compressed = msgtype == COMPRESSED
    base = (topic.removesuffix(SUFFIX) or topic) if compressed else topic
    options = f"-r {wanted.base}:={base}"
    if compressed and base == topic:
        # The node looks for <base>/compressed, as image_transport does.
        options += f" -r {base}{SUFFIX}:={topic}"
    if msgtype != wanted.msgtype:
        options += f" -p camera.image_transport:={'compressed' if compressed else 'raw'}"
    elif compressed:
        options += " -p camera.image_transport:=compressed"
    return f"ros2 run robot_vision {wanted.program} --ros-args {options}"


def _other_topics(wanted: Wanted, graph: Graph) -> list[tuple[str, str]]:
    """Image topics with a publisher and their types, the likeliest to be meant first."""
    found = [
        (topic, msgtype)
        for topic, publishers in graph.publishers.items()
        for msgtype in IMAGE_TYPES
        if topic != wanted.topic
        and any(publisher.msgtype == msgtype and publisher.node != wanted.node for publisher in publishers)
    ]

    def order(candidate: tuple[str, str]) -> tuple[bool, bool, float, bool, str]:
        topic, msgtype = candidate
        same, moved, ratio = _compare(wanted, topic)
        return (not same, not moved, -ratio, msgtype != wanted.msgtype, topic)

    return sorted(found, key=order)


def _compare(wanted: Wanted, topic: str) -> tuple[bool, bool, float]:
    """Whether only the transport differs; whether only a leading namespace does; how alike the names are spelled."""
    mine, other = _camera_of(wanted.topic), _camera_of(topic)
    moved = mine != other and (mine.endswith(other) or other.endswith(mine))
    return mine == other, moved, SequenceMatcher(None, mine, other).ratio()


def _camera_of(topic: str) -> str:
    while topic.endswith(SUFFIX) and topic != SUFFIX:
        topic = topic.removesuffix(SUFFIX)
    return topic


def _likeness(wanted: Wanted, topic: str) -> str:
    same, moved, ratio = _compare(wanted, topic)
    if same:
        return ", the same camera in another transport"
    if moved:
        return ", which differs in its namespace only"
    return ", which is spelled nearly so" if ratio >= SIMILAR_SPELLING else ""


def _named(candidates: Iterable[tuple[str, str]]) -> str:
    topics = list(dict.fromkeys(topic for topic, _ in candidates))
    if not topics:
        return ""
    more = f" and {len(topics) - MOST_NAMED} more" if len(topics) > MOST_NAMED else ""
    return f"; other image topics: {', '.join(topics[:MOST_NAMED])}{more}"
