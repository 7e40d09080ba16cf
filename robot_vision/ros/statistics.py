"""Counters and latency windows that a node keeps about itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

WINDOW = 512
PERCENTILES = (50, 95, 99)


class Durations:
    """The last `WINDOW` durations of one stage.

    Appending is atomic under the interpreter lock, so a worker may add while a timer summarises.

    Attributes:
        rate: How often a duration was added.
    """

    def __init__(self) -> None:
        self.rate = Rate()
        self._values_s: deque[float] = deque(maxlen=WINDOW)

    def add(self, seconds: float) -> None:
        """Add one duration.

        Args:
            seconds: Duration in seconds; may be negative for an age measured against an unsynchronised clock.
        """
        self._values_s.append(seconds)
        self.rate.tick()

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time the body of a `with` statement and add it."""
        start = time.perf_counter()
        yield
        self.add(time.perf_counter() - start)

    def percentiles_ms(self) -> Sequence[float] | None:
        """The percentiles of `PERCENTILES` in milliseconds; None before the first duration."""
        values_s = np.array(self._values_s.copy())
        return None if values_s.size == 0 else [float(p) * 1e3 for p in np.percentile(values_s, PERCENTILES)]


class Rate:
    """Events per second over the last `WINDOW` ticks, as seen when asked."""

    def __init__(self) -> None:
        self.count = 0
        self._ticks: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def tick(self, events: int = 1) -> None:
        """Count events that happened since the last tick.

        Args:
            events: How many.
        """
        self.count += events
        self._ticks.append((time.monotonic(), events))

    def silence_s(self) -> float | None:
        """Seconds since the last tick; None before the first."""
        return time.monotonic() - self._ticks[-1][0] if self._ticks else None

    def hz(self, over_s: float = 5.0) -> float:
        """Mean rate over the recent past.

        Args:
            over_s: Length of the window that ends now, in seconds.

        Returns:
            Events per second; 0 with fewer than two ticks in the window.
        """
        now_s = time.monotonic()
        recent = [(t, events) for t, events in self._ticks.copy() if now_s - t <= over_s]
        span_s = now_s - recent[0][0] if recent else 0.0
        return sum(events for _, events in recent[1:]) / span_s if span_s > 0 else 0.0


class FrameCounters:
    """What happened to the frames of one camera.

    Attributes:
        received: Messages that the camera sent, as far as the middleware numbers them.
        dropped: Messages that gave way to a newer one or were lost on the way; None if they cannot be counted.
        processed: Frames whose results were published.
        bad: Messages that could not become a frame or failed in a stage.
        last_error: Text of the newest such failure.
    """

    def __init__(self) -> None:
        self.received = Rate()
        self.dropped: int | None = 0
        self._pending_since_s: float | None = None
        self.processed = Rate()
        self.bad = Rate()
        self.last_error = ""
        self._lock = threading.Lock()

    def record_taken(self, lost: int | None) -> None:
        """Count one message, and those since the last one.

        Args:
            lost: How many there were in between; None if unknown.
        """
        self.received.tick(1 + (lost or 0))
        self.dropped = None if lost is None or self.dropped is None else self.dropped + lost
        if self._pending_since_s is None:
            self._pending_since_s = time.monotonic()

    def record_processed(self) -> None:
        """Count one frame whose results were published."""
        self.processed.tick()
        self._pending_since_s = None

    def pending_s(self) -> float:
        """Seconds for which messages have been taken and none processed; 0 if the last one was."""
        since_s = self._pending_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def record_bad(self, error: Exception) -> None:
        """Count one failure.

        Args:
            error: What went wrong.
        """
        with self._lock:
            self.bad.tick()
            self.last_error = str(error)
