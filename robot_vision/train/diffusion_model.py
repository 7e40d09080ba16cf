"""Networks of image generation: an autoencoder of small feature maps, and a denoiser of those that reads a prompt.

Diffusion on the latents of an autoencoder: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion
Models" (2022). Denoiser: U-Net with residual blocks steered by time and text (Ho et al., "Denoising Diffusion
Probabilistic Models", 2020, appendix B; Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021) and
attention to the prompt's words.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

DOWNSAMPLING = 4
"""Pixels of the image per cell of the latent map, in either direction."""


class ImageAutoencoder(nn.Module):
    """Images to latent maps of a quarter of their side, and back.

    Attributes:
        encoder: (N, 3, H, W) in [0, 1] → mean (N, D) of the latent, flattened in C order.
        decoder: (N, D) → (N, 3, H, W).
    """

    def __init__(self, channels: int, side_px: int, width: int = 64) -> None:
        """Networks with random weights.

        Args:
            channels: Channels of the latent map.
            side_px: Width and height of the images, a multiple of four.
            width: Channels inside.
        """
        super().__init__()
        self.encoder = _Encoder(channels, width)
        self.decoder = _Decoder(channels, side_px // DOWNSAMPLING, width)

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Let latents have a mean of 0 and a standard deviation of 1 a channel, as the noise schedule expects.

        Args:
            mean: (C,) present means of the encoder's output.
            std: (C,) present standard deviations.
        """
        with torch.no_grad():
            for part in (self.encoder, self.decoder):
                shift, stretch = (value.to(part.mean.device)[:, None, None] for value in (mean, std))
                part.mean.copy_(part.mean + part.std * shift)
                part.std.copy_(part.std * stretch)


