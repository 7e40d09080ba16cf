"""The tracker alone: detections in, tracks out."""

from __future__ import annotations

import sys

from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from robot_vision.errors import InvalidValueError
from robot_vision.params import StageParams, TrackerParams
from robot_vision.ros.convert import detections_from_message, stamp_ns
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.qos import RESULT_QOS
from robot_vision.ros.spin import run
from robot_vision.ros.stages import TrackStage


class TrackerNode(Node):
    """Publishes the tracks after every detection message, also after an empty one."""

    def __init__(self) -> None:
        super().__init__("tracker_node")
        self._settings = StageParameters(self, ("tracker",), self._on_change, _check)
        _check("tracker", self._settings["tracker"])
        self._diagnostics = Diagnostics(self)
        self._track = TrackStage(self, self._diagnostics, self._settings["tracker"])
        self._class_ids: dict[str, int] = {}

    def start(self) -> None:
        """Begin to take detections."""
        self._subscription = self.create_subscription(Detection2DArray, "detections", self._on_detections, RESULT_QOS)

    def close(self) -> bool:
        """Destroy the node."""
        self.destroy_node()
        return True

    def _on_detections(self, message: Detection2DArray) -> None:
        detections = detections_from_message(message, self._class_ids)
        self._track.process(message.header, stamp_ns(message.header), detections, tuple(self._class_ids))

    def _on_change(self, _stage: str, params: StageParams) -> None:
        self._track.set_params(params)


def _check(stage: str, params: StageParams) -> None:
    """Refuse what only a node with the images can do.

    Raises:
        InvalidValueError: If the camera's motion or the looks of objects shall be seen in images.
    """
    if not isinstance(params, TrackerParams):
        return
    reason = "needs the images, and tracker_node gets detections only; run perception_node instead, or"
    if params.camera_motion == "flow":
        raise InvalidValueError(f"parameter {stage}.camera_motion: flow {reason} set it to boxes")
    if params.appearance_model:
        raise InvalidValueError(f"parameter {stage}.appearance_model: {reason} leave it empty")


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(TrackerNode)


if __name__ == "__main__":
    sys.exit(main())
