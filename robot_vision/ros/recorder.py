"""Listens to the pipeline's results in a process of its own: records them and says when each arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from robot_vision_msgs.msg import LatentState, TrackArray
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.data.bag_writer import BagWriter
from robot_vision.ros.convert import stamp_ns
from robot_vision.ros.qos import LATCHED_QOS, RESULT_QOS

TOPICS: dict[str, tuple[Any, str]] = {
    "detections": (Detection2DArray, "vision_msgs/msg/Detection2DArray"),
    "tracks": (Detection2DArray, "vision_msgs/msg/Detection2DArray"),
    "track_states": (TrackArray, "robot_vision_msgs/msg/TrackArray"),
    "latent": (LatentState, "robot_vision_msgs/msg/LatentState"),
    "label_info": (LabelInfo, "vision_msgs/msg/LabelInfo"),
}


@dataclass
class Received:
    """What arrived on one topic.

    Attributes:
        messages: Message by header stamp in nanoseconds.
        arrivals_ns: `time.monotonic_ns()` of the arrival by header stamp.
        count: Number of messages.
    """

    messages: dict[int, Any] = field(default_factory=dict)
    arrivals_ns: dict[int, int] = field(default_factory=dict)
    count: int = 0


class Recorder(Node):
    """Writes every result topic to a bag, byte for byte.

    Attributes:
        received: What arrived, by topic.
        diagnostics: Values of the newest diagnostics by status name.
        diagnosed_s: Monotonic time in seconds of their arrival; 0 before the first.
    """

    def __init__(self, writer: BagWriter) -> None:
        """Subscribe to all result topics.

        Args:
            writer: Bag to write to.
        """
        super().__init__("result_recorder")
        self.received = {topic: Received() for topic in TOPICS}
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.diagnosed_s = 0.0
        self._writer = writer
        for topic, (kind, type_name) in TOPICS.items():
            latched = topic == "label_info"
            writer.add_topic(f"/{topic}", type_name, latched=latched)
            qos = LATCHED_QOS if latched else RESULT_QOS
            self.create_subscription(kind, topic, self._handler(topic, kind), qos, raw=True)
        writer.add_topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10, raw=True)

    def last_arrival_s(self) -> float:
        """Monotonic time in seconds of the newest result; 0 before the first."""
        newest = [max(topic.arrivals_ns.values(), default=0) for topic in self.received.values()]
        return max(newest) / 1e9

    def camera(self) -> dict[str, str]:
        """What the node's newest diagnostics say about its camera; empty before the first."""
        return next((values for name, values in self.diagnostics.items() if name.endswith("camera")), {})

    def has_everything(self) -> bool:
        """Whether the node has no frame left, and every result of those it processed has arrived."""
        camera = self.camera()
        if not camera or self.diagnosed_s < self.last_arrival_s():
            return False
        names = ("frames_received", "frames_processed", "frames_dropped", "bad_frames")
        # A middleware that does not number messages has none to count as received but not processed.
        received, processed, dropped, bad = (int(camera[name]) if camera[name].isdigit() else 0 for name in names)
        arrived = min(self.received[topic].count for topic in ("detections", "tracks", "latent"))
        return received == processed + dropped + bad and arrived >= processed

    def _handler(self, topic: str, kind: Any) -> Callable[[bytes], None]:
        def on_message(data: bytes) -> None:
            arrival_ns = time.monotonic_ns()
            self._writer.write(f"/{topic}", time.time_ns(), data)
            message = deserialize_message(data, kind)
            received = self.received[topic]
            received.messages[stamp_ns(message.header)] = message
            received.arrivals_ns[stamp_ns(message.header)] = arrival_ns
            received.count += 1

        return on_message

    def _on_diagnostics(self, data: bytes) -> None:
        self._writer.write("/diagnostics", time.time_ns(), data)
        self.diagnosed_s = time.monotonic()
        message = deserialize_message(data, DiagnosticArray)
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
