"""One camera image after another from one process to another: whether they arrive, and after how long."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator

import rclpy
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from robot_vision.ros.fastdds_profile import (
    SHIPPED,
    TRANSPORT_VARIABLE,
    export_command,
    profile_in_force,
)
from robot_vision.ros.finding import Finding
from robot_vision.ros.qos import camera_qos
from robot_vision.shipped import shared_file

WIDTH, HEIGHT = 640, 480
IMAGES, PERIOD_S = 10, 0.05
MEETING_TIMEOUT_S, SETTLING_S, ARRIVAL_TIMEOUT_S = 6.0, 0.3, 2.0
SLOW_MS = 100.0


def round_trip_findings() -> Iterator[Finding]:
    """Send images from a process of its own to this one, best effort as cameras do, under the settings in force."""
    rclpy.init()
    node = Node(f"robot_vision_doctor_receiver_{os.getpid()}")
    yield Finding("OK", "middleware", get_rmw_implementation_identifier())
    latencies_ms: list[float] = []

    def on_image(message: Image) -> None:
        sent_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        latencies_ms.append((time.time_ns() - sent_ns) / 1e6)

    topic = f"/robot_vision_doctor_{os.getpid()}/image"
    qos = camera_qos([])
    # What this process is too slow to read is not lost on the way.
    qos.depth = IMAGES
    node.create_subscription(Image, topic, on_image, qos)
    command = [sys.executable, "-m", "robot_vision.ros.doctor_round_trip", topic]
    sender = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        met = _spin(node, lambda: node.count_publishers(topic) > 0, MEETING_TIMEOUT_S)
        _spin(node, lambda: False, SETTLING_S)
        # Each side must know the other: this one does, and the end of its input tells the sender.
        sender.stdin.close()
        _spin(node, lambda: sender.poll() is not None, ARRIVAL_TIMEOUT_S + IMAGES * PERIOD_S)
        yield judge(met, latencies_ms)
    finally:
        sender.terminate()
        sender.wait(ARRIVAL_TIMEOUT_S)
        node.destroy_node()
        rclpy.shutdown()


def judge(met: bool, latencies_ms: list[float]) -> Finding:
    """Say how it went.

    Args:
        met: Whether the two processes found each other.
        latencies_ms: Time from publication to callback of each image that arrived, in milliseconds.
    """
    check = "round trip"
    if not met:
        text = "two processes on this machine do not find each other: discovery is off, or a firewall is in the way"
        return Finding("FAIL", check, text, "export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST; unset ROS_LOCALHOST_ONLY")
    what = f"{WIDTH}x{HEIGHT} images between two processes"
    how = profile_in_force(os.environ) or os.environ.get(TRANSPORT_VARIABLE) or "no profile"
    if len(latencies_ms) < IMAGES:
        text = f"{IMAGES - len(latencies_ms)} of {IMAGES} {what} were lost, with {how}"
        return Finding("WARN" if len(latencies_ms) > IMAGES / 2 else "FAIL", check, text, _mending())
    median_ms = statistics.median(latencies_ms)
    text = f"all {IMAGES} {what} arrived, median {median_ms:.1f} ms, with {how}"
    if median_ms > SLOW_MS:
        return Finding("WARN", check, f"{text}: slow, the machine is loaded", "top -b -n 1 | head -n 15")
    return Finding("OK", check, text)


def _mending() -> str:
    if profile_in_force(os.environ) == shared_file(SHIPPED):
        return "robot_vision doctor  # when the machine has less to do"
    return export_command()


def send(topic: str) -> None:
    """Publish the images once somebody listens.

    Args:
        topic: Full name of the topic.
    """
    rclpy.init()
    node = Node(f"robot_vision_doctor_sender_{os.getpid()}")
    publisher = node.create_publisher(Image, topic, camera_qos([]))
    image = Image(width=WIDTH, height=HEIGHT, step=WIDTH * 3, encoding="bgr8")
    image.data = array("B", bytes(WIDTH * HEIGHT * 3))
    if _spin(node, lambda: publisher.get_subscription_count() > 0, MEETING_TIMEOUT_S):
        sys.stdin.read()
        for _ in range(IMAGES):
            image.header.stamp.sec, image.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
            publisher.publish(image)
            time.sleep(PERIOD_S)
        # The last image must be read before its segment goes.
        time.sleep(4 * PERIOD_S)
    node.destroy_node()
    rclpy.shutdown()


def _spin(node: Node, condition: Callable[[], bool], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    return True


if __name__ == "__main__":
    send(sys.argv[1])
