"""Stages on demand: the `detect` service of both nodes that have a detector."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from robot_vision_msgs.srv import Detect
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.ros.convert import image_from_rgb
from robot_vision.runtime.card import load_card
from robot_vision.shipped import shared_file


@pytest.fixture(scope="module")
def frame():
    return next(islice(open_source(shared_file("samples/simworld_handheld")).frames(), 1))


def call(bench, client, image: Image, score: float = -1.0, iou: float = -1.0) -> Detect.Response:
    request = Detect.Request(image=image, score_threshold=score, iou_threshold=iou)
    future = client.call_async(request)
    bench.until(future.done, "the reply")
    return future.result()


@pytest.mark.parametrize("node", ["perception_node", "detector_node"])
def test_detect(bench, frame, node: str) -> None:
    """The reply is what the detector finds, in pixels of the image, under its header, with the thresholds asked for."""
    image = image_from_rgb(frame.rgb, Header(frame_id="arm_camera"))
    bench.start(node)
    client = bench.client(Detect, "/detect")
    detector = Detector(load_card("simworld_yolo"), SessionParams(provider="cpu"), DetectorParams())
    for score, iou in ((-1.0, -1.0), (0.5, -1.0), (-1.0, 0.3), (-1.0, -1.0)):
        limits = {"confidence_threshold": score, "iou_threshold": iou}
        detector.set_params(DetectorParams(**{name: value for name, value in limits.items() if value > 0}))
        expected = detector.detect(frame)
        response = call(bench, client, image, score, iou)
        assert response.success, response.message
        assert response.detections.header == image.header
        found = response.detections.detections
        assert [d.results[0].hypothesis.class_id for d in found] == [
            detector.class_names[i] for i in expected.class_ids
        ]
        lefts = [d.bbox.center.position.x - d.bbox.size_x / 2 for d in found]
        np.testing.assert_allclose(lefts, expected.boxes_xyxy[:, 0], atol=1e-3)


def test_a_request_that_cannot_be_met_says_why_and_the_next_one_is_met(bench, frame) -> None:
    image = image_from_rgb(frame.rgb, Header())
    bench.start("detector_node")
    client = bench.client(Detect, "/detect")
    for wrong, score, said in (
        (Image(), -1.0, "unknown image encoding ''"),
        (Image(encoding="rgb8", height=4, width=4, step=12, data=bytes(10)), -1.0, "data is too short"),
        (image, 2.0, "score_threshold: must be within"),
        (image, math.nan, "score_threshold: must be finite"),
    ):
        response = call(bench, client, wrong, score)
        assert not response.success
        assert said in response.message
        assert not response.detections.detections
    assert call(bench, client, image).success
