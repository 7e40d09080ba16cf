"""All live tracks of one tracker as a struct of arrays: a column a track."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robot_vision.tracking import classes
from robot_vision.types import Float32Array, Float64Array, Int64Array

_MOMENTS = slice(0, 20)
_VELOCITY = slice(4, 6)
_OBSERVED = slice(20, 24)
_FIRST, _SEEN, _SCORE = 24, 25, 26
_WEIGHTS = slice(27, 27 + classes.SLOTS)
_ID = 0
_CANDIDATES = slice(1, 1 + classes.SLOTS)
_CONFIRMED, _IN_VIEW = 0, 1


class TrackTable:
    """Live tracks; the properties are views, so that assigning to their elements changes the table.

    Three blocks hold everything, one of floats, one of integers and one of flags: adding and removing tracks costs
    three copies, whatever the number of fields.
    """

    def __init__(self) -> None:
        self._floats: Float64Array = np.zeros((_WEIGHTS.stop, 0))
        self._integers: Int64Array = np.zeros((_CANDIDATES.stop, 0), np.int64)
        self._flags: npt.NDArray[np.bool_] = np.zeros((2, 0), bool)
        self._looks: Float32Array | None = None

    def __len__(self) -> int:
        return len(self._floats[0])

    @property
    def moments(self) -> Float64Array:
        """(5, 4, N) moments of the Kalman filter."""
        return self._floats[_MOMENTS].reshape(5, 4, -1)

    @property
    def velocities_xy(self) -> Float64Array:
        """(2, N) velocity of the centre in pixels per second, without what the camera's motion adds."""
        velocities_xy: Float64Array = self._floats[_VELOCITY]
        return velocities_xy

    @property
    def observed(self) -> Float64Array:
        """(4, N) cx, cy, w, h of the detection last matched, in pixels."""
        observed: Float64Array = self._floats[_OBSERVED]
        return observed

    @property
    def seen(self) -> Float64Array:
        """(2, N) times of the first detection and of the one last matched, in seconds of the tracker's clock."""
        seen: Float64Array = self._floats[_FIRST : _SEEN + 1]
        return seen

    @property
    def first_seen(self) -> Float64Array:
        """(N,) time of the first detection, in seconds of the tracker's clock."""
        first_seen: Float64Array = self._floats[_FIRST]
        return first_seen

    @property
    def last_seen(self) -> Float64Array:
        """(N,) time of the detection last matched, in seconds of the tracker's clock."""
        last_seen: Float64Array = self._floats[_SEEN]
        return last_seen

    @property
    def scores(self) -> Float64Array:
        """(N,) score of the detection last matched."""
        scores: Float64Array = self._floats[_SCORE]
        return scores

    @property
    def confirmed(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the track has been confirmed; for the rest of its life."""
        confirmed: npt.NDArray[np.bool_] = self._flags[_CONFIRMED]
        return confirmed

    @property
    def in_view(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a detection was matched since `begin_frame`, also where stamps stand still."""
        in_view: npt.NDArray[np.bool_] = self._flags[_IN_VIEW]
        return in_view

    @property
    def ids(self) -> Int64Array:
        """(N,) ids."""
        ids: Int64Array = self._integers[_ID]
        return ids

    @property
    def class_ids(self) -> Int64Array:
        """(N,) class with the most votes."""
        class_ids: Int64Array = self._integers[_CANDIDATES.start]
        return class_ids

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

    def begin_frame(self) -> None:
        """Take every track for out of view until `see` or `add` says otherwise."""
        self._flags[_IN_VIEW] = False

    def set_moments(self, moments: Float64Array) -> None:
        """Replace the moments of all tracks.

        Args:
            moments: (5, 4, N) float64.
        """
        self._floats[_MOMENTS] = moments.reshape(20, -1)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Remove the tracks outside a mask.

        Args:
            mask: (N,) bool.
        """
        # Indexing would leave columns side by side in memory, in which order every later operation is slower.
        self._floats = self._floats.compress(mask, axis=1)
        self._integers = self._integers.compress(mask, axis=1)
        self._flags = self._flags.compress(mask, axis=1)
        if self._looks is not None:
            self._looks = self._looks[mask]

    def see(
        self, mask: npt.NDArray[np.bool_], moments: Float64Array, boxes_cxcywh: Float64Array, scores: Float64Array,
        class_ids: Int64Array, now: float,
    ) -> None:  # fmt: skip
        """Write what one matched detection a track brought.

        Args:
            mask: (N,) bool, tracks that have one; what the other arguments say of the rest is left out.
            moments: (5, 4, N) float64 updated moments.
            boxes_cxcywh: (4, N) float64 matched boxes in pixels.
            scores: (N,) float64.
            class_ids: (N,) int64.
            now: Time in seconds of the tracker's clock.
        """
        everything = np.count_nonzero(mask) == len(mask)
        floats, integers = self._floats, self._integers
        if not everything:
            floats, integers = floats.copy(), integers.copy()
        floats[_MOMENTS] = moments.reshape(20, -1)
        floats[_OBSERVED] = boxes_cxcywh
        floats[_SEEN] = now
        floats[_SCORE] = scores
        classes.add_votes(integers[_CANDIDATES], floats[_WEIGHTS], class_ids, scores)
        if not everything:
            np.copyto(self._floats, floats, where=mask)
            np.copyto(self._integers, integers, where=mask)
        self._flags[_IN_VIEW] = mask

    def add(
        self, first_id: int, moments: Float64Array, boxes_cxcywh: Float64Array, scores: Float64Array,
        class_ids: Int64Array, now: float,
    ) -> None:  # fmt: skip
        """Append new, unconfirmed tracks with consecutive ids.

        Args:
            first_id: Id of the first of them.
            moments: (4, 5, K) float64.
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
        floats[_FIRST] = floats[_SEEN] = now
        floats[_SCORE] = scores
        integers[_ID] = np.arange(first_id, first_id + count)
        integers[_CANDIDATES], floats[_WEIGHTS] = classes.start_votes(class_ids, scores)
        self._floats = np.concatenate([self._floats, floats], axis=1)
        self._integers = np.concatenate([self._integers, integers], axis=1)
        self._flags = np.concatenate([self._flags, np.repeat([[False], [True]], count, axis=1)], axis=1)
        if self._looks is not None:
            self._looks = np.concatenate([self._looks, np.zeros((count, self.dimensions), np.float32)])
