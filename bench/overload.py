"""What `perception_node` does while its camera sends five times as many images as it can follow.

    python bench/overload.py [--seconds S] [--factor F] [--provider cpu]

Node and camera are processes of their own over Fast DDS; images are raw, 640×480. A first node tells what it can follow
and how old frames are at publication while the camera is slow; a second one gets the flood, from its first frame on.

- age: p95 of the time from the stamp of an image to the publication of its results, by the node's own diagnostics (over
  its last 512 frames), under overload over that of the slow camera. A frame waits for the one before, never in a queue;
- latency: p99 of the time from the stamp of an image to the arrival of its detections, in the last thirtieth of the run
  over that in the first;
- memory: growth of the node's resident set from the first tenth of the run to the last;
- frames: every image that was sent is processed, dropped for a newer one, or bad; the difference must be zero.

`--seconds 1800 --factor 1` is the soak: half an hour of a camera as fast as the node, with a line every minute; its
latencies are those of the first and the last minute.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robot_vision.ros.spin import EndRequest, export_fastdds_profile, init_interruptible

export_fastdds_profile()

import rclpy  # noqa: E402 (the profile must be exported before the middleware loads)
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from pipeline import (  # noqa: E402
    FULL_RATE_HZ,
    STAMP,
    STAMP_OFFSET,
    TOPIC,
    Delays,
    compressed_images,
    perception_node,
    raw_image,
    started,
)
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

from robot_vision.ros.qos import IMAGE_OUT_QOS  # noqa: E402

SLOW_HZ = 5.0
CALM_S = 20.0
RATE_S = 6.0
SETTLE_S = 2.0
REPORT_S = 60.0
PARTS = 30
SENT = ("frames_processed", "frames_dropped", "bad_frames")


def main() -> int:
    """Measure, or be the camera.

    Returns:
        Exit status: 0, or 1 if the frames do not add up.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the overload")
    parser.add_argument("--factor", type=float, default=5.0, help="images sent for each one that the node can follow")
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda", "tensorrt"), help="what networks run on")
    parser.add_argument("--camera", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    end = init_interruptible(raising=arguments.camera is None)
    try:
        if arguments.camera is not None:
            camera(arguments.camera, end)
            return 0
        return overload(arguments.provider, arguments.seconds, arguments.factor)
    except KeyboardInterrupt:
        return 0
    finally:
        rclpy.try_shutdown()


def overload(provider: str, seconds: float, factor: float) -> int:
    """Print the figures.

    Args:
        provider: What networks run on.
        seconds: Length of the overload.
        factor: Images sent for each one that the node can follow.

    Returns:
        Exit status.
    """
    node = Watched()
    calm_ms = unloaded_age_ms(provider, node)
    rate_hz = full_rate_hz(provider)
    load = os.getloadavg()[0]
    print(
        f"the node follows {rate_hz:.1f} images/s; slow camera: age p95 {calm_ms:.0f} ms (load {load:.1f})", flush=True
    )
    node.forget()
    with perception_node(provider, "raw") as process, sending(factor * rate_hz) as flood:
        memory_mb, p99_ms = zip(*watched(process.pid, seconds, node), strict=True)
        flood.terminate()
        assert flood.stdout is not None
        sent = json.loads(flood.stdout.read())["sent"]
        node.spin_until_settled()
    tenth = PARTS // 10
    first_mb, last_mb = float(np.median(memory_mb[:tenth])), float(np.median(memory_mb[-tenth:]))
    processed, dropped, bad = (int(node.values[name]) for name in SENT)
    age_ms = float(node.values["age_p95_ms"])
    print(f"sent {sent} images, {sent / seconds:.0f} a second, in {seconds:g} s")
    print(f"age p95: {age_ms:.0f} ms, {age_ms / calm_ms:.2f} times that of the slow camera")
    print(f"latency p99: {p99_ms[0]:.1f} ms to {p99_ms[-1]:.1f} ms, {p99_ms[-1] / p99_ms[0]:.2f} times")
    print(f"memory: {first_mb:.0f} MB to {last_mb:.0f} MB, {last_mb / first_mb:.3f} times")
    print(
        f"frames: {processed} processed, {dropped} dropped, {bad} bad; unaccounted: {sent - processed - dropped - bad}"
    )
    return int(sent != processed + dropped + bad)


def unloaded_age_ms(provider: str, node: Watched) -> float:
    """Age p95 while the camera is slower than the node."""
    with perception_node(provider, "raw"), sending(SLOW_HZ):
        node.spin_for(CALM_S)
        node.spin_until(lambda: "age_p95_ms" in node.values)
    return float(node.values["age_p95_ms"])


def full_rate_hz(provider: str) -> float:
    """Results a second while the camera is faster than the node."""
    listener = Delays(Detection2DArray, "detections")
    with perception_node(provider, "raw"), sending(FULL_RATE_HZ):
        rate_hz = listener.rate_hz(RATE_S)
    listener.close()
    return rate_hz


def watched(pid: int, seconds: float, node: Watched) -> Iterator[tuple[float, float]]:
    """Resident set of the node and p99 of its latency, thirty times, from its first results on."""
    node.spin_until(lambda: int(node.values.get("frames_processed", 0)) > 1)
    for number in range(1, PARTS + 1):
        node.delays_ms.clear()
        node.spin_for(seconds / PARTS)
        memory_mb, p99_ms = resident_mb(pid), float(np.percentile(node.delays_ms, 99))
        yield memory_mb, p99_ms
        if seconds / PARTS >= REPORT_S:
            told = ", ".join(f"{name} {node.values[name]}" for name in SENT)
            print(f"  {number}: {memory_mb:.0f} MB, latency p99 {p99_ms:.1f} ms, {told}", flush=True)


class Watched(Delays):
    """Delays of detections, and the newest diagnostics of the node's camera.

    Attributes:
        values: By name.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        super().__init__(Detection2DArray, "detections")
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)

    def forget(self) -> None:
        """Begin with another node: what the last one said may still lie in the queue."""
        self.spin_for(SETTLE_S)
        self.values = {}

    def spin_until_settled(self) -> None:
        """Take diagnostics until the counts stay the same."""
        before: list[str] = []
        while before != (now := [self.values[name] for name in SENT]):
            before = now
            self.spin_for(SETTLE_S)

    def _keep(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "perception_node: camera":
                self.values = {pair.key: pair.value for pair in status.values}


@contextmanager
def sending(rate_hz: float) -> Iterator[subprocess.Popen[bytes]]:
    """The camera, for the length of a `with` statement; ended, it prints how many images it sent."""
    with started([sys.executable, __file__, "--camera", str(rate_hz)], subprocess.PIPE) as running:
        yield running


def camera(rate_hz: float, end: EndRequest) -> None:
    """Send images of the shipped sample, stamped with the time of sending, until interrupted.

    The first one goes alone: from it on the node numbers what it gets.

    Args:
        rate_hz: Images a second.
        end: Ends it.
    """
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(Image, TOPIC, IMAGE_OUT_QOS)
    wire_forms = [bytearray(serialize_message(raw_image(image))) for image in compressed_images()]
    while not publisher.get_subscription_count():
        end.sleep(0.05)
    end.sleep(SETTLE_S)
    sent = 0
    begin_s = time.monotonic()
    try:
        for number in itertools.count():
            end.sleep(begin_s + number / rate_hz - time.monotonic())
            data = wire_forms[number % len(wire_forms)]
            STAMP.pack_into(data, STAMP_OFFSET, *divmod(time.time_ns(), 10**9))
            publisher.publish(bytes(data))
            sent += 1
            if sent == 1:
                end.sleep(SETTLE_S)
                begin_s += SETTLE_S
    except KeyboardInterrupt:
        pass
    print(json.dumps({"sent": sent}), flush=True)


def resident_mb(pid: int) -> float:
    """Resident set of a process at the moment in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") * 1e-6


if __name__ == "__main__":
    sys.exit(main())
