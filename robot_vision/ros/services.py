"""Stages on demand: one image in a request, its result in the reply."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from robot_vision_msgs.srv import Detect
from vision_msgs.msg import Detection2DArray

from robot_vision.errors import InvalidValueError, RobotVisionError
from robot_vision.params import DetectorParams, updated
from robot_vision.ros.convert import frame_from_image
from robot_vision.ros.stages import DetectStage


class DetectService:
    """`detect`: objects in one given image, for behaviour trees; the camera's frames go on meanwhile."""

    def __init__(self, node: Node, stage: DetectStage) -> None:
        """Offer the service.

        Args:
            node: Node that owns it.
            stage: Whose network and live settings are used.
        """
        self._stage = stage
        self._detector = stage.detector.twin()
        self._logger = node.get_logger()
        self._service = node.create_service(Detect, "detect", self._on_request)

    def _on_request(self, request: Detect.Request, response: Detect.Response) -> Detect.Response:
        try:
            self._detector.set_params(_params_of(request, self._stage.detector.params))
            found = self._detector.detect(frame_from_image(request.image))
        except RobotVisionError as error:
            response.message = str(error)
            return response
        except Exception as error:  # whatever a strange image brings out must not end the node
            response.message = f"{type(error).__name__}: {error}"
            self._logger.error(f"detect: {response.message}")
            return response
        data = self._stage.output.serialised(request.image.header, found)
        response.detections = deserialize_message(data, Detection2DArray)
        response.success = True
        return response


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
