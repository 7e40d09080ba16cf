"""The detector alone: images in, detections out."""

from __future__ import annotations

import sys

from rclpy.node import Node

from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DetectService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import DetectStage, TimedInference


class DetectorNode(Node):
    """Publishes the detections of every frame it processes."""

    def __init__(self) -> None:
        super().__init__("detector_node")
        self._settings = StageParameters(self, ("camera", "session", "detector"), self._on_change, self._check)
        self._diagnostics = Diagnostics(self)
        self._detect = DetectStage(self, self._diagnostics, self._settings["session"], self._settings["detector"])
        self._detect_service = DetectService(self, self._detect)
        self._camera = CameraIntake(self, self._settings["camera"], self._prepare)
        self._diagnostics.watch_camera(self._camera)

    def start(self) -> None:
        """Begin to process frames."""
        self._camera.start()

    def close(self) -> bool:
        """Stop the workers and destroy the node; False if a network does not return."""
        if not self._camera.stop():
            return False
        self.destroy_node()
        return True

    def _prepare(self, item: CameraFrame) -> Infer:
        prepared = self._detect.prepare(item.frame)

        def infer() -> Publish:
            inferred = self._detect.infer(prepared)
            return lambda: self._publish(item, inferred)

        return infer

    def _publish(self, item: CameraFrame, inferred: TimedInference) -> None:
        self._detect.publish(item.header, inferred)

    def _check(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._detect.check(params)

    def _on_change(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._detect.set_params(params)
        elif stage == "camera":
            self._camera.set_params(params)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(DetectorNode)


if __name__ == "__main__":
    sys.exit(main())
