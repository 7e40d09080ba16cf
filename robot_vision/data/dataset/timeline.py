"""Times of steps, and which sample belongs to which step: arithmetic on integer nanoseconds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Int64Array

NONE = -1
"""Stands for no sample."""


class Chosen(NamedTuple):
    """The sample of each step.

    Attributes:
        samples: (S,) int64, positions in the times that were searched; `NONE` where no sample can be used.
        ages_ns: (S,) int64, time of the step minus that of its sample; 0 where there is none.
    """

    samples: Int64Array
    ages_ns: Int64Array

    def no_older_than(self, max_age_ns: int) -> Chosen:
        """The same with `NONE` where the sample is too old.

        Args:
            max_age_ns: Largest age.
        """
        usable = (self.samples != NONE) & (self.ages_ns <= max_age_ns)
        return Chosen(np.where(usable, self.samples, NONE), np.where(usable, self.ages_ns, 0))


def step_times_ns(reference_ns: Int64Array, rate_hz: float, gap_ns: int) -> tuple[Int64Array, Int64Array]:
    """The steps of a recording.

    A stretch of the reference without a gap begins with a step at its first sample, and has one every `1 / rate_hz`
    seconds up to its last; each is rounded to a nanosecond by itself, so that errors do not add up.

    Args:
        reference_ns: (N,) int64, times of the reference, sorted.
        rate_hz: Steps a second.
        gap_ns: A longer time between two samples is a gap.

    Returns:
        (S,) int64 times of the steps, and (S,) int64 numbers of their stretches, from 0.

    Raises:
        InvalidValueError: If the steps are too many to be meant.
    """
    edges = np.flatnonzero(np.diff(reference_ns) > gap_ns) + 1
    times, stretches = [], []
    for number, stretch in enumerate(np.split(reference_ns, edges)):
        if not len(stretch):
            continue
        count = int((int(stretch[-1]) - int(stretch[0])) * rate_hz / 1e9 + 1e-9) + 1
        if count > 100_000_000:
            raise InvalidValueError(f"{count} steps without a gap: the stamps are damaged, or rate and gap too large")
        times.append(int(stretch[0]) + np.rint(np.arange(count) * (1e9 / rate_hz)).astype(np.int64))
        stretches.append(np.full(count, number, np.int64))
    if not times:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(times), np.concatenate(stretches)


def newest_before(times_ns: Int64Array, steps_ns: Int64Array) -> Chosen:
    """The newest sample at or before each step; of several with one time the last.

    Args:
        times_ns: (N,) int64, sorted.
        steps_ns: (S,) int64.

    Returns:
        The samples; their ages are never negative.
    """
    samples = np.searchsorted(times_ns, steps_ns, side="right").astype(np.int64) - 1
    return Chosen(samples, _ages(times_ns, steps_ns, samples))


def first_in_step(times_ns: Int64Array, steps_ns: Int64Array, period_ns: int) -> Chosen:
    """The first sample at or after each step and before the next; without one, the newest before the step.

    Args:
        times_ns: (N,) int64, sorted.
        steps_ns: (S,) int64.
        period_ns: Length of a step.

    Returns:
        The samples; the age of one after the step is negative.
    """
    first = np.searchsorted(times_ns, steps_ns, side="left").astype(np.int64)
    inside = (first < len(times_ns)) & (np.append(times_ns, 0)[first] - steps_ns < period_ns)
    samples = np.where(inside, first, first - 1)
    return Chosen(samples, _ages(times_ns, steps_ns, samples))


def _ages(times_ns: Int64Array, steps_ns: Int64Array, samples: Int64Array) -> Int64Array:
    padded = np.append(times_ns, 0)
    return np.where(samples == NONE, 0, steps_ns - padded[samples])
