"""The one-slot mailbox and the worker thread between a camera callback and a stage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Mailbox(Generic[ItemT]):
    """Holds the newest item only: under overload latency stays flat and losses are counted.

    Attributes:
        dropped: Items that a newer one replaced before they were taken.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._item: ItemT | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: ItemT) -> None:
        """Leave an item; it replaces one that was not taken yet.

        Args:
            item: The newest item.
        """
        with self._changed:
            if self._item is not None:
                self.dropped += 1
            self._item = item
            self._changed.notify()

    def take(self) -> ItemT | None:
        """Wait for an item and take it out.

        Returns:
            The newest item, or None once the mailbox is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wake the waiting side for the last time; an item not taken is forgotten."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()


class Worker(Generic[ItemT]):
    """A thread that handles what arrives in its mailbox until it is stopped."""

    def __init__(self, name: str, handle: Callable[[ItemT], None], on_error: Callable[[Exception], None]) -> None:
        """Start the thread.

        Args:
            name: Thread name, seen in debuggers and profilers.
            handle: Called in the thread with each item.
            on_error: Called in the thread with an exception of `handle`; the worker then goes on.
        """
        self.mailbox: Mailbox[ItemT] = Mailbox()
        self._handle = handle
        self._on_error = on_error
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Finish the item in hand and end the thread.

        Args:
            timeout_s: Longest wait for the item in hand, in seconds.

        Returns:
            Whether the thread has ended.
        """
        self.mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (item := self.mailbox.take()) is not None:
            self._attempt(item)

    def _attempt(self, item: ItemT) -> None:
        try:
            self._handle(item)
        except Exception as error:
            self._on_error(error)
