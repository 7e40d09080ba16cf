"""What image generation takes from the pipeline that shares its machine: `generator_node` flat out beside the demo's.

    python bench/beside.py [--seconds S] [--rounds N] [--model MODEL] [--duty D] [--niceness N] [--threads T]

The camera sends the shipped sample's JPEG images at their own 20 Hz; `perception_node` and `generator_node` are
processes of their own, with their defaults unless told otherwise. While one turn lasts, a client asks for images all
the time (one request running, one waiting); in the next it asks for none. Delays are those from an image's stamp to its
tracks, as another process sees them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from robot_vision.ros.spin import EndRequest, export_fastdds_profile, init_interruptible

export_fastdds_profile()

import rclpy  # noqa: E402 (the profile must be exported before the middleware loads)
from pipeline import Delays, Listener, perception_node, process, started  # noqa: E402
from rclpy.task import Future  # noqa: E402
from robot_vision_msgs.action import GenerateImage  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

from robot_vision.ros.generation_client import action_client  # noqa: E402

CAMERA_HZ = 20.0
SETTLE_S = 3.0
COUNT = 4
IN_HAND = 2


def main() -> int:
    """Measure and print.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns with and without generation")
    parser.add_argument("--model", default="simworld_diffusion", help="what generates")
    parser.add_argument("--duty", type=float, help="generator.duty")
    parser.add_argument("--niceness", type=int, help="generator.niceness")
    parser.add_argument("--threads", type=int, help="session.threads of the generator")
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda"), help="what networks run on")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    end = init_interruptible(raising=not arguments.ask)
    try:
        if arguments.ask:
            ask(end)
        else:
            beside(arguments)
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
    return 0


def beside(arguments: argparse.Namespace) -> None:
    """Print delays of both kinds of turn, and how fast images are made meanwhile.

    Args:
        arguments: Of the command line.
    """
    listener = Delays(Detection2DArray, "tracks")
    alone: list[list[float]] = []
    together: list[list[float]] = []
    made = 0
    camera = process("camera", "--compressed", "--rate", str(CAMERA_HZ))
    with perception_node(arguments.provider, "compressed"), generator_node(arguments), camera:
        listener.spin_until(lambda: listener.newest_stamp_ns > 0)
        for _ in range(arguments.rounds):
            alone.append(turn(listener, arguments.seconds))
            with asking() as client:
                together.append(turn(listener, arguments.seconds))
                client.terminate()
                assert client.stdout is not None
                told = json.loads(client.stdout.read())
            made += told["images"]
            if told["failed"]:
                print(f"a request failed: {told['failed']}")
    print(f"{'stamp to tracks, ms':24s}{'frames':>9s}{'p50':>9s}{'p95':>9s}{'p99':>9s}")
    for name, turns in (("alone", alone), ("beside generation", together)):
        delays_ms = np.concatenate(turns)
        p50, p95, p99 = np.percentile(delays_ms, (50, 95, 99))
        print(f"{name:24s}{len(delays_ms):9d}{p50:9.1f}{p95:9.1f}{p99:9.1f}")
    ratios = [np.percentile(loaded, 95) / np.percentile(calm, 95) for calm, loaded in zip(alone, together, strict=True)]
    print(f"p95 beside generation over p95 alone: {np.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
    print(f"images generated: {made / (arguments.rounds * (arguments.seconds + SETTLE_S)):.2f} a second")


def turn(listener: Delays, seconds: float) -> list[float]:
    """Delays of one turn, after what was before has settled."""
    listener.spin_for(SETTLE_S)
    begin = len(listener.delays_ms)
    listener.spin_for(seconds)
    return listener.delays_ms[begin:]


@contextmanager
def generator_node(arguments: argparse.Namespace) -> Iterator[None]:
    """The node, for the length of a `with` statement."""
    given = {
        "generator.model": arguments.model, "generator.duty": arguments.duty, "generator.niceness": arguments.niceness,
        "session.threads": arguments.threads, "session.provider": arguments.provider,
    }  # fmt: skip
    words = [word for name, value in given.items() if value is not None for word in ("-p", f"{name}:={value}")]
    with started([sys.executable, "-m", "robot_vision.ros.generator_node", "--ros-args", *words]):
        yield


@contextmanager
def asking() -> Iterator[subprocess.Popen[bytes]]:
    """A client that asks for images all the time, for the length of a `with` statement; ended, it prints how many."""
    with started([sys.executable, __file__, "--ask"], subprocess.PIPE) as running:
        yield running


def ask(end: EndRequest) -> None:
    """Ask for images, one request after the other and one ahead, until interrupted."""
    client = Client()
    client.spin_until(client.ready)
    while not end.wanted:
        client.spin_for(0.05)
        client.fill()
    print(json.dumps({"images": client.images, "failed": client.failed}), flush=True)


class Client(Listener):
    """Keeps the generator busy.

    Attributes:
        images: Images received.
        failed: Text of a request that failed; empty if none did.
    """

    def __init__(self) -> None:
        super().__init__("asking")
        self.images, self.failed = 0, ""
        self._in_hand = 0
        self._client = action_client(self._node)

    def ready(self) -> bool:
        """Whether the node is there."""
        return self._client.server_is_ready()

    def fill(self) -> None:
        """Send as many requests as are missing."""
        while self._in_hand < IN_HAND:
            self._in_hand += 1
            goal = GenerateImage.Goal(prompt="two red balls and a mug on wood", count=COUNT)
            self._client.send_goal_async(goal).add_done_callback(self._on_goal)

    def _on_goal(self, future: Future) -> None:
        future.result().get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Future) -> None:
        result = future.result().result
        self._in_hand -= 1
        self.images += len(result.images)
        self.failed = self.failed if result.success else result.message


if __name__ == "__main__":
    sys.exit(main())
