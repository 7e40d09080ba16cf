"""`robot_vision train vae`: trains the latent encoder and its decoder, writes both as ONNX files with model cards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_vision.runtime.card import InputSpec
from robot_vision.train import simulated
from robot_vision.train.options import add_arguments, command_line, from_arguments
from robot_vision.train.vae_settings import FitSettings, VaeTraining

if TYPE_CHECKING:
    from robot_vision.train.vae_fit import Fit
    from robot_vision.train.vae_report import VaeFigures
    from robot_vision.types import Float32Array, UInt8Array

VAE_INPUT = InputSpec(
    name="image", size_wh=(64, 64), colour="RGB", resize="stretch", pad_value=0, scale=1 / 255, interpolation="area"
)
EXPORT_TOLERANCE = 1e-4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision train vae`.
    """
    add_arguments(parser, VaeTraining)
    add_arguments(parser, FitSettings)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        InvalidValueError: If an argument is out of range.
        BagError: If images are missing or cannot be read.
        ModelError: If the checkpoint does not fit, training diverges or an export differs from torch.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    train_vae(from_arguments(args, VaeTraining), from_arguments(args, FitSettings))
    return 0


def train_vae(training: VaeTraining, settings: FitSettings) -> None:
    """Train, measure, export.

    Args:
        training: Where images come from and results go.
        settings: What decides the weights.

    Raises:
        BagError: If images are missing or cannot be read.
        ModelError: If the checkpoint does not fit, training diverges or an export differs from torch.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    import torch  # noqa: PLC0415 - the command line must not need torch

    from robot_vision.train.common import pick_device  # noqa: PLC0415
    from robot_vision.train.vae_fit import Fit  # noqa: PLC0415
    from robot_vision.train.vae_report import write_curves  # noqa: PLC0415

    if training.threads:
        torch.set_num_threads(training.threads)
    frames, held_out, description = load_data(training)
    checkpoint = training.work / "vae.pt"
    fit = Fit.load(checkpoint, settings, pick_device()) if training.resume else Fit(settings, pick_device())
    while fit.epochs_done < settings.epochs:
        entry = fit.run_epoch(frames, held_out)
        fit.save(checkpoint)
        shown = ", ".join(f"{name} {value:.5g}" for name, value in entry.items())
        print(f"epoch {fit.epochs_done}/{settings.epochs}: {shown}", flush=True)
        write_curves(training.work / "curves.png", fit.history)
    export_vae(fit, frames, held_out, training, description)


def load_data(training: VaeTraining) -> tuple[UInt8Array, UInt8Array, dict[str, str]]:
    """Training and held-out frames, rendered first where no folder was given.

    Args:
        training: Where images come from.

    Returns:
        Two arrays (N, 3, 64, 64) uint8, and what each is, for the cards, under `training` and `held_out`.

    Raises:
        BagError: If images are missing or cannot be read.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    from robot_vision.train.vae_data import find_images, load_frames, split_tail  # noqa: PLC0415

    if training.data is None:
        paths = {
            name: find_images(simulated.render(training.work / "simulated", name, training.jobs))
            for name in simulated.SIMULATED_SETS
        }
        texts = {name: simulated.description(name) for name in simulated.SIMULATED_SETS}
    else:
        kept, tail = find_images(training.data), None
        if training.validation is None:
            kept, tail = split_tail(kept)
        paths = {"training": kept, "held_out": tail or find_images(training.validation)}
        texts = {
            name: f"{len(files)} images of folder {files[0].parent.resolve().name}" for name, files in paths.items()
        }
    cache = training.work / "cache"
    return load_frames(paths["training"], VAE_INPUT, cache), load_frames(paths["held_out"], VAE_INPUT, cache), texts


