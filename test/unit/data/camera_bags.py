"""Small camera bags to test with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.typestore import ros_typestore


def header(stamp_ns: int):
    """A std_msgs/Header of rosbags."""
    types = ros_typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id="cam")


def picture(index: int) -> np.ndarray:
    """A small picture (H, W, 3) in RGB that differs from frame to frame and in every channel."""
    rgb = np.zeros((6, 8, 3), np.uint8)
    rgb[..., 0] = 10 * index % 256
    rgb[..., 1] = np.arange(8) * 20
    rgb[..., 2] = 200
    return rgb


def raw_message(stamp_ns: int, rgb: np.ndarray, encoding: str = "rgb8"):
    """A sensor_msgs/Image of rosbags."""
    height, width = rgb.shape[:2]
    return ros_typestore().types["sensor_msgs/msg/Image"](
        header(stamp_ns), height, width, encoding, 0, 3 * width, np.ascontiguousarray(rgb).reshape(-1)
    )


def compressed_message(stamp_ns: int, rgb: np.ndarray):
    """A sensor_msgs/CompressedImage (PNG, so that pixels stay exact) of rosbags."""
    data = cv2.imencode(".png", rgb[..., ::-1])[1].reshape(-1)
    return ros_typestore().types["sensor_msgs/msg/CompressedImage"](header(stamp_ns), "png", data)


MAKERS = {"sensor_msgs/msg/Image": raw_message, "sensor_msgs/msg/CompressedImage": compressed_message}

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
DELAY_NS = 3_000_000


def write_camera_bag(path: Path, storage: str, msgtype: str, frames: int = 5, topic: str = "/camera/image_raw") -> Path:
    """A bag of `frames` pictures at 10 Hz, each received 3 ms after its stamp."""
    with BagWriter(path, storage) as bag:
        bag.add_topic(topic, msgtype)
        for index in range(frames):
            stamp_ns = START_NS + index * PERIOD_NS
            bag.write(topic, stamp_ns + DELAY_NS, MAKERS[msgtype](stamp_ns, picture(index)))
    return path
