"""Latent states on demand: the `encode` and `decode` services of both nodes that have an encoder."""

from __future__ import annotations

import math
from array import array
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rclpy.qos import QoSProfile
from robot_vision_msgs.msg import LatentState
from robot_vision_msgs.srv import Decode, Encode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from robot_vision.data.sources import open_source
from robot_vision.latent.decoder import Decoder
from robot_vision.params import SessionParams
from robot_vision.ros.convert import frame_from_image, image_from_rgb, stamp_ns
from robot_vision.runtime.card import ModelCard, load_card
from robot_vision.shipped import shared_file

NODES = ["encoder_node", "perception_node"]
NO_LATENT = LatentState()


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """Images of the handheld sample with headers of a camera."""
    frames = islice(open_source(shared_file("samples/simworld_handheld")).frames(), 0, 60, 6)
    headers = [Header(frame_id="arm_camera") for _ in range(10)]
    for number, header in enumerate(headers, start=1):
        header.stamp.sec = number
    return [image_from_rgb(frame.rgb, header) for frame, header in zip(frames, headers, strict=True)]


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_card("simworld_vae_encoder")


class Rig:
    """A node with an encoder, the camera that it listens to, and clients of its services."""

    def __init__(self, bench, node: str, *parameters: str) -> None:
        self.bench = bench
        self.latents: list[LatentState] = []
        bench.node.create_subscription(LatentState, "/latent", self.latents.append, 50)
        self.camera = bench.node.create_publisher(Image, "/camera/image", QoSProfile(depth=5))
        self.encoding = bench.node.create_client(Encode, "/encode")
        self.decoding = bench.node.create_client(Decode, "/decode")
        bench.start(node, *parameters)
        bench.until(lambda: self.encoding.service_is_ready() and self.decoding.service_is_ready(), "the services")
        bench.meet("/encode")
        bench.until(lambda: self.camera.get_subscription_count() and bench.node.count_publishers("/latent"), "topics")
        bench.rest(1.0)

    def encode(self, image: Image) -> Encode.Response:
        return self._reply(self.encoding, Encode.Request(image=image))

    def decode(self, mean, encoder_hash: str = "") -> Decode.Response:
        return self._reply(self.decoding, Decode.Request(mean=array("f", mean), encoder_hash=encoder_hash))

    def show(self, image: Image) -> LatentState:
        """The topic's latent of an image."""
        before = len(self.latents)
        self.camera.publish(image)
        self.bench.until(lambda: len(self.latents) > before, f"the latent of {image.header.stamp}")
        return self.latents[-1]

    def _reply(self, client, request):
        future = client.call_async(request)
        self.bench.until(future.done, "the reply")
        return future.result()


def card_with(folder: Path, card: ModelCard, decoder: str | None) -> Path:
    """The shipped encoder's card with another decoder."""
    document = yaml.safe_load(shared_file("models/simworld_vae_encoder.yaml").read_text())
    document["file"] = str(card.onnx_path)
    document["latent"]["decoder"] = decoder
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("novelty", [True, False])
def test_encode_gives_what_the_topic_carries_for_that_image(bench, images, node: str, novelty: bool) -> None:
    """Every field, header and novelty too, to the last bit."""
    rig = Rig(bench, node, f"encoder.novelty:={str(novelty).lower()}")
    for image in images[:3]:
        published, response = rig.show(image), rig.encode(image)
        assert response.success, response.message
        assert published.header == image.header
        if not novelty:
            assert math.isnan(published.novelty) and math.isnan(response.latent.novelty)
            published.novelty = response.latent.novelty = 0.0
        assert response.latent == published


@pytest.mark.parametrize("node", NODES)
def test_decode_gives_the_decoders_image_which_is_like_the_encoded_one(bench, images, card, node: str) -> None:
    """The size is that of the encoder's input, the stamp that of the reply; a latent's own hash is accepted."""
    rig = Rig(bench, node)
    decoder = Decoder(load_card("simworld_vae_decoder"), SessionParams(provider="cpu"))
    for image in images[:3]:
        latent = rig.encode(image).latent
        before_ns = bench.node.get_clock().now().nanoseconds
        response = rig.decode(latent.mean, latent.encoder_hash)
        assert response.success, response.message
        assert before_ns <= stamp_ns(response.image.header) <= bench.node.get_clock().now().nanoseconds
        assert (response.image.encoding, response.image.width, response.image.height) == ("rgb8", *card.input.size_wh)
        decoded = frame_from_image(response.image).rgb
        np.testing.assert_array_equal(decoded, decoder.decode(np.array(latent.mean, np.float32)))
        shown = cv2.resize(frame_from_image(image).rgb, card.input.size_wh, interpolation=cv2.INTER_AREA)
        assert np.mean((decoded / 255 - shown / 255) ** 2) < 0.03


