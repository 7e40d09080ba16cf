"""Training loop of the VAE: deterministic for a seed, resumable after any epoch."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, fields
from pathlib import Path

import torch
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
from robot_vision.train.vae_data import augment, batches, to_images
from robot_vision.train.vae_model import Vae, VaeShape, gaussian_kl, negative_elbo
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
        vae: Networks being trained.
        history: One dict of floats per finished epoch.
    """

    def __init__(self, settings: FitSettings, device: torch.device) -> None:
        """Fresh networks with weights drawn from the seed.

        Args:
            settings: Everything that decides the weights.
            device: Torch device.
        """
        self.settings = settings
        self.device = device
        seed_everything(settings.seed)
        self.vae = Vae(VaeShape(latent_size=settings.latent_size)).to(self.device)
        self.optimizer = torch.optim.Adam(self.vae.parameters(), lr=settings.learning_rate)
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
            frames: (N, 3, 64, 64) uint8.
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
        sums: dict[str, float] = {"loss": 0.0, "nll": 0.0, "kl": 0.0, "mse": 0.0}
        self.vae.train()
        epoch_batches = batches(frames, self.settings.batch_size, rng)
        label = f"epoch {epoch + 1}/{self.settings.epochs}"
        for step, images in enumerate(tqdm(epoch_batches, total=count, desc=label, leave=False)):
            if self.settings.augment:
                images = augment(images, rng)  # noqa: PLW2901 - the plain images are not needed any more
            rate = warmup_cosine(epoch * count + step, self.settings.epochs * count, count, floor=0.0)
            for name, value in self._step(images, rate, epoch + step / count, noise_source).items():
                sums[name] += value / count
        if not all(math.isfinite(value) for value in sums.values()):
            raise ModelError(f"training diverged in epoch {epoch + 1} ({sums}); lower --learning-rate")
        held_out_figures = self._measure(held_out)
        self.history.append({**sums, **held_out_figures, "seconds": time.perf_counter() - start_s})
        return self.history[-1]

    def _step(
        self, images: torch.Tensor, rate: float, progress: float, noise_source: torch.Generator
    ) -> dict[str, float]:
        settings = self.settings
        noise = torch.randn((len(images), settings.latent_size), generator=noise_source).to(self.device)
        images = images.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            reconstructions, mean, log_variance = self.vae(images, noise)
        objective = negative_elbo(
            images, reconstructions.float(), mean.float(), log_variance.float(),
            likelihood=settings.likelihood, sigma=settings.sigma,
            beta=kl_weight_at(progress, settings), free_bits=settings.free_bits,
        )  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        objective.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), GRADIENT_NORM_LIMIT)
        self.optimizer.step()
        kl = objective.kl_per_dimension.sum()
        return {
            "loss": objective.loss.item(), "nll": objective.nll.item(),
            "kl": kl.item(), "mse": objective.mse.item(),
        }  # fmt: skip

    def _measure(self, held_out: UInt8Array) -> dict[str, float]:
        mean, log_variance, reconstructions = reconstruct(self.vae, held_out)
        images = to_images(held_out)
        kl = gaussian_kl(mean, log_variance).sum(dim=1).mean()
        return {"held_out_mse": (images - reconstructions).square().mean().item(), "held_out_kl": kl.item()}

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Args:
            path: File to write.
        """
        state = {
            "settings": asdict(self.settings), "history": self.history,
            "vae": self.vae.state_dict(), "optimizer": self.optimizer.state_dict(),
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
        if set(state) != {"settings", "history", "vae", "optimizer"}:
            raise ModelError(f"{path}: no checkpoint of a VAE training; train without --resume")
        differing = [f.name for f in fields(settings) if state["settings"].get(f.name) != getattr(settings, f.name)]
        if differing:
            was = ", ".join(f"{name}={state['settings'].get(name)}" for name in differing)
            raise ModelError(f"{path}: was started with {was}; resume with the same settings or train without --resume")
        fit = cls(settings, device)
        fit.vae.load_state_dict(state["vae"])
        fit.optimizer.load_state_dict(state["optimizer"])
        fit.history = state["history"]
        return fit


@torch.no_grad()
def reconstruct(vae: Vae, frames: UInt8Array, batch_size: int = 250) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Posterior and reconstruction from its mean, as the deployed networks give them.

    Args:
        vae: Networks; left in evaluation mode.
        frames: (N, 3, 64, 64) uint8.
        batch_size: Frames per forward pass.

    Returns:
        mean (N, D), log_variance (N, D) and images (N, 3, 64, 64) in [0, 1], on the CPU.
    """
    vae.eval()
    device = next(vae.parameters()).device
    parts = []
    for start in range(0, len(frames), batch_size):
        mean, log_variance = vae.encoder(to_images(frames[start : start + batch_size]).to(device))
        parts.append((mean.cpu(), log_variance.cpu(), vae.decoder(mean).cpu()))
    means, log_variances, images = (torch.cat(column) for column in zip(*parts, strict=True))
    return means, log_variances, images
