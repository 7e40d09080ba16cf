"""Records the simulated world into a ROS 2 bag: camera topics, camera pose and ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import FRAME_ID, quaternion_xyzw
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.scene import SceneConfig
from robot_vision.sim.world import SimFrame, World, WorldConfig
from robot_vision.types import Float64Array

FORMATS = ("compressed", "raw")
MAP_FRAME_ID = "map"
COMPRESSED_TOPIC = "/camera/image/compressed"
RAW_TOPIC = "/camera/image"
INFO_TOPIC = "/camera/camera_info"
TRUTH_TOPIC = "/camera/ground_truth"
POSE_TOPIC = "/camera/pose"


def _default_world() -> WorldConfig:
    return WorldConfig(seed=0, size_wh=(640, 480), camera="handheld", scene=SceneConfig(objects=(8, 14)))


@dataclass(frozen=True)
class RecordingConfig:
    """One bag.

    Attributes:
        path: Bag folder to create.
        seconds: Length in seconds.
        image_format: `compressed` (JPEG) or `raw` (rgb8).
        quality: JPEG quality, 1 to 100.
        world: Seed, image size, camera and frame rate.

    Raises:
        InvalidValueError: If a number is out of range or the format is unknown.
    """

    path: Path
    seconds: float = 10.0
    image_format: str = "compressed"
    quality: int = 80
    world: WorldConfig = field(default_factory=_default_world)

    def __post_init__(self) -> None:
        if self.image_format not in FORMATS:
            raise InvalidValueError(f"image_format: {self.image_format!r} is unknown; use one of {', '.join(FORMATS)}")
        if self.seconds * self.world.rate_hz < 1:
            raise InvalidValueError(
                f"seconds: {self.seconds} s at {self.world.rate_hz} Hz hold no frame; record for longer"
            )
        if not 1 <= self.quality <= 100:
            raise InvalidValueError(f"quality: expected 1 to 100, got {self.quality}")


def write_bag(config: RecordingConfig) -> int:
    """Record a bag in the MCAP format.

    Every message of a frame carries the frame's stamp. Image, CameraInfo and ground truth are in the camera's optical
    frame, the camera's pose in `map`. The ground truth holds the labelled objects (see `ground_truth`): `id` is the
    object's id, the score is 1 - occlusion, the pose is the object's in the optical frame.

    Args:
        config: What to record.

    Returns:
        Number of frames.

    Raises:
        BagError: If `config.path` exists or cannot be written.
        MissingDependencyError: If the renderer cannot start or message definitions are missing.
    """
    count = round(config.seconds * config.world.rate_hz)
    with World(config.world) as world:
        write_frames(config.path, world.frames(count), count, MessageFactory(config.image_format, config.quality))
    return count


def write_frames(path: Path, frames: Iterable[SimFrame], count: int, messages: MessageFactory) -> None:
    """Write rendered frames as `write_bag` does.

    Args:
        path: Bag folder to create.
        frames: The frames by rising stamp.
        count: How many there are.
        messages: Makes their messages.

    Raises:
        BagError: If the bag exists or cannot be written.
    """
    with BagWriter(path) as bag:
        for topic, msgtype in messages.topics.items():
            bag.add_topic(topic, msgtype)
        for frame in tqdm(frames, total=count, unit="frame"):
            for topic, message in messages.of(frame).items():
                bag.write(topic, frame.stamp_ns, message)


class MessageFactory:
    """Makes the ROS messages of a frame.

    Args:
        image_format: `compressed` or `raw`.
        quality: JPEG quality, 1 to 100.
    """

    def __init__(self, image_format: str, quality: int) -> None:
        self._types = ros_typestore().types
        self._raw = image_format == "raw"
        self._quality = quality

    @property
    def topics(self) -> dict[str, str]:
        """Message type by topic."""
        raw, compressed = {RAW_TOPIC: "sensor_msgs/msg/Image"}, {COMPRESSED_TOPIC: "sensor_msgs/msg/CompressedImage"}
        return (raw if self._raw else compressed) | {
            INFO_TOPIC: "sensor_msgs/msg/CameraInfo",
            POSE_TOPIC: "geometry_msgs/msg/PoseStamped",
            TRUTH_TOPIC: "vision_msgs/msg/Detection2DArray",
        }

    def of(self, frame: SimFrame) -> dict[str, Any]:
        """Messages of one frame by topic."""
        header = self._header(frame.stamp_ns, FRAME_ID)
        image = {RAW_TOPIC: self._image(frame, header)} if self._raw else {COMPRESSED_TOPIC: self._jpeg(frame, header)}
        return image | {
            INFO_TOPIC: self._info(frame, header),
            POSE_TOPIC: self._make("geometry_msgs/msg/PoseStamped", header=self._header(frame.stamp_ns, MAP_FRAME_ID),
                                   pose=self._pose(frame.camera.position, quaternion_xyzw(frame.camera.rotation))),
            TRUTH_TOPIC: self._truth(frame, header),
        }  # fmt: skip

    def _make(self, msgtype: str, **fields: Any) -> Any:
        return self._types[msgtype](**fields)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _image(self, frame: SimFrame, header: Any) -> Any:
        height, width = frame.rgb.shape[:2]
        return self._make(
            "sensor_msgs/msg/Image", header=header, height=height, width=width, encoding="rgb8", is_bigendian=0,
            step=3 * width, data=frame.rgb.reshape(-1),
        )  # fmt: skip

    def _jpeg(self, frame: SimFrame, header: Any) -> Any:
        bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self._quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
        return self._make("sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data.reshape(-1))

    def _info(self, frame: SimFrame, header: Any) -> Any:
        eye = frame.intrinsics
        matrix = np.array([eye.fx, 0, eye.cx, 0, eye.fy, eye.cy, 0, 0, 1.0])
        whole = self._make(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        return self._make(
            "sensor_msgs/msg/CameraInfo", header=header, height=eye.height, width=eye.width,
            distortion_model="plumb_bob", d=np.zeros(5), k=matrix, r=np.eye(3).ravel(),
            p=np.insert(matrix, [3, 6, 9], 0.0), binning_x=0, binning_y=0, roi=whole,
        )  # fmt: skip

    def _truth(self, frame: SimFrame, header: Any) -> Any:
        detections = [self._detection(frame, int(i), header) for i in np.flatnonzero(frame.truth.labelled)]
        return self._make("vision_msgs/msg/Detection2DArray", header=header, detections=detections)

    def _detection(self, frame: SimFrame, i: int, header: Any) -> Any:
        truth = frame.truth
        x1, y1, x2, y2 = (float(v) for v in truth.boxes_xyxy[i])
        centre = self._make(
            "vision_msgs/msg/Pose2D",
            position=self._make("vision_msgs/msg/Point2D", x=(x1 + x2) / 2, y=(y1 + y2) / 2), theta=0.0,
        )  # fmt: skip
        hypothesis = self._make(
            "vision_msgs/msg/ObjectHypothesis", class_id=CLASS_NAMES[truth.class_ids[i]],
            score=1.0 - float(truth.occlusion[i]),
        )  # fmt: skip
        pose = self._make(
            "geometry_msgs/msg/PoseWithCovariance", pose=self._pose(truth.positions[i], truth.quaternions_xyzw[i]),
            covariance=np.zeros(36),
        )  # fmt: skip
        result = self._make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)
        box = self._make("vision_msgs/msg/BoundingBox2D", center=centre, size_x=x2 - x1, size_y=y2 - y1)
        return self._make(
            "vision_msgs/msg/Detection2D", header=header, results=[result], bbox=box, id=str(truth.object_ids[i])
        )

    def _pose(self, position: Float64Array, quaternion_xyzw: Float64Array) -> Any:
        x, y, z = (float(v) for v in position)
        qx, qy, qz, qw = (float(v) for v in quaternion_xyzw)
        return self._make(
            "geometry_msgs/msg/Pose", position=self._make("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=self._make("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        )  # fmt: skip
