"""The reader of the newest message: newest wins, losses counted, never stuck."""

from __future__ import annotations

import threading
import time

import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from robot_vision.ros.qos import camera_qos
from robot_vision.ros.reader import NewestReader

TOPIC = "/newest"


@pytest.fixture
def reader(bench):
    reader = NewestReader(bench.node, String, TOPIC, camera_qos([]))
    yield reader
    reader.close()
    reader.destroy()


@pytest.fixture
def publisher(bench, reader):
    publisher = bench.node.create_publisher(String, TOPIC, QoSProfile(depth=10))
    bench.until(lambda: publisher.get_subscription_count() == 1, "the reader to be discovered")
    return publisher


def taken_in_thread(reader: NewestReader[String]) -> tuple[threading.Thread, list]:
    taken: list = []
    thread = threading.Thread(target=lambda: taken.append(reader.take()))
    thread.start()
    return thread, taken


def test_takes_the_newest_and_counts_the_others(bench, reader, publisher) -> None:
    for number in range(3):
        publisher.publish(String(data=f"first {number}"))
    bench.rest(0.3)
    arrival = reader.take()
    assert arrival.message.data == "first 2"
    assert abs(time.time_ns() - arrival.received_ns) < 5e9
    for number in range(4):
        publisher.publish(String(data=f"second {number}"))
    bench.rest(0.3)
    arrival = reader.take()
    assert (arrival.message.data, arrival.lost) == ("second 3", 3)
    publisher.publish(String(data="third"))
    assert (arrival := reader.take()).message.data == "third" and arrival.lost == 0


def test_another_publisher_has_a_count_of_its_own(bench, reader, publisher) -> None:
    """A camera that is started again begins to count anew, which is no loss."""
    for _ in range(5):
        publisher.publish(String(data="old"))
    bench.rest(0.3)
    reader.take()
    bench.node.destroy_publisher(publisher)
    second = bench.node.create_publisher(String, TOPIC, QoSProfile(depth=10))
    bench.until(lambda: second.get_subscription_count() == 1, "the reader to be discovered again")
    second.publish(String(data="new"))
    arrival = reader.take()
    assert (arrival.message.data, arrival.lost) == ("new", 0)


def test_waiting_ends_with_a_message_with_a_profile_and_with_closing(bench, reader, publisher) -> None:
    """The thread that waits notices everything that can happen meanwhile."""
    thread, taken = taken_in_thread(reader)
    bench.until(lambda: reader.waiting, "the reader to wait")
    reader.change_qos(camera_qos([ReliabilityPolicy.RELIABLE]))
    bench.until(lambda: publisher.get_subscription_count() == 1, "the new subscription")
    bench.rest(0.5)
    publisher.publish(String(data="after the change"))
    thread.join(5)
    assert [arrival.message.data for arrival in taken] == ["after the change"]
    thread, taken = taken_in_thread(reader)
    bench.until(lambda: reader.waiting, "the reader to wait again")
    reader.close()
    thread.join(5)
    assert taken == [None]
    assert not reader.waiting


def test_losses_of_two_publishers_are_counted_apart(bench, reader, publisher) -> None:
    """Messages taken in turn from both: what either sent in between is lost, whoever came last."""
    second = bench.node.create_publisher(String, TOPIC, QoSProfile(depth=10))
    bench.until(lambda: second.get_subscription_count() == 1, "the second match")
    sent, taken, lost = 0, 0, 0
    for sender in (publisher, second) * 4:
        for _ in range(3):
            sender.publish(String(data="x"))
            sent += 1
        bench.rest(0.3)
        arrival = reader.take()
        taken += 1
        if arrival.lost is None:
            pytest.skip("this distribution does not say which publisher a message is from")
        lost += arrival.lost
    # The first message of each publisher that is taken has nothing before it to compare with.
    assert taken + lost == sent - 2 * 2


class CountingExecutor(SingleThreadedExecutor):
    """Counts how often it looks at what it could wait for."""

    looks = 0

    def can_execute(self, entity) -> bool:
        self.looks += 1
        return super().can_execute(entity)


def test_executor_rests_while_a_message_lies_unread(bench) -> None:
    """Fast DDS signals a message through the events, too: an executor that waits for those spins until it is taken."""
    node = Node("rests", context=bench.context)
    executor = CountingExecutor(context=bench.context)
    executor.add_node(node)
    reader = NewestReader(node, String, TOPIC, camera_qos([]))
    publisher = bench.node.create_publisher(String, TOPIC, QoSProfile(depth=10))
    bench.until(lambda: publisher.get_subscription_count() == 1, "the reader to be discovered")
    executor.spin_once(timeout_sec=0.5)
    executor.looks = 0
    executor.spin_once(timeout_sec=0.5)
    resting = executor.looks
    publisher.publish(String(data="unread"))
    executor.looks = 0
    executor.spin_once(timeout_sec=0.5)
    assert 0 < executor.looks <= 3 * resting
    assert reader.take().message.data == "unread"
    reader.close()
    reader.destroy()
    executor.shutdown()
    node.destroy_node()


def test_events_reach_their_callbacks_without_the_executor(bench, capfd) -> None:
    """What the middleware knows of a publisher that does not fit still comes into the log."""
    reader = NewestReader(bench.node, String, TOPIC, camera_qos([ReliabilityPolicy.RELIABLE]))
    offering_less = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = bench.node.create_publisher(String, TOPIC, offering_less)
    bench.until(lambda: bench.node.count_publishers(TOPIC) == 1, "the publisher")
    bench.rest(0.5)
    capfd.readouterr()
    reader.attend_events()
    assert "offering incompatible QoS" in "".join(capfd.readouterr())
    bench.node.destroy_publisher(publisher)
    reader.close()
    reader.destroy()


def test_a_middleware_without_events_is_no_error(bench, reader, monkeypatch) -> None:
    """An empty wait set is one for rcl."""
    monkeypatch.setattr(reader._subscription, "event_handlers", [])
    reader.attend_events()
