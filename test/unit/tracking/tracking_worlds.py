"""Made-up frames for the tests of the tracker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robot_vision.types import Detections

SECOND = 1_000_000_000


def detections(
    boxes_xyxy: Sequence[Sequence[float]] | np.ndarray,
    scores: float | Sequence[float] | np.ndarray = 0.9,
    class_ids: int | Sequence[int] | np.ndarray = 0,
) -> Detections:
    """Detections from plain lists; one score or class serves all."""
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    return Detections(
        boxes,
        np.broadcast_to(np.asarray(scores, np.float32), len(boxes)).copy(),
        np.broadcast_to(np.asarray(class_ids, np.int64), len(boxes)).copy(),
    )


def shuffled(found: Detections, rng: np.random.Generator) -> Detections:
    """The same detections in another order."""
    return found.select(rng.permutation(len(found)))


def crowd(count: int, frames: int, rate_hz: float, seed: int, classes: int = 1) -> list[Detections]:
    """Objects that wander and cross in an image of 1280 x 720, with noise, misses, false alarms and unsure scores."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((0, 0), (1280, 720), (count, 2))
    velocity = rng.normal(0, 60, (count, 2))
    size = rng.uniform(25, 90, (count, 1)) * (1.0, 1.4)
    class_ids = rng.integers(0, classes, count)
    found = []
    for _ in range(frames):
        centre = centre + velocity / rate_hz
        seen = rng.random(count) > 0.1
        noisy = centre[seen] + rng.normal(0, 1, (seen.sum(), 2))
        alarms = rng.uniform((0, 0), (1280, 720), (rng.poisson(count * 0.1), 2))
        middle = np.concatenate([noisy, alarms])
        half = np.concatenate([size[seen], np.full((len(alarms), 2), 40.0)]) / 2
        labels = np.concatenate([class_ids[seen], np.zeros(len(alarms), np.int64)])
        found.append(
            detections(np.hstack([middle - half, middle + half]), rng.uniform(0.05, 0.95, len(middle)), labels)
        )
    return found
