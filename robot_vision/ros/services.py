"""Stages on demand: one image or latent state in a request, its result in the reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from robot_vision_msgs.srv import Decode, Detect, Encode
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from robot_vision.errors import InvalidValueError, RobotVisionError
from robot_vision.latent.encoder import latent_space
from robot_vision.params import DetectorParams, updated
from robot_vision.ros.convert import frame_from_image, image_from_rgb, latent_state
from robot_vision.ros.lifecycle import when_active
from robot_vision.ros.outputs import serialised_detections
from robot_vision.ros.stages import DetectStage, EncodeStage
from robot_vision.runtime.card import ModelCard
from robot_vision.types import Float32Array

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=Any)


class DetectService:
    """`detect`: objects in one given image, for behaviour trees; the camera's frames go on meanwhile."""

    def __init__(self, node: Node, stage: DetectStage) -> None:
        """Offer the service, unless `detector.services` is off.

        Args:
            node: Node that owns it.
            stage: Whose network and live settings are used.
        """
        self._stage = stage
        _offer(node, "detector", Detect, "detect", self._answer)

    def _answer(self, request: Detect.Request, response: Detect.Response) -> None:
        detector = self._stage.on_demand()
        detector.set_params(_params_of(request, self._stage.detector.params))
        found = detector.detect(frame_from_image(request.image))
        data = serialised_detections(request.image.header, found, self._stage.labels)
        response.detections = deserialize_message(data, Detection2DArray)


class EncodeService:
    """`encode`: what the `latent` topic would carry for one given image; the camera's frames go on meanwhile."""

    def __init__(self, node: Node, stage: EncodeStage) -> None:
        """Offer the service, unless `encoder.services` is off.

        Args:
            node: Node that owns it.
            stage: Whose networks are used.
        """
        self._stage = stage
        _offer(node, "encoder", Encode, "encode", self._answer)

    def _answer(self, request: Encode.Request, response: Encode.Response) -> None:
        latent = self._stage.on_demand().encode(frame_from_image(request.image))
        response.latent = latent_state(request.image.header, latent)


class DecodeService:
    """`decode`: the image of one given latent state; the camera's frames go on meanwhile.

    The decoder is opened for the first request that is in order: most robots never decode, and shall neither pay its
    memory nor fail to start because it is missing. Loading does not hold the interpreter's lock, so frames go on; the
    node's timers and other services wait: 40 ms with the shipped decoder, minutes where TensorRT has to compile.
    """

    def __init__(self, node: Node, stage: EncodeStage) -> None:
        """Offer the service, unless `encoder.services` is off.

        Args:
            node: Node that owns it.
            stage: Whose latent states are decoded.
        """
        self._stage = stage
        self._clock = node.get_clock()
        _offer(node, "encoder", Decode, "decode", self._answer)

    def _answer(self, request: Decode.Request, response: Decode.Response) -> None:
        mean = _mean_of(request, self._stage.encoder.card)
        response.image = image_from_rgb(self._stage.decoder().decode(mean), Header(stamp=self._clock.now().to_msg()))


def _offer(node: Node, stage: str, kind: type, name: str, answer: Callable[[RequestT, ResponseT], None]) -> None:
    """Create a service, unless the parameter `<stage>.services` says no."""
    if node.get_parameter(f"{stage}.services").value:
        node.create_service(kind, name, _answering(node, name, answer))


def _answering(
    node: Node, name: str, answer: Callable[[RequestT, ResponseT], None]
) -> Callable[[RequestT, ResponseT], ResponseT]:
    """A service's callback: `answer` fills the response; if it raises, the reply holds the error's message alone.

    While the node is not active, the reply says so.
    """

    def on_request(request: RequestT, response: ResponseT) -> ResponseT:
        try:
            answer(request, response)
        except RobotVisionError as error:
            response.message = str(error)
            return response
        except Exception as error:  # whatever a strange request brings out must not end the node
            response.message = f"{type(error).__name__}: {error}"
            node.get_logger().error(f"{name}: {response.message}")
            return response
        response.success = True
        return response

    return when_active(node, on_request)


def _params_of(request: Detect.Request, params: DetectorParams) -> DetectorParams:
    """The node's settings with what the request asks for; a negative number asks for nothing.

    Raises:
        InvalidValueError: If a number is outside its range.
    """
    for field, setting in (("score_threshold", "confidence_threshold"), ("iou_threshold", "iou_threshold")):
        value = getattr(request, field)
        if value < 0:
            continue
        try:
            params = updated(params, {setting: value})
        except InvalidValueError as error:
            raise InvalidValueError(str(error).replace(setting, field)) from error
    return params


def _mean_of(request: Decode.Request, card: ModelCard) -> Float32Array:
    """The latent mean (D,) of a request to decode.

    Raises:
        InvalidValueError: If it is of another encoder, has another size, or values that are not finite.
    """
    if request.encoder_hash not in ("", card.identity_hash):
        raise InvalidValueError(
            f"encoder_hash: expected {card.identity_hash}, which is that of {card.name}, or none; "
            f"got {request.encoder_hash!r}"
        )
    size = latent_space(card).size
    if len(request.mean) != size:
        raise InvalidValueError(f"mean: expected {size} values of {card.name}, got {len(request.mean)}")
    mean = np.array(request.mean, np.float32)
    wrong = np.flatnonzero(~np.isfinite(mean))
    if wrong.size:
        raise InvalidValueError(f"mean: expected finite values, got {mean[wrong[0]]} at {wrong[0]}")
    return mean
