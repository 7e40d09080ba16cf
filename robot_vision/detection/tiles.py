"""Parts of an image that are looked at one by one: a region of interest, and slices of it for small objects.

A network sees its input's size and no more: an object of ten pixels in a large image has two of them left. Looking at
slices keeps them (Akyon et al., "Slicing Aided Hyper Inference", 2022). Slices overlap, so that an object smaller than
the overlap is whole in at least one of them; larger ones are found in the region as a whole, which is looked at, too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.params import DetectorParams
from robot_vision.types import Float32Array

_TOUCH = 2.0
"""Distance in pixels from an edge within which a box counts as cut by it."""


class Tile(NamedTuple):
    """A rectangle of whole pixels of the image.

    Attributes:
        left: Its first column.
        top: Its first row.
        right: Column behind its last.
        bottom: Row below its last.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.right - self.left, self.bottom - self.top


def tiles_of(size_wh: tuple[int, int], params: DetectorParams) -> tuple[Tile, ...]:
    """What is to be looked at.

    Args:
        size_wh: Width and height of the image in pixels.
        params: Region and slices.

    Returns:
        The region, and behind it its slices row by row, if there is more than one.
    """
    width, height = size_wh
    left, right = _span(width, params.region_left, params.region_right)
    top, bottom = _span(height, params.region_top, params.region_bottom)
    region = Tile(left, top, right, bottom)
    if params.slice_columns * params.slice_rows == 1:
        return (region,)
    columns = _slices(left, right, params.slice_columns, params.slice_overlap)
    rows = _slices(top, bottom, params.slice_rows, params.slice_overlap)
    return (region, *(Tile(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns))


def whole(boxes_xyxy: Float32Array, tile: Tile, region: Tile) -> npt.NDArray[np.bool_]:
    """Which boxes are not cut by an edge of their tile that is none of the region.

    Args:
        boxes_xyxy: (N, 4) float32 in pixels of the image.
        tile: Where they were found.
        region: What the tile is a slice of.

    Returns:
        Mask (N,).
    """
    edges = np.array(tile, np.float32)
    inner = np.array([-1, -1, 1, 1]) * (np.array(region) - edges) > 0
    beyond = np.array([1, 1, -1, -1], np.float32) * (boxes_xyxy - edges) <= _TOUCH
    return np.asarray(~(beyond & inner).any(axis=1))


def _span(length: int, low: float, high: float) -> tuple[int, int]:
    """First pixel, and the one behind the last, of a share of a length; at least one pixel."""
    first = min(round(low * length), length - 1)
    return first, max(round(high * length), first + 1)


def _slices(low: int, high: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """Equal overlapping parts of a length; the overlap is a share of a part."""
    size = (high - low) / (count - (count - 1) * overlap)
    starts = [low + i * size * (1 - overlap) for i in range(count)]
    return [(round(start), max(round(start + size), round(start) + 1)) for start in starts]
