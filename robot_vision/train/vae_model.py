"""Convolutional autoencoder, variational or plain: networks and objective.

After Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), and Rezende, Mohamed & Wierstra, "Stochastic
Backpropagation and Approximate Inference in Deep Generative Models" (2014). Symbols of the papers and their names here:
x image, z latent, mu mean, log sigma^2 log_variance, x-hat reconstruction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robot_vision.errors import InvalidValueError
from robot_vision.train.vae_places import FEATURE_SIZE, BroadcastDecoder, PointEncoder, posterior
from robot_vision.train.vae_settings import Likelihood, Network

IMAGE_SIZE = 64
MIN_SIGMA = 1e-3


@dataclass(frozen=True)
class VaeShape:
    """Sizes of the networks.

    Attributes:
        latent_size: Number of latent dimensions.
        variational: Whether the encoder gives a log-variance besides the mean.
        network: `convolution`, or `places` for the networks of `vae_places`, whose channels are fixed.
        encoder_channels: Channels after each of the four stride-2 convolutions, 64 to 4 pixels.
        decoder_channels: Channels before each of the four stride-2 transposed convolutions, 4 to 64 pixels.

    Raises:
        InvalidValueError: If a size is not positive or there are not four stages.
    """

    latent_size: int = 32
    variational: bool = True
    network: Network = "convolution"
    encoder_channels: tuple[int, int, int, int] = (32, 48, 96, 128)
    decoder_channels: tuple[int, int, int, int] = (192, 96, 64, 32)

    def __post_init__(self) -> None:
        for name in ("encoder_channels", "decoder_channels"):
            channels = getattr(self, name)
            if len(channels) != 4 or min(channels) < 1:
                raise InvalidValueError(f"{name}: expected four positive numbers, got {channels}")
        if self.latent_size < 1:
            raise InvalidValueError(f"latent_size: must be at least 1, got {self.latent_size}")


class EncoderNetwork(nn.Module):
    """q(z|x): images to mean and log-variance, or to the latent of a plain autoencoder."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        channels = (3, *shape.encoder_channels)
        stages: list[nn.Module] = []
        for before, after in pairwise(channels):
            stages += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*stages)
        self.parts = 2 if shape.variational else 1
        self.head = nn.Linear(channels[-1] * FEATURE_SIZE**2, self.parts * shape.latent_size)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Posterior of each image.

        Args:
            images: (N, 3, 64, 64) float32 in [0, 1].

        Returns:
            mean (N, D) and log_variance (N, D); the latter is kept within `LOG_VARIANCE_LIMITS`. Not variational: the
            mean only.
        """
        return posterior(self.head(self.features(images).flatten(1)), self.parts)


class DecoderNetwork(nn.Module):
    """Mean of p(x|z): latents to images."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        channels = (*shape.decoder_channels, 3)
        self.stem = nn.Sequential(nn.Linear(shape.latent_size, channels[0] * FEATURE_SIZE**2), nn.ReLU())
        self.unflatten = nn.Unflatten(1, (channels[0], FEATURE_SIZE, FEATURE_SIZE))
        stages: list[nn.Module] = []
        for before, after in pairwise(channels[:-1]):
            stages += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        stages += [nn.ConvTranspose2d(channels[-2], channels[-1], 4, 2, 1), nn.Sigmoid()]
        self.stages = nn.Sequential(*stages)

    def forward(self, latents: Tensor) -> Tensor:
        """Images for latents.

        Args:
            latents: (N, D) float32.

        Returns:
            (N, 3, 64, 64) float32 in [0, 1].
        """
        return self.stages(self.unflatten(self.stem(latents)))


