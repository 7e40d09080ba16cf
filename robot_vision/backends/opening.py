"""Opens whatever can make images: networks of this package, and pipelines of diffusers."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import cast

from robot_vision.backends.pipeline_folder import INDEX, check_folder
from robot_vision.errors import InvalidValueError, MissingDependencyError, ProviderError
from robot_vision.generation.diffusion import DiffusionGenerator
from robot_vision.generation.request import ImageGenerator
from robot_vision.generation.sampler import SamplerName
from robot_vision.params import SessionParams
from robot_vision.runtime.card import load_card

_LOG = logging.getLogger(__name__)


def open_generator(model: str, session_params: SessionParams, sampler: str = "") -> ImageGenerator:
    """A generator by the name of its model, on the device that was asked for.

    Args:
        model: Name of a shipped model, path of a card or an ONNX file, or folder of a diffusers pipeline.
        session_params: Provider, device and threads; what concerns ONNX Runtime alone is of no matter to a pipeline.
        sampler: How the network is followed from noise to image, as `DiffusionGenerator` names it; empty takes the
            model's usual one, which a pipeline cannot change.

    Returns:
        The generator, ready to run.

    Raises:
        ModelError: If there is no such model, or it is of no use.
        InvalidValueError: If the sampler is unknown, or given for a pipeline.
        ProviderError: If the device cannot be had and `allow_cpu` is off.
        MissingDependencyError: If it is a pipeline and diffusers is not installed.
    """
    folder = Path(model).expanduser()
    # A bare name is that of a shipped model, whatever else a folder here may be called.
    if not (folder / INDEX).is_file() and not (folder.is_dir() and os.sep in model):
        card = load_card(model)
        if not sampler:
            return DiffusionGenerator(card, session_params)
        return DiffusionGenerator(card, session_params, cast(SamplerName, sampler))
    if sampler:
        raise InvalidValueError(f"sampler: {model} is a diffusers pipeline and brings its own; got {sampler!r}")
    return _open_pipeline(folder, session_params)


def _open_pipeline(folder: Path, params: SessionParams) -> ImageGenerator:
    check_folder(folder)
    try:
        from robot_vision.backends.diffusers_pipeline import DiffusersGenerator  # noqa: PLC0415 - imports torch
    except ImportError as error:
        raise MissingDependencyError(
            f"{folder} is a diffusers pipeline, which needs {error.name}; install it with: "
            "pip install robot_vision[generation]"
        ) from error
    try:
        if params.provider == "tensorrt":
            raise ProviderError("provider tensorrt: runs ONNX networks only; take cuda or cpu for a diffusers pipeline")
        device = {"auto": "auto", "cpu": "cpu", "cuda": f"cuda:{params.device_id}"}[params.provider]
        return DiffusersGenerator(folder, device, params.threads)
    except ProviderError as error:
        if not params.allow_cpu:
            raise
        _LOG.warning("%s; on the CPU instead, as allow_cpu says", error)
        return DiffusersGenerator(folder, "cpu", params.threads)
