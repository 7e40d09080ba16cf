"""Average precision of detections by the COCO protocol, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_vision.errors import EvaluationError, MissingDependencyError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.geometry import box_area
from robot_vision.types import Detections, Float32Array, Float64Array


@dataclass(frozen=True)
class AveragePrecision:
    """COCO average precision, at most 100 detections of a class an image.

    Attributes:
        ap: Mean over classes and over IoU 0.50 to 0.95.
        ap50: Mean over classes at IoU 0.50.
        ap_by_class: AP of each class that has ground truth.
        ap50_by_class: AP50 of each class that has ground truth.
    """

    ap: float
    ap50: float
    ap_by_class: Mapping[str, float]
    ap50_by_class: Mapping[str, float]


@dataclass(frozen=True)
class DetectionMetrics(AveragePrecision):
    """COCO average precision over all areas, and over those of one size.

    Attributes:
        by_size: The same of `small` (below 32² square pixels), `medium` and `large` (above 96²) objects, as far as
            there are any.
    """

    by_size: Mapping[str, AveragePrecision]


def detection_metrics(
    truth: Sequence[LabelledBoxes], found: Sequence[Detections], class_names: Sequence[str]
) -> DetectionMetrics:
    """Average precision over frames.

    Args:
        truth: Ground truth of each frame; ignored objects count as COCO's crowds do, neither right nor wrong.
        found: Detections of the same frames.
        class_names: Names by class id.

    Returns:
        The metrics.

    Raises:
        EvaluationError: If the numbers of frames differ or there is nothing to find.
        MissingDependencyError: If pycocotools is not installed.
    """
    if len(truth) != len(found):
        raise EvaluationError(
            f"ground truth has {len(truth)} frames, the detections {len(found)}; compare the same ones"
        )
    annotations = [
        {"image_id": image, "category_id": int(class_id), "bbox": bbox, "area": area, "iscrowd": int(ignored)}
        for image, boxes in enumerate(truth)
        for class_id, bbox, area, ignored in zip(
            boxes.class_ids, _xywh(boxes.boxes_xyxy), box_area(boxes.boxes_xyxy).tolist(), boxes.ignored, strict=True
        )
    ]
    results = [
        {"image_id": image, "category_id": int(class_id), "bbox": bbox, "score": float(score)}
        for image, boxes in enumerate(found)
        for class_id, bbox, score in zip(boxes.class_ids, _xywh(boxes.boxes_xyxy), boxes.scores, strict=True)
    ]
    images = [{"id": image} for image in range(len(truth))]
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names)]
    return coco_metrics({"images": images, "annotations": annotations, "categories": categories}, results)


def _xywh(boxes_xyxy: Float32Array) -> list[list[float]]:
    boxes = boxes_xyxy.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return [[float(value) for value in row] for row in boxes]


def coco_metrics(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> DetectionMetrics:
    """Average precision of a whole data set.

    Args:
        ground_truth: COCO object detection annotations: `images`, `annotations` (with `area`, `iscrowd`), `categories`.
        results: COCO results: `image_id`, `category_id`, `bbox` (x, y, w, h in pixels), `score`.

    Returns:
        The metrics.

    Raises:
        EvaluationError: If there is no ground truth, or a result names an image that is not in it.
        MissingDependencyError: If pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 (a development dependency)
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("average precision needs pycocotools; run: pip install pycocotools") from error
    # pycocotools takes an annotation with id 0 for unmatched and writes into what it is given.
    annotations = [{**annotation, "id": number} for number, annotation in enumerate(ground_truth["annotations"], 1)]
    wanted = {annotation["category_id"] for annotation in annotations if not annotation.get("iscrowd", 0)}
    if not wanted:
        raise EvaluationError("average precision needs at least one labelled object, the ground truth has none")
    names = {category["id"]: category["name"] for category in ground_truth["categories"]}
    unknown = {int(r["image_id"]) for r in results} - {int(i["id"]) for i in ground_truth["images"]}
    if unknown:
        raise EvaluationError(f"results name images that the ground truth does not have: {sorted(unknown)[:5]}")
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = {**ground_truth, "annotations": annotations}
        found.dataset = {**ground_truth, "annotations": [_found(r, number) for number, r in enumerate(results, 1)]}
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # precision: IoU threshold, recall level, class, area range, detection limit; -1 where a class has no ground truth.
    precision = evaluation.eval["precision"][:, :, :, :, 2]
    class_names = [names[category] for category in evaluation.params.catIds]
    overall, *sizes = (_mean_precision(precision[:, :, :, index], class_names) for index in range(precision.shape[3]))
    by_size = {
        name: part for name, part in zip(evaluation.params.areaRngLbl[1:], sizes, strict=True) if part.ap_by_class
    }
    return DetectionMetrics(**vars(overall), by_size=by_size)


def _found(result: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A result as COCOeval wants it; COCO.loadRes does the same, but not for no results."""
    return {**result, "id": number, "area": result["bbox"][2] * result["bbox"][3], "iscrowd": 0}


def _mean_precision(precision: Float64Array, class_names: Sequence[str]) -> AveragePrecision:
    """Means over (10, 101, C) precisions by IoU threshold, recall level and class."""
    known = {
        name: precision[:, :, column] for column, name in enumerate(class_names) if (precision[0, :, column] > -1).any()
    }
    by_class = {name: float(values.mean()) for name, values in known.items()}
    by_class50 = {name: float(values[0].mean()) for name, values in known.items()}
    count = max(1, len(known))
    return AveragePrecision(sum(by_class.values()) / count, sum(by_class50.values()) / count, by_class, by_class50)
