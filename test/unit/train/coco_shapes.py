"""Small COCO data sets of coloured shapes, for tests of the detector's training."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def write_shapes(folder: Path, images: int, seed: int = 0, size_wh: tuple[int, int] = (96, 64)) -> Path:
    """Write images of red rectangles (`box`, id 3) and green discs (`ball`, id 7), one of each, apart, and no crowds.

    Args:
        folder: Data set to write.
        images: How many.
        seed: Seed of places and sizes.
        size_wh: Image size in pixels.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    width, height = size_wh
    rows, pictures = [], []
    for number in range(images):
        bgr = np.full((height, width, 3), int(rng.integers(40, 200)), np.uint8)
        w, h = (int(v) for v in rng.integers(14, 30, 2))
        x, y = int(rng.integers(0, width // 2 - w)), int(rng.integers(0, height - h))
        cv2.rectangle(bgr, (x, y), (x + w - 1, y + h - 1), (20, 20, 220), -1)
        r = int(rng.integers(7, 14))
        cx, cy = int(rng.integers(width // 2 + r, width - r)), int(rng.integers(r, height - r))
        cv2.circle(bgr, (cx, cy), r, (30, 200, 30), -1)
        name = f"{number}.png"
        cv2.imwrite(str(folder / "images" / name), bgr)
        pictures.append({"id": 100 + number, "file_name": name, "width": width, "height": height})
        for category, box in ((3, [x, y, w, h]), (7, [cx - r, cy - r, 2 * r + 1, 2 * r + 1])):
            row = {"id": len(rows) + 1, "image_id": 100 + number, "category_id": category, "bbox": box}
            rows.append({**row, "area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": 7, "name": "ball"}, {"id": 3, "name": "box"}]
    content = {"images": pictures, "annotations": rows, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder
