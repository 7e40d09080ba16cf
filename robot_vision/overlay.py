"""Boxes and labels drawn on a camera image, for people: the live `annotated` topic, videos and contact sheets."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Detections, Tracks, UInt8Array

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
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InvalidValueError(f"rgb: expected a uint8 array of shape (H, W, 3), got {rgb.dtype} of {rgb.shape}")
    canvas: UInt8Array = np.array(rgb, order="C")
    ids = objects.ids if isinstance(objects, Tracks) else None
    # Strong ones last, so that their labels stay on top.
    for row in np.argsort(objects.scores, kind="stable"):
        class_id = int(objects.class_ids[row])
        name = class_names[class_id] if 0 <= class_id < len(class_names) else str(class_id)
        identity = f" #{ids[row]}" if ids is not None else ""
        colour = colour_of(int(ids[row]) if ids is not None else class_id)
        _draw_object(canvas, objects.boxes_xyxy[row], f"{name}{identity} {objects.scores[row]:.2f}", colour)
    return canvas


def _draw_object(canvas: UInt8Array, box_xyxy: np.ndarray, label: str, colour: tuple[int, int, int]) -> None:
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
