"""All live tracks of one tracker as a struct of arrays: a column a track."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_vision.tracking import classes
from robot_vision.types import Float32Array, Float64Array, Int64Array

_MOMENTS = slice(0, 20)
_OBSERVED = slice(20, 24)
_SEEN = slice(24, 26)
_SCORE = 26
_WEIGHTS = slice(27, 27 + classes.SLOTS)
_ID = 0
_CANDIDATES = slice(1, 1 + classes.SLOTS)


class TrackTable:
    """Live tracks.

    Three blocks hold everything but looks, one of floats, one of integers and one of flags, so adding and removing
    tracks costs three copies, whatever the number of fields. The attributes are views of them: assigning to their
    elements changes the table, and what was read before tracks were added or removed is of no use afterwards.

    Attributes:
        moments: (5, 4, N) float64 moments of the Kalman filter.
        velocities_xy: (2, N) float64 velocity of the centre in pixels per second, without the camera's.
        observed: (4, N) float64 cx, cy, w, h of the detection last matched, in pixels.
        seen: (2, N) float64 times of the first detection and of the one last matched, seconds of the tracker's clock.
        first_seen: (N,) the first of these.
        last_seen: (N,) the second.
        scores: (N,) float64 score of the detection last matched.
        ids: (N,) int64.
        class_ids: (N,) int64 class with the most votes.
        confirmed: (N,) bool, whether the track has been confirmed, for the rest of its life.
        in_view: (N,) bool, whether a detection was matched in the last frame that `see` or `lose` told of.
    """

    def __init__(self) -> None:
        self._looks: Float32Array | None = None
        self._hold(np.zeros((_WEIGHTS.stop, 0)), np.zeros((_CANDIDATES.stop, 0), np.int64), np.zeros((2, 0), bool))

    def __len__(self) -> int:
        return len(self.scores)

    def _hold(self, floats: Float64Array, integers: Int64Array, flags: npt.NDArray[np.bool_]) -> None:
        """Take new blocks."""
        self._floats, self._integers, self._flags = floats, integers, flags
        self.moments: Float64Array = floats[_MOMENTS].reshape(5, 4, -1)
        self.velocities_xy: Float64Array = self.moments[1, :2]
        self.observed: Float64Array = floats[_OBSERVED]
        self.seen: Float64Array = floats[_SEEN]
        self.first_seen, self.last_seen = self.seen
        self.scores: Float64Array = floats[_SCORE]
        self.ids: Int64Array = integers[_ID]
        self.class_ids: Int64Array = integers[_CANDIDATES.start]
        self.confirmed, self.in_view = flags

    @property
    def dimensions(self) -> int:
        """Length of the tracks' embeddings; 0 before the first."""
        return 0 if self._looks is None else self._looks.shape[1]

    def looks(self, dimensions: int) -> Float32Array:
        """(N, D) embeddings of the tracks, zero where not known.

        Args:
            dimensions: D, always the same.
        """
        if self._looks is None:
            self._looks = np.zeros((len(self), dimensions), np.float32)
        return self._looks

    def lose(self) -> None:
        """Take every track for out of view."""
        self.in_view.fill(False)

    def set_moments(self, moments: Float64Array) -> None:
        """Replace the moments of all tracks.

        Args:
            moments: (5, 4, N) float64.
        """
        self.moments[:] = moments

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Remove the tracks outside a mask.

        Args:
            mask: (N,) bool.
        """
        if np.count_nonzero(mask) == len(mask):
            return
        # Indexing would leave columns side by side in memory, in which order every later operation is slower.
        self._hold(*(block.compress(mask, axis=1) for block in (self._floats, self._integers, self._flags)))
        if self._looks is not None:
            self._looks = self._looks[mask]

    def see(
        self, mask: npt.NDArray[np.bool_] | None, moments: Float64Array, boxes_cxcywh: Float64Array,
        scores: Float64Array, class_ids: Int64Array, now: float,
    ) -> None:  # fmt: skip
        """Write what one matched detection a track brought; tracks without one go out of view.

        Args:
            mask: (N,) bool, tracks that have one, None for all; what the other arguments say of the rest is left out.
            moments: (5, 4, N) float64 updated moments.
            boxes_cxcywh: (4, N) float64 matched boxes in pixels.
            scores: (N,) float64.
            class_ids: (N,) int64.
            now: Time in seconds of the tracker's clock.
        """
        floats, integers = self._floats, self._integers
        if mask is not None:
            floats, integers = floats.copy(), integers.copy()
        floats[_MOMENTS] = moments.reshape(20, -1)
        floats[_OBSERVED] = boxes_cxcywh
        floats[_SEEN.start + 1] = now
        floats[_SCORE] = scores
        classes.add_votes(integers[_CANDIDATES], floats[_WEIGHTS], class_ids, scores)
        if mask is not None:
            np.copyto(self._floats, floats, where=mask)
            np.copyto(self._integers, integers, where=mask)
        self.in_view[:] = True if mask is None else mask

    def add(
        self, first_id: int, moments: Float64Array, boxes_cxcywh: Float64Array, scores: Float64Array,
        class_ids: Int64Array, now: float,
    ) -> None:  # fmt: skip
        """Append new, unconfirmed tracks with consecutive ids.

        Args:
            first_id: Id of the first of them.
            moments: (5, 4, K) float64.
            boxes_cxcywh: (4, K) float64 boxes in pixels.
            scores: (K,) float64.
            class_ids: (K,) int64.
            now: Time in seconds of the tracker's clock.
        """
        count = len(scores)
        floats = np.zeros((_WEIGHTS.stop, count))
        integers = np.empty((_CANDIDATES.stop, count), np.int64)
        floats[_MOMENTS] = moments.reshape(20, -1)
        floats[_OBSERVED] = boxes_cxcywh
        floats[_SEEN] = now
        floats[_SCORE] = scores
        integers[_ID] = np.arange(first_id, first_id + count)
        integers[_CANDIDATES], floats[_WEIGHTS] = classes.start_votes(class_ids, scores)
        flags = np.repeat([[False], [True]], count, axis=1)
        blocks = (self._floats, floats), (self._integers, integers), (self._flags, flags)
        self._hold(*(np.concatenate(block, axis=1) for block in blocks))
        if self._looks is not None:
            self._looks = np.concatenate([self._looks, np.zeros((count, self.dimensions), np.float32)])
