"""The short report of one run: what was found, how well, how fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_vision.data.bags import BagReader
from robot_vision.evaluation.detection import detection_metrics
from robot_vision.evaluation.ground_truth import RecordedArray, Vocabulary, ground_truth_topic, read_arrays
from robot_vision.evaluation.tracking import tracking_metrics

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class RunResults:
    """What one run of the pipeline gave.

    Attributes:
        source: The recording that was played.
        model: Detector that ran.
        published_ns: Monotonic time of publication by header stamp, for every image played.
        arrivals_ns: Monotonic time of arrival by header stamp, for each result topic.
        detections: Detections by header stamp.
        tracks: Tracks by header stamp.
        class_names: The detector's class names; a message may hold an index instead.
    """

    source: Path
    model: str
    published_ns: Mapping[int, int]
    arrivals_ns: Mapping[str, Mapping[int, int]]
    detections: Mapping[int, RecordedArray]
    tracks: Mapping[int, RecordedArray]
    class_names: tuple[str, ...]


def summarise(results: RunResults) -> dict[str, Any]:
    """The figures of a run.

    Accuracy is measured on the frames that were processed; frames that the live pipeline dropped are counted apart.

    Args:
        results: The run.

    Returns:
        JSON-ready figures; accuracy only where the recording has a ground truth.
    """
    processed = [stamp for stamp in results.published_ns if stamp in results.detections]
    summary: dict[str, Any] = {
        "recording": results.source.name,
        "detector": results.model,
        "images_played": len(results.published_ns),
        "frames_processed": len(processed),
        "frames_dropped": len(results.published_ns) - len(processed),
        "boxes": sum(len(results.detections[stamp]) for stamp in processed),
        "track_ids": len({track_id for array in results.tracks.values() for track_id in array.ids}),
        "latency_ms": {
            topic: _latency_ms(results.published_ns, arrivals) for topic, arrivals in results.arrivals_ns.items()
        },
    }
    accuracy = _accuracy(results, processed)
    return {**summary, "accuracy": accuracy} if accuracy else summary


def write_summary(summary: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.md` and `report.json`.

    Args:
        summary: What `summarise` returned.
        folder: Existing folder.

    Returns:
        Path of the Markdown report.
    """
    (folder / "report.json").write_text(json.dumps(summary, indent=2) + "\n")
    lines = [f"# {summary['recording']} with {summary['detector']}", ""]
    for key in ("images_played", "frames_processed", "frames_dropped", "boxes", "track_ids"):
        lines.append(f"- {key.replace('_', ' ')}: {summary[key]}")
    lines += ["", "| from publishing the image to receiving | p50 ms | p95 ms | p99 ms |", "|---|---|---|---|"]
    for topic, values in summary["latency_ms"].items():
        lines.append(f"| {topic} | " + " | ".join(f"{values[f'p{p}']:.1f}" for p in PERCENTILES if values) + " |")
    if "accuracy" in summary:
        lines += ["", "| measure on processed frames | value |", "|---|---|"]
        lines += [f"| {name} | {value:.3f} |" for name, value in summary["accuracy"].items()]
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def _latency_ms(published_ns: Mapping[int, int], arrivals_ns: Mapping[int, int]) -> dict[str, float]:
    latencies = [
        (arrival - published_ns[stamp]) / 1e6 for stamp, arrival in arrivals_ns.items() if stamp in published_ns
    ]
    if not latencies:
        return {}
    return {f"p{p}": float(v) for p, v in zip(PERCENTILES, np.percentile(latencies, PERCENTILES), strict=True)}


def _accuracy(results: RunResults, processed: list[int]) -> dict[str, float] | None:
    if results.source.suffix.lower() not in ("", ".mcap", ".db3") or not processed:
        return None
    with BagReader(results.source) as bag:
        topic = ground_truth_topic(bag)
        truth = read_arrays(bag, topic) if topic else {}
    stamps = [stamp for stamp in processed if stamp in truth and stamp in results.tracks]
    if not stamps:
        return None
    words = Vocabulary({str(number): name for number, name in enumerate(results.class_names)})
    labelled = [words.labelled(truth[stamp], scored=True) for stamp in stamps]
    found = [words.detections(results.detections[stamp]) for stamp in stamps]
    detection = detection_metrics(labelled, found, words.class_names)
    # Track identities are numbered apart from those of the ground truth.
    track_words = Vocabulary({str(number): name for number, name in enumerate(results.class_names)})
    for name in words.class_names:
        track_words.class_id(name)
    tracked = [track_words.labelled(results.tracks[stamp], scored=False) for stamp in stamps]
    tracking = tracking_metrics(labelled, tracked)
    return {
        "mAP50": detection.ap50, "mAP50-95": detection.ap, "HOTA": tracking.hota, "IDF1": tracking.idf1,
        "MOTA": tracking.mota,
    }  # fmt: skip
