"""What a run of the pipeline did with a recording: a result bag against its source, matched by exact stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robot_vision.data.bags import BagReader
from robot_vision.data.sources import ImageSource
from robot_vision.data.video import VIDEO_SUFFIXES
from robot_vision.errors import EvaluationError
from robot_vision.evaluation.detection import DetectionMetrics, detection_metrics
from robot_vision.evaluation.ground_truth import (
    LabelledBoxes,
    RecordedArray,
    Vocabulary,
    ground_truth_topic,
    read_arrays,
)
from robot_vision.evaluation.latency import Latency, latency_of
from robot_vision.evaluation.results import RunResults, StageReport, read_results
from robot_vision.evaluation.tracking import TrackingMetrics, tracking_metrics


@dataclass(frozen=True)
class OutputFigures:
    """What came out on one topic.

    Attributes:
        topic: Name in the result bag.
        messages: Number of messages.
        frames: Source frames that have a message with exactly their stamp.
        restamped: Messages whose stamp no source frame has.
        rate_hz: Mean messages a second by the time of recording; 0 with fewer than two.
    """

    topic: str
    messages: int
    frames: int
    restamped: int
    rate_hz: float


@dataclass(frozen=True)
class RunReport:
    """Everything that is known about a run.

    Attributes:
        source: Recording that was played.
        image_topic: Its image topic.
        result: Bag with the outputs.
        source_frames: Images in the recording.
        source_rate_hz: Its mean images a second.
        dropped_frames: Images without detections of their stamp.
        outputs: Figures by output: `detections`, `tracks`, `latent`, as far as the bag has them.
        detected_objects: Boxes in all detections.
        track_ids: Different track ids.
        end_to_end: From the publication of an image to the arrival of a result, by output; empty where the time of
            publication is not known.
        stages: Last diagnostics of each part of the node.
        detection: Accuracy of the detections on the processed frames; None without ground truth.
        tracking: Accuracy of the tracks on the processed frames; None without ground truth.
        truth_topic: Topic of the ground truth; None if the recording has none.
        problems: What must not be; empty after a good run.
    """

    source: str
    image_topic: str
    result: str
    source_frames: int
    source_rate_hz: float
    dropped_frames: int
    outputs: Mapping[str, OutputFigures]
    detected_objects: int
    track_ids: int
    end_to_end: Mapping[str, Latency]
    stages: Sequence[StageReport]
    detection: DetectionMetrics | None
    tracking: TrackingMetrics | None
    truth_topic: str | None
    problems: Sequence[str]


def evaluate_run(
    result_path: str | Path,
    source: ImageSource,
    published_ns: Mapping[int, int] | None = None,
    arrivals_ns: Mapping[str, Mapping[int, int]] | None = None,
    expected: Sequence[str] = ("detections", "tracks", "latent"),
) -> RunReport:
    """Compare the outputs of a run with the recording that was played.

    A live pipeline may drop frames; these are counted, and accuracy is computed on the frames that were processed.

    Args:
        result_path: Bag with the outputs.
        source: The recording; its ground truth is a Detection2DArray topic named `ground_truth`.
        published_ns: Time at which each image was published, by its stamp.
        arrivals_ns: Time at which results arrived, by output and stamp, on the clock of `published_ns`; None if that
            is the clock of the result bag, whose times of recording are then taken.
        expected: Outputs whose absence is a problem.

    Returns:
        The figures.

    Raises:
        BagError: If a bag is missing or damaged.
        EvaluationError: If no output belongs to any frame of the recording, or a topic contradicts itself.
        MissingDependencyError: If there is ground truth and pycocotools is not installed.
    """
    results = read_results(result_path)
    stamps = source.stamps_ns()
    outputs = {name: _figures(topic, times, set(stamps)) for name, (topic, times) in results.outputs.items()}
    messages, matched = (sum(getattr(o, name) for o in outputs.values()) for name in ("messages", "frames"))
    if messages and not matched:
        raise EvaluationError(
            f"{result_path}: none of the outputs has the stamp of a frame of {source.path}; they belong to another "
            "recording, or something between camera and node writes new stamps"
        )
    truth_topic, truth = _read_truth(source)
    detection, tracking = _accuracy(results, truth)
    detections = results.arrays.get("detections", {})
    tracks = results.arrays.get("tracks", {})
    arrivals = arrivals_ns or {name: times for name, (_, times) in results.outputs.items()}
    return RunReport(
        source=str(source.path),
        image_topic=source.topic,
        result=str(result_path),
        source_frames=len(stamps),
        source_rate_hz=source.rate_hz,
        dropped_frames=len(set(stamps) - set(detections)),
        outputs=outputs,
        detected_objects=sum(len(array) for array in detections.values()),
        track_ids=len({identity for array in tracks.values() for identity in array.ids}),
        end_to_end=_delays(published_ns or {}, arrivals),
        stages=results.stages,
        detection=detection,
        tracking=tracking,
        truth_topic=truth_topic,
        problems=_problems(outputs, results, expected),
    )


def _figures(topic: str, received_by_stamp: Mapping[int, int], source_stamps: set[int]) -> OutputFigures:
    times = sorted(received_by_stamp.values())
    span_s = (times[-1] - times[0]) / 1e9 if times else 0.0
    matched = len(source_stamps & set(received_by_stamp))
    rate_hz = (len(times) - 1) / span_s if span_s > 0 else 0.0
    return OutputFigures(topic, len(times), matched, len(times) - matched, rate_hz)


def _delays(published_ns: Mapping[int, int], arrivals_ns: Mapping[str, Mapping[int, int]]) -> dict[str, Latency]:
    delays = {
        output: [arrival - published_ns[stamp] for stamp, arrival in arrivals.items() if stamp in published_ns]
        for output, arrivals in arrivals_ns.items()
    }
    return {output: latency_of(values) for output, values in delays.items() if values}


def _read_truth(source: ImageSource) -> tuple[str | None, dict[int, RecordedArray]]:
    if source.path.suffix.lower() in VIDEO_SUFFIXES:
        return None, {}
    with BagReader(source.path) as bag:
        topic = ground_truth_topic(bag)
        return topic, read_arrays(bag, topic) if topic else {}


def _accuracy(
    results: RunResults, truth: Mapping[int, RecordedArray]
) -> tuple[DetectionMetrics | None, TrackingMetrics | None]:
    """Accuracy of detections and tracks, each on the frames that have both a result and ground truth."""
    words = Vocabulary(results.label_names)
    labelled = {stamp: words.labelled(truth[stamp], scored=True) for stamp in sorted(truth)}
    detections, tracks = results.arrays.get("detections", {}), results.arrays.get("tracks", {})
    detection, tracking = None, None
    with_detections = [stamp for stamp in labelled if stamp in detections]
    if _anything_in(labelled, with_detections):
        found = [words.detections(detections[stamp]) for stamp in with_detections]
        detection = detection_metrics([labelled[stamp] for stamp in with_detections], found, words.class_names)
    with_tracks = [stamp for stamp in labelled if stamp in tracks]
    identified = all(all(array.ids) for array in truth.values())
    if identified and _anything_in(labelled, with_tracks):
        followed = [words.labelled(tracks[stamp], scored=False) for stamp in with_tracks]
        tracking = tracking_metrics([labelled[stamp] for stamp in with_tracks], followed)
    return detection, tracking


def _anything_in(labelled: Mapping[int, LabelledBoxes], stamps: Sequence[int]) -> bool:
    return any(not labelled[stamp].ignored.all() for stamp in stamps)


def _problems(outputs: Mapping[str, OutputFigures], results: RunResults, expected: Sequence[str]) -> list[str]:
    problems = [
        f"nothing was published on {name}" for name in expected if name not in outputs or not outputs[name].messages
    ]
    problems += [
        f"{figures.restamped} of {figures.messages} messages on {figures.topic} have a stamp that no source frame has"
        for figures in outputs.values()
        if figures.restamped
    ]
    for name, what in (("detections", "no object was detected"), ("tracks", "no object was tracked")):
        arrays = results.arrays.get(name, {})
        if arrays and not any(len(array) for array in arrays.values()):
            problems.append(f"{what} in any of {len(arrays)} frames")
    return problems
