"""A labelled data set held in memory, and batches of it for training and validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robot_vision.data.labelled import LabelledImage, LabelledSet
from robot_vision.evaluation.ground_truth import LabelledBoxes
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
class DetectionData:
    """A data set in memory; images are already scaled as the deployed letterbox scales them, without its padding.

    Attributes:
        name: Kind and name of the set, for people.
        class_names: Names by class id.
        samples: Images and labels in network scale.
        transforms: Source pixels to network input, one a sample.
        source_sizes_wh: Width and height of each image as stored, in pixels.
        truth: Objects of each image in source pixels.
    """

    name: str
    class_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    transforms: tuple[ResizeTransform, ...]
    source_sizes_wh: tuple[tuple[int, int], ...]
    truth: tuple[LabelledBoxes, ...]


def load_data(source: LabelledSet, input_size: int) -> DetectionData:
    """Decode and scale a data set.

    Args:
        source: The set.
        input_size: Side of the network's square input in pixels.

    Returns:
        All its images.

    Raises:
        BagError: If an image is missing or damaged, or an object lies outside its image.
        FrameError: If an image of a bag cannot be decoded.
    """
    samples, transforms, sizes_wh, truth = [], [], [], []
    for image in tqdm(source.images(), total=source.count, desc=f"read {source.name}", unit="image", leave=False):
        sizes_wh.append((image.rgb.shape[1], image.rgb.shape[0]))
        transforms.append(resize_transform(sizes_wh[-1], (input_size, input_size), "letterbox"))
        samples.append(_scaled(image, transforms[-1]))
        truth.append(image.truth)
    return DetectionData(
        source.name, source.class_names, tuple(samples), tuple(transforms), tuple(sizes_wh), tuple(truth)
    )


def _scaled(image: LabelledImage, transform: ResizeTransform) -> Sample:
    """The image as the letterbox scales it, with its labels in the same pixels; no padding yet."""
    rgb, truth = image.rgb, image.truth
    if transform.resized_wh != (rgb.shape[1], rgb.shape[0]):
        rgb = np.asarray(cv2.resize(rgb, transform.resized_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    boxes_xyxy = truth.boxes_xyxy * np.array([*transform.scale_xy, *transform.scale_xy], dtype=np.float32)
    wanted = ~truth.ignored
    return Sample(rgb, boxes_xyxy[wanted], truth.class_ids[wanted], boxes_xyxy[truth.ignored])


def training_size_wh(data: DetectionData, share: float = 1.0) -> tuple[int, int]:
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
        (B, 3, H, W) uint8 RGB in channels-last memory, and the padded labels.
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
    return pixels, Targets(boxes, labels, valid, ignored)


def validation_batches(data: DetectionData, input_size: int, batch_size: int) -> Iterator[Tensor]:
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