def export_vae(
    fit: Fit, frames: UInt8Array, held_out: UInt8Array, training: VaeTraining, description: dict[str, str]
) -> None:
    """Write both networks with cards, and a picture of reconstructions.

    Args:
        fit: Run to export, as it stands.
        frames: (N, 3, 64, 64) uint8 training frames, for the linear baseline.
        held_out: (M, 3, 64, 64) uint8 frames for statistics, calibration and figures.
        training: Where results go.
        description: What the frames are, under `training` and `held_out`.

    Raises:
        ModelError: If ONNX Runtime differs from torch.
    """
    from robot_vision.train.export import export_onnx, source_commit, write_card  # noqa: PLC0415
    from robot_vision.train.vae_data import to_images  # noqa: PLC0415
    from robot_vision.train.vae_report import measure, pca_error, write_comparison  # noqa: PLC0415

    vae = fit.vae.cpu()
    figures = measure(vae, held_out)
    encoder_path, decoder_path = (training.out / f"{training.name}_{part}.onnx" for part in ("encoder", "decoder"))
    image = to_images(held_out[:1])
    export_onnx(
        vae.encoder, image, encoder_path,
        input_name=VAE_INPUT.name, output_names=["mean", "log_variance"], tolerance=EXPORT_TOLERANCE,
    )  # fmt: skip
    export_onnx(
        vae.decoder, vae.encoder(image)[0].detach(), decoder_path,
        input_name="latent", output_names=["image"], tolerance=EXPORT_TOLERANCE,
    )  # fmt: skip
    world = " on its simulated camera world" if training.data is None else ""
    common = {
        "source": f"trained by robot_vision{world}",
        "training": {
            "command": command_line("robot_vision train vae", training, fit.settings), "commit": source_commit(),
            "data": description["training"], "epochs": fit.epochs_done, "seconds": round(fit.seconds),
        },
        "measured": {
            "data": description["held_out"],
            **_measured(figures, pca_error(frames, held_out, fit.settings.latent_size)),
        },
    }  # fmt: skip
    write_card(decoder_path, {**_decoder_card(fit.settings), **common})
    write_card(encoder_path, {**_encoder_card(fit.settings, figures, decoder_path), **common})
    write_comparison(training.work / "reconstructions.png", held_out, figures.reconstructions)
    print(f"wrote {encoder_path} and {decoder_path}: {common['measured']}", flush=True)


def _encoder_card(settings: FitSettings, figures: VaeFigures, decoder_path: Path) -> dict[str, Any]:
    errors = figures.frame_errors.astype("float64")
    return {
        "task": "latent_encoder",
        "input": {
            "name": VAE_INPUT.name, "size_wh": list(VAE_INPUT.size_wh), "colour": VAE_INPUT.colour,
            "resize": VAE_INPUT.resize, "interpolation": VAE_INPUT.interpolation, "scale": VAE_INPUT.scale,
        },
        "output": {"mean": "mean", "log_variance": "log_variance"},
        "latent": {
            "size": settings.latent_size,
            "statistics": {"mean": _rounded(figures.statistics_mean), "std": _rounded(figures.statistics_std)},
            "decoder": decoder_path.with_suffix(".yaml").name,
            "novelty": {"error_mean": float(errors.mean()), "error_std": float(errors.std())},
        },
    }  # fmt: skip


def _decoder_card(settings: FitSettings) -> dict[str, Any]:
    return {
        "task": "latent_decoder",
        "output": {
            "name": "image", "size_wh": list(VAE_INPUT.size_wh), "colour": VAE_INPUT.colour, "scale": VAE_INPUT.scale,
        },
        "latent": {"size": settings.latent_size},
    }  # fmt: skip


def _measured(figures: VaeFigures, pca_mse: float) -> dict[str, Any]:
    from robot_vision.train.vae_report import psnr_db  # noqa: PLC0415

    return {
        "mse": round(figures.mse, 6), "psnr_db": round(psnr_db(figures.mse), 2),
        "pca_mse": round(pca_mse, 6), "pca_psnr_db": round(psnr_db(pca_mse), 2),
        "kl_nats": round(float(figures.kl_per_dimension.sum()), 2),
        "kl_per_dimension": _rounded(figures.kl_per_dimension, 3),
        "active_dimensions": len(figures.kl_per_dimension) - len(figures.collapsed_dimensions),
        "collapsed_dimensions": figures.collapsed_dimensions,
    }  # fmt: skip


def _rounded(values: Float32Array, digits: int = 6) -> list[float]:
    return [round(float(value), digits) for value in values]
