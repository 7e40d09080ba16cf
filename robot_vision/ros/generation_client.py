"""How a program asks for images and never hangs, whatever becomes of the node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from robot_vision_msgs.action import GenerateImage

from robot_vision.errors import RobotVisionError

Spin = Callable[[float], None]
"""Handles messages for at most so many seconds, such as `lambda wait_s: rclpy.spin_once(node, timeout_sec=wait_s)`."""

CROWD_QOS = QoSProfile(depth=100)
"""Of requests and replies, on both sides: all clients' share one topic, on which those of a crowd push one another out
at ROS's usual depth of 10, and nobody is told."""

_WAIT_S = 0.05


def action_client(node: Node, name: str = "generate_image") -> ActionClient:
    """A client of the action that loses nothing in a crowd of others.

    Args:
        node: Node that owns it.
        name: Name of the action.
    """
    return ActionClient(
        node, GenerateImage, name, goal_service_qos_profile=CROWD_QOS, result_service_qos_profile=CROWD_QOS,
        cancel_service_qos_profile=CROWD_QOS,
    )  # fmt: skip


class GenerationClient:
    """Sends goals to `generate_image`, and gives each of them up when its time is over or the server is gone.

    ROS tells nobody that a server has died: the result of its goals just never comes. Here the publisher of the
    action's feedback stands for the server. The middleware drops it at once when the node ends, and after its lease,
    20 s with Fast DDS, when the process was killed; a new server of the same name is another publisher.
    """

    def __init__(self, node: Node, name: str = "generate_image") -> None:
        """Create the client.

        Args:
            node: Node that owns it.
            name: Name of the action.
        """
        self._node = node
        self._client = action_client(node, name)
        self._feedback_topic = f"{node.resolve_topic_name(name)}/_action/feedback"

    def generate(
        self,
        goal: GenerateImage.Goal,
        spin: Spin,
        timeout_s: float = 60.0,
        on_feedback: Callable[[GenerateImage.Feedback], None] | None = None,
    ) -> GenerateImage.Result:
        """Ask for images and wait for them.

        Args:
            goal: What is asked for.
            spin: Handles messages of the node.
            timeout_s: Longest wait for the result, in seconds; the goal is cancelled then.
            on_feedback: Told about every step.

        Returns:
            The result, whose `success` and `message` tell whether there are images.

        Raises:
            RobotVisionError: If there is no server, it goes away, or the time is over.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._client.server_is_ready():
            self._check_time(deadline_s, "no server was found")
            spin(_WAIT_S)
        servers = self._servers()
        listen = None if on_feedback is None else (lambda message: on_feedback(message.feedback))
        sent = self._client.send_goal_async(goal, listen)
        try:
            handle = self._wait(sent, spin, deadline_s, servers)
        except RobotVisionError:
            # Nobody waits for it any more, should it be accepted after all.
            sent.add_done_callback(lambda late: late.result().cancel_goal_async())
            raise
        try:
            reply = self._wait(handle.get_result_async(), spin, deadline_s, servers)
        except RobotVisionError:
            handle.cancel_goal_async()
            spin(_WAIT_S)
            raise
        if not reply.result.message:  # every result that the generator has given says something
            raise RobotVisionError(f"{self._feedback_topic}: the server does not know the goal; was it started anew?")
        return reply.result

    def destroy(self) -> None:
        """Give the client back."""
        self._client.destroy()

    def _wait(self, future: Future, spin: Spin, deadline_s: float, servers: set[bytes]) -> Any:
        while not future.done():
            self._check_time(deadline_s, "the time is over")
            if not servers <= self._servers():
                raise RobotVisionError(f"{self._feedback_topic}: the server is gone; ask again once it is back")
            spin(_WAIT_S)
        return future.result()

    def _check_time(self, deadline_s: float, reason: str) -> None:
        if time.monotonic() > deadline_s:
            raise RobotVisionError(f"{self._feedback_topic}: {reason}; see `ros2 action list` and generator_node's log")

    def _servers(self) -> set[bytes]:
        return {bytes(info.endpoint_gid) for info in self._node.get_publishers_info_by_topic(self._feedback_topic)}
