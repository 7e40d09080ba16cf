"""Accuracy of tracks against ground truth: HOTA, MOTA and IDF1.

HOTA: J. Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. MOTA:
K. Bernardin and R. Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008. IDF1:
E. Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016. Where the papers
leave a choice (ties, thresholds, preference for the previous match), TrackEval's is taken, so that figures are
comparable with published ones.

These metrics are computed here because TrackEval's package depends on the OpenCV build with windows, which replaces the
headless one and does not load on a machine without a display, and no other kept package has HOTA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.geometry import iou_matrix
from robot_vision.types import Float32Array, Float64Array, Int64Array

_THRESHOLDS = np.arange(1, 20) / 20
_CLEAR_THRESHOLD = 0.5
_EPSILON = float(np.finfo(np.float64).eps)
# More than any overlap can make up for, so that a match of the frame before is kept.
_CONTINUITY = 1000.0


class TrackedBoxes(Protocol):
    """What a tracker says about one frame; `Tracks` and `LabelledBoxes` are such."""

    @property
    def boxes_xyxy(self) -> Float32Array:
        """(N, 4) float32, corners in source pixels."""

    @property
    def class_ids(self) -> Int64Array:
        """(N,) int64."""

    @property
    def ids(self) -> Int64Array:
        """(N,) int64."""


@dataclass(frozen=True)
class TrackingMetrics:
    """Tracking accuracy over one or more sequences.

    Attributes:
        hota: Higher order tracking accuracy, mean over overlaps 0.05 to 0.95.
        det_a: Its detection part.
        ass_a: Its association part.
        mota: Multiple object tracking accuracy at overlap 0.5.
        idf1: Identity F1 at overlap 0.5.
        id_switches: Times an object is taken over by another track.
        false_positives: Track boxes without an object.
        misses: Objects without a track box.
        truth_boxes: Objects to be found.
        frames: Frames that were compared.
    """

    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    id_switches: int
    false_positives: int
    misses: int
    truth_boxes: int
    frames: int


@dataclass(frozen=True, eq=False)
class _Frame:
    """One frame with identities as dense indices; `overlap` is (objects, tracks)."""

    objects: Int64Array
    tracks: Int64Array
    overlap: Float64Array


def tracking_metrics(
    truth: Sequence[LabelledBoxes],
    found: Sequence[TrackedBoxes],
    bystanders_xyxy: Sequence[Float32Array] | None = None,
) -> TrackingMetrics:
    """Compare tracks with ground truth, frame by frame in order of time.

    Boxes match only within one class. A track box that best fits an ignored object is left out.

    Args:
        truth: Ground truth of each frame.
        found: Tracks of the same frames.
        bystanders_xyxy: Corners (K, 4) float32 of other things in each frame, of any class: a track box that best fits
            one of them is not left out for the ignored object beside it. None if there are no such things.

    Returns:
        The metrics.

    Raises:
        EvaluationError: If the numbers of frames differ, an id appears twice in a frame, or there is nothing to find.
    """
    others = bystanders_xyxy if bystanders_xyxy is not None else [np.zeros((0, 4), np.float32)] * len(truth)
    for name, count in (("tracks", len(found)), ("bystanders", len(others))):
        if count != len(truth):
            raise EvaluationError(f"ground truth has {len(truth)} frames and the {name} {count}; compare the same ones")
    frames, object_count, track_count = _indexed(
        [_compared(index, *frame) for index, frame in enumerate(zip(truth, found, others, strict=True))]
    )
    if not object_count:
        raise EvaluationError("the ground truth holds no object in any frame, so tracking accuracy is not defined")
    object_frames = _frame_counts([frame.objects for frame in frames], object_count)
    track_frames = _frame_counts([frame.tracks for frame in frames], track_count)
    hota, det_a, ass_a = _hota(frames, object_frames, track_frames)
    hits, switches = _clear(frames, object_count)
    misses, false_positives = int(object_frames.sum()) - hits, int(track_frames.sum()) - hits
    return TrackingMetrics(
        hota=hota,
        det_a=det_a,
        ass_a=ass_a,
        mota=(hits - false_positives - switches) / int(object_frames.sum()),
        idf1=_idf1(frames, object_frames, track_frames),
        id_switches=switches,
        false_positives=false_positives,
        misses=misses,
        truth_boxes=int(object_frames.sum()),
        frames=len(frames),
    )


def _compared(index: int, truth: LabelledBoxes, found: TrackedBoxes, others_xyxy: Float32Array) -> _Frame:
    """Overlaps of one frame without ignored objects and the track boxes that belong to them."""
    for name, ids in (("ground truth", truth.ids), ("tracks", found.ids)):
        if len(np.unique(ids)) != len(ids):
            raise EvaluationError(f"frame {index} of the {name}: an id appears twice in {np.sort(ids).tolist()}")
    boxes = found.boxes_xyxy.astype(np.float64)
    overlap = iou_matrix(truth.boxes_xyxy.astype(np.float64), boxes)
    overlap = np.where(truth.class_ids[:, None] == found.class_ids[None], overlap, 0.0)
    kept = np.ones(len(found.ids), np.bool_)
    if truth.ignored.any():
        everything = np.concatenate([overlap, iou_matrix(others_xyxy.astype(np.float64), boxes)])
        rows, columns = _assignment(np.where(everything >= _CLEAR_THRESHOLD - _EPSILON, everything, 0.0))
        ignored = np.concatenate([truth.ignored, np.zeros(len(others_xyxy), np.bool_)])
        kept[columns[ignored[rows]]] = False
    return _Frame(truth.ids[~truth.ignored], found.ids[kept], overlap[~truth.ignored][:, kept])


def _indexed(frames: list[_Frame]) -> tuple[list[_Frame], int, int]:
    objects = np.unique(np.concatenate([frame.objects for frame in frames] or [np.zeros(0, np.int64)]))
    tracks = np.unique(np.concatenate([frame.tracks for frame in frames] or [np.zeros(0, np.int64)]))
    dense = [
        _Frame(np.searchsorted(objects, frame.objects), np.searchsorted(tracks, frame.tracks), frame.overlap)
        for frame in frames
    ]
    return dense, len(objects), len(tracks)


def _frame_counts(indices: list[Int64Array], length: int) -> Int64Array:
    return np.bincount(np.concatenate(indices), minlength=length)


def _assignment(score: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Pairs of the largest total score; pairs without any score are left out."""
    rows, columns = linear_sum_assignment(score, maximize=True)
    useful = score[rows, columns] > _EPSILON
    return rows[useful], columns[useful]


