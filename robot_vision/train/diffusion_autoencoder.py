"""First stage of the training of image generation: the autoencoder whose latent maps are then learnt to be generated.

A variational autoencoder whose posterior has a fixed variance: noise on the latents, and their squares in the loss
(Ghosh et al., "From Variational to Deterministic Autoencoders", 2020, section 3). The noise makes the decoder forgive
what the denoiser gets slightly wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from robot_vision.errors import ModelError
from robot_vision.train.common import generator, warmup_cosine
from robot_vision.train.diffusion_model import ImageAutoencoder
from robot_vision.train.diffusion_settings import DiffusionSettings
from robot_vision.train.vae_data import batches, to_images
from robot_vision.types import Float32Array, UInt8Array

LATENT_NOISE = 0.1
LATENT_WEIGHT = 1e-4
_CHUNK = 250


def train_epoch(
    networks: ImageAutoencoder,
    optimizer: torch.optim.Optimizer,
    rgb: UInt8Array,
    settings: DiffusionSettings,
    epoch: int,
) -> dict[str, float]:
    """One pass over the images.

    Args:
        networks: Changed in place.
        optimizer: Of the networks.
        rgb: (N, 3, H, W) uint8.
        settings: What was asked for.
        epoch: Number of the pass, from 0.

    Returns:
        `l1` (mean absolute error, pixels in [0, 1]) and `seconds`.

    Raises:
        ModelError: If the loss is not finite.
    """
    start_s = time.perf_counter()
    device = next(networks.parameters()).device
    rng = generator(settings.seed, 1, epoch)
    noise_source = torch.Generator().manual_seed(int(rng.integers(2**62)))
    count = max(1, len(rgb) // settings.batch_size)
    total = settings.autoencoder_epochs * count
    errors = []
    label = f"autoencoder {epoch + 1}/{settings.autoencoder_epochs}"
    for step, images in enumerate(tqdm(batches(rgb, settings.batch_size, rng), total=count, desc=label, leave=False)):
        views = mirrored(images, rng).to(device)
        for group in optimizer.param_groups:
            rate = warmup_cosine(epoch * count + step, total, max(1, total // 20))
            group["lr"] = settings.autoencoder_learning_rate * rate
        latent = networks.encoder(views)
        noise = LATENT_NOISE * torch.randn(latent.shape, generator=noise_source).to(device)
        error = functional.l1_loss(networks.decoder(latent + noise), views)
        optimizer.zero_grad(set_to_none=True)
        (error + LATENT_WEIGHT * latent.square().mean()).backward()
        optimizer.step()
        errors.append(error.detach())
    mean = torch.stack(errors).mean().item()
    if not math.isfinite(mean):
        raise ModelError(f"the autoencoder diverged in epoch {epoch + 1}; lower --autoencoder-learning-rate")
    return {"l1": mean, "seconds": time.perf_counter() - start_s}


def mirrored(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Each image mirrored left to right, or not, by chance."""
    flags = torch.from_numpy(rng.random(len(images)) < 0.5)
    return torch.where(flags[:, None, None, None], images.flip(3), images)


@torch.no_grad()
def encode(networks: ImageAutoencoder, rgb: UInt8Array, mirror: bool = False) -> Tensor:
    """Latents of images.

    Args:
        networks: The autoencoder.
        rgb: (N, 3, H, W) uint8.
        mirror: Encode the images mirrored left to right.

    Returns:
        (N, D) float32 on the CPU.
    """
    device = next(networks.parameters()).device
    parts = []
    for start in range(0, len(rgb), _CHUNK):
        images = to_images(rgb[start : start + _CHUNK])
        parts.append(networks.encoder((images.flip(3) if mirror else images).to(device)).cpu())
    return torch.cat(parts)


def decoding(networks: ImageAutoencoder) -> Callable[[Float32Array], UInt8Array]:
    """The decoder as a function of latents (N, D) float32, which gives (N, H, W, 3) uint8 RGB."""
    device = next(networks.parameters()).device

    @torch.no_grad()
    def decode(latents: Float32Array) -> UInt8Array:
        images = networks.decoder(torch.from_numpy(latents).to(device)).clamp(0, 1)
        return np.asarray((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())

    return decode


def normalise(networks: ImageAutoencoder, rgb: UInt8Array, channels: int) -> None:
    """Let latents have mean 0 and standard deviation 1 a channel over these images.

    Args:
        networks: Changed in place.
        rgb: (N, 3, H, W) uint8.
        channels: Channels of the latent map.
    """
    maps = encode(networks, rgb).unflatten(1, (channels, -1))
    # A channel that is not used stays finite.
    networks.set_scale(maps.mean(dim=(0, 2)), maps.std(dim=(0, 2)).clamp(min=1e-3))
