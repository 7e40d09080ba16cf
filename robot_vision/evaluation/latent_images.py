"""How well decoded images are the frames they come from: whole, and inside the labelled boxes."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from robot_vision.types import Float32Array, Float64Array, UInt8Array

_LEAST_SIDE = 11
"""Width of the window of the structural similarity."""


@dataclass(frozen=True)
class ImageError:
    """How one decoded image differs from its original; NaN inside the boxes where there is none.

    Attributes:
        psnr_db: Peak signal-to-noise ratio in decibels.
        ssim: Structural similarity; NaN for an image with a side below 11 pixels.
        box_psnr_db: The ratio over the pixels inside the boxes.
        box_ssim: Mean of the similarity over them.
    """

    psnr_db: float
    ssim: float
    box_psnr_db: float
    box_ssim: float

    def values(self) -> tuple[float, ...]:
        """The figures in the order of the attributes."""
        return tuple(astuple(self))


def image_error(original: Float32Array, decoded: Float32Array, inside: npt.NDArray[np.bool_]) -> ImageError:
    """Compare two images.

    The structural similarity is that of Wang et al., "Image quality assessment" (2004), with its Gaussian window, by
    scikit-image, mean over the channels.

    Args:
        original: (H, W, 3) float32 in [0, 1].
        decoded: The same.
        inside: (H, W) bool, pixels inside boxes.

    Returns:
        The figures.
    """
    squares = np.square(original - decoded).mean(axis=2, dtype=np.float64)
    similarity = np.full(inside.shape, np.nan)
    if min(inside.shape) >= _LEAST_SIDE:
        _, by_channel = structural_similarity(
            original, decoded, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        similarity = by_channel.mean(axis=2)
    whole = psnr_db(float(squares.mean())), float(similarity.mean())
    if not inside.any():
        return ImageError(*whole, math.nan, math.nan)
    return ImageError(*whole, psnr_db(float(squares[inside].mean())), float(similarity[inside].mean()))


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio in decibels of a mean squared error in [0, 1] units; 379 dB where there is none."""
    return -10 * math.log10(max(mse, float(np.finfo(np.float32).tiny)))


def inside_boxes(boxes_xyxy: npt.NDArray[np.floating], size_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels that a box covers, also in part.

    Args:
        boxes_xyxy: (N, 4) in pixels of the image.
        size_wh: Width and height of the image.

    Returns:
        (H, W) bool.
    """
    mask: npt.NDArray[np.bool_] = np.zeros(size_wh[::-1], np.bool_)
    lower = np.maximum(np.floor(boxes_xyxy[:, :2]), 0).astype(int)
    upper = np.ceil(boxes_xyxy[:, 2:]).astype(int)
    for (left, top), (right, bottom) in zip(lower.tolist(), upper.tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return mask


def thumbnail(rgb: UInt8Array, longest_side: int = 64) -> UInt8Array:
    """An image shrunk, by area averaging, to no more than a number of pixels a side; a smaller one as it is.

    Args:
        rgb: (H, W, 3) uint8.
        longest_side: In pixels.

    Returns:
        (h, w, 3) uint8.
    """
    ratio = longest_side / max(rgb.shape[:2])
    if ratio >= 1:
        return rgb
    size_wh = max(1, round(rgb.shape[1] * ratio)), max(1, round(rgb.shape[0] * ratio))
    return np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def principal_coordinates(fitted: Float64Array, others: tuple[Float64Array, ...], count: int) -> list[Float64Array]:
    """Coordinates along the directions in which points vary most.

    Args:
        fitted: (N, K) float64 points that say the directions.
        others: (M, K) float64 points each.
        count: Most directions.

    Returns:
        (N, count) and (M, count) float64, of the fitted points first; their mean is the origin.
    """
    centre = fitted.mean(axis=0)
    directions = np.linalg.svd(fitted - centre, full_matrices=False)[2][:count].T
    return [(points - centre) @ directions for points in (fitted, *others)]