def _hota(frames: list[_Frame], object_frames: Int64Array, track_frames: Int64Array) -> tuple[float, float, float]:
    alignment = _global_alignment(frames, object_frames, track_frames)
    objects, tracks, overlaps = [], [], []
    for frame in frames:
        rows, columns = linear_sum_assignment(
            alignment[frame.objects[:, None], frame.tracks[None]] * frame.overlap, maximize=True
        )
        objects.append(frame.objects[rows])
        tracks.append(frame.tracks[columns])
        overlaps.append(frame.overlap[rows, columns])
    pairs = np.concatenate(objects) * np.int64(max(1, len(track_frames))) + np.concatenate(tracks)
    overlap = np.concatenate(overlaps)
    total = int(object_frames.sum() + track_frames.sum())
    det_a, ass_a = np.zeros(len(_THRESHOLDS)), np.zeros(len(_THRESHOLDS))
    for index, threshold in enumerate(_THRESHOLDS):
        matched, times = np.unique(pairs[overlap >= threshold - _EPSILON], return_counts=True)
        hits = int(times.sum())
        if hits:
            owners = object_frames[matched // len(track_frames)] + track_frames[matched % len(track_frames)]
            det_a[index] = hits / (total - hits)
            ass_a[index] = float(np.sum(times * (times / (owners - times)))) / hits
    return float(np.mean(np.sqrt(det_a * ass_a))), float(det_a.mean()), float(ass_a.mean())


def _global_alignment(frames: list[_Frame], object_frames: Int64Array, track_frames: Int64Array) -> Float64Array:
    """How well each object and track fit together over the whole sequence, (objects, tracks)."""
    together = np.zeros((len(object_frames), len(track_frames)))
    for frame in frames:
        rivals = frame.overlap.sum(0)[None] + frame.overlap.sum(1)[:, None] - frame.overlap
        share = np.divide(frame.overlap, rivals, out=np.zeros_like(rivals), where=rivals > _EPSILON)
        together[frame.objects[:, None], frame.tracks[None]] += share
    return together / (object_frames[:, None] + track_frames[None] - together)


def _clear(frames: list[_Frame], object_count: int) -> tuple[int, int]:
    """Matched boxes and identity switches of CLEAR MOT."""
    last_track = np.full(object_count, -1)
    track_before = np.full(object_count, -1)
    hits = switches = 0
    for frame in frames:
        continues = track_before[frame.objects][:, None] == frame.tracks[None]
        score = np.where(frame.overlap >= _CLEAR_THRESHOLD - _EPSILON, frame.overlap + _CONTINUITY * continues, 0.0)
        rows, columns = _assignment(score)
        objects, tracks = frame.objects[rows], frame.tracks[columns]
        hits += len(rows)
        switches += int(np.sum((last_track[objects] >= 0) & (last_track[objects] != tracks)))
        last_track[objects] = tracks
        track_before[:] = -1
        track_before[objects] = tracks
    return hits, switches


def _idf1(frames: list[_Frame], object_frames: Int64Array, track_frames: Int64Array) -> float:
    """Share of boxes that are right under the best one-to-one mapping of objects to tracks."""
    together = np.zeros((len(object_frames), len(track_frames)))
    for frame in frames:
        rows, columns = np.nonzero(frame.overlap >= _CLEAR_THRESHOLD)
        np.add.at(together, (frame.objects[rows], frame.tracks[columns]), 1)
    rows, columns = linear_sum_assignment(together, maximize=True)
    return float(2 * together[rows, columns].sum() / (object_frames.sum() + track_frames.sum()))
