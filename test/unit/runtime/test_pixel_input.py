"""Networks that normalise pixels themselves are given the very values that the CPU would have computed."""

from __future__ import annotations

import importlib
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx_writer import FLOAT16, write_network

pytest.importorskip("onnx", reason="needs onnx: run the tests with `make test`")

from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime import providers
from robot_vision.runtime.card import InputSpec, ModelCard, load_card
from robot_vision.runtime.pixel_input import PIXELS, with_pixel_input
from robot_vision.runtime.session import OnnxSession
from robot_vision.shipped import shared_file

SPECS = (
    InputSpec("images", (8, 4), "RGB", "letterbox", 114, 1 / 255),
    InputSpec("images", (8, 4), "BGR", "letterbox_top_left", 0, 1.0),
    InputSpec("", (8, 4), "BGR", "stretch", 9, 1 / 255, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "area"),
)


def make_card(path: Path, spec: InputSpec) -> ModelCard:
    return ModelCard(path.stem, "detection", path, "0" * 64, spec, class_names=("cat",))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("image_hw", [(30, 50), (4, 8)])
@pytest.mark.parametrize("half", [False, True])
def test_equals_normalisation_on_the_cpu(
    spec: InputSpec, image_hw: tuple[int, int], half: bool, tmp_path: Path
) -> None:
    kind = {"input_type": FLOAT16} if half else {}
    card = make_card(write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None}, **kind), spec)
    rgb = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    pixels, values = np.full((1, 4, 8, 3), 77, np.uint8), np.zeros((1, 3, 4, 8), np.float32)
    preprocessor = Preprocessor(spec)
    assert preprocessor.fill(rgb, pixels) == preprocessor.fill(rgb, values)
    seen = ort.InferenceSession(with_pixel_input(card), providers=["CPUExecutionProvider"]).run(None, {PIXELS: pixels})
    np.testing.assert_array_equal(seen[0], values.astype(seen[0].dtype))


def test_a_network_that_is_not_what_its_card_says_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None})
    assert with_pixel_input(make_card(path, SPECS[0])) is not None
    assert with_pixel_input(make_card(path, InputSpec("images", (9, 4), "RGB", "stretch", 0, 1.0))) is None
    assert with_pixel_input(make_card(path, InputSpec("other", (8, 4), "RGB", "stretch", 0, 1.0))) is None
    (tmp_path / "b.onnx").write_bytes(b"nothing")
    assert with_pixel_input(make_card(tmp_path / "b.onnx", SPECS[0])) is None
    assert with_pixel_input(make_card(tmp_path / "absent.onnx", SPECS[0])) is None

    def not_installed(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", not_installed)
    assert with_pixel_input(make_card(path, SPECS[0])) is None


def test_the_detector_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    card, cpu = load_card("simworld_yolo"), SessionParams(provider="cpu")
    usual = Detector(card, cpu, DetectorParams(slice_columns=2))
    assert usual.session.new_input().dtype == np.float32
    monkeypatch.setattr(providers, "_TAKE_PIXELS", ("cpu",))
    detector = Detector(card, cpu, DetectorParams(slice_columns=2))
    assert (detector.session.new_input().dtype, detector.session.new_input().shape) == (np.uint8, (1, 320, 320, 3))
    for frame in islice(open_source(shared_file("samples/simworld_handheld")).frames(), 3):
        expected, found = usual.detect(frame), detector.detect(frame)
        np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_inputs_of_several_cameras_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    card, cpu = load_card("simworld_yolo"), SessionParams(provider="cpu")
    usual = OnnxSession(card, cpu)
    monkeypatch.setattr(providers, "_TAKE_PIXELS", ("cpu",))
    session = OnnxSession(card, cpu, 3, pixels=True)
    assert session.max_batch == 3
    preprocessor, inputs, expected = Preprocessor(card.input), [], []
    for frame in islice(open_source(shared_file("samples/simworld_handheld")).frames(), 3):
        inputs.append(session.new_input())
        values = usual.new_input()
        preprocessor.fill(frame.rgb, inputs[-1])
        preprocessor.fill(frame.rgb, values)
        expected.append(usual.run(values)[0])
    for found, wanted in zip(session.run_batch(inputs), expected, strict=True):
        np.testing.assert_allclose(found[0], wanted, atol=1e-3)
