"""Average precision of a detector in training, decoded and suppressed exactly as on the robot."""

from __future__ import annotations

import torch

from robot_vision.detection.heads import decode_yolov8
from robot_vision.detection.nms import suppress
from robot_vision.evaluation.detection import DetectionMetrics, detection_metrics
from robot_vision.geometry import clip_boxes
from robot_vision.train.detector_data import DetectionData, validation_batches
from robot_vision.train.detector_model import DeployedDetector, YoloNetwork
from robot_vision.types import Detections, Float32Array

LOWEST_SCORE = 0.005
SUPPRESSION_IOU = 0.6
MOST_PER_IMAGE = 100
_BATCH_SIZE = 16


@torch.no_grad()
def validate(network: YoloNetwork, data: DetectionData, input_size: int) -> DetectionMetrics:
    """Average precision on held-out images, boxes in source pixels.

    Args:
        network: The network; put into evaluation mode.
        data: Held-out images.
        input_size: Side of the network's input in pixels.

    Returns:
        COCO metrics.

    Raises:
        EvaluationError: If the data has no object that is to be found.
        MissingDependencyError: If pycocotools is not installed.
    """
    deployed = DeployedDetector(network).eval()
    device = next(network.parameters()).device
    found: list[Detections] = []
    for images in validation_batches(data, input_size, _BATCH_SIZE):
        for output in deployed(images.to(device)).cpu().numpy():
            found.append(_in_source_pixels(output, data, len(found), input_size))
    return detection_metrics(data.truth, found, data.class_names)


def _in_source_pixels(output: Float32Array, data: DetectionData, row: int, input_size: int) -> Detections:
    found = decode_yolov8([output[None]], (input_size, input_size), LOWEST_SCORE)
    found = found.select(suppress(found.boxes_xyxy, found.scores, found.class_ids, SUPPRESSION_IOU, MOST_PER_IMAGE))
    boxes_xyxy = clip_boxes(data.transforms[row].to_source(found.boxes_xyxy), data.source_sizes_wh[row])
    return Detections(boxes_xyxy, found.scores, found.class_ids)
