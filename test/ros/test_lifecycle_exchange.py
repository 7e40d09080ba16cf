"""Networks exchanged while their nodes are active: what loads and fits takes over, what does not changes nothing."""

from __future__ import annotations

import gc
import time

import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_rig import Camera, Manager, card_of, living_sessions
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from robot_vision_msgs.srv import Decode, Detect, Encode
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.ros.detector_node import Detection
from robot_vision.ros.lifecycle import StageNode
from robot_vision.ros.qos import LATCHED_QOS
from robot_vision.runtime.card import load_card
from robot_vision.shipped import shared_file

OWN_NAMES = ["crate", "sphere", "tin", "pylon", "cup", "flask", "android"]


def test_another_detector_takes_over_between_two_frames_and_a_bad_one_does_not(bench, tmp_path) -> None:
    """Frames go on; labels, class map, the `detect` service and diagnostics follow; tracks of the old classes end."""
    names: list[list[str]] = []
    models: dict[str, str] = {}

    def keep(message: DiagnosticArray) -> None:
        for status in message.status:
            models.update({status.name.split(": ")[1]: v.value for v in status.values if v.key == "model"})

    camera, own = Camera(bench), card_of(tmp_path, "simworld_yolo", name="own_yolo", class_names=OWN_NAMES)
    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    bench.node.create_subscription(
        LabelInfo, "/label_info", lambda message: names.append([entry.class_name for entry in message.class_map]),
        LATCHED_QOS,
    )  # fmt: skip
    manager = Manager(bench, "perception_node")
    shipped = list(load_card("simworld_yolo").class_names)
    ids = []
    for model, expected in (("simworld_yolo", shipped), (own, OWN_NAMES), ("simworld_yolo", shipped)):
        assert manager.set("detector.model", model) == (True, "")
        stamps = [camera.show() for _ in range(5)]
        assert all(camera.labels(stamp) and camera.labels(stamp) <= set(expected) for stamp in stamps)
        ids.append({detection.id for stamp in stamps for detection in camera.tracks[stamp].detections})
        bench.until(lambda e=expected: bool(names) and names[-1] == e, "the class map")
        reply = manager.request(Detect, "/detect", image=camera.image(), score_threshold=-1.0, iou_threshold=-1.0)
        assert {found.results[0].hypothesis.class_id for found in reply.detections.detections} <= set(expected)
        for bad, said in (
            ("/nowhere/net.onnx", "/nowhere/net.onnx: no such file"),
            ("simworld_vae_encoder", "expected task detection, its card says latent_encoder"),
        ):
            accepted, reason = manager.set("detector.model", bad)
            assert not accepted
            assert said in reason
        assert camera.labels(camera.show()) <= set(expected)
        wanted = "own_yolo" if model == own else "simworld_yolo"
        bench.until(lambda w=wanted: models.get("detector") == w, "the model in diagnostics")
    assert all(ids) and not ids[0] & ids[1] and not ids[1] & ids[2]


def test_the_old_detector_works_while_the_new_one_loads(bench, tmp_path) -> None:
    """A stream goes on during the exchange: each message is of one detector, and none of the old after the new."""
    camera, own = Camera(bench), card_of(tmp_path, "simworld_yolo", name="own_yolo", class_names=OWN_NAMES)
    manager = Manager(bench, "perception_node")
    camera.show()
    pending = manager.begin_set("detector.model", own)
    during = []
    while not pending.done() or len(during) < 10:
        during.append(camera.send())
        bench.rest(0.05)
    assert pending.result().results[0].successful
    last = camera.show()
    answered = [stamp for stamp in during if stamp in camera.found]
    assert len(answered) > len(during) // 2
    new = [camera.labels(stamp) <= set(OWN_NAMES) for stamp in [*answered, last] if camera.labels(stamp)]
    assert new == sorted(new) and new[-1]
    shipped = set(load_card("simworld_yolo").class_names)
    assert all(camera.labels(stamp) <= shipped or camera.labels(stamp) <= set(OWN_NAMES) for stamp in answered)


def test_another_encoder_takes_over_while_frames_go_on(bench, tmp_path) -> None:
    """Latents name their encoder and its hash; `encode` and `decode` are of the new one; a bad one is refused."""
    camera = Camera(bench)
    document = yaml.safe_load(shared_file("models/simworld_vae_encoder.yaml").read_text())
    changed = {"name": "own_encoder", "input": {**document["input"], "interpolation": "linear"}}
    own = card_of(tmp_path, "simworld_vae_encoder", **changed)
    manager = Manager(bench, "perception_node")
    hashes = {}
    for model, name in (("simworld_vae_encoder", "simworld_vae_encoder"), (own, "own_encoder")):
        assert manager.set("encoder.model", model) == (True, "")
        latent = camera.latents[camera.show()]
        assert latent.encoder == name
        hashes[name] = latent.encoder_hash
        assert manager.request(Encode, "/encode", image=camera.image()).latent.encoder_hash == latent.encoder_hash
        assert manager.request(Decode, "/decode", mean=latent.mean, encoder_hash=latent.encoder_hash).success
        accepted, reason = manager.set("encoder.model", "simworld_yolo")
        assert not accepted
        assert "expected a card of task latent_encoder, got detection" in reason
    assert hashes["own_encoder"] != hashes["simworld_vae_encoder"]
    reply = manager.request(Decode, "/decode", mean=latent.mean, encoder_hash=hashes["simworld_vae_encoder"])
    assert not reply.success and "own_encoder" in reply.message


def test_all_cameras_of_a_node_get_the_new_network(bench, tmp_path) -> None:
    """They share it, as they shared the one before."""
    own = card_of(tmp_path, "simworld_yolo", name="own_yolo", class_names=OWN_NAMES)
    cameras = {name: Camera(bench, name) for name in ("front", "rear")}
    manager = Manager(bench, "perception_node", "camera.names:=[front, rear]")
    shipped = set(load_card("simworld_yolo").class_names)
    for model, expected in (("simworld_yolo", shipped), (own, set(OWN_NAMES))):
        assert manager.set("detector.model", model) == (True, "")
        for camera in cameras.values():
            labels = camera.labels(camera.show())
            assert labels and labels <= expected


def test_the_exchanged_network_is_freed(tmp_path) -> None:
    """While frames go on, the sessions of earlier models are gone without a collection of garbage."""
    own = card_of(tmp_path, "simworld_yolo", name="own_yolo", class_names=OWN_NAMES)
    gc.collect()
    others = len(living_sessions())
    rclpy.init()
    gc.disable()
    try:
        node, camera = (
            StageNode("exchanging", ("camera", "session", "detector"), Detection),
            rclpy.create_node("camera"),
        )
        found: list[Detection2DArray] = []
        camera.create_subscription(Detection2DArray, "/detections", found.append, 10)
        publisher = camera.create_publisher(Image, "/image", QoSProfile(depth=1))
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.add_node(camera)
        assert node.load() and node.start()
        for number in range(4):
            model = (own, "simworld_yolo")[number % 2]
            assert node.set_parameters([Parameter("detector.model", value=model)])[0].successful
            wanted, end_s = len(found) + 4, time.monotonic() + 20
            while len(found) < wanted and time.monotonic() < end_s:
                publisher.publish(Image(height=48, width=64, step=192, encoding="rgb8", data=bytes(48 * 192)))
                executor.spin_once(0.1)
            assert len(found) >= wanted
            assert len(living_sessions()) == others + 1
        assert node.close()
    finally:
        gc.enable()
        rclpy.shutdown()
