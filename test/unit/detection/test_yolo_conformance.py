"""Every supported family of real networks on every photo: against plain loops over the raw output, and against people.

The reference reads the raw output number by number, with its own geometry and suppression; nothing of the package is
used in it. The boxes in `SEEN` were marked by hand on the photos.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from robot_vision.detection.yolo import Detector
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import load_card
from robot_vision.runtime.export import COCO_NAMES
from robot_vision.types import Detections, Frame

Box = tuple[float, float, float, float]
Found = tuple[float, int, Box]
MODELS = [
    "yolov5n_640_w16a32",
    "yolov8n_640_w8a32",
    "yolov8n_640_int8",
    "yolov10n_640_w8a32",
    "yolox_nano_416",
    "nanodet_m_416",
]
PARAMS = DetectorParams(confidence_threshold=0.1, iou_threshold=0.6)
# What no metadata says.
INPUTS = {
    "yolox_nano_416": {"resize": "letterbox_top_left", "pad_value": 114},
    "nanodet_m_416": {
        "resize": "letterbox", "pad_value": 0, "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395],
    },
}  # fmt: skip
# Photo: what a person sees. Each entry: names that are right, box on the photo.
SEEN: dict[str, list[tuple[set[str], Box]]] = {
    "bus": [
        ({"bus"}, (10, 230, 803, 745)),
        ({"person"}, (221, 405, 345, 865)),
        ({"person"}, (50, 398, 246, 906)),
        ({"person"}, (670, 390, 810, 878)),
    ],
    "dog": [
        ({"dog"}, (130, 220, 311, 541)),
        ({"bicycle"}, (125, 130, 568, 421)),
        ({"car", "truck"}, (468, 75, 692, 171)),
    ],
    "zidane": [({"person"}, (120, 200, 1115, 714)), ({"person"}, (748, 42, 1148, 712))],
    "person": [
        ({"person"}, (190, 97, 275, 379)),
        ({"dog"}, (62, 263, 205, 347)),
        ({"horse"}, (405, 138, 601, 346)),
    ],
}


@dataclass(frozen=True)
class Seen:
    """One network's result and raw output on one photo."""

    model: str
    photo: str
    size_wh: tuple[int, int]
    raw: tuple[np.ndarray, ...]
    found: Detections
    names: tuple[str, ...]


@pytest.fixture(scope="module", params=MODELS)
def results(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """One network on all photos."""
    path = shared_data / "models" / f"{request.param}.onnx"
    if request.param in INPUTS:
        card = {
            "task": "detection", "file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "input": {"size_wh": [416, 416], "colour": "BGR", "scale": 1, **INPUTS[request.param]},
            "class_names": list(COCO_NAMES),
        }  # fmt: skip
        path = tmp_path_factory.mktemp("card") / f"{request.param}.yaml"
        path.write_text(yaml.safe_dump(card))
    detector = Detector(load_card(path), SessionParams(provider="cpu"), PARAMS)
    seen = []
    for photo in SEEN:
        bgr = cv2.imread(str(shared_data / "images" / f"{photo}.jpg"))
        frame = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), 0, "camera")
        inference = detector.infer(detector.prepare(frame))
        found, names = detector.finish(inference), detector.class_names
        raw = tuple(values.copy() for values in inference.outputs[0])  # the detector writes into them again
        seen.append(Seen(request.param, photo, frame.size_wh, raw, found, names))
    return seen


def test_equals_plain_loops_over_the_raw_output(results: list[Seen]) -> None:
    for seen in results:
        expected = reference(seen)
        found = seen.found
        assert len(found) == len(expected), f"{seen.model} on {seen.photo}"
        np.testing.assert_array_equal(found.class_ids, [class_id for _, class_id, _ in expected])
        np.testing.assert_allclose(found.scores, [score for score, _, _ in expected], atol=1e-4)
        np.testing.assert_allclose(found.boxes_xyxy, [box for _, _, box in expected], atol=0.1)


def test_finds_what_a_person_sees(results: list[Seen]) -> None:
    for seen in results:
        boxes = [
            (seen.names[class_id], tuple(box))
            for box, score, class_id in zip(seen.found.boxes_xyxy, seen.found.scores, seen.found.class_ids, strict=True)
            if score >= 0.25
        ]
        for names, truth in SEEN[seen.photo]:
            best = max((overlap(box, truth) for name, box in boxes if name in names), default=0)
            assert best >= 0.5, f"{seen.model} on {seen.photo}: {names} at {truth} has best overlap {best:.2f}"


