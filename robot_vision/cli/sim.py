"""`robot_vision sim`: renders the simulated camera world into image data sets and bags."""

from __future__ import annotations

import argparse
from pathlib import Path

from robot_vision.errors import InvalidValueError

HELP = "render the simulated camera world into bags and data sets"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `sim dataset` and `sim bag`."""
    kinds = parser.add_subparsers(dest="product", required=True, metavar="PRODUCT")
    dataset = kinds.add_parser("dataset", help="COCO image data set: images/*.jpg and annotations.json")
    dataset.add_argument("--out", type=Path, required=True, help="folder to write; an interrupted run is continued")
    dataset.add_argument("--images", type=int, required=True, help="how many images")
    dataset.add_argument("--seed-base", type=int, default=0, help="seed of the first scene (default 0)")
    dataset.add_argument("--size", type=_size, default=(320, 240), help="image size WIDTHxHEIGHT (default 320x240)")
    dataset.add_argument("--quality", type=int, default=92, help="JPEG quality (default 92)")
    dataset.add_argument("--jobs", type=int, default=1, help="processes (default 1)")


def run(args: argparse.Namespace) -> int:
    """Render what was asked for."""
    if args.jobs < 1:
        raise InvalidValueError(f"--jobs: expected at least 1, got {args.jobs}")
    from robot_vision.sim.coco import DatasetConfig, write_dataset  # noqa: PLC0415

    config = DatasetConfig(args.images, args.seed_base, args.size, quality=args.quality)
    write_dataset(args.out, config, args.jobs)
    return 0


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 320x240, got {text!r}")
    return int(width), int(height)
