"""How exactly `robot_vision replay` keeps the recorded time: raw images of 640×480 at 30 Hz, with one subscriber.

    python bench/replay.py [--seconds S]

Lateness is the time between when a message was due, counted from the first, and when it was published. The same images
go through a bare loop of `time.sleep` beside it, which shows what the machine itself allows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.video import image_message
from robot_vision.ros.spin import export_fastdds_profile

RATE_HZ = 30.0
TOPIC = "/camera/image"
START_NS = 1_700_000_000_000_000_000


def main() -> int:
    """Measure and print.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    export_fastdds_profile()
    count = round(arguments.seconds * RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        bag, log = Path(folder) / "bag", Path(folder) / "log.json"
        write_bag(bag, count)
        listener = subprocess.Popen([sys.executable, "-c", LISTENER])
        try:
            words = ["replay", str(bag), "--topics", TOPIC, "--log", str(log)]
            subprocess.run([sys.executable, "-m", "robot_vision.cli.main", *words], check=True)
        finally:
            listener.kill()
        published = np.array(json.loads(log.read_text()))
    late_ms = ((published[:, 1] - published[0, 1]) - (published[:, 0] - published[0, 0])) / 1e6
    print(f"{'late, ms':24s}{'p50':>9s}{'p95':>9s}{'max':>9s}")
    for name, values in (("replay", late_ms), ("bare loop of time.sleep", bare_loop(count))):
        print(f"{name:24s}{np.median(values):9.3f}{np.percentile(values, 95):9.3f}{values.max():9.3f}")
    return 0


LISTENER = f"""
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(Image, "{TOPIC}", lambda message: None, QoSProfile(depth=1))
rclpy.spin(node)
"""


def write_bag(path: Path, count: int) -> None:
    """Noise, 30 times a second."""
    bgr = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with BagWriter(path) as bag:
        bag.add_topic(TOPIC, "sensor_msgs/msg/Image")
        for number in range(count):
            message = image_message(bgr, "bgr8", START_NS + round(number * 1e9 / RATE_HZ))
            bag.write(TOPIC, message.stamp_ns, message.data)


def bare_loop(count: int) -> np.ndarray:
    """Lateness in milliseconds of waking up at each time."""
    start_s = time.monotonic()
    late_s = np.zeros(count)
    for number in range(count):
        due_s = start_s + number / RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_s[number] = time.monotonic() - due_s
    return late_s * 1e3


if __name__ == "__main__":
    sys.exit(main())
