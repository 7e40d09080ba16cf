"""The stages as nodes run them: built from parameters, timed, published, reported in diagnostics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from robot_vision.detection.yolo import Detector, Inference, Prepared
from robot_vision.latent.crops import CropEncoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import DetectorParams, EncoderParams, SessionParams, TrackerParams
from robot_vision.ros.diagnostics import Diagnostics, session_facts
from robot_vision.ros.following import Follower
from robot_vision.ros.outputs import DetectionOutput, LatentOutput, TrackOutput, of_camera
from robot_vision.ros.statistics import Durations
from robot_vision.runtime.batching import SharedSession
from robot_vision.runtime.card import ModelCard, load_card
from robot_vision.runtime.session import OnnxSession, Session
from robot_vision.types import Detections, Frame, Latent, Tracks


def open_detectors(session: SessionParams, params: DetectorParams, count: int) -> list[Detector]:
    """Detectors on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Detector settings.
        count: How many.

    Returns:
        The detectors.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
        InvalidValueError: If a setting names a class that the model does not have.
    """
    card = load_card(params.model)
    network = _open(card, session, count, pixels=True)
    return [Detector(card, session, params, network) for _ in range(count)]


def open_encoders(session: SessionParams, params: EncoderParams, count: int) -> list[Encoder]:
    """Encoders on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Encoder settings.
        count: How many.

    Returns:
        The encoders.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
    """
    card = load_card(params.model)
    network = _open(card, session, count, pixels=False)
    first = Encoder(card, session, params, network)
    return [first, *(first.twin() for _ in range(count - 1))]


def open_crop_encoders(session: SessionParams, params: TrackerParams, count: int) -> list[CropEncoder | None]:
    """What tells a tracker the looks of objects, on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Tracker settings.
        count: How many.

    Returns:
        The crop encoders; None each where no appearance model is asked for.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
    """
    if not params.appearance_model:
        return [None] * count
    card = load_card(params.appearance_model)
    # Cameras need not take turns at it: ONNX Runtime lets several threads run one session.
    network = CropEncoder.open_session(card, session)
    return [CropEncoder(card, network) for _ in range(count)]


def _open(card: ModelCard, params: SessionParams, count: int, pixels: bool) -> Session:
    session = OnnxSession(card, params, count, pixels)
    return session if count == 1 else SharedSession(session)


class TimedPreparation(NamedTuple):
    """A frame lies in the detector's input; what that took in seconds."""

    prepared: Prepared
    seconds: float


class TimedInference(NamedTuple):
    """The detector's network has run on a frame; what that and the preparation took in seconds."""

    inference: Inference
    seconds: float


class DetectStage:
    """Detector and its topics.

    Attributes:
        detector: The detector; its frames belong to the camera's threads.
        output: Its topics and labels.
    """

    def __init__(self, node: Node, diagnostics: Diagnostics, detector: Detector, camera: str = "") -> None:
        """Create the publishers.

        Args:
            node: Node that owns the publishers.
            diagnostics: Where the stage reports itself.
            detector: From `open_detectors`.
            camera: Name of the camera, if there are several.
        """
        self.detector = detector
        self.output = DetectionOutput(node, detector.class_names, detector.params.class_id_format, camera)
        self.output.publish_label_info(detector.params.confidence_threshold)
        self._durations = Durations()
        facts = session_facts(detector.card, detector.session)
        diagnostics.watch_stage(
            of_camera(camera, "detector"), self._durations,
            lambda: {**facts, "malformed_boxes": str(detector.malformed)},
        )  # fmt: skip

    @property
    def labels(self) -> Sequence[str]:
        """What `class_id` holds for each class number."""
        return self.output.labels

    def prepare(self, frame: Frame) -> TimedPreparation:
        """Write a frame into the network's input.

        Args:
            frame: The image.

        Returns:
            What `infer` needs.
        """
        start_s = time.perf_counter()
        prepared = self.detector.prepare(frame)
        return TimedPreparation(prepared, time.perf_counter() - start_s)

    def infer(self, preparation: TimedPreparation) -> TimedInference:
        """Run the network; may run in another thread than `prepare`.

        Args:
            preparation: From `prepare`.

        Returns:
            What `publish` needs.
        """
        start_s = time.perf_counter()
        inference = self.detector.infer(preparation.prepared)
        return TimedInference(inference, preparation.seconds + time.perf_counter() - start_s)

    def publish(self, header: Header, inferred: TimedInference) -> Detections:
        """Publish what was found; may run in another thread than `infer`.

        Args:
            header: Header of the image.
            inferred: From `infer`.

        Returns:
            What was found.
        """
        start_s = time.perf_counter()
        detections = self.detector.finish(inferred.inference)
        self._durations.add(inferred.seconds + time.perf_counter() - start_s)
        self.output.publish(header, detections)
        return detections

    def check(self, params: DetectorParams) -> None:
        """See whether the running model can take these settings.

        Args:
            params: Settings.

        Raises:
            InvalidValueError: If it has no class of a given name.
        """
        self.detector.check(params)

    def set_params(self, params: DetectorParams) -> None:
        """Take over changed live settings.

        Args:
            params: New settings.
        """
        self.detector.set_params(params)
        self.output.publish_label_info(params.confidence_threshold)


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
        """Create tracker, publishers and service.

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
        self._service = node.create_service(Trigger, of_camera(camera, "reset_tracks"), self._on_reset)
        diagnostics.watch_stage(of_camera(camera, "tracker"), self._durations, self._facts)

    def process(
        self, header: Header, stamp_ns: int, detections: Detections, labels: Sequence[str], frame: Frame | None = None
    ) -> Tracks:
        """Track and publish.

        Args:
            header: Header of the image.
            stamp_ns: Capture time in nanoseconds; 0, from a camera that does not stamp its images, stands for now.
            detections: What was found in the image, also when empty.
            labels: Label of each class id.
            frame: The image, where the node has it; `camera_motion: flow` and the looks of objects need it.

        Returns:
            All live tracks.
        """
        # The tracker belongs to the thread that processes frames; the service only asks.
        if self._reset_wanted:
            self._reset_wanted = False
            self._follower.reset()
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
        self._reset_wanted = True
        response.success = True
        response.message = "tracks end before the next frame; ids are not used again"
        return response


class EncodeStage:
    """Encoder and its topic.

    Attributes:
        encoder: The encoder; its frames belong to the camera's threads.
    """

    def __init__(self, node: Node, diagnostics: Diagnostics, encoder: Encoder, camera: str = "") -> None:
        """Create the publisher.

        Args:
            node: Node that owns the publisher.
            diagnostics: Where the stage reports itself.
            encoder: From `open_encoders`.
            camera: Name of the camera, if there are several.
        """
        self.encoder = encoder
        self._output = LatentOutput(node, camera)
        self._durations = Durations()
        facts = session_facts(encoder.card, encoder.session)
        diagnostics.watch_stage(of_camera(camera, "encoder"), self._durations, lambda: facts)

    def infer(self, frame: Frame) -> Latent:
        """Encode.

        Args:
            frame: The image.

        Returns:
            Its latent state.
        """
        with self._durations.measure():
            return self.encoder.encode(frame)

    def publish(self, header: Header, latent: Latent) -> None:
        """Publish a latent state; may run in another thread than `infer`.

        Args:
            header: Header of the image.
            latent: From `infer`.
        """
        self._output.publish(header, latent)
