"""A COCO-format folder held in memory, and batches of it for training and validation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robot_vision.errors import BagError
from robot_vision.geometry import ResizeTransform, resize_transform
from robot_vision.train.detector_loss import Targets
from robot_vision.train.detector_settings import STRIDES
from robot_vision.types import Float32Array, Int64Array, UInt8Array

PAD_VALUE = 114


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its objects, in pixels of that image.

    Attributes:
        rgb: (H, W, 3) uint8.
        boxes_xyxy: (M, 4) float32.
        labels: (M,) int64, index into the class names.
        ignored_xyxy: (K, 4) float32 regions where a detection is neither right nor wrong.
    """

    rgb: UInt8Array
    boxes_xyxy: Float32Array
    labels: Int64Array
    ignored_xyxy: Float32Array


@dataclass(frozen=True)
class CocoData:
    """A data set in memory; images are already scaled as the deployed letterbox scales them, without its padding.

    Attributes:
        folder: Where it came from.
        class_names: Names in the order of their category ids.
        category_ids: Category id of each class.
        image_ids: COCO image id of each sample.
        samples: Images and labels in network scale.
        transforms: Source pixels to network input, one a sample.
        source_sizes_wh: Width and height of each image as stored, in pixels.
    """

    folder: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: tuple[int, ...]
    samples: tuple[Sample, ...]
    transforms: tuple[ResizeTransform, ...]
    source_sizes_wh: tuple[tuple[int, int], ...]

    @property
    def annotation_file(self) -> Path:
        """The labels' file."""
        return self.folder / "annotations.json"


def load_coco(folder: Path, input_size: int) -> CocoData:
    """Read a data set: `annotations.json` and the images under `images/`.

    Args:
        folder: The data set.
        input_size: Side of the network's square input in pixels.

    Returns:
        All images, decoded.

    Raises:
        BagError: If a file is missing, damaged or contradicts another.
    """
    file = folder / "annotations.json"
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BagError(f"{file}: cannot be read as COCO annotations: {error}") from error
    missing = [key for key in ("images", "annotations", "categories") if not content.get(key)]
    if missing:
        raise BagError(f"{file}: lacks {', '.join(missing)}; a COCO data set needs all three")
    categories = sorted(content["categories"], key=lambda category: int(category["id"]))
    category_ids = tuple(int(category["id"]) for category in categories)
    by_image: dict[int, list[dict[str, Any]]] = {int(image["id"]): [] for image in content["images"]}
    for annotation in content["annotations"]:
        if int(annotation["image_id"]) not in by_image or int(annotation["category_id"]) not in category_ids:
            raise BagError(f"{file}: annotation {annotation.get('id')} names an image or category that is not there")
        by_image[int(annotation["image_id"])].append(annotation)
    samples, transforms, sizes_wh = [], [], []
    for image in tqdm(content["images"], desc=f"read {folder.name}", unit="image", leave=False):
        rgb = _read_rgb(folder / "images" / Path(image["file_name"]).name)
        sizes_wh.append((rgb.shape[1], rgb.shape[0]))
        transforms.append(resize_transform(sizes_wh[-1], (input_size, input_size), "letterbox"))
        samples.append(_scaled(rgb, by_image[int(image["id"])], category_ids, transforms[-1]))
    names = tuple(str(category["name"]) for category in categories)
    return CocoData(folder, names, category_ids, tuple(by_image), tuple(samples), tuple(transforms), tuple(sizes_wh))


def _read_rgb(path: Path) -> UInt8Array:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BagError(f"{path}: missing or not an image")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _scaled(
    rgb: UInt8Array, annotations: Sequence[dict[str, Any]], category_ids: tuple[int, ...], transform: ResizeTransform
) -> Sample:
    """The image as the letterbox scales it, with its labels in the same pixels; no padding yet."""
    if transform.resized_wh != (rgb.shape[1], rgb.shape[0]):
        rgb = np.asarray(cv2.resize(rgb, transform.resized_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool)
    boxes_xywh = np.array([a["bbox"] for a in annotations], dtype=np.float32).reshape(-1, 4)
    boxes_xyxy = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    boxes_xyxy *= np.array([*transform.scale_xy, *transform.scale_xy], dtype=np.float32)
    labels = np.array([category_ids.index(int(a["category_id"])) for a in annotations], dtype=np.int64)
    return Sample(rgb, boxes_xyxy[~crowd], labels[~crowd], boxes_xyxy[crowd])


def training_size_wh(data: CocoData, share: float = 1.0) -> tuple[int, int]:
    """Input of a training step, in multiples of the coarsest stride.

    Args:
        data: The training set.
        share: Part of the images' sides to see.

    Returns:
        Width and height in pixels: the smallest that holds every image, less padding and so less time; with a `share`
        below 1 at most that part of it, and at least one cell of the coarsest stride.
    """
    sides = (max(sample.rgb.shape[axis] for sample in data.samples) for axis in (1, 0))
    whole_wh = [-(-side // STRIDES[-1]) * STRIDES[-1] for side in sides]
    width, height = (max(STRIDES[-1], int(side * share) // STRIDES[-1] * STRIDES[-1]) for side in whole_wh)
    return width, height


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Targets]:
    """Samples of one size as a batch.

    Args:
        samples: At least one.

    Returns:
        (B, 3, H, W) float32 RGB in [0, 1] in channels-last memory, and the padded labels.
    """
    pixels = torch.from_numpy(np.stack([sample.rgb for sample in samples])).permute(0, 3, 1, 2)
    objects = max(len(sample.labels) for sample in samples)
    regions = max(len(sample.ignored_xyxy) for sample in samples)
    boxes = torch.zeros(len(samples), objects, 4)
    labels = torch.zeros(len(samples), objects, dtype=torch.int64)
    valid = torch.zeros(len(samples), objects, dtype=torch.bool)
    ignored = torch.zeros(len(samples), regions, 4)
    for row, sample in enumerate(samples):
        count = len(sample.labels)
        boxes[row, :count] = torch.from_numpy(sample.boxes_xyxy)
        labels[row, :count] = torch.from_numpy(sample.labels)
        valid[row, :count] = True
        ignored[row, : len(sample.ignored_xyxy)] = torch.from_numpy(sample.ignored_xyxy)
    return pixels.float().div_(255), Targets(boxes, labels, valid, ignored)


def validation_batches(data: CocoData, input_size: int, batch_size: int) -> Iterator[Tensor]:
    """All images in order, letterboxed as the deployed detector does it.

    Args:
        data: Held-out set.
        input_size: Side of the network's input in pixels.
        batch_size: Most images a batch.

    Yields:
        (B, 3, input_size, input_size) float32 RGB in [0, 1].
    """
    for start in range(0, len(data.samples), batch_size):
        rows = range(start, min(start + batch_size, len(data.samples)))
        canvas = np.full((len(rows), input_size, input_size, 3), PAD_VALUE, dtype=np.uint8)
        for slot, row in enumerate(rows):
            (left, top), (width, height) = data.transforms[row].offset_xy, data.transforms[row].resized_wh
            canvas[slot, top : top + height, left : left + width] = data.samples[row].rgb
        yield torch.from_numpy(canvas).permute(0, 3, 1, 2).float().div_(255)
