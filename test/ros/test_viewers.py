"""For people who look: images with boxes on request, also as JPEG, and viewer files that name what is really there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from lifecycle_rig import Camera
from rclpy.qos import QoSProfile
from robot_vision_msgs.msg import LatentState
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from robot_vision.ros.convert import frame_from_compressed, frame_from_image, stamp_ns
from robot_vision.shipped import shared_file

CONFIG = Path(__file__).resolve().parents[2] / "config"
IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
PATHS = {"/latent": LatentState, "/tracks": Detection2DArray}


def rviz_topics() -> Iterator[tuple[str, set[str]]]:
    """Topics of the RViz file, with the types that their displays take."""
    document = yaml.safe_load((CONFIG / "robot_vision.rviz").read_text(encoding="utf-8"))
    for display in document["Visualization Manager"]["Displays"]:
        assert display["Class"] == "rviz_default_plugins/Image"
        yield display["Topic"]["Value"], IMAGES


def foxglove() -> dict:
    return json.loads((CONFIG / "foxglove_layout.json").read_text(encoding="utf-8"))


def foxglove_topics() -> Iterator[tuple[str, set[str]]]:
    """Topics of the Foxglove layout, with the types that their panels take."""
    for name, panel in foxglove()["configById"].items():
        kind = name.partition("!")[0]
        if kind == "Image":
            yield panel["imageMode"]["imageTopic"], IMAGES
        elif kind == "DiagnosticSummary":
            yield panel["topicToRender"], {"diagnostic_msgs/msg/DiagnosticArray"}
        else:
            for path in [panel["topicPath"]] if kind == "RawMessages" else [path["value"] for path in panel["paths"]]:
                topic, field = re.fullmatch(r"(/\w+)\.(\w+)(?:\[.*\])?", path).groups()
                assert field in PATHS[topic].get_fields_and_field_types()
                yield topic, {f"{PATHS[topic].__module__.split('.')[0]}/msg/{PATHS[topic].__name__}"}


def test_viewer_files_name_topics_and_types_that_are_there(bench) -> None:
    """Beside what demo.launch.py starts."""
    bench.start("perception_node", "camera.image_transport:=compressed")
    bench.start("replay_node", f"bag:={shared_file('samples/simworld_handheld')}", "loop:=true")
    wanted = [*rviz_topics(), *foxglove_topics()]
    assert {"/camera/image/compressed", "/annotated", "/annotated/compressed"} <= {topic for topic, _ in wanted}

    def present() -> dict[str, set[str]]:
        return {name: set(types) for name, types in bench.node.get_topic_names_and_types()}

    bench.until(lambda: all(topic in present() for topic, _ in wanted), f"topics {wanted}")
    for topic, types in wanted:
        assert present()[topic] <= types, topic


def test_every_panel_of_the_foxglove_layout_has_its_place() -> None:
    def leaves(node: object) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        else:
            yield from leaves(node["first"])
            yield from leaves(node["second"])

    assert sorted(leaves(foxglove()["layout"])) == sorted(foxglove()["configById"])


def test_annotated_images_come_raw_and_as_jpeg_with_the_boxes_drawn(bench) -> None:
    """The same picture both ways, with the camera's header; it differs from the camera's where the boxes are."""
    camera = Camera(bench)
    bench.start("perception_node")
    found: dict[type, dict[int, Image | CompressedImage]] = {Image: {}, CompressedImage: {}}
    for kind, topic in ((Image, "/annotated"), (CompressedImage, "/annotated/compressed")):
        bench.node.create_subscription(
            kind, topic, lambda m, kept=found[kind]: kept.update({stamp_ns(m.header): m}), QoSProfile(depth=5)
        )
    bench.until(lambda: bench.node.count_publishers("/annotated/compressed") == 1, "the topic")
    for _ in range(5):
        camera.show()
    bench.until(lambda: bool(found[Image].keys() & found[CompressedImage].keys()), "both images of one frame")
    stamp = max(found[Image].keys() & found[CompressedImage].keys())
    jpeg = found[CompressedImage][stamp]
    assert jpeg.header.frame_id == "arm_camera"
    assert jpeg.format == "rgb8; jpeg compressed bgr8"
    assert len(jpeg.data) < len(found[Image][stamp].data) / 5
    raw_rgb, jpeg_rgb = frame_from_image(found[Image][stamp]).rgb, frame_from_compressed(jpeg).rgb
    assert np.abs(raw_rgb.astype(int) - jpeg_rgb).mean() < 8, "colours in the right order"
    assert camera.labels(stamp)
