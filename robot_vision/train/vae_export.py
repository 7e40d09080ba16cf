"""Trained encoders and decoders as ONNX files with model cards."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from robot_vision.runtime.card import InputSpec
from robot_vision.train.export import export_onnx, source_commit, write_card
from robot_vision.train.vae_data import to_images
from robot_vision.train.vae_report import VaeFigures, measure, pca_error, psnr_db, salient_error, write_comparison
from robot_vision.train.vae_settings import FitSettings
from robot_vision.train.vae_sources import FrameSet
from robot_vision.types import Float32Array

EXPORT_TOLERANCE = 1e-4


class Product(NamedTuple):
    """What a training made.

    Attributes:
        networks: `Autoencoder` or `LinearAutoencoder` on the CPU.
        settings: What it was made with.
        training: Facts for the card: command, epochs, seconds and the like.
        source: Where the networks come from, in a few words.
    """

    networks: nn.Module
    settings: FitSettings
    training: dict[str, Any]
    source: str


def export_product(
    product: Product, frames: FrameSet, held_out: FrameSet, spec: InputSpec, *, out: Path, name: str, picture: Path
) -> None:
    """Write both networks with cards, for any number of images at once, and a picture of reconstructions.

    Args:
        product: What to export.
        frames: Training frames, for the linear baseline.
        held_out: Frames for statistics, calibration and figures.
        spec: Preprocessing of the encoder.
        out: Folder of the files `<name>_encoder` and `<name>_decoder`.
        name: First part of their names.
        picture: PNG to write.

    Raises:
        ModelError: If ONNX Runtime differs from torch by more than 1e-4.
    """
    networks, settings = product.networks, product.settings
    figures = measure(networks, held_out.rgb)
    measured = _measured(figures, held_out)
    if settings.kind != "pca":
        measured |= _errors("pca_", pca_error(frames.rgb, held_out.rgb, settings.latent_size))
    encoder_path, decoder_path = (out / f"{name}_{part}.onnx" for part in ("encoder", "decoder"))
    image = to_images(held_out.rgb[:1])
    outputs = ["mean"] if figures.kl_per_dimension is None else ["mean", "log_variance"]
    export_onnx(
        networks.encoder, image, encoder_path,
        input_name=spec.name, output_names=outputs, tolerance=EXPORT_TOLERANCE, free_batch=True,
    )  # fmt: skip
    export_onnx(
        networks.decoder, networks.encoder(image)[0].detach(), decoder_path,
        input_name="latent", output_names=["image"], tolerance=EXPORT_TOLERANCE, free_batch=True,
    )  # fmt: skip
    facts = {"kind": settings.kind, **_noise(settings), **product.training, "commit": source_commit()}
    common = {
        "source": product.source,
        "training": facts | {"data": frames.text, "data_sha256": frames.sha256},
        "measured": {"data": held_out.text, "data_sha256": held_out.sha256} | measured,
    }
    write_card(decoder_path, {**_decoder_card(settings, spec), **common})
    write_card(encoder_path, {**_encoder_card(settings, spec, figures, outputs, decoder_path), **common})
    write_comparison(picture, held_out.rgb, figures.reconstructions)
    print(f"wrote {encoder_path} and {decoder_path}: {measured}", flush=True)


def _encoder_card(
    settings: FitSettings, spec: InputSpec, figures: VaeFigures, outputs: list[str], decoder_path: Path
) -> dict[str, Any]:
    errors = figures.frame_errors.astype("float64")
    # The error of one frame only, or of equal ones, has no deviation to measure novelty in.
    novelty = (
        {"novelty": {"error_mean": float(errors.mean()), "error_std": float(errors.std())}} if errors.std() else {}
    )
    return {
        "task": "latent_encoder",
        "input": {
            "name": spec.name, "size_wh": list(spec.size_wh), "colour": spec.colour,
            "resize": spec.resize, "interpolation": spec.interpolation, "scale": spec.scale,
        },
        "output": {output: output for output in outputs},
        "latent": {
            "size": settings.latent_size,
            "statistics": {"mean": _rounded(figures.statistics_mean), "std": _rounded(figures.statistics_std)},
            "decoder": decoder_path.with_suffix(".yaml").name,
            **novelty,
        },
    }  # fmt: skip


def _decoder_card(settings: FitSettings, spec: InputSpec) -> dict[str, Any]:
    return {
        "task": "latent_decoder",
        "output": {"name": "image", "size_wh": list(spec.size_wh), "colour": spec.colour, "scale": spec.scale},
        "latent": {"size": settings.latent_size},
    }


def _noise(settings: FitSettings) -> dict[str, str]:
    return {"noise": f"{settings.corruption:g} of the input's pixels black"} if settings.kind == "dae" else {}


def _measured(figures: VaeFigures, held_out: FrameSet) -> dict[str, Any]:
    measured = _errors("", figures.mse)
    if held_out.pixels.shape[1] == 4:
        inside = salient_error(held_out.rgb, figures.reconstructions, held_out.pixels[:, 3:])
        measured |= {} if math.isnan(inside) else _errors("salient_", inside)
    if figures.kl_per_dimension is not None:
        measured |= {
            "kl_nats": round(float(figures.kl_per_dimension.sum()), 2),
            "kl_per_dimension": _rounded(figures.kl_per_dimension, 3),
            "active_dimensions": len(figures.kl_per_dimension) - len(figures.collapsed_dimensions),
            "collapsed_dimensions": figures.collapsed_dimensions,
        }
    return measured


def _errors(prefix: str, mse: float) -> dict[str, float]:
    return {f"{prefix}mse": round(mse, 6), f"{prefix}psnr_db": round(psnr_db(mse), 2)}


def _rounded(values: Float32Array, digits: int = 6) -> list[float]:
    return [round(float(value), digits) for value in values]
