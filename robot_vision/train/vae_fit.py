"""Training loop of the autoencoders: deterministic for a seed, resumable after any epoch."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, fields
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from robot_vision.errors import ModelError
from robot_vision.train.common import (
    generator,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
    supports_bfloat16,
    warmup_cosine,
)
from robot_vision.train.vae_data import augment, batches, corrupt, pixel_weights, to_images
from robot_vision.train.vae_model import Autoencoder, VaeShape, gaussian_kl, negative_elbo
from robot_vision.train.vae_settings import FitSettings
from robot_vision.types import UInt8Array

GRADIENT_NORM_LIMIT = 1e4


def kl_weight_at(progress: float, settings: FitSettings) -> float:
    """Weight of the KL: linear from 0 to `beta` over the warm-up epochs.

    Args:
        progress: Epochs done so far, with fractions.
        settings: Gives weight and warm-up.

    Returns:
        Weight in [0, beta].
    """
    if settings.warmup_epochs == 0:
        return settings.beta
    return settings.beta * min(1.0, progress / settings.warmup_epochs)


class Fit:
    """A training run: networks, optimiser and history, from the first epoch or from a checkpoint.

    Attributes:
        settings: What was asked for.
        networks: Networks being trained.
        history: One dict of floats per finished epoch.
    """

    def __init__(self, settings: FitSettings, device: torch.device) -> None:
        """Fresh networks with weights drawn from the seed.

        Args:
            settings: Everything that decides the weights; of a kind that is trained by gradients.
            device: Torch device.
        """
        self.settings = settings
        self.device = device
        seed_everything(settings.seed)
        shape = VaeShape(settings.latent_size, settings.kind == "vae", settings.network)
        self.networks = Autoencoder(shape).to(self.device)
        self.optimizer = torch.optim.Adam(self.networks.parameters(), lr=settings.learning_rate)
        self.history: list[dict[str, float]] = []
        self._bfloat16 = supports_bfloat16(device)

    @property
    def seconds(self) -> float:
        """Time spent in finished epochs."""
        return sum(entry["seconds"] for entry in self.history)

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    def run_epoch(self, frames: UInt8Array, held_out: UInt8Array) -> dict[str, float]:
        """Train on every image once, then measure on the held-out images.

        Args:
            frames: (N, 3, 64, 64) uint8, or with a fourth channel (see `FrameSet`) if `saliency` is not 0.
            held_out: (M, 3, 64, 64) uint8.

        Returns:
            Figures of the epoch, also appended to `history`.

        Raises:
            ModelError: If the loss is not finite.
        """
        start_s = time.perf_counter()
        epoch = self.epochs_done
        rng = generator(self.settings.seed, epoch)
        noise_source = torch.Generator().manual_seed(int(rng.integers(2**62)))
        count = max(1, len(frames) // self.settings.batch_size)
        steps: list[dict[str, torch.Tensor]] = []
        self.networks.train()
        epoch_batches = batches(frames, self.settings.batch_size, rng)
        label = f"epoch {epoch + 1}/{self.settings.epochs}"
        for step, images in enumerate(tqdm(epoch_batches, total=count, desc=label, leave=False)):
            views = images.to(self.device)
            if self.settings.augment:
                views = augment(views, rng)
            rate = warmup_cosine(epoch * count + step, self.settings.epochs * count, count, floor=0.0)
            steps.append(self._step(views, rate, epoch + step / count, noise_source))
        means = {name: torch.stack([figures[name] for figures in steps]).mean().item() for name in steps[0]}
        if not all(math.isfinite(value) for value in means.values()):
            raise ModelError(f"training diverged in epoch {epoch + 1} ({means}); lower --learning-rate")
        held_out_figures = self._measure(held_out)
        self.history.append({**means, **held_out_figures, "seconds": time.perf_counter() - start_s})
        return self.history[-1]

    def _step(
        self, views: torch.Tensor, rate: float, progress: float, noise_source: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """One step; its figures stay on the device, so that the device need not be waited for."""
        settings = self.settings
        noise = torch.randn((len(views), settings.latent_size), generator=noise_source).to(self.device)
        images, coverage = views[:, :3], views[:, 3:]
        inputs = corrupt(images, settings.corruption, noise_source) if settings.kind == "dae" else images
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            reconstructions, *latents = self.networks(inputs, noise)
        objective = negative_elbo(
            images, reconstructions.float(),
            (latents[0].float(), latents[1].float()) if settings.kind == "vae" else None,
            weights=pixel_weights(coverage, settings.saliency) if settings.saliency else None,
            likelihood=settings.likelihood, sigma=settings.sigma,
            beta=kl_weight_at(progress, settings), free_bits=settings.free_bits,
        )  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        objective.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), GRADIENT_NORM_LIMIT)
        self.optimizer.step()
        figures = {"loss": objective.loss.detach(), "nll": objective.nll.detach(), "mse": objective.mse.detach()}
        if objective.kl_per_dimension is not None:
            figures["kl"] = objective.kl_per_dimension.detach().sum()
        return figures

    def _measure(self, held_out: UInt8Array) -> dict[str, float]:
        mean, log_variance, reconstructions = reconstruct(self.networks, held_out)
        figures = {"held_out_mse": (to_images(held_out) - reconstructions).square().mean().item()}
        if log_variance is not None:
            figures["held_out_kl"] = gaussian_kl(mean, log_variance).sum(dim=1).mean().item()
        return figures

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Args:
            path: File to write.
        """
        state = {
            "settings": asdict(self.settings), "history": self.history,
            "networks": self.networks.state_dict(), "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        save_checkpoint(path, state)

    @classmethod
    def load(cls, path: Path, settings: FitSettings, device: torch.device) -> Fit:
        """Take up a run where its checkpoint left it.

        Args:
            path: Checkpoint written by `save`.
            settings: Settings now asked for; must equal those of the checkpoint.
            device: Torch device.

        Returns:
            The run, ready for its next epoch.

        Raises:
            ModelError: If the file is missing, is no checkpoint or belongs to other settings.
        """
        state = load_checkpoint(path)
        if set(state) != {"settings", "history", "networks", "optimizer"}:
            raise ModelError(f"{path}: no checkpoint of an encoder's training; train without --resume")
        differing = [f.name for f in fields(settings) if state["settings"].get(f.name) != getattr(settings, f.name)]
        if differing:
            was = ", ".join(f"{name}={state['settings'].get(name)}" for name in differing)
            raise ModelError(f"{path}: was started with {was}; resume with the same settings or train without --resume")
        fit = cls(settings, device)
        fit.networks.load_state_dict(state["networks"])
        fit.optimizer.load_state_dict(state["optimizer"])
        fit.history = state["history"]
        return fit


@torch.no_grad()
def reconstruct(
    networks: nn.Module, frames: UInt8Array, batch_size: int = 250
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Latent and reconstruction from its mean, as the deployed networks give them.

    Args:
        networks: `Autoencoder` or `LinearAutoencoder`; left in evaluation mode.
        frames: (N, 3, 64, 64) uint8.
        batch_size: Frames per forward pass.

    Returns:
        mean (N, D), log_variance (N, D) or None if not variational, and images (N, 3, 64, 64), on the CPU.
    """
    networks.eval()
    device = next(networks.parameters()).device
    parts = []
    for start in range(0, len(frames), batch_size):
        mean, *log_variance = networks.encoder(to_images(frames[start : start + batch_size]).to(device))
        parts.append([values.cpu() for values in (mean, networks.decoder(mean), *log_variance)])
    means, images, *log_variances = (torch.cat(column) for column in zip(*parts, strict=True))
    return means, log_variances[0] if log_variances else None, images
