"""One way to open whatever makes images: networks by card or name, pipelines by folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from generation_model import write_diffusion_model
from tiny_pipelines import require_diffusers, save_pipeline

from robot_vision.backends.opening import open_generator
from robot_vision.errors import InvalidValueError, MissingDependencyError, ModelError, ProviderError
from robot_vision.params import SessionParams

CPU = SessionParams(provider="cpu")


def test_the_choice_itself_loads_no_torch() -> None:
    """The robot's own networks must not pay for a library that they do not use, nor need it."""
    code = "import sys, robot_vision.backends.opening; print({'torch', 'diffusers', 'rclpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_an_unknown_name_is_that_of_no_shipped_model_even_if_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError, match="model 'mine': no shipped model of that name"):
        open_generator("mine", CPU)
    with pytest.raises(ModelError, match=r"mine: no pipeline of diffusers, which is a folder with model_index\.json"):
        open_generator("./mine", CPU)


def test_a_network_is_opened_by_its_card(tmp_path: Path) -> None:
    card = write_diffusion_model(tmp_path)
    usual, other = open_generator(str(card), CPU), open_generator(str(card), CPU, "ddim")
    assert (usual.name, usual.device) == ("tiny_diffusion", "cpu")
    # Another sampler makes other images of the same request.
    assert usual.identity_hash != other.identity_hash


def test_another_network_than_one_that_generates_is_refused() -> None:
    with pytest.raises(ModelError, match="simworld_yolo"):
        open_generator("simworld_yolo", CPU)


@pytest.fixture
def unloadable(tmp_path: Path) -> Path:
    """A folder that looks like a pipeline."""
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}), encoding="utf-8")
    (tmp_path / "unet.safetensors").write_bytes(b"")
    return tmp_path


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    unloadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.delitem(sys.modules, "robot_vision.backends.diffusers_pipeline", raising=False)
    with pytest.raises(MissingDependencyError, match=r"needs diffusers; .*pip install robot_vision\[generation\]"):
        open_generator(str(unloadable), CPU)


def test_a_pipeline_keeps_its_own_sampler(unloadable: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"sampler: .* brings its own; got 'ddim'"):
        open_generator(str(unloadable), CPU, "ddim")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_diffusers()
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny")


def test_a_folder_is_opened_on_the_device_asked_for(folder: Path) -> None:
    assert open_generator(str(folder), CPU).device == "cpu"


def test_a_provider_that_cannot_be_had_is_an_error_unless_the_cpu_is_allowed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProviderError, match="runs ONNX networks only"):
        open_generator(str(folder), SessionParams(provider="tensorrt"))
    with pytest.raises(ProviderError, match="cuda:63"):
        open_generator(str(folder), SessionParams(provider="cuda", device_id=63))
    allowed = SessionParams(provider="cuda", device_id=63, allow_cpu=True)
    assert open_generator(str(folder), allowed).device == "cpu"
    assert "on the CPU instead, as allow_cpu says" in caplog.text
