"""How well the samples of a data set are aligned: their ages, and the steps without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_vision.data.dataset.align import Plan, Row
from robot_vision.data.dataset.timeline import NONE
from robot_vision.types import Float64Array


@dataclass
class TopicAlignment:
    """The alignment of one topic over all bags.

    Attributes:
        column: First column that it became.
        topic: Name as recorded.
        is_action: Whether it is an action, whose sample may follow the step.
        clocks: Which times it counted from.
        offsets_ms: Median of reception minus header's stamp, one a bag.
        messages: Number of messages.
        out_of_order: Messages with an earlier time than the one recorded before.
        steps: Steps of the timelines.
        without_sample: Steps without a message that is new enough.
        unusable: Steps whose message cannot be used: not finite, or a damaged picture.
        ages_ms: Ages of the samples in the data set, one array a bag; of actions negative after the step.
    """

    column: str
    topic: str
    is_action: bool
    clocks: set[str] = field(default_factory=set)
    offsets_ms: list[float] = field(default_factory=list)
    messages: int = 0
    out_of_order: int = 0
    steps: int = 0
    without_sample: int = 0
    unusable: int = 0
    ages_ms: list[Float64Array] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """What the data set's description says about the topic; times in milliseconds."""
        ages = np.concatenate([np.zeros(0), *self.ages_ms])
        offsets = [offset for offset in self.offsets_ms if not math.isnan(offset)]
        found = {
            "column": self.column,
            "topic": self.topic,
            "clock": " and ".join(sorted(self.clocks)),
            "reception_minus_header_ms": round(float(np.median(offsets)), 3) if offsets else None,
            "messages": self.messages,
            "out_of_order": self.out_of_order,
            "steps": self.steps,
            "without_fresh_sample": self.without_sample,
            "unusable_samples": self.unusable,
        }
        if not self.is_action:
            return found | {"age_ms": quantiles(ages)}
        held = ages > 0
        return found | {
            "delay_ms": quantiles(0 - ages[~held]),
            "held": int(held.sum()),
            "held_age_ms": quantiles(ages[held]),
        }


def quantiles(values: Float64Array) -> dict[str, float | None]:
    """Median, 95th percentile and largest of some values, rounded to three digits; None of none.

    Args:
        values: (N,) float64.
    """
    if not len(values):
        return {"median": None, "p95": None, "max": None}
    median, p95, most = np.percentile(values, (50, 95, 100))
    return {"median": round(float(median), 3), "p95": round(float(p95), 3), "max": round(float(most), 3)}


class BagAlignment:
    """Collects the alignment of one bag while its rows are read.

    Args:
        plan: The bag's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._usable = np.zeros((len(plan.sources), len(plan.steps_ns)), bool)

    def see(self, row: Row) -> None:
        """Take note of a row.

        Args:
            row: One that was read.
        """
        self._usable[:, row.step] = [sample is not None for sample in row.samples]

    def unusable(self) -> list[int]:
        """By source, the steps whose message was read and cannot be used."""
        read = self._plan.kept
        return [
            int((read & (source.messages != NONE) & ~usable).sum())
            for source, usable in zip(self._plan.sources, self._usable, strict=True)
        ]

    def add_to(self, totals: Sequence[TopicAlignment], steps: Sequence[int]) -> None:
        """Add the bag.

        Args:
            totals: One a source.
            steps: The steps that became part of the data set.
        """
        chosen = np.array(steps, np.int64)
        unusable = self.unusable()
        for number, (source, total) in enumerate(zip(self._plan.sources, totals, strict=True)):
            total.clocks.add(source.times.clock)
            total.offsets_ms.append(source.times.offset_ms)
            total.messages += len(source.times.times_ns)
            total.out_of_order += source.times.out_of_order
            total.steps += len(source.messages)
            total.without_sample += int((source.messages == NONE).sum())
            total.unusable += unusable[number]
            ages = source.ages_ns[chosen][self._usable[number, chosen]]
            total.ages_ms.append(ages.astype(np.float64) / 1e6)
