"""Motion of the camera, seen from the image: how the background of one frame lies in the next.

Corners of the background (Shi and Tomasi, "Good Features to Track", 1994) are followed into the next frame by the
pyramidal method of Lucas and Kanade (Bouguet, "Pyramidal Implementation of the Lucas Kanade Feature Tracker", 2000); a
similarity, that is shift, rotation and zoom, is fitted to them by RANSAC (Fischler and Bolles, "Random Sample
Consensus", 1981) as OpenCV implements it, with a fixed seed. A similarity is exact for a camera that rotates about its
own axis or zooms, close for one that turns, or looks at a plane from far, and only an average where depths differ.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.geometry import clip_boxes
from robot_vision.types import Float64Array, UInt8Array

_LONGEST_SIDE = 256
"""Longest side in pixels of the image that is worked on; a larger one costs in proportion to its area."""

_MOST_CORNERS = 100
_CORNER_QUALITY = 0.01
"""Weakest corner relative to the strongest."""

_CORNER_DISTANCE = 6
"""Pixels between corners at least, so that one textured spot does not speak for the whole background."""

_WINDOW = (11, 11)
_MARGIN = 5
"""Pixels by which a box is grown, so that no corner's window reaches into it."""

_TOP_LEVEL = 4
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02)

_INLIER_ERROR = 1.5
"""Pixels of the reduced image by which a corner may miss the common motion."""

_FEWEST_INLIERS = 10
_SMALLEST_SHARE = 0.3
"""Share of the corners found again that must follow the common motion."""

_SMALLEST_SPREAD = 0.08
"""Root mean square distance of the inliers from their centre, in image diagonals: closer together they tell no rotation
or zoom that would hold for the whole image."""


class CameraMotion:
    """Estimates, frame by frame, the motion of one camera.

    Attributes:
        unknown: Frames so far whose motion could not be told although there was a frame before.
    """

    def __init__(self) -> None:
        self.unknown = 0
        self.reset()

    def reset(self) -> None:
        """Forget the previous frame."""
        self._grey: UInt8Array | None = None
        self._corners: Any = None
        self._size_wh = (0, 0)

    def estimate(self, rgb: UInt8Array, boxes_xyxy: npt.NDArray[np.floating[Any]]) -> Float64Array:
        """Where the background of the previous frame lies in this one.

        Args:
            rgb: (H, W, 3) uint8, this frame.
            boxes_xyxy: (N, 4) floats, boxes in this frame of objects that may move on their own, in pixels; boxes
                with a corner that is no finite number are passed over.

        Returns:
            (2, 3) float64 similarity from pixels of the previous frame to pixels of this one. Identity for the first
            frame, after `reset` or a change of size, and where too few corners agree.
        """
        height, width = rgb.shape[:2]
        if (width, height) != self._size_wh:
            self.reset()
        grey = _reduced(rgb)
        scale_xy = np.array([width / grey.shape[1], height / grey.shape[0]])
        similarity = None
        if self._grey is not None:
            similarity = self._similarity(self._grey, grey, scale_xy)
            self.unknown += similarity is None
        mask = _background(boxes_xyxy / np.tile(scale_xy, 2), grey.shape)
        self._corners = cv2.goodFeaturesToTrack(grey, _MOST_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE, mask=mask)
        self._grey, self._size_wh = grey, (width, height)
        return np.eye(2, 3) if similarity is None else similarity

    def _similarity(self, before: UInt8Array, grey: UInt8Array, scale_xy: Float64Array) -> Float64Array | None:
        """The similarity in source pixels, None where the corners do not tell it."""
        if self._corners is None or len(self._corners) < _FEWEST_INLIERS:
            return None
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            before, grey, self._corners, None, winSize=_WINDOW, maxLevel=_TOP_LEVEL, criteria=_STOP
        )
        kept = found[:, 0] > 0
        if np.count_nonzero(kept) < _FEWEST_INLIERS:
            return None
        # OpenCV counts from the centre of the first pixel, boxes from its outer corner.
        old, new = ((points[kept, 0] + 0.5) * scale_xy for points in (self._corners, moved))
        similarity, inliers = cv2.estimateAffinePartial2D(
            old, new, ransacReprojThreshold=_INLIER_ERROR * float(scale_xy.max())
        )
        if similarity is None or not _agree(old[inliers[:, 0] > 0], len(old), np.array(grey.shape[::-1]) * scale_xy):
            return None
        return np.asarray(similarity, np.float64)


def _agree(inliers_xy: Float64Array, count: int, size_wh: Float64Array) -> bool:
    """Whether the inliers (K, 2) among a number of corners are many and far apart enough."""
    if len(inliers_xy) < max(_FEWEST_INLIERS, _SMALLEST_SHARE * count):
        return False
    return bool(np.hypot(*inliers_xy.std(axis=0)) >= _SMALLEST_SPREAD * np.hypot(*size_wh))


def _reduced(rgb: UInt8Array) -> UInt8Array:
    """The image in grey, no side longer than the longest."""
    height, width = rgb.shape[:2]
    grey: Any = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    # OpenCV halves six times faster than it divides by other numbers; what then remains, linear does without aliasing.
    while max(grey.shape) >= 2 * _LONGEST_SIDE:
        half_wh = max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)
        grey = cv2.resize(grey, half_wh, interpolation=cv2.INTER_AREA)
    factor = max(height, width) / _LONGEST_SIDE
    if factor > 1.0:
        size_wh = max(1, round(width / factor)), max(1, round(height / factor))
        grey = cv2.resize(grey, size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(grey)


def _background(boxes_xyxy: Float64Array, shape: tuple[int, ...]) -> UInt8Array:
    """Mask of the pixels that have nothing of a box near them."""
    mask = np.full(shape, 255, np.uint8)
    boxes = boxes_xyxy[np.isfinite(boxes_xyxy).all(axis=1)]
    corners = clip_boxes(boxes + np.repeat([-_MARGIN, _MARGIN], 2), (shape[1], shape[0]))
    for left, top, right, bottom in np.rint(corners).astype(int).tolist():
        mask[top:bottom, left:right] = 0
    return mask
