"""Settings of the encoder's training, defined once: the command line is derived from them. Imports no torch."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from robot_vision.errors import InvalidValueError
from robot_vision.train.options import about

Likelihood = Literal["optimal", "fixed"]
Kind = Literal["vae", "ae", "dae", "pca"]
Network = Literal["convolution", "places"]

_ITERATED = ("vae", "ae", "dae")
_KINDS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("beta", "warmup_epochs", "free_bits"), ("vae",)),
    "corruption": ("dae",),
    **dict.fromkeys(
        ("network", "epochs", "batch_size", "learning_rate", "likelihood", "sigma", "saliency", "augment", "seed"),
        _ITERATED,
    ),
}
"""The kinds that a setting is for, where it is not for all."""


@dataclass(frozen=True)
class FitSettings:
    """Everything that decides the trained weights, besides the images.

    The learning rate rises linearly over the first epoch and falls as half a cosine to zero. The KL's weight rises
    linearly from 0 to `beta` over the warm-up epochs.

    Raises:
        InvalidValueError: If a value is out of range, or was changed and has no meaning for the kind.
    """

    kind: Kind = field(
        default="vae",
        metadata=about(
            "what to train: variational autoencoder, the same networks as plain (ae) or denoising (dae) autoencoder, "
            "or principal component analysis",
            choices=get_args(Kind),
        ),
    )
    network: Network = field(
        default="convolution",
        metadata=about(
            "plain convolutions, which keep most texture; or places: the encoder hands on where features are and the "
            "decoder knows where pixels are, so that positions of objects are nearly linear in the latent",
            choices=get_args(Network),
        ),
    )
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
    beta: float = field(default=1.0, metadata=about("vae: weight of the KL"))
    warmup_epochs: int = field(default=5, metadata=about("vae: epochs over which the KL's weight rises"))
    free_bits: float = field(default=0.0, metadata=about("vae: nats per latent dimension that cost nothing"))
    corruption: float = field(default=0.25, metadata=about("dae: share of the input's pixels that are made black"))
    saliency: float = field(
        default=0.0,
        metadata=about(
            "how much more the error of a pixel inside an object's box counts: (1 + SALIENCY) times that of the "
            "background, with a mean of 1 over each image; 0 is off. Needs COCO annotations in the folder, "
            "ground truth in the bag, or --saliency-model"
        ),
    )
    augment: bool = field(
        default=True, metadata=about("train on random views of the images: mirrored, enlarged, in other light")
    )
    seed: int = field(default=0, metadata=about("seed of weights, order, views, noise and posterior samples"))

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "latent_size", "sigma"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"{name}: must be greater than 0, got {getattr(self, name)}")
        for name in ("beta", "warmup_epochs", "free_bits", "saliency", "seed"):
            if not getattr(self, name) >= 0:
                raise InvalidValueError(f"{name}: must not be negative, got {getattr(self, name)}")
        if not 0 < self.corruption < 1:
            raise InvalidValueError(f"corruption: must be between 0 and 1, got {self.corruption}")
        for name, choices in (
            ("likelihood", get_args(Likelihood)), ("kind", get_args(Kind)), ("network", get_args(Network)),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise InvalidValueError(f"{name}: must be one of {choices}, got {getattr(self, name)!r}")
        for entry in fields(self):
            kinds = _KINDS_OF.get(entry.name, get_args(Kind))
            if self.kind not in kinds and getattr(self, entry.name) != entry.default:
                raise InvalidValueError(
                    f"{entry.name}: has no meaning for kind {self.kind}, only for {', '.join(kinds)}; leave it out"
                )


@dataclass(frozen=True)
class FrameSources:
    """Where images come from; without any the simulated world is rendered.

    Attributes:
        data: Bags and folders to learn from.
        validation: Bags and folders that are held out; without them a part of `data` is, see `vae_sources.load_sets`.

    Raises:
        InvalidValueError: If held-out images are given without training images, or a place is given twice.
    """

    data: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.validation and not self.data:
            given = " ".join(map(str, self.validation))
            raise InvalidValueError(f"validation: {given} was given without data; give both, or neither")
        places = Counter(path.resolve() for path in (*self.data, *self.validation))
        twice = [str(path) for path, times in places.items() if times > 1]
        if twice:
            raise InvalidValueError(
                f"data: {', '.join(twice)} was given twice; what is trained on cannot be held out as well"
            )

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add `--data` and `--validation`.

        Args:
            parser: Parser to extend.
        """
        texts = {
            "--data": "bags with images (raw or compressed) and folders of images; without it the simulated world is "
            "rendered",
            "--validation": "held-out bags and folders; without it the last one of --data, or the last tenth of the "
            "only one",
        }
        for option, text in texts.items():
            parser.add_argument(option, type=Path, nargs="+", action="extend", default=[], help=text, metavar="PATH")

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> FrameSources:
        """Sources from a parsed command line.

        Args:
            args: Parsed with the options of `add_arguments`.

        Returns:
            The sources.

        Raises:
            InvalidValueError: If they do not fit together.
        """
        return cls(tuple(args.data), tuple(args.validation))

    def command(self, command: str) -> str:
        """The command with these sources, for the model card.

        Args:
            command: Its first words.

        Returns:
            One line.
        """
        words = [command]
        for option, paths in (("--data", self.data), ("--validation", self.validation)):
            words += [option, *(shlex.quote(str(path)) for path in paths)] if paths else []
        return " ".join(words)


@dataclass(frozen=True)
class VaeTraining:
    """How a training run reads its images and where it puts its results."""

    topic: str = field(
        default="", metadata=about("image topic of the bags; without it the only one, or the first by name")
    )
    saliency_model: str = field(
        default="",
        metadata=about("detector whose boxes count with --saliency where data has no labels: a shipped name or a file"),
    )
    saliency_classes: str = field(
        default="", metadata=about("classes whose boxes count with --saliency, with commas between; without it all")
    )
    out: Path = field(default=Path("models"), metadata=about("folder of the ONNX files and their cards", shown=False))
    name: str = field(
        default="",
        metadata=about("the files are NAME_encoder and NAME_decoder; without it the kind, after simworld_ if rendered"),
    )
    work: Path = field(
        default=Path("runs/vae"),
        metadata=about("folder of checkpoint, rendered images, curves and pictures", shown=False),
    )
    resume: bool = field(default=False, metadata=about("continue from the checkpoint in the work folder", shown=False))
    jobs: int = field(default=2, metadata=about("processes that render the simulated world", shown=False))
    threads: int = field(default=0, metadata=about("CPU threads of torch; 0 leaves its own choice", shown=False))

    @property
    def salient_classes(self) -> tuple[str, ...]:
        """The names in `saliency_classes`."""
        return tuple(name.strip() for name in self.saliency_classes.split(",") if name.strip())
