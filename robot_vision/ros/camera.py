"""One camera topic: subscription to the newest frame, and the three workers that process frames."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from robot_vision.errors import FrameError
from robot_vision.params import CameraParams
from robot_vision.ros.clocks import STEADY_CLOCK
from robot_vision.ros.convert import frame_from_compressed, frame_from_image
from robot_vision.ros.finding import Finding
from robot_vision.ros.graph import read_graph
from robot_vision.ros.outputs import of_camera
from robot_vision.ros.pacing import Pace
from robot_vision.ros.qos import camera_qos
from robot_vision.ros.reader import Arrival, NewestReader
from robot_vision.ros.statistics import Durations, FrameCounters
from robot_vision.ros.topic_advice import Arrivals, Wanted, explain
from robot_vision.ros.worker import Slot, Worker
from robot_vision.types import Frame

WATCH_PERIOD_S = 0.2


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
"""The last part of processing a frame: from what the networks gave to published results."""

Infer = Callable[[], Publish]
"""The middle part: run the networks on what was prepared for them."""


class _Prepared(NamedTuple):
    """A frame that the networks are to run on; when it was stamped and received, in nanoseconds."""

    infer: Infer
    stamp_ns: int
    received_ns: int


class _Inferred(NamedTuple):
    """A frame that the networks have run on; when it was stamped and received, in nanoseconds."""

    publish: Publish
    stamp_ns: int
    received_ns: int


class CameraIntake:
    """Feeds the newest frame of one camera to the stages, in three threads.

    The first decodes a frame and prepares it, the second runs the networks, which do not hold the interpreter's lock,
    the third publishes results: successive frames overlap, in order, and the networks do not wait for the rest. The
    first takes a frame from the middleware only when the one before is with the networks and no result waits to be
    published, and then only when the networks are about to end (`Pace`). So under overload a frame hardly waits, and
    what a fast camera sends in vain costs nothing.

    Attributes:
        camera: Name of the camera, if there are several.
        topic: Full name of the topic.
        params: Present settings.
        counters: What happened to the frames since the last start.
        decode_durations: Time from message to frame.
        latencies: Time from arrival of the message to the end of processing.
        ages: Age of the frame at the end of processing, by the node's clock.
    """

    def __init__(
        self, node: Node, params: CameraParams, prepare: Callable[[CameraFrame], Infer], camera: str = ""
    ) -> None:
        """Resolve the topic; `start` subscribes to it.

        Args:
            node: Node that owns the subscription.
            params: Camera settings.
            prepare: Called in the first thread with each frame; what it returns is called in the second, and what that
                returns in the third.
            camera: Name of the camera, if there are several.
        """
        self._node = node
        self._prepare_stages = prepare
        compressed = params.image_transport == "compressed"
        self.params = params
        self._type = CompressedImage if compressed else Image
        self._to_frame = frame_from_compressed if compressed else frame_from_image
        # Remapping rules match whole names, so the base name is resolved first, as image_transport does.
        self.camera = camera
        self._base = of_camera(camera, "image")
        self.topic = node.resolve_topic_name(self._base) + ("/compressed" if compressed else "")
        self._qos = camera_qos([])
        self._reader: NewestReader[Image | CompressedImage] | None = None
        self._workers: tuple[Worker[Any], ...] = ()
        self._forget()

    def start(self) -> None:
        """Subscribe and start the workers."""
        self._forget()
        self._reader = NewestReader(self._node, self._type, self.topic, self._qos)
        self._timer = self._node.create_timer(WATCH_PERIOD_S, self._watch_publishers, clock=STEADY_CLOCK)
        self._prepared: Slot[_Prepared] = Slot()
        self._inferred: Slot[_Inferred] = Slot()
        self._pace, self._stopping = Pace(), threading.Event()
        self._workers = (
            Worker("frames", self._reader, self._prepare, self._on_error),
            Worker("networks", self._prepared, self._infer, self._on_error),
            Worker("results", self._inferred, self._publish, self._on_error),
        )

    def _forget(self) -> None:
        """Begin to count anew: what was before must not look like a stalled camera."""
        self.counters = FrameCounters()
        self.decode_durations, self.latencies, self.ages = Durations(), Durations(), Durations()
        self._begin_s = time.monotonic()
        self._silence_reason, self._silence_begin_s, self._silence_told = "", self._begin_s, False

    def set_params(self, params: CameraParams) -> None:
        """Take over changed live settings.

        Args:
            params: New settings.
        """
        self.params = params

    @property
    def is_waiting(self) -> bool:
        """Whether the camera is what the node waits for."""
        return self._reader is not None and self._reader.waiting

    @property
    def waiting_s(self) -> float:
        """Seconds since the last start."""
        return time.monotonic() - self._begin_s

    def publishers(self) -> str:
        """What is wrong with the topic, in words that say why nothing may arrive, and the command that mends it."""
        return self._silence().sentence()

    def _silence(self) -> Finding:
        missed = None if self._reader is None else self._reader.missed
        silence_s = self.counters.received.silence_s()
        arrivals = Arrivals(self.waiting_s if silence_s is None else silence_s, 0, missed)
        msgtype, program = f"sensor_msgs/msg/{self._type.__name__}", Path(sys.argv[0]).stem
        wanted = Wanted(self.topic, msgtype, self._qos, self._base, program, self._node.get_fully_qualified_name())
        return explain(wanted, read_graph(self._node, [self.topic]), arrivals)[0]

    def stop(self) -> bool:
        """Stop intake, then let the workers finish the frames in hand; nothing if it was not started.

        Returns:
            Whether they did.
        """
        if self._reader is None:
            return True
        self._node.destroy_timer(self._timer)
        self._stopping.set()
        if not all(worker.stop() for worker in self._workers):
            return False
        self._reader.destroy()
        self._reader, self._workers = None, ()
        return True

    def _watch_publishers(self) -> None:
        assert self._reader is not None  # `stop` ends the timer first
        self._reader.attend_events()
        silence_s = self.counters.received.silence_s()
        if silence_s is None:
            self._watch_silence("no frame yet", self._silence())
        elif silence_s > self.params.stall_timeout:
            self._watch_silence("no frame any more", self._silence())
        else:
            self._silence_reason = ""
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]
        wanted = camera_qos(offered)
        if offered and wanted.reliability != self._qos.reliability:
            self._qos = wanted
            self._reader.change_qos(wanted)

    def _watch_silence(self, what: str, reason: Finding) -> None:
        """Log why nothing comes, once a reason has held for `stall_timeout`: a camera that just came is not silent."""
        if reason.mend != self._silence_reason:
            self._silence_reason, self._silence_begin_s, self._silence_told = reason.mend, time.monotonic(), False
        if not self._silence_told and time.monotonic() - self._silence_begin_s > self.params.stall_timeout:
            self._silence_told = True
            self._node.get_logger().warning(f"{what} on {self.topic}: {reason.sentence()}")

    def _prepare(self, arrival: Arrival[Image | CompressedImage]) -> None:
        begin_s = time.monotonic()
        self.counters.record_taken(arrival.lost)
        with self.decode_durations.measure():
            frame = self._to_frame(arrival.message)
        infer = self._prepare_stages(CameraFrame(frame, arrival.message.header))
        self._pace.prepared(arrival.seconds + time.monotonic() - begin_s)
        self._prepared.put(_Prepared(infer, frame.stamp_ns, arrival.received_ns))
        self._prepared.wait_taken()
        handed_over_s = time.monotonic()
        self._inferred.wait_taken()
        self._stopping.wait(self._pace.delay_s(time.monotonic() - handed_over_s))

    def _infer(self, prepared: _Prepared) -> None:
        begin_s = time.monotonic()
        publish = prepared.infer()
        self._pace.ran(time.monotonic() - begin_s)
        self._inferred.put(_Inferred(publish, prepared.stamp_ns, prepared.received_ns))

    def _publish(self, inferred: _Inferred) -> None:
        inferred.publish()
        self.counters.record_processed()
        self.latencies.add((time.time_ns() - inferred.received_ns) / 1e9)
        if inferred.stamp_ns:
            self.ages.add((self._node.get_clock().now().nanoseconds - inferred.stamp_ns) / 1e9)

    def _on_error(self, error: Exception) -> None:
        self.counters.record_bad(error)
        if not self._node.context.ok():
            return
        known = isinstance(error, FrameError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        self._node.get_logger().error(f"{self.topic}: frame skipped: {text}", throttle_duration_sec=1.0)
