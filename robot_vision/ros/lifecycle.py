"""Managed nodes: the states of ROS 2's lifecycle, and what a node of stages does on the way from one to the next."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from robot_vision.errors import RobotVisionError
from robot_vision.params import Setting, StageParams
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters, describe

AUTOSTART = Setting(
    "autostart", bool, True, "configure and activate the node at its start; else a lifecycle manager or a user does it"
)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=Any)


class Work(Protocol):
    """What a configured node can do: it holds the networks, and the threads while they run."""

    def start(self) -> None:
        """Subscribe to the input and start the threads, for a new sequence of frames."""

    def stop(self) -> bool:
        """Leave the input topics and join the threads, after any `start`.

        Returns:
            Whether they ended; if a network does not return, it may be called once more.
        """

    def change(self, stage: str, params: StageParams) -> Sequence[Callable[[], None]]:
        """See whether changed settings can be taken over.

        Args:
            stage: The stage whose settings change.
            params: Its new settings.

        Returns:
            Steps that put them in force, and cannot fail.

        Raises:
            RobotVisionError: If they cannot.
        """


MakeWork = Callable[["StageNode", StageParameters, Diagnostics], Work]
"""Loads the networks and creates publishers and services on the node; raises RobotVisionError if that cannot be."""


class StageNode(LifecycleNode):
    """A node that runs stages, managed as in https://design.ros2.org/articles/node_lifecycle.html.

    - configure loads the networks, runs each once, and creates publishers, services and diagnostics;
    - activate subscribes and starts the threads: a new sequence, in which no track of the last one lives on;
    - deactivate leaves the input topics and joins the threads; publishers stay, services refuse with a reason;
    - cleanup frees the networks and takes back what configure created;
    - shutdown does both, from any state.

    If configure or activate fails, the node stays in the state before and the log says why. Deactivated while a network
    does not return from its run, the node is finalized, since it holds a thread that nobody can stop.

    All transitions run in the thread that spins the node.
    """

    def __init__(self, name: str, stages: Sequence[str], make_work: MakeWork) -> None:
        """Declare and read the parameters; the node is unconfigured.

        Args:
            name: Name of the node.
            stages: Keys of `robot_vision.params.STAGES`: whose settings the node has.
            make_work: Builds what the node does, at every configure.

        Raises:
            InvalidValueError: If a value given at start is outside its contract, or a name is no setting's.
        """
        super().__init__(name)
        self._answer_change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state
        self._settings = StageParameters(self, stages, self._change)
        described = ParameterDescriptor(description=describe(AUTOSTART), read_only=True, dynamic_typing=True)
        self._autostart = AUTOSTART.check(self.declare_parameter(AUTOSTART.name, AUTOSTART.default, described).value)
        self._make_work = make_work
        self._work: Work | None = None
        self._diagnostics: Diagnostics | None = None
        self._created: list[tuple[Callable[[Any], bool], Any]] = []
        self._started = self.is_active = False

    def load(self) -> bool:
        """Configure the node, if `autostart` says so.

        Returns:
            Whether the node may go on; if not, the log says why.
        """
        if not self._autostart:
            command = f"ros2 lifecycle set {self.get_fully_qualified_name()} configure"
            self.get_logger().info(f"unconfigured: waiting for a lifecycle manager, or {command}")
            return True
        return self.trigger_configure() == TransitionCallbackReturn.SUCCESS

    def start(self) -> bool:
        """Activate the node, if `autostart` says so.

        Returns:
            Whether the node may go on; if not, the log says why.
        """
        return not self._autostart or self.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def close(self) -> bool:
        """End the node in any state; False, with the node left as it is, if a network does not return."""
        if not self._stop():
            return False
        self._release()
        self.destroy_node()
        return True

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Load the networks and create publishers, services and diagnostics."""
        before = self._entities()
        succeeded = self._attempt("configure", self._open)
        self._created = [entity for entity in self._entities() if entity not in before]
        if not succeeded:
            self._release()
            return TransitionCallbackReturn.FAILURE
        self._settings.are_in_use = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the threads."""
        if not self._attempt("activate", self._begin):
            return TransitionCallbackReturn.FAILURE if self._stop() else TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and join the threads."""
        return TransitionCallbackReturn.SUCCESS if self._stop() else TransitionCallbackReturn.ERROR

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free the networks and destroy what configure created."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up, as far as the state asks for it."""
        if not self._stop():
            return TransitionCallbackReturn.ERROR
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Finalize the node: only a network that does not return leads here."""
        self.get_logger().error("a network does not return from its run: the node is finalized; end its process")
        return TransitionCallbackReturn.FAILURE

    def _on_change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return self._answer_change_state(request, response)
        except _rclpy.RCLError as error:
            # Before Kilted rclpy raises when the present state has no such transition, which would end the node.
            self.get_logger().error(f"cannot change the state: {error}")
            response.success = False
            return response

    def _open(self) -> None:
        self._diagnostics = Diagnostics(self)
        self._work = self._make_work(self, self._settings, self._diagnostics)

    def _begin(self) -> None:
        assert self._work is not None and self._diagnostics is not None, "only a configured node is activated"
        self._started = True
        self._work.start()
        self.is_active = self._diagnostics.is_active = True

    def _stop(self) -> bool:
        """Stop the work if it was started; False if a network does not return."""
        if self._work is None or not self._started:
            return True
        self.is_active = False
        if self._diagnostics is not None:
            self._diagnostics.is_active = False
        self._started = not self._work.stop()
        return not self._started

    def _release(self) -> None:
        """Forget the work and destroy what it created on the node."""
        for destroy, entity in self._created:
            destroy(entity)
        self._created = []
        self._work = self._diagnostics = None
        self._settings.are_in_use = False
        # Stages and callbacks refer to one another, and the executor to what it waited for until it waits again.
        if self.executor is not None:
            self.executor.create_task(gc.collect)

    def _entities(self) -> list[tuple[Callable[[Any], bool], Any]]:
        """Publishers, services and timers of the node, each with what destroys it."""
        groups = (
            (self.destroy_publisher, self.publishers),
            (self.destroy_service, self.services),
            (self.destroy_timer, self.timers),
        )
        return [(destroy, entity) for destroy, entities in groups for entity in entities]

    def _change(self, stage: str, params: StageParams) -> Sequence[Callable[[], None]]:
        # An unconfigured node reads its settings at the next configure.
        return [] if self._work is None else self._work.change(stage, params)

    def _attempt(self, transition: str, step: Callable[[], None]) -> bool:
        """Whether a step succeeds; if not, the log says why: rclpy itself would drop the error."""
        try:
            step()
        except RobotVisionError as error:
            self.get_logger().error(f"cannot {transition}: {error}")
            return False
        except Exception:
            self.get_logger().error(f"cannot {transition}: {traceback.format_exc()}")
            return False
        return True


def when_active(
    node: Node, callback: Callable[[RequestT, ResponseT], ResponseT]
) -> Callable[[RequestT, ResponseT], ResponseT]:
    """A service's callback that refuses while the node is not active.

    Args:
        node: A `StageNode`.
        callback: Answers a request; the reply has the fields `success` and `message`.

    Returns:
        What to give to `create_service`.
    """

    def on_request(request: RequestT, response: ResponseT) -> ResponseT:
        if node.is_active:
            return callback(request, response)
        name = node.get_fully_qualified_name()
        response.message = f"{name} is not active; activate it first: ros2 lifecycle set {name} activate"
        return response

    return on_request
