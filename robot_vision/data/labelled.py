"""Labelled images of any origin as one kind of value: what a detector learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from robot_vision.errors import BagError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.geometry import box_area, clip_boxes
from robot_vision.types import Float64Array, Int64Array, UInt8Array

Part = Literal["train", "val"]
"""What a data set is opened for; some hold both."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with its objects.

    Attributes:
        rgb: (H, W, 3) uint8.
        truth: Its objects in pixels of the image, none of them empty; the identities say nothing.
    """

    rgb: UInt8Array
    truth: LabelledBoxes


@dataclass(frozen=True)
class LabelledSet:
    """A data set that is checked as far as it can be without decoding its images.

    Attributes:
        name: Kind and name, for people.
        class_names: Class names by class id; some may have no objects.
        present: Class ids that have objects.
        titles: What each image is called: its file's name, or its stamp.
        notes: What was left out, a line each.
        images: Reads the images, in the same order every time. Raises `BagError` or `FrameError` if one is missing or
            damaged, or an object lies outside its image.

    Raises:
        BagError: If it has no images, or two classes have the same name.
    """

    name: str
    class_names: tuple[str, ...]
    present: frozenset[int]
    titles: tuple[str, ...]
    notes: tuple[str, ...]
    images: Callable[[], Iterator[LabelledImage]]

    def __post_init__(self) -> None:
        repeated = [name for name, times in Counter(self.class_names).items() if times > 1]
        if repeated:
            raise BagError(f"{self.name}: several classes are called {', '.join(repeated)}; rename or join them")
        if not self.titles:
            raise BagError(f"{self.name}: holds no images")

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.titles)

    def renumbered(self, class_names: Sequence[str]) -> LabelledSet:
        """The same images with the class ids of another set.

        Args:
            class_names: Names by the new class ids.

        Returns:
            The set with these class names.

        Raises:
            BagError: If objects here are of a class that is not among them.
        """
        unknown = sorted({self.class_names[number] for number in self.present} - set(class_names))
        if unknown:
            raise BagError(
                f"{self.name}: has objects of classes that the training data lacks: {', '.join(unknown)}; "
                f"the training data has {', '.join(class_names)}; use the same names in both"
            )
        places = {name: number for number, name in enumerate(class_names)}
        new_ids = np.array([places.get(name, -1) for name in self.class_names], np.int64)

        def images() -> Iterator[LabelledImage]:
            for image in self.images():
                yield replace(image, truth=replace(image.truth, class_ids=new_ids[image.truth.class_ids]))

        present = frozenset(int(new_ids[number]) for number in self.present)
        return replace(self, class_names=tuple(class_names), present=present, images=images)


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """The objects of one image as they are written down.

    Attributes:
        where: What holds them, for error messages, ending in the word before a number: `a.txt, line`.
        numbers: Number of each in it.
        boxes_xyxy: (M, 4) float64, in pixels or as shares of the image's sides.
        class_ids: (M,) int64.
        ignored: (M,) bool, objects that need not be found.
    """

    where: str
    numbers: tuple[int, ...]
    boxes_xyxy: Float64Array
    class_ids: Int64Array
    ignored: npt.NDArray[np.bool_]

    def without_empty(self) -> ImageLabels:
        """The objects whose boxes have an area."""
        kept = np.flatnonzero(box_area(self.boxes_xyxy) > 0)
        numbers = tuple(self.numbers[row] for row in kept)
        return ImageLabels(self.where, numbers, self.boxes_xyxy[kept], self.class_ids[kept], self.ignored[kept])

    def on(self, rgb: UInt8Array, shares: bool = False) -> LabelledImage:
        """The labels on their image, boxes cut at its border.

        Args:
            rgb: (H, W, 3) uint8.
            shares: Whether the boxes are shares of the image's sides.

        Returns:
            Both together.

        Raises:
            BagError: If a box lies outside the image.
        """
        size_wh = (rgb.shape[1], rgb.shape[0])
        boxes_xyxy = self.boxes_xyxy * np.array([*size_wh, *size_wh]) if shares else self.boxes_xyxy
        cut_xyxy = clip_boxes(boxes_xyxy, size_wh)
        for row in np.flatnonzero(box_area(cut_xyxy) <= 0):
            corners = ", ".join(f"{value:g}" for value in boxes_xyxy[row])
            raise BagError(
                f"{self.where} {self.numbers[row]}: the box ({corners}) lies outside its image of {size_wh[0]} x "
                f"{size_wh[1]} pixels; correct the label, or give the images that were labelled"
            )
        identities = np.arange(len(cut_xyxy))
        return LabelledImage(rgb, LabelledBoxes(cut_xyxy.astype(np.float32), self.class_ids, identities, self.ignored))


def labels_of(where: str, rows: Sequence[tuple[int, Sequence[float], int, bool]]) -> ImageLabels:
    """Labels from rows.

    Args:
        where: See `ImageLabels`.
        rows: Number, box (x1, y1, x2, y2), class id and whether to ignore it, one row an object.

    Returns:
        The labels.
    """
    numbers, boxes, class_ids, ignored = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ImageLabels(
        where, tuple(numbers), np.array(boxes, np.float64).reshape(-1, 4), np.array(class_ids, np.int64),
        np.array(ignored, np.bool_),
    )  # fmt: skip


def drop_empty(name: str, labels: Iterable[ImageLabels]) -> tuple[list[ImageLabels], frozenset[int], tuple[str, ...]]:
    """Leave out the boxes without area.

    Args:
        name: Name of the set.
        labels: Labels of every image.

    Returns:
        The labels of every image without them, the class ids that occur, and a note on how many were left out.

    Raises:
        BagError: If nothing is left to be found.
    """
    all_labels = list(labels)
    kept = [entry.without_empty() for entry in all_labels]
    empty = sum(map(len, (entry.numbers for entry in all_labels))) - sum(map(len, (entry.numbers for entry in kept)))
    if not any((~entry.ignored).any() for entry in kept):
        raise BagError(f"{name}: no image has an object that is to be found; label some")
    present = frozenset(int(number) for entry in kept for number in entry.class_ids)
    return kept, present, (f"{empty} boxes without area left out",) if empty else ()
