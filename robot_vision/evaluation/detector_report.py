"""The report on a detector against labelled images: figures, pictures, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_vision.data.labelled import LabelledSet
from robot_vision.errors import EvaluationError
from robot_vision.evaluation.detection import AveragePrecision, DetectionMetrics, detection_metrics
from robot_vision.evaluation.detector_curves import (
    IOU_THRESHOLD,
    Curve,
    Pairing,
    confusion_matrix,
    pair,
    precision_recall,
    worst_images,
)
from robot_vision.evaluation.detector_plots import ALL_CLASSES, mistake_tile, write_confusion, write_curves
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.pictures import contact_sheet, write_picture
from robot_vision.evaluation.report import table, write_texts
from robot_vision.types import Detections, Int64Array, UInt8Array

CURVES, CONFUSION, WORST = "curves.png", "confusion.png", "worst.png"
_JSON_POINTS = 100


@dataclass(frozen=True, eq=False)
class DetectorReport:
    """What a detector is worth on labelled images.

    Attributes:
        class_names: Names by class id.
        titles: What each image is called.
        truth: Objects of each image.
        metrics: Average precision by the COCO protocol.
        curves: Precision and recall by class name, first of `ALL_CLASSES` together.
        score_threshold: Smallest score of the findings in `pairings`.
        strong: The findings in each image that reach that score.
        pairings: What became of them and of the objects.
        confusion: (C + 1, C + 1) int64 as of `confusion_matrix`.
    """

    class_names: tuple[str, ...]
    titles: tuple[str, ...]
    truth: tuple[LabelledBoxes, ...]
    metrics: DetectionMetrics
    curves: Mapping[str, Curve]
    score_threshold: float
    strong: tuple[Detections, ...]
    pairings: tuple[Pairing, ...]
    confusion: Int64Array


def evaluate_detector(
    titles: Sequence[str],
    truth: Sequence[LabelledBoxes],
    found: Sequence[Detections],
    class_names: Sequence[str],
    score_threshold: float | None = None,
) -> DetectorReport:
    """Compare findings with labels.

    Args:
        titles: What each image is called.
        truth: Objects of each image.
        found: Detections in the same images, down to low scores.
        class_names: Names by class id.
        score_threshold: Score from which findings count as such in the confusion matrix and for the worst images; None
            takes that of the best F1 of all classes together.

    Returns:
        The figures.

    Raises:
        EvaluationError: If the numbers of images differ or there is no object to find.
        MissingDependencyError: If pycocotools is not installed.
    """
    metrics = detection_metrics(truth, found, class_names)
    overall = precision_recall(truth, found)
    by_class = {name: precision_recall(truth, found, class_id) for class_id, name in enumerate(class_names)}
    if score_threshold is None:
        score_threshold = 0.0 if overall.best is None else float(overall.scores[overall.best])
    strong = tuple(findings.select(findings.scores >= score_threshold) for findings in found)
    pairings = tuple(pair(boxes, findings) for boxes, findings in zip(truth, strong, strict=True))
    confusion = confusion_matrix(truth, strong, pairings, len(class_names))
    curves = {ALL_CLASSES: overall, **by_class}
    values = (tuple(class_names), tuple(titles), tuple(truth))
    return DetectorReport(*values, metrics, curves, score_threshold, strong, pairings, confusion)


def write_detector_report(
    report: DetectorReport,
    images: LabelledSet,
    folder: Path,
    facts: Mapping[str, str],
    notes: Sequence[str],
    worst: int,
) -> list[Path]:
    """Write `report.md`, `report.json` and the pictures.

    Args:
        report: Figures.
        images: The images that they are about.
        folder: Created if missing; an older report in it is replaced.
        facts: What was evaluated on what, and how.
        notes: Sentences for the reader.
        worst: Most images on the sheet of the worst ones; 0 makes no sheet.

    Returns:
        Paths of the files.

    Raises:
        BagError: If an image cannot be read again.
        EvaluationError: If a file cannot be written.
        FrameError: If an image of a bag cannot be decoded again.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WORST).unlink(missing_ok=True)
        write_curves(folder / CURVES, report.curves)
        write_confusion(folder / CONFUSION, report.confusion, report.class_names)
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error}") from error
    chosen = worst_images(report.strong, report.pairings, worst)
    if chosen:
        write_picture(folder / WORST, _worst_sheet(report, images, chosen))
    text = _markdown(report, facts, notes, chosen)
    pictures = [folder / name for name in (CURVES, CONFUSION, WORST) if (folder / name).exists()]
    return [*write_texts(folder, text, _figures(report, facts, notes, chosen)), *pictures]


def main_table(report: DetectorReport) -> str:
    """Average precision and best point of each class as a Markdown table."""
    sizes = report.metrics.by_size
    header = ["class", "objects", "AP50-95", "AP50", *(f"AP {size}" for size in sizes)]
    header += ["best F1", "at score", "precision", "recall"]
    rows = [_row(name, curve, report.metrics) for name, curve in report.curves.items()]
    return table(header, rows)


