"""The composed pipeline: one image subscription feeds detector, tracker and encoder in one process."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from rclpy.node import Node

from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.outputs import AnnotatedOutput
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DetectService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import DetectStage, EncodeStage, TimedInference, TrackStage
from robot_vision.types import Latent


class PerceptionNode(Node):
    """Publishes detections, tracks and latents of every frame it processes.

    The encoder runs in a thread of its own beside the detector; a frame is published when both are done with it, so
    every processed frame has all results.
    """

    def __init__(self) -> None:
        super().__init__("perception_node")
        self._settings = StageParameters(
            self, ("camera", "session", "detector", "tracker", "encoder"), self._on_change, self._check
        )
        self._diagnostics = Diagnostics(self)
        session = self._settings["session"]
        self._detect = DetectStage(self, self._diagnostics, session, self._settings["detector"])
        self._track = TrackStage(self, self._diagnostics, self._settings["tracker"])
        self._encode = EncodeStage(self, self._diagnostics, session, self._settings["encoder"])
        self._annotated = AnnotatedOutput(self)
        self._encoder_thread = ThreadPoolExecutor(1, "encoder")
        self._detect_service = DetectService(self, self._detect)
        self._camera = CameraIntake(self, self._settings["camera"], self._prepare)
        self._diagnostics.watch_camera(self._camera)

    def start(self) -> None:
        """Begin to process frames."""
        self._camera.start()

    def close(self) -> bool:
        """Stop the threads and destroy the node; False if a network does not return."""
        if not self._camera.stop():
            return False
        self._encoder_thread.shutdown(cancel_futures=True)
        self.destroy_node()
        return True

    def _prepare(self, item: CameraFrame) -> Infer:
        prepared = self._detect.prepare(item.frame)
        encoding = self._encoder_thread.submit(self._encode.infer, item.frame)

        def infer() -> Publish:
            try:
                inferred = self._detect.infer(prepared)
            finally:
                encoding.exception()  # frames must not heap up before the encoder, whatever else fails
            latent = encoding.result()
            return lambda: self._publish(item, inferred, latent)

        return infer

    def _publish(self, item: CameraFrame, inferred: TimedInference, latent: Latent) -> None:
        labels, frame = self._detect.labels, item.frame
        detections = self._detect.publish(item.header, inferred)
        tracks = self._track.process(item.header, frame.stamp_ns, detections, labels, frame)
        self._encode.publish(item.header, latent)
        self._annotated.publish(item.header, frame, tracks, labels)

    def _check(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._detect.check(params)

    def _on_change(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._detect.set_params(params)
        elif stage == "tracker":
            self._track.set_params(params)
        elif stage == "camera":
            self._camera.set_params(params)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(PerceptionNode)


if __name__ == "__main__":
    sys.exit(main())
