"""What a trained encoder is worth: figures on held-out frames beside a linear baseline, and pictures to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from robot_vision.train.curves import Panel, write_panels
from robot_vision.train.pca import LinearAutoencoder, principal_components
from robot_vision.train.vae_fit import reconstruct
from robot_vision.train.vae_model import gaussian_kl
from robot_vision.types import Float32Array, UInt8Array

ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class VaeFigures:
    """Figures of one encoder on held-out frames; reconstructions are decoded from the means.

    Attributes:
        statistics_mean: (D,) mean over frames of each latent mean.
        statistics_std: (D,) standard deviation over frames of each latent mean.
        kl_per_dimension: (D,) nats; None if not variational.
        frame_errors: (N,) mean squared error of each frame in [0, 1] units.
        reconstructions: (N, 3, H, W) float32 in [0, 1].
    """

    statistics_mean: Float32Array
    statistics_std: Float32Array
    kl_per_dimension: Float32Array | None
    frame_errors: Float32Array
    reconstructions: Float32Array

    @property
    def mse(self) -> float:
        """Mean squared error over all frames in [0, 1] units."""
        return float(self.frame_errors.mean(dtype=np.float64))

    @property
    def collapsed_dimensions(self) -> list[int]:
        """Dimensions that carry nothing: the variance of their mean over frames is at most 0.01.

        Criterion of Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders" (2016), section 4.2; it means
        something for a variational autoencoder only, whose prior sets the scale.
        """
        return [int(index) for index in np.flatnonzero(self.statistics_std**2 <= ACTIVE_VARIANCE)]


def measure(networks: nn.Module, held_out: UInt8Array) -> VaeFigures:
    """Figures of an encoder and its decoder.

    Args:
        networks: Trained `Autoencoder` or `LinearAutoencoder`.
        held_out: (N, 3, H, W) uint8, not used in training.

    Returns:
        The figures.
    """
    mean, log_variance, images = reconstruct(networks, held_out)
    errors = frame_errors(held_out, images.numpy())
    kl = None if log_variance is None else gaussian_kl(mean, log_variance).mean(dim=0).numpy()
    return VaeFigures(mean.mean(dim=0).numpy(), mean.numpy().std(axis=0), kl, errors, images.numpy())


def frame_errors(frames: UInt8Array, images: Float32Array) -> Float32Array:
    """Mean squared error of each frame.

    Args:
        frames: (N, 3, H, W) uint8.
        images: (N, 3, H, W) float32 in [0, 1].

    Returns:
        (N,) float32, in [0, 1] units.
    """
    differences = images - frames.astype(np.float32) / 255
    return np.asarray(np.square(differences).mean(axis=(1, 2, 3)), np.float32)


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error in [0, 1] units, in decibels."""
    return -10 * math.log10(max(mse, np.finfo(np.float32).tiny))


def salient_error(frames: UInt8Array, images: Float32Array, coverage: UInt8Array) -> float:
    """Mean squared error inside the boxes of all frames together.

    Args:
        frames: (N, 3, H, W) uint8.
        images: (N, 3, H, W) float32 in [0, 1].
        coverage: (N, 1, H, W) uint8, share of each pixel that lies in a box, 255 for all of it.

    Returns:
        In [0, 1] units; NaN if there is no box.
    """
    squares = np.square(images - frames.astype(np.float32) / 255).mean(axis=1, keepdims=True)
    weight = float(coverage.sum(dtype=np.float64))
    return float((squares * coverage).sum(dtype=np.float64)) / weight if weight else math.nan


def pca_error(frames: UInt8Array, held_out: UInt8Array, components: int) -> float:
    """Held-out error of principal component analysis: the best linear code of the same size.

    Args:
        frames: (N, 3, H, W) uint8, which the components are fitted to.
        held_out: (M, 3, H, W) uint8.
        components: Number of components.

    Returns:
        Mean squared error in [0, 1] units.

    Raises:
        InvalidValueError: If there are too few frames for that many components, or all are equal.
    """
    networks = LinearAutoencoder.of(principal_components(frames, components), frames.shape[1:])
    return measure(networks, held_out).mse


def write_comparison(path: Path, frames: UInt8Array, images: Float32Array, columns: int = 12) -> None:
    """Picture of frames above their reconstructions, evenly drawn from all.

    Args:
        path: PNG to write.
        frames: (N, 3, H, W) uint8.
        images: (N, 3, H, W) float32 in [0, 1].
        columns: Frames per row.
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), 3 * columns)).astype(int)
    rows = []
    for start in range(0, len(chosen) - columns + 1, columns) or [0]:
        row = chosen[start : start + columns]
        rows += [_strip(frames[row]), _strip(np.rint(images[row] * 255).astype(np.uint8))]
    sheet = np.concatenate(rows, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(sheet[..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))


def _strip(images: UInt8Array) -> UInt8Array:
    return np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)


def write_curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Plot the error over the epochs, and the KL of a variational autoencoder.

    Args:
        path: PNG to write.
        history: One dict per epoch, as `Fit.history`.
    """
    panels = [Panel("mean squared error", {"training": "mse", "held out": "held_out_mse"})]
    if "kl" in history[0]:
        panels.append(Panel("KL, nats per frame", {"training": "kl", "held out": "held_out_kl"}))
    write_panels(path, history, panels)
