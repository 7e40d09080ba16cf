"""`robot_vision sim`: renders the simulated camera world into labelled images or a bag."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "render the simulated camera world into bags and data sets"


def size(text: str) -> tuple[int, int]:
    """Parse an image size.

    Args:
        text: For example `640x480`.

    Returns:
        Width and height in pixels.

    Raises:
        argparse.ArgumentTypeError: If the text is no size.
    """
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write for example 640x480") from None
    return width, height


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision sim`.
    """
    kinds = parser.add_subparsers(dest="kind", required=True)
    dataset = kinds.add_parser("dataset", help="images with COCO labels")
    dataset.add_argument("--out", type=Path, required=True, help="folder to write")
    dataset.add_argument("--images", type=int, default=6000, help="number of images")
    dataset.add_argument("--seed-base", type=int, default=100_000, help="seed of the first scene")
    dataset.add_argument("--size", type=size, default=(320, 240), help="image size, WIDTHxHEIGHT")
    dataset.add_argument("--jobs", type=int, default=2, help="processes that render")
    bag = kinds.add_parser("bag", help="a ROS 2 bag with images, camera pose and ground truth")
    bag.add_argument("--out", type=Path, required=True, help="bag folder to write")
    bag.add_argument("--camera", choices=("fixed", "handheld", "uav"), default="handheld", help="how the camera moves")
    bag.add_argument("--seconds", type=float, default=10.0, help="length of the recording")
    bag.add_argument("--rate", type=float, default=20.0, help="frames per second")
    bag.add_argument("--size", type=size, default=(640, 480), help="image size, WIDTHxHEIGHT")
    bag.add_argument("--format", choices=("compressed", "raw"), default="compressed", help="image message type")
    bag.add_argument("--quality", type=int, default=85, help="JPEG quality, 1 to 100")
    bag.add_argument("--seed", type=int, default=0, help="scene")
    bag.add_argument("--objects", type=int, default=None, help="number of objects; random when not given")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.
    """
    if args.kind == "dataset":
        from robot_vision.sim.coco import DatasetConfig, write_dataset  # noqa: PLC0415

        config = DatasetConfig(args.out, args.images, args.seed_base, args.size, args.jobs)
        print(f"wrote {write_dataset(config)}")
        return 0
    from robot_vision.sim.recording import RecordingConfig, write_bag  # noqa: PLC0415

    recording = RecordingConfig(
        args.out, args.camera, args.seconds, args.rate, args.size, args.format, args.quality, args.seed, args.objects
    )
    print(f"wrote {write_bag(recording)} frames to {args.out}")
    return 0
