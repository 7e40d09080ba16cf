"""Writes image data sets in the COCO format, one scene per seed, in parallel and resumable."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import CAMERA_KINDS
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.ground_truth import GroundTruth
from robot_vision.sim.world import World, WorldConfig
from robot_vision.types import UInt8Array

SCENE_RATE_HZ = 1.25
FOVY_RANGE_DEG = (42.0, 58.0)
_SAVE_EVERY_SCENES = 100


class Rendered(NamedTuple):
    """One labelled image.

    Attributes:
        rgb: (H, W, 3) uint8.
        about: What is known about the image, for its record.
        annotations: One record an object, without ids.
    """

    rgb: UInt8Array
    about: dict[str, Any]
    annotations: list[dict[str, Any]]


@dataclass(frozen=True)
class DatasetConfig:
    """One image data set of crowded scenes, each seen five times by a camera that moves.

    Attributes:
        folder: Where `images/` and `annotations.json` go.
        images: How many images.
        seed_base: Seed of the first scene; the following scenes count on from it.
        size_wh: Image width and height in pixels.
        jobs: Processes that render.
        quality: JPEG quality, 1 to 100.

    Raises:
        InvalidValueError: If a number is out of range.
    """

    folder: Path
    images: int
    seed_base: int = 0
    size_wh: tuple[int, int] = (320, 240)
    jobs: int = 1
    quality: int = 92
    frames_per_scene: ClassVar[int] = 5
    kind: ClassVar[str] = "crowded"

    def __post_init__(self) -> None:
        if self.images < 1 or self.jobs < 1:
            raise InvalidValueError(f"images and jobs must be at least 1, got {self.images} and {self.jobs}")
        if not 1 <= self.quality <= 100:
            raise InvalidValueError(f"quality: expected 1 to 100, got {self.quality}")

    @property
    def seeds(self) -> range:
        """Seeds of the scenes."""
        return range(self.seed_base, self.seed_base - (-self.images // self.frames_per_scene))

    def scene(self, seed: int) -> Iterator[Rendered]:
        """The images of one scene."""
        rng = np.random.default_rng([seed, 1])
        camera = CAMERA_KINDS[rng.integers(len(CAMERA_KINDS))]
        fovy_deg = float(rng.uniform(*FOVY_RANGE_DEG))
        with World(WorldConfig(seed, self.size_wh, camera, SCENE_RATE_HZ, fovy_deg)) as world:
            for frame in world.frames(self.frames_per_scene):
                about = {"camera": camera, "theme": world.scene.theme}
                yield Rendered(frame.rgb, about, object_records(frame.truth))


def write_dataset(config: DatasetConfig) -> Path:
    """Render a data set: `images/<seed>_<number>.jpg` and `annotations.json`.

    Every finished scene leaves its labels in `parts/`, so an interrupted run goes on where it stopped.
    `annotations.json` is rewritten now and then from the parts, so it describes a readable data set at any moment.

    Args:
        config: What to write.

    Returns:
        Path of `annotations.json`.

    Raises:
        InvalidValueError: If the folder holds a data set with other settings.
        MissingDependencyError: If the renderer cannot start.
    """
    (config.folder / "images").mkdir(parents=True, exist_ok=True)
    (config.folder / "parts").mkdir(exist_ok=True)
    _check_same_settings(config)
    missing = [seed for seed in config.seeds if not _part(config, seed).exists()]
    with tqdm(total=len(config.seeds), initial=len(config.seeds) - len(missing), unit="scene") as bar:
        for done, _ in enumerate(_run(config, missing), start=1):
            bar.update()
            if done % _SAVE_EVERY_SCENES == 0:
                _join(config)
    return _join(config)


def _run(config: DatasetConfig, seeds: list[int]) -> Iterator[None]:
    tasks = [(config, seed) for seed in seeds]
    if config.jobs == 1:
        yield from map(_render_scene, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(config.jobs) as pool:
        yield from pool.imap_unordered(_render_scene, tasks)


def _render_scene(task: tuple[DatasetConfig, int]) -> None:
    config, seed = task
    records = []
    for number, (rgb, about, rows) in enumerate(config.scene(seed)):
        name = f"{seed}_{number}.jpg"
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(config.folder / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, config.quality])
        image = {"file_name": name, "width": config.size_wh[0], "height": config.size_wh[1], "seed": seed, **about}
        records.append({"image": image, "annotations": rows})
    _write_json(_part(config, seed), records)


def object_records(truth: GroundTruth) -> list[dict[str, Any]]:
    """COCO records of a frame's objects, without ids; a crowd is what is too small or hidden to be asked for."""
    rows = []
    for i in range(len(truth)):
        x1, y1, x2, y2 = (float(v) for v in truth.boxes_xyxy[i])
        rows.append(
            {
                "category_id": int(truth.class_ids[i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0 if truth.labelled[i] else 1,
                "object_id": int(truth.object_ids[i]),
                "occlusion": round(float(truth.occlusion[i]), 3),
                "truncation": round(float(truth.truncation[i]), 3),
            }
        )
    return rows


def _part(config: DatasetConfig, seed: int) -> Path:
    return config.folder / "parts" / f"{seed}.json"


def _join(config: DatasetConfig) -> Path:
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    parts = [part for part in (_part(config, seed) for seed in config.seeds) if part.exists()]
    records = [record for part in parts for record in json.loads(part.read_text())]
    for record in records[: config.images]:
        images.append({"id": len(images) + 1, **record["image"]})
        for row in record["annotations"]:
            rows.append({"id": len(rows) + 1, "image_id": len(images), **row})
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES)]
    path = config.folder / "annotations.json"
    _write_json(path, {"images": images, "annotations": rows, "categories": categories})
    return path


def _check_same_settings(config: DatasetConfig) -> None:
    path = config.folder / "parts" / "settings.json"
    wanted = {"kind": config.kind, "size_wh": list(config.size_wh), "quality": config.quality}
    if path.exists() and {"kind": DatasetConfig.kind, **json.loads(path.read_text())} != wanted:
        raise InvalidValueError(f"{config.folder} holds a data set with other settings than {wanted}; use a new folder")
    _write_json(path, wanted)


def _write_json(path: Path, content: Any) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(content, separators=(",", ":")))
    scratch.replace(path)
