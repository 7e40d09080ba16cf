"""The nodes on the shipped sample: complete, faithful headers, equal in both deployments, alive after bad input."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from robot_vision_msgs.msg import LatentState, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.data.sources import open_source
from robot_vision.params import SessionParams, TrackerParams
from robot_vision.ros.convert import detections_from_message, frame_from_compressed, stamp_ns
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.networks import open_crop_encoders
from robot_vision.ros.qos import LATCHED_QOS
from robot_vision.ros.stages import TrackStage
from robot_vision.shipped import shared_file
from robot_vision.tracking.camera_motion import CameraMotion
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections, Frame, TrackState

TOPICS = {"detections": Detection2DArray, "tracks": Detection2DArray, "track_states": TrackArray, "latent": LatentState}
FRAMES = 25


def sample_images(count: int) -> list[CompressedImage]:
    source = open_source(shared_file("samples/simworld_handheld"))
    return [deserialize_message(bytes(raw.data), CompressedImage) for raw in islice(source.messages(), count)]


def listen(bench) -> dict[str, dict[int, object]]:
    """Everything that arrives, by topic and stamp."""
    arrived: dict[str, dict[int, object]] = {name: {} for name in TOPICS}
    for name, kind in TOPICS.items():

        def keep(message, name=name) -> None:
            arrived[name][stamp_ns(message.header)] = message

        bench.node.create_subscription(kind, name, keep, 50)
    return arrived


def play(bench, images: list[CompressedImage], arrived: dict[str, dict[int, object]]) -> None:
    """Publish one image after the other, each when all results of the one before have arrived."""
    publisher = bench.node.create_publisher(CompressedImage, "/camera/image/compressed", QoSProfile(depth=5))
    subscribers = 2 if len(bench.processes) > 1 else 1
    bench.until(lambda: publisher.get_subscription_count() == subscribers, "the nodes to subscribe")
    bench.until(lambda: all(bench.node.count_publishers(f"/{name}") for name in TOPICS), "all result topics")
    bench.rest(1.0)
    for image in images:
        publisher.publish(image)
        stamp = stamp_ns(image.header)
        bench.until(lambda stamp=stamp: all(stamp in arrived[name] for name in TOPICS), f"results of {stamp}")


def test_every_frame_has_all_results_with_the_image_header(bench) -> None:
    """Composed node: one message a frame on each topic, header copied into the array and into every detection."""
    images = sample_images(FRAMES)
    arrived = listen(bench)
    bench.start("perception_node", "camera.image_transport:=compressed", "encoder.novelty:=true")
    play(bench, images, arrived)
    stamps = [stamp_ns(image.header) for image in images]
    for name in TOPICS:
        assert sorted(arrived[name]) == stamps
        assert all(message.header.frame_id == images[0].header.frame_id for message in arrived[name].values())
    found = [d for message in arrived["detections"].values() for d in message.detections]
    assert len(found) > FRAMES, "the shipped detector finds several objects in every frame of the shipped sample"
    for message in arrived["detections"].values():
        assert all(detection.header == message.header for detection in message.detections)
    ids = {d.id for message in arrived["tracks"].values() for d in message.detections}
    assert ids and all(identity.isdigit() for identity in ids)
    assert all(np.isfinite(message.novelty) and len(message.mean) == 32 for message in arrived["latent"].values())


def test_apart_nodes_give_the_messages_of_the_composed_one(bench) -> None:
    """Both deployments build the same stages: messages are equal field by field."""
    images = sample_images(FRAMES)
    arrived = listen(bench)
    bench.start("perception_node", "camera.image_transport:=compressed", "encoder.novelty:=true")
    play(bench, images, arrived)
    bench.processes.pop().terminate()
    composed = {name: dict(messages) for name, messages in arrived.items()}
    bench.until(lambda: bench.node.count_publishers("/detections") == 0, "the composed node to leave")
    for messages in arrived.values():
        messages.clear()
    bench.start("detector_node", "camera.image_transport:=compressed")
    bench.start("encoder_node", "camera.image_transport:=compressed", "encoder.novelty:=true")
    bench.start("tracker_node")
    play(bench, images, arrived)
    for name in TOPICS:
        for stamp, message in composed[name].items():
            assert arrived[name][stamp] == message, (name, stamp)


def test_bad_frames_are_counted_and_skipped(bench) -> None:
    """An unknown encoding, short data and zero sizes: the node says so in diagnostics and processes the next frame."""
    detections: list[Detection2DArray] = []
    camera: dict[str, str] = {}

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith("camera"):
                camera.update({pair.key: pair.value for pair in status.values})

    bench.node.create_subscription(Detection2DArray, "detections", detections.append, 10)
    bench.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
    publisher = bench.node.create_publisher(Image, "/camera/image", QoSProfile(depth=5))
    bench.start("perception_node")
    bench.until(lambda: publisher.get_subscription_count() == 1, "the node to subscribe")
    bench.rest(1.0)
    good = Image(height=48, width=64, step=192, encoding="rgb8", data=bytes(48 * 192))
    bad = [
        Image(height=48, width=64, step=192, encoding="telepathy", data=bytes(48 * 192)),
        Image(height=48, width=64, step=192, encoding="rgb8", data=bytes(100)),
        Image(height=0, width=0, step=0, encoding="rgb8"),
    ]
    for count, message in enumerate(bad, 1):
        publisher.publish(message)
        bench.until(lambda count=count: camera.get("bad_frames") == str(count), f"bad frame {count} in diagnostics")
    good.header.stamp.sec = 5
    publisher.publish(good)
    bench.until(lambda: bool(detections), "the result of the good frame")
    assert detections[0].header.stamp.sec == 5
    assert "telepathy" in bench.output("perception_node") or "telepathy" in camera["last_error"] or camera["last_error"]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("detector.model:=/nowhere/net.onnx", "/nowhere/net.onnx"),
        ("detector.confidence_threshold:=7.0", "out of range Min: 0.001, Max: 1.0, value: 7.0"),
        (
            "detector.confidence:=0.9",
            "detector.confidence: there is no such setting; detector has model, confidence_th",
        ),
        ("detector.classes:=[boxx]", "has no class boxx; it has box, ball"),
        ("tracker.appearance_model:=simworld_yolo", "expected a card of task latent_encoder, got detection"),
        ("detector.max_detections:=many", "detector.max_detections: expected int, got str 'many'"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_node_that_cannot_start_says_why_and_ends(bench, parameter: str, said: str) -> None:
    """A wrong setting is one line and exit status 1, not a traceback or a silent node."""
    process = bench.start("perception_node", parameter)
    assert process.wait(30) == 1
    bench.processes.clear()
    output = bench.output("perception_node")
    assert said in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("tracker.camera_motion:=flow", "parameter tracker.camera_motion: flow needs the images"),
        ("tracker.appearance_model:=simworld_vae_encoder", "parameter tracker.appearance_model: needs the images"),
    ],
)
def test_what_needs_the_images_needs_the_node_that_has_them(bench, parameter: str, said: str) -> None:
    """`tracker_node` ends with an error that names the node to run."""
    process = bench.start("tracker_node", parameter)
    assert process.wait(30) == 1
    bench.processes.clear()
    output = bench.output("tracker_node")
    assert said in output
    assert "perception_node" in output
    assert "Traceback" not in output


def test_flow_is_refused_live_where_there_are_no_images(bench) -> None:
    """`tracker_node` refuses the change while it runs as well."""
    bench.start("tracker_node")
    client = bench.client(SetParameters, "/tracker_node/set_parameters")
    parameter = Parameter("tracker.camera_motion", value="flow").to_parameter_msg()
    future = client.call_async(SetParameters.Request(parameters=[parameter]))
    bench.until(future.done, "the reply")
    result = future.result().results[0]
    assert not result.successful
    assert "run perception_node instead" in result.reason


def test_tracks_with_flow_are_those_of_the_tracker_that_sees_the_images(bench) -> None:
    """The composed node gives every image to the camera's motion: ids, boxes and velocities as computed apart."""
    images = sample_images(FRAMES)
    arrived = listen(bench)
    bench.start("perception_node", "camera.image_transport:=compressed", "tracker.camera_motion:=flow")
    play(bench, images, arrived)
    params = TrackerParams(camera_motion="flow")
    tracker, camera, class_ids = Tracker(params), CameraMotion(), dict[str, int]()
    moved = 0.0
    for image in images:
        stamp, frame = stamp_ns(image.header), frame_from_compressed(image)
        found = detections_from_message(arrived["detections"][stamp], class_ids)
        motion = camera.estimate(frame.rgb, found.boxes_xyxy[found.scores >= params.low_threshold])
        moved += abs(motion[0, 2])
        wanted = tracker.update(found, stamp, motion)
        wanted = wanted.select(wanted.states != TrackState.TENTATIVE)
        tracks = arrived["track_states"][stamp].tracks
        assert [int(track.id) for track in tracks] == wanted.ids.tolist()
        velocities = [[track.velocity_x, track.velocity_y] for track in tracks]
        np.testing.assert_allclose(np.reshape(velocities, (-1, 2)), wanted.velocities_xy, atol=0.5)
    assert moved > FRAMES, "the camera of the sample moves"
    assert camera.unknown == 0


