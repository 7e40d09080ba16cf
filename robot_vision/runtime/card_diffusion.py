"""The part of a model card that describes image generation by latent diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from robot_vision.runtime.card_fields import CardFields

Prediction = Literal["epsilon", "v"]
ScheduleName = Literal["linear", "cosine"]

SAMPLE, TIMESTEP, TOKENS = "sample", "timestep", "tokens"
"""Inputs of a denoiser: (N, C, h, w) float32, (N,) float32 and (N, L) int64."""
PREDICTION = "prediction"
"""Its output, (N, C, h, w) float32."""
MAX_GUIDANCE = 100.0
_MAX_TIMESTEPS = 100_000
_MAX_SIDE = 1024
_MAX_WORDS = 1024


@dataclass(frozen=True)
class DiffusionSpec:
    """What is known about a denoiser and the networks around it.

    Attributes:
        prediction: What the network predicts: the noise `epsilon`, or `v` (Salimans & Ho 2022).
        schedule: How noise grows over the time steps: `linear` (Ho et al. 2020) or `cosine` (Nichol & Dhariwal 2021).
        timesteps: Number of time steps T; the network is asked about steps 0 to T - 1.
        latent_shape: (C, h, w) of what it denoises, about unit variance.
        latent_limit: Predicted clean latents are clipped to this absolute value.
        words: The words that prompts may hold; word i has the token i + 1.
        max_words: Most words of a prompt.
        class_names: Classes that can be asked for by name.
        encoder: Card of the network from images to latents.
        decoder: Card of the network from latents to images.
        steps: Usual number of denoising steps.
        guidance: Usual weight of the prompt.
    """

    prediction: Prediction
    schedule: ScheduleName
    timesteps: int
    latent_shape: tuple[int, int, int]
    latent_limit: float
    words: tuple[str, ...]
    max_words: int
    class_names: tuple[str, ...]
    encoder: Path
    decoder: Path
    steps: int
    guidance: float

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the denoiser's inputs without their first dimension, which is free."""
        return {SAMPLE: self.latent_shape, TIMESTEP: (), TOKENS: (self.max_words,)}


def read_diffusion_spec(block: CardFields, folder: Path) -> DiffusionSpec:
    """The block `diffusion` of a card.

    Args:
        block: The block.
        folder: Folder of the card, which the other cards' paths are relative to.

    Returns:
        What it says.

    Raises:
        ModelError: If a key is missing, unknown, of a wrong type or outside its range.
    """
    block.only(DiffusionSpec.__annotations__)
    timesteps = block.integer("timesteps", 1, _MAX_TIMESTEPS)
    limit, guidance = block.number("latent_limit"), block.number("guidance")
    if limit <= 0:
        raise block.error("latent_limit", f"must be positive, got {limit:g}")
    if not 0 <= guidance <= MAX_GUIDANCE:
        raise block.error("guidance", f"must be within [0, {MAX_GUIDANCE:g}], got {guidance:g}")
    words = block.texts("words")
    if wrong := [word for word in words if word != word.lower()]:
        raise block.error("words", f"must be in lower case, got {', '.join(wrong)}")
    return DiffusionSpec(
        prediction=cast(Prediction, block.choice("prediction", get_args(Prediction))),
        schedule=cast(ScheduleName, block.choice("schedule", get_args(ScheduleName))),
        timesteps=timesteps,
        latent_shape=cast(tuple[int, int, int], block.integers("latent_shape", 3, 1, _MAX_SIDE)),
        latent_limit=limit,
        words=words,
        max_words=block.integer("max_words", 1, _MAX_WORDS),
        class_names=block.texts("class_names") if block.has("class_names") else (),
        encoder=folder / block.text("encoder"),
        decoder=folder / block.text("decoder"),
        steps=block.integer("steps", 1, timesteps),
        guidance=guidance,
    )
