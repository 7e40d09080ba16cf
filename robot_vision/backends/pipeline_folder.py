"""Folders of diffusers pipelines: what may be loaded from one, and which it is; looked at before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robot_vision.errors import ModelError
from robot_vision.runtime.card import file_sha256

INDEX = "model_index.json"
_WEIGHTS = ".safetensors"
_HASHED = frozenset({_WEIGHTS, ".json", ".model", ".txt"})
_RUN_CODE_WHEN_LOADED = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".py"})


def check_folder(folder: Path) -> dict[str, Any]:
    """See that a folder holds a pipeline that can be loaded without running code from it.

    Args:
        folder: As `save_pretrained` writes it.

    Returns:
        The content of its `model_index.json`.

    Raises:
        ModelError: If it is no such folder, has weights in other formats than safetensors, or brings code of its own.
    """
    if not (folder / INDEX).is_file():
        raise ModelError(
            f"{folder}: no pipeline of diffusers, which is a folder with {INDEX}; write one with "
            "pipeline.save_pretrained(folder)"
        )
    files = list(_files(folder))
    for path in files:
        if path.suffix.lower() in _RUN_CODE_WHEN_LOADED:
            raise ModelError(
                f"{path}: loading this kind of file can run code; only safetensors are read: save the pipeline "
                "again with save_pretrained(folder, safe_serialization=True), or remove the file if it is not needed"
            )
    if not any(path.suffix == _WEIGHTS for path in files):
        raise ModelError(f"{folder}: holds no weights, which are files that end in {_WEIGHTS}; copy it again")
    for path in files:
        if path.name.endswith("config.json") and "auto_map" in _read(path):
            raise ModelError(f"{path}: auto_map asks for code that is not part of the libraries; it is not run")
    index = _read(folder / INDEX)
    if not isinstance(index.get("_class_name"), str):
        raise ModelError(
            f"{folder / INDEX}: _class_name must be the name of one of diffusers' own pipelines, got "
            f"{index.get('_class_name')!r}; code that comes with a pipeline is not run"
        )
    return index


def identity_hash(folder: Path) -> str:
    """Which pipeline a folder holds.

    Args:
        folder: The folder.

    Returns:
        SHA-256 in hex over weights, configurations and vocabularies with their names, in order.

    Raises:
        ModelError: If a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        if path.suffix not in _HASHED:
            continue
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Files that are not hidden; links are followed, because a cache may hold the files themselves."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document
