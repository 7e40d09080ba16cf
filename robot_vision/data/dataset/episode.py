"""Episodes on their way from a bag to a data set: on disk column by column, so that their length does not matter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.data.dataset.columns import Feature
from robot_vision.data.dataset.schema import DERIVED, TIME

Columns = Mapping[str, npt.NDArray[Any]]

_CHUNK_BYTES = 16_000_000
_MOST_ROWS = 4096


@dataclass(frozen=True)
class Episode:
    """A finished episode in a folder, one file of raw values a column.

    Attributes:
        folder: Where the files are.
        features: The columns.
        steps: Number of steps.
        first_ns: Time of the first step.
        last_ns: Time of the last step.
        ended_by: Why there is no next step.
    """

    folder: Path
    features: tuple[Feature, ...]
    steps: int
    first_ns: int
    last_ns: int
    ended_by: str

    def rows(self, feature: Feature, start: int, stop: int) -> npt.NDArray[Any]:
        """Some values of a column.

        Args:
            feature: One of `features`.
            start: First row.
            stop: Row after the last one.

        Returns:
            (stop - start, *shape) array.
        """
        size, dtype = math.prod(feature.shape), np.dtype(feature.dtype)
        path, offset = self.folder / feature.name, start * size * dtype.itemsize
        return np.fromfile(path, dtype, (stop - start) * size, offset=offset).reshape(stop - start, *feature.shape)

    def derived(self, index: int) -> dict[str, npt.NDArray[Any]]:
        """The columns of `DERIVED`.

        Args:
            index: Number of the episode in the data set.

        Returns:
            (steps,) arrays by name.
        """
        frames = np.arange(self.steps, dtype=np.int64)
        seconds = (self.rows(TIME, 0, self.steps) - self.first_ns) / 1e9
        values = (seconds, frames, np.full(self.steps, index, np.int64), frames == self.steps - 1)
        return {feature.name: value for feature, value in zip(DERIVED, values, strict=True)}

    def chunks(self, index: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """The episode in pieces of limited size.

        Args:
            index: Number of the episode in the data set.

        Yields:
            Some rows of all columns, in order.
        """
        derived = self.derived(index)
        row_bytes = sum(math.prod(entry.shape) * np.dtype(entry.dtype).itemsize for entry in self.features)
        size = max(1, min(_MOST_ROWS, _CHUNK_BYTES // row_bytes))
        for start in range(0, self.steps, size):
            stop = min(start + size, self.steps)
            chunk = {entry.name: self.rows(entry, start, stop) for entry in self.features}
            yield {name: array[start:stop] for name, array in derived.items()} | chunk


class EpisodeWriter:
    """An episode that grows.

    Args:
        folder: Folder to create.
        features: The columns.
    """

    def __init__(self, folder: Path, features: Sequence[Feature]) -> None:
        folder.mkdir(parents=True)
        self._folder, self._features = folder, tuple(features)
        self._times_ns: list[int] = []
        with ExitStack() as stack:
            self._files = {entry.name: stack.enter_context((folder / entry.name).open("wb")) for entry in features}
            self._stack = stack.pop_all()

    def append(self, values: Columns) -> None:
        """Add a step.

        Args:
            values: One array a feature, of its dtype and shape.
        """
        for feature in self._features:
            self._files[feature.name].write(np.ascontiguousarray(values[feature.name]).tobytes())
        self._times_ns.append(int(values[TIME.name]))

    def finish(self, ended_by: str) -> Episode:
        """Close the files.

        Args:
            ended_by: Why there is no next step.

        Returns:
            The episode.
        """
        self.close()
        times = self._times_ns
        return Episode(self._folder, self._features, len(times), times[0], times[-1], ended_by)

    def close(self) -> None:
        """Close the files of an episode that is given up."""
        self._stack.close()
