"""Training loop of image generation: autoencoder, then denoiser; deterministic for a seed, resumable by epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from robot_vision.errors import ModelError
from robot_vision.generation.prompt import Vocabulary
from robot_vision.generation.schedule import NoiseSchedule
from robot_vision.train.common import (
    AveragedWeights,
    generator,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
    supports_bfloat16,
)
from robot_vision.train.cuda_graph import GraphedStep, uncaptured
from robot_vision.train.diffusion_autoencoder import encode, normalise, train_epoch
from robot_vision.train.diffusion_data import DescribedSet
from robot_vision.train.diffusion_model import DOWNSAMPLING, Denoiser, DenoiserShape, ImageAutoencoder
from robot_vision.train.diffusion_settings import DiffusionSettings
from robot_vision.types import Int64Array

GRADIENT_NORM_LIMIT = 1.0
WARMUP_STEPS = 300
COOLDOWN = 0.25
"""Share of the denoiser's steps over which the learning rate falls."""
WORDINGS = 8
"""Captions of each image, drawn once."""
_TRAINED = ("autoencoder", "autoencoder_optimizer", "denoiser", "optimizer", "average")


class DiffusionFit:
    """A training run of both stages, from the first epoch or from a checkpoint.

    Attributes:
        settings: What was asked for.
        vocabulary: Words of the captions.
        autoencoder: First stage.
        average: Averaged weights of the second stage.
        history: One dict of floats per finished epoch, those of the autoencoder first.
    """

    def __init__(self, settings: DiffusionSettings, vocabulary: Vocabulary, side_px: int, device: torch.device) -> None:
        """Fresh networks with weights drawn from the seed.

        Args:
            settings: What decides the weights.
            vocabulary: Words of the captions.
            side_px: Width and height of the images.
            device: Torch device.
        """
        self.settings, self.vocabulary, self.device = settings, vocabulary, device
        seed_everything(settings.seed)
        side = side_px // DOWNSAMPLING
        self.latent_shape = (settings.latent_channels, side, side)
        self.autoencoder = ImageAutoencoder(settings.latent_channels, side_px).to(device, memory_format=_LAYOUT)
        shape = DenoiserShape(self.latent_shape, len(vocabulary.words), vocabulary.max_words, settings.width)
        self.denoiser = Denoiser(shape).to(device, memory_format=_LAYOUT)
        self.average = AveragedWeights(self.denoiser, settings.ema_decay)
        self.autoencoder_optimizer = torch.optim.AdamW(self.autoencoder.parameters(), weight_decay=1e-4)
        self.optimizer = torch.optim.AdamW(self.denoiser.parameters(), weight_decay=1e-4)
        self.history: list[dict[str, float]] = []
        self.schedule = NoiseSchedule.named(settings.schedule, settings.timesteps)
        self._bfloat16 = supports_bfloat16(device)
        self._levels = torch.from_numpy(self.schedule.alphas_cumprod).to(device)
        self._material: _Material | None = None
        self._step = GraphedStep(self._learn, self.optimizer)

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs of both stages."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epochs_done >= self.settings.autoencoder_epochs + self.settings.epochs

    def run_epoch(self, images: DescribedSet) -> dict[str, float]:
        """Train the stage that is due on every image once.

        Args:
            images: Training images.

        Returns:
            Figures of the epoch, also appended to `history`.

        Raises:
            ModelError: If the loss is not finite.
        """
        settings = self.settings
        if self.epochs_done < settings.autoencoder_epochs:
            entry = train_epoch(self.autoencoder, self.autoencoder_optimizer, images.rgb, settings, self.epochs_done)
            if self.epochs_done + 1 == settings.autoencoder_epochs:
                normalise(self.autoencoder, images.rgb, settings.latent_channels)
        else:
            entry = self._denoiser_epoch(images, self.epochs_done - settings.autoencoder_epochs)
        self.history.append(entry)
        return entry

    def _denoiser_epoch(self, images: DescribedSet, epoch: int) -> dict[str, float]:
        start_s = time.perf_counter()
        settings = self.settings
        if self._material is None:
            self._material = self._prepared(images)
        rng = generator(settings.seed, 2, epoch)
        chance = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        order = torch.from_numpy(rng.permutation(len(images.rgb))).to(self.device)
        count = max(1, len(order) // settings.batch_size)
        total = settings.epochs * count
        losses = []
        self.denoiser.train()
        for step in tqdm(range(count), desc=f"denoiser {epoch + 1}/{settings.epochs}", leave=False):
            rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            self._step.set_rate(settings.learning_rate * rate_factor(epoch * count + step, total))
            clean, tokens = self._material.batch(rows, settings.no_prompt, chance)
            noise = torch.randn(clean.shape, generator=chance, device=self.device)
            timestep = torch.randint(settings.timesteps, rows.shape, generator=chance, device=self.device)
            losses.append(self._step(clean, tokens, noise, timestep))
            self.average.update(self.denoiser)
        mean = torch.stack(losses).mean().item()
        if not math.isfinite(mean):
            raise ModelError(f"training diverged in epoch {epoch + 1}; lower --learning-rate")
        return {"loss": mean, "seconds": time.perf_counter() - start_s}

    def _prepared(self, images: DescribedSet) -> _Material:
        settings = self.settings
        both_ways = torch.stack([encode(self.autoencoder, images.rgb, mirror) for mirror in (False, True)])
        captions = images.captions(self.vocabulary, generator(settings.seed, 3), WORDINGS, settings.keep_words)
        latents = both_ways.unflatten(2, self.latent_shape).to(self.device)
        return _Material(latents, torch.from_numpy(captions).to(self.device))

    def _learn(self, clean: Tensor, tokens: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """One step on the simple loss, DDPM eq. 14, or its counterpart for v (Salimans & Ho 2022, appendix D)."""
        noisy, target = noised(clean, noise, self._levels[timestep], self.settings.prediction)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            predicted = self.denoiser(noisy.to(memory_format=_LAYOUT), timestep.float(), tokens)
        loss = (predicted.float() - target).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), GRADIENT_NORM_LIMIT)
        self.optimizer.step()
        return loss.detach()

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Args:
            path: File to write.
        """
        state = {
            "settings": asdict(self.settings), "vocabulary": list(self.vocabulary.words),
            "latent_shape": list(self.latent_shape), "history": self.history,
            **{name: getattr(self, name).state_dict() for name in _TRAINED},
        }  # fmt: skip
        save_checkpoint(path, state)

    def restore(self, path: Path) -> None:
        """Take up the run where its checkpoint left it; the number of epochs may be another.

        Args:
            path: Checkpoint written by `save`.

        Raises:
            ModelError: If the file is missing, is no checkpoint, or belongs to other settings, words or sizes.
        """
        state = load_checkpoint(path)
        if set(state) != {"settings", "vocabulary", "latent_shape", "history", *_TRAINED}:
            raise ModelError(f"{path}: no checkpoint of image generation; train without --resume")
        differing = {
            entry.name: state["settings"].get(entry.name)
            for entry in fields(self.settings)
            if entry.name != "epochs" and state["settings"].get(entry.name) != getattr(self.settings, entry.name)
        }
        if tuple(state["vocabulary"]) != self.vocabulary.words:
            differing["words"] = " ".join(state["vocabulary"])
        if tuple(state["latent_shape"]) != self.latent_shape:
            differing["size_px"] = DOWNSAMPLING * state["latent_shape"][1]
        if differing:
            was = ", ".join(f"{name}={value}" for name, value in differing.items())
            raise ModelError(f"{path}: was started with {was}; resume with the same or train without --resume")
        for name in _TRAINED:
            getattr(self, name).load_state_dict(state[name])
        uncaptured(self.optimizer)
        self.history = state["history"]


class _Material(NamedTuple):
    """What the denoiser learns from, on its device.

    Attributes:
        latents: (2, N, C, h, w) of the images as they are, and mirrored left to right.
        captions: (N, K, L) int64 tokens.
    """

    latents: Tensor
    captions: Tensor

    def batch(self, rows: Tensor, no_prompt: float, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents (B, C, h, w) and tokens (B, L) of some images, in one of their forms, some without a caption."""
        shape, device = rows.shape, rows.device
        mirrored = torch.randint(len(self.latents), shape, generator=chance, device=device)
        wording = torch.randint(self.captions.shape[1], shape, generator=chance, device=device)
        said = torch.rand(shape, generator=chance, device=device) >= no_prompt
        return self.latents[mirrored, rows], self.captions[rows, wording] * said[:, None]


