"""Small bags with images, and ground truth where wanted, for tests of the encoder's training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.typestore import ros_typestore

TYPES = ros_typestore().types
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TRUTH = "vision_msgs/msg/Detection2DArray"
Box = tuple[float, float, float, float]


def header(stamp_ns: int) -> Any:
    """A std_msgs/Header."""
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="cam")


def image_message(stamp_ns: int, rgb: np.ndarray, msgtype: str) -> Any:
    """An image without loss."""
    if msgtype == COMPRESSED:
        return TYPES[COMPRESSED](header(stamp_ns), "png", cv2.imencode(".png", rgb[..., ::-1])[1].reshape(-1))
    height, width = rgb.shape[:2]
    return TYPES[IMAGE](header(stamp_ns), height, width, "rgb8", 0, 3 * width, np.ascontiguousarray(rgb).reshape(-1))


def truth_message(stamp_ns: int, boxes_xyxy: Sequence[Box], score: float) -> Any:
    """Ground truth of one image."""
    point, position = TYPES["geometry_msgs/msg/Point"](0.0, 0.0, 0.0), TYPES["vision_msgs/msg/Point2D"]
    turn = TYPES["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    pose = TYPES["geometry_msgs/msg/PoseWithCovariance"](TYPES["geometry_msgs/msg/Pose"](point, turn), np.zeros(36))
    hypothesis = TYPES["vision_msgs/msg/ObjectHypothesis"]("ball", score)
    result = TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis, pose)
    detections = []
    for x1, y1, x2, y2 in boxes_xyxy:
        centre = TYPES["vision_msgs/msg/Pose2D"](position((x1 + x2) / 2, (y1 + y2) / 2), 0.0)
        box = TYPES["vision_msgs/msg/BoundingBox2D"](centre, x2 - x1, y2 - y1)
        detections.append(TYPES["vision_msgs/msg/Detection2D"](header(stamp_ns), [result], box, ""))
    return TYPES[TRUTH](header(stamp_ns), detections)


def write_frames(
    path: Path,
    images: Sequence[np.ndarray],
    *,
    msgtype: str = IMAGE,
    storage: str = "mcap",
    topic: str = "/camera/image",
    boxes: Sequence[Sequence[Box] | None] = (),
    score: float = 1.0,
    shift_ns: int = 0,
) -> Path:
    """Write a bag of images (H, W, 3) uint8 RGB at 10 Hz.

    With `boxes` there is ground truth of `/camera`, stamped `shift_ns` later than its image; None is an image without.
    """
    with BagWriter(path, storage) as bag:
        bag.add_topic(topic, msgtype)
        if boxes:
            bag.add_topic("/camera/ground_truth", TRUTH)
        for index, rgb in enumerate(images):
            stamp_ns = (index + 1) * 100_000_000
            bag.write(topic, stamp_ns, image_message(stamp_ns, rgb, msgtype))
            if boxes and boxes[index] is not None:
                truth = truth_message(stamp_ns + shift_ns, boxes[index], score)
                bag.write("/camera/ground_truth", stamp_ns, truth)
    return path


def grey(value: int, size_wh: tuple[int, int] = (64, 64)) -> np.ndarray:
    """An image of one colour."""
    return np.full((size_wh[1], size_wh[0], 3), value, np.uint8)


def patches(count: int, size_wh: tuple[int, int] = (96, 80), seed: int = 0) -> list[np.ndarray]:
    """Images of a few soft patches of random colours."""
    rng = np.random.default_rng(seed)
    return [cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), size_wh) for _ in range(count)]
