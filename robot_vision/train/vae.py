"""`robot_vision train vae`: trains the latent encoder and its decoder and writes both as ONNX files with cards."""

from __future__ import annotations

import argparse
import time
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_vision.errors import InvalidValueError
from robot_vision.runtime.card import InputSpec

if TYPE_CHECKING:
    from robot_vision.train.vae_fit import Fit
    from robot_vision.types import UInt8Array

VAE_INPUT = InputSpec(
    name="image", size_wh=(64, 64), colour="RGB", resize="stretch", pad_value=0, scale=1 / 255, interpolation="area"
)
SIMULATED_TRAINING = (6000, 100_000)
SIMULATED_HELD_OUT = (500, 900_000)
EXPORT_TOLERANCE = 1e-4
RECONSTRUCTION_COLUMNS = 12
DIGITS = 6


@dataclass(frozen=True)
class VaeTraining:
    """One training run.

    Attributes:
        data: Folder of images (or COCO folder); None renders the simulated world.
        validation: The same for held-out images; None holds out the last tenth of `data`.
        out: Folder of the ONNX files and cards.
        name: Common part of the files' names.
        work: Folder of checkpoint, caches, curves and pictures.
        resume: Continue from the checkpoint in `work`.
        jobs: Processes that render when `data` is None.
        command: The command line, for the cards.
        description: What the data are, for the cards; empty says folder and number of images.
    """

    data: Path | None = None
    validation: Path | None = None
    out: Path = Path("models")
    name: str = "simworld_vae"
    work: Path = Path("runs/vae")
    resume: bool = False
    jobs: int = 2
    command: str = "robot_vision train vae"
    description: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision train vae`.
    """
    parser.add_argument("--data", type=Path, help="folder of images; without it the simulated world is rendered")
    parser.add_argument("--validation", type=Path, help="folder of held-out images; without it the last tenth is held out")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the ONNX files and their cards")
    parser.add_argument("--name", default="simworld_vae", help="files are NAME_encoder and NAME_decoder")
    parser.add_argument("--work", type=Path, default=Path("runs/vae"), help="folder of checkpoint, curves and pictures")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the work folder")
    parser.add_argument("--jobs", type=int, default=2, help="processes that render the simulated world")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of torch; 0 leaves its own choice")
    parser.add_argument("--epochs", type=int, default=120, help="passes over the images")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak learning rate of Adam")
    parser.add_argument("--latent-size", type=int, default=32, help="number of latent dimensions")
    parser.add_argument("--likelihood", choices=("optimal", "fixed"), default="optimal", help="pixel noise: fitted or given")
    parser.add_argument("--sigma", type=float, default=0.1, help="pixel noise in [0, 1] units with --likelihood fixed")
    parser.add_argument("--beta", type=float, default=1.0, help="weight of the KL")
    parser.add_argument("--warmup-epochs", type=int, default=5, help="epochs over which the KL's weight rises")
    parser.add_argument("--free-bits", type=float, default=0.0, help="nats per latent dimension that cost nothing")
    parser.add_argument("--no-augment", dest="augment", action="store_false", help="train on the images as they are only")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole run")
