"""When to take the next frame while the networks are busy: as late as still keeps them busy."""

from __future__ import annotations

from collections import deque

RECENT = 16
SPARE = 1.5
"""Preparation is expected to take this many times the longest of late."""
SPARE_S = 0.002


class Pace:
    """Delays the intake of a camera that is faster than the networks.

    A frame that is taken as soon as the networks begin with the one before is old when its turn comes: it waits for a
    whole run of theirs. Taken just before they end, it is fresh, and they still do not wait. Durations may be noted in
    another thread than the one that asks.
    """

    def __init__(self) -> None:
        self._preparing_s: deque[float] = deque(maxlen=RECENT)
        self._running_s: deque[float] = deque(maxlen=RECENT)

    def prepared(self, seconds: float) -> None:
        """Note how long it took to get a frame from the middleware into the networks' input.

        Args:
            seconds: Duration.
        """
        self._preparing_s.append(seconds)

    def ran(self, seconds: float) -> None:
        """Note how long the networks ran on a frame.

        Args:
            seconds: Duration.
        """
        self._running_s.append(seconds)

    def delay_s(self, busy_s: float) -> float:
        """How long the next frame can still wait in the middleware.

        By the shortest run and the longest preparation of late, so that it is rather taken early than late.

        Args:
            busy_s: For how long the networks have run on the frame before, in seconds.

        Returns:
            Seconds; 0 until both durations are known, and where preparation takes as long as the networks.
        """
        running_s, preparing_s = self._running_s.copy(), self._preparing_s.copy()
        if not running_s or not preparing_s:
            return 0.0
        return max(0.0, min(running_s) - SPARE * max(preparing_s) - SPARE_S - busy_s)
