"""A reaching task in MuJoCo, from the state, from pixels, or (`LatentImage`) from latents; needs no ROS.

A camera looks down on a table top with a can, the target, and up to three things of other classes. The agent drives a
finger over the table and is done when it is at the can. Importing this module registers the task with Gymnasium:
`gymnasium.make("robot_vision/Reach-v0", observation="pixels")`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from robot_vision.errors import InvalidValueError
from robot_vision.rl.reach_scene import (
    AREA_HALF_M,
    DISTRACTOR_KINDS,
    FINGER_RADIUS_M,
    MAX_SPEED_M_S,
    STEP_S,
    ReachScene,
)
from robot_vision.types import Float32Array, UInt8Array

ENV_ID = "robot_vision/Reach-v0"
OBSERVATIONS = ("state", "pixels")
STATE_SIZE = 6
MAX_STEPS = 60
SUCCESS_GAP_M = 0.03
SUCCESS_BONUS = 1.0


class ReachEnv(gymnasium.Env[npt.NDArray[Any], Float32Array]):
    """Drive the finger to the can.

    Action: (2,) float32 in [-1, 1], the finger's velocity along x and y in units of 0.8 m/s; it lasts 0.05 s.

    Observation: `state` is (6,) float32: place of the finger, its velocity, place of the can, each x and y, in units of
    the area's half side (0.45 m) and of 0.8 m/s. It says nothing about the other objects, which the finger can push.
    `pixels` is the camera's image, (size_px, size_px, 3) uint8, RGB.

    Reward: minus the distance between the finger's axis and the can's centre in metres, after the step; 1 more when the
    two surfaces are less than 3 cm apart, which ends the episode. `gymnasium.make` cuts episodes after 60 steps.

    The same seed given to `reset` gives the same episode under the same actions: places, other objects, light, table.

    Args:
        observation: `state` or `pixels`.
        size_px: Side of the image.
        render_mode: `rgb_array` or None.
        max_distractors: Most objects beside the can, 0 to 5; each episode draws how many there are.
        look_seed: Decides the shapes and colours that all episodes share.

    Raises:
        InvalidValueError: If an argument is out of range.
        MissingDependencyError: If MuJoCo or its renderer is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / STEP_S)}  # noqa: RUF012

    def __init__(
        self,
        observation: str = "state",
        size_px: int = 64,
        render_mode: str | None = None,
        max_distractors: int = 3,
        look_seed: int = 0,
    ) -> None:
        if observation not in OBSERVATIONS:
            raise InvalidValueError(f"observation: {observation!r} is unknown; use one of {', '.join(OBSERVATIONS)}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InvalidValueError(f"render_mode: {render_mode!r} is unknown; use rgb_array or None")
        if not 16 <= size_px <= 1024:
            raise InvalidValueError(f"size_px: expected 16 to 1024 pixels, got {size_px}")
        if not 0 <= max_distractors <= DISTRACTOR_KINDS:
            raise InvalidValueError(f"max_distractors: expected 0 to {DISTRACTOR_KINDS}, got {max_distractors}")
        self.render_mode = render_mode
        self._pixels = observation == "pixels"
        self._scene = ReachScene(look_seed, size_px, max_distractors)
        self._reach_m = FINGER_RADIUS_M + self._scene.target_radius_m + SUCCESS_GAP_M
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = (
            spaces.Box(0, 255, (size_px, size_px, 3), np.uint8)
            if self._pixels
            else spaces.Box(-np.inf, np.inf, (STATE_SIZE,), np.float32)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Decides this episode and those after it; None goes on with the random numbers at hand.
            options: Not used.

        Returns:
            The first observation, and `distance_m`.
        """
        super().reset(seed=seed, options=options)
        self._scene.reset(self.np_random)
        return self._observation(), {"distance_m": self._distance_m()}

    def step(self, action: Float32Array) -> tuple[npt.NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Drive for 0.05 s.

        Args:
            action: (2,) velocity; parts beyond [-1, 1] are cut.

        Returns:
            Observation, reward, whether the can is reached, False, and `distance_m` and `is_success`.

        Raises:
            InvalidValueError: If the action has another shape or is not finite.
        """
        velocity = np.asarray(action, np.float64)
        if velocity.shape != (2,) or not np.isfinite(velocity).all():
            raise InvalidValueError(f"action: expected 2 finite numbers, got {action}")
        self._scene.step(np.clip(velocity, -1, 1) * MAX_SPEED_M_S)
        distance_m = self._distance_m()
        reached = distance_m < self._reach_m
        reward = -distance_m + (SUCCESS_BONUS if reached else 0.0)
        return self._observation(), reward, reached, False, {"distance_m": distance_m, "is_success": reached}

    def render(self) -> UInt8Array | None:
        """The camera's image, (size_px, size_px, 3) uint8, RGB; None without a render mode."""
        return self._scene.render() if self.render_mode else None

    def close(self) -> None:
        """Release the renderer."""
        self._scene.close()

    def _distance_m(self) -> float:
        return float(np.linalg.norm(self._scene.finger_xy - self._scene.target_xy))

    def _observation(self) -> npt.NDArray[Any]:
        if self._pixels:
            return self._scene.render()
        place, speed = self._scene.finger_xy / AREA_HALF_M, self._scene.finger_velocity_xy / MAX_SPEED_M_S
        return np.concatenate([place, speed, self._scene.target_xy / AREA_HALF_M]).astype(np.float32)


gymnasium.register(ENV_ID, entry_point="robot_vision.rl.reach:ReachEnv", max_episode_steps=MAX_STEPS)
