"""What tests of the generator share: its model, a node with it, and goals on their way."""

from __future__ import annotations

from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from generation_model import write_diffusion_model
from lifecycle_rig import Manager
from rclpy.action import ActionClient
from robot_vision_msgs.action import GenerateImage
from robot_vision_msgs.srv import GenerateImage as GenerateImageService

DONE, CANCELLED, ABORTED = GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED
SLOW = 60
"""Convolutions of a model whose steps take about 50 ms."""


def goal_message(**fields: object) -> GenerateImage.Goal:
    """A goal that is in order, unless the fields say otherwise."""
    return GenerateImage.Goal(**{"prompt": "a red ball", **fields})


class Goal:
    """A goal that was sent, what was said about it, and how it ended."""

    def __init__(self, rig: Rig, **fields: object) -> None:
        self.rig = rig
        self.feedback: list[GenerateImage.Feedback] = []
        sent = rig.client.send_goal_async(
            goal_message(**fields), lambda message: self.feedback.append(message.feedback)
        )
        rig.bench.until(sent.done, "the acceptance of a goal")
        self.handle = sent.result()
        assert self.handle.accepted, "a refused goal is accepted and aborted, since a rejection has no text"
        self._result = self.handle.get_result_async()

    @property
    def step(self) -> int:
        return self.feedback[-1].step if self.feedback else 0

    @property
    def ended(self) -> bool:
        return self._result.done()

    def wait(self) -> tuple[int, GenerateImage.Result]:
        """Status and result."""
        self.rig.bench.until(self._result.done, "the result")
        return self._result.result().status, self._result.result().result

    def until_step(self, step: int) -> None:
        self.rig.bench.until(lambda: self.step >= step, f"step {step}")

    def cancel(self) -> None:
        reply = self.handle.cancel_goal_async()
        self.rig.bench.until(reply.done, "the reply to the cancellation")


class Rig:
    """A generator node with a small model of its own, its manager and its clients."""

    def __init__(self, bench, folder: Path, *parameters: str, convolutions: int = SLOW) -> None:
        pytest.importorskip("onnx", reason="needs onnx: run the tests with `make test`")
        self.bench = bench
        self.card = write_diffusion_model(folder, convolutions)
        self.parameters = (f"generator.model:={self.card}", *parameters)
        self.manager = Manager(bench, "generator_node", *self.parameters)
        self.client = ActionClient(bench.node, GenerateImage, "/generate_image")
        self.service = bench.node.create_client(GenerateImageService, "/generate")
        self.facts: dict[str, str] = {}
        self.level = b""
        bench.node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)

    @property
    def pid(self) -> int:
        return self.manager.process.pid

    def ready(self) -> Rig:
        self.bench.until(lambda: self.client.server_is_ready() and self.service.service_is_ready(), "the action")
        self.bench.meet("/generate")
        return self

    def goal(self, **fields: object) -> Goal:
        return Goal(self, **fields)

    def call(self, **fields: object) -> GenerateImageService.Response:
        """The reply of the service."""
        request = GenerateImageService.Request(**{"prompt": "a red ball", **fields})
        return self.manager.call(self.service, request)

    def until_fact(self, key: str, value: str) -> None:
        self.bench.until(lambda: self.facts.get(key) == value, f"{key} {value} in diagnostics, which say {self.facts}")

    def threads(self) -> list[int]:
        return sorted(int(path.name) for path in Path(f"/proc/{self.pid}/task").iterdir())

    def _keep(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("generator_node: generator"):
                self.facts, self.level = {pair.key: pair.value for pair in status.values}, status.level
