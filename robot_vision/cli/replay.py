"""`robot_vision replay`: publishes a bag's or a video's images at their recorded pace."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "publish a bag or video at its recorded rate"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision replay`.
    """
    parser.add_argument("recording", type=Path, help="ROS 2 bag (mcap or sqlite3) or video")
    parser.add_argument("--from-topic", help="image topic of the bag; needed only if it has several")
    parser.add_argument(
        "--topic", default="/camera/image", help="topic to publish; compressed images go to TOPIC/compressed"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the recorded pace; 0: as fast as possible")
    parser.add_argument(
        "--wait", type=float, default=20.0, help="longest wait for a subscriber in seconds; 0: do not wait"
    )
    parser.add_argument(
        "--log", type=Path, help="write [stamp_ns, monotonic_ns when published] pairs to this JSON file"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.
    """
    from robot_vision.data.sources import open_source  # noqa: PLC0415
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    source = open_source(args.recording, args.from_topic)
    if source.note:
        print(source.note)
    export_fastdds_profile()
    from robot_vision.ros.replay_node import ReplayOptions, replay  # noqa: PLC0415

    published = replay(source, ReplayOptions(args.topic, args.rate, args.wait))
    if args.log:
        args.log.write_text(json.dumps(published))
    print(f"published {len(published)} images of {args.recording}")
    return 0
