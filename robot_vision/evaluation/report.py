"""The short report of a run: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.latency import Latency
from robot_vision.evaluation.run import RunReport

_LEVELS = ("ok", "warning", "error", "stale")


def write_report(report: RunReport, folder: str | Path) -> tuple[Path, Path]:
    """Write `report.md` and `report.json`.

    Args:
        report: Figures of a run.
        folder: Existing folder; older reports in it are replaced.

    Returns:
        Paths of the Markdown and the JSON file.

    Raises:
        EvaluationError: If the files cannot be written.
    """
    return write_texts(folder, markdown(report), asdict(report))


def write_texts(folder: str | Path, text: str, figures: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `report.md` and `report.json`.

    Args:
        folder: Existing folder; older reports in it are replaced.
        text: Markdown.
        figures: What JSON can hold.

    Returns:
        Paths of the Markdown and the JSON file.

    Raises:
        EvaluationError: If the files cannot be written.
    """
    markdown_path, json_path = Path(folder) / "report.md", Path(folder) / "report.json"
    try:
        markdown_path.write_text(text, encoding="utf-8")
        json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error}") from error
    return markdown_path, json_path


def markdown(report: RunReport) -> str:
    """The report as Markdown text.

    Args:
        report: Figures of a run.

    Returns:
        Text that ends with a newline.
    """
    frames, rate = report.source_frames, report.source_rate_hz
    sections = [
        f"# robot_vision report\n\n`{report.source}`, topic `{report.image_topic}`: {frames} frames at {rate:.1f} Hz",
        _problems(report),
        _outputs(report),
        _accuracy(report),
        _latency(report),
        _diagnostics(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns also stand under one another on a terminal.

    Args:
        header: Its columns.
        rows: Cells; a bar in one becomes a slash.

    Returns:
        Lines without a newline at the end.
    """
    cells = [[cell.replace("|", "/") for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells)


def _problems(report: RunReport) -> str:
    if not report.problems:
        return ""
    return "\n".join(["## Problems", "", *(f"- {problem}" for problem in report.problems)])


def _outputs(report: RunReport) -> str:
    rows = [
        (name, f"`{figures.topic}`", str(figures.messages), str(figures.frames), f"{figures.rate_hz:.1f}")
        for name, figures in report.outputs.items()
    ]
    share = report.dropped_frames / report.source_frames if report.source_frames else 0.0
    text = (
        f"{report.dropped_frames} frames ({share:.1%}) have no detections: the live pipeline takes the newest frame "
        f"and drops what it cannot keep up with. {report.detected_objects} boxes were detected, "
        f"{report.track_ids} tracks were followed."
    )
    return f"## Output\n\n{table(('output', 'topic', 'messages', 'frames', 'rate (Hz)'), rows)}\n\n{text}"


def _accuracy(report: RunReport) -> str:
    if report.truth_topic is None:
        return "## Accuracy\n\nThe recording has no ground truth (a Detection2DArray topic named `ground_truth`)."
    parts = [
        f"## Accuracy\n\nAgainst `{report.truth_topic}`, on the frames that were processed: results and ground truth "
        "are matched by exactly equal stamps, dropped frames are left out."
    ]
    header, row = [], []
    if report.detection:
        header += ["mAP50", "mAP50-95"]
        row += [f"{report.detection.ap50:.3f}", f"{report.detection.ap:.3f}"]
    if report.tracking:
        tracking = report.tracking
        header += ["HOTA", "DetA", "AssA", "IDF1", "MOTA", "id switches"]
        values = (tracking.hota, tracking.det_a, tracking.ass_a, tracking.idf1, tracking.mota)
        row += [*(f"{value:.3f}" for value in values), str(tracking.id_switches)]
    if not header:
        return "## Accuracy\n\nNo processed frame has ground truth with an object in it."
    parts.append(table(header, [row]))
    if report.detection:
        by_class = report.detection.ap50_by_class
        both = [(name, f"{by_class[name]:.3f}", f"{ap:.3f}") for name, ap in report.detection.ap_by_class.items()]
        parts.append(table(("class", "AP50", "AP50-95"), both))
    return "\n\n".join(parts)


def _latency(report: RunReport) -> str:
    rows = [_latency_row(f"image published to {name} received", delay) for name, delay in report.end_to_end.items()]
    rows += [
        _latency_row(f"{stage.name} {what}".strip(), latency)
        for stage in report.stages
        for what, latency in stage.latencies.items()
    ]
    if not rows:
        return ""
    text = "Milliseconds; the node's own figures are over its last frames, as its last diagnostics told."
    return f"## Latency\n\n{text}\n\n{table(('what', 'p50', 'p95', 'p99'), rows)}"


def _latency_row(what: str, latency: Latency) -> tuple[str, str, str, str]:
    return what, f"{latency.p50_ms:.2f}", f"{latency.p95_ms:.2f}", f"{latency.p99_ms:.2f}"


def _diagnostics(report: RunReport) -> str:
    if not report.stages:
        return ""
    rows = [
        (
            stage.name,
            f"{_LEVELS[stage.level] if 0 <= stage.level < len(_LEVELS) else stage.level}: {stage.message}",
            ", ".join(f"{key} {value}" for key, value in stage.values.items() if value),
        )
        for stage in report.stages
    ]
    return f"## Diagnostics at the end\n\n{table(('part', 'state', 'values'), rows)}"
