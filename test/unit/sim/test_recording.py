"""Bags of the simulated world, read back with rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import InvalidValueError, MissingDependencyError
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.recording import RecordingConfig, write_bag
from robot_vision.sim.scene import SceneConfig
from robot_vision.sim.world import SimFrame, World, WorldConfig

try:
    ros_typestore()
except MissingDependencyError as error:
    pytest.skip(str(error), allow_module_level=True)

WORLD = WorldConfig(8, (160, 120), "uav", 10.0, scene=SceneConfig(objects=(8, 8), shadow_size=256, samples=0))


@pytest.fixture(scope="module")
def expected() -> list[SimFrame]:
    with World(WORLD) as world:
        return list(world.frames(3))


def read(path: Path) -> dict[str, list[tuple[int, Any]]]:
    highlevel = pytest.importorskip("rosbags.highlevel")
    topics: dict[str, list[tuple[int, Any]]] = {}
    with highlevel.AnyReader([path], default_typestore=ros_typestore()) as reader:
        for connection, stamp_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            topics.setdefault(connection.topic, []).append((stamp_ns, message))
    return topics


@pytest.mark.parametrize("image_format", ["compressed", "raw"])
def test_a_bag_holds_what_the_world_showed(image_format: str, expected: list[SimFrame], tmp_path: Path) -> None:
    path = tmp_path / "sample"
    assert write_bag(RecordingConfig(path, 0.3, image_format, 95, WORLD)) == 3
    topics = read(path)
    image_topic = "/camera/image" if image_format == "raw" else "/camera/image/compressed"
    assert sorted(topics) == sorted([image_topic, "/camera/camera_info", "/camera/ground_truth", "/camera/pose"])
    for k, frame in enumerate(expected):
        for topic, entries in topics.items():
            stamp_ns, message = entries[k]
            stamp = message.header.stamp
            assert stamp_ns == frame.stamp_ns == stamp.sec * 10**9 + stamp.nanosec
            assert message.header.frame_id == ("map" if topic == "/camera/pose" else "camera_optical_frame")
        check_image(topics[image_topic][k][1], frame)
        check_truth(topics["/camera/ground_truth"][k][1], frame)
        info = topics["/camera/camera_info"][k][1]
        assert (info.width, info.height) == (160, 120)
        assert info.k.reshape(3, 3)[0, 0] == pytest.approx(60 / np.tan(np.radians(25)))
        np.testing.assert_allclose(info.p.reshape(3, 4)[:, :3], info.k.reshape(3, 3))
        position = topics["/camera/pose"][k][1].pose.position
        np.testing.assert_allclose([position.x, position.y, position.z], frame.camera.position)


def check_image(message: Any, frame: SimFrame) -> None:
    if hasattr(message, "encoding"):
        assert message.encoding == "rgb8"
        np.testing.assert_array_equal(message.data.reshape(message.height, message.step // 3, 3), frame.rgb)
    else:
        decoded = cv2.imdecode(message.data, cv2.IMREAD_COLOR)[..., ::-1]
        assert message.format == "jpeg"
        assert np.abs(decoded.astype(int) - frame.rgb).mean() < 4


def check_truth(message: Any, frame: SimFrame) -> None:
    truth, rows = frame.truth, np.flatnonzero(frame.truth.labelled)
    assert [detection.id for detection in message.detections] == [str(truth.object_ids[i]) for i in rows]
    for detection, i in zip(message.detections, rows, strict=True):
        box, (result,) = detection.bbox, detection.results
        x1, y1 = box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2
        np.testing.assert_allclose([x1, y1, x1 + box.size_x, y1 + box.size_y], truth.boxes_xyxy[i])
        assert result.hypothesis.class_id == CLASS_NAMES[truth.class_ids[i]]
        assert result.hypothesis.score == pytest.approx(1 - truth.occlusion[i])
        assert result.pose.pose.position.z == pytest.approx(truth.positions[i][2])


@pytest.mark.parametrize(
    ("wrong", "word"), [({"seconds": 0.0}, "seconds"), ({"image_format": "png"}, "png"), ({"quality": 101}, "quality")]
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=word):
        RecordingConfig(tmp_path / "bag", **wrong)
