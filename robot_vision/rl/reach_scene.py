"""The scene of the reaching task: a table top, a finger on two motors, one target, distractors, one camera.

Compiled once, which takes half a second; an episode only moves bodies, lamps and materials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Float64Array, Int64Array, UInt8Array

if TYPE_CHECKING:
    from robot_vision.sim.assets import AssetBook
    from robot_vision.sim.cameras import Intrinsics
    from robot_vision.sim.ground_truth import GroundTruthReader
    from robot_vision.sim.objects import ObjectBody
    from robot_vision.sim.world import SimFrame

AREA_HALF_M = 0.45
FINGER_RADIUS_M = 0.04
MAX_SPEED_M_S = 0.8
STEP_S = 0.05
DISTRACTOR_KINDS = 5
VARIATIONS = ("none", "object", "light")
_TIMESTEP_S = 0.005
_FINGER_HALF_HEIGHT_M = 0.12
_TABLE_HALF_M = 1.3
_START_GAP_M = 0.25
_GAP_M = 0.04
_TRIES = 200
_PARKED_M = 20.0
_CAMERA_M = (0.0, -0.8, 1.1)
_FOVY_DEG = 48.0
_FINGER_COLOUR = (0.85, 0.08, 0.75)
_RED_LIGHT = (0.9, 0.4, 0.3)


@dataclass(frozen=True, eq=False)
class _Pool:
    """What was compiled, of which an episode shows a part."""

    model: Any
    target: ObjectBody
    distractors: tuple[ObjectBody, ...]
    distractor_geoms: tuple[Int64Array, ...]
    table_geom: int
    table_materials: tuple[int, ...]


class ReachScene:
    """Physics and camera of the task.

    Attributes:
        target_radius_m: Horizontal extent of the target about its centre.

    Args:
        look_seed: Decides shapes, colours and the choice of table tops, which are the same in all episodes.
        size_px: Side of the square camera image.
        max_distractors: Most objects beside the target, 0 to `DISTRACTOR_KINDS`.
        variation: What is otherwise than usual in every episode, to see whether it is noticed: `none`; `object`, a
            driving robot among the distractors, which is of a class that the task does not have; `light`, a dim red
            lamp.

    Raises:
        InvalidValueError: If the variation is unknown.
        MissingDependencyError: If MuJoCo or the system library of its renderer is not installed.
    """

    def __init__(self, look_seed: int, size_px: int, max_distractors: int, variation: str = "none") -> None:
        from robot_vision.sim.engine import mujoco  # noqa: PLC0415

        if variation not in VARIATIONS:
            raise InvalidValueError(f"variation: {variation!r} is unknown; use one of {', '.join(VARIATIONS)}")
        self._mujoco = mujoco
        self._size_px, self._max_distractors, self._variation = size_px, max_distractors, variation
        self._pool = _compile(np.random.default_rng(look_seed), size_px, variation == "object")
        self._model = self._pool.model
        self._data: Any = mujoco.MjData(self._model)
        self._renderer: Any = None
        self.target_radius_m = self._pool.target.radius

    def close(self) -> None:
        """Release the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode.

        Args:
            rng: Decides where everything stands, which distractors there are, the light and the table top.
        """
        from robot_vision.sim.assets import HIDDEN_GROUP, VISIBLE_GROUP  # noqa: PLC0415

        self._mujoco.mj_resetData(self._model, self._data)
        shown = rng.permutation(DISTRACTOR_KINDS)[: rng.integers(self._max_distractors + 1)]
        shown = np.concatenate([shown, np.arange(DISTRACTOR_KINDS, len(self._pool.distractors))])
        for number, (body, geoms) in enumerate(zip(self._pool.distractors, self._pool.distractor_geoms, strict=True)):
            self._place(body, (_PARKED_M + number, 0.0), 0.0)
            # What is out of sight would be drawn all the same.
            self._model.geom_group[geoms] = VISIBLE_GROUP if number in shown else HIDDEN_GROUP
        bodies = [self._pool.target, *(self._pool.distractors[number] for number in shown)]
        places = free_places(rng, [FINGER_RADIUS_M, *(body.radius for body in bodies)])
        for body, place_xy in zip(bodies, places[1:], strict=True):
            self._place(body, place_xy, float(rng.uniform(0, 2 * np.pi)))
        self._data.qpos[:2] = places[0]
        self._light(rng)
        self._model.geom_matid[self._pool.table_geom] = rng.choice(self._pool.table_materials)
        self._move_bodies()

    def step(self, velocity_xy: Float64Array) -> None:
        """Let `STEP_S` pass.

        Args:
            velocity_xy: (2,) what the motors aim at, in m/s.
        """
        self._data.ctrl[:2] = velocity_xy
        self._mujoco.mj_step(self._model, self._data, round(STEP_S / _TIMESTEP_S))
        self._move_bodies()

    @property
    def finger_xy(self) -> Float64Array:
        """(2,) float64, the finger's axis in metres."""
        return np.array(self._data.qpos[:2])

    @property
    def finger_velocity_xy(self) -> Float64Array:
        """(2,) float64, m/s."""
        return np.array(self._data.qvel[:2])

    @property
    def target_xy(self) -> Float64Array:
        """(2,) float64, the target's centre in metres."""
        return np.array(self._data.body(self._pool.target.body).xpos[:2])

    def render(self) -> UInt8Array:
        """The camera's image, (size_px, size_px, 3) uint8, RGB."""
        if self._renderer is None:
            self._renderer = self._mujoco.Renderer(self._model, self._size_px, self._size_px)
        self._renderer.update_scene(self._data, camera="eye")
        return np.array(self._renderer.render())

    def frame(self, stamp_ns: int) -> SimFrame:
        """The camera's image with the ground truth of all objects; the finger's class is `robot`.

        Args:
            stamp_ns: Time of the frame in nanoseconds.
        """
        from robot_vision.sim.cameras import look_at  # noqa: PLC0415
        from robot_vision.sim.world import SimFrame, segmented  # noqa: PLC0415

        rgb = self.render()
        segmentation = segmented(self._renderer)
        camera = look_at(np.array(_CAMERA_M), np.zeros(3))
        truth = self._truth_reader.read(segmentation, self._data, camera)
        return SimFrame(rgb, stamp_ns, truth, camera, self._intrinsics)

    @cached_property
    def _intrinsics(self) -> Intrinsics:
        from robot_vision.sim.cameras import Intrinsics  # noqa: PLC0415

        return Intrinsics.from_fovy((self._size_px, self._size_px), _FOVY_DEG)

    @cached_property
    def _truth_reader(self) -> GroundTruthReader:
        from robot_vision.sim.ground_truth import GroundTruthReader  # noqa: PLC0415

        pool = self._pool
        objects = [pool.target, *pool.distractors, _finger_body(len(pool.distractors) + 2)]
        return GroundTruthReader(self._model, objects, self._intrinsics)

    def _move_bodies(self) -> None:
        # A step ends with new joint positions and the bodies where they were before it.
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)

    def _place(self, body: ObjectBody, place_xy: tuple[float, float], yaw_rad: float) -> None:
        pose = self._data.joint(self._model.body(body.body).jntadr[0]).qpos
        pose[:] = [*place_xy, body.rest_height + 0.001, np.cos(yaw_rad / 2), 0, 0, np.sin(yaw_rad / 2)]

    def _light(self, rng: np.random.Generator) -> None:
        azimuth = rng.uniform(0, 2 * np.pi)
        lamp = np.array([np.cos(azimuth), np.sin(azimuth), rng.uniform(1.5, 2.5)])
        self._model.light_pos[0], self._model.light_dir[0] = lamp, -lamp / np.linalg.norm(lamp)
        tint = np.array(_RED_LIGHT if self._variation == "light" else (1.0, 1.0, 1.0))
        self._model.light_diffuse[0] = rng.uniform(0.45, 0.8) * rng.uniform(0.88, 1.0, 3) * tint
        self._model.vis.headlight.ambient[:] = rng.uniform(0.25, 0.4) * tint


