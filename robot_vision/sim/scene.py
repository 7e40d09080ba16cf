"""Composes one scene: surroundings, clutter and objects of the seven classes, compiled into a MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.sim.assets import AssetBook
from robot_vision.sim.classes import CLASS_NAMES
from robot_vision.sim.objects import ObjectBody, build_object
from robot_vision.sim.surroundings import THEMES, Stage, add_clutter, build_surroundings


@dataclass(frozen=True)
class SceneConfig:
    """What a scene holds.

    Attributes:
        objects: Least and most objects, both included.
        clutter: Least and most pieces of clutter, both included.
        theme: One of `THEMES`, or `random`.
        timestep_s: Physics step in seconds.
        shadow_size: Side of the shadow map in pixels.
        samples: Samples per pixel for antialiasing.

    Raises:
        InvalidValueError: If a range is empty or the theme is unknown.
    """

    objects: tuple[int, int] = (6, 12)
    clutter: tuple[int, int] = (2, 5)
    theme: str = "random"
    timestep_s: float = 0.005
    shadow_size: int = 2048
    samples: int = 4

    def __post_init__(self) -> None:
        for name, (low, high) in (("objects", self.objects), ("clutter", self.clutter)):
            if not 0 <= low <= high:
                raise InvalidValueError(f"SceneConfig.{name}: expected 0 <= least <= most, got ({low}, {high})")
        if self.theme not in (*THEMES, "random"):
            raise InvalidValueError(f"SceneConfig.theme: {self.theme!r} is unknown; use random or one of {THEMES}")


@dataclass(frozen=True, eq=False)
class Scene:
    """A compiled scene.

    Attributes:
        model: The MuJoCo model; its camera `eye` hangs on the mocap body of the same name.
        stage: The area for the objects.
        objects: The objects, by rising id.
        theme: Name of the surroundings.
    """

    model: Any
    stage: Stage
    objects: tuple[ObjectBody, ...]
    theme: str


def build_scene(config: SceneConfig, rng: np.random.Generator, size_wh: tuple[int, int], fovy_deg: float) -> Scene:
    """Compose and compile a scene.

    Args:
        config: What it holds.
        rng: Decides everything that is left open.
        size_wh: Image width and height in pixels.
        fovy_deg: Vertical field of view in degrees.

    Returns:
        The scene, every object at its starting place.
    """
    book = AssetBook()
    spec = book.spec
    theme = THEMES[rng.integers(len(THEMES))] if config.theme == "random" else config.theme
    _options(spec, config, size_wh)
    stage = build_surroundings(book, rng, theme)
    eye = spec.worldbody.add_body(name="eye", mocap=True)
    eye.add_camera(name="eye", fovy=fovy_deg)
    count = int(rng.integers(config.objects[0], config.objects[1] + 1))
    pieces = int(rng.integers(config.clutter[0], config.clutter[1] + 1))
    taken: list[tuple[float, float, float]] = []
    for _ in range(pieces):
        add_clutter(book, rng, _free_place(rng, stage, taken, 0.2))
    objects = []
    for number, class_id in enumerate(_classes(rng, count)):
        body, described = build_object(book, rng, class_id, number + 1)
        x, y = _free_place(rng, stage, taken, described.radius)
        yaw = float(rng.uniform(0, 2 * np.pi))
        body.pos = [x, y, described.rest_height + 0.004]
        body.quat = [float(np.cos(yaw / 2)), 0, 0, float(np.sin(yaw / 2))]
        objects.append(described)
    return Scene(spec.compile(), stage, tuple(objects), theme)


def _options(spec: Any, config: SceneConfig, size_wh: tuple[int, int]) -> None:
    spec.option.timestep = config.timestep_s
    spec.option.iterations = 20
    spec.option.cone = 0
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = size_wh
    visual.quality.shadowsize = config.shadow_size
    visual.quality.offsamples = config.samples
    visual.map.znear, visual.map.zfar = 0.02, 25.0
    visual.map.shadowclip, visual.map.shadowscale = 1.0, 0.9
    visual.map.fogstart, visual.map.fogend = 3.0, 9.0
    visual.map.haze = 0.35
    spec.stat.extent = 2.5
    spec.stat.center = [0, 0, 0.2]


def _classes(rng: np.random.Generator, count: int) -> list[int]:
    order = [int(v) for v in rng.permutation(len(CLASS_NAMES))]
    while len(order) < count:
        order.append(int(rng.integers(len(CLASS_NAMES))))
    return order[:count]


def _free_place(
    rng: np.random.Generator, stage: Stage, taken: list[tuple[float, float, float]], radius: float
) -> tuple[float, float]:
    limit = np.array(stage.half_xy) - radius - 0.05
    best, best_gap = np.zeros(2), -np.inf
    for _ in range(40):
        place = rng.uniform(-limit, limit)
        gap = min((float(np.hypot(place[0] - x, place[1] - y)) - radius - r for x, y, r in taken), default=np.inf)
        if gap > best_gap:
            best, best_gap = place, gap
        if gap > 0.04:
            break
    taken.append((float(best[0]), float(best[1]), radius))
    return float(best[0]), float(best[1])