def test_tracks_with_looks_are_those_of_the_tracker_that_is_given_them(bench) -> None:
    """The composed node embeds the objects of every image: tracks for each, ids and boxes as computed apart."""
    images = sample_images(FRAMES)
    arrived = listen(bench)
    model = "simworld_vae_encoder"
    bench.start("perception_node", "camera.image_transport:=compressed", f"tracker.appearance_model:={model}")
    play(bench, images, arrived)
    params, class_ids = TrackerParams(appearance_model=model), dict[str, int]()
    tracker, crops = Tracker(params), open_crop_encoders(SessionParams(provider="cpu"), params, 1)[0]
    for image in images:
        stamp, frame = stamp_ns(image.header), frame_from_compressed(image)
        found = detections_from_message(arrived["detections"][stamp], class_ids)
        wanted = tracker.update(found, stamp, None, crops.encode(frame, found, params.low_threshold))
        wanted = wanted.select(wanted.states != TrackState.TENTATIVE)
        tracks = arrived["track_states"][stamp].tracks
        assert tracks
        assert [int(track.id) for track in tracks] == wanted.ids.tolist()
        centres = [[track.bbox.center.position.x, track.bbox.center.position.y] for track in tracks]
        np.testing.assert_allclose(centres, (wanted.boxes_xyxy[:, :2] + wanted.boxes_xyxy[:, 2:]) / 2, atol=0.05)