def free_places(rng: np.random.Generator, radii_m: Sequence[float]) -> list[tuple[float, float]]:
    """Places that do not overlap, the second at a distance from the first.

    Args:
        rng: Source of randomness.
        radii_m: Extent of each; the first is the finger's, the second the target's.

    Returns:
        x and y in metres, one pair a radius, inside the area that the finger can reach.
    """
    places: list[tuple[float, float]] = []
    for number, radius in enumerate(radii_m):
        gap_m = _START_GAP_M if number == 1 else _GAP_M
        limit = AREA_HALF_M - radius
        candidates = rng.uniform(-limit, limit, (_TRIES, 2))
        free = np.full(_TRIES, np.inf)
        for place_xy, taken in zip(places, radii_m, strict=False):
            free = np.minimum(free, np.linalg.norm(candidates - place_xy, axis=1) - taken - radius)
        # The first place that is free; the freest where none is.
        best = int(np.argmax(free > gap_m)) if (free > gap_m).any() else int(np.argmax(free))
        places.append((float(candidates[best, 0]), float(candidates[best, 1])))
    return places


def _compile(rng: np.random.Generator, size_px: int, with_robot: bool) -> _Pool:
    from robot_vision.sim import textures  # noqa: PLC0415
    from robot_vision.sim.assets import VISIBLE_GROUP, AssetBook, Finish  # noqa: PLC0415
    from robot_vision.sim.classes import BALL, BOTTLE, BOX, CAN, CONE, MUG, ROBOT  # noqa: PLC0415
    from robot_vision.sim.engine import mujoco  # noqa: PLC0415
    from robot_vision.sim.objects import build_object  # noqa: PLC0415

    book = AssetBook()
    _options(book.spec, size_px)
    world = book.spec.worldbody
    tops = [draw(rng) for draw in (textures.wood, textures.plaster, textures.marble, textures.concrete)]
    materials = [book.material(top, Finish(0.2, 0.4), (0.7, 0.7)) for top in tops]
    half = [_TABLE_HALF_M, _TABLE_HALF_M, 0.02]
    table = book.decor(world, mujoco.mjtGeom.mjGEOM_BOX, half, materials[0], pos=[0, 0, -0.02])
    table.name = "table"
    # Endless, so that what an episode does not use can wait out of sight.
    book.solid(world, mujoco.mjtGeom.mjGEOM_PLANE, [0, 0, 1], 0.0, friction=[0.6, 0.005, 0.0005])
    _add_finger(book)
    kinds = (CAN, BOX, BALL, CONE, MUG, BOTTLE, *((ROBOT,) if with_robot else ()))
    bodies = [build_object(book, rng, kind, number)[1] for number, kind in enumerate(kinds, start=1)]
    _add_camera(book.spec)
    model = book.spec.compile()
    identities = tuple(int(model.material(name).id) for name in materials)
    visible = model.geom_group == VISIBLE_GROUP
    geoms = tuple(np.flatnonzero(visible & (model.geom_bodyid == model.body(body.body).id)) for body in bodies[1:])
    return _Pool(model, bodies[0], tuple(bodies[1:]), geoms, int(model.geom("table").id), identities)


