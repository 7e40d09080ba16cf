"""Several cameras in one node: each with results of its own, none in another's way."""

from __future__ import annotations

from itertools import islice

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.ros.convert import frame_from_compressed, stamp_ns
from robot_vision.runtime.card import load_card
from robot_vision.shipped import shared_file

SAMPLES = {"front": "samples/simworld_handheld", "rear": "samples/simworld_uav"}
FRAMES = 12


def images_of(sample: str, count: int) -> list[CompressedImage]:
    return [
        deserialize_message(bytes(raw.data), CompressedImage) for raw in islice(open_source(sample).messages(), count)
    ]


class Rig:
    """Two cameras of the test, and what arrives from the node for each."""

    def __init__(self, bench, node: str, topic: str) -> None:
        self.bench = bench
        self.images = {name: images_of(shared_file(sample), FRAMES) for name, sample in SAMPLES.items()}
        self.arrived: dict[str, list[Detection2DArray]] = {name: [] for name in SAMPLES}
        self.publishers = {}
        for name in SAMPLES:
            bench.node.create_subscription(Detection2DArray, f"/{name}/{topic}", self.arrived[name].append, 50)
            self.publishers[name] = bench.node.create_publisher(
                CompressedImage, f"/{name}/image/compressed", QoSProfile(depth=5)
            )
        bench.start(node, "camera.image_transport:=compressed", "camera.names:=[front, rear]")
        bench.until(lambda: all(p.get_subscription_count() for p in self.publishers.values()), "the node to subscribe")
        bench.until(lambda: all(bench.node.count_publishers(f"/{name}/{topic}") for name in SAMPLES), "its topics")
        bench.rest(1.0)

    def send(self, name: str, number: int) -> None:
        self.publishers[name].publish(self.images[name][number])

    def play(self, *names: str, numbers: range = range(FRAMES)) -> None:
        """One image after the other of each camera, when the results of those before have arrived."""
        for number in numbers:
            before = {name: len(self.arrived[name]) for name in names}
            for name in names:
                self.send(name, number)
            self.bench.until(lambda b=before: all(len(self.arrived[n]) > b[n] for n in names), f"results of {number}")


@pytest.mark.parametrize("node", ["perception_node", "detector_node"])
def test_each_camera_gets_the_results_of_its_own_images(bench, node: str) -> None:
    """Frames of both cameras run on one network at the same time; nothing is mixed up, headers are the images'."""
    rig = Rig(bench, node, "detections")
    rig.play("front", "rear")
    detector = Detector(load_card("simworld_yolo"), SessionParams(provider="cpu"), DetectorParams())
    for name in SAMPLES:
        assert [message.header for message in rig.arrived[name]] == [image.header for image in rig.images[name]]
        for message, image in zip(rig.arrived[name], rig.images[name], strict=True):
            expected = detector.detect(frame_from_compressed(image))
            found = [(d.results[0].hypothesis.class_id, d.bbox.center.position.x) for d in message.detections]
            assert [label for label, _ in found] == [detector.class_names[number] for number in expected.class_ids]
            centres = (expected.boxes_xyxy[:, 0] + expected.boxes_xyxy[:, 2]) / 2
            assert [x for _, x in found] == pytest.approx(centres.tolist(), abs=1e-2)


def test_a_silent_camera_does_not_hold_up_the_other(bench) -> None:
    """The rear camera never sends: the front one is served, and diagnostics name the silent one."""
    health: dict[str, str] = {}

    def on_diagnostics(message: DiagnosticArray) -> None:
        health.update({status.name.rpartition(": ")[2]: status.message for status in message.status})

    bench.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    rig = Rig(bench, "perception_node", "detections")
    rig.play("front")
    bench.until(lambda: health.get("front/camera") == "frames arrive", "a report on the front camera")
    assert health["rear/camera"].startswith("no frame yet on /rear/image/compressed")
    assert {"front/detector", "rear/tracker", "rear/encoder"} <= set(health)


def test_a_flooding_camera_does_not_starve_the_other(bench) -> None:
    """The front camera sends five images for each one of the rear: every image of the rear is answered all the same."""
    rig = Rig(bench, "perception_node", "detections")
    for number in range(FRAMES):
        for _ in range(5):
            rig.send("front", number)
        rig.send("rear", number)
        stamp = stamp_ns(rig.images["rear"][number].header)
        bench.until(
            lambda s=stamp: any(stamp_ns(message.header) == s for message in rig.arrived["rear"]),
            f"the rear's {number}",
        )
    assert len(rig.arrived["rear"]) == FRAMES


def test_tracks_are_of_one_camera(bench) -> None:
    """Each camera's tracker counts its own ids, and `reset_tracks` of one leaves the other's tracks alone."""
    rig = Rig(bench, "perception_node", "tracks")
    half = FRAMES // 2
    rig.play("front", "rear", numbers=range(half))
    client = bench.client(Trigger, "/front/reset_tracks")
    reply = client.call_async(Trigger.Request())
    bench.until(reply.done, "the reply")
    rig.play("front", "rear", numbers=range(half, FRAMES))
    ids = {name: [{d.id for d in message.detections} for message in rig.arrived[name]] for name in SAMPLES}
    for name, kept in (("front", False), ("rear", True)):
        before, after = set.union(*ids[name][:half]), set.union(*ids[name][half:])
        assert before and after
        assert bool(before & after) == kept, name


@pytest.mark.parametrize(("names", "said"), [("[front, front]", "different names"), ("[a/b]", "'a/b'")])
def test_names_that_cannot_be_are_refused(bench, names: str, said: str) -> None:
    process = bench.start("detector_node", f"camera.names:={names}")
    assert process.wait(30) == 1
    assert "camera.names" in bench.output("detector_node")
    assert said in bench.output("detector_node")
    bench.processes.clear()
