"""The stages as nodes run them: built from parameters, timed, published, reported in diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from robot_vision.detection.yolo import Detector, Inference, Prepared
from robot_vision.latent.crops import CropEncoder
from robot_vision.latent.decoder import Decoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import DetectorParams, TrackerParams
from robot_vision.ros.diagnostics import Diagnostics, session_facts
from robot_vision.ros.following import Follower
from robot_vision.ros.lifecycle import when_active
from robot_vision.ros.outputs import DetectionOutput, LatentOutput, TrackOutput, class_labels, of_camera
from robot_vision.ros.statistics import Durations
from robot_vision.types import Detections, Frame, Latent, Tracks


class _DetectorInUse(NamedTuple):
    """A detector, and what `class_id` holds for each of its class numbers; exchanged together."""

    detector: Detector
    labels: tuple[str, ...]


class TimedPreparation(NamedTuple):
    """A frame lies in the input of a detector; what that took in seconds."""

    used: _DetectorInUse
    prepared: Prepared
    seconds: float


class TimedInference(NamedTuple):
    """A detector's network has run on a frame; what that and the preparation took in seconds."""

    used: _DetectorInUse
    inference: Inference
    seconds: float

    @property
    def labels(self) -> tuple[str, ...]:
        """What `class_id` holds for each class number."""
        return self.used.labels


class DetectStage:
    """Detector and its topics."""

    def __init__(self, node: Node, diagnostics: Diagnostics, detector: Detector, camera: str = "") -> None:
        """Create the publishers.

        Args:
            node: Node that owns the publishers.
            diagnostics: Where the stage reports itself.
            detector: From `open_detectors`.
            camera: Name of the camera, if there are several.
        """
        self._output = DetectionOutput(node, camera)
        self._durations = Durations()
        self.exchange(detector)
        diagnostics.watch_stage(
            of_camera(camera, "detector"), self._durations,
            lambda: {**self._facts, "malformed_boxes": str(self.detector.malformed)},
        )  # fmt: skip

    @property
    def detector(self) -> Detector:
        """The detector of the next frame; its frames belong to the camera's threads."""
        return self._used.detector

    @property
    def labels(self) -> Sequence[str]:
        """What `class_id` holds for each class number of that detector."""
        return self._used.labels

    def exchange(self, detector: Detector) -> None:
        """Use another detector from the next frame on; frames in hand are finished with the one before.

        Args:
            detector: From `open_detectors`.
        """
        labels = class_labels(detector.class_names, detector.params.class_id_format)
        self._used = _DetectorInUse(detector, labels)
        self._twin: Detector | None = None
        self._facts = session_facts(detector.card, detector.session)
        self._output.publish_label_info(detector.class_names, detector.params.confidence_threshold)

    def on_demand(self) -> Detector:
        """A detector for single images beside the camera's: on the same network, with buffers of its own."""
        if self._twin is None:
            self._twin = self.detector.twin()
        return self._twin

    def prepare(self, frame: Frame) -> TimedPreparation:
        """Write a frame into the network's input.

        Args:
            frame: The image.

        Returns:
            What `infer` needs.
        """
        start_s = time.perf_counter()
        used = self._used
        prepared = used.detector.prepare(frame)
        return TimedPreparation(used, prepared, time.perf_counter() - start_s)

    def infer(self, preparation: TimedPreparation) -> TimedInference:
        """Run the network; may run in another thread than `prepare`.

        Args:
            preparation: From `prepare`.

        Returns:
            What `publish` needs.
        """
        start_s = time.perf_counter()
        inference = preparation.used.detector.infer(preparation.prepared)
        return TimedInference(preparation.used, inference, preparation.seconds + time.perf_counter() - start_s)

    def publish(self, header: Header, inferred: TimedInference) -> Detections:
        """Publish what was found; may run in another thread than `infer`.

        Args:
            header: Header of the image.
            inferred: From `infer`.

        Returns:
            What was found.
        """
        start_s = time.perf_counter()
        detections = inferred.used.detector.finish(inferred.inference)
        self._durations.add(inferred.seconds + time.perf_counter() - start_s)
        self._output.publish(header, detections, inferred.labels)
        return detections

    def set_params(self, params: DetectorParams) -> None:
        """Take over changed live settings of the same model.

        Args:
            params: New settings, which the detector has found in order.
        """
        self.detector.set_params(params)
        self._output.publish_label_info(self.detector.class_names, params.confidence_threshold)


