"""Provider options, and the message while TensorRT compiles. The GPU itself is tested where there is one."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from robot_vision.errors import ProviderError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import InputSpec, ModelCard
from robot_vision.runtime.providers import announced_build, provider_options

CARD = ModelCard(
    "net", "detection", Path("net.onnx"), "0" * 64, InputSpec("images", (8, 4), "RGB", "stretch", 0, 1.0),
    class_names=("cat",),
)  # fmt: skip


def test_tensorrt_falls_back_on_cuda_and_keeps_what_it_compiled(tmp_path: Path) -> None:
    cache = tmp_path / "a" / "engines"
    params = SessionParams(provider="tensorrt", device_id=2, half_precision=True, engine_cache=str(cache))
    found = provider_options("tensorrt", CARD, params, 1)
    assert [name for name, _ in found] == [
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider",
    ]  # fmt: skip
    options = found[0][1]
    assert cache.is_dir()
    assert options["trt_engine_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(cache)
    assert options["trt_fp16_enable"] == "1"
    assert options["device_id"] == found[1][1]["device_id"] == "2"
    assert found[2][1] == {}


def test_tensorrt_compiles_all_batches_at_once(tmp_path: Path) -> None:
    params = SessionParams(provider="tensorrt", engine_cache=str(tmp_path))
    options = provider_options("tensorrt", CARD, params, 3)[0][1]
    assert options["trt_profile_min_shapes"] == "images:1x3x4x8"
    assert options["trt_profile_max_shapes"] == "images:3x3x4x8"


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    params = SessionParams(provider="tensorrt", engine_cache=str(tmp_path / "file" / "engines"))
    with pytest.raises(ProviderError, match=r"session\.engine_cache: the folder .*file/engines cannot be made"):
        provider_options("tensorrt", CARD, params, 1)


def test_no_cache_folder_without_tensorrt(tmp_path: Path) -> None:
    provider_options("cuda", CARD, SessionParams(engine_cache=str(tmp_path / "none")), 1)
    assert not (tmp_path / "none").exists()


def test_a_long_build_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    with announced_build(CARD, SessionParams(), "tensorrt", period_s=0.01):
        threading.Event().wait(0.2)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "net.onnx: TensorRT compiles the network" in lines[0]
    assert any("still compiles" in line for line in lines[1:-1])
    assert "ready after" in lines[-1]


def test_a_failed_build_ends_the_messages(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="no memory"), announced_build(CARD, SessionParams(), "tensorrt", 0.01):
        raise RuntimeError("no memory")
    assert not [thread for thread in threading.enumerate() if thread.name == "engine build"]
    assert "ready" not in caplog.text


def test_other_providers_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with announced_build(CARD, SessionParams(), "cuda"):
        pass
    assert not caplog.records
