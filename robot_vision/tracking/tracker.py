"""The tracker: detections of each frame to tracks with identities, velocities and lifetimes in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from robot_vision.geometry import cxcywh_to_xyxy, iou_matrix, xyxy_to_cxcywh
from robot_vision.params import TrackerParams
from robot_vision.tracking.association import assign, same_class
from robot_vision.tracking.kalman import BoxStates
from robot_vision.types import Detections, Float32Array, Float64Array, Int64Array, Tracks, TrackState

FIRST_IOU, SECOND_IOU = 0.2, 0.5
SCORE_WEIGHT = 0.6
"""Share of the first association's similarity that is multiplied by the detection's score (BoT-SORT, arXiv 2206.14651)."""
OTHER_CLASS_FACTOR = 0.5
"""A detection of another class is a worse match, not an impossible one: detectors confuse classes for a frame or two."""
DUPLICATE_IOU = 0.6


@dataclass
class _Book:
    """What is known of each live track besides its filter state; arrays of length N, class_votes (N, C)."""

    ids: Int64Array
    scores: Float32Array
    confirmed: npt.NDArray[np.bool_]
    first_ns: Int64Array
    seen_ns: Int64Array
    class_votes: Float64Array

    def select(self, index: npt.NDArray[np.bool_]) -> _Book:
        return _Book(**{entry.name: getattr(self, entry.name)[index] for entry in fields(self)})

    def joined(self, other: _Book) -> _Book:
        return _Book(**{e.name: np.concatenate([getattr(self, e.name), getattr(other, e.name)]) for e in fields(self)})


class Tracker:
    """Follows objects from frame to frame.

    Two associations a frame after ByteTrack (Zhang et al., arXiv 2110.06864): strong detections with all tracks, then
    weak ones with the tracks that are left, so that an object that is half hidden keeps its identity. Time passes by
    stamps: frames may come at any rate, and a frame without detections ages the tracks as any other. A stamp before the
    last one ends all tracks. Identities belong to the instance and are never used again, not even after `reset`.

    Attributes:
        params: Settings; may be replaced between two updates.
        dropped_boxes: Detections left out so far because a coordinate or score was not finite or the box had no area.
    """

    def __init__(self, params: TrackerParams) -> None:
        """Start without tracks.

        Args:
            params: Settings.
        """
        self.params = params
        self.dropped_boxes = 0
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """End all tracks; identities go on counting."""
        self._states = BoxStates(*(np.zeros((0, 4)) for _ in range(5)))
        i64 = np.int64
        self._book = _Book(
            np.zeros(0, i64), np.zeros(0, np.float32), np.zeros(0, np.bool_), np.zeros(0, i64), np.zeros(0, i64),
            np.zeros((0, 0)),
        )  # fmt: skip
        self._stamp_ns: int | None = None

    def update(self, detections: Detections, stamp_ns: int) -> Tracks:
        """Take one frame into account.

        Args:
            detections: What was found, also when empty; in source pixels.
            stamp_ns: Capture time in integer nanoseconds.

        Returns:
            All live tracks: tentative, confirmed (seen in this frame) and lost (confirmed earlier, not seen in this frame),
            at this frame's time.
        """
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            self.reset()
        detections = self._usable(detections)
        if self._stamp_ns is not None:
            self._states = self._states.predicted((stamp_ns - self._stamp_ns) / 1e9)
        self._stamp_ns = stamp_ns
        self._grow_votes(detections)
        free = self._match(detections, stamp_ns)
        self._end(stamp_ns)
        self._start(detections, free, stamp_ns)
        return self._tracks(self._states, stamp_ns)

    def predict(self, stamp_ns: int) -> Tracks:
        """Where the tracks will be, without changing them.

        Args:
            stamp_ns: Time at or after the last update, in integer nanoseconds; an earlier time counts as the last update.

        Returns:
            All live tracks at that time.
        """
        elapsed_ns = max(0, stamp_ns - self._stamp_ns) if self._stamp_ns is not None else 0
        return self._tracks(self._states.predicted(elapsed_ns / 1e9), (self._stamp_ns or 0) + elapsed_ns)

    def _usable(self, detections: Detections) -> Detections:
        boxes = detections.boxes_xyxy
        good = np.isfinite(boxes).all(axis=1) & np.isfinite(detections.scores)
        good &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        self.dropped_boxes += int(len(good) - good.sum())
        return detections if good.all() else detections.select(good)

    def _grow_votes(self, detections: Detections) -> None:
        votes = self._book.class_votes
        classes = int(detections.class_ids.max(initial=-1)) + 1
        if classes > votes.shape[1]:
            self._book.class_votes = np.pad(votes, ((0, 0), (0, classes - votes.shape[1])))

    def _match(self, detections: Detections, stamp_ns: int) -> Int64Array:
        """Associate; returns the strong detections that are left."""
        params, book = self.params, self._book
        scores = detections.scores
        strong = np.flatnonzero(scores >= params.high_threshold)
        weak = np.flatnonzero((scores >= params.low_threshold) & (scores < params.high_threshold))
        tracks = np.arange(len(book.ids))
        fused = 1 - SCORE_WEIGHT + SCORE_WEIGHT * scores[strong].astype(np.float64)
        first = assign(self._similarity(detections, tracks, strong) * fused, FIRST_IOU)
        left = np.setdiff1d(np.flatnonzero(book.confirmed), first[0])
        second = assign(self._similarity(detections, left, weak), SECOND_IOU)
        rows = np.concatenate([first[0], left[second[0]]])
        found = np.concatenate([strong[first[1]], weak[second[1]]])
        self._take(detections, rows, found, stamp_ns)
        return np.delete(strong, first[1])

    def _similarity(self, detections: Detections, rows: Int64Array, found: Int64Array) -> Float64Array:
        boxes_xyxy = cxcywh_to_xyxy(self._states.boxes_cxcywh[rows])
        iou = iou_matrix(boxes_xyxy, detections.boxes_xyxy[found].astype(np.float64))
        same = same_class(self._classes()[rows], detections.class_ids[found])
        return np.where(same, iou, OTHER_CLASS_FACTOR * iou)

    def _take(self, detections: Detections, rows: Int64Array, found: Int64Array, stamp_ns: int) -> None:
        book = self._book
        self._states.correct(rows, xyxy_to_cxcywh(detections.boxes_xyxy[found].astype(np.float64)))
        book.scores[rows] = detections.scores[found]
        book.seen_ns[rows] = stamp_ns
        book.class_votes[rows, detections.class_ids[found]] += detections.scores[found]
        book.confirmed[rows] |= stamp_ns - book.first_ns[rows] >= self.params.confirm_time * 1e9

    def _end(self, stamp_ns: int) -> None:
        book = self._book
        unseen_ns = stamp_ns - book.seen_ns
        alive = np.where(book.confirmed, unseen_ns <= self.params.lost_time * 1e9, unseen_ns == 0)
        if not alive.all():
            self._book, self._states = book.select(alive), self._states.select(alive)

    def _start(self, detections: Detections, free: Int64Array, stamp_ns: int) -> None:
        free = free[detections.scores[free] >= self.params.new_track_threshold]
        seen = self._book.seen_ns == stamp_ns
        if free.size and seen.any():
            boxes_xyxy = cxcywh_to_xyxy(self._states.boxes_cxcywh[seen])
            overlap = iou_matrix(detections.boxes_xyxy[free].astype(np.float64), boxes_xyxy)
            same = same_class(detections.class_ids[free], self._classes()[seen])
            free = free[np.where(same, overlap, 0).max(axis=1) < DUPLICATE_IOU]
        count = len(free)
        if count == 0:
            return
        votes = np.zeros((count, self._book.class_votes.shape[1]))
        votes[np.arange(count), detections.class_ids[free]] = detections.scores[free]
        stamps = np.full(count, stamp_ns, np.int64)
        self._book = self._book.joined(
            _Book(
                np.arange(self._next_id, self._next_id + count), detections.scores[free],
                np.full(count, self.params.confirm_time <= 0), stamps, stamps.copy(), votes,
            )
        )  # fmt: skip
        self._next_id += count
        boxes_cxcywh = xyxy_to_cxcywh(detections.boxes_xyxy[free].astype(np.float64))
        self._states = self._states.joined(BoxStates.first_seen(boxes_cxcywh))

    def _classes(self) -> Int64Array:
        votes = self._book.class_votes
        return votes.argmax(axis=1) if votes.shape[1] else np.zeros(len(votes), np.int64)

    def _tracks(self, states: BoxStates, stamp_ns: int) -> Tracks:
        book = self._book
        seen = book.seen_ns == (self._stamp_ns or 0)
        confirmed_state = np.where(seen, TrackState.CONFIRMED, TrackState.LOST)
        covariances = np.zeros((len(book.ids), 4, 4), np.float32)
        covariances[:, np.arange(4), np.arange(4)] = states.p11
        return Tracks(
            ids=book.ids.copy(),
            boxes_xyxy=cxcywh_to_xyxy(states.boxes_cxcywh).astype(np.float32),
            scores=book.scores.copy(),
            class_ids=self._classes(),
            states=np.where(book.confirmed, confirmed_state, TrackState.TENTATIVE).astype(np.int64),
            velocities_xy=states.velocities[:, :2].astype(np.float32),
            ages_s=((stamp_ns - book.first_ns) / 1e9).astype(np.float32),
            times_since_seen_s=((stamp_ns - book.seen_ns) / 1e9).astype(np.float32),
            covariances=covariances,
        )
