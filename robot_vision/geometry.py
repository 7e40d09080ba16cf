"""Box and letterbox geometry as pure functions on arrays; coordinates are continuous pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.types import Float64Array

ResizeRule = Literal["letterbox", "letterbox_top_left", "stretch"]
FloatArrayT = TypeVar("FloatArrayT", npt.NDArray[np.float32], npt.NDArray[np.float64])


def xyxy_to_cxcywh(boxes_xyxy: FloatArrayT) -> FloatArrayT:
    """Corners to centre and size.

    Args:
        boxes_xyxy: (N, 4) floats x1, y1, x2, y2.

    Returns:
        (N, 4) cx, cy, w, h in the same unit and dtype.
    """
    size_wh = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + size_wh / 2, size_wh], axis=1)


def cxcywh_to_xyxy(boxes_cxcywh: FloatArrayT) -> FloatArrayT:
    """Centre and size to corners.

    Args:
        boxes_cxcywh: (N, 4) floats cx, cy, w, h.

    Returns:
        (N, 4) x1, y1, x2, y2 in the same unit and dtype.
    """
    half_wh = boxes_cxcywh[:, 2:] / 2
    # In the memory order of the input: many boxes often come column by column.
    boxes_xyxy = np.empty_like(boxes_cxcywh)
    np.subtract(boxes_cxcywh[:, :2], half_wh, out=boxes_xyxy[:, :2])
    np.add(boxes_cxcywh[:, :2], half_wh, out=boxes_xyxy[:, 2:])
    return boxes_xyxy


def box_area(boxes_xyxy: FloatArrayT) -> FloatArrayT:
    """Area of each box; an inverted box has area 0.

    Args:
        boxes_xyxy: (N, 4) floats.

    Returns:
        (N,) areas in square units of the input.
    """
    size_wh = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return np.asarray(size_wh[:, 0] * size_wh[:, 1])


def intersection_matrix(boxes_a_xyxy: FloatArrayT, boxes_b_xyxy: FloatArrayT) -> FloatArrayT:
    """Area that the boxes of every pair have in common.

    Args:
        boxes_a_xyxy: (N, 4) floats.
        boxes_b_xyxy: (M, 4) floats.

    Returns:
        (N, M) areas in square units of the input.
    """
    top_left = np.maximum(boxes_a_xyxy[:, None, :2], boxes_b_xyxy[None, :, :2])
    bottom_right = np.minimum(boxes_a_xyxy[:, None, 2:], boxes_b_xyxy[None, :, 2:])
    overlap_wh = np.maximum(bottom_right - top_left, 0)
    return np.asarray(overlap_wh[..., 0] * overlap_wh[..., 1])


def iou_matrix(boxes_a_xyxy: FloatArrayT, boxes_b_xyxy: FloatArrayT) -> FloatArrayT:
    """Intersection over union of every pair.

    Args:
        boxes_a_xyxy: (N, 4) floats.
        boxes_b_xyxy: (M, 4) floats.

    Returns:
        (N, M) values in [0, 1]; pairs whose union is empty have 0.
    """
    intersection = intersection_matrix(boxes_a_xyxy, boxes_b_xyxy)
    union = box_area(boxes_a_xyxy)[:, None] + box_area(boxes_b_xyxy)[None, :] - intersection
    iou: FloatArrayT = np.zeros_like(intersection)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def overlapping_spans(
    a_low: Float64Array, a_high: Float64Array, b_low: Float64Array, b_high: Float64Array
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Every pair of open intervals that overlap, found by a sweep over the sorted second set.

    Args:
        a_low: (N,) float64 where each interval of the first set begins.
        a_high: (N,) float64 where it ends.
        b_low: (M,) float64 likewise.
        b_high: (M,) float64.

    Returns:
        Two (P,) arrays: index into the first and into the second set, ordered by the first.
    """
    order = np.argsort(b_low, kind="stable")
    # Before `first` every interval ends too early: the running maximum is sorted even where the ends are not.
    first = np.searchsorted(np.maximum.accumulate(b_high[order]), a_low, side="right")
    count = np.maximum(np.searchsorted(b_low[order], a_high, side="left") - first, 0)
    ends = np.cumsum(count)
    rows = np.repeat(np.arange(len(a_low)), count)
    columns = order[np.arange(len(rows)) - np.repeat(ends - count - first, count)]
    near = b_high.take(columns) > a_low.take(rows)
    return rows[near], columns[near]


