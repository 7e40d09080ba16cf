"""A program with several clients of the generator at once, each with a behaviour of its own; prints how they fared.

Arguments: behaviours, such as patient cancelling rubbish service; or vanishing, at which the program dies by `kill -9`
as soon as its goals are on their way. Output: one line of JSON a request, with behaviour, status and message.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot_vision_msgs.action import GenerateImage
from robot_vision_msgs.srv import GenerateImage as GenerateImageService
from sensor_msgs.msg import Image

from robot_vision.ros.generation_client import CROWD_QOS, action_client

RUBBISH = (
    {"prompt": ""},
    {"prompt": "a unicorn"},
    {"prompt": "a ball", "steps": 10**6},
    {"prompt": "a ball", "guidance": float("nan")},
    {"prompt": "a ball", "init_image": Image(encoding="junk", width=7, height=7, step=1, data=bytes(100_000))},
)
ROUNDS = 5
PATIENCE_S = float(os.environ.get("PATIENCE", "90"))


class Client(Node):
    """Sends one request after another."""

    def __init__(self, behaviour: str, number: int) -> None:
        super().__init__(f"client_{os.getpid()}_{number}")
        self.behaviour, self.left, self.fed, self.stage = behaviour, ROUNDS, False, "new"
        self.random = random.Random(number)
        self.action = action_client(self)
        self.service = self.create_client(GenerateImageService, "/generate", qos_profile=CROWD_QOS)

    def is_ready(self) -> bool:
        return self.action.server_is_ready() and self.service.service_is_ready()

    def begin(self) -> None:
        fields = self.random.choice(RUBBISH) if self.behaviour == "rubbish" else {"prompt": "a ball", "steps": 15}
        if self.behaviour == "service":
            future = self.service.call_async(GenerateImageService.Request(**fields))
            self.stage = "called"
            future.add_done_callback(lambda done: self.finish("reply", done.result()))
            return
        self.stage = "sent"
        sent = self.action.send_goal_async(GenerateImage.Goal(**fields), self.on_feedback)
        sent.add_done_callback(self.on_sent)

    def on_feedback(self, _message: object) -> None:
        self.fed = True

    def on_sent(self, future: rclpy.Future) -> None:
        handle, self.stage = future.result(), "accepted"
        if self.behaviour == "cancelling":
            delay_s = self.random.random() * 0.5
            timer = self.create_timer(delay_s, lambda: (timer.cancel(), handle.cancel_goal_async()))
        self.fed = self.fed or not handle.accepted
        handle.get_result_async().add_done_callback(
            lambda done: self.finish(done.result().status, done.result().result)
        )

    def finish(self, status: object, result: object) -> None:
        print(json.dumps([self.behaviour, status, result.success, result.message]), flush=True)
        is_refused = "the queue is full" in result.message
        self.left -= not (is_refused and self.behaviour == "vanishing")
        if self.left:
            timer = self.create_timer(0.3 if is_refused else 0.01, lambda: (timer.cancel(), self.begin()))


def main() -> int:
    rclpy.init()
    executor = SingleThreadedExecutor()
    clients = [Client(behaviour, number) for number, behaviour in enumerate(sys.argv[1:])]
    for client in clients:
        executor.add_node(client)
    deadline_s = time.monotonic() + PATIENCE_S
    while not all(client.is_ready() for client in clients):
        executor.spin_once(timeout_sec=0.05)
    print("ready", flush=True)
    sys.stdin.readline()
    for client in clients:
        client.begin()
    while any(client.left for client in clients) and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.05)
        if any(client.fed and client.behaviour == "vanishing" for client in clients):
            os.kill(os.getpid(), signal.SIGKILL)
    stuck = [f"{client.behaviour} {client.stage}" for client in clients if client.left]
    print(*stuck, sep="\n", file=sys.stderr)
    return len(stuck)


if __name__ == "__main__":
    sys.exit(main())
