"""The detector on a GPU equals the detector on the CPU, and says where it runs. Skipped where there is no GPU."""

from __future__ import annotations

import ctypes
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run the tests with `make test`")

from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.ros.networks import open_detectors
from robot_vision.runtime.card import load_card
from robot_vision.runtime.device_memory import device_memory
from robot_vision.shipped import shared_file
from robot_vision.types import Detections

PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
FRAMES = 10


def why_not(name: str) -> str:
    """What this machine lacks for a provider; empty if it must work here."""
    try:
        count, driver = ctypes.c_int(), ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return "no CUDA device"
    except OSError:
        return "no CUDA driver"
    if PROVIDERS[name] not in ort.get_available_providers():
        return f"this ONNX Runtime has no {PROVIDERS[name]}: needs onnxruntime-gpu"
    if name == "tensorrt":
        try:
            ctypes.CDLL("libnvinfer.so.10")
        except OSError:
            return "TensorRT 10 is not installed"
    return ""


pytestmark = pytest.mark.parametrize(
    "provider",
    [pytest.param(name, marks=pytest.mark.skipif(bool(why_not(name)), reason=why_not(name))) for name in PROVIDERS],
)


def session_params(provider: str, cache: Path, half_precision: bool = False) -> SessionParams:
    return SessionParams(provider=provider, engine_cache=str(cache), half_precision=half_precision)


def detections_of(detector: Detector) -> list[Detections]:
    frames = islice(open_source(shared_file("samples/simworld_handheld")).frames(), FRAMES)
    return [detector.detect(frame) for frame in frames]


def assert_same(found: list[Detections], expected: list[Detections], score_tolerance: float) -> None:
    """Every object that is well above the threshold is found by both, at the same place."""
    for ours, theirs in zip(found, expected, strict=True):
        for box, score, class_id in zip(theirs.boxes_xyxy, theirs.scores, theirs.class_ids, strict=True):
            if score < 0.3:
                continue
            same = ours.boxes_xyxy[ours.class_ids == class_id]
            place = np.abs(same - box).max(axis=1)
            assert place.min(initial=np.inf) < 1.0, f"class {class_id} at {box} with score {score}"
            scores = ours.scores[ours.class_ids == class_id]
            assert scores[place.argmin()] == pytest.approx(score, abs=score_tolerance)


@pytest.mark.parametrize(("half_precision", "tolerance"), [(False, 0.01), (True, 0.05)])
def test_finds_what_the_cpu_finds(provider: str, half_precision: bool, tolerance: float, tmp_path: Path) -> None:
    card = load_card("simworld_yolo")
    expected = detections_of(Detector(card, SessionParams(provider="cpu"), DetectorParams()))
    detector = Detector(card, session_params(provider, tmp_path, half_precision), DetectorParams())
    assert (detector.session.provider, detector.session.device) == (provider, "cuda:0")
    assert_same(detections_of(detector), expected, tolerance)


def test_cameras_on_one_network(provider: str, tmp_path: Path) -> None:
    expected = detections_of(Detector(load_card("simworld_yolo"), SessionParams(provider="cpu"), DetectorParams()))
    for detector in open_detectors(session_params(provider, tmp_path), DetectorParams(), 3):
        assert_same(detections_of(detector), expected, 0.01)


def test_what_tensorrt_compiled_is_found_again(provider: str, tmp_path: Path) -> None:
    if provider != "tensorrt":
        pytest.skip("only TensorRT compiles")
    detections_of(Detector(load_card("simworld_yolo"), session_params(provider, tmp_path), DetectorParams()))
    engines = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.engine")}
    assert engines
    detections_of(Detector(load_card("simworld_yolo"), session_params(provider, tmp_path), DetectorParams()))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.engine")} == engines


def test_the_memory_of_the_device_is_known(provider: str, tmp_path: Path) -> None:
    """Diagnostics show what all programs on the GPU take together; a network that was opened takes some of it."""
    detector = Detector(load_card("simworld_yolo"), session_params(provider, tmp_path), DetectorParams())
    memory = device_memory(detector.session.device)
    assert memory is not None
    assert 50e6 < memory.used_bytes < memory.total_bytes
