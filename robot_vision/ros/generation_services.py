"""The action `generate_image` and the service `generate`: requests in, feedback and images out.

Every request ends in a result, a cancellation or a refusal with a reason. A goal that ROS rejects carries no text;
therefore a goal that cannot be met is accepted and aborted at once, with the reason in its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from robot_vision_msgs.action import GenerateImage
from robot_vision_msgs.srv import GenerateImage as GenerateImageService
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from robot_vision.errors import InvalidValueError, RobotVisionError
from robot_vision.generation.request import GenerationRequest, ImageGenerator, Progress
from robot_vision.params import GeneratorParams
from robot_vision.ros.convert import image_from_rgb
from robot_vision.ros.generation_client import CROWD_QOS
from robot_vision.ros.generation_messages import fill_reply, read_request
from robot_vision.ros.generation_queue import Job, JobQueue, Outcome
from robot_vision.ros.lifecycle import when_active
from robot_vision.ros.qos import RESULT_QOS
from robot_vision.types import UInt8Array

RESULT_KEPT_S = 10
"""How long the result of an action waits for a client that asks late, or has vanished."""


class _Reply(NamedTuple):
    """How a request ended, and its images as messages."""

    outcome: Outcome
    images: Sequence[Image]


class _Ticket(NamedTuple):
    """A request that was handed in: its job, None if it was refused, and the `_Reply` to come."""

    job: Job | None
    reply: Future


class Desk:
    """Where requests of both kinds are handed in, and the topic `generated` with the results of all.

    Attributes:
        params: Limits and the like; those of the next request.
        unanswered: How many requests have been taken whose replies are not sent.
    """

    def __init__(
        self, node: Node, queue: JobQueue, params: GeneratorParams, loaded: Callable[[], ImageGenerator | None]
    ) -> None:
        """Create the topic.

        Args:
            node: Node that owns it.
            queue: Where jobs wait.
            params: See the attribute.
            loaded: The model, or None while it is not loaded.
        """
        self.params = params
        self.unanswered = 0
        self._node = node
        self._queue = queue
        self._loaded = loaded
        self._generated = node.create_publisher(Image, "generated", RESULT_QOS)
        self._refuse_inactive = when_active(node, lambda _request, _reply: None)

    def submit(self, request: Any, report: Callable[[Progress], None]) -> _Ticket:
        """Hand in a request.

        Args:
            request: Goal of the action or request of the service; it loses its images.
            report: As in `Job`.

        Returns:
            What to wait for.
        """
        reply = Future(executor=self._node.executor)
        answer = partial(self._on_outcome, reply)
        try:
            job = Job(self._checked(request), report, answer)
            self._put(job)
        except RobotVisionError as error:
            self._queue.refuse(answer, str(error))
        except Exception as error:  # whatever a strange request brings out must not end the node
            self._node.get_logger().error(f"generate: {type(error).__name__}: {error}")
            self._queue.refuse(answer, f"{type(error).__name__}: {error}")
        else:
            return _Ticket(job, reply)
        finally:
            # A goal is kept until its result is forgotten.
            request.init_image, request.mask = Image(), Image()
        return _Ticket(None, reply)

    async def fill(self, reply: Any, ticket: _Ticket) -> Outcome:
        """Wait for the end of a request.

        Args:
            reply: Message to fill.
            ticket: From `submit`.

        Returns:
            How it ended.
        """
        self.unanswered += 1
        try:
            outcome, images = await ticket.reply
        finally:
            self.unanswered -= 1
        fill_reply(reply, outcome, images)
        return outcome

    def cancel(self, job: Job) -> None:
        """Cancel a job.

        Args:
            job: The job.
        """
        self._queue.end(job, Outcome("cancelled by the client", "cancelled"))

    def message_of(self, rgb: UInt8Array) -> Image:
        """An image as a message with the present time.

        Args:
            rgb: (H, W, 3) uint8.
        """
        return image_from_rgb(rgb, Header(stamp=self._node.get_clock().now().to_msg()))

    def _checked(self, request: Any) -> Callable[[ImageGenerator], GenerationRequest]:
        """What completes a request; where the model is loaded, that is done already.

        Raises:
            InvalidValueError: If it is refused.
        """
        inactive = self._refuse_inactive(request, GenerateImageService.Response())
        if inactive is not None:
            raise InvalidValueError(inactive.message)
        complete = read_request(request, self.params)
        generator = self._loaded()
        if generator is None:
            return complete
        values = complete(generator)
        return lambda _generator: values

    def _put(self, job: Job) -> None:
        size = self.params.queue_size
        if not self._queue.put(job, size):
            raise InvalidValueError(
                f"the queue is full: one request runs and {size} may wait (generator.queue_size); ask again later"
            )

    def _on_outcome(self, reply: Future, outcome: Outcome) -> None:
        images: list[Image] = []
        try:
            images = [self.message_of(rgb) for rgb in outcome.images]
            for image in images:
                self._generated.publish(image)
        finally:
            reply.set_result(_Reply(outcome, images))
            # A coroutine that waits for a future does not wake its executor.
            if self._node.executor is not None:
                self._node.executor.wake()


class GenerateImageAction:
    """`generate_image`: feedback after every step, cancelled between any two."""

    def __init__(self, node: Node, desk: Desk) -> None:
        """Offer the action.

        Args:
            node: Node that owns it.
            desk: Where goals are handed in.
        """
        self._desk = desk
        self._jobs: dict[bytes, Job] = {}
        # Reentrant, since a goal that runs would keep its group from everything else.
        ActionServer(
            node, GenerateImage, "generate_image", self._execute, callback_group=ReentrantCallbackGroup(),
            cancel_callback=self._on_cancel, goal_service_qos_profile=CROWD_QOS, result_service_qos_profile=CROWD_QOS,
            cancel_service_qos_profile=CROWD_QOS, result_timeout=RESULT_KEPT_S,
        )  # fmt: skip

    async def _execute(self, goal: ServerGoalHandle) -> GenerateImage.Result:
        key, result = bytes(goal.goal_id.uuid), GenerateImage.Result()
        ticket = self._desk.submit(goal.request, partial(self._report, goal))
        if ticket.job is not None:
            self._jobs[key] = ticket.job
            if goal.is_cancel_requested:
                self._desk.cancel(ticket.job)
        outcome = await self._desk.fill(result, ticket)
        self._jobs.pop(key, None)
        if outcome.success:
            goal.succeed()
        elif outcome.kind == "cancelled":
            goal.canceled()
        else:
            goal.abort()
        return result

    def _report(self, goal: ServerGoalHandle, progress: Progress) -> None:
        feedback = GenerateImage.Feedback(step=progress.step, total=progress.total)
        if goal.request.preview and progress.step % self._desk.params.preview_every == 0:
            feedback.preview = self._desk.message_of(progress.images()[0])
        goal.publish_feedback(feedback)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        job = self._jobs.get(bytes(goal.goal_id.uuid))
        if job is not None:
            self._desk.cancel(job)
        return CancelResponse.ACCEPT


class GenerateService:
    """`generate`: the same in one call, without feedback."""

    def __init__(self, node: Node, desk: Desk) -> None:
        """Offer the service.

        Args:
            node: Node that owns it.
            desk: Where requests are handed in.
        """
        self._desk = desk
        node.create_service(
            GenerateImageService,
            "generate",
            self._on_request,
            qos_profile=CROWD_QOS,
            callback_group=ReentrantCallbackGroup(),
        )

    async def _on_request(
        self, request: GenerateImageService.Request, response: GenerateImageService.Response
    ) -> GenerateImageService.Response:
        await self._desk.fill(response, self._desk.submit(request, lambda _progress: None))
        return response
