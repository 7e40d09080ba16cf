"""When the next frame is taken while the networks run: late enough to be fresh, early enough to be ready."""

from __future__ import annotations

import pytest

from robot_vision.ros.pacing import RECENT, SPARE_S, Pace


def pace(running_s: list[float], preparing_s: list[float]) -> Pace:
    made = Pace()
    for seconds in running_s:
        made.ran(seconds)
    for seconds in preparing_s:
        made.prepared(seconds)
    return made


def test_a_frame_is_ready_when_the_networks_end_even_if_it_takes_its_longest() -> None:
    delay_s = pace([0.030, 0.034], [0.003, 0.006, 0.004]).delay_s(0.0)
    assert delay_s + 0.006 < 0.030
    assert delay_s > 0.010, "else it is taken long before its turn"


def test_the_time_that_has_passed_counts() -> None:
    made = pace([0.030], [0.003])
    assert made.delay_s(0.010) == pytest.approx(made.delay_s(0.0) - 0.010)
    assert made.delay_s(1.0) == 0.0


def test_nothing_waits_before_both_durations_are_known() -> None:
    assert pace([], []).delay_s(0.0) == pace([0.5], []).delay_s(0.0) == pace([], [0.001]).delay_s(0.0) == 0.0


def test_nothing_waits_for_networks_that_are_as_fast_as_preparation() -> None:
    assert pace([0.004], [0.004]).delay_s(0.0) == pace([SPARE_S], [0.0]).delay_s(0.0) == 0.0


def test_one_slow_run_is_forgotten() -> None:
    """A first frame that took long must not hold back all others, nor one that was long to prepare hurry them."""
    usual = pace([0.030], [0.003]).delay_s(0.0)
    assert pace([2.0, *[0.030] * RECENT], [1.0, *[0.003] * RECENT]).delay_s(0.0) == pytest.approx(usual)
