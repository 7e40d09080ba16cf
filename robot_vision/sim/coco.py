"""Training images with COCO labels from many scenes of the simulated world."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import CAMERA_KINDS
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.world import SimFrame, World, WorldConfig

FRAMES_PER_SCENE = 5
SCENE_RATE_HZ = 1.25
JPEG_QUALITY = 92


@dataclass(frozen=True)
class DatasetConfig:
    """A folder of labelled images.

    Attributes:
        folder: Where `images/` and `annotations.json` go.
        images: Number of images.
        seed_base: Seed of the first scene; scene k has `seed_base + k`.
        size_wh: Image width and height in pixels.
        jobs: Processes that render.

    Raises:
        InvalidValueError: If a count is not positive.
    """

    folder: Path
    images: int
    seed_base: int
    size_wh: tuple[int, int] = (320, 240)
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.images < 1 or self.jobs < 1:
            raise InvalidValueError(f"images and jobs must be at least 1, got {self.images} and {self.jobs}")


def write_dataset(config: DatasetConfig) -> Path:
    """Render the images and write their labels.

    A run that was interrupted goes on where it stopped: finished scenes are kept in `parts/` until the labels are merged.

    Args:
        config: What to write.

    Returns:
        Path of `annotations.json`.

    Raises:
        MissingDependencyError: If MuJoCo or its renderer is missing.
    """
    for name in ("images", "parts"):
        (config.folder / name).mkdir(parents=True, exist_ok=True)
    seeds = [config.seed_base + number for number in range(-(-config.images // FRAMES_PER_SCENE))]
    missing = [(config, seed) for seed in seeds if not _part(config, seed).is_file()]
    with multiprocessing.get_context("spawn").Pool(config.jobs, maxtasksperchild=50) as pool:
        for _ in tqdm(pool.imap_unordered(_write_scene, missing), total=len(missing), unit="scene"):
            pass
    records = [json.loads(_part(config, seed).read_text()) for seed in seeds]
    path = config.folder / "annotations.json"
    path.write_text(json.dumps(_merge(records, config.images)))
    return path


def _part(config: DatasetConfig, seed: int) -> Path:
    return config.folder / "parts" / f"{seed}.json"


def _write_scene(job: tuple[DatasetConfig, int]) -> None:
    config, seed = job
    rng = np.random.default_rng([seed, 1])
    kind = CAMERA_KINDS[rng.integers(len(CAMERA_KINDS))]
    fovy_deg = float(rng.uniform(42, 58))
    world_config = WorldConfig(seed, kind, config.size_wh, SCENE_RATE_HZ, fovy_deg)
    records = []
    with World(world_config) as world:
        for number, frame in enumerate(world.frames(FRAMES_PER_SCENE)):
            name = f"{seed}_{number}.jpg"
            bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(config.folder / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            image = {"file_name": name, "width": config.size_wh[0], "height": config.size_wh[1], "seed": seed, "camera": kind}
            records.append({"image": image, "annotations": list(_annotations(frame))})
    _part(config, seed).write_text(json.dumps(records))


def _annotations(frame: SimFrame) -> Iterator[dict[str, Any]]:
    truth = frame.truth
    for row in range(len(truth)):
        x1, y1, x2, y2 = (float(v) for v in truth.boxes_xyxy[row])
        yield {
            "category_id": int(truth.class_ids[row]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": int(truth.ignored[row]),
            "object_id": int(truth.object_ids[row]),
            "occlusion": round(float(truth.occlusion[row]), 3),
            "truncation": round(float(truth.truncation[row]), 3),
        }


def _merge(scenes: list[list[dict[str, Any]]], most: int) -> dict[str, Any]:
    images, annotations = [], []
    for record in [record for scene in scenes for record in scene][:most]:
        images.append({"id": len(images) + 1, **record["image"]})
        annotations += [
            {"id": len(annotations) + offset, "image_id": len(images), **entry}
            for offset, entry in enumerate(record["annotations"], 1)
        ]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}
