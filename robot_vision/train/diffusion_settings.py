"""Settings of the training of image generation, defined once: the command line is derived from them. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from robot_vision.errors import InvalidValueError
from robot_vision.runtime.card_diffusion import Prediction, ScheduleName
from robot_vision.train.options import about


@dataclass(frozen=True)
class DiffusionSettings:
    """Everything that decides the trained weights, besides images and captions.

    The learning rate of the autoencoder rises linearly over the first twentieth of its steps and falls as half a
    cosine; that of the denoiser rises, stays, and falls over the last quarter.

    Raises:
        InvalidValueError: If a value is out of range.
    """

    epochs: int = field(default=60, metadata=about("passes of the denoiser over the images"))
    autoencoder_epochs: int = field(default=3, metadata=about("passes of the autoencoder over the images, before"))
    batch_size: int = field(default=32, metadata=about("images per step"))
    learning_rate: float = field(default=6e-4, metadata=about("peak learning rate of the denoiser"))
    autoencoder_learning_rate: float = field(default=1e-3, metadata=about("peak learning rate of the autoencoder"))
    prediction: Prediction = field(
        default="v", metadata=about("what the denoiser predicts: the noise, or v", choices=get_args(Prediction))
    )
    schedule: ScheduleName = field(
        default="cosine", metadata=about("how noise grows over the time steps", choices=get_args(ScheduleName))
    )
    timesteps: int = field(default=1000, metadata=about("time steps from image to noise"))
    latent_channels: int = field(default=4, metadata=about("channels of the latent map, whose side is a quarter"))
    width: int = field(default=48, metadata=about("channels of the denoiser at full resolution, a multiple of 8"))
    no_prompt: float = field(
        default=0.12, metadata=about("share of images without a caption, for classifier-free guidance")
    )
    keep_words: float = field(default=0.85, metadata=about("chance that a caption names colours, and the place"))
    ema_decay: float = field(default=0.999, metadata=about("decay of the averaged weights, which are exported"))
    seed: int = field(default=0, metadata=about("seed of weights, order, captions and noise"))

    def __post_init__(self) -> None:
        for name in ("epochs", "autoencoder_epochs", "batch_size", "learning_rate", "autoencoder_learning_rate",
                     "latent_channels"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"{name}: must be greater than 0, got {getattr(self, name)}")
        for name, choices in (("prediction", get_args(Prediction)), ("schedule", get_args(ScheduleName))):
            if getattr(self, name) not in choices:
                raise InvalidValueError(f"{name}: must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("no_prompt", "keep_words", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValueError(f"{name}: must be within [0, 1], got {getattr(self, name)}")
        if not 10 <= self.timesteps <= 100_000:
            raise InvalidValueError(f"timesteps: must be within [10, 100000], got {self.timesteps}")
        if self.width < 8 or self.width % 8:
            raise InvalidValueError(f"width: must be a positive multiple of 8, got {self.width}")
        if self.seed < 0:
            raise InvalidValueError(f"seed: must not be negative, got {self.seed}")


@dataclass(frozen=True)
class DiffusionTraining:
    """How a training run reads its images and where it puts its results.

    Raises:
        InvalidValueError: If the size is no multiple of 16.
    """

    topic: str = field(
        default="", metadata=about("image topic of the bags; without it the only one, or the first by name")
    )
    caption_model: str = field(
        default="simworld_yolo",
        metadata=about("detector that finds what captions name where data has no labels: a shipped name or a file"),
    )
    size_px: int = field(default=64, metadata=about("side of the images in pixels, a multiple of 16"))
    out: Path = field(default=Path("models"), metadata=about("folder of the ONNX files and their cards", shown=False))
    name: str = field(
        default="",
        metadata=about("the files are NAME, NAME_encoder and NAME_decoder; without it diffusion, after simworld_ if "
                       "rendered"),
    )  # fmt: skip
    work: Path = field(
        default=Path("runs/diffusion"),
        metadata=about("folder of checkpoint, rendered images, curves and sample sheets", shown=False),
    )
    save_every: int = field(default=1, metadata=about("epochs between checkpoints and curves", shown=False))
    sample_every: int = field(default=5, metadata=about("epochs between sample sheets", shown=False))
    resume: bool = field(default=False, metadata=about("continue from the checkpoint in the work folder", shown=False))
    jobs: int = field(default=2, metadata=about("processes that render the simulated world", shown=False))
    threads: int = field(default=0, metadata=about("CPU threads of torch; 0 leaves its own choice", shown=False))

    def __post_init__(self) -> None:
        if self.size_px < 16 or self.size_px % 16:
            raise InvalidValueError(f"size_px: must be a positive multiple of 16, got {self.size_px}")
        for name in ("save_every", "sample_every"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
