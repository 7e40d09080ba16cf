"""How every executable starts, spins and ends."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from robot_vision.errors import RobotVisionError
from robot_vision.shipped import shared_file

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
FIRST_RCLPY_WITH_NEW_NAME = 9
TRANSPORT_VARIABLE = "FASTDDS_BUILTIN_TRANSPORTS"


class ManagedNode(Protocol):
    """A node that can be closed."""

    def close(self) -> bool:
        """Stop threads and destroy the node; False, with the node left as it is, if a thread does not end."""


def export_fastdds_profile() -> Path | None:
    """Give images a large enough shared-memory segment, unless the user has chosen a profile or a transport.

    Must run before rclpy is initialised.

    Returns:
        The profile now in force: the shipped one, or the user's under the name that this distribution reads; None where
        the user's choice is in force already or the file is not installed.
    """
    # Newer distributions (from Kilted) warn about the old name, older ones know no other.
    is_old = int(importlib.metadata.version("rclpy").split(".")[0]) < FIRST_RCLPY_WITH_NEW_NAME
    name, other = reversed(PROFILE_VARIABLES) if is_old else PROFILE_VARIABLES
    if os.environ.get(TRANSPORT_VARIABLE) or os.environ.get(name):
        return None
    profile = Path(os.environ[other]) if os.environ.get(other) else shared_file("config/fastdds.xml")
    if profile is not None:
        os.environ[name] = str(profile)
    return profile


def init_interruptible() -> None:
    """Initialise ROS for a program that ends by itself: Ctrl-C and SIGTERM raise KeyboardInterrupt, as elsewhere.

    With rclpy's own handlers the middleware would be gone before the program notices, and its next call would fail.
    """
    import rclpy  # noqa: PLC0415 (the profile must be exported before the middleware loads)
    from rclpy.signals import SignalHandlerOptions  # noqa: PLC0415

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run(make_node: Callable[[], ManagedNode]) -> int:
    """Initialise ROS, build a node, spin until interrupted, clean up.

    Args:
        make_node: Builds the node after initialisation.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM, 1 after an error of this package, such as a model that is not there.
    """
    export_fastdds_profile()
    import cv2  # noqa: PLC0415
    import rclpy  # noqa: PLC0415 (the profile must be exported before the middleware loads)
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor  # noqa: PLC0415

    # Camera images are too small to gain from OpenCV's thread pool, which would take cores from the networks.
    cv2.setNumThreads(1)
    try:
        rclpy.init()
    except RuntimeError as error:  # rclpy's errors about arguments, such as a parameter file that is not there
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node: ManagedNode | None = None
    executor = SingleThreadedExecutor()
    try:
        node = make_node()
        executor.add_node(node)
        executor.spin()
    except RobotVisionError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # Ctrl-C under launch arrives twice, from the terminal and from launch; the second must not cut the clean-up.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        executor.shutdown()
        ended = node is None or node.close()
        rclpy.try_shutdown()
        if not ended:
            print(
                f"{Path(sys.argv[0]).name}: a network does not return; ending without it", file=sys.stderr, flush=True
            )
            os._exit(1)
    return 0
