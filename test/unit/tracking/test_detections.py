"""What the tracker takes of a frame's detections: all that can be used, best first, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from tracking_worlds import detections

from robot_vision.tracking.detections import observe

LOW, HIGH = 0.2, 0.5


@pytest.mark.parametrize(
    ("scores", "kept", "sure", "malformed"),
    [
        ([], [], 0, 0),
        ([0.4, 0.9, 0.6], [0.9, 0.6, 0.4], 2, 0),
        ([0.6, 1.5], [1.0, 0.6], 2, 0),
        ([0.1, 0.9], [0.9], 1, 0),
        ([np.nan, 0.1, 0.7], [0.7], 1, 1),
        ([np.inf, 0.7], [0.7], 1, 1),
        ([0.1], [], 0, 0),
    ],
)
def test_scores_decide_what_is_used_and_what_is_sure(
    scores: list[float], kept: list[float], sure: int, malformed: int
) -> None:
    """Whichever of them is out of range, alone or beside good ones."""
    boxes = np.arange(len(scores))[:, None] * [50.0, 0, 50, 0] + [0, 0, 10, 20]
    observations, dropped = observe(detections(boxes, scores), LOW, HIGH)
    np.testing.assert_allclose(observations.scores, kept, rtol=1e-6)
    np.testing.assert_array_equal(np.float32(scores)[observations.places].clip(max=1), np.float32(kept))
    assert (observations.sure, dropped) == (sure, malformed)


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e9, -1e9])
def test_a_malformed_box_takes_no_other_with_it(corner: int, value: float) -> None:
    """The boxes left keep their scores, classes and places, and both their layouts say the same."""
    boxes = np.array([[10, 10, 30, 50], [100, 100, 120, 140], [200, 200, 240, 280]], np.float32)
    boxes[1, corner] = value
    observations, dropped = observe(detections(boxes, [0.3, 0.9, 0.7], [3, 4, 5]), LOW, HIGH)
    assert dropped == 1
    assert observations.places.tolist() == [2, 0]
    assert observations.class_ids.tolist() == [5, 3]
    np.testing.assert_array_equal(observations.boxes_xyxy.T, boxes[[2, 0]])
    np.testing.assert_array_equal(observations.boxes_cxcywh.T, [[220, 240, 40, 80], [20, 30, 20, 40]])
