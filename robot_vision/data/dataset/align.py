"""Second reading of a bag: the rows of its steps, with no more in memory than the steps that wait for a message."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.data.bags import BagReader
from robot_vision.data.dataset.columns import Arrays, TopicColumns, open_columns
from robot_vision.data.dataset.scan import TopicTimes
from robot_vision.data.dataset.settings import DatasetSettings
from robot_vision.data.dataset.timeline import NONE, Chosen, first_in_step, newest_before, step_times_ns
from robot_vision.types import Int64Array

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Source:
    """One topic of a bag as it is used.

    Attributes:
        times: Its times.
        columns: What its messages become.
        messages: (S,) int64, the message of each step by its position in the order of recording; `NONE` for none.
        ages_ns: (S,) int64, age of that message at the step; negative for an action that follows it.
        is_action: Whether it is an action.
    """

    times: TopicTimes
    columns: TopicColumns
    messages: Int64Array
    ages_ns: Int64Array
    is_action: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What each step of a bag is made of.

    Attributes:
        steps_ns: (S,) int64, times of the steps.
        stretches: (S,) int64, number of the stretch without a gap that each belongs to.
        sources: Observations, then actions.
        kept: (S,) bool, whether the step can be in the data set.
    """

    steps_ns: Int64Array
    stretches: Int64Array
    sources: tuple[Source, ...]
    kept: BoolArray


@dataclass(frozen=True, eq=False)
class Row:
    """One step with its samples.

    Attributes:
        step: Position in the plan.
        samples: The arrays of each source; None where there is no usable message.
    """

    step: int
    samples: tuple[Arrays | None, ...]


def plan_steps(bag: BagReader, found: dict[str, TopicTimes], settings: DatasetSettings) -> Plan:
    """Choose the steps of a bag and their messages.

    Args:
        bag: An open bag.
        found: Times of every topic of the settings.
        settings: The rules.

    Returns:
        The plan.

    Raises:
        RobotVisionError: If a topic gives no columns, or the steps are too many.
    """
    reference = found[settings.reference_topic].times_ns
    steps_ns, stretches = step_times_ns(reference, settings.rate_hz, round(settings.gap_s * 1e9))
    sources = []
    for number, spec in enumerate(settings.specs):
        times, is_action = found[spec.topic], number >= len(settings.observations)
        chosen = _chosen(times, steps_ns, settings, is_action)
        messages = np.where(chosen.samples == NONE, NONE, times.messages[chosen.samples])
        columns = open_columns(bag, spec, times, settings)
        sources.append(Source(times, columns, messages, chosen.ages_ns, is_action))
    complete = np.all([source.messages != NONE for source in sources], axis=0)
    kept = complete if settings.invalid == "cut" else np.ones(len(steps_ns), bool)
    return Plan(steps_ns, stretches, tuple(sources), kept)


def _chosen(times: TopicTimes, steps_ns: Int64Array, settings: DatasetSettings, is_action: bool) -> Chosen:
    if is_action:
        chosen = first_in_step(times.times_ns, steps_ns, settings.period_ns)
    else:
        chosen = newest_before(times.times_ns, steps_ns)
    return chosen.no_older_than(settings.max_age_ns(times.topic))


def rows(bag: BagReader, plan: Plan, on_message: Callable[[], object] = lambda: None) -> Iterator[Row]:
    """The kept steps of a bag, in order.

    The bag is read once; a message is decoded if a step needs it, and let go after the last one that does.

    Args:
        bag: The bag of the plan.
        plan: What the steps are made of.
        on_message: Called after each message.

    Yields:
        One row a kept step.

    Raises:
        RobotVisionError: If the bag is damaged, or a message contradicts the columns.
    """
    waiting = deque(int(step) for step in np.flatnonzero(plan.kept))
    held = [_Held(source, plan.kept) for source in plan.sources]
    by_topic: dict[str, list[_Held]] = {}
    for entry in held:
        by_topic.setdefault(entry.topic, []).append(entry)
    positions = dict.fromkeys(by_topic, 0)
    for raw in bag.raw([*by_topic]):
        users = [entry for entry in by_topic[raw.topic] if positions[raw.topic] in entry.last_use]
        if users:
            message = bag.deserialise(raw)
            for entry in users:
                entry.samples[positions[raw.topic]] = entry.columns.decode(message)
        positions[raw.topic] += 1
        on_message()
        yield from _complete(waiting, held)


def _complete(waiting: deque[int], held: Sequence[_Held]) -> Iterator[Row]:
    while waiting and all(entry.has(waiting[0]) for entry in held):
        step = waiting.popleft()
        yield Row(step, tuple(entry.take(step) for entry in held))


class _Held:
    """The decoded messages of one source that a step still waits for."""

    def __init__(self, source: Source, kept: BoolArray) -> None:
        self.topic, self.columns = source.times.topic, source.columns
        self.samples: dict[int, Any] = {NONE: None}
        self._messages = source.messages
        steps = np.flatnonzero(kept)
        self.last_use = {int(message): int(step) for message, step in zip(source.messages[steps], steps, strict=True)}
        self.last_use.pop(NONE, None)

    def has(self, step: int) -> bool:
        return int(self._messages[step]) in self.samples

    def take(self, step: int) -> Arrays | None:
        message = int(self._messages[step])
        sample: Arrays | None = self.samples[message]
        if self.last_use.get(message) == step:
            del self.samples[message]
        return sample
