"""Data sets in the format of LeRobot (LeRobotDataset v3.0), through its own library."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_vision.data.dataset.columns import Feature
from robot_vision.data.dataset.episode import Episode
from robot_vision.data.dataset.schema import DERIVED
from robot_vision.data.dataset.storage import is_picture
from robot_vision.errors import InvalidValueError, MissingDependencyError

_DONE = DERIVED[-1]
_PICTURE_AXES = ["height", "width", "channels"]


class LeRobotStorage:
    """A LeRobotDataset; see `storage.Storage`.

    LeRobot adds `timestamp`, `frame_index` and `episode_index` by itself. Numbers of 64 bits become float32, which its
    policies take; a single value is an array of one; pictures stay pictures, exact to the pixel.

    Args:
        folder: Folder to create.
        features: Columns from topics.
        rate_hz: Steps a second, a whole number.
        task: What the recordings show.

    Raises:
        InvalidValueError: If the rate is no whole number, or the task is empty.
        MissingDependencyError: If LeRobot is not installed.
    """

    description = "meta/robot_vision.json"

    def __init__(self, folder: Path, features: Sequence[Feature], rate_hz: float, task: str) -> None:
        library = require_lerobot(rate_hz, task)
        self._features, self._task = (*features, _DONE), task
        self._dataset = library.create(
            repo_id=f"local/{folder.name}",
            fps=round(rate_hz),
            root=folder,
            features={feature.name: _description(feature) for feature in self._features},
            use_videos=False,
        )

    def add(self, episode: Episode, index: int) -> str:
        """See `storage.Storage`."""
        for chunk in episode.chunks(index):
            for row in range(len(chunk[_DONE.name])):
                frame = {feature.name: _value(feature, chunk[feature.name][row]) for feature in self._features}
                self._dataset.add_frame(frame | {"task": self._task})
        self._dataset.save_episode()
        return ""

    def close(self) -> None:
        """See `storage.Storage`."""
        self._dataset.finalize()


def require_lerobot(rate_hz: float, task: str) -> Any:
    """LeRobot's class of data sets, for settings that it can hold.

    Args:
        rate_hz: Steps a second.
        task: What the recordings show.

    Raises:
        InvalidValueError: If the rate is no whole number, or the task is empty.
        MissingDependencyError: If LeRobot is not installed.
    """
    if rate_hz != round(rate_hz):
        raise InvalidValueError(f"rate_hz: LeRobot counts whole frames a second, got {rate_hz}")
    if not task:
        raise InvalidValueError("task: LeRobot needs a description of what the recordings show")
    try:
        return importlib.import_module("lerobot.datasets.lerobot_dataset").LeRobotDataset
    except ImportError as error:
        raise MissingDependencyError(
            f"LeRobot is not installed ({error}); install it with: pip install 'lerobot[dataset]'"
        ) from error


def _description(feature: Feature) -> dict[str, Any]:
    if is_picture(feature):
        return {"dtype": "image", "shape": feature.shape, "names": _PICTURE_AXES}
    names = list(feature.names) if len(feature.names) == (feature.shape or (1,))[0] else None
    return {"dtype": _dtype(feature), "shape": feature.shape or (1,), "names": names}


def _dtype(feature: Feature) -> str:
    return "float32" if feature.dtype == "float64" else feature.dtype


def _value(feature: Feature, value: Any) -> Any:
    if is_picture(feature):
        return np.array(value)
    return np.asarray(value, _dtype(feature)).reshape(feature.shape or (1,))
