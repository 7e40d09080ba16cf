"""`robot_vision doctor`: what is wrong with this machine or the running system, and the command that mends it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from robot_vision.errors import InvalidValueError

if TYPE_CHECKING:
    from robot_vision.ros.finding import Finding

LONGEST_LISTENING_S = 6.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision doctor`.
    """
    parser.description = (
        "Tries what a robot needs: software, models, execution providers, shared memory, an image between two "
        "processes, the image topics and nodes that run. Ends within 20 s. Run it in the shell from which camera and "
        "pipeline start."
    )
    parser.add_argument("--topic", default="", help="topic on which images are expected; all image topics if not given")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help=f"time to listen to topics, at most {LONGEST_LISTENING_S:g}"
    )
    parser.add_argument("--model", default="", help="also try this model: shipped name, ONNX file or card")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 1 if something does not work.

    Raises:
        InvalidValueError: If an argument is wrong.
    """
    from robot_vision.ros.doctor import Options, diagnose  # noqa: PLC0415

    if not 0 < args.seconds <= LONGEST_LISTENING_S:
        raise InvalidValueError(
            f"--seconds: expected more than 0, at most {LONGEST_LISTENING_S:g}; got {args.seconds:g}"
        )
    findings = diagnose(Options(args.topic, args.seconds, args.model))
    failed = any(finding.level == "FAIL" for finding in findings)
    if args.json:
        print(json.dumps({"failed": failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print("\n".join(_lines(findings)))
    return int(failed)


def _lines(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:4} {finding.check}: {finding.text}")
        if finding.mend:
            lines.append(f"     -> {finding.mend}")
    counts = {level: sum(finding.level == level for finding in findings) for level in ("OK", "WARN", "FAIL")}
    return [*lines, ", ".join(f"{count} {level}" for level, count in counts.items())]
