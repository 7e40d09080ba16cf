"""Distribution of durations in the form in which every report shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from robot_vision.errors import EvaluationError


@dataclass(frozen=True)
class Latency:
    """Percentiles of durations in milliseconds, interpolated linearly between the nearest ranks.

    Attributes:
        p50_ms: Median.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        max_ms: Longest; None where only percentiles are known.
        count: Number of durations; None where only percentiles are known.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float | None = None
    count: int | None = None


def latency_of(durations_ns: Iterable[int]) -> Latency:
    """Percentiles of durations.

    Args:
        durations_ns: Durations in integer nanoseconds.

    Returns:
        The percentiles.

    Raises:
        EvaluationError: If there is no duration.
    """
    values_ms = np.array(list(durations_ns), np.float64) / 1e6
    if not len(values_ms):
        raise EvaluationError("latency percentiles need at least one duration, got none")
    p50, p95, p99 = (float(value) for value in np.percentile(values_ms, [50, 95, 99]))
    return Latency(p50, p95, p99, float(values_ms.max()), len(values_ms))
