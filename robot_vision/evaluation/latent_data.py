"""Frames with all that is known about them, from labelled images and recordings: what a latent should tell."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robot_vision.data.bags import BagReader
from robot_vision.data.labelled_coco import COCO_FILES
from robot_vision.data.labelled_sets import open_labelled
from robot_vision.data.labelled_yolo import YOLO_FILES
from robot_vision.data.sources import open_source, stamp_ns
from robot_vision.data.video import VIDEO_SUFFIXES
from robot_vision.errors import BagError
from robot_vision.evaluation.ground_truth import LabelledBoxes, ground_truth_topic
from robot_vision.types import Float64Array, UInt8Array

POSE = "geometry_msgs/msg/PoseStamped"
_BAG_SUFFIXES = (".mcap", ".db3", ".bag")
_UNKNOWN_POSE = np.full(7, np.nan)


@dataclass(frozen=True, eq=False)
class KnownFrame:
    """One frame and what is known about it.

    Attributes:
        rgb: (H, W, 3) uint8.
        truth: Its objects; None where it has no labels.
        scene: Frames of one scene look alike; None for a recording, which is parted by time.
        kind: Kind of the scene; empty if unknown.
        pose: (7,) float64 of the camera, position x, y, z in metres and quaternion x, y, z, w; NaN if unknown.
    """

    rgb: UInt8Array
    truth: LabelledBoxes | None
    scene: str | None
    kind: str
    pose: Float64Array


@dataclass(frozen=True)
class FrameSet:
    """A data set or a recording.

    Attributes:
        name: For people.
        class_names: Class names by class id of its labels; empty without labels.
        recording: Whether its frames follow one another in time.
        count: Number of frames.
        notes: What was left out or chosen, a line each.
        frames: Reads the frames, in the same order every time. Raises `BagError` or `FrameError` if one is damaged.
    """

    name: str
    class_names: tuple[str, ...]
    recording: bool
    count: int
    notes: tuple[str, ...]
    frames: Callable[[], Iterator[KnownFrame]]

    def thinned(self, every: int) -> FrameSet:
        """Every `every`-th frame, from the first."""
        frames = self.frames
        return replace(self, count=-(-self.count // every), frames=lambda: itertools.islice(frames(), 0, None, every))


def open_frames(path: Path, name: str) -> FrameSet:
    """Open a data set or a recording of any kind.

    Of images in COCO format the entries `theme` and `seed`, where they have them, are the kind and the number of the
    scene; else each image is a scene of its own. Of a bag the camera's pose is read from the first PoseStamped topic
    whose last name is `pose`, and its name stands for the kind of scene, as nothing in it says more.

    Args:
        path: COCO or YOLO data set, bag with or without ground truth, or video.
        name: What it is called.

    Returns:
        The frames.

    Raises:
        BagError: If nothing is there, it is of no known kind, damaged or empty.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _unlabelled(path, name, {})
    if not _is_bag(path):
        return _images(path, name)
    with BagReader(path) as bag:
        labelled, poses = ground_truth_topic(bag) is not None, _poses(bag)
    return _labelled(path, name, poses) if labelled else _unlabelled(path, name, poses)


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        if any((path / name).is_file() for name in (*COCO_FILES, *YOLO_FILES)):
            return False  # as open_labelled takes it
        return any(entry.name == "metadata.yaml" or entry.suffix in _BAG_SUFFIXES for entry in path.iterdir())
    return path.name == "metadata.yaml" or path.suffix.lower() in _BAG_SUFFIXES


def _poses(bag: BagReader) -> dict[int, Float64Array]:
    """Pose of the camera by the stamp of its header."""
    for name, summary in bag.topics.items():
        if summary.msgtype == POSE and name.rsplit("/", 1)[-1] == "pose":
            found = {}
            for _, message in bag.messages(name):
                at, turned = message.pose.position, message.pose.orientation
                found[stamp_ns(message.header)] = np.array([at.x, at.y, at.z, turned.x, turned.y, turned.z, turned.w])
            return found
    return {}


def _labelled(path: Path, name: str, poses: dict[int, Float64Array]) -> FrameSet:
    labelled = open_labelled(path, "val")

    def frames() -> Iterator[KnownFrame]:
        for title, image in zip(labelled.titles, labelled.images(), strict=True):
            # Images of a bag are called by their stamps.
            pose = poses.get(int(title.removesuffix(" ns")), _UNKNOWN_POSE)
            yield KnownFrame(image.rgb, image.truth, None, name, pose)

    return FrameSet(name, labelled.class_names, True, labelled.count, labelled.notes, frames)


def _unlabelled(path: Path, name: str, poses: dict[int, Float64Array]) -> FrameSet:
    source = open_source(path)
    notes = (f"{name}: no ground truth", *([source.note] if source.note else []))

    def frames() -> Iterator[KnownFrame]:
        for frame in source.frames():
            yield KnownFrame(frame.rgb, None, None, name, poses.get(frame.stamp_ns, _UNKNOWN_POSE))

    return FrameSet(name, (), True, source.count, notes, frames)


def _images(path: Path, name: str) -> FrameSet:
    labelled = open_labelled(path, "val")
    scenes, kinds = _scenes(path, labelled.titles)

    def frames() -> Iterator[KnownFrame]:
        for scene, kind, image in zip(scenes, kinds, labelled.images(), strict=True):
            yield KnownFrame(image.rgb, image.truth, f"{name} {scene}", kind, _UNKNOWN_POSE)

    return FrameSet(name, labelled.class_names, False, labelled.count, labelled.notes, frames)


def _scenes(path: Path, titles: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Scene and kind of scene of each image, as COCO annotations of the simulated world have them."""
    candidates = [path / name for name in COCO_FILES] if path.is_dir() else [path]
    file = next((file for file in candidates if file.is_file() and file.suffix.lower() == ".json"), None)
    if file is None:
        return titles, [""] * len(titles)
    entries = json.loads(file.read_text(encoding="utf-8"))["images"]
    scenes = [str(entry.get("seed", entry["id"])) for entry in entries]
    return scenes, [str(entry.get("theme", "")) for entry in entries]


def open_all(paths: Sequence[Path], every: int) -> list[FrameSet]:
    """Open several data sets and recordings.

    Args:
        paths: One or more; see `open_frames`.
        every: Take every so many-th frame of each.

    Returns:
        One set a path, called by its folder or file, or by the path where several are called the same.

    Raises:
        BagError: As for `open_frames`, or if one is given twice.
        EvaluationError: As for `open_frames`.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise BagError(f"the same data is given twice: {', '.join(map(str, paths))}; give each once")
    names = [_name_of(path) for path in paths]
    unique = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    return [open_frames(path, name).thinned(every) for path, name in zip(paths, unique, strict=True)]


def _name_of(path: Path) -> str:
    resolved = path.resolve()
    return resolved.parent.name if path.name in (*COCO_FILES, *YOLO_FILES, "metadata.yaml") else resolved.name
