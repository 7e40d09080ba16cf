"""Multi-object tracker: detections of one camera in, objects with lasting ids out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.params import TrackerParams
from robot_vision.tracking.appearance import blended, checked_embeddings, compare, mean_cosine
from robot_vision.tracking.association import Pairs, corners, overlapping_pairs, overlaps
from robot_vision.tracking.detections import Observations, observe
from robot_vision.tracking.kalman import SMALLEST_SIZE, BoxFilter, NoiseModel
from robot_vision.tracking.matching import Match, match
from robot_vision.tracking.motion import estimate_shift
from robot_vision.tracking.similarity import checked_similarity, moved, moved_boxes
from robot_vision.tracking.table import TrackTable
from robot_vision.types import Detections, Float32Array, Float64Array, Int64Array, Tracks, TrackState

_DETECTION_WEIGHT: Float64Array = np.array(0.8)
"""Share of the detection in the box that is given out for a track seen in this frame; the rest is the filter's."""

_SHIFT_DETECTIONS = 64
"""Best detections from which the camera's motion is estimated; more do not make it better, only slower."""

_CAMERA_MEMORY = 0.3
"""Time constant in seconds of the camera's velocity."""

_AT_REST: Float64Array = np.eye(2, 3)
"""The camera motion that moves nothing."""

_COVERED = 0.5
"""Share of a track's box covered by one track in view from which it counts as hidden."""


# NumPy takes several times as long with a member of an enumeration.
_TENTATIVE, _CONFIRMED, _LOST = int(TrackState.TENTATIVE), int(TrackState.CONFIRMED), int(TrackState.LOST)


