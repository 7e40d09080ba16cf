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
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.task import Future

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

    def client(self, kind: type, name: str) -> Client:
        """A client of a service of a node under test, ready and known to that node."""
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready, f"the service {name}")
        self.meet(name)
        return client

    def meet(self, service: str) -> None:
        """Wait until the node that offers a service knows every client that was made here so far.

        A client sees its own side only: a server that has not discovered the reader of its reply yet drops the reply
        after 0.1 s (rmw_fastrtps). Endpoints become known in the order in which they were made, so an answer to a later
        client, which may ask again, says that those before it are known.
        """
        self.until(lambda: self._owner(service) is not None, f"the node of {service}")
        probe = self.node.create_client(GetParameters, f"{self._owner(service)}/get_parameters")
        self.until(probe.service_is_ready, f"the parameters of the node of {service}")
        answers: list[Future] = []
        asked_s = 0.0

        def answered() -> bool:
            nonlocal asked_s
            if time.monotonic() > asked_s + 1.0:
                asked_s = time.monotonic()
                answers.append(probe.call_async(GetParameters.Request()))
            return any(answer.done() for answer in answers)

        self.until(answered, f"an answer of the node of {service}")
        self.node.destroy_client(probe)

    def _owner(self, service: str) -> str | None:
        """Full name of the node that offers a service."""
        wanted = self.node.resolve_service_name(service)
        for name, namespace in self.node.get_node_names_and_namespaces():
            try:
                offered = self.node.get_service_names_and_types_by_node(name, namespace)
            except NodeNameNonExistentError:  # it went since it was named
                continue
            if wanted in (found for found, _ in offered):
                return f"{namespace.rstrip('/')}/{name}"
        return None

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
