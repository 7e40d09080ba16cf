"""`robot_vision train`: trains a detector, an encoder or image generation, each with one command."""

from __future__ import annotations

import argparse
import importlib

from robot_vision.errors import MissingDependencyError

HELP = "train a detector, an encoder or image generation"
_TRAINING = {
    "detector": "YOLO detector from labelled images (COCO, YOLO, bag), or from the simulated world",
    "vae": "encoder (VAE, autoencoder, denoising autoencoder or PCA) from bags or images, or from the simulated world",
    "diffusion": "image generation from captions, from bags or images, or from the simulated world",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `train detector`, `train vae` and `train diffusion`; needs no torch."""
    from robot_vision.train import detector_settings, diffusion, options, vae  # noqa: PLC0415

    products = parser.add_subparsers(dest="product", required=True, metavar="PRODUCT")
    detector = products.add_parser("detector", help=_TRAINING["detector"], description=_TRAINING["detector"])
    options.add_arguments(detector, detector_settings.DetectorTraining)
    for name, module in (("vae", vae), ("diffusion", diffusion)):
        module.configure(products.add_parser(name, help=_TRAINING[name], description=_TRAINING[name]))


def run(args: argparse.Namespace) -> int:
    """Train what was asked for.

    Args:
        args: Parsed command line.

    Returns:
        Exit status.

    Raises:
        MissingDependencyError: If torch or another package of the training environment is not installed.
        RobotVisionError: If a setting, a data set or a checkpoint is wrong.
    """
    try:
        importlib.import_module("robot_vision.train.export")
    except ImportError as error:
        raise MissingDependencyError(f"training needs {error.name}; install it with: make train-env") from error
    if args.product in ("vae", "diffusion"):
        module = importlib.import_module(f"robot_vision.train.{args.product}")
        return int(module.run(args))
    from robot_vision.train.detector import train_detector  # noqa: PLC0415
    from robot_vision.train.detector_settings import DetectorTraining  # noqa: PLC0415
    from robot_vision.train.options import from_arguments  # noqa: PLC0415

    train_detector(from_arguments(args, DetectorTraining))
    return 0
