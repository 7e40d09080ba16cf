"""Bags with latents, tracks, joints and commands to make data sets of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from camera_bags import header, picture, raw_message

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.dataset.build import build
from robot_vision.data.dataset.settings import DatasetSettings, TopicSpec, parse_topic
from robot_vision.data.dataset.storage import PlainDataset
from robot_vision.data.typestore import ros_typestore

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
NAN = float("nan")

Timed = tuple[int, str, Any]
"""Time of reception in nanoseconds, topic, message."""


def latent(stamp_ns: int, mean: Iterable[float], encoder_hash: str = "a" * 64):
    """A robot_vision_msgs/LatentState."""
    values = np.array(list(mean), np.float32)
    kind = ros_typestore().types["robot_vision_msgs/msg/LatentState"]
    return kind(header(stamp_ns), values, np.zeros(0, np.float32), "some_encoder", encoder_hash, NAN)


def track(number: int, centre_xy: tuple[float, float], age_s: float, class_id: str = "box"):
    """A robot_vision_msgs/Track of 40x20 pixels that moves by 8 and 4 pixels a second."""
    types = ros_typestore().types
    centre = types["vision_msgs/msg/Pose2D"](types["vision_msgs/msg/Point2D"](*centre_xy), 0.0)
    box = types["vision_msgs/msg/BoundingBox2D"](centre, 40.0, 20.0)
    kind = types["robot_vision_msgs/msg/Track"]
    return kind(str(number), class_id, 0.9, box, 8.0, 4.0, age_s, 0.0, 1, np.zeros(16))


def track_array(stamp_ns: int, tracks: list):
    """A robot_vision_msgs/TrackArray."""
    return ros_typestore().types["robot_vision_msgs/msg/TrackArray"](header(stamp_ns), tracks)


def label_info(names: list[str]):
    """A vision_msgs/LabelInfo."""
    types = ros_typestore().types
    classes = [types["vision_msgs/msg/VisionClass"](index, name) for index, name in enumerate(names)]
    return types["vision_msgs/msg/LabelInfo"](header(START_NS), classes, 0.1)


def twist(forward: float, turn: float = 0.0):
    """A geometry_msgs/Twist, which has no header."""
    types = ros_typestore().types
    vector = types["geometry_msgs/msg/Vector3"]
    return types["geometry_msgs/msg/Twist"](vector(forward, 0.0, 0.0), vector(0.0, 0.0, turn))


def joints(stamp_ns: int, positions: list[float], names: list[str] | None = None):
    """A sensor_msgs/JointState without efforts."""
    values = np.array(positions, np.float64)
    names = names or [f"j{index}" for index in range(len(values))]
    kind = ros_typestore().types["sensor_msgs/msg/JointState"]
    return kind(header(stamp_ns), names, values, 2 * values, np.zeros(0))


def floats(values: list[float]):
    """A std_msgs/Float32MultiArray."""
    types = ros_typestore().types
    layout = types["std_msgs/msg/MultiArrayLayout"]([], 0)
    return types["std_msgs/msg/Float32MultiArray"](layout, np.array(values, np.float32))


def text(words: str):
    """A std_msgs/String."""
    return ros_typestore().types["std_msgs/msg/String"](words)


def write_bag(path: Path, messages: Iterable[Timed], empty: dict[str, str] | None = None) -> Path:
    """A bag of messages, which are recorded in the given order."""
    with BagWriter(path) as bag:
        known = set()
        for name, msgtype in (empty or {}).items():
            bag.add_topic(name, msgtype)
        for received_ns, topic, message in messages:
            if topic not in known:
                bag.add_topic(topic, message.__msgtype__)
                known.add(topic)
            bag.write(topic, received_ns, message)
    return path


def drive(steps: int = 20, period_ms: int = 100, encoder_hash: str = "a" * 64, start_ns: int = START_NS) -> list[Timed]:
    """Latents (index, -index) at 10 Hz and a command (index) 20 ms after each."""
    found: list[Timed] = []
    for index in range(steps):
        stamp_ns = start_ns + index * period_ms * MS
        found.append((stamp_ns + 5 * MS, "/latent", latent(stamp_ns, (index, -index), encoder_hash)))
        found.append((stamp_ns + 20 * MS, "/cmd_vel", twist(float(index))))
    return found


def camera(steps: int, size_wh: tuple[int, int] = (8, 6)) -> list[Timed]:
    """Pictures at 10 Hz."""
    found: list[Timed] = []
    for index in range(steps):
        rgb = np.resize(picture(index), (size_wh[1], size_wh[0], 3))
        stamp_ns = START_NS + index * 100 * MS
        found.append((stamp_ns, "/camera/image", raw_message(stamp_ns, rgb)))
    return found


DRIVE = DatasetSettings((TopicSpec("/latent"),), (parse_topic("/cmd_vel:linear.x"),), clock="reception")


def made(tmp_path, messages, settings, storage="npz", name="set"):
    """The data set of one bag, which must be usable, and its result."""
    bag = write_bag(tmp_path / f"{name}_bag", messages)
    result = build([bag], tmp_path / name, settings, storage)
    assert [entry.error for entry in result.bags] == [""]
    return PlainDataset(tmp_path / name), result
