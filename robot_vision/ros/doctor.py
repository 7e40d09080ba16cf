"""The checks of `robot_vision doctor`, each group in a process of its own that a crash or a hang does not outlive.

`python -m robot_vision.ros.doctor GROUP OPTIONS` is one such process; it prints a finding a line, in JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_vision.ros.finding import Finding

LIMIT_S = 17.0
"""Time after which every check is ended, so that the whole takes less than 20 s."""

POLL_S = 0.05
_MODULE = "robot_vision.ros.doctor"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Options:
    """What to look at.

    Attributes:
        topic: Image topic; empty for all.
        seconds: How long to listen to topics.
        model: Another model to try; empty for none.
    """

    topic: str = ""
    seconds: float = 3.0
    model: str = ""


def _machine(_options: Options) -> Iterator[Finding]:
    from robot_vision.ros.doctor_machine import FAST_DDS, machine_findings  # noqa: PLC0415

    yield from machine_findings(os.environ, os.environ.get("RMW_IMPLEMENTATION") or f"{FAST_DDS}_cpp")


def _rclpy(_options: Options) -> Iterator[Finding]:
    from robot_vision.ros.doctor_software import package_finding  # noqa: PLC0415

    yield package_finding("rclpy")


def _software(options: Options) -> Iterator[Finding]:
    from robot_vision.ros.doctor_software import software_findings  # noqa: PLC0415

    yield from software_findings(os.environ, options.model)


def _provider(name: str) -> Callable[[Options], Iterator[Finding]]:
    def check(_options: Options) -> Iterator[Finding]:
        from robot_vision.ros.doctor_software import provider_findings  # noqa: PLC0415

        yield from provider_findings(name)

    return check


def _round_trip(_options: Options) -> Iterator[Finding]:
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    export_fastdds_profile()
    from robot_vision.ros.doctor_round_trip import round_trip_findings  # noqa: PLC0415

    yield from round_trip_findings()


def _graph(options: Options) -> Iterator[Finding]:
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    export_fastdds_profile()
    from robot_vision.ros.doctor_graph import graph_findings  # noqa: PLC0415

    yield from graph_findings(options.topic, options.seconds)


GROUPS: dict[str, Callable[[Options], Iterator[Finding]]] = {
    "rclpy": _rclpy,
    "software": _software,
    "provider cpu": _provider("cpu"),
    "provider cuda": _provider("cuda"),
    "provider tensorrt": _provider("tensorrt"),
    "machine": _machine,
    "round trip": _round_trip,
    "graph": _graph,
}
NEED_ROS = ("round trip", "graph")
OTHER_MIDDLEWARE = "unset RMW_IMPLEMENTATION  # or: sudo apt install ros-$ROS_DISTRO-rmw-<name>"
SLOW_START = {
    "provider tensorrt": Finding(
        "WARN", "provider tensorrt", f"not ready after {LIMIT_S:.0f} s: the first time TensorRT compiles, for minutes",
        "ros2 run robot_vision perception_node --ros-args -p session.provider:=tensorrt",
    )
}  # fmt: skip


@dataclass
class _Running:
    group: str
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path


def diagnose(options: Options, limit_s: float = LIMIT_S) -> list[Finding]:
    """Run every check.

    Args:
        options: What to look at.
        limit_s: Seconds after which what still runs is ended.

    Returns:
        All findings, in the order of the groups.
    """
    end_s = time.monotonic() + limit_s
    running: list[_Running] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            running += [_start(group, options, Path(folder)) for group in GROUPS]
            while time.monotonic() < end_s and any(entry.process.poll() is None for entry in running):
                time.sleep(POLL_S)
        finally:
            for entry in running:
                _end(entry.process)
        findings = {entry.group: _read(entry, options) for entry in running}
    has_no_ros = any(found.level == "FAIL" for found in findings["rclpy"])
    said = [entries for group, entries in findings.items() if not (has_no_ros and group in NEED_ROS)]
    return [found for entries in said for found in entries]


def main(words: list[str]) -> int:
    """Run one group of checks and print what it finds.

    Args:
        words: Name of the group, options in JSON.

    Returns:
        Exit status: 0, also where a check failed.
    """
    group, options = words[0], Options(**json.loads(words[1]))
    try:
        for finding in GROUPS[group](options):
            print(json.dumps(asdict(finding)), flush=True)
    except Exception as error:  # whatever is broken on this machine, the others' findings count
        text = f"the check failed: {type(error).__name__}: {' '.join(str(error).split())}"
        print(json.dumps(asdict(Finding("FAIL", group, text, _alone(group, options)))), flush=True)
    return 0


def _start(group: str, options: Options, folder: Path) -> _Running:
    output, errors = folder / f"{group}.out", folder / f"{group}.err"
    command = [sys.executable, "-m", _MODULE, group, json.dumps(asdict(options))]
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
    return _Running(group, process, output, errors)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a check and what it started; one that hangs in the kernel is left behind."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _read(running: _Running, options: Options) -> list[Finding]:
    findings = [found for line in _text(running.output).splitlines() if (found := _finding(line))]
    errors = [line.strip() for line in _text(running.errors).splitlines() if line.strip()]
    status = running.process.returncode
    if status in (None, -signal.SIGKILL):
        hung = Finding("FAIL", running.group, "the check did not end and was stopped", _alone(running.group, options))
        findings.append(SLOW_START.get(running.group, hung))
    elif status:
        reason = errors[-1] if errors else "it said nothing"
        mend = OTHER_MIDDLEWARE if "RMW" in reason else _alone(running.group, options)
        findings.append(Finding("FAIL", running.group, f"the check ended with status {status}: {reason}", mend))
    refused = [line for line in errors if "XMLPARSER" in line and "Error" in line]
    if refused and running.group == "round trip":
        from robot_vision.ros.fastdds_profile import export_command  # noqa: PLC0415

        text = f"Fast DDS does not take the profile: {refused[-1].partition('Error]')[2].strip()}"
        findings.append(Finding("FAIL", "profile", text, export_command()))
    return findings


def _finding(line: str) -> Finding | None:
    """The finding in a line that a check printed; None for a line of a library."""
    try:
        return Finding(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _text(path: Path) -> str:
    return _COLOURS.sub("", path.read_text(encoding="utf-8", errors="replace"))


def _alone(group: str, options: Options) -> str:
    return f"{sys.executable} -m {_MODULE} {shlex.quote(group)} {shlex.quote(json.dumps(asdict(options)))}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