def _options(spec: Any, size_px: int) -> None:
    spec.option.timestep = _TIMESTEP_S
    spec.option.iterations = 10
    visual = spec.visual
    visual.global_.offwidth = visual.global_.offheight = size_px
    # On a CPU, shadows cost most of an image.
    visual.quality.shadowsize = 2 * size_px
    visual.quality.offsamples = 0
    visual.map.znear, visual.map.zfar = 0.05, 10.0
    visual.headlight.diffuse, visual.headlight.specular = [0.1] * 3, [0.0] * 3
    spec.stat.extent = 2.0
    spec.stat.center = [0, 0, 0]


def _add_finger(book: AssetBook) -> None:
    from robot_vision.sim.assets import Finish  # noqa: PLC0415
    from robot_vision.sim.engine import mujoco  # noqa: PLC0415

    body = book.spec.worldbody.add_body(name="finger", pos=[0, 0, _FINGER_HALF_HEIGHT_M + 0.005])
    for name, axis in (("finger_x", [1, 0, 0]), ("finger_y", [0, 1, 0])):
        body.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, limited=True, range=[-AREA_HALF_M, AREA_HALF_M]
        )
        actuator = book.spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_velocity(kv=20.0)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[FINGER_RADIUS_M, _FINGER_HALF_HEIGHT_M, 0], mass=0.5,
        material=book.material(_FINGER_COLOUR, Finish(0.3, 0.4)),
    )  # fmt: skip


def _finger_body(object_id: int) -> ObjectBody:
    """The finger as an object that ground truth is read of."""
    from robot_vision.sim.classes import ROBOT  # noqa: PLC0415
    from robot_vision.sim.objects import ObjectBody  # noqa: PLC0415

    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = FINGER_RADIUS_M * np.stack([np.cos(angles), np.sin(angles), np.zeros(24)], axis=1)
    ends = np.array([[0, 0, -_FINGER_HALF_HEIGHT_M], [0, 0, _FINGER_HALF_HEIGHT_M]])
    hull = (circle[None] + ends[:, None]).reshape(-1, 3)
    return ObjectBody(object_id, ROBOT, "finger", FINGER_RADIUS_M, _FINGER_HALF_HEIGHT_M, (hull,))


def _add_camera(spec: Any) -> None:
    from robot_vision.sim.engine import mujoco  # noqa: PLC0415

    position = np.array(_CAMERA_M)
    backward = position / np.linalg.norm(position)
    right = np.array([1.0, 0.0, 0.0])
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(backward, right), backward], axis=1).ravel())
    spec.worldbody.add_camera(name="eye", pos=_CAMERA_M, quat=quaternion, fovy=_FOVY_DEG)
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_SPOT, pos=[0, 0, 2], dir=[0, 0, -1], cutoff=70, exponent=1.0,
        specular=[0.3] * 3, castshadow=True, attenuation=[1, 0, 0],
    )  # fmt: skip
