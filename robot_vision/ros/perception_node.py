"""The composed pipeline: the images of one camera or several feed detector, tracker and encoder in one process."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from rclpy.node import Node

from robot_vision.detection.yolo import Detector
from robot_vision.latent.crops import CropEncoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.outputs import AnnotatedOutput
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DecodeService, DetectService, EncodeService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import (
    DetectStage,
    EncodeStage,
    TimedInference,
    TrackStage,
    open_crop_encoders,
    open_detectors,
    open_encoders,
)
from robot_vision.types import Latent


class CameraPipeline:
    """All stages of one camera.

    The encoder runs in a thread of its own beside the detector; a frame is published when both are done with it, so
    every processed frame has all results.

    Attributes:
        detect: The detector's stage.
        track: The tracker's stage.
        encode: The encoder's stage.
        intake: The camera.
    """

    def __init__(
        self,
        node: Node,
        settings: StageParameters,
        diagnostics: Diagnostics,
        networks: tuple[Detector, Encoder, CropEncoder | None],
        camera: str,
    ) -> None:
        """Create the stages.

        Args:
            node: Node that owns publishers and subscription.
            settings: The node's settings.
            diagnostics: Where the stages report themselves.
            networks: What looks at this camera's frames.
            camera: Name of the camera, if there are several.
        """
        self.detect = DetectStage(node, diagnostics, networks[0], camera)
        self.track = TrackStage(node, diagnostics, settings["tracker"], camera, networks[2])
        self.encode = EncodeStage(node, diagnostics, networks[1], camera)
        self._annotated = AnnotatedOutput(node, camera)
        self._encoder_thread = ThreadPoolExecutor(1, "encoder")
        self.intake = CameraIntake(node, settings["camera"], self._prepare, camera)
        diagnostics.watch_camera(self.intake)

    def stop(self) -> bool:
        """Stop the threads; False if a network does not return."""
        if not self.intake.stop():
            return False
        self._encoder_thread.shutdown(cancel_futures=True)
        return True

    def _prepare(self, item: CameraFrame) -> Infer:
        prepared = self.detect.prepare(item.frame)
        encoding = self._encoder_thread.submit(self.encode.infer, item.frame)

        def infer() -> Publish:
            try:
                inferred = self.detect.infer(prepared)
            finally:
                encoding.exception()  # frames must not heap up before the encoder, whatever else fails
            latent = encoding.result()
            return lambda: self._publish(item, inferred, latent)

        return infer

    def _publish(self, item: CameraFrame, inferred: TimedInference, latent: Latent) -> None:
        labels, frame = self.detect.labels, item.frame
        detections = self.detect.publish(item.header, inferred)
        tracks = self.track.process(item.header, frame.stamp_ns, detections, labels, frame)
        self.encode.publish(item.header, latent)
        self._annotated.publish(item.header, frame, tracks, labels)


class PerceptionNode(Node):
    """Publishes detections, tracks and latents of every frame it processes."""

    def __init__(self) -> None:
        super().__init__("perception_node")
        self._settings = StageParameters(
            self, ("camera", "session", "detector", "tracker", "encoder"), self._on_change, self._check
        )
        self._diagnostics = Diagnostics(self)
        session, names = self._settings["session"], self._settings["camera"].names or ("",)
        detectors = open_detectors(session, self._settings["detector"], len(names))
        encoders = open_encoders(session, self._settings["encoder"], len(names))
        crops = open_crop_encoders(session, self._settings["tracker"], len(names))
        self._pipelines = [
            CameraPipeline(self, self._settings, self._diagnostics, networks, name)
            for networks, name in zip(zip(detectors, encoders, crops, strict=True), names, strict=True)
        ]
        self._on_demand = (
            DetectService(self, self._pipelines[0].detect),
            EncodeService(self, self._pipelines[0].encode),
            DecodeService(self, self._pipelines[0].encode),
        )

    def start(self) -> None:
        """Begin to process frames."""
        for pipeline in self._pipelines:
            pipeline.intake.start()

    def close(self) -> bool:
        """Stop the threads and destroy the node; False if a network does not return."""
        if not all(pipeline.stop() for pipeline in self._pipelines):
            return False
        self.destroy_node()
        return True

    def _check(self, stage: str, params: StageParams) -> None:
        if stage == "detector":
            self._pipelines[0].detect.check(params)

    def _on_change(self, stage: str, params: StageParams) -> None:
        for pipeline in self._pipelines:
            if stage == "detector":
                pipeline.detect.set_params(params)
            elif stage == "tracker":
                pipeline.track.set_params(params)
            elif stage == "camera":
                pipeline.intake.set_params(params)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(PerceptionNode)


if __name__ == "__main__":
    sys.exit(main())
