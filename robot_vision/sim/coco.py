"""Writes image data sets in the COCO format, one scene per seed, in parallel and resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import CAMERA_KINDS
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.scene import SceneConfig
from robot_vision.sim.world import SimFrame, World, WorldConfig

_SAVE_EVERY_SCENES = 40


@dataclass(frozen=True)
class DatasetConfig:
    """One image data set.

    Attributes:
        images: How many images.
        seed_base: Seed of the first scene; the following scenes count on from it.
        size_wh: Image width and height in pixels.
        frames_per_scene: Images of one scene.
        spacing_s: Simulated seconds between two images of a scene.
        quality: JPEG quality, 1 to 100.
        scene: What the scenes hold.

    Raises:
        InvalidValueError: If a number is out of range.
    """

    images: int
    seed_base: int
    size_wh: tuple[int, int] = (320, 240)
    frames_per_scene: int = 5
    spacing_s: float = 0.7
    quality: int = 92
    scene: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        for name, value, least in (("images", self.images, 1), ("frames_per_scene", self.frames_per_scene, 1)):
            if value < least:
                raise InvalidValueError(f"DatasetConfig.{name}: expected at least {least}, got {value}")
        if not 1 <= self.quality <= 100:
            raise InvalidValueError(f"DatasetConfig.quality: expected 1 to 100, got {self.quality}")


def write_dataset(folder: Path, config: DatasetConfig, jobs: int = 1) -> None:
    """Render a data set: `images/*.jpg` and `annotations.json`.

    Every scene leaves its annotations in `parts/`, so an interrupted run goes on where it stopped; `annotations.json`
    is rewritten now and then from the parts and always describes a readable data set.

    Args:
        folder: Where to write; made when missing.
        config: What to write.
        jobs: Processes.

    Raises:
        InvalidValueError: If `folder` holds a data set of another configuration.
        MissingDependencyError: If the renderer cannot start.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "parts").mkdir(exist_ok=True)
    _check_same(folder / "config.json", config)
    scenes = -(-config.images // config.frames_per_scene)
    tasks = [(folder, config, number) for number in range(scenes) if not _part(folder, number).exists()]
    with tqdm(total=config.images, unit="image", initial=(scenes - len(tasks)) * config.frames_per_scene) as bar:
        for done, count in enumerate(_run(tasks, jobs), start=1):
            bar.update(count)
            if done % _SAVE_EVERY_SCENES == 0:
                _join(folder, scenes)
    _join(folder, scenes)


def _run(tasks: list[tuple[Path, DatasetConfig, int]], jobs: int) -> Iterator[int]:
    if jobs == 1:
        yield from map(_render_scene, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_render_scene, tasks)


def _render_scene(task: tuple[Path, DatasetConfig, int]) -> int:
    folder, config, number = task
    count = min(config.frames_per_scene, config.images - number * config.frames_per_scene)
    seed = config.seed_base + number
    camera = CAMERA_KINDS[int(np.random.default_rng(seed).integers(len(CAMERA_KINDS)))]
    world_config = WorldConfig(seed, config.size_wh, camera, 1 / config.spacing_s, config.scene)
    images, annotations = [], []
    with World(world_config) as world:
        for index, frame in enumerate(world.frames(count)):
            image_id = number * config.frames_per_scene + index + 1
            name = f"{seed:08d}_{index}.jpg"
            pixels = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / "images" / name), pixels, [cv2.IMWRITE_JPEG_QUALITY, config.quality])
            images.append(
                {
                    "id": image_id, "file_name": name, "width": config.size_wh[0], "height": config.size_wh[1],
                    "seed": seed, "camera": camera, "theme": world.scene.theme, "stamp_ns": frame.stamp_ns,
                }
            )  # fmt: skip
            annotations += _annotations(frame, image_id)
    _write_json(_part(folder, number), {"images": images, "annotations": annotations})
    return count


def _annotations(frame: SimFrame, image_id: int) -> list[dict[str, Any]]:
    truth, rows = frame.truth, []
    for i in range(len(truth)):
        x1, y1, x2, y2 = (float(v) for v in truth.boxes_xyxy[i])
        rows.append(
            {
                "image_id": image_id,
                "category_id": int(truth.class_ids[i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(truth.visible_pixels[i]),
                "iscrowd": 0 if truth.labelled[i] else 1,
                "object_id": int(truth.object_ids[i]),
                "occlusion": round(float(truth.occlusion[i]), 3),
                "truncation": round(float(truth.truncation[i]), 3),
            }
        )
    return rows


def _part(folder: Path, number: int) -> Path:
    return folder / "parts" / f"{number:06d}.json"


def _join(folder: Path, scenes: int) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(scenes):
        part = _part(folder, number)
        if part.exists():
            content = json.loads(part.read_text())
            images += content["images"]
            annotations += content["annotations"]
    for number, row in enumerate(annotations, start=1):
        row["id"] = number
    categories = [{"id": i, "name": name, "supercategory": "object"} for i, name in enumerate(CLASS_NAMES)]
    info = {"description": "robot_vision simulated camera world"}
    whole = {"info": info, "licenses": [], "categories": categories, "images": images, "annotations": annotations}
    _write_json(folder / "annotations.json", whole)


def _check_same(path: Path, config: DatasetConfig) -> None:
    wanted = json.loads(json.dumps(asdict(config)))
    if path.exists() and json.loads(path.read_text()) != wanted:
        raise InvalidValueError(f"{path.parent} holds a data set made with other settings ({path}); choose a new folder")
    _write_json(path, wanted)


def _write_json(path: Path, content: Any) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(content, separators=(",", ":")))
    os.replace(scratch, path)
