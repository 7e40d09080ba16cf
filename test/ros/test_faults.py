"""What happens on robots: processes die, cables are pulled, clocks jump, readers hang, names are taken twice."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_rig import Camera
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.ros.convert import image_from_rgb, stamp_ns
from robot_vision.ros.qos import IMAGE_OUT_QOS, LATCHED_QOS, RESULT_QOS
from robot_vision.ros.shared_memory import remove_dead_segments
from robot_vision.shipped import shared_file

pytestmark = pytest.mark.stress

STUCK_READER = """
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray
rclpy.init()
node = rclpy.create_node("stuck")
node.create_subscription(Detection2DArray, "/detections", lambda message: None, 10)
node.create_subscription(Image, "/annotated", lambda message: None, 10)
print("subscribed", flush=True)
rclpy.spin(node)
"""


def kill(bench, process: subprocess.Popen[bytes]) -> None:
    """`kill -9`: nothing is cleaned up."""
    process.kill()
    process.wait(10)
    bench.processes.remove(process)


def watch(bench) -> dict[str, DiagnosticStatus]:
    """The newest status of each part, by the last word of its name."""
    found: dict[str, DiagnosticStatus] = {}

    def keep(message: DiagnosticArray) -> None:
        found.update({status.name.split(": ")[1]: status for status in message.status})

    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    return found


def value(status: DiagnosticStatus, key: str) -> str:
    return {pair.key: pair.value for pair in status.values}[key]


def ids_of(message: Detection2DArray) -> set[int]:
    return {int(detection.id) for detection in message.detections}


def test_a_killed_node_is_replaced_by_a_new_one(bench) -> None:
    """Results flow again to readers that were there before, ids begin anew, and class names come."""
    labels: list[LabelInfo] = []
    bench.node.create_subscription(LabelInfo, "/label_info", labels.append, LATCHED_QOS)
    camera = Camera(bench)
    process = bench.start("perception_node")
    for _ in range(10):
        camera.show()
    bench.until(lambda: len(labels) == 1, "class names")
    before = max(max(ids_of(message), default=0) for message in camera.tracks.values())
    assert before >= 1
    for round_number in range(2, 5):
        kill(bench, process)
        process = bench.start("perception_node")
        camera.tracks.clear()
        stamp = camera.show()
        assert min(ids_of(camera.tracks[stamp])) == 1, "ids begin anew"
        bench.until(lambda n=round_number: len(labels) == n, "class names of the new node")


def test_a_camera_that_is_unplugged_and_back_is_seen_again(bench) -> None:
    """Another process publishes on the topic after the first one was killed; meanwhile diagnostics call it stalled."""
    status = watch(bench)
    arrived: list[Detection2DArray] = []
    bench.node.create_subscription(Detection2DArray, "/detections", arrived.append, 50)
    bench.start("detector_node", "camera.image_transport:=compressed", "camera.stall_timeout:=0.5")
    replay = (f"bag:={shared_file('samples/simworld_handheld')}", "loop:=true")
    said = "no frame any more on /camera/image/compressed"
    for _ in range(2):
        process = bench.start("replay_node", *replay)
        bench.until(lambda: len(arrived) > 5, "results")
        bench.until(lambda: status["camera"].level == DiagnosticStatus.OK, "good health")
        before = bench.output("detector_node").count(said)
        kill(bench, process)
        bench.until(lambda: status["camera"].message.startswith("stalled: no frame on /camera/image"), "the stall")
        assert status["camera"].level == DiagnosticStatus.ERROR
        bench.until(lambda before=before: bench.output("detector_node").count(said) > before, "the warning")
        arrived.clear()


def test_a_camera_that_starts_late_is_not_called_silent(bench) -> None:
    """The log says once that there is no camera; that of a camera which has just come would mislead."""
    bench.start("detector_node", "camera.stall_timeout:=1.0")
    bench.until(lambda: "no publisher on /camera/image" in bench.output("detector_node"), "the warning")
    publisher = bench.node.create_publisher(Image, "/camera/image", QoSProfile(depth=5))
    bench.until(lambda: publisher.get_subscription_count() == 1, "the node to find the camera")
    bench.rest(0.5)
    publisher.publish(image_from_rgb(np.zeros((48, 64, 3), np.uint8), Image().header))
    bench.rest(1.5)
    assert "silent" not in bench.output("detector_node")


def test_size_and_encoding_may_change_in_flight(bench) -> None:
    """The same scene in other encodings and sizes: the same objects, in pixels of the image that was sent."""
    camera = Camera(bench)
    bench.start("perception_node")
    stamp = camera.show()
    rgb = camera._frames[camera.sent % len(camera._frames)].rgb
    boxes = boxes_of(camera.found[stamp])
    assert len(boxes)
    height, width = rgb.shape[:2]
    publisher = camera._publisher
    changed = {
        "bgr8": (np.ascontiguousarray(rgb[..., ::-1]), 1.0),
        "rgba8": (cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), 1.0),
        "rgb8": (cv2.resize(rgb, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR), 2.0),
        "8UC3": (np.ascontiguousarray(rgb[..., ::-1]), 1.0),
    }
    for number, (encoding, (pixels, scale)) in enumerate(changed.items()):
        image = raw_image(pixels, encoding)
        image.header.stamp.sec = 1000 + number
        publisher.publish(image)
        wanted = stamp_ns(image.header)
        bench.until(lambda wanted=wanted: wanted in camera.found, f"results of {encoding}")
        found = boxes_of(camera.found[wanted])
        assert len(found) == len(boxes), encoding
        assert found == pytest.approx(scale * boxes, abs=0.5 if scale == 1 else 0.05 * width), encoding


def boxes_of(message: Detection2DArray) -> np.ndarray:
    """(N, 4) centre and size of the surest boxes, in the message's order."""
    rows = [
        (d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y)
        for d in message.detections
        if d.results[0].hypothesis.score > 0.6
    ]
    return np.array(sorted(rows)).reshape(-1, 4)


