"""Images to network input: the one implementation that training, offline tools and the nodes share.

`linear` is OpenCV's bilinear interpolation, `area` its area averaging; the model card names which, so that a network
sees at run time what it saw in training. OpenCV's number of threads is global to the process and is left to the caller.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.geometry import ResizeTransform, resize_transform
from robot_vision.runtime.card import InputSpec
from robot_vision.types import Float32Array, UInt8Array

_INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


class Preprocessor:
    """Resizes, pads, orders channels and normalises one image at a time, without allocating image memory per call.

    Not for use from two threads at once: its buffers are reused.

    Args:
        spec: Preprocessing from the model card.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._interpolation = _INTERPOLATIONS[spec.interpolation]
        self._factors, self._shifts = (np.array(values, np.float32)[:, None, None] for values in spec.normalisation)
        self._is_shifted = bool(self._shifts.any())
        self._padding = np.float32(spec.pad_value) * self._factors + self._shifts
        self._source_wh = (0, 0)
        self._transform = ResizeTransform((1.0, 1.0), (0, 0), (0, 0))
        self._rows = self._columns = slice(0, 0)
        self._resized: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._planes: UInt8Array = np.empty((3, 0, 0), np.uint8)
        width, height = spec.size_wh
        self._out_shapes: dict[np.dtype[Any], tuple[int, ...]] = {
            np.dtype(np.float32): (1, 3, height, width), np.dtype(np.uint8): (1, height, width, 3),
        }  # fmt: skip

    def fill(self, rgb: UInt8Array, out: Float32Array | UInt8Array) -> ResizeTransform:
        """Write one image into a network's input buffer.

        Args:
            rgb: (H, W, 3) uint8, RGB, any size; rows may be strided. Not changed.
            out: (1, 3, h, w) float32 of the card's size; or (1, h, w, 3) uint8, for a network that normalises RGB
                pixels itself. Overwritten.

        Returns:
            Where the image lies in the network's input, to map boxes back.

        Raises:
            InvalidValueError: If an array has another shape or dtype, or the image is empty.
        """
        self._check(rgb, out)
        self._prepare((rgb.shape[1], rgb.shape[0]))
        if out.dtype == np.uint8:
            self._fill_pixels(rgb, out[0])
            return self._transform
        self._resize(rgb, self._resized)
        planes = list(self._planes)
        cv2.split(self._resized, planes if self.spec.colour == "RGB" else planes[::-1])
        middle = out[0, :, self._rows, self._columns]
        np.multiply(self._planes, self._factors, out=middle)
        if self._is_shifted:
            np.add(middle, self._shifts, out=middle)
        self._pad(out[0], self._padding)
        return self._transform

    def _fill_pixels(self, rgb: UInt8Array, target: UInt8Array) -> None:
        self._resize(rgb, target[self._rows, self._columns])
        self._pad(target.transpose(2, 0, 1), self.spec.pad_value)

    def _resize(self, rgb: UInt8Array, target: UInt8Array) -> None:
        height, width = target.shape[:2]
        if target.shape == rgb.shape:
            np.copyto(target, rgb)
        else:
            averaged = self._averaged(rgb, width, height)
            cv2.resize(averaged, (width, height), dst=target, interpolation=self._interpolation)

    def _pad(self, planes: Float32Array | UInt8Array, value: float | Float32Array) -> None:
        """Write a value around the image in (3, h, w) planes, where there is room."""
        if self._transform.resized_wh == self.spec.size_wh:
            return
        above, below = planes[:, : self._rows.start], planes[:, self._rows.stop :]
        middle = planes[:, self._rows]
        for edge in (above, below, middle[..., : self._columns.start], middle[..., self._columns.stop :]):
            edge[...] = value

    def _averaged(self, rgb: UInt8Array, width: int, height: int) -> UInt8Array:
        """The image after the part of area averaging that is fast: the same but for a rounding at each step.

        OpenCV halves an image in a fraction of the time that other factors take, and averages over whole pixels several
        times faster than over fractions; a usual camera has a whole number of them to one of the network along one axis
        only. Where a pixel of the network ends inside a pixel of the halved image, a sharp edge there moves by a part
        of a source pixel.
        """
        if self._interpolation != cv2.INTER_AREA:
            return rgb
        rows, columns = rgb.shape[:2]
        while rows % 2 == columns % 2 == 0 and rows >= 8 * height and columns >= 8 * width:
            rows, columns = rows // 2, columns // 2
            rgb = _area_resized(rgb, columns, rows)
        if (columns % width == 0) == (rows % height == 0):
            return rgb
        return _area_resized(rgb, width, rows) if columns % width == 0 else _area_resized(rgb, columns, height)

    def _prepare(self, source_wh: tuple[int, int]) -> None:
        if source_wh == self._source_wh:
            return
        self._transform = resize_transform(source_wh, self.spec.size_wh, self.spec.resize)
        (left, top), (width, height) = self._transform.offset_xy, self._transform.resized_wh
        self._rows, self._columns = slice(top, top + height), slice(left, left + width)
        self._resized = np.empty((height, width, 3), np.uint8)
        self._planes = np.empty((3, height, width), np.uint8)
        self._source_wh = source_wh

    def _check(self, rgb: UInt8Array, out: Float32Array | UInt8Array) -> None:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise InvalidValueError(
                f"image: expected uint8 of shape (H, W, 3) with pixels, got {rgb.dtype.name} of shape {rgb.shape}"
            )
        if self._out_shapes.get(out.dtype) != out.shape:
            wanted = " or ".join(f"{dtype.name} of shape {shape}" for dtype, shape in self._out_shapes.items())
            raise InvalidValueError(f"network input: expected {wanted}, got {out.dtype.name} of shape {out.shape}")


def _area_resized(rgb: UInt8Array, width: int, height: int) -> UInt8Array:
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
