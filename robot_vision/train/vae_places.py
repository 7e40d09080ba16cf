"""Networks of an autoencoder that know where each pixel is, so that positions become nearly linear in the latent.

A convolution does not know its place, and a transposed one must unfold a position that it is told as a number into a
picture; trained for pixels alone, an encoder then codes positions as a patchwork. Here the encoder hands on the mean
position of each feature, and the decoder draws every pixel from the latent and the pixel's own coordinates.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

ENCODER_CHANNELS = (24, 32, 64, 96)
POINTS = 32
POINT_GAIN = 4.0
DECODER_CHANNELS = (96, 48, 24)
GRID = 16
FEATURE_SIZE = 4
LOG_VARIANCE_LIMITS = (-12.0, 4.0)


def grid_coordinates(size: int) -> Tensor:
    """Coordinates of the cells of a square grid.

    Args:
        size: Cells along a side.

    Returns:
        (2, size, size) float32, x and y of each cell's centre, from -1 to 1 over the image.
    """
    along = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    return torch.stack([along.expand(size, size), along[:, None].expand(size, size)])


def mean_positions(scores: Tensor) -> Tensor:
    """Expected position of each channel: the spatial soft arg-max.

    After Levine, Finn, Darrell & Abbeel, "End-to-End Training of Deep Visuomotor Policies" (2016), section 4.2, and
    Finn et al., "Deep Spatial Autoencoders for Visuomotor Learning" (2016).

    Args:
        scores: (N, C, S, S), logarithms of unnormalised weights.

    Returns:
        (N, 2 C), x and y of channel 0, of channel 1, …, each in [-1, 1].
    """
    places = grid_coordinates(scores.shape[-1]).to(scores.device).flatten(1)
    weights = scores.flatten(2).softmax(dim=-1)
    return torch.matmul(weights, places.T).flatten(1)


def posterior(head_output: Tensor, parts: int) -> tuple[Tensor, ...]:
    """What an encoder's last layer says about the latent.

    Args:
        head_output: (N, parts * D).
        parts: 2, or 1 for an encoder that is not variational.

    Returns:
        mean (N, D) and log_variance (N, D), the latter kept within `LOG_VARIANCE_LIMITS`; or the mean only.
    """
    mean, *log_variance = head_output.chunk(parts, dim=1)
    return mean, *(values.clamp(*LOG_VARIANCE_LIMITS) for values in log_variance)


class PointEncoder(nn.Module):
    """q(z|x) from features and from where they are."""

    def __init__(self, latent_size: int, variational: bool) -> None:
        super().__init__()
        stages = [
            nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in pairwise((3, *ENCODER_CHANNELS))
        ]
        self.fine, self.coarse = nn.Sequential(*stages[:2]), nn.Sequential(*stages[2:])
        self.points = nn.Conv2d(ENCODER_CHANNELS[1], POINTS, 3, 1, 1)
        self.parts = 2 if variational else 1
        self.head = nn.Linear(ENCODER_CHANNELS[-1] * FEATURE_SIZE**2 + 2 * POINTS, self.parts * latent_size)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Posterior of each image.

        Args:
            images: (N, 3, 64, 64) float32 in [0, 1].

        Returns:
            mean (N, D) and log_variance (N, D); the latter is kept within `LOG_VARIANCE_LIMITS`. Not variational: the
            mean only.
        """
        fine = self.fine(images)
        positions = POINT_GAIN * mean_positions(self.points(fine))
        features = torch.cat([self.coarse(fine).flatten(1), positions], dim=1)
        return posterior(self.head(features), self.parts)


class BroadcastDecoder(nn.Module):
    """Mean of p(x|z), drawn on a grid of 16×16 cells that know their place, and refined to 64×64 pixels.

    After Watters, Matthey, Burgess & Lerchner, "Spatial Broadcast Decoder: A Simple Architecture for Learning
    Disentangled Representations in VAEs" (2019). The first layer sees the latent repeated in every cell beside the
    cell's coordinates; it is computed as the sum of its two parts.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        wide, middle, narrow = DECODER_CHANNELS
        self.register_buffer("coordinates", grid_coordinates(GRID)[None])
        self.of_latent = nn.Linear(latent_size, wide)
        self.of_place = nn.Conv2d(2, wide, 1)
        self.stages = nn.Sequential(
            nn.ReLU(), nn.Conv2d(wide, wide, 1), nn.ReLU(), nn.Conv2d(wide, middle, 1), nn.ReLU(),
            nn.Conv2d(middle, middle, 3, 1, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(),
            nn.ConvTranspose2d(middle, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(),
            nn.ConvTranspose2d(narrow, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        """Images for latents.

        Args:
            latents: (N, D) float32.

        Returns:
            (N, 3, 64, 64) float32 in [0, 1].
        """
        return self.stages(self.of_latent(latents)[:, :, None, None] + self.of_place(self.coordinates))