def _row(name: str, curve: Curve, metrics: DetectionMetrics) -> list[str]:
    row = [name, str(curve.objects), _average(metrics, name), _average(metrics, name, at_50=True)]
    row += [_average(part, name) for part in metrics.by_size.values()]
    if curve.best is None:
        return [*row, "-", "-", "-", "-"]
    return [*row, *(f"{values[curve.best]:.3f}" for values in (curve.f1, curve.scores, curve.precision, curve.recall))]


def _average(part: AveragePrecision, name: str, *, at_50: bool = False) -> str:
    if name == ALL_CLASSES:
        return f"{part.ap50 if at_50 else part.ap:.3f}"
    by_class = part.ap50_by_class if at_50 else part.ap_by_class
    return f"{by_class[name]:.3f}" if name in by_class else "-"


def _worst_sheet(report: DetectorReport, images: LabelledSet, chosen: Sequence[int]) -> UInt8Array:
    tiles: dict[int, UInt8Array] = {}
    for index, image in enumerate(images.images()):
        if index in chosen:
            truth, found, pairing = report.truth[index], report.strong[index], report.pairings[index]
            counts = ", ".join(f"{count} {kind}" for kind, count in _mistakes(pairing).items())
            text = f"{report.titles[index]}: {counts}"
            tiles[index] = mistake_tile(image.rgb, truth, found, pairing, report.class_names, text)
        if len(tiles) == len(chosen):
            break
    return contact_sheet([tiles[index] for index in chosen], width=None)


def _mistakes(pairing: Pairing) -> dict[str, int]:
    kinds = {"missed": pairing.missed, "false alarms": pairing.false_alarms, "misnamed": pairing.misnamed}
    return {kind: int(which.sum()) for kind, which in kinds.items()}


def _markdown(report: DetectorReport, facts: Mapping[str, str], notes: Sequence[str], chosen: Sequence[int]) -> str:
    threshold = f"score ≥ {report.score_threshold:.3f}, IoU ≥ {IOU_THRESHOLD}"
    sections = [
        "# Detector report",
        table(("what", "value"), [(key, f"`{value}`") for key, value in facts.items()]),
        "\n".join(f"- {note}" for note in notes),
        f"## Average precision\n\n{main_table(report)}",
        "AP by the COCO protocol, the mean over classes in the first row; small boxes are below 32² pixels, large ones "
        f"above 96². F1, precision and recall at IoU {IOU_THRESHOLD}, in the first row over all findings "
        "together.",
        f"## Precision, recall and F1\n\n![curves]({CURVES})",
        f"## Confusion\n\nFindings with {threshold}. Rows are what is there, columns what was found.\n\n"
        f"![confusion matrix]({CONFUSION})",
    ]
    if chosen:
        counts = {report.titles[index]: _mistakes(report.pairings[index]) for index in chosen}
        sections += [
            "## Worst images\n\nThe same findings; images of a bag are called by their stamps. Above what is "
            "there: green found, orange missed. Below what was found: blue right, pink wrong. What the labels ignore "
            "is not drawn, nor are findings in it.\n\n"
            f"![worst images]({WORST})",
            table(
                ("image", "missed", "false alarms", "misnamed"),
                [(title, *map(str, mistakes.values())) for title, mistakes in counts.items()],
            ),
        ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _figures(
    report: DetectorReport, facts: Mapping[str, str], notes: Sequence[str], chosen: Sequence[int]
) -> dict[str, Any]:
    return {
        "facts": dict(facts),
        "notes": list(notes),
        "average_precision": asdict(report.metrics),
        "curves": {name: _curve_figures(curve) for name, curve in report.curves.items()},
        "confusion": {
            "score_threshold": report.score_threshold,
            "iou_threshold": IOU_THRESHOLD,
            "true_classes": [*report.class_names, "false alarm"],
            "found_classes": [*report.class_names, "missed"],
            "counts": report.confusion.tolist(),
        },
        "worst_images": [{"image": report.titles[index], **_mistakes(report.pairings[index])} for index in chosen],
    }


def _curve_figures(curve: Curve) -> dict[str, Any]:
    """A curve for JSON, thinned evenly; the best point is exact."""
    columns = {"score": curve.scores, "precision": curve.precision, "recall": curve.recall, "f1": curve.f1}
    rows = np.linspace(0, len(curve.scores) - 1, min(len(curve.scores), _JSON_POINTS)).round().astype(int)
    best = None if curve.best is None else {name: float(values[curve.best]) for name, values in columns.items()}
    points = {name: values[rows].tolist() for name, values in columns.items()}
    return {"objects": curve.objects, "best_f1": best, "points": points}