def test_flow_never_compares_images_across_a_reset(bench) -> None:
    """Time that goes back and `reset_tracks` forget the image before: what follows is a first frame, not a failure."""
    stage = TrackStage(bench.node, Diagnostics(bench.node), TrackerParams(camera_motion="flow"))
    noise = np.random.default_rng(1)

    def failures(stamp: int) -> str:
        frame = Frame(noise.integers(0, 256, (120, 160, 3)).astype(np.uint8), stamp, "camera")
        stage.process(Header(), stamp, Detections.empty(), (), frame)
        return stage._facts()["frames_without_flow"]

    assert [failures(stamp) for stamp in (10**9, 2 * 10**9)] == ["0", "1"]
    assert failures(10**9) == "1"
    stage._on_reset(Trigger.Request(), Trigger.Response())
    assert failures(3 * 10**9) == "1"
    assert failures(4 * 10**9) == "2"


def test_late_joiners_get_the_class_names_and_settings_are_checked_live(bench) -> None:
    """`label_info` is latched; a live setting outside its range is refused with the range; tracks can be reset."""
    names: list[str] = []
    bench.start("perception_node")
    bench.until(lambda: bench.node.count_publishers("/label_info") == 1, "label_info")
    bench.rest(0.5)
    bench.node.create_subscription(
        LabelInfo, "label_info", lambda m: names.extend(e.class_name for e in m.class_map), LATCHED_QOS
    )
    bench.until(lambda: bool(names), "the class names")
    assert names == ["box", "ball", "can", "cone", "mug", "bottle", "robot"]

    client = bench.client(SetParameters, "/perception_node/set_parameters")

    def change(name: str, value: object) -> tuple[bool, str]:
        parameter = Parameter(f"detector.{name}", value=value).to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[parameter]))
        bench.until(future.done, "the reply")
        return future.result().results[0].successful, future.result().results[0].reason

    for name, value in (("confidence_threshold", 0.4), ("iou_threshold", 1), ("classes", ["ball"]), ("classes", [""])):
        assert change(name, value) == (True, "")
    accepted, reason = change("confidence_threshold", 5.0)
    assert not accepted
    assert "out of range Min: 0.001, Max: 1.0" in reason
    accepted, reason = change("classes", ["ball", "boxx"])
    assert not accepted
    assert "no class boxx; it has box, ball" in reason
    assert change("iou_threshold", "wide") == (
        False,
        "parameter detector.iou_threshold: expected float, got str 'wide'",
    )

    reset = bench.client(Trigger, "/reset_tracks")
    future = reset.call_async(Trigger.Request())
    bench.until(future.done, "the reset")
    assert future.result().success
