"""A report against an earlier one, so that a change which makes perception worse fails where it is tested."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_vision.errors import EvaluationError

RISING = frozenset({
    "ap", "ap50", "ap_by_class", "ap50_by_class", "ass_a", "det_a", "hota", "idf1", "mota", "psnr_db", "r2", "ssim",
})  # fmt: skip
"""Names of figures in reports that are better the larger they are; below them lie single classes and the like."""


@dataclass(frozen=True)
class Fall:
    """A figure that is worse than it was.

    Attributes:
        name: Where it stands in the report, such as `average_precision.ap_by_class.box`.
        before: Its value in the baseline.
        now: Its value; None if it is not measured any more.
    """

    name: str
    before: float
    now: float | None

    @property
    def depth(self) -> float:
        """How far it fell; infinite if it is no number any more."""
        return math.inf if self.now is None or math.isnan(self.now) else self.before - self.now

    def __str__(self) -> str:
        now = "not measured any more" if self.now is None else f"{self.now:.4f}"
        return f"{self.name}: {self.before:.4f} before, {now}"


def read_report(path: Path) -> dict[str, float]:
    """The figures of a report that are better the larger they are.

    Args:
        path: A `report.json` of `robot_vision evaluate`.

    Returns:
        Value by name.

    Raises:
        EvaluationError: If the file is missing, no report, or has no such figure.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path}: the report cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise EvaluationError(f"{path}: no report, it is not JSON: {error}") from error
    figures = dict(_figures(content, "", False))
    if not figures:
        raise EvaluationError(f"{path}: holds none of the figures that can be compared: {', '.join(sorted(RISING))}")
    return figures


def falls(now: Mapping[str, float], before: Mapping[str, float], margin: float) -> list[Fall]:
    """What is worse than in the baseline by more than a margin.

    Args:
        now: Figures by name.
        before: Those of the baseline.
        margin: How far a figure may fall.

    Returns:
        The falls, the deepest first; figures that are new are none.
    """
    found = [Fall(name, value, now.get(name)) for name, value in before.items() if not math.isnan(value)]
    # Written so that a figure that became NaN counts.
    worse = [fall for fall in found if fall.now is None or not fall.now >= fall.before - margin]
    return sorted(worse, key=lambda fall: fall.depth, reverse=True)


def _figures(content: Any, name: str, rising: bool) -> Iterator[tuple[str, float]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _figures(value, f"{name}.{key}" if name else key, rising or key in RISING)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            own = value.get("name", number) if isinstance(value, dict) else number
            yield from _figures(value, f"{name}.{own}", rising)
    elif rising and isinstance(content, (int, float)) and not isinstance(content, bool):
        yield name, float(content)
