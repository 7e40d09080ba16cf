"""Boxes and labels drawn on a camera image, for people: the live `annotated` topic, videos and contact sheets."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Detections, Float32Array, Tracks, UInt8Array

_GOLDEN_RATIO = 0.618034
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Image height at which lines are one pixel thick and text has OpenCV's scale 0.4.
_REFERENCE_HEIGHT = 480


@lru_cache(maxsize=4096)
def colour_of(number: int) -> tuple[int, int, int]:
    """A bright colour for a track or class; neighbouring numbers differ clearly.

    Hues step by the golden ratio, which spreads any run of numbers evenly around the circle.

    Args:
        number: Track id or class index.

    Returns:
        Red, green and blue in [0, 255].
    """
    red, green, blue = colorsys.hsv_to_rgb((0.08 + number * _GOLDEN_RATIO) % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw(rgb: UInt8Array, objects: Tracks | Detections, class_names: Sequence[str]) -> UInt8Array:
    """A copy of the image with a box and a label `class #id score` for every object.

    Tracks are coloured by id, detections by class. The label stands above its box, or inside it at the upper image
    border; line and text grow with the image.

    Args:
        rgb: (H, W, 3) uint8 RGB, left as it is.
        objects: Boxes in pixels of `rgb`; they may reach over the border.
        class_names: Names by class index; an index without a name is written as a number.

    Returns:
        A new writeable, contiguous (H, W, 3) uint8 RGB image.

    Raises:
        InvalidValueError: If `rgb` is not (H, W, 3) uint8.
    """
    ids = objects.ids if isinstance(objects, Tracks) else None
    # Strong ones last, so that their labels stay on top.
    order = np.argsort(objects.scores, kind="stable")
    numbers = objects.class_ids if ids is None else ids
    labels = [
        box_label(
            class_names[class_id] if 0 <= class_id < len(class_names) else str(class_id),
            None if ids is None else str(ids[row]),
            float(objects.scores[row]),
        )
        for row, class_id in zip(order, objects.class_ids[order], strict=True)
    ]
    return draw_boxes(rgb, objects.boxes_xyxy[order], labels, numbers[order].tolist())


def box_label(class_name: str, identity: str | None, score: float) -> str:
    """The text at a box.

    Args:
        class_name: Name of the class.
        identity: Track id; None or empty for a detection.
        score: In [0, 1].

    Returns:
        As in `mug #12 0.87`.
    """
    return f"{class_name} #{identity} {score:.2f}" if identity else f"{class_name} {score:.2f}"


def draw_boxes(
    rgb: UInt8Array, boxes_xyxy: Float32Array, labels: Sequence[str], colour_numbers: Sequence[int]
) -> UInt8Array:
    """A copy of the image with labelled boxes, the last on top.

    Args:
        rgb: (H, W, 3) uint8 RGB, left as it is.
        boxes_xyxy: (N, 4) float32 in pixels of `rgb`; they may reach over the border, and one that is not finite is
            left out.
        labels: Text of each box.
        colour_numbers: What `colour_of` makes each box's colour of.

    Returns:
        A new writeable, contiguous (H, W, 3) uint8 RGB image.

    Raises:
        InvalidValueError: If `rgb` is not (H, W, 3) uint8.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InvalidValueError(f"rgb: expected a uint8 array of shape (H, W, 3), got {rgb.dtype} of {rgb.shape}")
    canvas: UInt8Array = np.array(rgb, order="C")
    for box_xyxy, label, number in zip(boxes_xyxy, labels, colour_numbers, strict=True):
        _draw_object(canvas, box_xyxy, label, colour_of(number))
    return canvas


def _draw_object(canvas: UInt8Array, box_xyxy: Float32Array, label: str, colour: tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    if not np.isfinite(box_xyxy).all():
        return
    limit = np.array([width, height, width, height], np.float64)
    x1, y1, x2, y2 = (int(value) for value in np.round(np.clip(box_xyxy, -limit, 2 * limit)))
    thickness = max(1, round(height / _REFERENCE_HEIGHT))
    cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, thickness)
    _draw_label(canvas, (x1, y1), label, colour)


def _draw_label(canvas: UInt8Array, corner_xy: tuple[int, int], label: str, colour: tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    scale = max(0.35, 0.4 * height / _REFERENCE_HEIGHT)
    thickness = max(1, round(scale))
    (text_width, text_height), baseline = cv2.getTextSize(label, _FONT, scale, thickness)
    label_height = text_height + baseline + 1
    left = min(max(corner_xy[0], 0), max(0, width - text_width - 2))
    top = corner_xy[1] - label_height
    if top < 0:
        top = min(max(corner_xy[1], 0), max(0, height - label_height))
    cv2.rectangle(canvas, (left, top), (left + text_width + 1, top + label_height - 1), colour, cv2.FILLED)
    origin = (left + 1, top + text_height + 1)
    cv2.putText(canvas, label, origin, _FONT, scale, (0, 0, 0), thickness, cv2.LINE_AA)
