"""Runs the composed pipeline on a replayed recording, each in a process of its own, and listens from a third."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.sources import COMPRESSED_IMAGE, ImageSource
from robot_vision.errors import RobotVisionError
from robot_vision.ros.recorder import Recorder
from robot_vision.ros.spin import EndRequest, init_interruptible

TOPIC = "/camera/image"
QUIET_S = 1.0
LONGEST_REST_S = 30.0
STOP_TIMEOUT_S = 10.0
TABLE_PERIOD_S = 0.5


@dataclass(frozen=True)
class DemoRun:
    """What the listening process got.

    Attributes:
        recorder: Everything received.
        published_ns: Monotonic time of publication by header stamp.
    """

    recorder: Recorder
    published_ns: Mapping[int, int]


def run_pipeline(
    source: ImageSource,
    parameters: Mapping[str, Any],
    params_file: Path | None,
    result_bag: Path,
    show: Callable[[Recorder], None],
) -> DemoRun:
    """Play a recording at its pace into `perception_node` and record the results.

    Args:
        source: The recording.
        parameters: ROS parameters of the node.
        params_file: File with further ones; those above go before it.
        result_bag: Bag to write.
        show: Called twice a second with the recorder.

    Returns:
        What arrived.

    Raises:
        RobotVisionError: If a process fails.
    """
    log = result_bag.parent / "replay.json"
    end = init_interruptible()
    node = subprocess.Popen(_node_command(source, parameters, params_file))
    player = subprocess.Popen(
        [sys.executable, "-m", "robot_vision.cli.main", "replay", str(source.path), "--from-topic", source.topic,
         "--topic", TOPIC, "--log", str(log)]
    )  # fmt: skip
    executor = SingleThreadedExecutor()
    try:
        with BagWriter(result_bag) as writer:
            recorder = Recorder(writer)
            executor.add_node(recorder)
            _listen(executor, recorder, node, player, show, end)
    finally:
        for process in (player, node):
            _stop(process)
        rclpy.try_shutdown()
    published = json.loads(log.read_text())
    log.unlink()
    return DemoRun(recorder, {int(stamp): int(when) for stamp, when in published})


def _node_command(source: ImageSource, parameters: Mapping[str, Any], params_file: Path | None) -> list[str]:
    transport = "compressed" if source.msgtype == COMPRESSED_IMAGE else "raw"
    values = {"camera.image_transport": transport, **parameters}
    words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    file = ["--params-file", str(params_file)] if params_file else []
    remap = ["-r", f"image:={TOPIC}"]
    return [sys.executable, "-m", "robot_vision.ros.perception_node", "--ros-args", *remap, *file, *words]


def _listen(
    executor: SingleThreadedExecutor,
    recorder: Recorder,
    node: subprocess.Popen[bytes],
    player: subprocess.Popen[bytes],
    show: Callable[[Recorder], None],
    end: EndRequest,
) -> None:
    shown_s = ended_s = 0.0
    while True:
        end.check()
        executor.spin_once(timeout_sec=0.1)
        now_s = time.monotonic()
        if now_s - shown_s > TABLE_PERIOD_S:
            shown_s = now_s
            show(recorder)
        if node.poll() is not None:
            raise RobotVisionError(f"perception_node ended with status {node.returncode}; its message is above")
        if player.poll() is None:
            continue
        if player.returncode:
            raise RobotVisionError(f"the replay ended with status {player.returncode}; its message is above")
        ended_s = ended_s or now_s
        quiet = now_s - max(ended_s, recorder.last_arrival_s()) > QUIET_S
        if (quiet and recorder.has_everything()) or now_s - ended_s > LONGEST_REST_S:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
