"""The simulated camera world: physics, camera and renderer behind one iterator of frames with ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError, MissingDependencyError
from robot_vision.sim.cameras import CAMERA_KINDS, CameraPose, Intrinsics, camera_path
from robot_vision.sim.engine import mujoco
from robot_vision.sim.ground_truth import GroundTruth, GroundTruthReader
from robot_vision.sim.motion import Director
from robot_vision.sim.scene import Scene, SceneConfig, build_scene
from robot_vision.types import UInt8Array

START_NS = 1_750_000_000_000_000_000
_CONTROL_S = 0.02
_OPTICAL_TO_MUJOCO = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class WorldConfig:
    """One run of the world.

    Attributes:
        seed: Decides everything that is left open; the same seed gives the same pixels on the same machine.
        size_wh: Image width and height in pixels.
        camera: `fixed`, `handheld` or `uav`.
        rate_hz: Frames per simulated second.
        fovy_deg: Vertical field of view in degrees.
        scene: What the scene holds.

    Raises:
        InvalidValueError: If a number is out of range or the camera is unknown.
    """

    seed: int
    size_wh: tuple[int, int] = (320, 240)
    camera: str = "fixed"
    rate_hz: float = 20.0
    fovy_deg: float = 50.0
    scene: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidValueError(f"WorldConfig.seed: expected 0 or more, got {self.seed}")
        if not all(16 <= side <= 4096 for side in self.size_wh):
            raise InvalidValueError(f"WorldConfig.size_wh: expected sides of 16 to 4096 pixels, got {self.size_wh}")
        if self.camera not in CAMERA_KINDS:
            raise InvalidValueError(f"WorldConfig.camera: {self.camera!r} is unknown; use one of {CAMERA_KINDS}")
        if not 0.1 <= self.rate_hz <= 50:
            raise InvalidValueError(f"WorldConfig.rate_hz: expected 0.1 to 50, got {self.rate_hz}")
        if not 5 <= self.fovy_deg <= 120:
            raise InvalidValueError(f"WorldConfig.fovy_deg: expected 5 to 120, got {self.fovy_deg}")


@dataclass(frozen=True, eq=False)
class SimFrame:
    """One rendered frame.

    Attributes:
        rgb: (H, W, 3) uint8.
        stamp_ns: Simulated capture time in integer nanoseconds since the epoch.
        truth: Ground truth of every visible object.
        camera: Pose of the camera's optical frame in the world.
        intrinsics: The camera's pinhole model.
    """

    rgb: UInt8Array
    stamp_ns: int
    truth: GroundTruth
    camera: CameraPose
    intrinsics: Intrinsics


class World:
    """A scene in motion in front of a camera; close it, or use it in a `with` block.

    Args:
        config: What to simulate.

    Raises:
        MissingDependencyError: If the renderer cannot start.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        scene_rng, motion_rng, camera_rng = (
            np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(3)
        )
        self.scene: Scene = build_scene(config.scene, scene_rng, config.size_wh, config.fovy_deg)
        self.intrinsics = Intrinsics.from_fovy(config.size_wh, config.fovy_deg)
        self.data: Any = mujoco.MjData(self.scene.model)
        self._director = Director(self.scene, motion_rng)
        self._path = camera_path(config.camera, camera_rng)
        self._reader = GroundTruthReader(self.scene.model, self.scene.objects, self.intrinsics)
        self._renderer = open_renderer(self.scene.model, config.size_wh)
        self._steps = 0

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the renderer."""
        self._renderer.close()

    def advance(self, duration_s: float) -> None:
        """Let simulated time pass without rendering."""
        timestep = self.config.scene.timestep_s
        every = max(1, round(_CONTROL_S / timestep))
        for _ in range(round(duration_s / timestep)):
            if self._steps % every == 0:
                self._director.control(self.data)
            mujoco.mj_step(self.scene.model, self.data)
            self._steps += 1

    def render(self) -> SimFrame:
        """The frame at the present simulated time."""
        time_s = self._steps * self.config.scene.timestep_s
        camera = self._path.pose(time_s)
        rgb, segmentation = seen_from(camera, self.scene.model, self.data, self._renderer)
        truth = self._reader.read(segmentation, self.data, camera)
        return SimFrame(rgb, START_NS + round(time_s * 1e9), truth, camera, self.intrinsics)

    def frames(self, count: int, warm_up_s: float = 0.4) -> Iterator[SimFrame]:
        """Frames at the configured rate.

        Args:
            count: How many.
            warm_up_s: Simulated seconds before the first, in which objects settle and start.

        Yields:
            Frames by rising stamp; stamps are whole physics steps.
        """
        first = self._steps * self.config.scene.timestep_s + warm_up_s
        for number in range(count):
            due = first + number / self.config.rate_hz
            self.advance(due - self._steps * self.config.scene.timestep_s)
            yield self.render()


def seen_from(camera: CameraPose, model: Any, data: Any, renderer: Any) -> tuple[UInt8Array, npt.NDArray[np.int32]]:
    """What a camera sees.

    Args:
        camera: Where the model's camera `eye`, on the mocap body of the same name, is to be.
        model: The compiled scene.
        data: Its state; the camera is moved in it.
        renderer: From `open_renderer`.

    Returns:
        (H, W, 3) uint8 RGB, and the segmentation as `segmented` gives it.
    """
    eye = int(model.body_mocapid[model.body("eye").id])
    data.mocap_pos[eye] = camera.position
    mujoco.mju_mat2Quat(data.mocap_quat[eye], (camera.rotation @ _OPTICAL_TO_MUJOCO).ravel())
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    renderer.update_scene(data, camera="eye")
    return np.array(renderer.render()), segmented(renderer)


def segmented(renderer: Any) -> npt.NDArray[np.int32]:
    """Which geom each pixel shows, of the scene that a renderer was updated with last.

    Returns:
        (H, W, 2) int32 pairs of MuJoCo id and type.
    """
    renderer.enable_segmentation_rendering()
    segmentation = np.asarray(renderer.render(), np.int32)
    renderer.disable_segmentation_rendering()
    return segmentation


def open_renderer(model: Any, size_wh: tuple[int, int]) -> Any:
    """An off-screen renderer of a compiled model.

    Raises:
        MissingDependencyError: If the renderer cannot start.
    """
    try:
        return mujoco.Renderer(model, size_wh[1], size_wh[0], max_geom=2000)
    except Exception as error:  # the error's type depends on the graphics backend
        raise MissingDependencyError(
            f"MuJoCo cannot open an off-screen renderer: {error}; for rendering on the CPU run "
            "`sudo apt install libosmesa6` and set MUJOCO_GL=osmesa"
        ) from error
