"""Principal component analysis of images, and linear networks that encode and decode with it.

After Hotelling, "Analysis of a Complex of Statistical Variables into Principal Components" (1933). Of all linear codes
of a size it has the smallest squared error (Eckart & Young 1936); a linear autoencoder can reach it and not more (Baldi
& Hornik, "Neural Networks and Principal Component Analysis", 1989).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from robot_vision.errors import InvalidValueError
from robot_vision.types import Float32Array, Float64Array, UInt8Array

_FRAMES_AT_ONCE = 512
_TOLERANCE = 1e-6
"""Relative accuracy of the eigenvalues; the products are computed with 24 bits."""


class Components(NamedTuple):
    """Principal components of frames of P values in [0, 1].

    Attributes:
        centre: (P,) float64, mean of the frames.
        basis: (K, P) float64, orthonormal rows by falling variance, the largest value of each positive.
        variances: (K,) float64, variance along each, the eigenvalues of the covariance (divided by N).
        total_variance: Sum of the variances of all values.
    """

    centre: Float64Array
    basis: Float64Array
    variances: Float64Array
    total_variance: float

    @property
    def explained(self) -> float:
        """Share of the variance that the components hold, in [0, 1]."""
        return float(self.variances.sum() / self.total_variance)


def check_component_count(frames: UInt8Array, count: int) -> None:
    """Whether frames have that many principal components.

    Args:
        frames: (N, C, H, W) uint8.
        count: Number of components.

    Raises:
        InvalidValueError: If there are too few frames or values for that many, or all frames are equal.
    """
    limit = min(len(frames), frames[0].size)
    if count >= limit:
        raise InvalidValueError(
            f"latent_size: {count} principal components need more than {count} training frames, and frames of more "
            f"values; got {len(frames)} of {frames[0].size}"
        )
    if (frames == frames[0]).all():
        raise InvalidValueError(f"data: all {len(frames)} training frames are equal; there is nothing to learn")


def principal_components(frames: UInt8Array, count: int) -> Components:
    """The first principal components of frames, from all of them and to the accuracy of float32.

    Eigenvectors of the covariance by the Lanczos method, which needs its products with vectors only: a pass over the
    bytes each, and no more memory whatever the number of frames.

    Args:
        frames: (N, C, H, W) uint8.
        count: Number of components.

    Returns:
        The components of the values over 255.

    Raises:
        InvalidValueError: If there are too few frames or values for that many, or all frames are equal.
    """
    check_component_count(frames, count)
    rows = frames.reshape(len(frames), -1)
    size = rows.shape[1]
    centre = rows.mean(axis=0, dtype=np.float64) / 255
    centre32 = centre.astype(np.float32)

    def centred(start: int) -> Float32Array:
        block = rows[start : start + _FRAMES_AT_ONCE].astype(np.float32)
        block *= np.float32(1 / 255)
        block -= centre32
        return block

    starts = range(0, len(rows), _FRAMES_AT_ONCE)
    total = sum(float(np.square(centred(start), dtype=np.float64).sum()) for start in starts) / len(rows)

    def times_covariance(vector: Float64Array) -> Float64Array:
        narrow, product = vector.reshape(-1).astype(np.float32), np.zeros(size)
        for start in starts:
            block = centred(start)
            product += (block @ narrow) @ block
        return product / len(rows)

    operator = LinearOperator((size, size), matvec=times_covariance, dtype=np.float64)
    first = np.random.default_rng(0).standard_normal(size)
    variances, vectors = eigsh(operator, k=count, tol=_TOLERANCE, v0=first)
    basis = vectors.T[::-1]
    largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
    return Components(centre, basis * np.sign(largest), np.maximum(variances[::-1], 0), total)


class LinearEncoder(nn.Module):
    """Images to a linear code."""

    def __init__(self, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.linear = nn.Linear(channels * height * width, latent_size)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Code of each image.

        Args:
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            (N, D), as the only entry.
        """
        return (self.linear(images.flatten(1)),)


class LinearDecoder(nn.Module):
    """Linear codes to images."""

    def __init__(self, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.linear = nn.Linear(latent_size, channels * height * width)
        self.unflatten = nn.Unflatten(1, image_shape)

    def forward(self, latents: Tensor) -> Tensor:
        """Images for codes.

        Args:
            latents: (N, D) float32.

        Returns:
            (N, C, H, W) float32, not limited to [0, 1].
        """
        return self.unflatten(self.linear(latents))


class LinearAutoencoder(nn.Module):
    """Linear encoder and decoder together, with random weights."""

    def __init__(self, image_shape: tuple[int, int, int], latent_size: int) -> None:
        super().__init__()
        self.encoder = LinearEncoder(image_shape, latent_size)
        self.decoder = LinearDecoder(image_shape, latent_size)

    @classmethod
    def of(cls, components: Components, image_shape: tuple[int, int, int]) -> LinearAutoencoder:
        """The networks of a principal component analysis: z = B (x - c), x-hat = B' z + c.

        Args:
            components: The components.
            image_shape: Channels, height and width of an image.

        Returns:
            The networks.
        """
        networks = cls(image_shape, len(components.basis))
        basis, centre = torch.from_numpy(components.basis), torch.from_numpy(components.centre)
        with torch.no_grad():
            networks.encoder.linear.weight.copy_(basis)
            networks.encoder.linear.bias.copy_(-(basis @ centre))
            networks.decoder.linear.weight.copy_(basis.T)
            networks.decoder.linear.bias.copy_(centre)
        return networks
