"""Bare exports: read from their metadata, or an error that holds the card to write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx_writer import write_network

from robot_vision.detection.yolo import Detector
from robot_vision.errors import ModelError
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import load_card, parse_card
from robot_vision.runtime.export import COCO_NAMES
from robot_vision.types import Frame

NAMES = {"names": "{0: 'cat', 1: 'dog'}", "stride": "32"}
CELLS_64 = 64 + 16 + 4


@pytest.mark.parametrize(
    "names", ["{0: 'cat', 1: 'dog'}", "['cat', 'dog']", '{"1": "dog", "0": "cat"}', '["cat", "dog"]']
)
def test_metadata_makes_the_card(tmp_path: Path, names: str) -> None:
    output = np.zeros((1, 6, CELLS_64), np.float32)
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": output}, metadata={**NAMES, "names": names})
    card = load_card(path)
    assert (card.name, card.head, card.class_names) == ("own", "yolov8", ("cat", "dog"))
    assert (card.input.size_wh, card.input.colour, card.input.resize) == ((64, 64), "RGB", "letterbox")
    assert (card.input.pad_value, card.input.interpolation) == (114, "linear")
    assert card.input.scale * 255 == pytest.approx(1)
    assert card.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_size_of_a_free_input_comes_from_imgsz_as_height_width(tmp_path: Path) -> None:
    output = np.zeros((1, 6, CELLS_64 // 2), np.float32)
    metadata = {**NAMES, "imgsz": "[32, 64]"}
    path = write_network(tmp_path / "own.onnx", [1, 3, "h", "w"], {"out": output}, metadata=metadata)
    assert load_card(path).input.size_wh == (64, 32)


@pytest.mark.parametrize("names", ["{0: 'cat', 2: 'dog'}", "['cat', 1]", "{'a': 'cat'}", "[]", "not names", "[" * 5000])
def test_names_that_are_no_names_are_not_guessed(tmp_path: Path, names: str) -> None:
    output = np.zeros((1, 6, CELLS_64), np.float32)
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": output}, metadata={**NAMES, "names": names})
    with pytest.raises(ModelError, match="no card beside it"):
        load_card(path)


@pytest.mark.parametrize(
    ("shape", "classes"), [((1, 84, CELLS_64), 80), ((1, CELLS_64, 7), 2), ((1, 10, 9), None), ((1, 6, CELLS_64), 2)]
)
def test_card_in_the_message_works_once_completed(tmp_path: Path, shape: tuple[int, ...], classes: int | None) -> None:
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros(shape, np.float32)})
    with pytest.raises(ModelError) as caught:
        load_card(path)
    assert str(tmp_path / "own.yaml") in str(caught.value)
    card = yaml.safe_load(str(caught.value).split("\n", 1)[1])
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    if classes == 80:
        assert card["class_names"] == list(COCO_NAMES)
    else:
        assert f"# {classes or 'all'} names" in str(caught.value)
        card["class_names"] = [f"class {i}" for i in range(classes or 4)]
    if classes is None:
        assert card["output"]["head"] == "HEAD"
        card["output"]["head"] = "yolov5"
    parse_card(card, tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text(json.dumps(card))
    assert load_card(path).input.size_wh == (64, 64)


def test_yolox_card_in_the_message_has_the_published_preprocessing(tmp_path: Path) -> None:
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros((1, CELLS_64, 9), np.float32)})
    with pytest.raises(ModelError, match="recognised as layout yolox") as caught:
        load_card(path)
    spec = yaml.safe_load(str(caught.value).split("\n", 1)[1])["input"]
    assert (spec["colour"], spec["resize"], spec["pad_value"], spec["scale"]) == ("BGR", "letterbox_top_left", 114, 1)


def test_yolox_of_80_classes_needs_no_card_but_says_what_it_takes_for_granted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its raw grid is like no other, and its exports carry no metadata at all."""
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros((1, CELLS_64, 85), np.float32)})
    card = load_card(path)
    assert (card.head, card.class_names) == ("yolox", COCO_NAMES)
    spec = card.input
    assert (spec.colour, spec.resize, spec.pad_value, spec.scale) == ("BGR", "letterbox_top_left", 114, 1)
    assert "80 classes of COCO" in caplog.text
    assert str(tmp_path / "own.yaml") in caplog.text


