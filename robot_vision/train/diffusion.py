"""`robot_vision train diffusion`: trains image generation from captions, writes three ONNX files with model cards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from robot_vision.runtime.card import InputSpec
from robot_vision.train.diffusion_settings import DiffusionSettings, DiffusionTraining
from robot_vision.train.options import add_arguments, command_line, from_arguments
from robot_vision.train.vae_settings import FrameSources

if TYPE_CHECKING:
    from robot_vision.train.diffusion_data import DescribedSet
    from robot_vision.train.diffusion_fit import DiffusionFit

CAPTIONED_IMAGES = 48_000
CAPTIONED_SEED_BASE = 2_000_000
"""Seed of the first rendered scene."""
_RENDERING = f"robot_vision sim captioned --images {CAPTIONED_IMAGES} --seed-base {CAPTIONED_SEED_BASE}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision train diffusion`.
    """
    text = "bags and folders of images to learn from; without it the simulated world is rendered"
    parser.add_argument("--data", type=Path, nargs="+", action="extend", default=[], help=text, metavar="PATH")
    add_arguments(parser, DiffusionTraining)
    add_arguments(parser, DiffusionSettings)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: As `train_diffusion`, or if an argument is out of range.
    """
    sources = FrameSources(tuple(args.data))
    train_diffusion(sources, from_arguments(args, DiffusionTraining), from_arguments(args, DiffusionSettings))
    return 0


def train_diffusion(sources: FrameSources, training: DiffusionTraining, settings: DiffusionSettings) -> None:
    """Train, draw sample sheets, export.

    Args:
        sources: Where images come from.
        training: How they are read, and where results go.
        settings: What decides the weights.

    Raises:
        BagError: If images are missing or cannot be read, or none of them has an object that captions could name.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        InvalidValueError: If images have no labels and `caption_model` is empty.
        ModelError: If the checkpoint does not fit, training diverges, an export differs from torch, or the detector
            for captions fails.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    import torch  # noqa: PLC0415 - the command line must not need torch

    from robot_vision.train.common import pick_device  # noqa: PLC0415
    from robot_vision.train.diffusion_export import export_generator  # noqa: PLC0415
    from robot_vision.train.diffusion_fit import DiffusionFit  # noqa: PLC0415
    from robot_vision.train.diffusion_report import write_samples  # noqa: PLC0415

    if training.threads:
        torch.set_num_threads(training.threads)
    spec = image_spec(training.size_px)
    images = _training_set(sources, training, spec)
    name = training.name or ("diffusion" if sources.data else "simworld_diffusion")
    fit = DiffusionFit(settings, images.vocabulary(), training.size_px, pick_device())
    checkpoint = training.work / f"{name}.pt"
    if training.resume:
        fit.restore(checkpoint)
    while not fit.finished:
        entry = fit.run_epoch(images)
        shown = ", ".join(f"{key} {value:.5g}" for key, value in entry.items())
        print(f"epoch {fit.epochs_done}: {shown}", flush=True)
        if fit.finished or fit.epochs_done % training.save_every == 0:
            fit.save(checkpoint)
            _draw_curves(fit, training, name)
        trained = fit.epochs_done - settings.autoencoder_epochs
        if trained > 0 and (fit.finished or trained % training.sample_every == 0):
            write_samples(training.work / f"{name}_samples_{trained:03d}.png", fit, images)
    facts = {
        "command": command_line(sources.command("robot_vision train diffusion"), training, settings),
        "data": images.text, "images": len(images.rgb),
        "seconds": round(sum(entry["seconds"] for entry in fit.history)),
    }  # fmt: skip
    origin = "trained by robot_vision" + ("" if sources.data else " on its simulated camera world")
    export_generator(fit, images, spec, facts, origin, training.out / f"{name}.onnx")


def image_spec(size_px: int) -> InputSpec:
    """How images are brought to the network's size."""
    return InputSpec(
        name="image", size_wh=(size_px, size_px), colour="RGB", resize="stretch", pad_value=0, scale=1 / 255,
        interpolation="area",
    )  # fmt: skip


def _training_set(sources: FrameSources, training: DiffusionTraining, spec: InputSpec) -> DescribedSet:
    from robot_vision.errors import BagError  # noqa: PLC0415
    from robot_vision.train.diffusion_data import described_images, stacked_set  # noqa: PLC0415
    from robot_vision.train.vae_sources import Shrinker, open_images  # noqa: PLC0415

    places = list(sources.data) or [_rendered(training.work / "simulated" / "captioned", training.jobs)]
    opened = [open_images(place, training.topic) for place in places]
    text = ", ".join(one.title for one in opened) if sources.data else _RENDERING
    described = (image for one in opened for image in described_images(one, training.caption_model))
    found = stacked_set(described, Shrinker(spec), text)
    if not any(found.subjects):
        raise BagError(
            f"{text}: no image shows an object that a caption could name; give labelled images, or another "
            "--caption-model"
        )
    return found


def _rendered(folder: Path, jobs: int) -> Path:
    """The simulated training images, rendered as far as they are missing."""
    from robot_vision.sim.captioned import CaptionedConfig  # noqa: PLC0415 - needs MuJoCo
    from robot_vision.sim.coco import write_dataset  # noqa: PLC0415

    write_dataset(CaptionedConfig(folder, CAPTIONED_IMAGES, CAPTIONED_SEED_BASE, jobs=jobs))
    return folder


def _draw_curves(fit: DiffusionFit, training: DiffusionTraining, name: str) -> None:
    from robot_vision.train.curves import Panel, write_panels  # noqa: PLC0415

    panels = [Panel("mean absolute error of the autoencoder", {"training": "l1"}),
              Panel("squared error of the denoiser", {"training": "loss"})]  # fmt: skip
    write_panels(training.work / f"{name}_curves.png", fit.history, panels)
