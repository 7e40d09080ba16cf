"""What a tracker takes in: detections checked, ordered and laid out for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robot_vision.types import Detections, Float64Array, Int64Array

_LARGEST_SIZE = 1e7
"""Width and height in pixels from which a box is not believed."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Usable detections of one frame in an order that depends on their values alone.

    Attributes:
        boxes_xyxy: (4, M) float64 rows x1, y1, x2, y2 in pixels.
        boxes_cxcywh: (4, M) float64 rows cx, cy, w, h in pixels.
        scores: (M,) float64, falling, at most 1.
        class_ids: (M,) int64.
    """

    boxes_xyxy: Float64Array
    boxes_cxcywh: Float64Array
    scores: Float64Array
    class_ids: Int64Array

    def __len__(self) -> int:
        return len(self.scores)


def observe(detections: Detections, score_threshold: float) -> tuple[Observations, int]:
    """Usable detections, best first.

    Args:
        detections: Boxes, scores and classes of one frame.
        score_threshold: Smallest score that is used.

    Returns:
        The observations, and how many detections were malformed: a box with a NaN or infinite corner, an inverted or
        empty box, a box larger than any image, or a score that is no number.
    """
    boxes = detections.boxes_xyxy.T.astype(np.float64)
    with np.errstate(invalid="ignore"):
        sizes = boxes[2:] - boxes[:2]
        # A non-finite corner makes the size NaN or infinite, which fails one of the comparisons.
        good = ((sizes > 0) & (sizes < _LARGEST_SIZE)).all(axis=0) & np.isfinite(detections.scores)
    scores = detections.scores.astype(np.float64)
    malformed = len(scores) - int(np.count_nonzero(good))
    good &= scores >= score_threshold
    index = good.nonzero()[0]
    index = index[_canonical_order(boxes.take(index, axis=1), scores[index], detections.class_ids[index])]
    boxes, sizes = boxes.take(index, axis=1), sizes.take(index, axis=1)
    centred = np.concatenate([boxes[:2] + 0.5 * sizes, sizes])
    return Observations(boxes, centred, np.minimum(scores[index], 1.0), detections.class_ids[index]), malformed


def _canonical_order(boxes_xyxy: Float64Array, scores: Float64Array, class_ids: Int64Array) -> npt.NDArray[np.intp]:
    """Falling scores; equal ones by box and class, so that the order of the input has no influence."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    if np.count_nonzero(ordered[1:] == ordered[:-1]):
        order = np.lexsort((class_ids, *boxes_xyxy[::-1], -scores))
    return order