class TrackStage:
    """Tracker, its topics and `reset_tracks`."""

    def __init__(
        self,
        node: Node,
        diagnostics: Diagnostics,
        params: TrackerParams,
        camera: str = "",
        crops: CropEncoder | None = None,
    ) -> None:
        """Create tracker, publishers and, unless `params.services` is off, service.

        Args:
            node: Node that owns them.
            diagnostics: Where the stage reports itself.
            params: Tracker settings.
            camera: Name of the camera, if there are several.
            crops: From `open_crop_encoders`.
        """
        self._node = node
        self._follower = Follower(params, crops)
        self._output = TrackOutput(node, camera)
        self._unstamped = 0
        self._durations = Durations()
        self._reset_wanted = False
        self._labels: Sequence[str] = ()
        if params.services:
            node.create_service(Trigger, of_camera(camera, "reset_tracks"), when_active(node, self._on_reset))
        diagnostics.watch_stage(of_camera(camera, "tracker"), self._durations, self._facts)

    def reset(self) -> None:
        """End all tracks before the next frame; may be called from any thread."""
        self._reset_wanted = True

    def process(
        self, header: Header, stamp_ns: int, detections: Detections, labels: Sequence[str], frame: Frame | None = None
    ) -> Tracks:
        """Track and publish.

        Labels that are not those of the frame before, or these and further ones, are of another model: tracks end.

        Args:
            header: Header of the image.
            stamp_ns: Capture time in nanoseconds; 0, from a camera that does not stamp its images, stands for now.
            detections: What was found in the image, also when empty.
            labels: Label of each class id.
            frame: The image, where the node has it; `camera_motion: flow` and the looks of objects need it.

        Returns:
            All live tracks.
        """
        # The tracker belongs to the thread that processes frames; others only ask.
        if self._reset_wanted or labels[: len(self._labels)] != self._labels:
            self._reset_wanted = False
            self._follower.reset()
        self._labels = labels
        if stamp_ns == 0:
            self._unstamped += 1
            stamp_ns = self._node.get_clock().now().nanoseconds
            text = "images without a stamp: tracks take the time of arrival; let the camera set header.stamp"
            self._node.get_logger().warning(text, once=True)
        tracker = self._follower.tracker
        resets = tracker.resets
        with self._durations.measure():
            tracks = self._follower.update(frame, stamp_ns, detections)
        if tracker.resets > resets:
            self._node.get_logger().warning("stamps went back in time: all tracks ended", throttle_duration_sec=1.0)
        self._output.publish(header, tracks, labels)
        return tracks

    def set_params(self, params: TrackerParams) -> None:
        """Take over changed live settings.

        Args:
            params: New settings.
        """
        self._follower.tracker.params = params

    def _facts(self) -> dict[str, str]:
        tracker, crops = self._follower.tracker, self._follower.crops
        facts = {} if crops is None else session_facts(crops.card, crops.session)
        facts |= {
            "resets_by_time": str(tracker.resets),
            "malformed_boxes": str(tracker.dropped_boxes),
            "unstamped_messages": str(self._unstamped),
        }
        if tracker.params.camera_motion == "flow":
            facts["frames_without_flow"] = str(self._follower.camera_motion.unknown)
        return facts

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.reset()
        response.success = True
        response.message = "tracks end before the next frame; ids are not used again"
        return response


class EncodeStage:
    """Encoder and its topic."""

    def __init__(self, node: Node, diagnostics: Diagnostics, encoder: Encoder, camera: str = "") -> None:
        """Create the publisher.

        Args:
            node: Node that owns the publisher.
            diagnostics: Where the stage reports itself.
            encoder: From `open_encoders`.
            camera: Name of the camera, if there are several.
        """
        self._output = LatentOutput(node, camera)
        self._durations = Durations()
        self.exchange(encoder)
        diagnostics.watch_stage(of_camera(camera, "encoder"), self._durations, lambda: self._facts)

    def exchange(self, encoder: Encoder) -> None:
        """Use another encoder from the next frame on.

        Args:
            encoder: From `open_encoders`.
        """
        self._encoder = encoder
        self._twin: Encoder | None = None
        self._decoder: Decoder | None = None
        self._facts = session_facts(encoder.card, encoder.session)

    @property
    def encoder(self) -> Encoder:
        """The encoder of the next frame; its frames belong to the camera's threads."""
        return self._encoder

    def on_demand(self) -> Encoder:
        """An encoder for single images beside the camera's: on the same networks, with buffers of its own."""
        if self._twin is None:
            self._twin = self._encoder.twin()
        return self._twin

    def decoder(self) -> Decoder:
        """The decoder of the encoder's latents, opened for the first who asks.

        Raises:
            ModelError: If there is none, or it cannot be used.
            ProviderError: If the execution provider cannot be had.
        """
        if self._decoder is None:
            self._decoder = self._encoder.open_decoder()
        return self._decoder

    def prepare(self, frame: Frame) -> Callable[[], Latent]:
        """Get a frame ready for the network.

        Args:
            frame: The image.

        Returns:
            What runs the network; may be called in another thread while the next frame is prepared.
        """
        encoder, begin_s = self._encoder, time.perf_counter()
        network_input = encoder.prepare(frame)
        prepared_s = time.perf_counter() - begin_s

        def infer() -> Latent:
            begin_s = time.perf_counter()
            latent = encoder.infer(frame, network_input)
            self._durations.add(prepared_s + time.perf_counter() - begin_s)
            return latent

        return infer

    def publish(self, header: Header, latent: Latent) -> None:
        """Publish a latent state.

        Args:
            header: Header of the image.
            latent: Of that image.
        """
        self._output.publish(header, latent)
