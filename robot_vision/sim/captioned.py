"""Images of few objects that are easy to put into words, for the training of image generation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from robot_vision.generation.captions import colour_word
from robot_vision.sim.assets import AssetBook
from robot_vision.sim.cameras import CameraPose, Intrinsics, look_at
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.coco import DatasetConfig, Rendered, object_records
from robot_vision.sim.engine import mujoco
from robot_vision.sim.ground_truth import GroundTruth, GroundTruthReader
from robot_vision.sim.objects import ObjectBody, build_object
from robot_vision.sim.surroundings import build_bare_ground
from robot_vision.sim.textures import GROUNDS
from robot_vision.sim.world import open_renderer, seen_from
from robot_vision.types import Float64Array, Int64Array, UInt8Array

PLACES = tuple(GROUNDS)
_COUNT_CHANCES = (0.4, 0.35, 0.25)
_KINDS = 5
_COPIES = len(_COUNT_CHANCES)
_OVERSAMPLING = 2
_FOVY_DEG = 42.0
_GAP_M = 0.015
_PARKED_M = 40.0
_MOST_HIDDEN = 0.25
_TRIES = 20


@dataclass(frozen=True)
class CaptionedConfig(DatasetConfig):
    """A data set of one to three objects on a bare ground.

    Beside the COCO labels, an image's record holds its `place`, one of `PLACES`, and an object's its `colour`, one of
    `robot_vision.generation.captions.COLOURS` or empty.
    """

    size_wh: tuple[int, int] = (64, 64)
    quality: int = 97
    frames_per_scene: ClassVar[int] = 40
    kind: ClassVar[str] = "captioned"

    def scene(self, seed: int) -> Iterator[Rendered]:
        """Several arrangements of the same few kinds of objects, each from another side."""
        rng = np.random.default_rng([seed, 2])
        pool = _Pool(rng, self.size_wh)
        try:
            for _ in range(self.frames_per_scene):
                yield pool.arranged(rng)
        finally:
            pool.close()


class _Pool:
    """A compiled scene with copies of several kinds of objects, of which an image shows a few."""

    def __init__(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> None:
        self._size_wh = size_wh
        large = (size_wh[0] * _OVERSAMPLING, size_wh[1] * _OVERSAMPLING)
        book = AssetBook()
        self._place = PLACES[rng.integers(len(PLACES))]
        _options(book.spec, large)
        build_bare_ground(book, rng, self._place)
        eye = book.spec.worldbody.add_body(name="eye", mocap=True)
        eye.add_camera(name="eye", fovy=_FOVY_DEG)
        self._objects = _kinds(book, rng)
        self._model = book.spec.compile()
        self._data = mujoco.MjData(self._model)
        self._intrinsics = Intrinsics.from_fovy(large, _FOVY_DEG)
        self._reader = GroundTruthReader(self._model, self._objects, self._intrinsics)
        joints = [int(self._model.body(one.body).jntadr[0]) for one in self._objects]
        self._addresses = [int(self._model.jnt_qposadr[joint]) for joint in joints]
        self._renderer = open_renderer(self._model, large)

    def close(self) -> None:
        self._renderer.close()

    def arranged(self, rng: np.random.Generator) -> Rendered:
        """Objects in other places, seen from another side; all of them well visible."""
        chosen = _choice(rng)
        for attempt in range(_TRIES):
            # The choice stays, or what is hard to show would be rare; one object alone always fits.
            shown = chosen[: 1 if attempt > _TRIES // 2 else None]
            rgb, slots, truth = self._view(rng, shown)
            seen = len(truth) == len(shown) and not truth.truncation.any() and bool(truth.labelled.all())
            if seen and float(truth.occlusion.max()) <= _MOST_HIDDEN:
                break
        rows = object_records(truth)
        for row in rows:
            row["colour"] = colour_word(rgb[slots == row["object_id"]])
            row["bbox"] = [value / _OVERSAMPLING for value in row["bbox"]]
            row["area"] /= _OVERSAMPLING**2
        return Rendered(cv2.resize(rgb, self._size_wh, interpolation=cv2.INTER_AREA), {"place": self._place}, rows)

    def _view(self, rng: np.random.Generator, chosen: list[int]) -> tuple[UInt8Array, Int64Array, GroundTruth]:
        for number, address in enumerate(self._addresses):
            self._data.qpos[address : address + 3] = (_PARKED_M + number, 0, -5)
        radii = [self._objects[number].radius for number in chosen]
        height = max(_height(self._objects[number]) for number in chosen)
        places = _places(rng, radii, height)
        for number, (x, y) in zip(chosen, places, strict=True):
            address, yaw = self._addresses[number], rng.uniform(0, 2 * np.pi)
            self._data.qpos[address : address + 3] = (x, y, self._objects[number].rest_height)
            self._data.qpos[address + 3 : address + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))
        camera = _camera(rng, places, radii, height)
        rgb, segmentation = seen_from(camera, self._model, self._data, self._renderer)
        return rgb, self._reader.slots(segmentation), self._reader.read(segmentation, self._data, camera)


def _options(spec: Any, size_wh: tuple[int, int]) -> None:
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = size_wh
    visual.quality.shadowsize = 1024
    visual.quality.offsamples = 4
    visual.map.znear, visual.map.zfar = 0.02, 25.0
    visual.map.shadowclip, visual.map.shadowscale = 1.0, 0.9
    spec.stat.extent = 1.2
    spec.stat.center = [0, 0, 0.1]


def _kinds(book: AssetBook, rng: np.random.Generator) -> list[ObjectBody]:
    """Some kinds of objects, each in several copies that look the same."""
    objects: list[ObjectBody] = []
    for class_id in rng.integers(len(CLASS_NAMES), size=_KINDS):
        for _ in range(_COPIES):
            twin = copy.deepcopy(rng)
            objects.append(build_object(book, twin, int(class_id), len(objects) + 1)[1])
        rng = twin
    return objects


def _choice(rng: np.random.Generator) -> list[int]:
    """Indices of the objects to show: mostly copies of few kinds, so that counting is learnt."""
    count = 1 + int(rng.choice(len(_COUNT_CHANCES), p=_COUNT_CHANCES))
    kinds = [int(rng.integers(_KINDS))]
    while len(kinds) < count:
        kinds.append(kinds[-1] if rng.random() < 0.6 else int(rng.integers(_KINDS)))
    return [kind * _COPIES + kinds[:i].count(kind) for i, kind in enumerate(kinds)]


def _height(one: ObjectBody) -> float:
    """How far an object that stands rises above the floor, in metres."""
    return one.rest_height + max(float(hull[:, 2].max()) for hull in one.hulls)


def _places(rng: np.random.Generator, radii: list[float], height: float) -> Float64Array:
    """(N, 2) places in metres, about the origin, as near as objects fit without touching; taller ones hide more."""
    spread = 0.8 * max(*radii, height / 2) * (len(radii) - 1) + 1e-6
    while True:
        for _ in range(_TRIES):
            places = rng.uniform(-spread, spread, (len(radii), 2))
            gaps = [
                np.hypot(*(places[i] - places[j])) - radii[i] - radii[j] for i in range(len(radii)) for j in range(i)
            ]
            if min(gaps, default=np.inf) >= _GAP_M:
                return np.asarray(places - places.mean(axis=0))
        spread *= 1.1


def _camera(rng: np.random.Generator, places: Float64Array, radii: list[float], height: float) -> CameraPose:
    """A camera that looks down at all objects from any side, as near as they fit, or a little further."""
    flat_reach = max(float(np.hypot(*place)) + radius for place, radius in zip(places, radii, strict=True))
    reach = max(float(np.hypot(flat_reach, height / 2)), 0.1) * float(rng.uniform(1.0, 1.3))
    distance = reach / np.tan(np.deg2rad(_FOVY_DEG) / 2) + 0.1
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(28, 55))
    flat = np.cos(elevation)
    direction = np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)])
    target = np.append(rng.uniform(-0.12, 0.12, 2) * reach, height / 2)
    return look_at(target + distance * direction, target)
