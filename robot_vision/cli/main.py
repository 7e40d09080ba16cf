"""Entry point of the `robot_vision` command: finds the sub-command's module, parses, runs, reports errors."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from robot_vision import __version__
from robot_vision.errors import RobotVisionError

COMMANDS = {
    "dataset": "bags to a data set for learning, with aligned observations and actions",
    "demo": "replay a bag or video into the pipeline and report what it found",
    "doctor": "say what is wrong with the machine or the running system, and how to mend it",
    "evaluate": "measure a detector, encoders or the tracker against labelled data",
    "generate": "make images from words, or from words and an image",
    "inspect": "say what a network is taken for, and from what evidence",
    "process": "detections, tracks and latents for bags and videos, written as bags",
    "record": "write the results of the running pipeline, and cameras, into a bag",
    "replay": "publish a bag or video at its recorded rate",
    "sim": "render the simulated camera world into bags and data sets",
    "train": "train a detector or an encoder",
    "tune": "search for the tracker's parameters on labelled sequences",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Command line without the program's name; None takes the process's own.

    Returns:
        Exit status: 0 success, 1 a reported error, 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="robot_vision", description="Real-time ROS 2 perception.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, add_help=name in words[:1])
        if words[:1] == [name]:
            _module(name).configure(command)
    chosen = parser.parse_args(words)
    try:
        return int(_module(chosen.command).run(chosen))
    except RobotVisionError as error:
        print(f"robot_vision {chosen.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _module(command: str) -> argparse.Namespace:
    return importlib.import_module(f"robot_vision.cli.{command}")  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main())
