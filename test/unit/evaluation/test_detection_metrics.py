"""Average precision equals the reference figures and what follows from its definition."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from robot_vision.errors import EvaluationError
from robot_vision.evaluation.detection import coco_metrics, detection_metrics
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.types import Detections

pytest.importorskip("pycocotools")

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "data" / "labelled" / "coco_eval_golden"


@pytest.fixture(scope="module")
def golden() -> tuple[dict, list]:
    if not GOLDEN.is_dir():
        pytest.skip(f"no test data at {GOLDEN}")
    truth = json.loads((GOLDEN / "sampled_gts_bbox_area.json").read_text())
    return truth, json.loads((GOLDEN / "cocoapi_results.json").read_text())


def in_memory(golden) -> tuple[list[LabelledBoxes], list[Detections], list[str]]:
    truth, results = golden
    numbers = {category["id"]: index for index, category in enumerate(truth["categories"])}

    def columns(rows: list[dict]) -> tuple[np.ndarray, np.ndarray]:
        xywh = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)
        return xyxy, np.array([numbers[row["category_id"]] for row in rows], np.int64)

    labels, found = [], []
    for image in truth["images"]:
        there = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        said = [r for r in results if r["image_id"] == image["id"]]
        boxes, class_ids = columns(there)
        labels.append(LabelledBoxes(boxes, class_ids, np.arange(len(boxes)), np.zeros(len(boxes), bool)))
        boxes, class_ids = columns(said)
        found.append(Detections(boxes, np.array([r["score"] for r in said], np.float32), class_ids))
    return labels, found, [category["name"] for category in truth["categories"]]


def test_files_have_the_reference_figures(golden) -> None:
    """Reference AP .503647 and AP50 .696973 of the published COCO evaluation example."""
    metrics = coco_metrics(*golden)
    assert (metrics.ap, metrics.ap50) == pytest.approx((0.503647, 0.696973), abs=5.1e-7)


def test_sizes_have_the_reference_figures(golden) -> None:
    """APs .593252, APm .557991, APl .489363 of the same example, from the areas of the outlines, not of the boxes."""
    by_size = coco_metrics(*golden).by_size
    assert list(by_size) == ["small", "medium", "large"]
    assert [part.ap for part in by_size.values()] == pytest.approx([0.593252, 0.557991, 0.489363], abs=5.1e-7)


def test_nothing_found_is_zero_in_every_size() -> None:
    nothing = detection_metrics([one([[0, 0, 10, 10], [0, 0, 200, 200]])], [Detections.empty()], ["mug"])
    assert (nothing.ap, nothing.ap50, nothing.ap_by_class) == (0, 0, {"mug": 0})
    assert {name: part.ap50 for name, part in nothing.by_size.items()} == {"small": 0, "large": 0}


def test_arrays_in_memory_have_the_reference_figures(golden) -> None:
    """Corners in float32 move a few overlaps across a threshold."""
    metrics = detection_metrics(*in_memory(golden))
    assert (metrics.ap, metrics.ap50) == pytest.approx((0.503647, 0.696973), abs=2e-5)
    assert np.mean(list(metrics.ap_by_class.values())) == pytest.approx(metrics.ap)


def test_inputs_stay_as_they_are_and_an_annotation_may_have_id_zero(golden) -> None:
    truth, results = copy.deepcopy(golden[0]), golden[1]
    for number, annotation in enumerate(truth["annotations"]):
        annotation["id"] = number
    before = copy.deepcopy((truth, results))
    assert coco_metrics(truth, results).ap == pytest.approx(0.503647, abs=5.1e-7)
    assert (truth, results) == before


def one(boxes, scores=None, class_id: int = 0, ignored=()):
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    classes = np.full(len(xyxy), class_id, np.int64)
    if scores is not None:
        return Detections(xyxy, np.array(scores, np.float32), classes)
    return LabelledBoxes(xyxy, classes, np.arange(len(xyxy)), np.isin(np.arange(len(xyxy)), ignored))


def test_perfect_detections_score_one_and_none_score_zero() -> None:
    truth = [one([[0, 0, 10, 10], [50, 50, 80, 90]]), one([])]
    perfect = detection_metrics(
        truth, [one([[0, 0, 10, 10], [50, 50, 80, 90]], [0.9, 0.3]), one([], [])], ["mug", "can"]
    )
    assert (perfect.ap, perfect.ap50) == pytest.approx((1.0, 1.0))
    assert perfect.ap50_by_class == pytest.approx({"mug": 1.0})
    nothing = detection_metrics(truth, [one([], []), one([], [])], ["mug", "can"])
    assert (nothing.ap, nothing.ap50, nothing.ap_by_class) == (0.0, 0.0, {"mug": 0.0})


def test_detection_of_an_ignored_object_costs_nothing_elsewhere_it_does() -> None:
    truth = [one([[0, 0, 10, 10], [50, 50, 80, 90]], ignored=[1])]
    on_it = detection_metrics(truth, [one([[0, 0, 10, 10], [50, 50, 80, 90]], [0.5, 0.9])], ["mug"])
    assert on_it.ap50 == pytest.approx(1.0)
    elsewhere = detection_metrics(truth, [one([[0, 0, 10, 10], [200, 50, 230, 90]], [0.5, 0.9])], ["mug"])
    assert elsewhere.ap50 == pytest.approx(0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 frames, the detections 2"):
        detection_metrics([one([[0, 0, 1, 1]])], [one([], []), one([], [])], ["mug"])
    for nothing in (one([]), one([[0, 0, 5, 5]], ignored=[0])):
        with pytest.raises(EvaluationError, match="at least one labelled object"):
            detection_metrics([nothing], [one([[0, 0, 5, 5]], [0.5])], ["mug"])
    truth = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "mug"}]}
    truth["annotations"].append({"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25})
    with pytest.raises(EvaluationError, match=r"\[7\]"):
        coco_metrics(truth, [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}])
