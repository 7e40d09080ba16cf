"""Functions that call back, as iterators."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class _Closed(BaseException):
    """Ends a function whose iterator was closed; not an Exception, so that nothing on the way takes it for a fault."""


class _Item(Generic[ItemT]):
    def __init__(self, value: ItemT) -> None:
        self.value = value


def stepwise(work: Callable[[Callable[[ItemT], None]], ResultT]) -> Generator[ItemT, None, ResultT]:
    """What a function reports, computed only as far as it is asked for.

    The function runs in a thread of its own, which waits inside each report until the next one is asked for. Closing
    the iterator ends the function at the report where it waits, or at its next, and returns when the thread is gone.

    Args:
        work: Takes the function by which it reports.

    Yields:
        What it reports.

    Returns:
        What it returns; what it raises is raised here.
    """
    reports: SimpleQueue[_Item[ItemT] | None] = SimpleQueue()
    turns: SimpleQueue[bool] = SimpleQueue()
    outcome: Future[ResultT] = Future()

    def report(value: ItemT) -> None:
        reports.put(_Item(value))
        if not turns.get():
            raise _Closed

    def run() -> None:
        try:
            outcome.set_result(work(report))
        except _Closed:
            pass
        except BaseException as error:
            outcome.set_exception(error)
        finally:
            reports.put(None)

    # A daemon, since a program may end without closing the iterator, and would wait for the thread.
    thread = threading.Thread(target=run, name="stepwise", daemon=True)
    thread.start()
    try:
        while (item := reports.get()) is not None:
            yield item.value
            turns.put(True)
        return outcome.result()
    finally:
        turns.put(False)
        thread.join()
