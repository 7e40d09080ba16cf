"""Folders of pipelines: what is refused before a library touches it, and what changes the identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robot_vision.backends.pipeline_folder import check_folder, identity_hash
from robot_vision.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    (path / "unet").mkdir(parents=True)
    (path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}), encoding="utf-8")
    (path / "unet" / "config.json").write_text("{}", encoding="utf-8")
    (path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    return path


def test_a_folder_as_saved_is_taken(folder: Path) -> None:
    assert check_folder(folder)["_class_name"] == "StableDiffusionPipeline"


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "unet.PT", "pipeline.py", "x.pkl"])
def test_a_file_that_can_run_code_is_named(folder: Path, name: str) -> None:
    (folder / "unet" / name).write_bytes(b"")
    with pytest.raises(ModelError, match=rf"unet/{name}: loading this kind of file can run code; only safetensors"):
        check_folder(folder)


def test_one_behind_a_link_is_found_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.bin").write_bytes(b"")
    (folder / "vae").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"vae/model\.bin"):
        check_folder(folder)


def test_what_a_download_leaves_hidden_is_of_no_matter(folder: Path) -> None:
    before = identity_hash(folder)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "model.bin").write_bytes(b"")
    check_folder(folder)
    assert identity_hash(folder) == before


@pytest.mark.parametrize("class_name", [["pipeline", "MyPipeline"], None])
def test_a_pipeline_class_from_the_folder_is_refused(folder: Path, class_name: object) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model_index\.json: _class_name must be the name"):
        check_folder(folder)


def test_code_from_elsewhere_is_refused(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text('{"auto_map": {"AutoModel": "a/b--c.D"}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"unet/config\.json: auto_map"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "no pipeline of diffusers"),
        (lambda folder: (folder / "model_index.json").write_text("{", encoding="utf-8"), "not a readable JSON"),
        (lambda folder: (folder / "model_index.json").write_text("[]", encoding="utf-8"), "expected a JSON object"),
        (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(), "holds no weights"),
    ],
)
def test_a_damaged_folder_is_told(folder: Path, break_it: object, said: str) -> None:
    break_it(folder)
    with pytest.raises(ModelError, match=said):
        check_folder(folder)


def test_the_identity_is_that_of_weights_and_settings_not_of_the_place(folder: Path) -> None:
    before = identity_hash(folder)
    moved = folder.rename(folder.with_name("moved"))
    (moved / "README.md").write_text("about", encoding="utf-8")
    assert identity_hash(moved) == before
    (moved / "unet" / "config.json").write_text('{"a": 1}', encoding="utf-8")
    other = identity_hash(moved)
    (moved / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"other")
    assert len({before, other, identity_hash(moved)}) == 3


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "unet" / "lost.safetensors").symlink_to("/nowhere")
    with pytest.raises(ModelError, match=r"lost\.safetensors: cannot be read"):
        identity_hash(folder)
