"""`robot_vision record`: writes what the running pipeline publishes into a bag."""

from __future__ import annotations

import argparse
from pathlib import Path

from robot_vision.cli.setting_options import add_setting_options, params_from
from robot_vision.data.record_params import RecordParams

HELP = "write the results of the running pipeline, and cameras, into a bag"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision record`.
    """
    parser.description = (
        "Writes detections, tracks, track_states, latent, label_info and diagnostics, of every camera and whoever "
        "publishes them, into an mcap bag, byte for byte, until Ctrl-C. Publishers may come later."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="bag to write; must not exist")
    add_setting_options(parser, RecordParams)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 0 also after Ctrl-C.

    Raises:
        InvalidValueError: If an argument is wrong.
        BagError: If the bag exists or cannot be written, or nothing was recorded.
    """
    params = params_from(args, RecordParams)
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    export_fastdds_profile()
    from robot_vision.ros.record import record  # noqa: PLC0415

    return record(args.out, params)
