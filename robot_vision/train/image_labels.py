"""Objects of training images, whoever names them: COCO annotations, a bag's ground truth, or a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_vision.data.bags import BagReader
from robot_vision.data.labelled_coco import COCO_FILES, open_coco
from robot_vision.data.sources import COMPRESSED_IMAGE, IMAGE, BagImageSource
from robot_vision.detection.yolo import Detector
from robot_vision.errors import BagError
from robot_vision.evaluation.ground_truth import ground_truth_topic, read_arrays
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import file_sha256, load_card
from robot_vision.train.vae_sources import ImageFolder, Images, Recording
from robot_vision.types import Float32Array

MIN_SCORE = 0.3
"""Smallest score of a detector's box that counts."""


class Labels(NamedTuple):
    """Objects of one image.

    Attributes:
        boxes_xyxy: (N, 4) float32 in pixels.
        class_names: Class of each.
        size_wh: Width and height of the image in pixels.
    """

    boxes_xyxy: Float32Array
    class_names: Sequence[str]
    size_wh: tuple[int, int]


class LabelSource(NamedTuple):
    """Labels of all images of one place.

    Attributes:
        key: Text that differs when the labels do.
        labels: One entry an image, in the order of the images; nothing is read before the first is taken.
    """

    key: str
    labels: Iterator[Labels]


def find_labels(images: Images, model: str = "") -> LabelSource | None:
    """Where the objects are in each image.

    They come from the folder's COCO annotations or the bag's ground truth. Objects that need not be found are left out,
    and images of a bag that have no ground truth have none. Where there are no labels, a detector says what it finds.

    Args:
        images: Folder or bag.
        model: Detector for images without labels, a shipped model's name or a file; empty for none.

    Returns:
        The labels; None if there are neither labels nor a detector.

    Raises:
        BagError: If labels do not fit the images, or a file cannot be read.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        ModelError: If the detector cannot be loaded or fails.
    """
    annotations = _annotations(images)
    truth_topic = _truth_topic(images) if isinstance(images, Recording) else None
    if annotations is not None:
        assert isinstance(images, ImageFolder)
        return LabelSource(file_sha256(annotations), _annotated(images, annotations))
    if truth_topic is not None:
        assert isinstance(images, Recording)
        return LabelSource(truth_topic, _recorded(images, truth_topic))
    if model:
        return LabelSource(f"{load_card(model).identity_hash}|{MIN_SCORE}", _detected(images, model))
    return None


def _annotations(images: Images) -> Path | None:
    if isinstance(images, Recording):
        return None
    found = [images.path / name for name in COCO_FILES if (images.path / name).is_file()]
    return found[0] if found else None


def _annotated(images: ImageFolder, annotations: Path) -> Iterator[Labels]:
    """Boxes of a folder with COCO annotations, whose own order of images may be another."""
    labelled = open_coco(annotations)
    missing = sorted({file.name for file in images.files} - set(labelled.titles))
    if missing:
        raise BagError(
            f"{annotations}: does not list {len(missing)} of {len(images.files)} images, the first is {missing[0]}; "
            "list them, or move them away"
        )
    found = {}
    for title, image in zip(labelled.titles, labelled.images(), strict=True):
        truth = image.truth
        names = [labelled.class_names[number] for number in truth.class_ids[~truth.ignored]]
        found[title] = Labels(truth.boxes_xyxy[~truth.ignored], names, (image.rgb.shape[1], image.rgb.shape[0]))
    for file in images.files:
        yield found[file.name]


def _truth_topic(images: Recording) -> str | None:
    """The ground truth of a recording's camera, None if there is none."""
    if not isinstance(images.source, BagImageSource):
        return None
    with BagReader(images.path) as bag:
        topic, topics = ground_truth_topic(bag), bag.topics
    if topic is None:
        return None
    beside = f"{topic.rpartition('/')[0]}/"
    cameras = [
        entry.name
        for entry in topics.values()
        if entry.msgtype in (IMAGE, COMPRESSED_IMAGE) and entry.message_count and entry.name.startswith(beside)
    ]
    if cameras and images.source.topic not in cameras:
        raise BagError(
            f"{images.path}: {topic} is the ground truth of {', '.join(cameras)}, not of {images.source.topic}; "
            "choose the camera with --topic"
        )
    return topic


def _recorded(images: Recording, topic: str) -> Iterator[Labels]:
    with BagReader(images.path) as bag:
        arrays = read_arrays(bag, topic)
    for stamp_ns, array in arrays.items():
        if not np.isfinite(array.boxes_xyxy).all():
            raise BagError(
                f"{images.path}: {topic}, message of stamp {stamp_ns} ns has a box that is not finite; correct it"
            )
    matched = 0
    for frame in images.frames():
        array = arrays.get(frame.stamp_ns)
        if array is None:
            yield Labels(np.zeros((0, 4), np.float32), (), frame.size_wh)
            continue
        matched += 1
        rows = array.scores > 0
        names = [name for name, scored in zip(array.class_names, rows, strict=True) if scored]
        yield Labels(array.boxes_xyxy[rows], names, frame.size_wh)
    if not matched:
        raise BagError(
            f"{images.path}: no image on {images.source.topic} has the stamp of a message on {topic}; ground truth "
            "must carry the header of its image"
        )


def _detected(images: Images, model: str) -> Iterator[Labels]:
    detector = Detector(load_card(model), SessionParams(), DetectorParams(confidence_threshold=MIN_SCORE))
    for frame in images.frames():
        found = detector.detect(frame)
        names = [detector.class_names[number] for number in found.class_ids]
        yield Labels(found.boxes_xyxy, names, frame.size_wh)
