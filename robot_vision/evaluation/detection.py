"""Average precision of detections by the COCO protocol, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_vision.errors import EvaluationError, MissingDependencyError


@dataclass(frozen=True)
class DetectionMetrics:
    """COCO average precision over all areas, at most 100 detections an image.

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
    if not ground_truth["annotations"]:
        raise EvaluationError("average precision needs at least one labelled object, the ground truth has none")
    unknown = {int(r["image_id"]) for r in results} - {int(i["id"]) for i in ground_truth["images"]}
    if unknown:
        raise EvaluationError(f"results name images that the ground truth does not have: {sorted(unknown)[:5]}")
    if not results:
        return DetectionMetrics(0.0, 0.0, {}, {})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, **ground_truth}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(result) for result in results]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    names = {category["id"]: category["name"] for category in ground_truth["categories"]}
    # precision: IoU threshold, recall level, class, area range, detection limit; -1 where a class has no ground truth.
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    by_class, by_class50 = {}, {}
    for column, category in enumerate(evaluation.params.catIds):
        if (precision[:, :, column] > -1).any():
            by_class[names[category]] = float(np.mean(precision[:, :, column]))
            by_class50[names[category]] = float(np.mean(precision[0, :, column]))
    return DetectionMetrics(
        float(np.mean(list(by_class.values()))), float(np.mean(list(by_class50.values()))), by_class, by_class50
    )
