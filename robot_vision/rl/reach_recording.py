"""Records the reaching task into a bag with ground truth, for training and judging encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.rl.reach_scene import MAX_SPEED_M_S, STEP_S, ReachScene
from robot_vision.types import Float64Array

if TYPE_CHECKING:
    from robot_vision.sim.world import SimFrame

PAUSE_S = 1.0
MAX_DISTRACTORS = 3
_LONGEST_STRIDE = 4
_PURPOSEFUL = 0.6
_NEAR_M = 0.05


@dataclass(frozen=True)
class ReachRecording:
    """One bag.

    Attributes:
        path: Bag folder to create.
        episodes: How many episodes.
        frames: Frames of each; one to four steps of the task lie between two of them.
        seed: Decides the episodes and the actions.
        size_px: Side of the image in pixels.
        variation: See `ReachScene`.

    Raises:
        InvalidValueError: If a number is out of range.
    """

    path: Path
    episodes: int
    frames: int = 5
    seed: int = 0
    size_px: int = 64
    variation: str = "none"

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("frames", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InvalidValueError(f"{name}: expected {least} or more, got {getattr(self, name)}")
        if not 16 <= self.size_px <= 1024:
            raise InvalidValueError(f"size_px: expected 16 to 1024 pixels, got {self.size_px}")


def write_episodes(recording: ReachRecording) -> int:
    """Record episodes of a finger that wanders about or drives, not too straight, to the target.

    The topics are those of `sim.recording.write_bag`, images raw; between two episodes a second passes.

    Args:
        recording: What to record.

    Returns:
        Number of frames.

    Raises:
        BagError: If the bag exists or cannot be written.
        InvalidValueError: If the variation is unknown.
        MissingDependencyError: If MuJoCo, its renderer or message definitions are missing.
    """
    from robot_vision.sim.recording import MessageFactory, write_frames  # noqa: PLC0415

    count = recording.episodes * recording.frames
    scene = ReachScene(0, recording.size_px, MAX_DISTRACTORS, recording.variation)
    try:
        write_frames(recording.path, _frames(scene, recording), count, MessageFactory("raw", 100))
    finally:
        scene.close()
    return count


def _frames(scene: ReachScene, recording: ReachRecording) -> Iterator[SimFrame]:
    from robot_vision.sim.world import START_NS  # noqa: PLC0415

    rng = np.random.default_rng(recording.seed)
    time_s = 0.0
    for _ in range(recording.episodes):
        scene.reset(rng)
        wander = None if rng.random() < _PURPOSEFUL else rng.uniform(-1, 1, 2)
        for number in range(recording.frames):
            for _ in range(rng.integers(1, _LONGEST_STRIDE) if number else 0):
                scene.step(_velocity(scene, wander, rng))
                time_s += STEP_S
            yield scene.frame(START_NS + round(time_s * 1e9))
        time_s += PAUSE_S


def _velocity(scene: ReachScene, wander: Float64Array | None, rng: np.random.Generator) -> Float64Array:
    """Towards the target, or in the direction of an aimless episode, with noise; (2,) in m/s."""
    if wander is None:
        way = scene.target_xy - scene.finger_xy
        wander = way / max(_NEAR_M, float(np.linalg.norm(way)))
    return np.clip(0.8 * wander + rng.normal(0, 0.4, 2), -1, 1) * MAX_SPEED_M_S
