"""Settings of the VAE's training, defined once: the command line is derived from them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from robot_vision.errors import InvalidValueError
from robot_vision.train.options import about

Likelihood = Literal["optimal", "fixed"]


@dataclass(frozen=True)
class FitSettings:
    """Everything that decides the trained weights, besides the images.

    The learning rate rises linearly over the first epoch and falls as half a cosine to zero. The KL's weight rises
    linearly from 0 to `beta` over the warm-up epochs.

    Raises:
        InvalidValueError: If a value is out of range.
    """

    epochs: int = field(default=40, metadata=about("passes over the images"))
    batch_size: int = field(default=64, metadata=about("images per step"))
    learning_rate: float = field(default=2e-3, metadata=about("peak learning rate of Adam"))
    latent_size: int = field(default=32, metadata=about("number of latent dimensions"))
    likelihood: Likelihood = field(
        default="optimal",
        metadata=about(
            "pixel noise: fitted to each batch (sigma-VAE) or given by --sigma", choices=get_args(Likelihood)
        ),
    )
    sigma: float = field(
        default=0.1, metadata=about("standard deviation of a pixel in [0, 1] units with --likelihood fixed")
    )
    beta: float = field(default=1.0, metadata=about("weight of the KL"))
    warmup_epochs: int = field(default=5, metadata=about("epochs over which the KL's weight rises"))
    free_bits: float = field(default=0.0, metadata=about("nats per latent dimension that cost nothing"))
    augment: bool = field(
        default=True, metadata=about("train on random views of the images: mirrored, enlarged, in other light")
    )
    seed: int = field(default=0, metadata=about("seed of weights, order, views and posterior samples"))

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "latent_size", "sigma"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"{name}: must be greater than 0, got {getattr(self, name)}")
        for name in ("beta", "warmup_epochs", "free_bits", "seed"):
            if not getattr(self, name) >= 0:
                raise InvalidValueError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.likelihood not in get_args(Likelihood):
            raise InvalidValueError(f"likelihood: must be one of {get_args(Likelihood)}, got {self.likelihood!r}")


@dataclass(frozen=True)
class VaeTraining:
    """Where a training run takes its images from and puts its results.

    Raises:
        InvalidValueError: If held-out images are given without training images.
    """

    data: Path | None = field(
        default=None, metadata=about("folder of images; without it the simulated world is rendered", kind=Path)
    )
    validation: Path | None = field(
        default=None, metadata=about("folder of held-out images; without it the last tenth of --data", kind=Path)
    )
    out: Path = field(default=Path("models"), metadata=about("folder of the ONNX files and their cards", shown=False))
    name: str = field(default="simworld_vae", metadata=about("the files are NAME_encoder and NAME_decoder"))
    work: Path = field(
        default=Path("runs/vae"),
        metadata=about("folder of checkpoint, rendered images, curves and pictures", shown=False),
    )
    resume: bool = field(default=False, metadata=about("continue from the checkpoint in the work folder", shown=False))
    jobs: int = field(default=2, metadata=about("processes that render the simulated world", shown=False))
    threads: int = field(default=0, metadata=about("CPU threads of torch; 0 leaves its own choice", shown=False))

    def __post_init__(self) -> None:
        if self.validation is not None and self.data is None:
            raise InvalidValueError(f"validation: {self.validation} was given without data; give both, or neither")
