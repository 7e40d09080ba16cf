"""The detector alone: images in, detections out, for one camera or several."""

from __future__ import annotations

import sys
from functools import partial

from rclpy.node import Node

from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DetectService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import DetectStage, TimedInference, open_detectors


class DetectorNode(Node):
    """Publishes the detections of every frame it processes."""

    def __init__(self) -> None:
        super().__init__("detector_node")
        self._settings = StageParameters(self, ("camera", "session", "detector"), self._on_change, self._check)
        self._diagnostics = Diagnostics(self)
        camera = self._settings["camera"]
        names = camera.names or ("",)
        detectors = open_detectors(self._settings["session"], self._settings["detector"], len(names))
        self._stages = [
            DetectStage(self, self._diagnostics, detector, name)
            for detector, name in zip(detectors, names, strict=True)
        ]
        self._detect_service = DetectService(self, self._stages[0])
        self._cameras = [
            CameraIntake(self, camera, partial(_prepare, stage), name)
            for stage, name in zip(self._stages, names, strict=True)
        ]
        for intake in self._cameras:
            self._diagnostics.watch_camera(intake)

    def start(self) -> None:
        """Begin to process frames."""
        for intake in self._cameras:
            intake.start()

    def close(self) -> bool:
        """Stop the workers and destroy the node; False if a network does not return."""
        if not all(intake.stop() for intake in self._cameras):
            return False
        self.destroy_node()
        return True

    def _check(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._stages[0].check(params)

    def _on_change(self, stage: str, params: StageParams) -> None:
        for changed in {"detector": self._stages, "camera": self._cameras}.get(stage, []):
            changed.set_params(params)


def _prepare(stage: DetectStage, item: CameraFrame) -> Infer:
    prepared = stage.prepare(item.frame)

    def infer() -> Publish:
        inferred = stage.infer(prepared)
        return lambda: _publish(stage, item, inferred)

    return infer


def _publish(stage: DetectStage, item: CameraFrame, inferred: TimedInference) -> None:
    stage.publish(item.header, inferred)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(DetectorNode)


if __name__ == "__main__":
    sys.exit(main())
