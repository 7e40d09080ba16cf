"""What `perception_node` costs beside its bare networks: rate, latency, start and memory, from one run.

    python bench/pipeline.py [--rounds N] [--seconds S] [--provider cpu]

Camera, node, listener and an idle subscriber are processes of their own over Fast DDS. The bare networks run in turn
with the node, so that both see the same machine: each of the two on a ready tensor, one after the other, on one thread.

- rate: results a second while the camera sends the shipped sample faster than the node can follow, over what a loop
  that does nothing but run the two networks reaches;
- latency: from the stamp of a raw 640×480 image to the arrival of its tracks, beyond the detector's bare network at the
  same pace (a network that runs ten times a second is slower than one that runs in a loop, since others use the caches
  meanwhile), and beyond what the same image takes to a subscriber that does nothing; for the composed node, and for one
  node per stage. p99 is given beyond the p99 of both and, which is stricter, beyond their medians;
- start: from the start of the process to the arrival of the first detections, with a camera that already sends;
- memory: resident set of the node after all this.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_vision.ros.spin import EndRequest, export_fastdds_profile, init_interruptible

export_fastdds_profile()

import rclpy  # noqa: E402 (the profile must be exported before the middleware loads)
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

from robot_vision.data.sources import open_source  # noqa: E402
from robot_vision.image_codec import decode_compressed  # noqa: E402
from robot_vision.params import DetectorParams, EncoderParams, SessionParams  # noqa: E402
from robot_vision.ros.convert import image_from_rgb  # noqa: E402
from robot_vision.ros.qos import IMAGE_OUT_QOS, RESULT_QOS  # noqa: E402
from robot_vision.ros.replay_node import header_stamp_ns  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.runtime.session import OnnxSession  # noqa: E402
from robot_vision.shipped import shared_file  # noqa: E402

TOPIC = "/bench/image"
SIZE_WH = (640, 480)
FULL_RATE_HZ = 120.0
CALM_RATE_HZ = 10.0
IMAGES = 40
TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
CAMERA_START_S = 2.0
SETTLE_S = 1.0
WARM_UP = 10
DEPLOYMENTS = {"composed": ("perception_node",), "apart": ("detector_node", "tracker_node", "encoder_node")}
"""Programs of each way to run the pipeline."""
STAMP = struct.Struct("<iI")
STAMP_OFFSET = 4
"""Where every serialised message with a header has its stamp: behind the encapsulation header."""


def main() -> int:
    """Measure, or play one of the other processes.

    Returns:
        Exit status 0.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=4, help="turns of bare networks and node")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each turn")
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda", "tensorrt"), help="what networks run on")
    parser.add_argument("--role", choices=("camera", "idle", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=CALM_RATE_HZ, help=argparse.SUPPRESS)
    parser.add_argument("--compressed", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "bare":
        print(json.dumps(bare_networks(arguments.provider, arguments.seconds, arguments.rate)))
        return 0
    end = init_interruptible(raising=arguments.role is None)
    try:
        if arguments.role == "camera":
            camera(arguments.rate, arguments.compressed, end)
        elif arguments.role == "idle":
            idle_subscriber(end)
        else:
            measure_start(arguments.provider, arguments.rounds)
            measure_rate(arguments.provider, arguments.rounds, arguments.seconds)
            measure_latency(arguments.provider, arguments.rounds, arguments.seconds)
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
    return 0


def measure_start(provider: str, rounds: int) -> None:
    """Print how long a node takes from its start to the first detections of a camera that sends already."""
    listener = Delays(Detection2DArray, "detections")
    starts_s = []
    with process("camera", "--compressed"):
        listener.spin_for(CAMERA_START_S)
        for _ in range(rounds):
            started_s, started_ns = time.monotonic(), time.time_ns()
            with perception_node(provider, "compressed"):
                listener.spin_until_newer(started_ns)
                starts_s.append(time.monotonic() - started_s)
    listener.close()
    print(f"start to first detections {np.median(starts_s):.2f} s ({min(starts_s):.2f} … {max(starts_s):.2f})")


def measure_rate(provider: str, rounds: int, seconds: float) -> None:
    """Print rate and memory on the shipped sample."""
    listener = Delays(Detection2DArray, "detections")
    bare_hz, node_hz = [], []
    with perception_node(provider, "compressed") as node:
        for _ in range(rounds):
            bare_hz.append(run_bare(provider, seconds)["loop_hz"])
            with process("camera", "--compressed", "--rate", str(FULL_RATE_HZ)):
                node_hz.append(listener.rate_hz(seconds))
        memory_mb = resident_mb(node.pid)
    listener.close()
    rates = f"{np.median(node_hz):.1f} Hz, bare networks in turn {np.median(bare_hz):.1f} Hz"
    ratios = [node / bare for node, bare in zip(node_hz, bare_hz, strict=True)]
    print(f"sample at full rate: node {rates}, ratio {np.median(ratios):.3f} ({min(ratios):.3f} … {max(ratios):.3f})")
    print(f"resident memory {memory_mb:.0f} MB")


def measure_latency(provider: str, rounds: int, seconds: float) -> None:
    """Print what a raw 640×480 image needs to its tracks, in one process and apart, and the parts of it."""
    network = Samples()
    transport, total = {name: Samples() for name in DEPLOYMENTS}, {name: Samples() for name in DEPLOYMENTS}
    listener = Delays(Detection2DArray, "tracks")
    for _ in range(rounds):
        network.add(run_bare(provider, seconds, CALM_RATE_HZ)["detector_ms"])
        for name, programs in DEPLOYMENTS.items():
            with ExitStack() as nodes:
                for program in programs:
                    nodes.enter_context(pipeline_node(program, provider, "raw"))
                idle = nodes.enter_context(process("idle", stdout=subprocess.PIPE))
                nodes.enter_context(process("camera"))
                listener.spin_until_newer(time.time_ns())
                listener.spin_for(SETTLE_S)
                listener.delays_ms.clear()
                listener.spin_for(seconds)
                total[name].add(listener.delays_ms)
                stop(idle)
                transport[name].add(json.loads(idle.communicate()[0])["delays_ms"])
    listener.close()
    print(f"raw 640x480 at {CALM_RATE_HZ:g} Hz, p50 / p99 in ms: bare detector {network.p50:.2f} / {network.p99:.2f}")
    for name in DEPLOYMENTS:
        whole, way = total[name], transport[name]
        beyond = [t - n - w for t, n, w in zip(whole.medians, network.medians, way.medians, strict=True)]
        print(f"{name}: stamp to tracks {whole.p50:.2f} / {whole.p99:.2f}, transport {way.p50:.2f} / {way.p99:.2f}")
        print(
            f"  beyond both p50 {np.median(beyond):.2f} ({min(beyond):.2f} … {max(beyond):.2f}), p99 "
            f"{whole.p99 - network.p99 - way.p99:.2f}, beyond their medians {whole.p99 - network.p50 - way.p50:.2f}"
        )


class Samples:
    """Durations in milliseconds of several turns.

    Attributes:
        medians: One for each turn.
    """

    def __init__(self) -> None:
        self.medians: list[float] = []
        self._all: list[float] = []

    def add(self, durations_ms: Sequence[float]) -> None:
        """Take those of one more turn."""
        self.medians.append(float(np.median(durations_ms)))
        self._all += durations_ms

    @property
    def p50(self) -> float:
        """Median over all turns."""
        return float(np.percentile(self._all, 50))

    @property
    def p99(self) -> float:
        """99th percentile over all turns."""
        return float(np.percentile(self._all, 99))


class Listener:
    """A node that is spun by hand.

    Args:
        name: The node's name.
    """

    def __init__(self, name: str) -> None:
        self._node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)

    def spin_for(self, seconds: float) -> None:
        """Handle messages for a while."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)

    def spin_until(self, condition: Callable[[], bool]) -> None:
        """Handle messages until a condition holds."""
        end_s = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no message within {TIMEOUT_S:g} s; what the processes said is above")
            self._executor.spin_once(timeout_sec=0.05)


class Delays(Listener):
    """Listens to one topic and keeps the time from each message's stamp to its arrival.

    Messages stay in their wire form, so that the listener takes little of the machine that it shares with the node.

    Attributes:
        delays_ms: One value a message, in milliseconds.
        newest_stamp_ns: Stamp of the last message, 0 before the first.
    """

    def __init__(self, kind: type, topic: str) -> None:
        self.delays_ms: list[float] = []
        self.newest_stamp_ns = 0
        super().__init__(f"delays_{os.getpid()}")
        qos = RESULT_QOS if kind is Detection2DArray else IMAGE_OUT_QOS
        self._node.create_subscription(kind, topic, self._on_message, qos, raw=True)

    def _on_message(self, data: bytes) -> None:
        self.newest_stamp_ns = header_stamp_ns(data)
        self.delays_ms.append((time.time_ns() - self.newest_stamp_ns) * 1e-6)

    def spin_until_newer(self, stamp_ns: int) -> None:
        """Handle messages until one of an image taken after a time; earlier ones may still lie in a queue."""
        self.spin_until(lambda: self.newest_stamp_ns > stamp_ns)

    def rate_hz(self, seconds: float) -> float:
        """Messages a second over a while that begins once they flow."""
        self.spin_until_newer(time.time_ns())
        self.spin_for(SETTLE_S)
        count, begin_s = len(self.delays_ms), time.monotonic()
        self.spin_for(seconds)
        return (len(self.delays_ms) - count) / (time.monotonic() - begin_s)

    def close(self) -> None:
        """Leave the topic."""
        self._executor.shutdown()
        self._node.destroy_node()


def bare_networks(provider: str, seconds: float, rate_hz: float) -> dict[str, Any]:
    """Both networks on ready tensors, one after the other.

    Args:
        provider: What they run on.
        seconds: Time to measure over.
        rate_hz: Turns a second; 0 for a loop without a pause.

    Returns:
        `loop_hz`, turns a second, and `detector_ms`, durations of the detector alone.
    """
    models = (DetectorParams().model, EncoderParams().model)
    detector, encoder = (OnnxSession(load_card(model), SessionParams(provider=provider)) for model in models)
    detector_input, encoder_input = detector.new_input(), encoder.new_input()
    detector_s: list[float] = []
    begin_s = time.perf_counter()
    while time.perf_counter() - begin_s < seconds:
        if rate_hz:
            time.sleep(max(0.0, begin_s + len(detector_s) / rate_hz - time.perf_counter()))
        start_s = time.perf_counter()
        detector.run(detector_input)
        detector_s.append(time.perf_counter() - start_s)
        encoder.run(encoder_input)
    return {
        "loop_hz": len(detector_s) / (time.perf_counter() - begin_s),
        "detector_ms": [1e3 * duration_s for duration_s in detector_s[WARM_UP:]],
    }


def camera(rate_hz: float, compressed: bool, end: EndRequest) -> None:
    """Send images of the shipped sample, stamped with the time of sending, until interrupted."""
    node = rclpy.create_node("camera")
    kind, topic = (CompressedImage, f"{TOPIC}/compressed") if compressed else (Image, TOPIC)
    publisher = node.create_publisher(kind, topic, IMAGE_OUT_QOS)
    images = compressed_images() if compressed else [raw_image(image) for image in compressed_images()]
    # A camera driver costs little; building message objects in Python would.
    wire_forms = [bytearray(serialize_message(image)) for image in images]
    begin_s = time.monotonic()
    for number in itertools.count():
        end.check()
        end.sleep(begin_s + number / rate_hz - time.monotonic())
        data = wire_forms[number % len(wire_forms)]
        STAMP.pack_into(data, STAMP_OFFSET, *divmod(time.time_ns(), 10**9))
        publisher.publish(bytes(data))


def compressed_images() -> list[CompressedImage]:
    """The first images of the shipped sample."""
    source = open_source(shared_file("samples/simworld_handheld"))
    return [deserialize_message(bytes(raw.data), CompressedImage) for raw in islice(source.messages(), IMAGES)]


def raw_image(message: CompressedImage) -> Image:
    """The same image, uncompressed and of camera size."""
    return image_from_rgb(cv2.resize(decode_compressed(message.format, message.data), SIZE_WH), message.header)


def idle_subscriber(end: EndRequest) -> None:
    """Take images and do nothing with them; print their delays when interrupted."""
    listener = Delays(Image, TOPIC)
    while not end.wanted:
        listener.spin_for(0.1)
    print(json.dumps({"delays_ms": listener.delays_ms[WARM_UP:]}))


def run_bare(provider: str, seconds: float, rate_hz: float = 0.0) -> dict[str, Any]:
    """`bare_networks` in a process of its own."""
    options = {"role": "bare", "provider": provider, "seconds": str(seconds), "rate": str(rate_hz)}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextmanager
def process(role: str, *options: str, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """One of the other processes of this benchmark, for the length of a `with` statement."""
    with started([sys.executable, __file__, "--role", role, *options], stdout) as running:
        yield running


@contextmanager
def pipeline_node(program: str, provider: str, transport: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of the pipeline on the benchmark's camera, for the length of a `with` statement."""
    parameters = ("-p", f"camera.image_transport:={transport}", "-p", f"session.provider:={provider}")
    words = ("--ros-args", "-r", f"image:={TOPIC}", *parameters)
    with started([sys.executable, "-m", f"robot_vision.ros.{program}", *words]) as running:
        yield running


def perception_node(provider: str, transport: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The composed node on the benchmark's camera, for the length of a `with` statement."""
    return pipeline_node("perception_node", provider, transport)


@contextmanager
def started(command: list[str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a `with` statement."""
    running = subprocess.Popen(command, stdout=stdout)
    try:
        yield running
    finally:
        stop(running)
        running.wait(STOP_TIMEOUT_S)


def stop(running: subprocess.Popen[bytes]) -> None:
    """Ask a process to end."""
    if running.poll() is None:
        running.terminate()


def resident_mb(pid: int) -> float:
    """Largest resident set of a process so far (VmHWM) in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024e-6


if __name__ == "__main__":
    sys.exit(main())
