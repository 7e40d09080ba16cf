"""One camera topic: subscription, newest-frame mailbox, and the two workers that process frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from robot_vision.errors import FrameError
from robot_vision.params import CameraParams
from robot_vision.ros.clocks import STEADY_CLOCK
from robot_vision.ros.convert import frame_from_compressed, frame_from_image
from robot_vision.ros.qos import camera_qos
from robot_vision.ros.statistics import Durations, FrameCounters
from robot_vision.ros.worker import Worker
from robot_vision.types import Frame

QOS_CHECK_PERIOD_S = 0.2


@dataclass(frozen=True)
class CameraFrame:
    """A frame on its way to the stages.

    Attributes:
        frame: The image.
        header: Header of the image message, to be copied into every result.
    """

    frame: Frame
    header: Header


Publish = Callable[[], None]
"""The second half of processing a frame."""


class _Arrival(NamedTuple):
    """A message as it came, and `time.perf_counter()` of its callback in seconds."""

    message: Image | CompressedImage
    received_s: float


class _Inferred(NamedTuple):
    """A frame whose networks have run."""

    publish: Publish
    stamp_ns: int
    received_s: float


class CameraIntake:
    """Feeds the newest frame of one camera to the stages, in two threads.

    The first decodes and runs the networks, which do not hold the interpreter's lock; the second turns their outputs
    into results and publishes them, frame by frame in the same order, while the first is at the next frame already.
    Only a frame that the first takes is decoded: a camera faster than the networks costs no time for what it loses.

    Attributes:
        topic: Full name of the topic.
        counters: What happened to the frames.
        decode_durations: Time from message to frame.
        latencies: Time from callback to the end of processing.
        ages: Age of the frame at the end of processing, by the node's clock.
    """

    def __init__(self, node: Node, params: CameraParams, infer: Callable[[CameraFrame], Publish]) -> None:
        """Subscribe and start the workers.

        Args:
            node: Node that owns the subscription.
            params: Camera settings.
            infer: Called in the first thread with each frame; what it returns is called in the second.
        """
        self.counters = FrameCounters()
        self.decode_durations, self.latencies, self.ages = Durations(), Durations(), Durations()
        self._node = node
        self._infer = infer
        compressed = params.image_transport == "compressed"
        self._begin_s = time.monotonic()
        self._silence_told = ""
        self._stall_timeout_s = params.stall_timeout
        self._type = CompressedImage if compressed else Image
        self._to_frame = frame_from_compressed if compressed else frame_from_image
        # Remapping rules match whole names, so the base name is resolved first, as image_transport does.
        self.topic = node.resolve_topic_name("image") + ("/compressed" if compressed else "")
        self._results: Worker[_Inferred] = Worker("results", self._finish, self._on_error, lossless=True)
        self._worker: Worker[_Arrival] = Worker("frames", self._begin, self._on_error)
        self._qos = camera_qos([])
        self._subscription = self._subscribe(self._qos)
        self._timer = node.create_timer(QOS_CHECK_PERIOD_S, self._watch_publishers, clock=STEADY_CLOCK)

    @property
    def dropped(self) -> int:
        """Frames replaced by a newer one before the worker took them."""
        return self._worker.mailbox.dropped

    @property
    def waiting_s(self) -> float:
        """Seconds since the intake began."""
        return time.monotonic() - self._begin_s

    def publishers(self) -> str:
        """Who publishes on the topic, in words that say why nothing may arrive."""
        found = self._node.get_publishers_info_by_topic(self.topic)
        wanted = f"sensor_msgs/msg/{self._type.__name__}"
        others = sorted({info.topic_type for info in found} - {wanted})
        if others:
            return f"a publisher there sends {', '.join(others)}, and this node takes {wanted}"
        if found:
            return (
                f"publishers there: {len(found)}, silent or with every frame lost in transport; export the Fast DDS "
                "profile config/fastdds.xml for the camera's process, too"
            )
        raw, compressed = self.topic.removesuffix("/compressed"), f"{self.topic}/compressed"
        for other, transport in ((raw, "raw"), (compressed, "compressed")):
            if other != self.topic and self._node.count_publishers(other):
                return f"no publisher there, but one on {other}: set camera.image_transport to {transport}"
        return "no publisher there: remap `image`, or start the camera"

    def stop(self) -> bool:
        """Stop intake, then let the workers finish the frames in hand.

        Returns:
            Whether they did.
        """
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        return self._worker.stop() and self._results.stop()

    def _subscribe(self, qos: QoSProfile):  # noqa: ANN202 (rclpy's subscription type is generic over the message)
        return self._node.create_subscription(self._type, self.topic, self._on_message, qos)

    def _watch_publishers(self) -> None:
        if not self.counters.received.count and self.waiting_s > self._stall_timeout_s:
            self._tell_silence(self.publishers())
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]
        wanted = camera_qos(offered)
        if offered and wanted.reliability != self._qos.reliability:
            self._node.destroy_subscription(self._subscription)
            self._qos = wanted
            self._subscription = self._subscribe(wanted)

    def _tell_silence(self, reason: str) -> None:
        """Log why nothing comes; again only when the reason has changed."""
        if reason != self._silence_told:
            self._silence_told = reason
            self._node.get_logger().warning(f"no frame yet on {self.topic}: {reason}")

    def _on_message(self, message: Image | CompressedImage) -> None:
        self.counters.received.tick()
        self._worker.mailbox.put(_Arrival(message, time.perf_counter()))

    def _begin(self, arrival: _Arrival) -> None:
        with self.decode_durations.measure():
            frame = self._to_frame(arrival.message)
        publish = self._infer(CameraFrame(frame, arrival.message.header))
        self._results.mailbox.put(_Inferred(publish, frame.stamp_ns, arrival.received_s))

    def _finish(self, inferred: _Inferred) -> None:
        inferred.publish()
        self.counters.processed.tick()
        self.latencies.add(time.perf_counter() - inferred.received_s)
        self.ages.add((self._node.get_clock().now().nanoseconds - inferred.stamp_ns) / 1e9)

    def _on_error(self, error: Exception) -> None:
        self.counters.record_bad(error)
        if not self._node.context.ok():
            return
        known = isinstance(error, FrameError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        self._node.get_logger().error(f"{self.topic}: frame skipped: {text}", throttle_duration_sec=1.0)