_LAYOUT: Any = torch.channels_last


def rate_factor(step: int, total_steps: int) -> float:
    """Learning rate of a step: rises over `WARMUP_STEPS`, stays, and falls as 1 - √ over the last part.

    Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (2024), section 3: as
    good as a cosine, and a checkpoint from before the fall can be trained on for longer.

    Args:
        step: Number of the step, from 0.
        total_steps: Steps of the whole run.

    Returns:
        Factor in (0, 1].
    """
    start = (1 - COOLDOWN) * total_steps
    fallen = max(0.0, step - start) / (total_steps - start)
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - math.sqrt(fallen))


def noised(clean: Tensor, noise: Tensor, level: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
    """Noisy latents, and what the denoiser is to say about them.

    Args:
        clean: (N, C, h, w) x_0.
        noise: The same shape, standard normal.
        level: (N,) float64, the schedule's cumulative alphas at the time steps.
        prediction: `epsilon` or `v`.

    Returns:
        x_t (DDPM eq. 4), and the noise or v (Salimans & Ho 2022, section 4), of the same shape.
    """
    signal, spread = (share.sqrt().to(clean.dtype)[:, None, None, None] for share in (level, 1 - level))
    noisy = signal * clean + spread * noise
    return noisy, noise if prediction == "epsilon" else signal * noise - spread * clean


def denoising(network: Denoiser) -> Callable[[Any, float, Int64Array], Any]:
    """A denoiser as a function of arrays: (N, C, h, w) float32, time step, (N, L) int64 tokens → prediction."""
    device = next(network.parameters()).device

    @torch.no_grad()
    def predict(sample: Any, timestep: float, tokens: Int64Array) -> Any:
        times = torch.full((len(sample),), float(timestep), device=device)
        output = network(torch.from_numpy(sample).to(device), times, torch.from_numpy(tokens).to(device))
        return output.cpu().numpy()

    return predict
