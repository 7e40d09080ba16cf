"""Steps and their samples agree with a slow obvious loop, and no observation comes from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_vision.data.dataset.timeline import NONE, first_in_step, newest_before, step_times_ns
from robot_vision.errors import InvalidValueError

TIMES = st.lists(st.integers(-50, 200), max_size=12).map(lambda values: np.array(sorted(values), np.int64))


@settings(max_examples=200, deadline=None)
@given(times=TIMES, steps=TIMES)
def test_an_observation_is_the_last_of_those_that_had_come(times, steps) -> None:
    chosen = newest_before(times, steps)
    for step, sample, age in zip(steps, chosen.samples, chosen.ages_ns, strict=True):
        past = [index for index, time in enumerate(times) if time <= step]
        assert sample == (past[-1] if past else NONE)
        assert age == (step - times[past[-1]] if past else 0)
        assert age >= 0


@settings(max_examples=200, deadline=None)
@given(times=TIMES, steps=TIMES, period=st.integers(1, 60))
def test_an_action_is_the_first_within_its_step_or_the_one_still_in_force(times, steps, period) -> None:
    chosen = first_in_step(times, steps, period)
    for step, sample, age in zip(steps, chosen.samples, chosen.ages_ns, strict=True):
        inside = [index for index, time in enumerate(times) if step <= time < step + period]
        past = [index for index, time in enumerate(times) if time < step]
        expected = inside[0] if inside else (past[-1] if past else NONE)
        assert sample == expected
        assert age == (0 if expected == NONE else step - times[expected])


def test_a_sample_that_is_too_old_is_none() -> None:
    chosen = newest_before(np.array([0], np.int64), np.array([0, 10, 11], np.int64)).no_older_than(10)
    assert chosen.samples.tolist() == [0, 0, NONE]
    assert chosen.ages_ns.tolist() == [0, 10, 0]


def test_steps_begin_anew_after_a_gap_and_do_not_drift() -> None:
    third_ns = 1e9 / 3
    reference = np.array([0, 10**9, 2 * 10**9, 7 * 10**9, 7 * 10**9 + 400_000_000], np.int64)
    times, stretches = step_times_ns(reference, 3.0, 10**9)
    assert times.tolist() == [round(k * third_ns) for k in range(7)] + [7 * 10**9, 7 * 10**9 + round(third_ns)]
    assert stretches.tolist() == [0] * 7 + [1] * 2


def test_a_rate_that_fits_the_reference_gives_it_a_step_for_every_sample() -> None:
    reference = 1_700_000_000_000_000_000 + np.rint(np.arange(3000) * 1e9 / 30).astype(np.int64)
    times, _ = step_times_ns(reference, 30.0, 10**9)
    np.testing.assert_array_equal(times, reference)


def test_no_reference_has_no_steps() -> None:
    times, stretches = step_times_ns(np.zeros(0, np.int64), 10.0, 1)
    assert len(times) == len(stretches) == 0


def test_damaged_stamps_do_not_fill_the_memory() -> None:
    with pytest.raises(InvalidValueError, match="steps without a gap"):
        step_times_ns(np.array([0, 2**60], np.int64), 1000.0, 2**62)
