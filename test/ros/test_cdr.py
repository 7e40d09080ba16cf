"""Serialised detections are what rclpy makes of the message objects."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseWithCovariance
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
)

from robot_vision.ros.cdr import detection_array_cdr

LABELS = ["", "box", "traffic light", "Straße", "椅子"]
IDS = ["", "7", "12", "345", "123456789"]


def by_objects(header: Header, boxes, scores, labels, ids) -> Detection2DArray:
    """The message, built field by field."""
    message = Detection2DArray(header=header)
    for (left, top, right, bottom), score, label, track_id in zip(boxes.tolist(), scores, labels, ids, strict=True):
        center = Pose2D(position=Point2D(x=(left + right) / 2, y=(top + bottom) / 2))
        hypothesis = ObjectHypothesis(class_id=label, score=float(score))
        message.detections.append(
            Detection2D(
                header=header,
                results=[ObjectHypothesisWithPose(hypothesis=hypothesis, pose=PoseWithCovariance(pose=Pose()))],
                bbox=BoundingBox2D(center=center, size_x=right - left, size_y=bottom - top),
                id=track_id,
            )
        )
    return message


@pytest.mark.parametrize("frame_id", ["", "c", "camera", "camera_optical_frame", "caméra"])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_equals_the_message_of_objects(frame_id: str, count: int) -> None:
    """Any mixture of string lengths, whose padding moves the numbers behind them; also an empty frame."""
    rng = np.random.default_rng(count)
    boxes = rng.uniform(0, 4000, (count, 2, 2)).astype(np.float32)
    boxes.sort(axis=1)
    boxes = boxes.reshape(count, 4)
    scores = rng.random(count).astype(np.float32)
    labels, ids = [LABELS[i] for i in rng.integers(5, size=count)], [IDS[i] for i in rng.integers(5, size=count)]
    header = Header(stamp=Time(sec=1_700_000_000, nanosec=999_999_999), frame_id=frame_id)
    expected = by_objects(header, boxes, scores, labels, ids)
    data = detection_array_cdr(header, boxes, scores, labels, ids)
    assert deserialize_message(data, Detection2DArray) == expected
    assert len(data) == len(serialize_message(expected))
