"""The tracker alone: detections in, tracks out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from rclpy.subscription import Subscription
from vision_msgs.msg import Detection2DArray

from robot_vision.errors import InvalidValueError
from robot_vision.params import TrackerParams
from robot_vision.ros.convert import detections_from_message, stamp_ns
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.lifecycle import StageNode
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.qos import RESULT_QOS
from robot_vision.ros.spin import run
from robot_vision.ros.stages import TrackStage


class Tracking:
    """Publishes the tracks after every detection message, also after an empty one."""

    def __init__(self, node: StageNode, settings: StageParameters, diagnostics: Diagnostics) -> None:
        """Create the stage, as `lifecycle.MakeWork` says."""
        _check(settings["tracker"])
        self._node = node
        self._stage = TrackStage(node, diagnostics, settings["tracker"])
        self._class_ids: dict[str, int] = {}
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Begin to take detections."""
        self._stage.reset()
        self._subscription = self._node.create_subscription(
            Detection2DArray, "detections", self._on_detections, RESULT_QOS
        )

    def stop(self) -> bool:
        """Take no more detections."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        return True

    def change(self, _stage: str, params: TrackerParams) -> Sequence[Callable[[], None]]:
        """See whether changed settings can be taken over, as `lifecycle.Work` says."""
        _check(params)
        return [partial(self._stage.set_params, params)]

    def _on_detections(self, message: Detection2DArray) -> None:
        detections = detections_from_message(message, self._class_ids)
        self._stage.process(message.header, stamp_ns(message.header), detections, tuple(self._class_ids))


def _check(params: TrackerParams) -> None:
    """Refuse what only a node with the images can do.

    Raises:
        InvalidValueError: If the camera's motion or the looks of objects shall be seen in images.
    """
    reason = "needs the images, and tracker_node gets detections only; run perception_node instead, or"
    if params.camera_motion == "flow":
        raise InvalidValueError(f"parameter tracker.camera_motion: flow {reason} set it to boxes")
    if params.appearance_model:
        raise InvalidValueError(f"parameter tracker.appearance_model: {reason} leave it empty")


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(lambda: StageNode("tracker_node", ("tracker",), Tracking))


if __name__ == "__main__":
    sys.exit(main())
