"""What a check found: how bad it is, what is wrong, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        level: OK, WARN where something may become a problem, FAIL where something does not work.
        check: What was looked at, in a word or a topic's name.
        text: What is so, or what is wrong.
        mend: Command that mends it; empty where there is nothing to mend.
    """

    level: Level
    check: str
    text: str
    mend: str = ""

    def sentence(self) -> str:
        """The text and the command in one line, for logs."""
        return f"{self.text}; to mend it: {self.mend}" if self.mend else self.text