def clip_boxes(boxes_xyxy: FloatArrayT, size_wh: tuple[int, int]) -> FloatArrayT:
    """Boxes cut at the image border.

    Args:
        boxes_xyxy: (N, 4) floats in pixels.
        size_wh: Width and height of the image in pixels.

    Returns:
        A new (N, 4) array inside [0, width] × [0, height].
    """
    limits = np.array([*size_wh, *size_wh], dtype=boxes_xyxy.dtype)
    return np.minimum(np.maximum(boxes_xyxy, 0), limits)  # np.clip is several times slower on a few boxes


@dataclass(frozen=True)
class ResizeTransform:
    """How a source image is placed in a network's input: scale, then shift.

    Attributes:
        scale_xy: Network pixels per source pixel, per axis.
        offset_xy: Position of the source's top-left corner in the network input, in whole network pixels.
        resized_wh: Size of the scaled image in network pixels, without padding.
    """

    scale_xy: tuple[float, float]
    offset_xy: tuple[int, int]
    resized_wh: tuple[int, int]

    def to_source(self, boxes_xyxy: FloatArrayT) -> FloatArrayT:
        """Boxes from network pixels to source pixels, unclipped.

        Args:
            boxes_xyxy: (N, 4) floats in network pixels.

        Returns:
            A new (N, 4) array in source pixels.
        """
        offset = np.array([*self.offset_xy, *self.offset_xy], dtype=boxes_xyxy.dtype)
        scale = np.array([*self.scale_xy, *self.scale_xy], dtype=boxes_xyxy.dtype)
        return (boxes_xyxy - offset) / scale

    def to_network(self, boxes_xyxy: FloatArrayT) -> FloatArrayT:
        """Boxes from source pixels to network pixels; the inverse of `to_source`.

        Args:
            boxes_xyxy: (N, 4) floats in source pixels.

        Returns:
            A new (N, 4) array in network pixels.
        """
        offset = np.array([*self.offset_xy, *self.offset_xy], dtype=boxes_xyxy.dtype)
        scale = np.array([*self.scale_xy, *self.scale_xy], dtype=boxes_xyxy.dtype)
        return boxes_xyxy * scale + offset


def resize_transform(source_wh: tuple[int, int], network_wh: tuple[int, int], rule: ResizeRule) -> ResizeTransform:
    """The transform that a resize rule gives for one image size.

    The scaled image has whole pixels, so the scale is the ratio of the rounded size to the source size per axis: boxes
    map back exactly, also for sizes whose ratio is not whole.

    Args:
        source_wh: Width and height of the source image in pixels.
        network_wh: Width and height of the network's input in pixels.
        rule: `letterbox` keeps the aspect ratio and centres, `letterbox_top_left` keeps it and pads right and below,
            `stretch` does not keep it.

    Returns:
        The transform from source to network pixels.

    Raises:
        InvalidValueError: If a size is not positive or the rule is unknown.
    """
    if min(*source_wh, *network_wh) < 1:
        raise InvalidValueError(f"sizes must be positive, got source {source_wh} and network {network_wh}")
    if rule == "stretch":
        resized_wh, offset_xy = network_wh, (0, 0)
    elif rule in ("letterbox", "letterbox_top_left"):
        ratio = min(network_wh[0] / source_wh[0], network_wh[1] / source_wh[1])
        resized_wh = (max(1, round(source_wh[0] * ratio)), max(1, round(source_wh[1] * ratio)))
        centred = rule == "letterbox"
        offset_xy = (
            (network_wh[0] - resized_wh[0]) // 2 if centred else 0,
            (network_wh[1] - resized_wh[1]) // 2 if centred else 0,
        )
    else:
        raise InvalidValueError(f"unknown resize rule {rule!r}; use letterbox, letterbox_top_left or stretch")
    scale_xy = (resized_wh[0] / source_wh[0], resized_wh[1] / source_wh[1])
    return ResizeTransform(scale_xy, offset_xy, resized_wh)