def raw_image(pixels: np.ndarray, encoding: str) -> Image:
    height, width, channels = pixels.shape
    message = image_from_rgb(np.zeros((1, 1, 3), np.uint8), Image().header)
    message.encoding, message.height, message.width, message.step = encoding, height, width, width * channels
    message.data.frombytes(pixels.tobytes())
    del message.data[:3]
    return message


def test_a_clock_that_jumps_stops_nothing(bench) -> None:
    """Simulated time forward by an hour and back by two: results for every image, and tracks begin anew."""
    status = watch(bench)
    camera = Camera(bench)
    clock = bench.node.create_publisher(Clock, "/clock", 10)
    bench.start("perception_node", "use_sim_time:=true")
    camera.show()
    last_id = 0
    for jump_s in (10_000, 13_600, 6_400):
        clock.publish(Clock(clock=Time(sec=jump_s)))
        for number in range(8):
            image = camera.image()
            image.header.stamp = Time(sec=jump_s, nanosec=number * 50_000_000)
            clock.publish(Clock(clock=image.header.stamp))
            camera._publisher.publish(image)
            wanted = stamp_ns(image.header)
            bench.until(lambda w=wanted: all(w in kept for kept in (camera.tracks, camera.latents)), "results")
        ids = ids_of(camera.tracks[wanted])
        assert min(ids) > last_id, "tracks must not live through a jump"
        last_id = max(ids)
    bench.until(lambda: value(status["tracker"], "resets_by_time") == "1", "the reset that the way back is")
    bench.until(lambda: "age_p50_ms" in {pair.key for pair in status["camera"].values}, "ages by the simulated clock")


def test_a_reader_that_hangs_holds_up_nobody(bench, tmp_path: Path) -> None:
    """A stopped process with reliable subscriptions, also to the drawn images: results come to the others in time."""
    camera = Camera(bench)
    bench.start("perception_node")
    # A subscription of the test's own that no executor ever reads, and a process that is stopped.
    unread_node = Node("unread", context=bench.context)
    unread_node.create_subscription(Image, "/annotated", lambda _message: None, IMAGE_OUT_QOS)
    stuck = subprocess.Popen([sys.executable, "-c", STUCK_READER], stdout=subprocess.PIPE)
    try:
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == b"subscribed\n"
        camera.show()
        bench.until(lambda: bench.node.count_subscribers("/annotated") == 2, "both readers")
        stuck.send_signal(signal.SIGSTOP)
        delays_s = []
        for _ in range(120):  # 110 MB of drawn images: more than the shared memory holds
            sent_s, stamp = time.monotonic(), camera.send()
            bench.until(lambda stamp=stamp: stamp in camera.found, "results")
            delays_s.append(time.monotonic() - sent_s)
        assert sorted(delays_s)[len(delays_s) // 2] < 0.5
        assert max(delays_s) < 3
    finally:
        stuck.kill()
        stuck.wait(10)
        unread_node.destroy_node()


def test_a_name_that_is_taken_twice_is_told_and_both_nodes_work(bench) -> None:
    """Every image then has two results; log and diagnostics name the clash until it ends."""
    messages: list[Detection2DArray] = []
    clashes: list[str] = []

    def keep(message: DiagnosticArray) -> None:
        clashes.append("; ".join(status.message for status in message.status if status.name.endswith(": name")))

    bench.node.create_subscription(Detection2DArray, "/detections", messages.append, RESULT_QOS)
    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    publisher = bench.node.create_publisher(Image, "/camera/image", QoSProfile(depth=5))
    bench.start("detector_node")
    second = bench.start("detector_node")
    bench.until(lambda: publisher.get_subscription_count() == 2, "both nodes")
    bench.until(lambda: bench.node.count_publishers("/detections") == 2, "both results")
    bench.rest(1.0)
    publisher.publish(image_from_rgb(np.zeros((48, 64, 3), np.uint8), Image().header))
    bench.until(lambda: len(messages) == 2, "results of both")
    said = "another node has this name, too"
    bench.until(lambda: said in clashes[-1], "the clash in diagnostics", 60)
    assert said in bench.output("detector_node")
    second.terminate()
    second.wait(10)
    bench.processes.remove(second)
    bench.until(lambda: not clashes[-1], "the end of the clash")


def test_shared_memory_of_dead_processes_is_freed_and_that_of_living_ones_is_not(tmp_path: Path) -> None:
    """The lock on a segment's file tells: Fast DDS holds it as long as the process lives."""
    for name in ("fastdds_00000000000000aa", "fastdds_00000000000000bb"):
        (tmp_path / name).write_bytes(b"segment")
        (tmp_path / f"{name}_el").touch()
    (tmp_path / "fast_other_el").touch()
    assert remove_dead_segments(tmp_path) == 0, "young files may not be locked yet"
    with (tmp_path / "fastdds_00000000000000bb_el").open("r+b") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        assert remove_dead_segments(tmp_path, settled_s=0.0) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"fastdds_00000000000000bb", "fastdds_00000000000000bb_el", "fast_other_el"}
