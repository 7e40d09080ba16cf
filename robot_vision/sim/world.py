"""The simulated camera world: physics, camera and labels of one scene over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.sim.cameras import CAMERA_KINDS, CameraPose, make_path
from robot_vision.sim.classes import BALL
from robot_vision.sim.ground_truth import GroundTruth, hard_to_see, silhouette_pixels, visible_box
from robot_vision.sim.rendering import import_mujoco
from robot_vision.types import Float64Array, Int64Array, UInt8Array

mujoco = import_mujoco()

from robot_vision.sim.scene import ObjectBody, SceneConfig, build_scene  # noqa: E402 (needs the renderer chosen)

START_STAMP_NS = 1_750_000_000_000_000_000
SETTLE_S = 0.4
MAX_GEOMS = 2000


@dataclass(frozen=True)
class WorldConfig:
    """One recording.

    Attributes:
        seed: Decides everything that the other fields leave open.
        camera: One of `CAMERA_KINDS`.
        size_wh: Image width and height in pixels.
        rate_hz: Frames per second.
        fovy_deg: Vertical field of view in degrees.
        scene: What the scene holds.

    Raises:
        InvalidValueError: If a value is out of range.
    """

    seed: int = 0
    camera: str = "fixed"
    size_wh: tuple[int, int] = (640, 480)
    rate_hz: float = 20.0
    fovy_deg: float = 50.0
    scene: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        if self.camera not in CAMERA_KINDS:
            raise InvalidValueError(f"camera: {self.camera!r} is unknown; use one of {', '.join(CAMERA_KINDS)}")
        if not (16 <= min(self.size_wh) and max(self.size_wh) <= 4096):
            raise InvalidValueError(f"size_wh: sides must be within [16, 4096] pixels, got {self.size_wh}")
        if not (0.1 <= self.rate_hz <= 1000 and 5 <= self.fovy_deg <= 150):
            raise InvalidValueError(
                f"rate_hz must be within [0.1, 1000] and fovy_deg within [5, 150], got {self.rate_hz}, {self.fovy_deg}"
            )


@dataclass(frozen=True, eq=False)
class SimFrame:
    """One rendered frame with its truth.

    Attributes:
        rgb: (H, W, 3) uint8.
        stamp_ns: Capture time in nanoseconds.
        truth: Labels of the visible objects.
        camera: Pose of the camera's optical frame in the world.
        intrinsics: (3, 3) float64 camera matrix.
    """

    rgb: UInt8Array
    stamp_ns: int
    truth: GroundTruth
    camera: CameraPose
    intrinsics: Float64Array


class World:
    """Runs one scene; a context manager that frees the renderer at the end.

    The same configuration gives the same pixels and labels on the same machine.
    """

    def __init__(self, config: WorldConfig) -> None:
        """Build the scene.

        Args:
            config: The recording.

        Raises:
            MissingDependencyError: If MuJoCo or its renderer is missing.
        """
        rng = np.random.default_rng(config.seed)
        self.config = config
        self.scene = build_scene(config.scene, rng, config.size_wh, config.fovy_deg)
        self.intrinsics = _intrinsics(config.size_wh, config.fovy_deg)
        self._path = make_path(config.camera, rng)
        self._rng = rng
        self._model = self.scene.model
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, config.size_wh[1], config.size_wh[0], max_geom=MAX_GEOMS)
        self._object_of_geom = self._objects_by_geom()
        self._next_kick_s = {body.object_id: float(rng.uniform(0, 2.0)) for body in self.scene.objects}

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def frames(self, count: int) -> Iterator[SimFrame]:
        """Run the world.

        Args:
            count: Number of frames.

        Yields:
            Frames at the configured rate.
        """
        self._run_until(SETTLE_S, moving=False)
        for number in range(count):
            time_s = number / self.config.rate_hz
            self._run_until(SETTLE_S + time_s, moving=True)
            yield self._render(time_s)

    def _run_until(self, time_s: float, moving: bool) -> None:
        while self._data.time < time_s - 1e-9:
            if moving:
                self._drive(self._data.time)
            mujoco.mj_step(self._model, self._data)

    def _drive(self, time_s: float) -> None:
        for body in self.scene.objects:
            if self._next_kick_s[body.object_id] > time_s - SETTLE_S:
                continue
            pause_s = self._rng.uniform(1.0, 2.5) if body.wheels or body.class_id == BALL else self._rng.uniform(1.5, 5.0)
            self._next_kick_s[body.object_id] = time_s - SETTLE_S + float(pause_s)
            if body.wheels:
                self._steer(body)
            else:
                self._kick(body)

    def _steer(self, body: ObjectBody) -> None:
        speed, turn = self._rng.uniform(2.0, 8.0), self._rng.uniform(-3.5, 3.5)
        for name, value in zip(body.wheels, (speed - turn, speed + turn), strict=True):
            self._data.actuator(name).ctrl = value

    def _kick(self, body: ObjectBody) -> None:
        joint = self._model.body(body.body).jntadr[0]
        start = self._model.jnt_dofadr[joint]
        place = self._data.body(body.body).xpos[:2]
        # Towards the middle on the whole, so that objects stay in view.
        heading = np.arctan2(-place[1], -place[0]) + self._rng.normal(0, 0.8)
        speed = self._rng.uniform(0.4, 1.1) if body.class_id == BALL else self._rng.uniform(0.5, 1.2)
        self._data.qvel[start : start + 2] += speed * np.array([np.cos(heading), np.sin(heading)])
        if body.class_id != BALL:
            self._data.qvel[start + 5] += self._rng.uniform(-2.0, 2.0)

    def _render(self, time_s: float) -> SimFrame:
        pose = self._path(time_s)
        eye = pose.rotation * np.array([1.0, -1.0, -1.0])
        self._data.mocap_pos[0] = pose.position_xyz
        mujoco.mju_mat2Quat(self._data.mocap_quat[0], eye.ravel())
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera="eye")
        rgb = self._renderer.render().copy()
        self._renderer.enable_segmentation_rendering()
        self._renderer.update_scene(self._data, camera="eye")
        geoms = self._renderer.render()[..., 0]
        self._renderer.disable_segmentation_rendering()
        stamp_ns = START_STAMP_NS + round(time_s * 1e9)
        object_ids = self._object_of_geom[np.clip(geoms, -1, self._model.ngeom - 1)]
        return SimFrame(rgb, stamp_ns, self._label(object_ids, pose), pose, self.intrinsics)

    def _label(self, object_ids: Int64Array, pose: CameraPose) -> GroundTruth:
        rows: list[tuple[Any, ...]] = []
        for body in self.scene.objects:
            mask = object_ids == body.object_id
            box = visible_box(mask)
            if box is None:
                continue
            state = self._data.body(body.body)
            rotation = pose.rotation.T @ state.xmat.reshape(3, 3)
            position = pose.rotation.T @ (state.xpos - pose.position_xyz)
            hulls = tuple(points @ rotation.T + position for points in body.hulls)
            inside, total = silhouette_pixels(hulls, self.intrinsics, self.config.size_wh)
            visible = int(mask.sum())
            occlusion = float(np.clip(1 - visible / max(inside, 1.0), 0, 1))
            truncation = float(np.clip(1 - inside / max(total, 1.0), 0, 1))
            ignored = hard_to_see(box, visible, occlusion, truncation, self.config.size_wh)
            quaternion = np.zeros(4)
            mujoco.mju_mat2Quat(quaternion, rotation.ravel())
            rows.append(
                (box, body.class_id, body.object_id, visible, occlusion, truncation, ignored, position, quaternion)
            )
        return _ground_truth(rows)

    def _objects_by_geom(self) -> Int64Array:
        roots = {self._model.body(body.body).id: body.object_id for body in self.scene.objects}
        # One row more than there are geoms: index -1, the background, finds 0.
        table = np.zeros(self._model.ngeom + 1, np.int64)
        for geom in range(self._model.ngeom):
            table[geom] = roots.get(int(self._model.body_rootid[self._model.geom_bodyid[geom]]), 0)
        return table


def _ground_truth(rows: list[tuple[Any, ...]]) -> GroundTruth:
    columns = list(zip(*rows, strict=True)) or [()] * 9
    return GroundTruth(
        boxes_xyxy=np.array(columns[0], np.float32).reshape(-1, 4),
        class_ids=np.array(columns[1], np.int64),
        object_ids=np.array(columns[2], np.int64),
        visible_pixels=np.array(columns[3], np.int64),
        occlusion=np.array(columns[4], np.float32),
        truncation=np.array(columns[5], np.float32),
        ignored=np.array(columns[6], np.bool_),
        positions_xyz=np.array(columns[7], np.float64).reshape(-1, 3),
        quaternions_wxyz=np.array(columns[8], np.float64).reshape(-1, 4),
    )


def _intrinsics(size_wh: tuple[int, int], fovy_deg: float) -> Float64Array:
    focal = size_wh[1] / 2 / np.tan(np.radians(fovy_deg) / 2)
    return np.array([[focal, 0, size_wh[0] / 2], [0, focal, size_wh[1] / 2], [0, 0, 1.0]])
