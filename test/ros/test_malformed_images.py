"""Images that are wrong in every way, hundreds to one running node: each is counted, and good ones get results."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lifecycle_rig import Camera
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from robot_vision_msgs.srv import Detect, Encode
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from robot_vision.errors import FrameError
from robot_vision.image_codec import supported_encodings
from robot_vision.ros import convert
from robot_vision.ros.convert import image_from_rgb, stamp_ns

pytestmark = pytest.mark.stress

ROUNDS, CASES_A_ROUND = 60, 5
GAP_S = 0.01
BYTES_A_PIXEL = {"rgb8": 3, "bgr8": 3, "mono8": 1, "rgba8": 4, "mono16": 2, "bayer_rggb8": 1, "yuyv": 2, "8UC3": 3}
MB = 1e6
EVERY_ROUND = settings(
    max_examples=ROUNDS, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def blank(like: str, columns: int, rows: int, **changes: Any) -> Image:
    """A right image of an encoding and size, with changes."""
    step = columns * BYTES_A_PIXEL[like]
    right = {"encoding": like, "step": step, "data": array("B", bytes(step * rows)), "width": columns, "height": rows}
    return Image(**right | changes)


sizes = st.integers(1, 32).map(lambda half: 2 * half)
encodings = st.sampled_from(sorted(BYTES_A_PIXEL))
uint32 = st.integers(0, 2**32 - 1)
words = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20)


@st.composite
def wrong_images(draw: Callable[..., Any]) -> Image:
    """Raw images that no reader may take."""
    encoding, width, height = draw(encodings), draw(sizes), draw(sizes)
    row = width * BYTES_A_PIXEL[encoding]
    # Depth images hold NaN and infinities.
    depth = np.full(width * height, draw(st.sampled_from([np.nan, np.inf, 1.0])), np.float32)
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "encoding": lambda: {"encoding": draw(words.filter(lambda word: word not in supported_encodings()))},
        "depth": lambda: {"encoding": "32FC1", "step": 4 * width, "data": array("B", depth.tobytes())},
        "step": lambda: {"step": draw(st.integers(0, row - 1))},
        "short": lambda: {"data": array("B", bytes(draw(st.integers(0, row * height - 1))))},
        "zero": lambda: {draw(st.sampled_from(["width", "height"])): 0},
        "claim": lambda: {"width": draw(uint32) | 2**20, "height": draw(uint32) | 2**20},
        "far step": lambda: {"step": draw(uint32) | 2**24},
        "odd": lambda: {"encoding": "yuyv", "width": width - 1},
    }
    return blank(encoding, width, height, **kinds[draw(st.sampled_from(sorted(kinds)))]())


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    head = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + b"IHDR" + head + bytes(4)


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG that claims a size and holds nothing."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9) + b"\xff\xd9"


PICTURE = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
JPEG, PNG = (cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (".jpg", ".png"))


@st.composite
def wrong_pictures(draw: Callable[..., Any]) -> CompressedImage:
    """Compressed images that no reader may take."""
    kind = draw(st.sampled_from(["bytes", "cut jpeg", "cut png", "png bomb", "jpeg bomb", "depth", "start only"]))
    name = draw(st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "", "x"]))
    if kind == "bytes":
        data = draw(st.binary(max_size=200).filter(lambda b: b[:2] != b"\xff\xd8" and b[:4] != b"\x89PNG"))
    elif kind == "cut jpeg":
        data = JPEG[: draw(st.integers(0, len(JPEG) - 2))]
    elif kind == "cut png":
        data = PNG[: draw(st.integers(0, len(PNG) // 2))]
    elif kind == "png bomb":
        data = png_header(draw(st.integers(20_000, 2**31 - 1)), draw(st.integers(20_000, 2**31 - 1)))
    elif kind == "jpeg bomb":
        data = jpeg_header(draw(st.integers(20_000, 65_535)), draw(st.integers(20_000, 65_535)))
    elif kind == "depth":
        data, name = PNG, draw(st.sampled_from(["16UC1; compressedDepth png", "32FC1; compressedDepth rvl"]))
    else:
        data = draw(st.sampled_from([JPEG, PNG]))[: draw(st.integers(1, 24))]
    return CompressedImage(format=name, data=array("B", data))


@st.composite
def doubtful_pictures(draw: Callable[..., Any]) -> CompressedImage:
    """Pictures with damage inside, which a decoder may or may not see."""
    data = bytearray(draw(st.sampled_from([JPEG, PNG])))
    for _ in range(draw(st.integers(1, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return CompressedImage(format="jpeg", data=array("B", bytes(data)))


class Rig:
    """A camera that sends bad and good images to one node, and keeps count."""

    def __init__(self, bench, kind: type) -> None:
        self.bench, self.kind = bench, kind
        self.values: dict[str, str] = {}
        self.answered: set[int] = set()
        self.bad = self.good = 0
        compressed = kind is CompressedImage
        topic = "/camera/image/compressed" if compressed else "/camera/image"
        self._publisher = bench.node.create_publisher(kind, topic, QoSProfile(depth=5))
        bench.node.create_subscription(Detection2DArray, "/detections", self._keep, 50)
        bench.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        transport = "compressed" if compressed else "raw"
        self.process = bench.start("perception_node", f"camera.image_transport:={transport}")
        bench.until(lambda: self._publisher.get_subscription_count() == 1, "the node to subscribe")
        bench.until(lambda: bench.node.count_publishers("/detections") == 1, "results")
        bench.rest(1.0)

    def _keep(self, message: Detection2DArray) -> None:
        self.answered.add(stamp_ns(message.header))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("camera"):
                self.values.update({pair.key: pair.value for pair in status.values})

    def count(self, key: str) -> int:
        return int(self.values.get(key, 0))

    def send_bad(self, message: Any) -> None:
        self.bad += 1
        self._publisher.publish(message)
        self.bench.rest(GAP_S)

    def send_good(self) -> None:
        """A good image, whose results come."""
        self.good += 1
        header = Header()
        header.stamp.sec = self.good
        image = image_from_rgb(PICTURE, header)
        if self.kind is CompressedImage:
            image = CompressedImage(header=header, format="jpeg", data=array("B", JPEG))
        self._publisher.publish(image)
        self.bench.until(lambda: self.good * 10**9 in self.answered, f"results of good image {self.good}")

    def settle(self) -> None:
        """Wait until diagnostics tell of every image that was sent."""
        total = self.bad + self.good
        self.bench.until(lambda: self.count("frames_received") >= total, "diagnostics of all images", 10)

    def memory_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * 4096 / MB


@pytest.mark.parametrize(("kind", "wrong"), [(Image, wrong_images()), (CompressedImage, wrong_pictures())])
def test_every_wrong_image_is_a_counted_error_and_good_ones_between_get_results(bench, kind, wrong) -> None:
    """300 of each transport to one node; none is forgotten, none costs memory."""
    rig = Rig(bench, kind)
    for _ in range(5):
        rig.send_good()
    before_mb = rig.memory_mb()

    @EVERY_ROUND
    @given(st.lists(wrong, min_size=CASES_A_ROUND, max_size=CASES_A_ROUND))
    def one_round(messages: list[Any]) -> None:
        for message in messages:
            rig.send_bad(message)
        rig.send_good()

    one_round()
    rig.settle()
    assert rig.bad >= ROUNDS * CASES_A_ROUND
    assert rig.count("frames_processed") == rig.good
    assert rig.count("bad_frames") + rig.count("frames_dropped") == rig.bad
    assert rig.count("bad_frames") > 0.9 * rig.bad, "too few of the wrong images were looked at"
    assert rig.values["last_error"]
    assert rig.memory_mb() - before_mb < 100
    assert "Traceback" not in bench.output("perception_node")


def test_damage_inside_a_picture_ends_nothing(bench) -> None:
    """JPEG and PNG with changed bytes: results or a counted error, as the decoder has it."""
    rig = Rig(bench, CompressedImage)

    @settings(EVERY_ROUND, max_examples=20)
    @given(st.lists(doubtful_pictures(), min_size=CASES_A_ROUND, max_size=CASES_A_ROUND))
    def one_round(messages: list[Any]) -> None:
        for message in messages:
            rig.send_bad(message)
        rig.send_good()

    one_round()
    rig.settle()
    counted = sum(rig.count(key) for key in ("frames_processed", "bad_frames", "frames_dropped"))
    assert counted == rig.good + rig.bad
    assert rig.count("bad_frames") > 0


def test_bytes_that_are_no_message_at_all_end_nothing(bench) -> None:
    """Cut off, random, or with a length of four gigabytes in it: lost on the way, and the node takes the next image."""
    rig = Rig(bench, Image)
    rig.send_good()
    whole = serialize_message(blank("rgb8", 16, 16))
    random = np.random.default_rng(1)
    endless = bytearray(whole)
    place = bytes(whole).rfind(struct.pack("<I", 16 * 16 * 3))
    endless[place : place + 4] = b"\xff\xff\xff\xff"
    for number in range(20):
        for data in (whole[: 4 + number * 3], bytes(endless), whole[:4] + random.bytes(60)):
            rig.send_bad(bytes(data))
        rig.send_good()
    assert rig.memory_mb() < 2_000
    rig.settle()
    assert rig.count("frames_processed") == rig.good
    assert rig.count("bad_frames") + rig.count("frames_dropped") == rig.bad


@pytest.mark.parametrize(
    "changes", [{"data": array("B", bytes(10))}, {"height": 2**31}, {"width": 2**31}, {"width": 0}, {"step": 2**31}]
)
def test_cv_bridge_gets_no_image_whose_data_are_not_there(monkeypatch: pytest.MonkeyPatch, changes) -> None:
    """Encodings that only cv_bridge knows: what is claimed is compared with what came before anything is allocated."""
    handed_on: list[Image] = []

    class Bridge:
        def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> np.ndarray:
            assert desired_encoding == "rgb8"
            handed_on.append(message)
            return np.zeros((message.height, message.width, 3), np.uint8)

    monkeypatch.setattr(convert, "CvBridge", Bridge)
    right = blank("rgb8", 16, 8, encoding="8SC3")
    assert convert.frame_from_image(right).rgb.shape == (8, 16, 3)
    with pytest.raises(FrameError, match=r"8SC3, .* expected at least"):
        convert.frame_from_image(blank("rgb8", 16, 8, encoding="8SC3", **changes))
    assert handed_on == [right]


@pytest.mark.parametrize(("kind", "name"), [(Detect, "detect"), (Encode, "encode")])
def test_services_refuse_every_wrong_image_with_a_reason(bench, kind: type, name: str) -> None:
    bench.start("perception_node")
    camera = Camera(bench)
    camera.show()
    client = bench.client(kind, name)

    def ask(image: Image) -> Any:
        request = kind.Request(image=image)
        if kind is Detect:
            request.score_threshold = request.iou_threshold = -1.0
        future = client.call_async(request)
        bench.until(future.done, "the reply")
        return future.result()

    @settings(EVERY_ROUND, max_examples=50)
    @given(wrong_images())
    def refuse(image: Image) -> None:
        reply = ask(image)
        assert not reply.success
        assert reply.message

    refuse()
    assert ask(blank("rgb8", 64, 48)).success
    camera.show()