class Tracker:
    """Follows objects from frame to frame.

    Per frame: predict every track (`kalman.py`), remove the motion of the camera, as far as it is told (by the robot or
    `camera_motion.py`) and what is left of it from boxes (`motion.py`), match detections with tracks in two stages
    (`matching.py`), by their looks too where these are known (`appearance.py`), update, confirm, end and start tracks.

    Times are seconds from stamps, never frame counts, so frames may come at any rate, also a changing one. Update on
    every frame, also on one without detections: that is how tracks age.

    - Ids start at 1, belong to the instance and are never given twice, not even after `reset`.
    - A stamp before the last one (a bag that loops) resets the tracker; an equal stamp is a frame after no time, in
      which a track can be lost but not end.
    - A track unseen for longer than `lost_time` ends, so after a longer gap every object gets a new id.
    - A detection of score `confirm_threshold` or more confirms a track at once, others by lasting for `confirm_time`;
      an unconfirmed track that is not seen again in the next frame was a false alarm and ends.
    - The order of the detections has no influence.

    Attributes:
        params: Settings; may be replaced between updates.
        dropped_boxes: Malformed detections ignored so far (see `detections.observe`).
        resets: Times that a stamp before the last one ended all tracks.
    """

    def __init__(self, params: TrackerParams) -> None:
        self.params = params
        self.dropped_boxes = 0
        self.resets = 0
        self._filter = BoxFilter(NoiseModel())
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget every track; ids go on counting, so that no consumer sees one twice."""
        self._table = TrackTable()
        self._states: Int64Array = np.zeros(0, np.int64)
        self._camera_rate = np.zeros((2, 3))
        self._strangers = 0.0
        self._start_ns = 0
        self._last_ns: int | None = None

    def update(
        self,
        detections: Detections,
        stamp_ns: int,
        camera_motion: npt.NDArray[Any] | None = None,
        embeddings: npt.NDArray[Any] | None = None,
    ) -> Tracks:
        """Take in one frame.

        Args:
            detections: What was found in the frame, in any order.
            stamp_ns: Time of the frame in ns.
            camera_motion: (2, 3) similarity [[a, -b, x], [b, a, y]] from pixels of the frame before to pixels of this
                one, of what rests in the world; None if not known. With it the tracks move before they are matched, and
                their velocities in the filter are relative to the background; those given out are in the image.
            embeddings: (N, D) floats, what each detection looks like: rows of unit length, or of zeros where that is
                not known; None if no look is known. D stays the same until `reset`.

        Returns:
            All live tracks, tentative and lost ones too. The box of a track seen in this frame is mostly its
            detection's, that of any other is predicted.

        Raises:
            InvalidValueError: If the camera motion is no similarity, or the embeddings are not such; nothing has been
                changed then.
        """
        motion = _AT_REST if camera_motion is None else checked_similarity(camera_motion)
        looks = None
        if embeddings is not None:
            looks = checked_embeddings(embeddings, len(detections), self._table.dimensions)
        seconds = self._advance(stamp_ns)
        now = (stamp_ns - self._start_ns) * 1e-9
        observations, malformed = observe(detections, self.params.low_threshold, self.params.high_threshold)
        self.dropped_boxes += malformed
        self._end_lost(now)
        if len(self._table):
            self._table.set_moments(self._filter.predict(self._table.moments, seconds))
            self._follow(motion)
        pairs = self._overlaps(observations, seconds, motion)
        self._continue_and_start(observations, pairs, now, None if looks is None else looks[observations.places])
        self._states = self._judge(now)
        return self._tracks(self._table.moments, 0.0)

    def predict(self, stamp_ns: int) -> Tracks:
        """Where the tracks are at another time, without changing them: latency compensation for control.

        Args:
            stamp_ns: Time in ns; one before the last update counts as that update's.

        Returns:
            The tracks of the last update in their states, with boxes, covariances and times moved to that time.
        """
        if self._last_ns is None:
            return Tracks.empty()
        seconds = max(0, stamp_ns - self._last_ns) * 1e-9
        moments = self._filter.predict(self._table.moments, seconds)
        moments[0, :2] += self._camera_velocities(moments) * seconds
        moments[0, 2:] *= math.exp(self._camera_rate[0, 0] * seconds)
        return self._tracks(moments, seconds)

    def _advance(self, stamp_ns: int) -> float:
        """Set the clock; seconds since the last update."""
        if self._last_ns is not None and stamp_ns < self._last_ns:
            self.resets += 1
            self.reset()
        if self._last_ns is None:
            self._start_ns = self._last_ns = stamp_ns
        seconds = (stamp_ns - self._last_ns) * 1e-9
        self._last_ns = stamp_ns
        return seconds

    def _follow(self, motion: Float64Array) -> None:
        """Move the tracks with the background."""
        if motion is not _AT_REST:
            self._table.set_moments(moved(self._table.moments, motion))
            self._table.observed[:] = moved_boxes(self._table.observed, motion)

    def _camera_velocities(self, moments: Float64Array) -> Float64Array:
        """Velocities in pixels per second that the camera gives to things at rest where the tracks are.

        (2, N), or (2, 1) if they are the same everywhere.
        """
        turn, shift = self._camera_rate[:, :2], self._camera_rate[:, 2:]
        return turn.dot(moments[0, :2]) + shift if np.count_nonzero(turn) else shift

    def _overlaps(self, observations: Observations, seconds: float, motion: Float64Array) -> Pairs:
        """Overlaps of tracks and observations, after moving the tracks by what the camera did that no track knew."""
        moments = self._table.moments
        pairs = overlaps(corners(moments[0]), observations.boxes_xyxy)
        measured = observations.boxes_cxcywh[:, : min(observations.sure, _SHIFT_DETECTIONS)]
        shift = estimate_shift(moments[0], measured, pairs)
        shifted = bool(np.count_nonzero(shift))
        if seconds > 0.0:
            change = -math.expm1(-seconds / _CAMERA_MEMORY)
            self._camera_rate *= 1.0 - change
            if shifted or motion is not _AT_REST:
                step = motion - _AT_REST
                step[:, 2] += shift
                self._camera_rate += (change / seconds) * step
        if shifted:
            moments[0, :2] += shift[:, None]
            pairs = overlaps(corners(moments[0]), observations.boxes_xyxy)
        return pairs

    def _continue_and_start(
        self, observations: Observations, pairs: Pairs, now: float, looks: Float32Array | None
    ) -> None:
        """Update the matched tracks, end unproven ones, start new ones; looks (M, D) are the observations'."""
        table = self._table
        tracks, continuing, newcomers = self._matched(observations, pairs, looks)
        count = len(table)
        unmatched = count - len(tracks)
        if len(tracks):
            of_track = np.empty(count, np.int64)
            of_track.fill(-1)
            of_track[tracks] = continuing
            boxes, scores, class_ids = observations.rows(of_track)
            if looks is not None:
                before = table.looks(looks.shape[1])
                unseen = now - table.last_seen[tracks]
                worth = observations.scores[continuing]
                before[tracks] = blended(before[tracks], looks[continuing], worth, unseen)
            updated = self._filter.update(table.moments, boxes, scores)
            table.see(of_track >= 0 if unmatched else None, updated, boxes, scores, class_ids, now)
        else:
            table.lose()
        if unmatched:
            table.keep(table.confirmed | table.in_view)
        if len(newcomers):
            boxes, scores, class_ids = observations.rows(newcomers)
            table.add(self._next_id, self._filter.start(boxes, scores), boxes, scores, class_ids, now)
            self._next_id += len(newcomers)
            if looks is not None:
                table.looks(looks.shape[1])[-len(newcomers) :] = looks[newcomers]

    def _matched(self, observations: Observations, pairs: Pairs, looks: Float32Array | None) -> Match:
        """What continues what, by place and, where looks (M, D) are known, by these."""
        table = self._table
        if looks is None or self.params.appearance_weight == 0.0:
            return match(table, observations, pairs, self.params)
        before = table.looks(looks.shape[1])
        self._strangers = mean_cosine(before, otherwise=self._strangers)
        known = compare(before, table.moments, table.confirmed, observations, looks, pairs, self._strangers)
        return match(table, observations, known.pairs, self.params, known)

    def _end_lost(self, now: float) -> None:
        """End the tracks that were not seen for too long."""
        last_seen = self._table.last_seen
        if len(last_seen) and now - last_seen[last_seen.argmin()] > self.params.lost_time:
            self._table.keep(now - last_seen <= self.params.lost_time)

    def _judge(self, now: float) -> Int64Array:
        """Confirm what has proven itself; states (N,) of all tracks."""
        table = self._table
        count, seen, confirmed = len(table), table.in_view, table.confirmed
        states = np.empty(count, np.int64)
        states.fill(_CONFIRMED)
        if np.count_nonzero(seen) < count:
            states[~seen] = _LOST
            waiting = (confirmed & ~seen & (now - table.last_seen <= self.params.occlusion_time)).nonzero()[0]
            if len(waiting):
                states[waiting[self._hidden(waiting, seen.nonzero()[0])]] = _CONFIRMED
        if np.count_nonzero(confirmed) < count:
            proven = now - table.first_seen >= self.params.confirm_time
            proven |= table.scores >= self.params.confirm_threshold
            confirmed |= seen & proven
            states[~confirmed] = _TENTATIVE
        return states

    def _hidden(self, waiting: Int64Array, seen: Int64Array) -> npt.NDArray[np.bool_]:
        """Which of the waiting tracks (K,) one of the seen tracks (L,) covers; mask (K,)."""
        table = self._table
        boxes = corners(table.moments[0])
        hidden = np.zeros(len(waiting), bool)
        rows, columns = overlapping_pairs(boxes.take(waiting, axis=1), boxes.take(seen, axis=1))
        if not len(rows):
            return hidden
        behind, front = waiting[rows], seen[columns]
        back, top = boxes.take(behind, axis=1), boxes.take(front, axis=1)
        size = back[2:] - back[:2]
        overlap = np.minimum(back[2:], top[2:]) - np.maximum(back[:2], top[:2])
        covers = overlap[0] * overlap[1] >= _COVERED * (size[0] * size[1])
        # A track that began where this one vanished is this object under a new id, not something in front of it.
        covers &= table.first_seen[front] <= table.last_seen[behind]
        hidden[rows.compress(covers)] = True
        return hidden

    def _tracks(self, moments: Float64Array, ahead: float) -> Tracks:
        """The tracks as a value, for moments (5, 4, N) that lie some seconds ahead of the last update."""
        table = self._table
        assert self._last_ns is not None
        now = (self._last_ns - self._start_ns) * 1e-9
        boxes = moments[0] + (_DETECTION_WEIGHT * table.in_view) * (table.observed - table.moments[0])
        sizes = boxes[2:]
        np.maximum(sizes, SMALLEST_SIZE, out=sizes)
        velocities = moments[1, :2] + self._camera_velocities(moments)
        since = ((now + ahead) - table.seen).astype(np.float32)
        count = len(table)
        covariances = np.zeros((count, 16), np.float32)
        covariances[:, ::5] = moments[2].T
        return Tracks(
            ids=table.ids.copy(),
            boxes_xyxy=corners(boxes).T.astype(np.float32, order="C"),
            scores=table.scores.astype(np.float32),
            class_ids=table.class_ids.copy(),
            states=self._states.copy(),
            velocities_xy=velocities.T.astype(np.float32, order="C"),
            ages_s=since[0],
            times_since_seen_s=since[1],
            covariances=covariances.reshape(count, 4, 4),
        )
