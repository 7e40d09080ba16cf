"""What a node counts about itself."""

from __future__ import annotations

import time

import pytest

from robot_vision.ros.statistics import FrameCounters, Rate


def test_a_rate_counts_the_events_behind_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame taken stands for those lost before it, so that the rate is the camera's and not the node's."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    rate = Rate()
    for _ in range(5):
        now_s[0] += 0.5
        rate.tick(3)
    assert rate.count == 15
    assert rate.hz() == pytest.approx(6)


def test_pending_is_what_was_taken_and_not_processed() -> None:
    """A camera of one frame in many seconds is healthy as long as each frame is processed."""
    counters = FrameCounters()
    assert counters.pending_s() == 0
    counters.record_taken(0)
    time.sleep(0.01)
    counters.record_taken(0)
    assert counters.pending_s() >= 0.01
    counters.record_processed()
    assert counters.pending_s() == 0
    counters.record_taken(0)
    counters.record_bad(ValueError("x"))
    time.sleep(0.01)
    assert counters.pending_s() >= 0.01, "a bad frame is not a processed one"


def test_what_was_once_unknown_stays_unknown() -> None:
    counters = FrameCounters()
    for lost in (2, None, 3):
        counters.record_taken(lost)
    assert counters.dropped is None
    assert counters.received.count == 3 + 2 + 3
