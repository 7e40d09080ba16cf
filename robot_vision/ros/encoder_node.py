"""The encoder alone: images in, latent states out, for one camera or several."""

from __future__ import annotations

import sys
from functools import partial

from rclpy.node import Node

from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DecodeService, EncodeService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import EncodeStage, open_encoders


class EncoderNode(Node):
    """Publishes the latent state of every frame it processes."""

    def __init__(self) -> None:
        super().__init__("encoder_node")
        self._settings = StageParameters(self, ("camera", "session", "encoder"), self._on_change)
        self._diagnostics = Diagnostics(self)
        camera = self._settings["camera"]
        names = camera.names or ("",)
        encoders = open_encoders(self._settings["session"], self._settings["encoder"], len(names))
        stages = [
            EncodeStage(self, self._diagnostics, encoder, name) for encoder, name in zip(encoders, names, strict=True)
        ]
        self._on_demand = (EncodeService(self, stages[0]), DecodeService(self, stages[0]))
        self._cameras = [
            CameraIntake(self, camera, partial(_prepare, stage), name)
            for stage, name in zip(stages, names, strict=True)
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

    def _on_change(self, stage: str, params: StageParams) -> None:
        if stage == "camera":
            for intake in self._cameras:
                intake.set_params(params)


def _prepare(stage: EncodeStage, item: CameraFrame) -> Infer:
    def infer() -> Publish:
        latent = stage.infer(item.frame)
        return lambda: stage.publish(item.header, latent)

    return infer


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(EncoderNode)


if __name__ == "__main__":
    sys.exit(main())
