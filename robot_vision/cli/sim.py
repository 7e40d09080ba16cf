"""`robot_vision sim`: renders the simulated camera world into image data sets and bags."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "render the simulated camera world into bags and data sets"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare `sim dataset`, `sim captioned`, `sim bag` and `sim reach`."""
    kinds = parser.add_subparsers(dest="product", required=True, metavar="PRODUCT")
    dataset = kinds.add_parser("dataset", help="COCO image data set: images/*.jpg and annotations.json")
    dataset.add_argument("--out", type=Path, required=True, help="folder to write; an interrupted run is continued")
    dataset.add_argument("--images", type=int, required=True, help="how many images")
    dataset.add_argument("--seed-base", type=int, default=0, help="seed of the first scene (default 0)")
    dataset.add_argument("--size", type=size, default=(320, 240), help="image size WIDTHxHEIGHT (default 320x240)")
    dataset.add_argument("--quality", type=int, default=92, help="JPEG quality (default 92)")
    dataset.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    captioned = kinds.add_parser("captioned", help="the same of one to three objects each, with colours and place")
    captioned.add_argument("--out", type=Path, required=True, help="folder to write; an interrupted run is continued")
    captioned.add_argument("--images", type=int, required=True, help="how many images")
    captioned.add_argument("--seed-base", type=int, default=0, help="seed of the first scene (default 0)")
    captioned.add_argument("--size", type=size, default=(64, 64), help="image size WIDTHxHEIGHT (default 64x64)")
    captioned.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    bag = kinds.add_parser("bag", help="ROS 2 bag (MCAP): images, camera info, camera pose, ground truth")
    bag.add_argument("--out", type=Path, required=True, help="bag folder to create")
    bag.add_argument("--camera", choices=("fixed", "handheld", "uav"), default="handheld", help="default handheld")
    bag.add_argument("--seconds", type=float, default=10.0, help="length (default 10)")
    bag.add_argument("--rate", type=float, default=20.0, help="frames per second (default 20)")
    bag.add_argument("--size", type=size, default=(640, 480), help="image size WIDTHxHEIGHT (default 640x480)")
    bag.add_argument("--format", choices=("compressed", "raw"), default="compressed", help="JPEG or rgb8")
    bag.add_argument("--quality", type=int, default=80, help="JPEG quality (default 80)")
    bag.add_argument("--seed", type=int, default=0, help="which scene (default 0)")
    bag.add_argument("--theme", default="random", help="room, hall, tabletop, yard, field or random (default)")
    reach = kinds.add_parser("reach", help="ROS 2 bag of the reaching task that agents learn: images, ground truth")
    reach.add_argument("--out", type=Path, required=True, help="bag folder to create")
    reach.add_argument("--episodes", type=int, default=400, help="how many (default 400)")
    reach.add_argument("--frames", type=int, default=5, help="frames of each episode (default 5)")
    reach.add_argument("--seed", type=int, default=0, help="which episodes (default 0)")
    reach.add_argument("--size-px", type=int, default=64, help="side of the image in pixels (default 64)")
    reach.add_argument(
        "--variation", default="none", help="what is otherwise than usual: none (default), object or light"
    )


def run(args: argparse.Namespace) -> int:
    """Render what was asked for; returns the exit status."""
    if args.product == "dataset":
        from robot_vision.sim.coco import DatasetConfig, write_dataset  # noqa: PLC0415

        path = write_dataset(DatasetConfig(args.out, args.images, args.seed_base, args.size, args.jobs, args.quality))
        print(f"wrote {path}")
        return 0
    if args.product == "captioned":
        from robot_vision.sim.captioned import CaptionedConfig  # noqa: PLC0415
        from robot_vision.sim.coco import write_dataset  # noqa: PLC0415

        captioned = CaptionedConfig(args.out, args.images, args.seed_base, args.size, args.jobs)
        print(f"wrote {write_dataset(captioned)}")
        return 0
    if args.product == "reach":
        from robot_vision.rl.reach_recording import ReachRecording, write_episodes  # noqa: PLC0415

        what = ReachRecording(args.out, args.episodes, args.frames, args.seed, args.size_px, args.variation)
        print(f"wrote {write_episodes(what)} frames to {args.out}")
        return 0
    from robot_vision.sim.recording import RecordingConfig, write_bag  # noqa: PLC0415
    from robot_vision.sim.scene import SceneConfig  # noqa: PLC0415
    from robot_vision.sim.world import WorldConfig  # noqa: PLC0415

    scene = SceneConfig(objects=(8, 14), theme=args.theme)
    world = WorldConfig(args.seed, args.size, args.camera, args.rate, scene=scene)
    count = write_bag(RecordingConfig(args.out, args.seconds, args.format, args.quality, world))
    print(f"wrote {count} frames to {args.out}")
    return 0


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels from a text such as `640x480`.

    Raises:
        argparse.ArgumentTypeError: If the text is no size.
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write for example 640x480")
    return int(width), int(height)
