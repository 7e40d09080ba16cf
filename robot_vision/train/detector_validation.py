"""Average precision of a detector in training, decoded and suppressed exactly as on the robot."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from robot_vision.detection.heads import decode_yolov8
from robot_vision.detection.nms import suppress
from robot_vision.evaluation.detection import DetectionMetrics, coco_metrics
from robot_vision.geometry import clip_boxes
from robot_vision.train.detector_data import CocoData, validation_batches
from robot_vision.train.detector_model import DeployedDetector, YoloNetwork
from robot_vision.types import Float32Array

LOWEST_SCORE = 0.005
SUPPRESSION_IOU = 0.6
MOST_PER_IMAGE = 100
_BATCH_SIZE = 16


@torch.no_grad()
def validate(network: YoloNetwork, data: CocoData, input_size: int) -> DetectionMetrics:
    """Average precision on held-out images, boxes in source pixels.

    Args:
        network: The network; put into evaluation mode.
        data: Held-out images.
        input_size: Side of the network's input in pixels.

    Returns:
        COCO metrics.
    """
    deployed = DeployedDetector(network).eval()
    device = next(network.parameters()).device
    results: list[dict[str, Any]] = []
    row = 0
    for images in validation_batches(data, input_size, _BATCH_SIZE):
        for output in deployed(images.to(device)).cpu().numpy():
            results += _coco_results(output, data, row, input_size)
            row += 1
    return coco_metrics(json.loads(data.annotation_file.read_text()), results)


def _coco_results(output: Float32Array, data: CocoData, row: int, input_size: int) -> list[dict[str, Any]]:
    found = decode_yolov8([output[None]], (input_size, input_size), LOWEST_SCORE)
    found = found.select(suppress(found.boxes_xyxy, found.scores, found.class_ids, SUPPRESSION_IOU, MOST_PER_IMAGE))
    boxes_xyxy = clip_boxes(data.transforms[row].to_source(found.boxes_xyxy), data.source_sizes_wh[row])
    boxes_xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    return [
        {
            "image_id": data.image_ids[row],
            "category_id": data.category_ids[class_id],
            "bbox": box_xywh.tolist(),
            "score": float(score),
        }
        for box_xywh, score, class_id in zip(boxes_xywh, found.scores, found.class_ids, strict=True)
    ]