class _Encoder(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(DOWNSAMPLING), nn.Conv2d(3 * DOWNSAMPLING**2, width, 3, padding=1), _Residual(width),
            nn.ReLU(), nn.Conv2d(width, channels, 1),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return ((self.layers(2 * images - 1) - self.mean) / self.std).flatten(1)


class _Decoder(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self._shape = (channels, side, side)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), _Residual(width),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.PixelShuffle(2), _Residual(width // 2),
            nn.ReLU(), nn.Conv2d(width // 2, 12, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, latent: Tensor) -> Tensor:
        return (self.layers(latent.unflatten(1, self._shape) * self.std + self.mean) + 1) / 2


class DenoiserShape(NamedTuple):
    """What decides a denoiser's weights besides their values.

    Attributes:
        latent_shape: (C, h, w) of what it denoises; h and w multiples of four.
        words: Size of the vocabulary, padding not counted.
        max_words: Most words of a prompt.
        width: Channels at full resolution; twice as many at half, four times as many at quarter resolution.
        text_width: Width of the text encoder.
    """

    latent_shape: tuple[int, int, int]
    words: int
    max_words: int
    width: int
    text_width: int = 128


class Denoiser(nn.Module):
    """Predicts the noise, or v, of noisy latents from their time step and a prompt's tokens."""

    def __init__(self, shape: DenoiserShape) -> None:
        """A network that predicts zeros.

        Args:
            shape: Sizes.
        """
        super().__init__()
        full, half, quarter = shape.width, 2 * shape.width, 4 * shape.width
        steering = 2 * half
        self.text = _TextEncoder(shape.words, shape.max_words, shape.text_width)
        self.time = nn.Sequential(nn.Linear(half, steering), nn.SiLU(), nn.Linear(steering, steering))
        self.pooled = nn.Linear(shape.text_width, steering)
        self._time_width = half
        self.entry = nn.Conv2d(shape.latent_shape[0], full, 3, padding=1)
        self.down_full = _Block(full, steering)
        self.to_half = nn.Conv2d(full, half, 3, stride=2, padding=1)
        self.down_half = _Block(half, steering)
        self.attend_down_half = _Attention(half, shape.text_width)
        self.to_quarter = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.middle_first = _Block(quarter, steering)
        self.attend_middle = _Attention(quarter, shape.text_width)
        self.middle_last = _Block(quarter, steering)
        self.from_quarter = nn.Conv2d(quarter, half, 1)
        self.up_half = _Block(half, steering)
        self.attend_up_half = _Attention(half, shape.text_width)
        self.from_half = nn.Conv2d(half, full, 1)
        self.up_full = _Block(full, steering)
        self.exit = nn.Sequential(_norm(full), nn.SiLU(), _zero(nn.Conv2d(full, shape.latent_shape[0], 3, padding=1)))

    def forward(self, sample: Tensor, timestep: Tensor, tokens: Tensor) -> Tensor:
        """Predict.

        Args:
            sample: (N, C, h, w) noisy latents.
            timestep: (N,) float, training step, 0 for the least noise.
            tokens: (N, L) int64, 0 for padding; zeros alone for no prompt.

        Returns:
            (N, C, h, w).
        """
        words, hidden, summary = self.text(tokens)
        steering = functional.silu(self.time(_waves(timestep, self._time_width)) + self.pooled(summary))
        full = self.down_full(self.entry(sample), steering)
        half = self.attend_down_half(self.down_half(self.to_half(full), steering), words, hidden)
        middle = self.middle_first(self.to_quarter(half), steering)
        middle = self.middle_last(self.attend_middle(middle, words, hidden), steering)
        half = self.up_half(half + _twice(self.from_quarter(middle)), steering)
        half = self.attend_up_half(half, words, hidden)
        output: Tensor = self.exit(self.up_full(full + _twice(self.from_half(half)), steering))
        return output


class _TextEncoder(nn.Module):
    """Two transformer layers over a start token and the words."""

    def __init__(self, words: int, max_words: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, width)
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, max_words + 1, width))
        self.layers = nn.ModuleList(_TextLayer(width, heads) for _ in range(2))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, L + 1, W) words after a start token, (N, 1, 1, L + 1) what padding hides, and (N, W) a summary."""
        start = self.start.expand(tokens.shape[0], -1, -1)
        values = torch.cat([start, self.embedding(tokens)], dim=1) + self.places
        padding = torch.cat([torch.zeros_like(tokens[:, :1]), (tokens == 0).to(tokens.dtype)], dim=1)
        hidden = padding.to(values.dtype)[:, None, None] * -1e4
        for layer in self.layers:
            values = layer(values, hidden)
        values = self.norm(values)
        return values, hidden, values[:, 0]


class _TextLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, values: Tensor, hidden: Tensor) -> Tensor:
        queries, keys, contents = self.queries_keys_values(self.first(values)).chunk(3, dim=-1)
        values = values + self.mix(_attended(queries, keys, contents, self._heads, hidden))
        return values + self.think(self.second(values))


class _Attention(nn.Module):
    """Cells of a feature map look at each other and at the words."""

    def __init__(self, width: int, text_width: int, heads: int = 4) -> None:
        super().__init__()
        self._heads = heads
        self.norm = _norm(width)
        self.queries, self.own = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.word_norm, self.words = nn.LayerNorm(text_width), nn.Linear(text_width, 2 * width)
        self.mix = _zero(nn.Linear(width, width))

    def forward(self, features: Tensor, words: Tensor, hidden: Tensor) -> Tensor:
        cells = self.norm(features).flatten(2).transpose(1, 2)
        keys, contents = torch.cat([self.own(cells), self.words(self.word_norm(words))], dim=1).chunk(2, dim=-1)
        visible = torch.zeros_like(cells[:, :, 0])[:, None, None]
        seen = _attended(self.queries(cells), keys, contents, self._heads, torch.cat([visible, hidden], dim=-1))
        return features + self.mix(seen).transpose(1, 2).reshape(features.shape)


class _Block(nn.Module):
    """Residual block whose second half is scaled and shifted by time and text."""

    def __init__(self, width: int, steering: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.steer = nn.Linear(steering, 2 * width)
        self.norm = _norm(width)
        self.last = _zero(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, features: Tensor, steering: Tensor) -> Tensor:
        gain, shift = self.steer(steering)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm(self.first(features)) * (1 + gain) + shift
        output: Tensor = features + self.last(functional.silu(inner))
        return output


class _Residual(nn.Module):
    """Two convolutions beside the identity, without normalisation (Lim et al. 2017, section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), _zero(nn.Conv2d(width, width, 3, padding=1))
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = features + self.layers(features)
        return output


def _attended(queries: Tensor, keys: Tensor, contents: Tensor, heads: int, hidden: Tensor) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1); `hidden` is added to the logits."""
    queries, keys, contents = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (queries, keys, contents))
    logits = queries @ keys.transpose(2, 3) * queries.shape[3] ** -0.5 + hidden
    return (logits.softmax(dim=-1) @ contents).transpose(1, 2).flatten(2)


def _waves(timestep: Tensor, width: int) -> Tensor:
    """Sines and cosines of the time step (Vaswani et al. 2017, section 3.5), (N, width)."""
    rates = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=timestep.device) / (width // 2))
    angles = timestep[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, width)


def _zero(layer: nn.Module) -> nn.Module:
    """A layer that starts without effect, so that a deep network starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
