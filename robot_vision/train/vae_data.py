"""Batches of frames for the encoder's training: random views, saliency as a fourth channel, corrupted inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from robot_vision.types import UInt8Array

MIN_VIEW = 0.75
LIGHT_RANGE = 0.15
TINT_RANGE = 0.08


def to_images(frames: UInt8Array) -> torch.Tensor:
    """Bytes to network input.

    Args:
        frames: (N, C, H, W) uint8.

    Returns:
        (N, C, H, W) float32 in [0, 1].
    """
    return torch.from_numpy(frames).to(torch.float32).div_(255.0)


def batches(frames: UInt8Array, batch_size: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """One epoch of shuffled batches; a last incomplete batch is dropped unless it is the only one.

    Args:
        frames: (N, C, H, W) uint8.
        batch_size: Images per batch.
        rng: Source of the order.

    Yields:
        (B, C, H, W) float32 in [0, 1].
    """
    order = rng.permutation(len(frames))
    for step in range(max(1, len(order) // batch_size)):
        yield to_images(frames[order[step * batch_size : (step + 1) * batch_size]])


def augment(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random views of images: mirrored, cut out and enlarged, brighter or darker, of other tints.

    Views that another camera pose or another light could have given; a view never leaves its image.

    Args:
        images: (N, 3, H, W) float32 in [0, 1], or with further channels, which move with the image and keep their
            values.
        rng: Source of all randomness.

    Returns:
        A new array of the same shape and device, in [0, 1].
    """
    count = len(images)
    zoom = rng.uniform(MIN_VIEW, 1.0, count)
    affine = np.zeros((count, 2, 3), np.float32)
    affine[:, 0, 0] = zoom * rng.choice([-1.0, 1.0], count)
    affine[:, 1, 1] = zoom
    affine[:, :, 2] = rng.uniform(-1, 1, (count, 2)) * (1 - zoom)[:, None]
    grid = functional.affine_grid(torch.from_numpy(affine).to(images.device), list(images.shape), align_corners=False)
    views = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    light = rng.uniform(1 - LIGHT_RANGE, 1 + LIGHT_RANGE, (count, 1))
    tint = rng.uniform(1 - TINT_RANGE, 1 + TINT_RANGE, (count, 3))
    gains = torch.from_numpy((light * tint).astype(np.float32)).to(images.device)
    views[:, :3].mul_(gains[:, :, None, None]).clamp_(0, 1)
    return views


def corrupt(images: torch.Tensor, share: float, source: torch.Generator) -> torch.Tensor:
    """Masking noise of the denoising autoencoder: every pixel turns black with a probability.

    After Vincent, Larochelle, Bengio & Manzagol, "Extracting and Composing Robust Features with Denoising Autoencoders"
    (2008), section 2.3, where a fixed number of inputs is set to zero; here the number is fixed on average, and the
    three colours of a pixel go together.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        share: Probability, in (0, 1).
        source: Generator on the CPU.

    Returns:
        A new (N, 3, H, W).
    """
    count, _, height, width = images.shape
    hidden = torch.rand((count, 1, height, width), generator=source) < share
    return images.masked_fill(hidden.to(images.device), 0.0)


def pixel_weights(coverage: torch.Tensor, saliency: float) -> torch.Tensor:
    """How much the error of each pixel counts: `(1 + saliency * coverage)` over its mean in the image.

    The mean of 1 leaves the reconstruction term, and so its balance with the KL, at the scale of the plain objective.

    Args:
        coverage: (N, 1, H, W) in [0, 1], share of each pixel that lies in a box.
        saliency: How much more a pixel inside a box counts than one outside.

    Returns:
        (N, 1, H, W), mean 1 over each image; all 1 for an image without boxes.
    """
    raw = 1 + saliency * coverage
    return raw / raw.mean(dim=(2, 3), keepdim=True)
