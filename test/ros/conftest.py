"""Real nodes in processes of their own, over Fast DDS on the loopback, and a test-side node to talk to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ["ROS_DOMAIN_ID"] = str(101 + os.getpid() % 100)

pytest.importorskip("rclpy", reason="rclpy is not installed: run the tests with `make test`")
pytest.importorskip("robot_vision_msgs", reason="the interface packages are not built: run the tests with `make test`")

from robot_vision.ros.spin import export_fastdds_profile

export_fastdds_profile()

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

TIMEOUT_S = 40.0


class Bench:
    """A node of the test and the nodes under test."""

    def __init__(self, folder: Path) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node("bench", context=self.context)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._folder = folder

    def start(self, name: str, *parameters: str, topic: str = "/camera/image") -> subprocess.Popen[bytes]:
        """Start `robot_vision.ros.<name>`; its output goes to a file that `output` reads."""
        words = [word for parameter in parameters for word in ("-p", parameter)]
        command = [sys.executable, "-m", f"robot_vision.ros.{name}", "--ros-args", "-r", f"image:={topic}", *words]
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        return self.processes[-1]

    def output(self, name: str) -> str:
        """What a node printed so far."""
        return (self._folder / f"{name}.log").read_text()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Handle messages until a condition holds; fail with `what` after the timeout or when a process has ended."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            ended = [process.args for process in self.processes if process.poll() is not None]
            assert not ended, f"{ended} ended while waiting for {what}"
            assert time.monotonic() < deadline_s, f"timed out after {timeout_s} s waiting for {what}"
            self._executor.spin_once(timeout_sec=0.05)

    def rest(self, seconds: float) -> None:
        """Handle messages for a while."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """End all processes and the node."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            _end(process)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench that is cleaned up."""
    bench = Bench(tmp_path)
    yield bench
    bench.close()
