"""Bags with images and a ground-truth topic as a labelled set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from robot_vision.data.bags import BagReader
from robot_vision.data.labelled import ImageLabels, LabelledImage, LabelledSet, drop_empty
from robot_vision.data.sources import COMPRESSED_IMAGE, IMAGE, ImageSource, open_source
from robot_vision.errors import BagError
from robot_vision.evaluation.ground_truth import DETECTION_ARRAY, RecordedArray, ground_truth_topic, read_arrays

LABEL_INFO = "vision_msgs/msg/LabelInfo"


def open_labelled_bag(path: Path) -> LabelledSet:
    """Match the images of a bag with its ground truth by stamp.

    The ground truth is a `vision_msgs/Detection2DArray` topic whose last name is `ground_truth`; objects with a score
    of 0 need not be found. Of several image topics the one in the ground truth's namespace is taken. Class names are
    those of the LabelInfo topic in that namespace, in the order of its numbers, or else the messages' own, sorted.

    Args:
        path: Folder of a ROS 2 bag, or a .mcap, .db3 or .bag file.

    Returns:
        The set; images without a ground-truth message of their stamp are left out.

    Raises:
        BagError: If the bag is missing or damaged, lacks images or ground truth, or none of them belong together, or an
            object has no class or one that LabelInfo does not name.
        EvaluationError: If two ground-truth messages have the same stamp.
    """
    with BagReader(path) as bag:
        topic = _truth_topic(bag)
        arrays = _arrays(bag, topic)
        aliases = _label_info(bag, topic)
        source = open_source(path, _image_topic(bag, topic))
    where = f"{path}: {topic}"
    class_names = _class_names(where, arrays, aliases)
    numbers = {name: number for number, name in enumerate(class_names)}
    ids = {number: numbers[name] for number, name in aliases.items()} | numbers
    matched, left_out = _matched(source, topic, arrays)
    name = f"bag {(path.parent if path.name == 'metadata.yaml' else path).resolve().name}"
    found = [_labels(f"{where}, message of stamp {stamp} ns, detection", arrays[stamp], ids) for stamp in matched]
    labels, present, notes = drop_empty(f"{name}, {topic}", found)
    notes += tuple(note for note in (left_out, source.note) if note)
    by_stamp = dict(zip(matched, labels, strict=True))
    titles = tuple(f"{stamp} ns" for stamp in matched)
    return LabelledSet(name, class_names, present, titles, notes, lambda: _images(source, by_stamp))


def _matched(source: ImageSource, truth_topic: str, arrays: Mapping[int, RecordedArray]) -> tuple[list[int], str]:
    """Stamps of the images that have ground truth, and a note on those that have none."""
    stamps = source.stamps_ns()
    matched = [stamp for stamp in stamps if stamp in arrays]
    if not matched:
        raise BagError(
            f"{source.path}: none of the {len(stamps)} images on {source.topic} has the stamp of a message on "
            f"{truth_topic}; ground truth must carry the header of its image"
        )
    missing = len(stamps) - len(matched)
    return matched, f"{missing} of {len(stamps)} images have no ground truth and are left out" if missing else ""


def _truth_topic(bag: BagReader) -> str:
    topic = ground_truth_topic(bag)
    if topic is None:
        listed = ", ".join(f"{entry.name} ({entry.msgtype})" for entry in bag.topics.values())
        raise BagError(
            f"{bag.path}: holds no ground truth; looked for a topic of type {DETECTION_ARRAY} whose last name is "
            f"ground_truth; its topics are: {listed or 'none'}; record the labels under such a name"
        )
    return topic


def _arrays(bag: BagReader, topic: str) -> dict[int, RecordedArray]:
    try:
        return read_arrays(bag, topic)
    except BagError as error:
        if bag.path.suffix != ".bag":
            raise
        raise BagError(
            f"{bag.path}: {topic} does not hold ROS 2's Detection2DArray (class_id, score, bbox with center.position); "
            f"if it was made under ROS 1, where the fields are others, convert it ({error})"
        ) from error


def _namespace(topic: str) -> str:
    return topic.rpartition("/")[0]


def _image_topic(bag: BagReader, truth_topic: str) -> str | None:
    for name, summary in bag.topics.items():
        is_image = summary.msgtype in (IMAGE, COMPRESSED_IMAGE) and summary.message_count
        if is_image and name.startswith(f"{_namespace(truth_topic)}/"):
            return name
    return None


def _label_info(bag: BagReader, truth_topic: str) -> dict[str, str]:
    """Class name by its number as text, in the order of the numbers."""
    for name, summary in bag.topics.items():
        if summary.msgtype == LABEL_INFO and _namespace(name) == _namespace(truth_topic):
            last = [message.class_map for _, message in bag.messages(name)][-1:]
            entries = sorted((int(entry.class_id), str(entry.class_name)) for entry in (last[0] if last else ()))
            return {str(number): class_name for number, class_name in entries}
    return {}


def _class_names(where: str, arrays: Mapping[int, RecordedArray], aliases: Mapping[str, str]) -> tuple[str, ...]:
    met = {name: stamp for stamp, array in arrays.items() for name in array.class_names}
    if "" in met:
        raise BagError(
            f"{where}: the message of stamp {met['']} ns has a detection without class; write results[0].hypothesis"
        )
    unnamed = sorted(met.keys() - aliases.keys() - set(aliases.values())) if aliases else []
    if unnamed:
        known = ", ".join(f"{number} {name}" for number, name in aliases.items())
        raise BagError(f"{where}: LabelInfo does not name {', '.join(unnamed)}; it has {known}; add what is missing")
    return tuple(aliases.values()) or tuple(sorted(met))


def _labels(where: str, array: RecordedArray, ids: Mapping[str, int]) -> ImageLabels:
    boxes_xyxy = array.boxes_xyxy.astype(np.float64)
    sizes_wh = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    for row in np.flatnonzero(~np.isfinite(boxes_xyxy).all(axis=1) | (sizes_wh < 0).any(axis=1)):
        raise BagError(f"{where} {row}: has a negative size or a value that is not finite; correct the ground truth")
    class_ids = np.array([ids[name] for name in array.class_names], np.int64)
    return ImageLabels(where, tuple(range(len(array))), boxes_xyxy, class_ids, array.scores <= 0)


def _images(source: ImageSource, labels: Mapping[int, ImageLabels]) -> Iterator[LabelledImage]:
    for frame in source.frames():
        if frame.stamp_ns in labels:
            yield labels[frame.stamp_ns].on(frame.rgb)
