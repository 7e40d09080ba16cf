"""The outputs of a run of the pipeline, read from its result bag."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_vision.data.bags import BagReader
from robot_vision.data.sources import stamp_ns
from robot_vision.evaluation.ground_truth import DETECTION_ARRAY, RecordedArray, read_arrays
from robot_vision.evaluation.latency import Latency

_TYPES = {
    "detections": DETECTION_ARRAY,
    "tracks": DETECTION_ARRAY,
    "latent": "robot_vision_msgs/msg/LatentState",
    "label_info": "vision_msgs/msg/LabelInfo",
    "diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
_PERCENTILE = re.compile(r"^(?P<what>\w*?)_?p(?P<percent>50|95|99)_ms$")


@dataclass(frozen=True)
class StageReport:
    """What the node last said about one of its parts on `/diagnostics`.

    Attributes:
        name: As in `perception_node: camera`.
        level: 0 fine, 1 warning, 2 error, 3 stale.
        message: Its summary.
        latencies: Percentiles by what was timed; the empty name is the stage itself.
        values: Everything else it said.
    """

    name: str
    level: int
    message: str
    latencies: Mapping[str, Latency]
    values: Mapping[str, str]


@dataclass(frozen=True)
class RunResults:
    """A result bag as plain values.

    Attributes:
        arrays: Recorded boxes of `detections` and `tracks` by stamp in nanoseconds, as far as the bag has the topic.
        outputs: Stamps and times of recording by output, and the topic's name.
        label_names: Class name by class index as text, from `label_info`.
        stages: Last diagnostics of each part of the node.
    """

    arrays: Mapping[str, Mapping[int, RecordedArray]]
    outputs: Mapping[str, tuple[str, Mapping[int, int]]]
    label_names: Mapping[str, str]
    stages: Sequence[StageReport]


def read_results(path: str | Path) -> RunResults:
    """Read the outputs of a run.

    Args:
        path: Result bag; a topic is known by its last name and its type, so a namespace does not matter.

    Returns:
        The outputs.

    Raises:
        BagError: If the bag is missing or damaged.
        EvaluationError: If two messages of a topic have one stamp.
    """
    with BagReader(path) as bag:
        topics = {
            output: next(
                (t.name for t in bag.topics.values() if t.name.rsplit("/", 1)[-1] == output and t.msgtype == msgtype),
                None,
            )
            for output, msgtype in _TYPES.items()
        }
        arrays = {output: read_arrays(bag, topic) for output in ("detections", "tracks") if (topic := topics[output])}
        outputs: dict[str, tuple[str, Mapping[int, int]]] = {
            output: (str(topics[output]), {stamp: array.received_ns for stamp, array in entries.items()})
            for output, entries in arrays.items()
        }
        if latent := topics["latent"]:
            outputs["latent"] = (latent, {stamp_ns(m.header): received for received, m in bag.messages(latent)})
        labels: dict[str, str] = {}
        if topic := topics["label_info"]:
            for _, message in bag.messages(topic):
                labels = {str(entry.class_id): str(entry.class_name) for entry in message.class_map}
        stages = _last_diagnostics(bag, topics["diagnostics"])
    return RunResults(arrays, outputs, labels, stages)


def _last_diagnostics(bag: BagReader, topic: str | None) -> list[StageReport]:
    last: dict[str, StageReport] = {}
    for _, message in bag.messages(topic) if topic else ():
        for status in message.status:
            last[status.name] = _stage_report(status)
    return list(last.values())


def _stage_report(status: Any) -> StageReport:
    percentiles: dict[str, dict[str, float]] = {}
    values: dict[str, str] = {}
    for pair in status.values:
        match = _PERCENTILE.match(pair.key)
        if match:
            percentiles.setdefault(match["what"], {})[match["percent"]] = float(pair.value)
        else:
            values[pair.key] = pair.value
    latencies = {
        what: Latency(known["50"], known["95"], known["99"]) for what, known in percentiles.items() if len(known) == 3
    }
    return StageReport(status.name, int(status.level), status.message, latencies, values)
