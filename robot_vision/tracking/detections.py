"""What a tracker takes in: detections checked, ordered and laid out for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robot_vision.types import Detections, Float64Array, Int64Array

_LARGEST_SIZE: Float64Array = np.array(1e7)
"""Width and height in pixels from which a box is not believed."""

_CENTRES: Float64Array = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])
"""Map from x1, y1, x2, y2 to cx, cy, w, h."""


class Observations(NamedTuple):
    """Usable detections of one frame in an order that depends on their values alone.

    Attributes:
        boxes_xyxy: (4, M) float64 rows x1, y1, x2, y2 in pixels.
        boxes_cxcywh: (4, M) float64 rows cx, cy, w, h in pixels.
        scores: (M,) float64, falling, at most 1.
        class_ids: (M,) int64.
        places: (M,) int64 row of each in the detections that came in.
        sure: How many of them, the first ones, have a high score.
    """

    boxes_xyxy: Float64Array
    boxes_cxcywh: Float64Array
    scores: Float64Array
    class_ids: Int64Array
    places: Int64Array
    sure: int

    def rows(self, index: Int64Array) -> tuple[Float64Array, Float64Array, Int64Array]:
        """Boxes (4, K) cx, cy, w, h, scores (K,) and classes (K,) of some observations, by index (K,)."""
        return self.boxes_cxcywh.take(index, axis=1), self.scores[index], self.class_ids[index]


def observe(detections: Detections, low_threshold: float, high_threshold: float) -> tuple[Observations, int]:
    """Usable detections, best first.

    Args:
        detections: Boxes, scores and classes of one frame.
        low_threshold: Smallest score that is used.
        high_threshold: Smallest score of a sure detection.

    Returns:
        The observations, and how many detections were malformed: a box with a NaN or infinite corner, an inverted or
        empty box, a box larger than any image, or a score that is no number.
    """
    boxes = detections.boxes_xyxy.T.astype(np.float64, order="C")
    scores = detections.scores.astype(np.float64)
    near, far = boxes[:2], boxes[2:]
    # No comparison holds for what is no number.
    sized = near < far
    sized &= far < near + _LARGEST_SIZE
    index = _canonical_order(boxes, scores, detections.class_ids)
    malformed = 0
    # Mostly all can be used as they are. Where a corner is no number the order is not by score, but then not all can.
    best, worst = (scores[index[0]], scores[index[-1]]) if len(index) else (1.0, 1.0)
    if not low_threshold <= worst <= best <= 1.0 or np.count_nonzero(sized) < sized.size:
        good = sized[0] & sized[1] & np.isfinite(scores)
        malformed = len(good) - int(np.count_nonzero(good))
        index = index.compress((good & (scores >= low_threshold))[index])
        scores = np.minimum(scores, 1.0)
    boxes, scores = boxes.take(index, axis=1), scores[index]
    sure = int(np.count_nonzero(scores >= high_threshold))
    return Observations(boxes, _CENTRES.dot(boxes), scores, detections.class_ids[index], index, sure), malformed


def _canonical_order(boxes_xyxy: Float64Array, scores: Float64Array, class_ids: Int64Array) -> Int64Array:
    """Order of detections by falling score; equal ones by box (4, M) and class, not by their place in the input.

    Scores that are no number come last.
    """
    # Complex numbers are ordered by their real and then by their imaginary parts: one sort for the first two keys.
    keys = np.empty(len(scores), np.complex128)
    np.negative(scores, out=keys.real)
    keys.imag = boxes_xyxy[3]
    order: Int64Array = keys.argsort()
    ordered = keys[order]
    if np.count_nonzero(ordered[1:] == ordered[:-1]):
        order = np.lexsort((class_ids, *boxes_xyxy, -scores))
    return order
