"""Images on request: the action `generate_image`, the service `generate`, the topic `generated`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rclpy.action import ActionServer
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from robot_vision.generation.request import ImageGenerator
from robot_vision.params import GeneratorParams, SessionParams, StageParams
from robot_vision.ros.clocks import STEADY_CLOCK
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.generation_queue import JobQueue
from robot_vision.ros.generation_services import Desk, GenerateImageAction, GenerateService
from robot_vision.ros.generation_worker import Generation, opened_nicely
from robot_vision.ros.lifecycle import StageNode
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.spin import run
from robot_vision.ros.worker import Worker

LONGEST_STEP_S = 20.0
"""How long a deactivation waits for the step that runs, or the model that loads."""
REPLY_TIME_S = 0.5
"""For how long a node that ends still sends the replies of the requests that it has ended."""


class Generating:
    """Serves requests for images, one at a time."""

    def __init__(self, node: StageNode, settings: StageParameters, diagnostics: Diagnostics) -> None:
        """Load the model, unless that waits for the first request, as `lifecycle.MakeWork` says."""
        self._node = node
        params = settings["generator"]
        self._open: Callable[[], ImageGenerator] = partial(_open, params, settings["session"])
        self._generator: ImageGenerator | None = None
        if params.load == "configure":
            self._generator = opened_nicely(self._open, params.niceness)
        self._queue = JobQueue()
        self._generation = Generation(self._queue, self._loaded, params.niceness, params.duty)
        self._desk = Desk(node, self._queue, params, lambda: self._generator)
        GenerateImageAction(node, self._desk)
        GenerateService(node, self._desk)
        self._worker: Worker[Any] | None = None
        diagnostics.watch_stage("generator", self._generation.durations, self._facts)

    @property
    def unanswered(self) -> int:
        """How many requests have been taken whose replies are not sent."""
        return self._desk.unanswered

    def start(self) -> None:
        """Begin to take requests."""
        self._queue.reopen()
        self._worker = Worker("generator", self._queue, self._generation.handle, self._on_error)

    def stop(self) -> bool:
        """End all requests and join the thread; False if the model does not return."""
        return self._worker is None or self._worker.stop(LONGEST_STEP_S)

    def change(self, stage: str, params: StageParams) -> Sequence[Callable[[], None]]:
        """Take over changed settings, as `lifecycle.Work` says."""
        return [partial(self._set_params, params)] if stage == "generator" else []

    def _set_params(self, params: Any) -> None:
        self._desk.params = params
        self._generation.duty.share = params.duty

    def _loaded(self) -> ImageGenerator:
        if self._generator is None:
            self._generator = self._open()
        return self._generator

    def _on_error(self, error: Exception) -> None:
        self._node.get_logger().error(f"generator: {type(error).__name__}: {error}")

    def _facts(self) -> dict[str, str]:
        generator, counts = self._generator, self._queue.counts
        model = {"model": "not loaded yet"}
        if generator is not None:
            model = {"model": generator.name, "model_hash": generator.identity_hash, "device": generator.device}
        kinds = ("done", "refused", "cancelled", "stopped", "failed")
        return {
            **model,
            "steps_per_s": f"{self._generation.durations.rate.hz():.2f}",
            "running": str(self._queue.running),
            "waiting": str(self._queue.waiting),
            **{kind: str(counts[kind]) for kind in kinds},
        }


def _open(params: GeneratorParams, session: SessionParams) -> ImageGenerator:
    from robot_vision.backends.opening import open_generator  # noqa: PLC0415 (may bring heavy libraries)

    return open_generator(params.model, session)


class GeneratorNode(StageNode):
    """A `StageNode` that owes replies: before it destroys what would send them, it lets them go out."""

    def __init__(self) -> None:
        """Declare and read the parameters, as `StageNode` does."""
        super().__init__("generator_node", ("session", "generator"), Generating)

    def close(self) -> bool:
        """End the node in any state, as `StageNode` does."""
        owes_replies = self._owes_replies
        if not self._stop():
            return False
        end_s = time.monotonic() + REPLY_TIME_S
        while owes_replies and time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.05)
        return super().close()

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate, and clean up as soon as the replies are out."""
        if not self._owes_replies:
            return super().on_shutdown(state)
        if not self._stop():
            return TransitionCallbackReturn.ERROR
        timer = self.create_timer(REPLY_TIME_S, lambda: self._release_and_forget(timer), clock=STEADY_CLOCK)
        return TransitionCallbackReturn.SUCCESS

    @property
    def _owes_replies(self) -> bool:
        return isinstance(self._work, Generating) and self._work.unanswered > 0

    def _release_and_forget(self, timer: Timer) -> None:
        self.destroy_timer(timer)
        self._release()

    def _entities(self) -> list[tuple[Callable[[Any], Any], Any]]:
        servers = [waitable for waitable in self.waitables if isinstance(waitable, ActionServer)]
        return [*super()._entities(), *((ActionServer.destroy, server) for server in servers)]


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(GeneratorNode)


if __name__ == "__main__":
    sys.exit(main())
