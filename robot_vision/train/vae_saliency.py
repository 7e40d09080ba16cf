"""Which pixels matter: the share of each network pixel that lies in the box of an object.

The idea is that of ViSaRL (Liang, Thomason and Biyik, "ViSaRL: Visual Reinforcement Learning Guided by Human Saliency",
2023): what a task is about is told to the representation in pre-training. Here boxes say it, as labelled data has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from robot_vision.data.bags import BagReader
from robot_vision.data.labelled_coco import COCO_FILES, open_coco
from robot_vision.data.sources import COMPRESSED_IMAGE, IMAGE, BagImageSource
from robot_vision.detection.yolo import Detector
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.evaluation.ground_truth import ground_truth_topic, read_arrays
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import InputSpec, file_sha256, load_card
from robot_vision.train.vae_sources import ImageFolder, Images, Recording, Shrinker, cached, stacked
from robot_vision.types import Float32Array, UInt8Array

MIN_SCORE = 0.3
"""Smallest score of a detector's box that counts."""


def load_coverage(
    images: Images, spec: InputSpec, cache_folder: Path, model: str = "", class_names: Sequence[str] = ()
) -> UInt8Array:
    """Where the objects are in each image, from a cache file while images and boxes are the same.

    Boxes come from the folder's COCO annotations or the bag's ground truth. Objects that need not be found, and images
    of a bag that have no ground truth, add nothing. Where there are no labels, the boxes are those of a detector.

    Args:
        images: Where the frames come from.
        spec: Preprocessing of the encoder; a box is placed as the image is.
        cache_folder: Where the cache file is kept; created if missing.
        model: Detector for images without labels, a shipped model's name or a file; empty for none.
        class_names: The classes whose boxes count; empty for all.

    Returns:
        (N, 1, H, W) uint8 in the order of the source: share of the pixel inside the union of the boxes, 255 for all.

    Raises:
        BagError: If labels do not fit the images, or a file cannot be read.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        InvalidValueError: If there are neither labels nor a detector, or there are no boxes of the classes.
        ModelError: If the detector cannot be loaded or fails.
    """
    annotations = _annotations(images)
    truth_topic = _truth_topic(images) if isinstance(images, Recording) else None
    if annotations is not None:
        assert isinstance(images, ImageFolder)
        key, boxes = file_sha256(annotations), _annotated(images, annotations)
    elif truth_topic is not None:
        assert isinstance(images, Recording)
        key, boxes = truth_topic, _recorded(images, truth_topic)
    elif model:
        key, boxes = f"{load_card(model).identity_hash}|{MIN_SCORE}", _detected(images, model)
    else:
        raise InvalidValueError(
            f"saliency: {images.path} has no labels ({' or '.join(COCO_FILES)} in a folder, a topic named ground_truth "
            "in a bag); give --saliency-model, or leave --saliency out"
        )
    shrink = Shrinker(spec)

    def make() -> UInt8Array:
        chosen = _of_classes(boxes, class_names, images.path)
        shown = tqdm(chosen, desc=f"boxes of {images.title}", unit="image")
        return stacked(shrink(box_mask(boxes_xyxy, size_wh))[:1] for boxes_xyxy, size_wh in shown)

    chosen_key = f"{sorted(class_names)}" if class_names else ""
    return cached(cache_folder, "coverage", f"{spec!r}{images.identity}{key}{chosen_key}", make)


def box_mask(boxes_xyxy: Float32Array, size_wh: tuple[int, int]) -> UInt8Array:
    """Boxes as an image: white where one is.

    Args:
        boxes_xyxy: (N, 4) in pixels; may reach over the border.
        size_wh: Size of the image in pixels.

    Returns:
        (H, W, 3) uint8, 255 in every pixel that a box touches, else 0.
    """
    mask = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    upper_left = np.maximum(np.floor(boxes_xyxy[:, :2]), 0).astype(np.int64)
    lower_right = np.maximum(np.ceil(boxes_xyxy[:, 2:]), 0).astype(np.int64)
    for (left, top), (right, bottom) in zip(upper_left, lower_right, strict=True):
        mask[top:bottom, left:right] = 255
    return mask


class _Labels(NamedTuple):
    """Boxes of one image, (N, 4), their N classes, and the image's size."""

    boxes_xyxy: Float32Array
    class_names: Sequence[str]
    size_wh: tuple[int, int]


Boxes = Iterator[_Labels]


def _of_classes(boxes: Boxes, class_names: Sequence[str], path: Path) -> Iterator[tuple[Float32Array, tuple[int, int]]]:
    met: set[str] = set()
    for labels in boxes:
        met.update(labels.class_names)
        rows = [not class_names or name in class_names for name in labels.class_names]
        yield labels.boxes_xyxy[np.array(rows, bool)], labels.size_wh
    if class_names and met.isdisjoint(class_names):
        raise InvalidValueError(
            f"saliency_classes: no image of {path} has a box of class {' or '.join(class_names)}; "
            f"those with boxes are {', '.join(sorted(met)) or 'none'}"
        )


def _annotations(images: Images) -> Path | None:
    if isinstance(images, Recording):
        return None
    found = [images.path / name for name in COCO_FILES if (images.path / name).is_file()]
    return found[0] if found else None


def _annotated(images: ImageFolder, annotations: Path) -> Boxes:
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
        found[title] = _Labels(truth.boxes_xyxy[~truth.ignored], names, (image.rgb.shape[1], image.rgb.shape[0]))
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


def _recorded(images: Recording, topic: str) -> Boxes:
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
            yield _Labels(np.zeros((0, 4), np.float32), (), frame.size_wh)
            continue
        matched += 1
        rows = array.scores > 0
        names = [name for name, scored in zip(array.class_names, rows, strict=True) if scored]
        yield _Labels(array.boxes_xyxy[rows], names, frame.size_wh)
    if not matched:
        raise BagError(
            f"{images.path}: no image on {images.source.topic} has the stamp of a message on {topic}; ground truth "
            "must carry the header of its image"
        )


def _detected(images: Images, model: str) -> Boxes:
    detector = Detector(load_card(model), SessionParams(), DetectorParams(confidence_threshold=MIN_SCORE))
    for frame in images.frames():
        found = detector.detect(frame)
        names = [detector.class_names[number] for number in found.class_ids]
        yield _Labels(found.boxes_xyxy, names, frame.size_wh)
