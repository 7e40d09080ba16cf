"""A subscription that one thread reads when it has time, instead of a callback for every message."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

LONGEST_WAIT_NS = 250_000_000
MOST_PUBLISHERS = 8

MessageT = TypeVar("MessageT")


@dataclass(frozen=True)
class Arrival(Generic[MessageT]):
    """A message as it was taken.

    Attributes:
        message: The message.
        received_ns: System time at which the middleware had it, in nanoseconds.
        lost: Messages of the same publisher since the last one taken: replaced by a newer one, or lost on the way.
            None where the middleware does not number messages, or does not tell several publishers apart.
        seconds: How long it took to take the message, once it was there.
    """

    message: MessageT
    received_ns: int
    lost: int | None
    seconds: float


class _Unattended(CallbackGroup):
    """Entities that no executor waits for."""

    def can_execute(self, entity: object) -> bool:  # noqa: ARG002
        return False

    def beginning_execution(self, entity: object) -> bool:  # noqa: ARG002
        return False

    def ending_execution(self, entity: object) -> None:
        pass


class NewestReader(Generic[MessageT]):
    """Gives the newest message of a topic to the thread that asks for one.

    The middleware's history of depth one is the mailbox: what a newer message replaces there never becomes a Python
    object, so a publisher faster than its reader costs the interpreter nothing. An executor would convert every message
    and hold the interpreter's lock meanwhile, about 2 ms each on the machine where it was measured, against the thread
    that runs the networks. Waiting goes as in `rclpy.wait_for_message`.

    Attributes:
        waiting: Whether `take` is waiting for a message at the moment.
        missed: Messages that the middleware knows to be lost in transport since the last one taken, as of the last
            `attend_events`; None where it does not tell.
    """

    def __init__(self, node: Node, kind: type[MessageT], topic: str, qos: QoSProfile) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscription.
            kind: Message type.
            topic: Full name of the topic.
            qos: Profile of depth one.
        """
        self.waiting = False
        self.missed: int | None = 0
        self._node = node
        self._kind = kind
        self._topic = topic
        self._group = _Unattended()
        self._closed = False
        self._wake = node.create_guard_condition(lambda: None, callback_group=self._group)
        self._wait_set = _rclpy.WaitSet(1, 1, 0, 0, 0, 0, node.context.handle)
        self._last_numbers: dict[bytes, int] = {}
        self._subscription = self._subscribe(qos)

    def take(self) -> Arrival[MessageT] | None:
        """Wait for a message newer than the last one.

        Returns:
            The newest message, or None once the reader is closed.
        """
        while not self._closed:
            handle = self._subscription.handle
            try:
                with handle:
                    begin_s = time.monotonic()
                    taken = handle.take_message(self._kind, False)
                    if taken is None:
                        self._wait(handle)
                        continue
            except _rclpy.InvalidHandle:  # another profile took its place a moment ago
                continue
            message, info = taken
            if self.missed:
                self.missed = 0
            received_ns = info["received_timestamp"] or time.time_ns()
            return Arrival(message, received_ns, self._count_lost(info), time.monotonic() - begin_s)
        return None

    def attend_events(self) -> None:
        """Handle what the middleware tells about the subscription; to be called now and then, in the executor's thread.

        An executor that waited for these events itself would not rest while a message lies in the history: Fast DDS
        wakes it for that, too, it finds nothing to do and waits again, which took two thirds of a core.
        """
        handlers = self._subscription.event_handlers
        if not handlers:  # a middleware without events
            return
        wait_set = _rclpy.WaitSet(0, 0, 0, 0, 0, len(handlers), self._node.context.handle)
        with ExitStack() as in_use:
            for handler in handlers:
                in_use.enter_context(handler)
                handler.add_to_wait_set(wait_set)
            wait_set.wait(0)
            for handler in handlers:
                if handler.is_ready(wait_set) and (data := handler.take_data()):
                    handler.callback(data)

    def change_qos(self, qos: QoSProfile) -> None:
        """Subscribe with another profile; in the executor's thread.

        Args:
            qos: Profile of depth one.
        """
        old, self._subscription = self._subscription, self._subscribe(qos)
        self._wake.trigger()
        self._node.destroy_subscription(old)

    def close(self) -> None:
        """Let `take` return None, now and from now on; may be called from any thread."""
        self._closed = True
        self._wake.trigger()

    def destroy(self) -> None:
        """Leave the topic, when no thread is in `take` any more."""
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_guard_condition(self._wake)

    def _subscribe(self, qos: QoSProfile) -> Subscription:
        try:
            subscription = self._create(qos, SubscriptionEventCallbacks(message_lost=self._on_missed))
        except UnsupportedEventTypeError:
            self.missed = None
            subscription = self._create(qos, SubscriptionEventCallbacks())
        return subscription

    def _create(self, qos: QoSProfile, events: SubscriptionEventCallbacks) -> Subscription:
        return self._node.create_subscription(
            self._kind, self._topic, lambda _message: None, qos, callback_group=self._group, event_callbacks=events
        )

    def _on_missed(self, event: Any) -> None:
        if self.missed is not None:
            self.missed += event.total_count_change

    def _wait(self, handle: Any) -> None:
        self._wait_set.clear_entities()
        self._wait_set.add_subscription(handle)
        self._wait_set.add_guard_condition(self._wake.handle)
        self.waiting = True
        self._wait_set.wait(LONGEST_WAIT_NS)
        self.waiting = False

    def _count_lost(self, info: dict[str, Any]) -> int | None:
        number = info["publication_sequence_number"]
        if number is None:
            return None
        # Before Kilted nothing says which publisher a message is from.
        publisher = info["publisher_gid"]["data"] if "publisher_gid" in info else b""
        last = self._last_numbers.pop(publisher, number)
        self._last_numbers[publisher] = number
        if len(self._last_numbers) > MOST_PUBLISHERS:
            del self._last_numbers[next(iter(self._last_numbers))]
        if not publisher and number > last + 1 and self._node.count_publishers(self._topic) > 1:
            return None
        return max(0, number - last - 1)
