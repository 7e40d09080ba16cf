"""The composed pipeline: the images of one camera or several feed detector, tracker and encoder in one process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from robot_vision.detection.yolo import Detector
from robot_vision.latent.crops import CropEncoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import DetectorParams, EncoderParams, StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.changes import changed_detectors, changed_encoders
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.lifecycle import StageNode
from robot_vision.ros.networks import open_crop_encoders, open_detectors, open_encoders
from robot_vision.ros.outputs import AnnotatedOutput
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DecodeService, DetectService, EncodeService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import DetectStage, EncodeStage, TimedInference, TrackStage
from robot_vision.types import Frame, Latent


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
        node: StageNode,
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
        self._encoder_thread: ThreadPoolExecutor | None = None
        self.intake = CameraIntake(node, settings["camera"], self._prepare, camera)
        diagnostics.watch_camera(self.intake)

    def start(self) -> None:
        """Start the threads, with no track."""
        self._encoder_thread = ThreadPoolExecutor(1, "encoder")
        self.track.reset()
        self.intake.start()

    def stop(self) -> bool:
        """Stop the threads; False if a network does not return."""
        if not self.intake.stop():
            return False
        if self._encoder_thread is not None:
            self._encoder_thread.shutdown(cancel_futures=True)
        return True

    def _prepare(self, item: CameraFrame) -> Infer:
        assert self._encoder_thread is not None, "frames come after start"
        prepared = self.detect.prepare(item.frame)
        encoding = self._encoder_thread.submit(self._encode, item.frame)

        def infer() -> Publish:
            try:
                inferred = self.detect.infer(prepared)
            finally:
                encoding.exception()  # frames must not heap up before the encoder, whatever else fails
            latent = encoding.result()
            return lambda: self._publish(item, inferred, latent)

        return infer

    def _encode(self, frame: Frame) -> Latent:
        return self.encode.prepare(frame)()

    def _publish(self, item: CameraFrame, inferred: TimedInference, latent: Latent) -> None:
        labels, frame = inferred.labels, item.frame
        detections = self.detect.publish(item.header, inferred)
        tracks = self.track.process(item.header, frame.stamp_ns, detections, labels, frame)
        self.encode.publish(item.header, latent)
        self._annotated.publish(item.header, frame, tracks, labels)


class Perception:
    """Publishes detections, tracks and latents of every frame it processes."""

    def __init__(self, node: StageNode, settings: StageParameters, diagnostics: Diagnostics) -> None:
        """Load the networks and create the stages, as `lifecycle.MakeWork` says."""
        self._settings = settings
        session, names = settings["session"], settings["camera"].names or ("",)
        detectors = open_detectors(session, settings["detector"], len(names))
        encoders = open_encoders(session, settings["encoder"], len(names))
        crops = open_crop_encoders(session, settings["tracker"], len(names))
        self._pipelines = [
            CameraPipeline(node, settings, diagnostics, networks, name)
            for networks, name in zip(zip(detectors, encoders, crops, strict=True), names, strict=True)
        ]
        DetectService(node, self._pipelines[0].detect)
        EncodeService(node, self._pipelines[0].encode)
        DecodeService(node, self._pipelines[0].encode)

    def start(self) -> None:
        """Begin to process frames."""
        for pipeline in self._pipelines:
            pipeline.start()

    def stop(self) -> bool:
        """Stop the threads; False if a network does not return."""
        stopped = [pipeline.stop() for pipeline in self._pipelines]
        return all(stopped)

    def change(self, stage: str, params: StageParams) -> Sequence[Callable[[], None]]:
        """See whether changed settings can be taken over, as `lifecycle.Work` says."""
        if isinstance(params, DetectorParams):
            return changed_detectors([pipeline.detect for pipeline in self._pipelines], self._settings, params)
        if isinstance(params, EncoderParams):
            return changed_encoders([pipeline.encode for pipeline in self._pipelines], self._settings, params)
        if stage == "tracker":
            return [partial(pipeline.track.set_params, params) for pipeline in self._pipelines]
        return [partial(pipeline.intake.set_params, params) for pipeline in self._pipelines if stage == "camera"]


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    stages = ("camera", "session", "detector", "tracker", "encoder")
    return run(lambda: StageNode("perception_node", stages, Perception))


if __name__ == "__main__":
    sys.exit(main())
