"""Search for the tracker's parameters: random trials, then small steps from the best of them along each parameter.

J. Bergstra and Y. Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012; R. Hooke and T. A. Jeeves,
"'Direct Search' Solution of Numerical and Statistical Problems", JACM 1961.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import yaml

from robot_vision.errors import InvalidValueError
from robot_vision.evaluation.sequences import TrackingSequence, evaluate_sequence
from robot_vision.params import Setting, TrackerParams, updated

Values = tuple[float, ...]
"""One value for each parameter of a search."""

Scores = tuple[float, ...]
"""HOTA of one trial on each sequence."""

Measure = Callable[[Sequence[Values]], Iterable[Scores]]
"""Scores of trials, in their order."""

RATES = (1, 3)
"""Steps from frame to frame at which every sequence is followed, so that no rate is tuned to."""

_FIRST_STEP = 0.1
_NEAR = 0.1
"""Standard deviation, as a share of the range, of trials near the defaults."""

_SECONDS_FACTOR = 10.0


@dataclass(frozen=True)
class Range:
    """Values of one parameter that are tried.

    Attributes:
        name: The parameter.
        default: Its default.
        low: Smallest value.
        high: Largest value.
        logarithmic: Whether equal factors, not equal differences, are equally likely.
    """

    name: str
    default: float
    low: float
    high: float
    logarithmic: bool

    def value(self, share: float) -> float:
        """The value at a share of the range, rounded so that it is short in a file."""
        share = min(1.0, max(0.0, share))
        if self.logarithmic:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return float(f"{value:.3g}")

    def share(self, value: float) -> float:
        """Where in the range a value is; the inverse of `value`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def search_range(setting: Setting) -> Range:
    """The range of a parameter: all that it may be; of a duration, a tenth to tenfold of its default.

    Args:
        setting: A number with limits.

    Raises:
        InvalidValueError: If it is none.
    """
    if setting.kind is not float or setting.low is None or setting.high is None:
        raise InvalidValueError(f"{setting.name}: only a number with limits can be searched")
    default = cast(float, setting.default)
    if setting.unit != "s":
        return Range(setting.name, default, setting.low, setting.high, logarithmic=False)
    low, high = max(setting.low, default / _SECONDS_FACTOR), min(setting.high, default * _SECONDS_FACTOR)
    return Range(setting.name, default, low, high, logarithmic=True)


@dataclass(frozen=True)
class Trial:
    """One set of values and what it is worth.

    Attributes:
        values: A value for each range.
        scores: HOTA of each sequence.
    """

    values: Values
    scores: Scores

    @property
    def mean(self) -> float:
        """What is to become largest."""
        return float(np.mean(self.scores))


def search(ranges: Sequence[Range], measure: Measure, trials: int, rounds: int, seed: int) -> Iterator[Trial]:
    """Try values; the same arguments and scores give the same trials in the same order.

    Args:
        ranges: What is searched.
        measure: Scores of trials.
        trials: Random trials after that of the defaults, every second one near these.
        rounds: Rounds of refinement, each of at most two trials a parameter and one of all gains together; steps halve
            after a round without gain.
        seed: Of the random trials.

    Yields:
        Every trial, first that of the defaults; the best is the first with the largest mean.
    """
    rng = np.random.default_rng(seed)
    batch = [tuple(entry.default for entry in ranges)]
    batch += [_random(ranges, rng, near=bool(number % 2)) for number in range(trials)]
    best, step = None, _FIRST_STEP
    for trial in _tried(batch, measure):
        best = trial if best is None or trial.mean > best.mean else best
        yield trial
    for _ in range(rounds):
        assert best is not None
        start, around = best, []
        for trial in _tried(_neighbours(ranges, start.values, step), measure):
            around.append(trial)
            yield trial
        for trial in _tried([_combined(start, around)], measure):
            around.append(trial)
            yield trial
        best = max([start, *around], key=lambda trial: trial.mean)
        if best is start:
            step /= 2


def _random(ranges: Sequence[Range], rng: np.random.Generator, near: bool) -> Values:
    """Values from anywhere, or from near the defaults, where most good ones are."""
    shares = [entry.share(entry.default) + rng.normal(0, _NEAR) if near else rng.random() for entry in ranges]
    return tuple(entry.value(share) for entry, share in zip(ranges, shares, strict=True))


def _tried(batch: Sequence[Values], measure: Measure) -> Iterator[Trial]:
    return map(Trial, batch, measure(batch))


def _neighbours(ranges: Sequence[Range], values: Values, step: float) -> list[Values]:
    """The values with one of them a step lower or higher, by share of its range."""
    found = []
    for index, entry in enumerate(ranges):
        for direction in (-step, step):
            moved = entry.value(entry.share(values[index]) + direction)
            found.append((*values[:index], moved, *values[index + 1 :]))
    return found


def _combined(start: Trial, around: Sequence[Trial]) -> Values:
    """All single steps that gain something, for each parameter the better one."""
    values = list(start.values)
    for trial in sorted(around, key=lambda trial: trial.mean):
        if trial.mean > start.mean:
            index = next(i for i, value in enumerate(trial.values) if value != start.values[i])
            values[index] = trial.values[index]
    return tuple(values)


def ros_parameters(ranges: Sequence[Range], values: Values) -> str:
    """A file of ROS parameters for the nodes of this package.

    Args:
        ranges: What the values are of.
        values: One for each range.

    Returns:
        YAML with what differs from the defaults; empty if nothing does.
    """
    pairs = zip(ranges, values, strict=True)
    changed = {f"tracker.{entry.name}": value for entry, value in pairs if value != entry.default}
    return yaml.safe_dump({"/**": {"ros__parameters": changed}}, sort_keys=False) if changed else ""


def at_all_rates(sequences: Sequence[TrackingSequence]) -> list[TrackingSequence]:
    """Every sequence at each step of `RATES`."""
    return [sequence.thinned(step) for sequence in sequences for step in RATES]


@contextmanager
def measuring(names: Sequence[str], sequences: Sequence[TrackingSequence], jobs: int) -> Iterator[Measure]:
    """Ready to follow sequences with any values.

    Args:
        names: Parameters, in the order of the values.
        sequences: What is followed.
        jobs: Processes that do so.

    Yields:
        The measure; its scores do not depend on the number of processes.
    """
    worker = _Worker(tuple(names), tuple(sequences))
    if jobs == 1:
        yield lambda batch: map(worker.scores, batch)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _start, (worker,)) as pool:
        yield lambda batch: pool.imap(_scores, batch)


@dataclass(frozen=True)
class _Worker:
    names: tuple[str, ...]
    sequences: tuple[TrackingSequence, ...]

    def scores(self, values: Values) -> Scores:
        params = updated(TrackerParams(), dict(zip(self.names, values, strict=True)))
        return tuple(evaluate_sequence(sequence, params).metrics.hota for sequence in self.sequences)


_worker: list[_Worker] = []
"""The one of this process, where processes share the work."""


def _start(worker: _Worker) -> None:
    # Ctrl-C is for the process that keeps the trials; it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker[:] = [worker]


def _scores(values: Values) -> Scores:
    return _worker[0].scores(values)
