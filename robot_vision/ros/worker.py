"""The one-slot mailboxes and the worker threads between a camera callback and the stages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Mailbox(Generic[ItemT]):
    """Holds one item. A newer one replaces it: under overload latency stays flat and losses are counted.

    Attributes:
        dropped: Items that a newer one replaced before they were taken.
    """

    def __init__(self, lossless: bool = False) -> None:
        """Make it empty.

        Args:
            lossless: Let `put` wait until the item before was taken, instead of replacing it.
        """
        self.dropped = 0
        self._lossless = lossless
        self._item: ItemT | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: ItemT) -> None:
        """Leave an item.

        Args:
            item: The newest item.
        """
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._item is None or self._closed)
            elif self._item is not None:
                self.dropped += 1
            self._item = item
            self._changed.notify_all()

    def take(self) -> ItemT | None:
        """Wait for an item and take it out.

        Returns:
            The newest item, or None once the mailbox is closed and, if lossless, empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            self._changed.notify_all()
            return None if self._closed and not self._lossless else item

    def close(self) -> None:
        """Wake the waiting side for the last time; an item not taken is forgotten unless the mailbox is lossless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Worker(Generic[ItemT]):
    """A thread that handles what arrives in its mailbox until it is stopped."""

    def __init__(
        self,
        name: str,
        handle: Callable[[ItemT], None],
        on_error: Callable[[Exception], None],
        lossless: bool = False,
    ) -> None:
        """Start the thread.

        Args:
            name: Thread name, seen in debuggers and profilers.
            handle: Called in the thread with each item.
            on_error: Called in the thread with an exception of `handle`; the worker then goes on.
            lossless: Whether every item is handled, rather than the newest.
        """
        self.mailbox: Mailbox[ItemT] = Mailbox(lossless)
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
