"""Which pixels matter: the share of each network pixel that lies in the box of an object.

The idea is that of ViSaRL (Liang, Thomason and Biyik, "ViSaRL: Visual Reinforcement Learning Guided by Human Saliency",
2023): what a task is about is told to the representation in pre-training. Here boxes say it, as labelled data has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from robot_vision.data.labelled_coco import COCO_FILES
from robot_vision.errors import InvalidValueError
from robot_vision.runtime.card import InputSpec
from robot_vision.train.image_labels import Labels, find_labels
from robot_vision.train.vae_sources import Images, Shrinker, cached, stacked
from robot_vision.types import Float32Array, UInt8Array


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
    source = find_labels(images, model)
    if source is None:
        raise InvalidValueError(
            f"saliency: {images.path} has no labels ({' or '.join(COCO_FILES)} in a folder, a topic named ground_truth "
            "in a bag); give --saliency-model, or leave --saliency out"
        )
    shrink = Shrinker(spec)

    def make() -> UInt8Array:
        chosen = _of_classes(source.labels, class_names, images.path)
        shown = tqdm(chosen, desc=f"boxes of {images.title}", unit="image")
        return stacked(shrink(box_mask(boxes_xyxy, size_wh))[:1] for boxes_xyxy, size_wh in shown)

    chosen_key = f"{sorted(class_names)}" if class_names else ""
    return cached(cache_folder, "coverage", f"{spec!r}{images.identity}{source.key}{chosen_key}", make)


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


def _of_classes(
    labels: Iterator[Labels], class_names: Sequence[str], path: Path
) -> Iterator[tuple[Float32Array, tuple[int, int]]]:
    met: set[str] = set()
    for found in labels:
        met.update(found.class_names)
        rows = [not class_names or name in class_names for name in found.class_names]
        yield found.boxes_xyxy[np.array(rows, bool)], found.size_wh
    if class_names and met.isdisjoint(class_names):
        raise InvalidValueError(
            f"saliency_classes: no image of {path} has a box of class {' or '.join(class_names)}; "
            f"those with boxes are {', '.join(sorted(met)) or 'none'}"
        )
