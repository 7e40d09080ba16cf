"""The encoder alone: images in, latent states out."""

from __future__ import annotations

import sys

from rclpy.node import Node

from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.spin import run
from robot_vision.ros.stages import EncodeStage


class EncoderNode(Node):
    """Publishes the latent state of every frame it processes."""

    def __init__(self) -> None:
        super().__init__("encoder_node")
        self._settings = StageParameters(self, ("camera", "session", "encoder"), self._on_change)
        self._diagnostics = Diagnostics(self)
        self._encode = EncodeStage(self, self._diagnostics, self._settings["session"], self._settings["encoder"])
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
        def infer() -> Publish:
            latent = self._encode.infer(item.frame)
            return lambda: self._encode.publish(item.header, latent)

        return infer

    def _on_change(self, stage: str, params: StageParams) -> None:
        if stage == "camera":
            self._camera.set_params(params)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(EncoderNode)


if __name__ == "__main__":
    sys.exit(main())
