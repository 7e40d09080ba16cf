"""What is known about the frames of an evaluation, as arrays, and which of it can be asked of latents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.latent_data import FrameSet, KnownFrame
from robot_vision.evaluation.latent_images import thumbnail
from robot_vision.evaluation.latent_probes import FOLDS, LEAST_FRAMES, can_probe
from robot_vision.types import Float32Array, Float64Array, Int64Array

POSITION, NUMBER = "position of the only", "number of objects"


@dataclass(frozen=True, eq=False)
class KnownState:
    """What is known about N frames; NaN where something is not.

    Attributes:
        sources: (N,) int64, number of each frame's set.
        recordings: Numbers of the sets that are recordings.
        groups: (N,) int64; frames of one group look alike and are held out together.
        parts: (N,) int64, the same but for recordings, of which each fifth is a group.
        kinds: Kind of the scene of each frame; empty if unknown.
        counts: (N,) float64, number of objects.
        positions_xy: (N, 2) float64 by class: centre of the box in shares of the image's sides, in frames where
            exactly one of the class is visible.
        poses: (N, 7) float64 of the camera.
        image_changes: (N,) float64, root mean squared difference in [0, 1] units from the frame before.
    """

    sources: Int64Array
    recordings: tuple[int, ...]
    groups: Int64Array
    parts: Int64Array
    kinds: tuple[str, ...]
    counts: Float64Array
    positions_xy: dict[str, Float64Array]
    poses: Float64Array
    image_changes: Float64Array


class StateCollector:
    """Makes a `KnownState` of frames that come one by one.

    Args:
        sets: Where the frames come from.
    """

    def __init__(self, sets: Sequence[FrameSet]) -> None:
        self._sets = sets
        self._names = tuple(dict.fromkeys(name for entry in sets for name in entry.class_names))
        self._sources: list[int] = []
        self._scenes: list[str | None] = []
        self._kinds: list[str] = []
        self._counts: list[float] = []
        self._positions: list[Float64Array] = []
        self._poses: list[Float64Array] = []
        self._changes: list[float] = []
        self._last: Float32Array | None = None

    def add(self, source: int, frame: KnownFrame) -> None:
        """Take the next frame.

        Args:
            source: Number of its set.
            frame: The frame; its image is not kept.
        """
        small = np.asarray(thumbnail(frame.rgb) / np.float32(255), np.float32)
        change = np.nan
        if self._last is not None and self._sources[-1] == source and self._last.shape == small.shape:
            change = float(np.sqrt(np.square(small - self._last).mean()))
        self._changes.append(change)
        self._last = small
        self._sources.append(source)
        self._scenes.append(frame.scene)
        self._kinds.append(frame.kind)
        self._counts.append(np.nan if frame.truth is None else float((~frame.truth.ignored).sum()))
        size_wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        self._positions.append(_positions(frame.truth, self._sets[source].class_names, self._names, size_wh))
        self._poses.append(frame.pose)

    def state(self) -> KnownState:
        """All that was taken."""
        positions = np.stack(self._positions)
        recordings = tuple(number for number, entry in enumerate(self._sets) if entry.recording)
        parts = self._groups(FOLDS)
        groups = self._groups(1) if len(recordings) >= FOLDS else parts
        return KnownState(
            np.array(self._sources, np.int64), recordings, groups, parts,
            tuple(self._kinds), np.array(self._counts),
            {name: positions[:, index] for index, name in enumerate(self._names)},
            np.stack(self._poses), np.array(self._changes),
        )  # fmt: skip

    def _groups(self, parts: int) -> Int64Array:
        """Number of each frame's scene, or of one of so many parts of its recording."""
        keys, places, totals = [], Counter[int](), Counter(self._sources)
        for source, scene in zip(self._sources, self._scenes, strict=True):
            keys.append(scene if scene is not None else f"{source} {places[source] * parts // totals[source]}")
            places[source] += 1
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _positions(
    truth: LabelledBoxes | None, own_names: Sequence[str], names: Sequence[str], size_wh: tuple[int, int]
) -> Float64Array:
    """Centre of the only object of each class, (C, 2) in shares of the image's sides."""
    positions = np.full((len(names), 2), np.nan)
    if truth is None:
        return positions
    for number, name in enumerate(own_names):
        rows = np.flatnonzero(truth.class_ids == number)
        if len(rows) == 1 and not truth.ignored[rows[0]]:
            box = truth.boxes_xyxy[rows[0]]
            positions[names.index(name)] = (box[:2] + box[2:]) / 2 / np.array(size_wh)
    return positions


@dataclass(frozen=True, eq=False)
class ProbedState:
    """A state to read from latents.

    Attributes:
        name: What it is.
        axes: Names of its T values; one empty name where there is one value.
        values: (N, T) float64.
        groups: (N,) int64; frames of one group are held out together.
        parts: Rows of the frames that one probe learns and is tested on, a probe each.
    """

    name: str
    axes: tuple[str, ...]
    values: Float64Array
    groups: Int64Array
    parts: tuple[Int64Array, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(map(len, self.parts))


def probed_states(state: KnownState) -> tuple[list[ProbedState], list[str]]:
    """The states for which there are enough frames.

    A camera's pose is in the map of its recording, so each recording has probes of its own for it.

    Args:
        state: What is known.

    Returns:
        The states, and a line for each that cannot be probed.
    """
    posed = np.isfinite(state.poses[:, 0])
    by_recording = [_rows(posed & (state.sources == number)) for number in state.recordings]
    by_recording = [rows for rows in by_recording if len(rows)]
    xyz = ("x", "y", "z")
    wanted = [
        *(
            ProbedState(f"{POSITION} {name}", ("x", "y"), xy, state.groups, (_rows(np.isfinite(xy[:, 0])),))
            for name, xy in state.positions_xy.items()
        ),
        ProbedState(NUMBER, ("",), state.counts[:, None], state.groups, (_rows(np.isfinite(state.counts)),)),
        ProbedState("position of the camera", xyz, state.poses[:, :3], state.parts, tuple(by_recording)),
        ProbedState(
            "viewing direction of the camera", xyz, viewing_directions(state.poses), state.parts, tuple(by_recording)
        ),
    ]
    found, gaps = [], []
    for entry in wanted:
        usable = tuple(rows for rows in entry.parts if can_probe(entry.groups[rows]) and _varies(entry.values[rows]))
        if usable:
            found.append(replace(entry, parts=usable))
        else:
            gaps.append(f"{entry.name}: not probed; {_why(entry)}")
    return found, gaps


def _rows(chosen: npt.NDArray[np.bool_]) -> Int64Array:
    return np.flatnonzero(chosen).astype(np.int64)


def _varies(values: Float64Array) -> bool:
    return bool(np.ptp(values, axis=0).any())


def _why(state: ProbedState) -> str:
    rows = max(state.parts, key=len, default=np.zeros(0, np.int64))
    if not len(rows):
        return "no frame has it"
    if can_probe(state.groups[rows]):
        return "it is the same in all frames"
    groups = len(np.unique(state.groups[rows]))
    return (
        f"known in {len(rows)} frames of {groups} scenes or parts of recordings, at least {LEAST_FRAMES} of {FOLDS} "
        "are needed"
    )


def viewing_directions(poses: Float64Array) -> Float64Array:
    """Direction of the optical axis, z of the camera's optical frame, in the frame of its pose.

    Args:
        poses: (N, 7) float64, position x, y, z and unit quaternion x, y, z, w.

    Returns:
        (N, 3) float64 of unit length.
    """
    x, y, z, w = poses[:, 3:].T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], axis=1)
