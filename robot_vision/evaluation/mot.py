"""Sequences in the MOTChallenge format: `gt/gt.txt`, a file of detections in `det/`, `seqinfo.ini`.

Format and rules: A. Milan et al., "MOT16: A Benchmark for Multi-Object Tracking", arXiv 1603.00831, section 4.
"""

from __future__ import annotations

import configparser
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.sequences import TrackingFrame, TrackingSequence
from robot_vision.types import Detections, Float32Array, Float64Array

_FRAME, _ID, _BOX, _SCORE, _CONSIDERED, _CLASS = 0, 1, slice(2, 6), 6, 6, 7
_PEDESTRIANS = (1, -1)
"""Class of what is to be followed; MOT15, which has only such, writes -1."""

_DISTRACTORS = (2, 7, 8, 12)
"""Classes that a track may take for a pedestrian: on a vehicle, standing still, a distractor, a reflection."""


def find_sequences(folder: Path) -> list[Path]:
    """The sequences in a folder.

    Args:
        folder: A sequence, or a folder with sequences at any depth.

    Returns:
        Their folders in alphabetical order.

    Raises:
        EvaluationError: If there is none.
    """
    found = sorted(path.parent.parent for path in folder.rglob("gt/gt.txt"))
    if not found:
        raise EvaluationError(
            f"{folder}: no sequence; one is a folder with ground truth in gt/gt.txt and detections in det/"
        )
    return found


def read_sequence(folder: Path, *, second_half: bool = False, rate_hz: float | None = None) -> TrackingSequence:
    """Read one sequence.

    All boxes are of one class, 0. Pedestrians that count are the truth; distractors are ignored objects of it, and the
    other annotations are bystanders.

    Args:
        folder: The sequence's folder.
        second_half: Take frames n // 2 + 2 to n of n, on which detectors trained on the first half are compared.
        rate_hz: Frames a second; None takes them from `seqinfo.ini`.

    Returns:
        The sequence, of all its frames, with stamps from 0, named after the folder and what was asked for.

    Raises:
        EvaluationError: If a file is missing or cannot be understood.
    """
    annotated = read_rows(folder / "gt" / "gt.txt", _CLASS + 1)
    found = read_rows(_detections_file(folder), _SCORE + 1)
    length, own_rate_hz = _sequence_info(folder / "seqinfo.ini")
    length = length or int(max(annotated[:, _FRAME].max(initial=0), found[:, _FRAME].max(initial=0)))
    words = [folder.resolve().name, *(["val"] if second_half else []), *([f"{rate_hz:g} Hz"] if rate_hz else [])]
    rate_hz = rate_hz or own_rate_hz
    if rate_hz <= 0:
        raise EvaluationError(f"{folder}: seqinfo.ini does not give frameRate; say the rate with --rate")
    numbers = range(length // 2 + 2 if second_half else 1, length + 1)
    frames = [
        _frame(_rows_of(annotated, number), _rows_of(found, number), round(index * 1e9 / rate_hz))
        for index, number in enumerate(numbers)
    ]
    return TrackingSequence(" ".join(words), tuple(frames))


def read_rows(path: Path, columns: int) -> Float64Array:
    """The first columns of a file of comma-separated numbers.

    Args:
        path: The file.
        columns: Columns to read; a line may have more.

    Returns:
        (N, columns) float64 in order of the frame, the first column.

    Raises:
        EvaluationError: If the file cannot be read or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _numbers(line.split(",")[:columns])
        if len(row) < columns or not row[0].is_integer():
            raise EvaluationError(
                f"{path}:{number}: expected {columns} or more numbers separated by commas, a frame's number first; got "
                f"{line.strip()!r}"
            )
        rows.append(row)
    values = np.array(rows, np.float64).reshape(-1, columns)
    return values[np.argsort(values[:, 0], kind="stable")]


def _numbers(cells: list[str]) -> list[float]:
    """The finite numbers in cells; none if any cell is something else."""
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _detections_file(folder: Path) -> Path:
    """`det/det.txt`, or the only text file beside it."""
    usual, files = folder / "det" / "det.txt", sorted((folder / "det").glob("*.txt"))
    if usual in files:
        return usual
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise EvaluationError(f"{folder / 'det'}: expected det.txt or one other text file of detections; found {names}")
    return files[0]


def _sequence_info(path: Path) -> tuple[int, float]:
    """Number of frames and frames a second; 0 for what is not told."""
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        length = parser.getint("Sequence", "seqLength", fallback=0)
        rate_hz = parser.getfloat("Sequence", "frameRate", fallback=0.0)
    except (configparser.Error, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be understood: {error}") from error
    return length, rate_hz


def _rows_of(rows: Float64Array, frame: int) -> Float64Array:
    """The rows of one frame, of rows in order of the frame."""
    first, last = np.searchsorted(rows[:, _FRAME], [frame, frame + 1])
    return rows[first:last]


def _frame(annotated: Float64Array, found: Float64Array, stamp_ns: int) -> TrackingFrame:
    distractors = np.isin(annotated[:, _CLASS], _DISTRACTORS)
    counted = (annotated[:, _CONSIDERED] != 0) & np.isin(annotated[:, _CLASS], _PEDESTRIANS)
    rows = annotated[counted | distractors]
    truth = LabelledBoxes(
        _corners(rows), _one_class(rows), rows[:, _ID].astype(np.int64), distractors[counted | distractors]
    )
    detections = Detections(_corners(found), found[:, _SCORE].astype(np.float32), _one_class(found))
    return TrackingFrame(stamp_ns, detections, truth, _corners(annotated[~counted & ~distractors]))


def _corners(rows: Float64Array) -> Float32Array:
    """(N, 4) float32 x1, y1, x2, y2 of rows with x, y, w, h."""
    boxes = rows[:, _BOX]
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float32)


def _one_class(rows: Float64Array) -> npt.NDArray[np.int64]:
    return np.zeros(len(rows), np.int64)
