"""How every executable starts, spins and ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol

from robot_vision.errors import RobotVisionError
from robot_vision.ros.fastdds_profile import SHIPPED, TRANSPORT_VARIABLE, profile_variables
from robot_vision.ros.shared_memory import remove_dead_segments
from robot_vision.shipped import shared_file

END_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LONGEST_WAIT_S = 0.25
SWITCH_INTERVAL_S = 0.0001


class EndableNode(Protocol):
    """A node that begins to work when it is complete, and is closed."""

    def load(self) -> bool:
        """Do what takes long; may be interrupted, so no thread of the node runs before its end.

        Returns:
            Whether that went well; if not, the log says why.
        """

    def start(self) -> bool:
        """Begin to work.

        Returns:
            Whether that went well; if not, the log says why.
        """

    def close(self) -> bool:
        """Stop threads and destroy the node; False, with the node left as it is, if a thread does not end."""


def export_fastdds_profile() -> Path | None:
    """Give images a large enough shared-memory segment, unless the user has chosen a profile or a transport.

    Must run before rclpy is initialised.

    Returns:
        The profile now in force: the shipped one, or the user's under the name that this distribution reads; None where
        the user's choice is in force already or the file is not installed.
    """
    name, other = profile_variables()
    if os.environ.get(TRANSPORT_VARIABLE) or os.environ.get(name):
        return None
    profile = Path(os.environ[other]) if os.environ.get(other) else shared_file(SHIPPED)
    if profile is not None:
        os.environ[name] = str(profile)
    return profile


class EndRequest:
    """Remembers Ctrl-C and SIGTERM, which from now on interrupt nothing by themselves, however often they come.

    An exception out of a signal handler can strike inside rclpy, which then reports something else.

    Attributes:
        wanted: Whether the program has been asked to end.
        raising: Whether the first signal raises KeyboardInterrupt all the same, for what takes long and is not rclpy.
    """

    def __init__(self, raising: bool = False) -> None:
        """Take over both signals.

        Args:
            raising: See the attribute.
        """
        self.wanted = False
        self.raising = raising
        for number in END_SIGNALS:
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            KeyboardInterrupt: If the program has been asked to end.
        """
        if self.wanted:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Sleep, but not through a request.

        Args:
            seconds: How long; nothing is done if not positive.

        Raises:
            KeyboardInterrupt: If the program has been asked to end.
        """
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left_s, LONGEST_WAIT_S))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        is_first, self.wanted = not self.wanted, True
        if is_first and self.raising:
            raise KeyboardInterrupt


def init_interruptible(raising: bool = False) -> EndRequest:
    """Initialise ROS without its own signal handlers.

    With rclpy's handlers the middleware would be gone before the program notices, and its next call would fail.

    Args:
        raising: As in `EndRequest`.

    Returns:
        What knows from now on whether the program has been asked to end.

    Raises:
        RuntimeError: If the command line holds ROS arguments that rclpy refuses.
    """
    import rclpy  # noqa: PLC0415 (the profile must be exported before the middleware loads)
    from rclpy.signals import SignalHandlerOptions  # noqa: PLC0415

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    return EndRequest(raising)


def run(make_node: Callable[[], EndableNode]) -> int:
    """Initialise ROS, build a node, spin until interrupted, clean up.

    Args:
        make_node: Builds the node after initialisation.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM (once ROS is initialised), 1 if the node cannot be built or begin, such
        as with a model that is not there.
    """
    status = _run(make_node)
    if any(thread.daemon for thread in threading.enumerate()):
        # A model still loads. Python would cut that thread off inside the network's library, which aborts the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _run(make_node: Callable[[], EndableNode]) -> int:
    export_fastdds_profile()
    remove_dead_segments()
    import cv2  # noqa: PLC0415
    import rclpy  # noqa: PLC0415 (the profile must be exported before the middleware loads)
    from rclpy.executors import SingleThreadedExecutor  # noqa: PLC0415

    # Camera images are too small to gain from OpenCV's thread pool, which would take cores from the networks.
    cv2.setNumThreads(1)
    # A thread whose network has returned must not wait five milliseconds, Python's default, for another's bookkeeping.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    node: EndableNode | None = None
    try:
        end = init_interruptible(raising=True)
        node = make_node()
        if not node.load():
            return 1
        end.raising = False
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not node.start():
            return 1
        while not end.wanted:
            # Python handles a signal only between two waits, so that none may be endless.
            executor.spin_once(timeout_sec=LONGEST_WAIT_S)
    except KeyboardInterrupt:
        pass
    except (RobotVisionError, RuntimeError) as error:  # RuntimeError: what rclpy says about wrong ROS arguments
        if node is not None:
            raise
        print(f"{_program()}: {error}", file=sys.stderr)
        return 1
    finally:
        # At its exit Python gives back the handlers of others, and one more Ctrl-C would count as a crash.
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        ended = node is None or node.close()
        rclpy.try_shutdown()
        if not ended:
            print(f"{_program()}: a network does not return; ending without it", file=sys.stderr, flush=True)
            os._exit(1)
    return 0


def _program() -> str:
    return Path(sys.argv[0]).name
