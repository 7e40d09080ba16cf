"""A trained image generator as three ONNX files with model cards: denoiser, encoder and decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from robot_vision.runtime.card import InputSpec
from robot_vision.train.diffusion_autoencoder import encode
from robot_vision.train.diffusion_data import DescribedSet
from robot_vision.train.diffusion_fit import DiffusionFit
from robot_vision.train.export import export_onnx, source_commit, write_card
from robot_vision.train.vae_data import to_images

EXPORT_TOLERANCE = 2e-4
DEFAULT_STEPS = 15
DEFAULT_GUIDANCE = 2.5
_LIMIT_QUANTILE = 0.9999
_SAMPLE = 2000


def export_generator(
    fit: DiffusionFit, images: DescribedSet, spec: InputSpec, training: dict[str, Any], source: str, path: Path
) -> None:
    """Write `<path>`, `<stem>_encoder.onnx` and `<stem>_decoder.onnx`, for any number of images at once, with cards.

    Args:
        fit: The finished training; its networks move to the CPU.
        images: Training images, for the statistics of the latents.
        spec: Preprocessing of the encoder.
        training: Facts for the cards: command, seconds and the like.
        source: Where the networks come from, in a few words.
        path: File of the denoiser.

    Raises:
        ModelError: If ONNX Runtime differs from torch by more than 2e-4.
    """
    autoencoder, denoiser = fit.autoencoder.cpu().eval(), fit.average.network.cpu().eval()
    latents = encode(autoencoder, images.rgb[:: max(1, len(images.rgb) // _SAMPLE)])
    encoder_path, decoder_path = (path.with_name(f"{path.stem}_{part}.onnx") for part in ("encoder", "decoder"))
    image = to_images(images.rgb[:2])
    export_onnx(
        autoencoder.encoder, image, encoder_path,
        input_name=spec.name, output_names=["mean"], tolerance=EXPORT_TOLERANCE, free_batch=True,
    )  # fmt: skip
    export_onnx(
        autoencoder.decoder, latents[:2], decoder_path,
        input_name="latent", output_names=["image"], tolerance=EXPORT_TOLERANCE, free_batch=True,
    )  # fmt: skip
    tokens = torch.from_numpy(fit.vocabulary.tokens(fit.vocabulary.words[0]))[None].repeat(2, 1)
    example = (latents[:2].unflatten(1, fit.latent_shape), torch.tensor([10.0, 500.0]), tokens)
    export_onnx(
        denoiser, example, path, input_name=["sample", "timestep", "tokens"], output_names=["prediction"],
        tolerance=EXPORT_TOLERANCE, free_batch=True,
    )  # fmt: skip
    common = {"source": source, "training": {**training, "commit": source_commit()}}
    size = {"size": latents.shape[1]}
    write_card(decoder_path, {
        "task": "latent_decoder",
        "output": {"name": "image", "size_wh": list(spec.size_wh), "colour": spec.colour, "scale": spec.scale},
        "latent": size, **common,
    })  # fmt: skip
    write_card(encoder_path, {
        "task": "latent_encoder",
        "input": {
            "name": spec.name, "size_wh": list(spec.size_wh), "colour": spec.colour,
            "resize": spec.resize, "interpolation": spec.interpolation, "scale": spec.scale,
        },
        "output": {"mean": "mean"},
        "latent": {**size, "decoder": decoder_path.with_suffix(".yaml").name},
        **common,
    })  # fmt: skip
    limit = float(latents.abs().flatten().kthvalue(int(_LIMIT_QUANTILE * latents.numel())).values)
    write_card(path, {
        "task": "diffusion",
        "diffusion": {
            "prediction": fit.settings.prediction, "schedule": fit.settings.schedule,
            "timesteps": fit.settings.timesteps, "latent_shape": list(fit.latent_shape),
            "latent_limit": round(limit, 2), "words": list(fit.vocabulary.words),
            "max_words": fit.vocabulary.max_words, "class_names": list(images.class_names()),
            "encoder": encoder_path.with_suffix(".yaml").name, "decoder": decoder_path.with_suffix(".yaml").name,
            "steps": DEFAULT_STEPS, "guidance": DEFAULT_GUIDANCE,
        },
        **common,
    })  # fmt: skip
    print(f"wrote {path}, {encoder_path} and {decoder_path}", flush=True)
