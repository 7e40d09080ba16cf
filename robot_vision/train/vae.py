"""`robot_vision train vae`: trains an encoder of images and its decoder, writes both as ONNX files with model cards."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from robot_vision.runtime.card import InputSpec
from robot_vision.train import simulated
from robot_vision.train.options import add_arguments, command_line, from_arguments
from robot_vision.train.vae_settings import FitSettings, FrameSources, VaeTraining

if TYPE_CHECKING:
    from torch import nn

    from robot_vision.train.vae_sources import FrameSet, Images
    from robot_vision.types import UInt8Array

VAE_INPUT = InputSpec(
    name="image", size_wh=(64, 64), colour="RGB", resize="stretch", pad_value=0, scale=1 / 255, interpolation="area"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision train vae`.
    """
    FrameSources.add_arguments(parser)
    add_arguments(parser, VaeTraining)
    add_arguments(parser, FitSettings)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: As `train_vae`, or if an argument is out of range.
    """
    sources = FrameSources.from_arguments(args)
    train_vae(sources, from_arguments(args, VaeTraining), from_arguments(args, FitSettings))
    return 0


def train_vae(sources: FrameSources, training: VaeTraining, settings: FitSettings) -> None:
    """Train, measure, export.

    Args:
        sources: Where images come from.
        training: How they are read, and where results go.
        settings: What decides the weights.

    Raises:
        BagError: If images are missing or cannot be read, or labels do not fit them.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        InvalidValueError: If there are too few training frames for the latent size, or labels are needed and lacking.
        ModelError: If the checkpoint does not fit, training diverges, an export differs from torch, or the detector
            for saliency fails.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    import torch  # noqa: PLC0415 - the command line must not need torch

    from robot_vision.train.pca import check_component_count  # noqa: PLC0415
    from robot_vision.train.vae_export import Product, export_product  # noqa: PLC0415
    from robot_vision.train.vae_sources import load_sets  # noqa: PLC0415

    if training.threads:
        torch.set_num_threads(training.threads)
    render = partial(simulated.render, training.work / "simulated", jobs=training.jobs)
    frames, held_out = load_sets(sources, training.topic, partial(_read, training, settings.saliency > 0), render)
    # The linear baseline needs it of every kind; better to know before an hour of training than after it.
    check_component_count(frames.rgb, settings.latent_size)
    name = training.name or (settings.kind if sources.data else f"simworld_{settings.kind}")
    if settings.kind == "pca":
        networks, facts = _decompose(frames, settings.latent_size)
    else:
        networks, facts = _fit(frames, held_out, training, settings, name)
    command = command_line(sources.command("robot_vision train vae"), training, settings)
    origin = "trained by robot_vision" + ("" if sources.data else " on its simulated camera world")
    product = Product(networks, settings, {"command": command, **facts}, origin)
    picture = training.work / f"{name}_reconstructions.png"
    export_product(product, frames, held_out, VAE_INPUT, out=training.out, name=name, picture=picture)


def _read(training: VaeTraining, with_coverage: bool, images: Images) -> UInt8Array:
    """Frames of one place, with the boxes' coverage as a fourth channel where it counts."""
    import numpy as np  # noqa: PLC0415

    from robot_vision.train.vae_saliency import load_coverage  # noqa: PLC0415
    from robot_vision.train.vae_sources import load_frames  # noqa: PLC0415

    cache = training.work / "cache"
    frames = load_frames(images, VAE_INPUT, cache)
    if not with_coverage:
        return frames
    coverage = load_coverage(images, VAE_INPUT, cache, training.saliency_model, training.salient_classes)
    return np.concatenate([frames, coverage], axis=1)


def _fit(
    frames: FrameSet, held_out: FrameSet, training: VaeTraining, settings: FitSettings, name: str
) -> tuple[nn.Module, dict[str, Any]]:
    """Networks trained epoch by epoch, and facts for the card."""
    from robot_vision.train.common import pick_device  # noqa: PLC0415
    from robot_vision.train.vae_fit import Fit  # noqa: PLC0415
    from robot_vision.train.vae_report import write_curves  # noqa: PLC0415

    checkpoint = training.work / f"{name}.pt"
    fit = Fit.load(checkpoint, settings, pick_device()) if training.resume else Fit(settings, pick_device())
    while fit.epochs_done < settings.epochs:
        entry = fit.run_epoch(frames.pixels, held_out.rgb)
        fit.save(checkpoint)
        shown = ", ".join(f"{key} {value:.5g}" for key, value in entry.items())
        print(f"epoch {fit.epochs_done}/{settings.epochs}: {shown}", flush=True)
        write_curves(training.work / f"{name}_curves.png", fit.history)
    return fit.networks.cpu(), {"epochs": fit.epochs_done, "seconds": round(fit.seconds)}


def _decompose(frames: FrameSet, latent_size: int) -> tuple[nn.Module, dict[str, Any]]:
    """Networks of the principal component analysis, and facts for the card."""
    from robot_vision.train.pca import LinearAutoencoder, principal_components  # noqa: PLC0415

    start_s = time.perf_counter()
    components = principal_components(frames.rgb, latent_size)
    networks = LinearAutoencoder.of(components, frames.rgb.shape[1:])
    seconds = round(time.perf_counter() - start_s)
    return networks, {"explained_variance": round(components.explained, 4), "seconds": seconds}
