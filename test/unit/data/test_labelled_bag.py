"""Bags with ground truth: images and boxes are matched by stamp, classes named, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from camera_bags import START_NS, write_camera_bag
from labelled_files import DETECTION_ARRAY, contents, write_truth_bag
from rosbags.rosbag1 import Writer

from robot_vision.data.bags import BagReader
from robot_vision.data.labelled_sets import open_labelled
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, EvaluationError, FrameError

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
DOG = ("dog", 1.0, (20.0, 10.0, 10.0, 8.0))
CAT = ("cat", 0.5, (5.0, 5.0, 4.0, 4.0))


def test_the_shipped_sample_is_a_data_set() -> None:
    """Every image has its boxes: those that a plain loop over the recorded messages finds."""
    found = open_labelled(SAMPLES / "simworld_uav", "train")
    assert found.class_names == ("ball", "bottle", "box", "can", "cone", "mug", "robot")
    assert (found.count, found.notes) == (100, ())
    first = next(found.images())
    assert first.rgb.shape == (480, 640, 3)
    with BagReader(SAMPLES / "simworld_uav") as bag:
        _, message = next(bag.messages("/camera/ground_truth"))
    boxes = [
        (d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y) for d in message.detections
    ]
    expected = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in boxes]
    np.testing.assert_allclose(first.truth.boxes_xyxy, expected)
    names = [found.class_names[number] for number in first.truth.class_ids]
    assert names == [d.results[0].hypothesis.class_id for d in message.detections]


def test_images_without_ground_truth_are_left_out_and_counted(tmp_path: Path, form, storage: str) -> None:
    """The second image has no message, the third an empty one: no objects there. Of two cameras the labelled one."""
    path = form(write_truth_bag(tmp_path / "bag", [[DOG, CAT], None, []], storage=storage))
    found = open_labelled(path, "train")
    assert found.class_names == ("cat", "dog")
    assert found.notes == ("1 of 3 images have no ground truth and are left out",)
    assert contents(found) == [(50, [[15, 6, 25, 14], [3, 3, 7, 7]], ["dog", "cat"], [False, False]), (52, [], [], [])]


def test_objects_that_need_not_be_found_are_ignored_and_empty_boxes_left_out(tmp_path: Path) -> None:
    """A box that reaches beyond the image is cut; ground truth may hold the whole of an object."""
    hidden, empty, beyond = (
        ("dog", 0.0, CAT[2]),
        ("dog", 1.0, (5.0, 5.0, 0.0, 4.0)),
        ("dog", 1.0, (0.0, 10.0, 6.0, 4.0)),
    )
    found = open_labelled(write_truth_bag(tmp_path / "bag", [[DOG, hidden, empty, beyond]]), "train")
    assert found.notes == ("1 boxes without area left out",)
    _, boxes, _, ignored = contents(found)[0]
    assert (boxes, ignored) == ([[15, 6, 25, 14], [3, 3, 7, 7], [0, 8, 3, 12]], [False, True, False])


def test_several_cameras_without_a_namespace_in_common_are_noted(tmp_path: Path) -> None:
    path = write_truth_bag(tmp_path / "bag", [[DOG]], truth_topic="/labels/ground_truth")
    found = open_labelled(path, "train")
    assert found.notes == ("several image topics, taking /another/image of /another/image, /camera/image",)
    assert contents(found)[0][0] == 250


@pytest.mark.parametrize("texts", [("dog", "cat"), ("7", "2"), ("dog", "2")])
def test_class_numbers_and_names_come_from_label_info(tmp_path: Path, texts: tuple[str, str]) -> None:
    """In the order of its numbers, also the class without objects, whether messages hold names or numbers."""
    boxes = [(text, *box[1:]) for text, box in zip(texts, (DOG, CAT), strict=True)]
    found = open_labelled(
        write_truth_bag(tmp_path / "bag", [boxes], labels=[(7, "dog"), (2, "cat"), (4, "cow")]), "train"
    )
    assert (found.class_names, found.present) == (("cat", "cow", "dog"), {0, 2})
    assert contents(found)[0][2] == ["dog", "cat"]


def test_label_info_of_something_else_names_nothing(tmp_path: Path) -> None:
    """A detector that was recorded along has its own classes."""
    path = write_truth_bag(tmp_path / "bag", [[DOG]], labels=[(0, "person")], label_topic="/detector/label_info")
    assert open_labelled(path, "train").class_names == ("dog",)


def write_ros1_bag(path: Path, missing_bytes: int = 0) -> Path:
    """One image and its ground truth, whose last bytes may be missing, as a ROS 1 bag."""
    store = ros_typestore()
    source = write_truth_bag(path.with_suffix(""), [[DOG]])
    with BagReader(source) as bag, Writer(path) as writer:
        connections = {
            "/camera/image": writer.add_connection("/camera/image", "sensor_msgs/msg/Image", typestore=store),
            "/camera/ground_truth": writer.add_connection("/camera/ground_truth", DETECTION_ARRAY, typestore=store),
        }
        for message in bag.raw(list(connections)):
            data = store.cdr_to_ros1(message.data, message.msgtype)
            missing = missing_bytes if message.msgtype == DETECTION_ARRAY else 0
            writer.write(connections[message.topic], message.stamp_ns, bytes(data[: len(data) - missing]))
    return path


def test_ros_1_bags_are_read(tmp_path: Path) -> None:
    found = open_labelled(write_ros1_bag(tmp_path / "old.bag"), "train")
    assert contents(found) == [(50, [[15, 6, 25, 14]], ["dog"], [False])]


def test_other_fields_in_a_ros_1_bag_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"does not hold ROS 2's Detection2DArray .* made under ROS 1, .* convert it"):
        open_labelled(write_ros1_bag(tmp_path / "old.bag", 8), "train")


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (("-", 1.0, DOG[2]), f"message of stamp {START_NS} ns has a detection without class"),
        (("", 1.0, DOG[2]), "has a detection without class; write results"),
        (("dog", 1.0, (5.0, 5.0, -2.0, 4.0)), f"message of stamp {START_NS} ns, detection 1: has a negative size"),
        (("dog", 1.0, (float("nan"), 5.0, 2.0, 4.0)), "detection 1: has a negative size or a value that is not finite"),
        (("dog", 1.0, (90.0, 5.0, 2.0, 4.0)), r"detection 1: the box \(89, 3, 91, 7\) lies outside its image"),
    ],
)
def test_wrong_ground_truth_is_named(tmp_path: Path, box, message: str) -> None:
    path = write_truth_bag(tmp_path / "bag", [[DOG, box]])
    with pytest.raises(BagError, match=f"bag: /camera/ground_truth.*{message}"):
        contents(open_labelled(path, "train"))


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"holds no ground truth; .*ground_truth; its topics are: /camera/image_raw \("):
        open_labelled(write_camera_bag(tmp_path / "bare", "mcap", "sensor_msgs/msg/Image"), "train")
    shifted = write_truth_bag(tmp_path / "shifted", [[DOG]], shift_ns=1)
    with pytest.raises(
        BagError, match="none of the 1 images on /camera/image has the stamp of a message on /camera/gr"
    ):
        open_labelled(shifted, "train")
    hidden = write_truth_bag(tmp_path / "hidden", [[("dog", 0.0, DOG[2])]])
    with pytest.raises(BagError, match="no image has an object that is to be found"):
        open_labelled(hidden, "train")
    unnamed = write_truth_bag(tmp_path / "unnamed", [[DOG]], labels=[(0, "cat")])
    with pytest.raises(BagError, match="LabelInfo does not name dog; it has 0 cat"):
        open_labelled(unnamed, "train")
    twice = write_truth_bag(tmp_path / "twice", [[DOG], [DOG]], stamps=[START_NS, START_NS])
    with pytest.raises(EvaluationError, match="two messages on /camera/ground_truth have the stamp"):
        open_labelled(twice, "train")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    path = write_truth_bag(tmp_path / "bag", [[DOG]], damaged=True)
    with pytest.raises(FrameError, match="/camera/image, message 0"):
        contents(open_labelled(path, "train"))
