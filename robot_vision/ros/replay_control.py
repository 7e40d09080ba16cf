"""Pausing and stepping a replay: its state, the services, and the keys of a terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

POLL_S = 0.05
KEYS_HELP = "space: pause and resume, s or right arrow: step, q: end"
_RIGHT_ARROW = "\x1b[C"


class ReplayControl:
    """Whether a replay goes on; for one thread that plays and others that command."""

    def __init__(self, paused: bool) -> None:
        """Start.

        Args:
            paused: Whether to begin paused.
        """
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._paused = paused
        self._steps = 0
        self._ended = False

    @property
    def holds(self) -> bool:
        """Whether nothing is to be published now."""
        with self._lock:
            return self._paused and not self._steps and not self._ended

    @property
    def steps(self) -> bool:
        """Whether the next message is to be published although the replay is paused."""
        with self._lock:
            return self._paused and self._steps > 0

    @property
    def ended(self) -> bool:
        """Whether the user has had enough."""
        return self._ended

    def pause(self) -> str:
        """Stop before the next message.

        Returns:
            The new state in words.
        """
        return self._change(paused=True, steps=0)

    def resume(self) -> str:
        """Go on at the recorded pace.

        Returns:
            The new state in words.
        """
        return self._change(paused=False, steps=0)

    def toggle(self) -> str:
        """Pause, or resume.

        Returns:
            The new state in words.
        """
        return self._change(paused=not self._paused, steps=0)

    def step(self) -> str:
        """Publish one message at once, and stop before the one after it.

        Returns:
            The new state in words.
        """
        return self._change(paused=True, steps=self._steps + 1)

    def end(self) -> str:
        """Publish nothing more.

        Returns:
            The new state in words.
        """
        self._ended = True
        self._changed.set()
        return "ended"

    def published(self) -> None:
        """Count a message that has been published."""
        with self._lock:
            self._steps = max(0, self._steps - 1)

    def wait(self, seconds: float) -> None:
        """Wait for a command.

        Args:
            seconds: Longest wait.
        """
        self._changed.wait(seconds)
        self._changed.clear()

    def _change(self, *, paused: bool, steps: int) -> str:
        with self._lock:
            self._paused, self._steps = paused, steps
        self._changed.set()
        return "playing" if not paused else "one message more" if steps else "paused"


def offer_services(node: Node, control: ReplayControl) -> None:
    """Create `~/pause`, `~/resume` and `~/step`, each a `std_srvs/Trigger`.

    Args:
        node: Node that owns them.
        control: What they command.
    """
    for name, command in (("pause", control.pause), ("resume", control.resume), ("step", control.step)):
        node.create_service(Trigger, f"~/{name}", _handler(command))


def _handler(command: Callable[[], str]) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
    def handle(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, command()
        return response

    return handle


@contextmanager
def served(node: Node) -> Iterator[None]:
    """Answer a node's services in a thread meanwhile.

    Args:
        node: The node.

    Yields:
        Nothing.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            executor.spin_once(timeout_sec=POLL_S)

    thread = threading.Thread(target=serve, name="services", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        executor.shutdown()


@contextmanager
def keys(control: ReplayControl) -> Iterator[bool]:
    """Let keys command a replay, where it runs in the foreground of a terminal.

    Args:
        control: What the keys command.

    Yields:
        Whether keys are read.
    """
    if not _is_in_foreground():
        yield False
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    stopping = threading.Event()
    thread = threading.Thread(target=_read_keys, args=(descriptor, control, stopping), name="keys", daemon=True)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        thread.start()
        yield True
    finally:
        stopping.set()
        if thread.ident is not None:
            thread.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_in_foreground() -> bool:
    """Whether a person at a terminal reads what this process prints, and types to it.

    A process in the background that touches the terminal is stopped by the system; and what is a part of another
    program, as in the demo, leaves the keys to that.
    """
    try:
        at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return at_terminal and os.tcgetpgrp(sys.stdin.fileno()) == os.getpid()
    except (AttributeError, OSError, ValueError):  # no standard input, or a closed one
        return False


def _read_keys(descriptor: int, control: ReplayControl, stopping: threading.Event) -> None:
    commands = {" ": control.toggle, "s": control.step, _RIGHT_ARROW: control.step, "q": control.end}
    while not stopping.is_set():
        if not select.select([descriptor], [], [], POLL_S)[0]:
            continue
        typed = os.read(descriptor, 16).decode(errors="replace")
        if not typed:
            return
        for key in [_RIGHT_ARROW] * typed.count(_RIGHT_ARROW) + list(typed.replace(_RIGHT_ARROW, "")):
            if key in commands:
                print(f"[{commands[key]()}]", flush=True)


def hold(control: ReplayControl, check: Callable[[], None], tick: Callable[[], None], tick_s: float) -> float:
    """Wait while a replay is paused.

    Args:
        control: Its state.
        check: Raises if the program has been asked to end.
        tick: Called again and again meanwhile.
        tick_s: Seconds between two calls.

    Returns:
        Seconds waited.
    """
    began_s = time.monotonic()
    while control.holds:
        check()
        tick()
        control.wait(tick_s)
    return time.monotonic() - began_s
