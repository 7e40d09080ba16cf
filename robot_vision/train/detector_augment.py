"""Augmentation of detector samples: geometry, mosaics, colour, sensor faults; every choice from a given generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.train.detector_data import PAD_VALUE, Sample
from robot_vision.types import Float32Array, Int64Array, UInt8Array

_SMALLEST_SIDE_PX = 3.0
_SMALLEST_VISIBLE_SHARE = 0.3
_GREY = np.full((3, 3), 1 / 3)


def augment(
    rng: np.random.Generator,
    sample: Sample,
    size_wh: tuple[int, int],
    around_objects: bool = False,
    strength: float = 1.0,
) -> Sample:
    """One image, randomly mirrored, scaled and shifted, with other light and sensor faults.

    Args:
        rng: Source of every random choice.
        sample: Image and labels.
        size_wh: Size of the result in pixels.
        around_objects: Look at the middle of the objects instead of the middle of the image.
        strength: How far scale, shift and colour may go and how often faults come, as a share of the usual, 0 to 1.

    Returns:
        A new sample; objects that are hardly visible any more have become ignore regions.
    """
    scale = math.exp(strength * rng.uniform(math.log(0.6), math.log(1.5)))
    shift = strength * rng.uniform(-0.2, 0.2, 2) * size_wh
    window = (0, 0, *size_wh)
    about_xy = _region(sample, around_objects).mean(axis=0)
    placed = _place(rng, sample, scale, np.array(size_wh) / 2 + shift, window, about_xy)
    return _photometric(rng, placed, strength)


def mosaic(
    rng: np.random.Generator, samples: Sequence[Sample], size_wh: tuple[int, int], around_objects: bool = False
) -> Sample:
    """Four images around a random point (YOLOv4, Bochkovskiy et al., arXiv 2004.10934).

    Args:
        rng: Source of every random choice.
        samples: Four samples.
        size_wh: Size of the result in pixels.
        around_objects: Take each part from where its objects are instead of anywhere in the image.

    Returns:
        A new sample, with the photometric changes of `augment`.
    """
    width, height = size_wh
    x, y = (int(value) for value in rng.uniform(0.35, 0.65, 2) * size_wh)
    canvas = np.empty((height, width, 3), dtype=np.uint8)
    windows = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    parts = []
    for sample, window in zip(samples, windows, strict=True):
        scale = math.exp(rng.uniform(math.log(0.5), math.log(1.1)))
        corners = np.array(window).reshape(2, 2)
        middle, window_wh = corners.mean(axis=0), corners[1] - corners[0]
        region = _region(sample, around_objects)
        room = np.maximum(0, (region[1] - region[0]) * scale - window_wh)
        part = _place(rng, sample, scale, middle + rng.uniform(-0.5, 0.5, 2) * room, window, region.mean(axis=0))
        canvas[window[1] : window[3], window[0] : window[2]] = part.rgb
        parts.append(part)
    joined = Sample(
        canvas,
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.ignored_xyxy for part in parts]),
    )
    return _photometric(rng, joined, 1.0)


def _region(sample: Sample, around_objects: bool) -> npt.NDArray[np.float64]:
    """(2, 2) first and last corner x, y of the image, or of all its objects together where it has any."""
    if around_objects and len(sample.boxes_xyxy):
        return np.array([sample.boxes_xyxy[:, :2].min(axis=0), sample.boxes_xyxy[:, 2:].max(axis=0)], np.float64)
    return np.array([(0, 0), sample.rgb.shape[1::-1]], np.float64)


def _place(
    rng: np.random.Generator,
    sample: Sample,
    scale: float,
    centre_xy: npt.NDArray[np.float64],
    window: tuple[int, int, int, int],
    about_xy: npt.NDArray[np.float64],
) -> Sample:
    """The sample scaled, half the time mirrored, its point `about_xy` at `centre_xy` of the canvas.

    Pixels of the window only, boxes in canvas pixels.
    """
    scale_xy = scale * np.exp(rng.uniform(-0.1, 0.1, 2))
    if rng.random() < 0.5:
        scale_xy[0] = -scale_xy[0]
    offset_xy = centre_xy - scale_xy * about_xy
    left, top, right, bottom = window
    # Box coordinates start at the outer corner of the first pixel; warpAffine counts from its centre.
    pixel_offset = offset_xy - (left, top) + scale_xy / 2 - 0.5
    matrix = np.array([[scale_xy[0], 0, pixel_offset[0]], [0, scale_xy[1], pixel_offset[1]]])
    rgb = cv2.warpAffine(sample.rgb, matrix, (right - left, bottom - top), borderValue=(PAD_VALUE,) * 3)
    boxes, labels, faded = _clip(_moved(sample.boxes_xyxy, scale_xy, offset_xy), sample.labels, window)
    ignored, _, faded_regions = _clip(
        _moved(sample.ignored_xyxy, scale_xy, offset_xy), np.zeros(len(sample.ignored_xyxy), np.int64), window
    )
    return Sample(np.asarray(rgb, np.uint8), boxes, labels, np.concatenate([ignored, faded, faded_regions]))


def _moved(
    boxes_xyxy: Float32Array, scale_xy: npt.NDArray[np.float64], offset_xy: npt.NDArray[np.float64]
) -> Float32Array:
    corners = boxes_xyxy.reshape(-1, 2, 2) * scale_xy + offset_xy
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def _clip(
    boxes_xyxy: Float32Array, labels: Int64Array, window: tuple[int, int, int, int]
) -> tuple[Float32Array, Int64Array, Float32Array]:
    """Boxes cut at the window: those still visible, their labels, and the remains of those that hardly are."""
    low, high = np.array(window[:2] * 2, np.float32), np.array(window[2:] * 2, np.float32)
    cut = np.clip(boxes_xyxy, low, high)
    size_wh, whole_wh = cut[:, 2:] - cut[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    share = size_wh.prod(axis=1) / np.maximum(whole_wh.prod(axis=1), 1e-6)
    visible = (size_wh.min(axis=1, initial=np.inf) >= _SMALLEST_SIDE_PX) & (share >= _SMALLEST_VISIBLE_SHARE)
    remains = ~visible & (size_wh.min(axis=1, initial=np.inf) > 0)
    return cut[visible], labels[visible], cut[remains]


def _photometric(rng: np.random.Generator, sample: Sample, strength: float) -> Sample:
    rgb = _colour(rng, sample.rgb, strength)
    fault = rng.random() / max(strength, 1e-6)
    if fault < 0.08:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.3))
    elif fault < 0.16:
        rgb = _motion_blur(rng, rgb)
    elif fault < 0.26:
        # One tile of noise, repeated: a fresh normal number for every value would cost more than all the rest.
        tile = rng.normal(0, rng.uniform(2, 10), (64, 67, 3)).astype(np.int16)
        rows, columns = -(-rgb.shape[0] // 64), -(-rgb.shape[1] // 67)
        noise = np.tile(tile, (rows, columns, 1))[: rgb.shape[0], : rgb.shape[1]]
        rgb = cv2.add(rgb, noise, dtype=cv2.CV_8U)
    elif fault < 0.36:
        quality = int(rng.integers(25, 85))
        rgb = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return Sample(np.asarray(rgb, np.uint8), sample.boxes_xyxy, sample.labels, sample.ignored_xyxy)


def _colour(rng: np.random.Generator, rgb: UInt8Array, strength: float) -> UInt8Array:
    """Hue, saturation, white balance, contrast and brightness as one affine map of the colour."""
    angle = rng.normal(0, 0.12)
    saturation = rng.uniform(0.5, 1.4)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * _GREY
    chroma = saturation * np.eye(3) + (1 - saturation) * _GREY
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.93, 1.07, 3)
    matrix = np.diag(gain) @ chroma @ turn
    pivot = 128 * (1 - matrix.sum(axis=1)) + rng.uniform(-35, 35)
    change = np.column_stack([matrix, pivot])
    unchanged = np.eye(3, 4)
    return np.asarray(cv2.transform(rgb, unchanged + strength * (change - unchanged)), np.uint8)


def _motion_blur(rng: np.random.Generator, rgb: UInt8Array) -> UInt8Array:
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, math.pi)
    half = (length - 1) / 2
    step = np.array([math.cos(angle), math.sin(angle)]) * half
    for position in np.linspace(-1, 1, 2 * length):
        column, row = np.rint(half + position * step).astype(int)
        kernel[row, column] = 1
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)
