"""The report on the tracker: a table of sequences, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.report import table, write_texts
from robot_vision.evaluation.sequences import SequenceFigures

_COLUMNS = ("frames", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "id switches", "ms p50", "ms p95")
_DECIMALS = (0, 2, 2, 2, 2, 2, 0, 3, 3)


def tracker_table(figures: Sequence[SequenceFigures]) -> str:
    """A row a sequence and one of the means, accuracy in percent, as a Markdown table.

    Args:
        figures: Figures of one sequence or more.
    """
    rows = {entry.name: _row(entry) for entry in figures}
    rows["mean"] = [float(value) for value in np.mean([*rows.values()], axis=0)]
    lines = [
        [name, *(f"{value:.{digits}f}" for value, digits in zip(row, _DECIMALS, strict=True))]
        for name, row in rows.items()
    ]
    return table(("sequence", *_COLUMNS), lines)


def _row(figures: SequenceFigures) -> list[float]:
    m = figures.metrics
    shares = (m.hota, m.det_a, m.ass_a, m.mota, m.idf1)
    return [m.frames, *(100 * share for share in shares), m.id_switches, figures.update.p50_ms, figures.update.p95_ms]


def write_tracker_report(
    figures: Sequence[SequenceFigures], folder: Path, facts: Mapping[str, str]
) -> tuple[Path, Path]:
    """Write `report.md` and `report.json`.

    Args:
        figures: Figures of one sequence or more.
        folder: Folder, which is made; older reports in it are replaced.
        facts: What was measured, by name.

    Returns:
        Paths of the Markdown and the JSON file.

    Raises:
        EvaluationError: If a file cannot be written.
    """
    text = "\n\n".join([
        "# Tracker report",
        table(("what", "value"), [(key, f"`{value}`") for key, value in facts.items()]),
        "Accuracy of the confirmed tracks in percent, MOTA and IDF1 at an overlap of 0.5; milliseconds of one update. "
        "The last row is the mean of the others.",
        tracker_table(figures),
    ])  # fmt: skip
    json_figures = {"facts": dict(facts), "sequences": [asdict(entry) for entry in figures]}
    return write_texts(made_folder(folder), f"{text}\n", json_figures)


def made_folder(folder: Path) -> Path:
    """The folder, made where it is missing.

    Args:
        folder: Where a report is to be written.

    Raises:
        EvaluationError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error}") from error
    return folder
