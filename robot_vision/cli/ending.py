"""How commands that write files end when they are told to."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM
"""Exit status of a program that SIGTERM has ended."""


def exit_on_sigterm() -> None:
    """Let SIGTERM, as systemd sends it, end this process by way of its clean-up, so that nothing is left half done."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(*_: object) -> NoReturn:
    sys.exit(TERMINATED)
