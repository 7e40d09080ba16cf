"""Small labelled data sets of every kind to test with; their images are 40 x 20 pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from camera_bags import PERIOD_NS, START_NS, header, raw_message

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.labelled import LabelledSet
from robot_vision.data.typestore import ros_typestore

SIZE_WH = (40, 20)
DETECTION_ARRAY = "vision_msgs/msg/Detection2DArray"


def grey(value: int) -> np.ndarray:
    """An image of one colour, (20, 40, 3) uint8."""
    return np.full((SIZE_WH[1], SIZE_WH[0], 3), value, np.uint8)


def write_image(path: Path, value: int = 0) -> Path:
    """Write an image of one colour without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), grey(value))
    return path


def coco_content() -> dict[str, Any]:
    """Two images; the first has a dog (category 5), the second nothing, and no image has a cat (category 2)."""
    return {
        "images": [
            {"id": 8, "file_name": "a.png", "width": 40, "height": 20},
            {"id": 3, "file_name": "b.png", "width": 40, "height": 20},
        ],
        "annotations": [{"id": 11, "image_id": 8, "category_id": 5, "bbox": [4, 5, 10, 8], "iscrowd": 0}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
    }


def write_coco(
    file: Path,
    images: Path,
    names: tuple[str, str] = ("a.png", "b.png"),
    change: Callable[[dict[str, Any]], Any] = lambda content: None,
) -> Path:
    """Write annotations to `file` and the two images, of colour 50 and 60, below `images`."""
    content = coco_content()
    for number, name in enumerate(names):
        content["images"][number]["file_name"] = name
        write_image(images / name, 50 + 10 * number)
    change(content)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def write_yolo(
    folder: Path, labels: Sequence[str | None], yaml_text: str = "names: [cat, dog]\ntrain: images\nval: images\n"
) -> Path:
    """Write `data.yaml`, images of colour 50, 51, … and their label files where there are labels."""
    (folder / "labels").mkdir(parents=True)
    for number, text in enumerate(labels):
        write_image(folder / "images" / f"{number}.png", 50 + number)
        if text is not None:
            (folder / "labels" / f"{number}.txt").write_text(text)
    (folder / "data.yaml").write_text(yaml_text)
    return folder / "data.yaml"


Box = tuple[str, float, tuple[float, float, float, float]]


def truth_message(stamp_ns: int, boxes: Sequence[Box]) -> Any:
    """A Detection2DArray of (class, score, box as cx, cy, w, h); the class `-` stands for no hypothesis at all."""
    types = ros_typestore().types
    point, position = types["geometry_msgs/msg/Point"], types["vision_msgs/msg/Point2D"]
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    pose = types["geometry_msgs/msg/PoseWithCovariance"](
        types["geometry_msgs/msg/Pose"](point(0.0, 0.0, 0.0), turn), np.zeros(36)
    )
    detections = []
    for class_id, score, (cx, cy, width, height) in boxes:
        hypothesis = types["vision_msgs/msg/ObjectHypothesis"](class_id, score)
        result = types["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis, pose)
        centre = types["vision_msgs/msg/Pose2D"](position(cx, cy), 0.0)
        box = types["vision_msgs/msg/BoundingBox2D"](centre, width, height)
        results = [] if class_id == "-" else [result]
        detections.append(types["vision_msgs/msg/Detection2D"](header(stamp_ns), results, box, ""))
    return types[DETECTION_ARRAY](header(stamp_ns), detections)


def label_info(entries: Sequence[tuple[int, str]]) -> Any:
    """A LabelInfo message."""
    types = ros_typestore().types
    class_map = [types["vision_msgs/msg/VisionClass"](number, name) for number, name in entries]
    return types["vision_msgs/msg/LabelInfo"](header(START_NS), class_map, 0.0)


def write_truth_bag(
    path: Path,
    truth: Sequence[Sequence[Box] | None],
    *,
    storage: str = "mcap",
    truth_topic: str = "/camera/ground_truth",
    labels: Sequence[tuple[int, str]] = (),
    label_topic: str = "/camera/label_info",
    stamps: Sequence[int] | None = None,
    shift_ns: int = 0,
    damaged: bool = False,
) -> Path:
    """Write a bag with one image of colour 50, 51, … an entry, and its ground truth unless that is None.

    An image topic of another camera comes first by name. Ground truth is stamped `shift_ns` later than its image.
    The data of damaged images end too soon.
    """
    with BagWriter(path, storage) as bag:
        for topic in ("/another/image", "/camera/image"):
            bag.add_topic(topic, "sensor_msgs/msg/Image")
        bag.add_topic(truth_topic, DETECTION_ARRAY)
        if labels:
            bag.add_topic(label_topic, "vision_msgs/msg/LabelInfo")
            bag.write(label_topic, START_NS, label_info(labels))
        for number, boxes in enumerate(truth):
            stamp_ns = stamps[number] if stamps else START_NS + number * PERIOD_NS
            bag.write("/another/image", stamp_ns, raw_message(stamp_ns, grey(250)))
            image = raw_message(stamp_ns, grey(50 + number))
            bag.write("/camera/image", stamp_ns, replace(image, data=image.data[:-9]) if damaged else image)
            if boxes is not None:
                bag.write(truth_topic, stamp_ns + shift_ns, truth_message(stamp_ns + shift_ns, boxes))
    return path


def contents(source: LabelledSet) -> list[tuple[int, list[list[float]], list[str], list[bool]]]:
    """Colour, boxes, class names and whether to ignore them of every image."""
    found = []
    for image in source.images():
        names = [source.class_names[number] for number in image.truth.class_ids]
        boxes = [[round(float(value), 3) for value in box] for box in image.truth.boxes_xyxy]
        found.append((int(image.rgb[0, 0, 0]), boxes, names, image.truth.ignored.tolist()))
    assert len(found) == source.count
    return found