def test_network_that_detects_nothing_runs_and_finds_nothing(shared_data: Path) -> None:
    card = load_card(shared_data / "models" / "negative" / "yolov8n_detects_nothing.onnx")
    frame = Frame(cv2.imread(str(shared_data / "images" / "bus.jpg")), 0, "camera")
    found = Detector(card, SessionParams(provider="cpu"), DetectorParams(confidence_threshold=0.01)).detect(frame)
    assert len(found) == 0
    assert found.boxes_xyxy.shape == (0, 4)


def reference(seen: Seen) -> list[Found]:
    """Detections by falling score, by reading the raw output number by number."""
    end_to_end = seen.model.startswith("yolov10")
    found = sorted(raw_boxes(seen), key=lambda entry: -entry[0])
    kept: list[Found] = []
    for score, class_id, box in found:
        rivals = [other for _, other_class, other in kept if other_class == class_id]
        if end_to_end or all(overlap(box, other) <= PARAMS.iou_threshold for other in rivals):
            kept.append((score, class_id, box))
    return [(score, class_id, on_photo(seen, box)) for score, class_id, box in kept[: PARAMS.max_detections]]


def raw_boxes(seen: Seen) -> Iterator[Found]:
    """Every candidate in network pixels."""
    raw = seen.raw[0][0]
    if seen.model.startswith("nanodet"):
        yield from nanodet_boxes(seen)
        return
    if seen.model.startswith("yolov10"):
        for x1, y1, x2, y2, score, class_id in raw.tolist():
            if score >= PARAMS.confidence_threshold:
                yield score, int(class_id), (x1, y1, x2, y2)
        return
    cells = list(grid(416)) if seen.model.startswith("yolox") else []
    for index, row in enumerate((raw.T if seen.model.startswith("yolov8") else raw).tolist()):
        cx, cy, width, height = row[:4]
        objectness, scores = (1.0, row[4:]) if seen.model.startswith("yolov8") else (row[4], row[5:])
        score = max(scores) * objectness
        if score < PARAMS.confidence_threshold:
            continue
        if cells:
            column, line, stride = cells[index]
            cx, cy = (cx + column) * stride, (cy + line) * stride
            width, height = math.exp(width) * stride, math.exp(height) * stride
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        yield score, scores.index(max(scores)), box


def nanodet_boxes(seen: Seen) -> Iterator[Found]:
    """Every candidate of the three levels: outputs are three of scores and three of distance logits."""
    for level, stride in enumerate((8, 16, 32)):
        side = 416 // stride
        rows = zip(seen.raw[level][0].tolist(), seen.raw[3 + level][0].tolist(), strict=True)
        for index, (scores, logits) in enumerate(rows):
            score = max(scores)
            if score < PARAMS.confidence_threshold:
                continue
            ways = []
            for edge in range(4):
                weights = [math.exp(value) for value in logits[8 * edge : 8 * edge + 8]]
                ways.append(sum(n * weight for n, weight in enumerate(weights)) / sum(weights) * stride)
            x, y = (index % side + 0.5) * stride, (index // side + 0.5) * stride
            yield score, scores.index(score), (x - ways[0], y - ways[1], x + ways[2], y + ways[3])


def grid(side: int) -> Iterator[tuple[int, int, int]]:
    """Column, line and stride of every cell of a square network, strides 8, 16 and 32."""
    for stride in (8, 16, 32):
        for line in range(side // stride):
            for column in range(side // stride):
                yield column, line, stride


def on_photo(seen: Seen, box: Box) -> Box:
    """Letterbox undone and clipped."""
    width, height = seen.size_wh
    side = 416 if seen.model in INPUTS else 640
    ratio = side / max(width, height)
    left = top = 0
    if not seen.model.startswith("yolox"):
        left, top = (side - round(width * ratio)) // 2, (side - round(height * ratio)) // 2
    scale_x, scale_y = round(width * ratio) / width, round(height * ratio) / height
    xs = [min(max((x - left) / scale_x, 0), width) for x in (box[0], box[2])]
    ys = [min(max((y - top) / scale_y, 0), height) for y in (box[1], box[3])]
    return (xs[0], ys[0], xs[1], ys[1])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return float(width * height / union)
