"""What `robot_vision evaluate tracker` and `robot_vision tune tracker` have in common: sequences and parameters."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from robot_vision.errors import EvaluationError
from robot_vision.params import Setting, TrackerParams, settings

if TYPE_CHECKING:
    from robot_vision.evaluation.sequences import TrackingSequence


def tracker_numbers() -> dict[str, Setting]:
    """The tracker's settings that are numbers and need no image, by name."""
    numbers = (setting for setting in settings(TrackerParams) if setting.kind is float)
    return {setting.name: setting for setting in numbers if not setting.name.startswith("appearance")}


def add_sequences(parser: argparse.ArgumentParser, most_objects: float = math.inf) -> None:
    """Declare the options that say what is tracked.

    Args:
        parser: Parser of the command.
        most_objects: Objects of the largest scene that is taken without being asked for.
    """
    unasked = "all" if math.isinf(most_objects) else f"those of up to {most_objects} objects"
    parser.set_defaults(most_objects=most_objects)
    parser.add_argument(
        "--sequences", type=Path, nargs="+", default=[], metavar="FOLDER",
        help="MOTChallenge sequences (gt/gt.txt, det/*.txt, seqinfo.ini), or folders with such at any depth",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", nargs="+", metavar="NAME",
        help=f"made-up scenes (a wrong name lists them); {unasked} if neither these nor sequences are given",
    )  # fmt: skip
    parser.add_argument("--val", action="store_true", help="only the second half of each sequence, frames n//2+2 to n")
    parser.add_argument("--rate", type=_positive, help="frames a second of all sequences, instead of seqinfo.ini's")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of all that is random (default 0)")


def chosen_sequences(args: argparse.Namespace) -> list[TrackingSequence]:
    """The sequences and scenes that were asked for.

    Args:
        args: Parsed with the options of `add_sequences`.

    Returns:
        At least one sequence; their names differ.

    Raises:
        EvaluationError: If one cannot be read, is not known, or is given twice.
    """
    from robot_vision.evaluation.mot import find_sequences, read_sequence  # noqa: PLC0415
    from robot_vision.evaluation.synthetic_tracks import SCENES, synthetic_sequence  # noqa: PLC0415

    folders = [found for folder in args.sequences for found in find_sequences(folder)]
    scenes = args.scenes
    if scenes is None:
        scenes = [] if folders else [name for name, scene in SCENES.items() if scene.objects <= args.most_objects]
    chosen = [read_sequence(folder, second_half=args.val, rate_hz=args.rate) for folder in folders]
    chosen += [synthetic_sequence(name, args.seed) for name in scenes]
    name, times = Counter(sequence.name for sequence in chosen).most_common(1)[0]
    if times > 1:
        raise EvaluationError(f"{times} sequences are called {name}; give each once")
    return chosen


def whole_number(text: str) -> int:
    """A whole number above 0.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; write a whole number")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value
