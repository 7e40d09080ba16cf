"""Detections with known truth, frame by frame, and what the tracker makes of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.latency import Latency, latency_of
from robot_vision.evaluation.tracking import TrackingMetrics, tracking_metrics
from robot_vision.params import TrackerParams
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Float32Array


@dataclass(frozen=True, eq=False)
class TrackingFrame:
    """One frame of a sequence.

    Attributes:
        stamp_ns: Time of the frame in ns.
        detections: What the tracker is given.
        truth: What is there; ignored are objects that need not be followed, such as hidden ones.
        bystanders_xyxy: (K, 4) float32, corners in pixels of other things, as in `tracking_metrics`.
    """

    stamp_ns: int
    detections: Detections
    truth: LabelledBoxes
    bystanders_xyxy: Float32Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True, eq=False)
class TrackingSequence:
    """Frames of one camera in order of time.

    Attributes:
        name: What it is called in tables.
        frames: The frames.
    """

    name: str
    frames: tuple[TrackingFrame, ...]

    def thinned(self, step: int) -> TrackingSequence:
        """Every `step`-th frame with its stamp, from the first; the name tells the step.

        Raises:
            EvaluationError: If the step is not positive.
        """
        if step < 1:
            raise EvaluationError(f"every {step}th frame of {self.name} cannot be taken; the step is at least 1")
        return self if step == 1 else TrackingSequence(f"{self.name}/{step}", self.frames[::step])


@dataclass(frozen=True)
class SequenceFigures:
    """What the tracker is worth on one sequence.

    Attributes:
        name: The sequence's.
        metrics: Accuracy of the confirmed tracks.
        update: Duration of `Tracker.update`.
    """

    name: str
    metrics: TrackingMetrics
    update: Latency


def evaluate_sequence(sequence: TrackingSequence, params: TrackerParams) -> SequenceFigures:
    """Follow the detections of a sequence and compare the confirmed tracks with the truth.

    Args:
        sequence: The sequence.
        params: The tracker's settings.

    Returns:
        Accuracy and durations.

    Raises:
        EvaluationError: If there is no frame, no object to follow, or an id appears twice in a frame.
    """
    if not sequence.frames:
        raise EvaluationError(f"{sequence.name}: no frame is left to track on")
    tracker, followed, durations_ns = Tracker(params), [], []
    for frame in sequence.frames:
        started_ns = time.perf_counter_ns()
        tracks = tracker.update(frame.detections, frame.stamp_ns)
        durations_ns.append(time.perf_counter_ns() - started_ns)
        followed.append(tracks.confirmed())
    truth, bystanders = zip(*((frame.truth, frame.bystanders_xyxy) for frame in sequence.frames), strict=True)
    try:
        metrics = tracking_metrics(truth, followed, bystanders)
    except EvaluationError as error:
        raise EvaluationError(f"{sequence.name}: {error}") from error
    return SequenceFigures(sequence.name, metrics, latency_of(durations_ns))


def mean_hota(figures: Sequence[SequenceFigures]) -> float:
    """Mean HOTA of sequences that count the same however long they are."""
    return float(np.mean([entry.metrics.hota for entry in figures]))
