"""The threads between a camera and the published results, and the slots through which they hand work on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

PAUSE_AFTER_FAILED_TAKE_S = 0.1

ItemT = TypeVar("ItemT")
TakenT_co = TypeVar("TakenT_co", covariant=True)


class Source(Protocol[TakenT_co]):
    """Where a worker's items come from."""

    def take(self) -> TakenT_co | None:
        """Wait for an item; None once there will be no more."""

    def close(self) -> None:
        """Let `take` return None from now on, or when what is there has been taken."""


class Slot(Generic[ItemT]):
    """Holds one item between two threads; none is lost."""

    def __init__(self) -> None:
        self._item: ItemT | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: ItemT) -> None:
        """Leave an item, after the one before was taken.

        Args:
            item: The item.
        """
        with self._changed:
            self._changed.wait_for(self._is_free)
            self._item = item
            self._changed.notify_all()

    def wait_taken(self) -> None:
        """Wait until what was put has been taken, or the slot closed."""
        with self._changed:
            self._changed.wait_for(self._is_free)

    def take(self) -> ItemT | None:
        """Wait for an item and take it out.

        Returns:
            The item, or None once the slot is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake all waiting sides for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_free(self) -> bool:
        return self._item is None or self._closed


class Worker(Generic[ItemT]):
    """A thread that handles what its source gives until it is stopped."""

    def __init__(
        self, name: str, source: Source[ItemT], handle: Callable[[ItemT], None], on_error: Callable[[Exception], None]
    ) -> None:
        """Start the thread.

        Args:
            name: Thread name, seen in debuggers and profilers.
            source: Where items come from.
            handle: Called in the thread with each item.
            on_error: Called in the thread with an exception of source or `handle`; the worker then goes on.
        """
        self._source = source
        self._handle = handle
        self._on_error = on_error
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Close the source, finish what it still holds and end the thread.

        Args:
            timeout_s: Longest wait for that, in seconds.

        Returns:
            Whether the thread has ended.
        """
        self._source.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while True:
            try:
                item = self._source.take()
            except Exception as error:
                self._on_error(error)
                time.sleep(PAUSE_AFTER_FAILED_TAKE_S)
                continue
            if item is None:
                return
            try:
                self._handle(item)
            except Exception as error:
                self._on_error(error)
