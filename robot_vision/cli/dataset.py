"""`robot_vision dataset`: bags to a data set for learning, with aligned observations and actions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robot_vision.cli.ending import exit_on_sigterm
from robot_vision.data.bags import BagReader
from robot_vision.data.dataset.build import Result, build
from robot_vision.data.dataset.columns import LATENT, TRACKS
from robot_vision.data.dataset.settings import DatasetSettings, TopicSpec, parse_topic
from robot_vision.data.dataset.storage import has_pyarrow
from robot_vision.errors import BagError, InvalidValueError, RobotVisionError
from robot_vision.evaluation.report import table

HELP = "bags to a data set for learning, with aligned observations and actions"
_TOPIC = "TOPIC[:FIELD,…][=NAME]"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision dataset`.
    """
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="bags, each one episode or several")
    parser.add_argument("--out", type=Path, required=True, help="folder to create")
    parser.add_argument(
        "--observe", nargs="+", default=[], metavar=_TOPIC,
        help="topics that become observations (default: the latents and tracks of the first bag)",
    )  # fmt: skip
    parser.add_argument("--action", nargs="+", default=[], metavar=_TOPIC, help="topics that become the action")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="steps a second (default 10)")
    parser.add_argument(
        "--reference", default="", metavar="TOPIC",
        help="topic whose messages begin and end episodes (default: the first one observed)",
    )  # fmt: skip
    parser.add_argument(
        "--max-age", nargs="+", default=[], metavar="[TOPIC=]SECONDS",
        help="largest age of a sample at its step, for all topics or one; inf for any (default: two steps)",
    )  # fmt: skip
    parser.add_argument(
        "--gap", type=float, default=1.0, metavar="SECONDS",
        help="a longer silence of the reference begins a new episode (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--invalid", choices=("cut", "mask"), default="cut",
        help="a step without a usable sample ends the episode, or stays and is marked (default cut)",
    )  # fmt: skip
    parser.add_argument(
        "--clock", choices=("header", "reception"), default="header",
        help="time of a message: its header's stamp, where the topic has them, or its reception (default header)",
    )  # fmt: skip
    parser.add_argument("--image-size", type=_size, metavar="WxH", help="size of pictures, needed to observe a camera")
    parser.add_argument(
        "--source-size",
        type=_size,
        metavar="WxH",
        help="size of the tracked images (default: as the bag's camera says)",
    )
    parser.add_argument(
        "--class-names", nargs="+", default=[], metavar="NAME", help="classes of tracks (default: the bag's LabelInfo)"
    )
    parser.add_argument("--max-tracks", type=int, default=16, help="rows of the track array (default 16)")
    parser.add_argument(
        "--pad", nargs="+", default=[], metavar="TOPIC=LENGTH", help="pad the arrays of a topic, and add a mask"
    )
    parser.add_argument("--task", default="", help="what the recordings show, in words")
    parser.add_argument(
        "--format", choices=("parquet", "npz", "lerobot"), default="parquet" if has_pyarrow() else "npz",
        help="format of the data set (default: parquet, or npz where pyarrow is not installed)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 1 if a bag failed.

    Raises:
        InvalidValueError: If an argument is wrong.
        BagError: If the data set cannot be written, or nothing to observe is named and the first bag does not tell.
        MissingDependencyError: If the format needs a package that is not installed.
    """
    settings = _settings(args)
    exit_on_sigterm()
    with tqdm(total=2 * sum(_messages(bag, settings.topics) for bag in args.bags), unit="message", disable=None) as bar:
        result = build(args.bags, args.out, settings, args.format, bar.update)
    return _report(result, args.out)


def _settings(args: argparse.Namespace) -> DatasetSettings:
    observations = tuple(map(parse_topic, args.observe)) or _default_observations(args.bags[0])
    general = [text for text in args.max_age if "=" not in text]
    if len(general) > 1:
        raise InvalidValueError(f"--max-age: one age for all topics, got {' and '.join(general)}")
    by_topic = dict(_assigned("--max-age", text) for text in args.max_age if "=" in text)
    return DatasetSettings(
        observations=observations,
        actions=tuple(map(parse_topic, args.action)),
        rate_hz=args.rate,
        reference=args.reference,
        max_age_s=_number("--max-age", general[0]) if general else None,
        max_age_by_topic_s=by_topic,
        gap_s=args.gap,
        invalid=args.invalid,
        clock=args.clock,
        image_size_wh=args.image_size,
        source_size_wh=args.source_size,
        class_names=tuple(args.class_names),
        max_tracks=args.max_tracks,
        padding=dict(map(_padding, args.pad)),
        task=args.task,
    )


def _default_observations(path: Path) -> tuple[TopicSpec, ...]:
    with BagReader(path) as bag:
        found = [topic.name for topic in bag.topics.values() if topic.msgtype in (LATENT, TRACKS)]
    if not found:
        raise BagError(
            f"{path}: no latents and no tracks; make them with `robot_vision process`, or name --observe TOPIC"
        )
    return tuple(map(TopicSpec, found))


def _messages(path: Path, topics: Sequence[str]) -> int:
    """Messages of the topics; 0 if the bag cannot be read, which `build` will say."""
    try:
        with BagReader(path) as bag:
            return sum(topic.message_count for topic in bag.topics.values() if topic.name in topics)
    except RobotVisionError:
        return 0


def _report(result: Result, out: Path) -> int:
    done = [entry for entry in result.bags if not entry.error]
    failed = [entry for entry in result.bags if entry.error]
    for topic, fields in result.left_out.items():
        print(f"note: {topic}: not in the data set: {', '.join(fields)}", file=sys.stderr)
    if done:
        headers = ("topic", "column", "clock", "median ms", "p95 ms", "max ms", "held", "steps without")
        print(f"age of the samples used\n\n{table(headers, [_line(entry) for entry in result.alignment])}\n")
        left_out = sum(entry.steps_left_out for entry in done)
        episodes, steps = sum(entry.episodes for entry in done), sum(entry.steps for entry in done)
        print(
            f"{len(done)} of {len(result.bags)} bags, {episodes} episodes, {steps} steps ({left_out} left out): {out}/"
        )
    for entry in failed:
        print(f"failed: {entry.error}", file=sys.stderr)
    return 1 if failed else 0


def _line(entry: dict[str, Any]) -> tuple[str, ...]:
    ages = entry.get("age_ms") or entry["delay_ms"]
    numbers = ("" if value is None else f"{value:.1f}" for value in ages.values())
    without = entry["without_fresh_sample"] + entry["unusable_samples"]
    kind = " (after the step)" if "delay_ms" in entry else ""
    return (entry["topic"], entry["column"] + kind, entry["clock"], *numbers, str(entry.get("held", "")), str(without))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a size in pixels, such as 128x96")
    return int(width), int(height)


def _assigned(option: str, text: str) -> tuple[str, float]:
    topic, _, value = text.partition("=")
    return topic, _number(option, value)


def _padding(text: str) -> tuple[str, int]:
    topic, _, length = text.partition("=")
    if not length.isdecimal():
        raise InvalidValueError(f"--pad: {text!r}: expected TOPIC=LENGTH with a whole number")
    return topic, int(length)


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidValueError(f"{option}: {text!r} is no number") from error