class Autoencoder(nn.Module):
    """Encoder and decoder together."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.encoder: nn.Module
        self.decoder: nn.Module
        if shape.network == "places":
            self.encoder = PointEncoder(shape.latent_size, shape.variational)
            self.decoder = BroadcastDecoder(shape.latent_size)
        else:
            self.encoder, self.decoder = EncoderNetwork(shape), DecoderNetwork(shape)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Reconstruct images from one sample of their posterior, z = mu + sigma * noise.

        Args:
            images: (N, 3, 64, 64) float32 in [0, 1].
            noise: (N, D) float32, standard normal; unused if not variational.

        Returns:
            Reconstructions (N, 3, 64, 64), mean (N, D) and, if variational, log_variance (N, D).
        """
        mean, *log_variance = self.encoder(images)
        latents = mean + torch.exp(0.5 * log_variance[0]) * noise if log_variance else mean
        return self.decoder(latents), mean, *log_variance


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) in closed form (Kingma & Welling 2014, appendix B).

    Args:
        mean: (N, D).
        log_variance: (N, D), natural logarithm of the variance.

    Returns:
        (N, D), nats.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)


def gaussian_nll(
    images: Tensor, reconstructions: Tensor, likelihood: Likelihood, sigma: float, weights: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood -log N(x; x-hat, sigma^2 I).

    With `optimal`, sigma is the one that maximises the likelihood of this batch, that is the root of its mean squared
    error (Rybkin, Daniilidis & Levine, "Simple and Effective VAE Training with Calibrated Decoders", 2021); weighting
    of reconstruction against KL then needs no tuning. With weights w of mean 1, each squared error e becomes w e, also
    in that mean: 1/2 sum(w e / sigma^2 + log sigma^2 + log 2 pi).

    Args:
        images: (N, 3, H, W) in [0, 1].
        reconstructions: (N, 3, H, W).
        likelihood: `optimal` or `fixed`.
        sigma: Standard deviation used with `fixed`.
        weights: (N, 1, H, W) of mean 1 over each image; None weighs all pixels the same.

    Returns:
        (N,), nats per image.
    """
    squares = (images - reconstructions).square()
    errors = (squares if weights is None else squares * weights).flatten(1)
    if likelihood == "optimal":
        variance = errors.mean().clamp(min=MIN_SIGMA**2)
    else:
        variance = torch.full((), sigma**2, dtype=errors.dtype, device=errors.device)
    return 0.5 * (errors / variance + torch.log(variance) + math.log(2 * math.pi)).sum(dim=1)


class Objective(NamedTuple):
    """What is minimised over one batch, and its parts.

    Attributes:
        loss: Scalar that is minimised, nats per image.
        nll: Scalar, reconstruction part, nats per image.
        kl_per_dimension: (D,), mean KL of each latent dimension, nats, without free bits; None if not variational.
        mse: Scalar, mean squared error in [0, 1] units, unweighted.
    """

    loss: Tensor
    nll: Tensor
    kl_per_dimension: Tensor | None
    mse: Tensor


def negative_elbo(
    images: Tensor,
    reconstructions: Tensor,
    posterior: tuple[Tensor, Tensor] | None,
    *,
    weights: Tensor | None = None,
    likelihood: Likelihood = "optimal",
    sigma: float = 0.1,
    beta: float = 1.0,
    free_bits: float = 0.0,
) -> Objective:
    """Negative evidence lower bound with weighted KL and free bits; of a plain autoencoder its reconstruction part.

    Args:
        images: (N, 3, H, W) in [0, 1].
        reconstructions: (N, 3, H, W), decoded from a posterior sample.
        posterior: Mean (N, D) and log-variance (N, D); None for a plain autoencoder, which has no KL.
        weights: See `gaussian_nll`.
        likelihood: See `gaussian_nll`.
        sigma: See `gaussian_nll`.
        beta: Weight of the KL (Higgins et al., "beta-VAE", 2017); 1 is the bound itself.
        free_bits: KL in nats that each dimension, averaged over the batch, has for free (Kingma et al., "Improved
            Variational Inference with Inverse Autoregressive Flow", 2016, section 2.2).

    Returns:
        Loss and its parts.
    """
    nll = gaussian_nll(images, reconstructions, likelihood, sigma, weights).mean()
    mse = (images - reconstructions).square().mean()
    if posterior is None:
        return Objective(nll, nll, None, mse)
    kl_per_dimension = gaussian_kl(*posterior).mean(dim=0)
    charged = kl_per_dimension.clamp(min=free_bits).sum()
    return Objective(nll + beta * charged, nll, kl_per_dimension, mse)
