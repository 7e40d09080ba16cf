"""Image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from robot_vision.errors import BagError
from robot_vision.types import UInt8Array

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def read_rgb(path: Path) -> UInt8Array:
    """Decode an image file.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8.

    Raises:
        BagError: If it is missing or not an image.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BagError(f"{path}: missing or not an image; copy it again, or remove it from the data set")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