def test_yolox_with_names_in_its_metadata_is_taken_at_its_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = np.zeros((1, CELLS_64, 7), np.float32)
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": output}, metadata={"names": NAMES["names"]})
    assert load_card(path).class_names == ("cat", "dog")
    assert not caplog.text


def test_nanodet_card_in_the_message_has_the_published_preprocessing(tmp_path: Path) -> None:
    levels = {f"scores{n}": np.zeros((1, n, 3), np.float32) for n in (64, 16, 4)}
    levels |= {f"distances{n}": np.zeros((1, n, 32), np.float32) for n in (64, 16, 4)}
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], levels)
    with pytest.raises(ModelError, match="recognised as layout nanodet") as caught:
        load_card(path)
    spec = yaml.safe_load(str(caught.value).split("\n", 1)[1])["input"]
    assert (spec["colour"], spec["scale"], spec["mean"]) == ("BGR", 1, [103.53, 116.28, 123.675])


def test_network_of_an_unsupported_layout(tmp_path: Path) -> None:
    outputs = {"a": np.zeros((1, 4, 2), np.float32), "b": np.zeros((1, 3), np.float32)}
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], outputs)
    with pytest.raises(ModelError, match=r"\[1, 4, 2\], \[1, 3\] fit none of the supported layouts, yolov5, yolov8"):
        load_card(path)


@pytest.mark.parametrize("shape", [[1, 1, 64, 64], [1, 6, 64, 64], [1, 64, 64, 3], [3, 64, 64]])
def test_network_that_takes_no_colour_image(tmp_path: Path, shape: list[int]) -> None:
    """Grey, six-channel and channels-last exports: no card could help, so none is asked for."""
    output = np.zeros((1, 6, CELLS_64), np.float32)
    path = write_network(tmp_path / "own.onnx", shape, {"out": output}, metadata=NAMES)
    with pytest.raises(ModelError, match=r"own\.onnx: its input images has shape .*\[1, 3, height, width\]; export it"):
        load_card(path)


def test_network_without_classes(tmp_path: Path) -> None:
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros((1, 4, CELLS_64))}, metadata=NAMES)
    with pytest.raises(ModelError, match=r"own\.onnx: output .*\[1, 4, 84\] holds boxes and no class"):
        load_card(path)


def test_names_of_another_number_than_the_classes(tmp_path: Path) -> None:
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros((1, 9, CELLS_64))}, metadata=NAMES)
    with pytest.raises(ModelError, match=r"\[1, 9, 84\] as layout yolov8 has 5 classes, its card names 2"):
        Detector(load_card(path), SessionParams(provider="cpu"), DetectorParams())


def test_all_axes_free(tmp_path: Path) -> None:
    """A dynamic export runs at the size its metadata names, and its batch is free for several cameras."""
    output = np.zeros((1, 6, CELLS_64), np.float32)
    metadata = {**NAMES, "imgsz": "[64, 64]"}
    path = write_network(tmp_path / "own.onnx", ["batch", 3, "h", "w"], {"out": output}, metadata=metadata)
    frame = Frame(np.zeros((48, 80, 3), np.uint8), 0, "camera")
    assert len(Detector(load_card(path), SessionParams(provider="cpu"), DetectorParams()).detect(frame)) == 0


def test_weights_in_a_file_that_is_missing(tmp_path: Path) -> None:
    """Large exports keep their weights in a second file; without it the error names that file."""
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": np.zeros((1, 6, CELLS_64))}, weights="own.data")
    with pytest.raises(ModelError, match=r"own\.onnx: not a network .*weights' file is not beside it.*own\.data"):
        load_card(path)


def test_export_for_another_task(tmp_path: Path) -> None:
    output = np.zeros((1, 6, CELLS_64), np.float32)
    metadata = {**NAMES, "task": "segment"}
    path = write_network(tmp_path / "own.onnx", [1, 3, 64, 64], {"out": output}, metadata=metadata)
    with pytest.raises(ModelError, match="task 'segment'; only detection"):
        load_card(path)


def test_real_exports_describe_themselves(shared_data: Path) -> None:
    expected = {"yolov5n_640_w16a32": "yolov5", "yolov8n_640_w8a32": "yolov8", "yolov10n_640_w8a32": "yolov10"}
    for name, head in expected.items():
        card = load_card(shared_data / "models" / f"{name}.onnx")
        assert (card.head, card.input.size_wh, card.class_names) == (head, (640, 640), COCO_NAMES)
