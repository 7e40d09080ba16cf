"""`robot_vision replay`: publishes a recording at its recorded pace."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from robot_vision.cli.setting_options import add_setting_options, params_from
from robot_vision.data.replay_params import ReplayParams

if TYPE_CHECKING:
    from robot_vision.data.bags import RawMessage

HELP = "publish a bag or video at its recorded rate"
CLOCK_HZ = 40.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision replay`.
    """
    parser.description = (
        "Publishes the images of one camera to --topic; with --all or --topics, topics of a bag under their own names. "
        "Keys on a terminal: space pauses and resumes, s or the right arrow steps, q ends; the services "
        "/replay_node/pause, resume and step do the same."
    )
    parser.add_argument("recording", type=Path, help="bag of ROS 2 (mcap or sqlite3) or ROS 1, or video")
    add_setting_options(parser, ReplayParams, bare={"clock": CLOCK_HZ})
    parser.add_argument("--remap", nargs="+", default=[], metavar="FROM:=TO", help="publish a topic under another name")
    parser.add_argument(
        "--log",
        type=Path,
        help="write [stamp_ns, monotonic_ns when published] pairs to this JSON file; the stamp is that of the image's "
        "header, or with --all or --topics the time of recording",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 0 also after Ctrl-C.

    Raises:
        InvalidValueError: If an argument is wrong.
        BagError: If the recording is missing or damaged, or holds nothing that can be published.
        RobotVisionError: If nobody subscribes in time.
    """
    params = params_from(args, ReplayParams)
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    export_fastdds_profile()
    published: list[tuple[int, int]] = []
    try:
        from robot_vision.ros.replay_node import header_stamp_ns, replay  # noqa: PLC0415

        def note(message: RawMessage, now_ns: int) -> None:
            published.append((message.stamp_ns if params.whole_bag else header_stamp_ns(message.data), now_ns))

        return replay(args.recording, params, args.remap, note if args.log else None)
    except KeyboardInterrupt:
        return 0
    finally:
        if args.log:
            args.log.write_text(json.dumps(published))
