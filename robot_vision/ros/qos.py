"""Quality of service: what this package offers, and what it asks of a camera."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RESULT_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""For results, which are small and must not get lost."""

LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For facts that late joiners need, such as class names."""

IMAGE_OUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""For images that this package publishes."""


def camera_qos(offered: Iterable[ReliabilityPolicy]) -> QoSProfile:
    """The profile to subscribe to a camera with: newest frame only, reliable where every publisher offers that.

    Args:
        offered: Reliability of each publisher on the topic; empty while there is none.

    Returns:
        A profile that matches all of them.
    """
    policies = list(offered)
    all_reliable = bool(policies) and all(policy == ReliabilityPolicy.RELIABLE for policy in policies)
    reliability = ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=reliability)