def test_a_request_that_cannot_be_met_says_why_and_the_next_one_is_met(bench, images, card) -> None:
    rig = Rig(bench, "encoder_node")
    for image, said in (
        (Image(), "unknown image encoding ''"),
        (Image(encoding="rgb8"), "image needs at least one pixel"),
        (Image(encoding="rgb8", height=4, width=4, step=12, data=bytes(10)), "data is too short"),
        (Image(encoding="32FC1", height=1, width=1, step=4, data=bytes(4)), "depth image"),
    ):
        response = rig.encode(image)
        assert (response.success, response.latent) == (False, NO_LATENT)
        assert said in response.message
    fine = np.zeros(32)
    for mean, encoder_hash, said in (
        ([], "", "mean: expected 32 values of simworld_vae_encoder, got 0"),
        (np.zeros(33), "", "mean: expected 32 values of simworld_vae_encoder, got 33"),
        (np.where(np.arange(32) == 5, np.nan, 0), "", "mean: expected finite values, got nan at 5"),
        (np.full(32, -np.inf), "", "mean: expected finite values, got -inf at 0"),
        (fine, "0" * 64, f"encoder_hash: expected {card.identity_hash}"),
        (np.full(32, 3e38), "", "not finite"),
    ):
        response = rig.decode(mean, encoder_hash)
        assert (response.success, response.image) == (False, Image())
        assert said in response.message
    assert rig.encode(images[0]).success
    assert rig.decode(fine, card.identity_hash).success


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        (None, "names no decoder; set latent.decoder"),
        ("lost.yaml", "lost.yaml: no such file"),
        (str(shared_file("models/simworld_yolo.yaml")), "expected a card of task latent_decoder, got detection"),
    ],
    ids=["none", "lost", "another task"],
)
def test_a_model_without_a_usable_decoder_encodes_and_says_why_it_does_not_decode(
    bench, images, card, tmp_path, decoder, said
) -> None:
    rig = Rig(bench, "encoder_node", f"encoder.model:={card_with(tmp_path, card, decoder)}")
    for _ in range(2):
        response = rig.decode(np.zeros(32))
        assert (response.success, response.image) == (False, Image())
        assert said in response.message
    assert rig.encode(images[0]).latent.mean == rig.show(images[0]).mean


@pytest.mark.parametrize("node", NODES)
def test_frames_go_on_during_requests_and_neither_disturbs_the_other(bench, images, node: str) -> None:
    """Other images are encoded and decoded without a pause: every frame's latent is that of a quiet node."""
    rig = Rig(bench, node, "encoder.novelty:=true")
    quiet = [rig.show(image) for image in images]
    other = quiet[0]
    requests = (
        (rig.encoding, Encode.Request(image=images[0])),
        (rig.decoding, Decode.Request(mean=other.mean, encoder_hash=other.encoder_hash)),
    )
    waiting = [client.call_async(request) for client, request in requests for _ in range(2)]
    replies = []
    for image, wanted in zip(images * 3, quiet * 3, strict=True):
        assert rig.show(image) == wanted
        for number, future in enumerate(waiting):
            if future.done():
                replies.append(future.result())
                client, request = requests[number // 2]
                waiting[number] = client.call_async(request)
    bench.until(lambda: all(future.done() for future in waiting), "the last replies")
    assert all(reply.success for reply in replies)
    latents = [reply.latent for reply in replies if isinstance(reply, Encode.Response)]
    pictures = [reply.image.data for reply in replies if isinstance(reply, Decode.Response)]
    assert len(latents) >= 5 and len(pictures) >= 5
    assert all(latent == other for latent in latents)
    assert all(picture == pictures[0] for picture in pictures)


def test_with_several_cameras_the_services_stand_at_the_nodes_own_name(bench, images) -> None:
    """As `detect` does: one service for the network that all cameras share."""
    bench.start("encoder_node", "camera.names:=[front, rear]")
    encoding = bench.client(Encode, "/encode")
    bench.client(Decode, "/decode")
    future = encoding.call_async(Encode.Request(image=images[0]))
    bench.until(future.done, "the reply")
    assert future.result().success
    assert future.result().latent.header == images[0].header
