"""A function that calls back, as an iterator: in step with whoever asks, and gone when it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from robot_vision.backends.stepwise import stepwise


def counting(done: list[int]) -> Callable[[Callable[[int], None]], str]:
    def work(report: Callable[[int], None]) -> str:
        for step in range(5):
            done.append(step)
            report(step)
        return "result"

    return work


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_runs_no_further_than_it_is_asked() -> None:
    done: list[int] = []
    steps = stepwise(counting(done))
    assert (next(steps), done) == (0, [0])
    assert (next(steps), done) == (1, [0, 1])


def test_nothing_runs_before_the_first_is_asked_for() -> None:
    done: list[int] = []
    stepwise(counting(done)).close()
    assert not done


def test_all_reports_then_the_result() -> None:
    steps = stepwise(counting([]))
    seen = []
    with pytest.raises(StopIteration) as end:
        while True:
            seen.append(next(steps))
    assert (seen, end.value.value) == ([0, 1, 2, 3, 4], "result")


def test_close_ends_the_function_where_it_waits_and_its_thread_with_it() -> None:
    """A handler for faults on the way does not keep it alive, but what must be cleaned up is."""
    done: list[int] = []
    events: list[str] = []

    def work(report: Callable[[int], None]) -> None:
        try:
            counting(done)(report)
        except Exception:
            events.append("taken for a fault")
        finally:
            events.append("cleaned up")

    before = threads()
    steps = stepwise(work)
    next(steps)
    assert "stepwise" in threads()
    steps.close()
    assert (done, events, threads()) == ([0], ["cleaned up"], before)


def test_what_it_raises_arrives() -> None:
    def work(report: Callable[[int], None]) -> None:
        report(1)
        raise ValueError("broken")

    steps = stepwise(work)
    assert next(steps) == 1
    with pytest.raises(ValueError, match="broken"):
        next(steps)
    assert "stepwise" not in threads()
