"""Slots and workers: order, nothing lost, failures survived, ends."""

from __future__ import annotations

import threading
import time

from robot_vision.ros.worker import Slot, Worker


def until(condition, timeout_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "timed out"
        time.sleep(0.001)


def test_every_item_is_handled_in_order_and_failures_are_reported() -> None:
    handled: list[int] = []
    errors: list[Exception] = []
    slot: Slot[int] = Slot()

    def handle(item: int) -> None:
        if item % 10 == 3:
            raise ValueError(item)
        handled.append(item)

    worker = Worker("test", slot, handle, errors.append)
    for item in range(100):
        slot.put(item)
    assert worker.stop()
    assert handled == [item for item in range(100) if item % 10 != 3]
    assert [error.args[0] for error in errors] == list(range(3, 100, 10))


def test_one_side_waits_for_the_other() -> None:
    """A second item waits for the first to be taken, and so does who asks for that."""
    slot: Slot[str] = Slot()
    done: list[str] = []
    slot.put("first")

    def put_second() -> None:
        slot.put("second")
        done.append("put")
        slot.wait_taken()
        done.append("taken")

    thread = threading.Thread(target=put_second)
    thread.start()
    time.sleep(0.05)
    assert done == []
    assert slot.take() == "first"
    until(lambda: done == ["put"])
    assert slot.take() == "second"
    thread.join(5)
    assert done == ["put", "taken"]


def test_what_was_put_before_closing_is_still_handled() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    slot.close()
    assert slot.take() == 1
    assert slot.take() is None


def test_a_worker_that_does_not_return_is_told_of() -> None:
    release = threading.Event()
    slot: Slot[int] = Slot()
    worker = Worker("test", slot, lambda _: release.wait(10), print)
    slot.put(1)
    until(lambda: slot._item is None)
    assert not worker.stop(timeout_s=0.05)
    release.set()
    assert worker.stop()


def test_a_source_that_fails_once_does_not_end_the_thread() -> None:
    class Shaky(Slot[int]):
        failed = False

        def take(self) -> int | None:
            if not self.failed:
                self.failed = True
                raise RuntimeError("damaged message")
            return super().take()

    handled: list[int] = []
    errors: list[Exception] = []
    slot = Shaky()
    worker = Worker("test", slot, handled.append, errors.append)
    slot.put(1)
    assert worker.stop()
    assert handled == [1]
    assert [str(error) for error in errors] == ["damaged message"]
