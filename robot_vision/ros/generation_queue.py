"""Requests for images between those who ask and the one thread that generates."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from robot_vision.generation.request import GenerationRequest, ImageGenerator, Progress
from robot_vision.types import UInt8Array

NO_IMAGES: UInt8Array = np.zeros((0, 0, 0, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a request ended.

    Attributes:
        message: Why there are no images, or how they were made.
        kind: done, refused, cancelled, stopped (by the node) or failed; diagnostics count each.
        images: (N, H, W, 3) uint8 RGB; N = 0 unless done.
        seed: Seed that gives these images again.
        model_hash: SHA-256 in hex of the model; empty unless done.
        seconds: Time from the first step to the last image, pauses included.
    """

    message: str
    kind: str
    images: UInt8Array = field(default_factory=lambda: NO_IMAGES)
    seed: int = 0
    model_hash: str = ""
    seconds: float = 0.0

    @property
    def success(self) -> bool:
        """Whether there are images."""
        return self.kind == "done"


class Job:
    """One request on its way: waiting, then running, until it is answered, which happens once.

    Attributes:
        complete: Checks the request against a generator and fills its gaps; raises RobotVisionError to refuse it.
        report: Told about every step, in the thread that generates.
        answer: Takes the outcome, in any thread.
        early: How it is to end before its time; None while it may go on.
    """

    def __init__(
        self,
        complete: Callable[[ImageGenerator], GenerationRequest],
        report: Callable[[Progress], None],
        answer: Callable[[Outcome], None],
    ) -> None:
        """Hold a request.

        Args:
            complete: See the attribute.
            report: See the attribute.
            answer: See the attribute.
        """
        self.complete = complete
        self.report = report
        self.early: Outcome | None = None
        self.answer = answer
        self._ending = threading.Event()

    def end(self, outcome: Outcome) -> None:
        """Let it end before its next step; the first reason counts.

        Args:
            outcome: How it is to end.
        """
        self.early = self.early or outcome
        self._ending.set()

    def pause(self, seconds: float) -> None:
        """Sleep, but not once it is to end.

        Args:
            seconds: How long; nothing is done if not positive.
        """
        if seconds > 0:
            self._ending.wait(seconds)


class JobQueue:
    """One job that runs and a few that wait; the source of a `Worker`.

    Attributes:
        counts: How many jobs ended in each kind of `Outcome`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._running_since_s = 0.0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many jobs run: one or none."""
        return int(self._running is not None)

    @property
    def running_s(self) -> float:
        """For how many seconds the present job has run; 0 without one."""
        return time.monotonic() - self._running_since_s if self._running is not None else 0.0

    def put(self, job: Job, most_waiting: int) -> bool:
        """Add a job at the end.

        Args:
            job: The job.
            most_waiting: How many may wait for the one that runs.

        Returns:
            Whether there was room; if not, the job stays the caller's.
        """
        with self._changed:
            if self._closed or len(self._waiting) + self.running > most_waiting:
                return False
            self._waiting.append(job)
            self._changed.notify_all()
            return True

    def take(self) -> Job | None:
        """Wait for a job and let it run until `finish`; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._running_since_s = time.monotonic()
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Answer the job that runs, and let the next one run.

        Args:
            job: From `take`.
            outcome: How it ended.
        """
        with self._changed:
            self._running = None
        self._settle(job.answer, outcome)

    def end(self, job: Job, outcome: Outcome) -> None:
        """End a job early: at once if it waits, before its next step if it runs, not at all if it is over.

        Args:
            job: The job.
            outcome: How it is to end.
        """
        with self._changed:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
        if waits:
            self._settle(job.answer, outcome)
        else:
            job.end(outcome)

    def refuse(self, answer: Callable[[Outcome], None], reason: str) -> None:
        """Answer a request that did not become a job.

        Args:
            answer: Takes the outcome.
            reason: Why.
        """
        self._settle(answer, Outcome(reason, "refused"))

    def _settle(self, answer: Callable[[Outcome], None], outcome: Outcome) -> None:
        with self._changed:
            self.counts[outcome.kind] += 1
        answer(outcome)

    def close(self) -> None:
        """Take no more jobs, and end those that are there."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify_all()
        for job in jobs:
            self.end(job, Outcome("the node was deactivated before the images were ready: ask again", "stopped"))

    def reopen(self) -> None:
        """Take jobs again after `close`."""
        with self._changed:
            self._closed = False
