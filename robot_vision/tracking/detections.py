"""What a tracker takes in: detections checked, ordered and laid out for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.types import Detections, Float64Array, Int64Array

_LARGEST_SIZE = 1e7
"""Width and height in pixels from which a box is not believed."""


class Observations(NamedTuple):
    """Usable detections of one frame in an order that depends on their values alone.

    Attributes:
        boxes_xyxy: (4, M) float64 rows x1, y1, x2, y2 in pixels.
        boxes_cxcywh: (4, M) float64 rows cx, cy, w, h in pixels.
        scores: (M,) float64, falling, at most 1.
        class_ids: (M,) int64.
        places: (M,) int64 row of each in the detections that came in.
    """

    boxes_xyxy: Float64Array
    boxes_cxcywh: Float64Array
    scores: Float64Array
    class_ids: Int64Array
    places: Int64Array

    def rows(self, index: Int64Array) -> tuple[Float64Array, Float64Array, Int64Array]:
        """Boxes (4, K) cx, cy, w, h, scores (K,) and classes (K,) of some observations, by index (K,)."""
        return self.boxes_cxcywh.take(index, axis=1), self.scores.take(index), self.class_ids.take(index)


def observe(detections: Detections, score_threshold: float) -> tuple[Observations, int]:
    """Usable detections, best first.

    Args:
        detections: Boxes, scores and classes of one frame.
        score_threshold: Smallest score that is used.

    Returns:
        The observations, and how many detections were malformed: a box with a NaN or infinite corner, an inverted or
        empty box, a box larger than any image, or a score that is no number.
    """
    good = _well_formed(detections)
    malformed = len(good) - int(np.count_nonzero(good))
    scores = detections.scores.astype(np.float64)
    index = (good & (scores >= score_threshold)).nonzero()[0]
    index = index[_canonical_order(detections, scores, index)]
    boxes = detections.boxes_xyxy.T.astype(np.float64).take(index, axis=1)
    sizes = boxes[2:] - boxes[:2]
    centred = np.concatenate([boxes[:2] + 0.5 * sizes, sizes])
    return Observations(boxes, centred, np.minimum(scores[index], 1.0), detections.class_ids[index], index), malformed


def _well_formed(detections: Detections) -> npt.NDArray[np.bool_]:
    """Mask (N,) of the detections that make sense."""
    boxes = detections.boxes_xyxy
    # A corner that is no finite number makes a size that is none, which passes no comparison.
    with np.errstate(invalid="ignore"):
        sizes = boxes[:, 2:] - boxes[:, :2]
    fitting = (sizes > 0) & (sizes < _LARGEST_SIZE)
    return np.asarray(fitting[:, 0] & fitting[:, 1] & np.isfinite(detections.scores))


def _canonical_order(detections: Detections, scores: Float64Array, index: Int64Array) -> Int64Array:
    """Order of the chosen detections by falling score; equal ones by box and class, not by their place in the input."""
    chosen = scores[index]
    order = np.argsort(-chosen, kind="stable")
    ordered = chosen[order]
    if np.count_nonzero(ordered[1:] == ordered[:-1]):
        order = np.lexsort((detections.class_ids[index], *detections.boxes_xyxy[index].T, -chosen))
    return order
