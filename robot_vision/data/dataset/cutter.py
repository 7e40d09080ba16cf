"""Rows of a bag to episodes without a gap."""

from __future__ import annotations

from pathlib import Path

from robot_vision.data.dataset.align import Plan, Row
from robot_vision.data.dataset.episode import Episode, EpisodeWriter
from robot_vision.data.dataset.schema import Schema

_GAP, _END, _NO_SAMPLE = "gap of the reference", "end of the recording", "no usable sample"


class Cutter:
    """Cuts the rows of a bag into episodes.

    Attributes:
        steps: Steps of the plan that are in a finished episode.

    Args:
        folder: Where the episodes' files go.
        schema: Columns of the data set.
        plan: The bag's plan.
    """

    def __init__(self, folder: Path, schema: Schema, plan: Plan) -> None:
        self._folder, self._schema, self._plan = folder, schema, plan
        self._open: EpisodeWriter | None = None
        self._pending: list[int] = []
        self._episodes: list[Episode] = []
        self._begun = 0
        self.steps: list[int] = []

    def take(self, row: Row) -> None:
        """Add a row to the episode, or end it.

        Args:
            row: The next kept step.
        """
        if self._pending and not self._follows(row.step):
            self._end()
        if not self._schema.masked and any(sample is None for sample in row.samples):
            self._end()
            return
        if self._open is None:
            self._open = EpisodeWriter(self._folder / str(self._begun), self._schema.features)
            self._begun += 1
        self._open.append(self._schema.values(self._plan, row))
        self._pending.append(row.step)

    def finish(self) -> list[Episode]:
        """The episodes, after the last row."""
        self._end()
        return self._episodes

    def close(self) -> None:
        """Close the files after an error."""
        if self._open is not None:
            self._open.close()

    def _follows(self, step: int) -> bool:
        last = self._pending[-1]
        return step == last + 1 and bool(self._plan.stretches[step] == self._plan.stretches[last])

    def _end(self) -> None:
        if self._open is None:
            return
        # A single step has no next one to learn from.
        if len(self._pending) > 1:
            self._episodes.append(self._open.finish(self._reason()))
            self.steps += self._pending
        else:
            self._open.close()
        self._open, self._pending = None, []

    def _reason(self) -> str:
        last, stretches = self._pending[-1], self._plan.stretches
        if last + 1 == len(stretches):
            return _END
        return _NO_SAMPLE if stretches[last + 1] == stretches[last] else _GAP
