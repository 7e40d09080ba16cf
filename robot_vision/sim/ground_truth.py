"""Labels of one rendered frame, from its segmentation image and the objects' geometry."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.types import Float32Array, Float64Array, Int64Array, UInt8Array

MIN_VISIBLE_PIXELS = 40.0
MIN_SIDE_PIXELS = 6.0
REFERENCE_WH = (320, 240)
MAX_OCCLUSION = 0.75
MAX_TRUNCATION = 0.75


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Every object that has at least one visible pixel.

    Attributes:
        boxes_xyxy: (N, 4) float32, tight around the visible pixels; x2 and y2 are outer edges.
        class_ids: (N,) int64.
        object_ids: (N,) int64, the same over the whole recording.
        visible_pixels: (N,) int64.
        occlusion: (N,) float32, hidden share of the part inside the image, in [0, 1].
        truncation: (N,) float32, share outside the image, in [0, 1].
        ignored: (N,) bool, too small, hidden or cut off to be asked of a detector (`hard_to_see`).
        positions_xyz: (N, 3) float64, object origins in the camera's optical frame, metres.
        quaternions_wxyz: (N, 4) float64, orientations in the same frame.
    """

    boxes_xyxy: Float32Array
    class_ids: Int64Array
    object_ids: Int64Array
    visible_pixels: Int64Array
    occlusion: Float32Array
    truncation: Float32Array
    ignored: npt.NDArray[np.bool_]
    positions_xyz: Float64Array
    quaternions_wxyz: Float64Array

    def __len__(self) -> int:
        return len(self.object_ids)


def visible_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Tight box around the true pixels.

    Args:
        mask: (H, W) bool.

    Returns:
        x1, y1, x2, y2 with outer edges; None for an empty mask.
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if len(columns) == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def silhouette_pixels(
    hulls_camera: tuple[Float64Array, ...], intrinsics: Float64Array, size_wh: tuple[int, int]
) -> tuple[float, float]:
    """How many pixels an object would cover if nothing hid it.

    Args:
        hulls_camera: Convex point sets (P, 3) in the optical frame, metres; all in front of the camera.
        intrinsics: (3, 3) camera matrix.
        size_wh: Image width and height in pixels.

    Returns:
        Pixels inside the image, and pixels in all.
    """
    polygons = [_project(points, intrinsics) for points in hulls_camera]
    low = np.floor(np.concatenate(polygons).min(axis=0)).astype(int)
    high = np.ceil(np.concatenate(polygons).max(axis=0)).astype(int)
    # A bounded canvas: an object that touches the lens would project to millions of pixels.
    low = np.maximum(low, [-size_wh[0], -size_wh[1]])
    high = np.minimum(high, [2 * size_wh[0], 2 * size_wh[1]])
    width, height = np.maximum(high - low, 1)
    canvas: UInt8Array = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        hull = cv2.convexHull((polygon - low).astype(np.float32))
        cv2.fillConvexPoly(canvas, np.round(hull - 0.5).astype(np.int32), 1)
    inside = canvas[max(0, -low[1]) : size_wh[1] - low[1], max(0, -low[0]) : size_wh[0] - low[0]]
    return float(inside.sum()), float(canvas.sum())


def _project(points_camera: Float64Array, intrinsics: Float64Array) -> Float64Array:
    pixels = points_camera @ intrinsics.T
    return np.asarray(pixels[:, :2] / np.maximum(pixels[:, 2:], 1e-3))


def hard_to_see(
    box_xyxy: tuple[int, int, int, int], visible_pixels: int, occlusion: float, truncation: float, size_wh: tuple[int, int]
) -> bool:
    """Whether an object is left out of what a detector is asked for.

    The limits hold at `REFERENCE_WH` and scale with the image: at least `MIN_VISIBLE_PIXELS` visible pixels, both sides at
    least `MIN_SIDE_PIXELS`, at most `MAX_OCCLUSION` hidden and `MAX_TRUNCATION` outside.

    Args:
        box_xyxy: Visible box in pixels.
        visible_pixels: Visible pixels.
        occlusion: Hidden share.
        truncation: Share outside the image.
        size_wh: Image width and height in pixels.

    Returns:
        True if it is too hard.
    """
    scale = size_wh[0] / REFERENCE_WH[0]
    side = min(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1])
    too_small = visible_pixels < MIN_VISIBLE_PIXELS * scale**2 or side < MIN_SIDE_PIXELS * scale
    return too_small or occlusion > MAX_OCCLUSION or truncation > MAX_TRUNCATION
