"""What a node says about itself on `/diagnostics`, once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from robot_vision.params import CameraParams
from robot_vision.ros.camera import CameraIntake
from robot_vision.ros.clocks import STEADY_CLOCK
from robot_vision.ros.outputs import of_camera
from robot_vision.ros.statistics import PERCENTILES, Durations
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.device_memory import device_memory
from robot_vision.runtime.session import Session

PERIOD_S = 1.0
RECENT_S = 5.0
LIVE_AGE_S = 60.0
GONE_S = 25.0
"""How long a killed node may still be seen: the lease of a DDS participant is 20 s by default."""
_UNCOUNTED = "unknown: this middleware does not number messages, or not by publisher"

WatchedT = TypeVar("WatchedT")


class Diagnostics:
    """Publishes one status for each camera and each stage.

    Attributes:
        is_active: Whether frames are taken; if not, silence is as it should be.
    """

    def __init__(self, node: Node) -> None:
        """Create the publisher and its timer.

        Args:
            node: Node that owns them.
        """
        self.is_active = False
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._stages: dict[str, tuple[Durations, Callable[[], Mapping[str, str]]]] = {}
        self._cameras: list[CameraIntake] = []
        self._namesake_since_s: float | None = None
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=STEADY_CLOCK)

    def watch_camera(self, intake: CameraIntake) -> None:
        """Report a camera from now on.

        Args:
            intake: The camera.
        """
        self._cameras.append(intake)

    def watch_stage(self, name: str, durations: Durations, facts: Callable[[], Mapping[str, str]]) -> None:
        """Report a stage from now on.

        Args:
            name: Stage name.
            durations: Its processing times.
            facts: Gives what else there is to say, such as model and device.
        """
        self._stages[name] = (durations, facts)

    def publish(self) -> None:
        """Publish the present state."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status += [self._camera_status(intake) for intake in self._cameras]
        message.status += self._name_status()
        for name, (durations, facts) in self._stages.items():
            counts = {"frames": str(durations.rate.count), "rate_hz": f"{durations.rate.hz():.2f}"}
            known = facts()
            values = {**known, **_memory_values(known.get("device", "")), **counts, **_percentile_values("", durations)}
            message.status.append(self._status(name, *self._health(_stage_health, durations), values))
        self._publisher.publish(message)

    def _camera_status(self, intake: CameraIntake) -> DiagnosticStatus:
        counters = intake.counters
        values = {
            "topic": intake.topic,
            "frames_received": str(counters.received.count),
            "frames_processed": str(counters.processed.count),
            "frames_dropped": _UNCOUNTED if counters.dropped is None else str(counters.dropped),
            "bad_frames": str(counters.bad.count),
            "last_error": counters.last_error,
            "rate_in_hz": f"{counters.received.hz():.2f}",
            "rate_out_hz": f"{counters.processed.hz():.2f}",
            **_percentile_values("decode_", intake.decode_durations),
            **_percentile_values("latency_", intake.latencies),
            **_age_values(intake.ages),
        }
        return self._status(of_camera(intake.camera, "camera"), *self._health(_camera_health, intake), values)

    def _name_status(self) -> list[DiagnosticStatus]:
        """A warning while another node has this one's name; not of one that was killed and is replaced by this one."""
        own = (self._node.get_name(), self._node.get_namespace())
        if self._node.get_node_names_and_namespaces().count(own) < 2:
            self._namesake_since_s = None
            return []
        now_s = time.monotonic()
        self._namesake_since_s = self._namesake_since_s or now_s
        if now_s - self._namesake_since_s < GONE_S:
            return []
        text = (
            "another node has this name, too: both publish, and a service call reaches either; start one in another "
            "namespace, or with -r __node:=NAME"
        )
        self._node.get_logger().warning(f"{self._node.get_fully_qualified_name()}: {text}", once=True)
        return [self._status("name", DiagnosticStatus.WARN, text, {})]

    def _health(self, judge: Callable[[WatchedT], tuple[bytes, str]], watched: WatchedT) -> tuple[bytes, str]:
        return judge(watched) if self.is_active else (DiagnosticStatus.OK, "the node is not active")

    def _status(self, name: str, level: bytes, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        full_name = f"{self._node.get_fully_qualified_name().lstrip('/')}: {name}"
        return DiagnosticStatus(level=level, name=full_name, message=text, values=pairs)


def session_facts(card: ModelCard, session: Session) -> dict[str, str]:
    """Which network runs where.

    Args:
        card: The network's card.
        session: The session that runs it.

    Returns:
        Diagnostic values.
    """
    return {
        "model": card.name, "model_sha256": card.sha256, "provider": session.provider, "device": session.device,
        "max_batch": str(session.max_batch),
    }  # fmt: skip


def _memory_values(device: str) -> dict[str, str]:
    memory = device_memory(device)
    if memory is None:
        return {}
    used_mb, total_mb = (f"{value / 1e6:.0f}" for value in memory)
    return {"device_memory_used_mb": used_mb, "device_memory_total_mb": total_mb}


def _stage_health(durations: Durations) -> tuple[bytes, str]:
    silence_s = durations.rate.silence_s()
    if silence_s is None:
        return DiagnosticStatus.WARN, "nothing processed yet"
    if silence_s > RECENT_S:
        return DiagnosticStatus.WARN, f"nothing processed for {silence_s:.1f} s"
    return DiagnosticStatus.OK, "running"


def _camera_health(intake: CameraIntake) -> tuple[bytes, str]:
    counters, params = intake.counters, intake.params
    silence_s = counters.received.silence_s()
    if silence_s is None:
        level = DiagnosticStatus.ERROR if intake.waiting_s > params.stall_timeout else DiagnosticStatus.WARN
        return level, f"no frame yet on {intake.topic}: {intake.publishers()}"
    if silence_s > params.stall_timeout and not intake.is_waiting:
        return DiagnosticStatus.ERROR, f"the stages have been at one frame for {silence_s:.1f} s"
    if silence_s > params.stall_timeout:
        return (
            DiagnosticStatus.ERROR,
            f"stalled: no frame on {intake.topic} for {silence_s:.1f} s: {intake.publishers()}",
        )
    if counters.pending_s() > RECENT_S:
        reason = f"; last error: {counters.last_error}" if counters.last_error else ""
        return DiagnosticStatus.ERROR, f"frames arrive, but none was processed lately{reason}"
    bad_s = counters.bad.silence_s()
    if bad_s is not None and bad_s < RECENT_S:
        return DiagnosticStatus.WARN, f"bad frames skipped, {counters.bad.count} so far; last: {counters.last_error}"
    return over_budget(params, intake.latencies) or (DiagnosticStatus.OK, "frames arrive")


def over_budget(params: CameraParams, latencies: Durations) -> tuple[bytes, str] | None:
    """What is slower than the robot was promised.

    Args:
        params: Budgets.
        latencies: Times from arrival to results.

    Returns:
        A warning; None while all budgets are kept, or there is too little to say.
    """
    values_ms = latencies.percentiles_ms()
    late_ms = 0.0 if values_ms is None else values_ms[PERCENTILES.index(95)]
    if params.latency_budget and late_ms > 1e3 * params.latency_budget:
        budget_ms = 1e3 * params.latency_budget
        return (
            DiagnosticStatus.WARN,
            f"latency p95 is {late_ms:.1f} ms, above camera.latency_budget of {budget_ms:g} ms",
        )
    rate_hz = latencies.rate.hz()
    if params.least_rate and 0 < rate_hz < params.least_rate:
        return (
            DiagnosticStatus.WARN,
            f"{rate_hz:.1f} results a second, below camera.least_rate of {params.least_rate:g}",
        )
    return None


def _percentile_values(prefix: str, durations: Durations) -> dict[str, str]:
    values_ms = durations.percentiles_ms()
    if values_ms is None:
        return {}
    return {f"{prefix}p{p}_ms": f"{value:.3f}" for p, value in zip(PERCENTILES, values_ms, strict=True)}


def _age_values(ages: Durations) -> dict[str, str]:
    values_ms = ages.percentiles_ms()
    if values_ms is not None and not 0 <= values_ms[0] < LIVE_AGE_S * 1e3:
        return {"age": "stamps are not on this node's clock (a replayed bag without use_sim_time, or no /clock?)"}
    return _percentile_values("age_", ages)
