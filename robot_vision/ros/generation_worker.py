"""The thread that generates: polite to other threads of the machine, and interruptible between any two steps."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager

from robot_vision.errors import RobotVisionError
from robot_vision.generation.request import GenerationRequest, ImageGenerator, Progress
from robot_vision.ros.generation_queue import Job, JobQueue, Outcome
from robot_vision.ros.statistics import Durations, Rate


def be_nice(niceness: int) -> None:
    """Lower the priority of this thread, and of those that it starts, as Linux knows one for each thread.

    Args:
        niceness: 0 to 19, see nice(1); a thread that is nicer already stays so, as only root may take that back.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def opened_nicely(open_model: Callable[[], ImageGenerator], niceness: int) -> ImageGenerator:
    """Load a model in a thread of its own, so that the threads of its runtime inherit the priority.

    Args:
        open_model: Loads it.
        niceness: As in `be_nice`.

    Returns:
        The model; an exception of `open_model` is raised here.
    """
    loaded: Future[ImageGenerator] = Future()

    def load() -> None:
        be_nice(niceness)
        try:
            loaded.set_result(open_model())
        except BaseException as error:
            loaded.set_exception(error)

    # A daemon, so that an interrupt need not wait for it.
    threading.Thread(target=load, name="generator_load", daemon=True).start()
    return loaded.result()


class Duty:
    """Bounds the share of time in which this node computes: after each piece of work it rests in proportion.

    Attributes:
        share: Largest share, in (0, 1]; 1 never rests.
    """

    def __init__(self, share: float) -> None:
        """Begin rested.

        Args:
            share: See the attribute.
        """
        self.share = share
        self._rested_s = 0.0

    @property
    def rest_s(self) -> float:
        """Seconds of rest still due."""
        return self._rested_s - time.monotonic()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count the body of a `with` statement as work."""
        begin_s = time.monotonic()
        yield
        end_s = time.monotonic()
        self._rested_s = max(self._rested_s, end_s) + (end_s - begin_s) * (1 / self.share - 1)


class _RateOfSteps(Rate):
    """Steps, of which silence tells nothing while no job runs."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self._queue = queue

    def silence_s(self) -> float:
        since_step_s = super().silence_s()
        running_s = self._queue.running_s
        return running_s if since_step_s is None else min(since_step_s, running_s)


class _EndedEarlyError(Exception):
    """A job was told to end."""


class Generation:
    """Runs jobs one after another.

    Attributes:
        duty: How busy it may be.
        durations: Seconds of each step.
    """

    def __init__(self, queue: JobQueue, generator: Callable[[], ImageGenerator], niceness: int, share: float) -> None:
        """Keep what the jobs need.

        Args:
            queue: Where jobs come from, and are answered.
            generator: Gives the model, loaded at the first call; raises RobotVisionError if that fails.
            niceness: As in `be_nice`.
            share: As in `Duty`.
        """
        self.duty = Duty(share)
        self.durations = Durations()
        self.durations.rate = _RateOfSteps(queue)
        self._queue = queue
        self._generator = generator
        self._niceness = niceness

    def handle(self, job: Job) -> None:
        """Run a job and answer it, whatever happens.

        Args:
            job: From the queue.

        Raises:
            Exception: What nobody expected, for the log; the job is answered all the same.
        """
        try:
            be_nice(self._niceness)
            outcome = self._run(job)
        except _EndedEarlyError:
            assert job.early is not None
            outcome = job.early
        except RobotVisionError as error:
            outcome = Outcome(str(error), "failed")
        except Exception as error:
            self._queue.finish(job, Outcome(f"{type(error).__name__}: {error}", "failed"))
            raise
        self._queue.finish(job, outcome)

    def _run(self, job: Job) -> Outcome:
        generator = self._generator()
        try:
            request = job.complete(generator)
        except RobotVisionError as error:
            return Outcome(str(error), "refused")
        begin_s = time.monotonic()
        for progress in self._steps(job, generator, request):
            job.report(progress)
        with self.duty.work():
            images = progress.images()
        seconds = time.monotonic() - begin_s
        text = f"{generator.name} made {len(images)} in {progress.total} steps"
        return Outcome(text, "done", images, request.seed, generator.identity_hash, seconds)

    def _steps(self, job: Job, generator: ImageGenerator, request: GenerationRequest) -> Iterator[Progress]:
        with closing(generator.run(request)) as steps:
            while True:
                job.pause(self.duty.rest_s)
                if job.early is not None:
                    raise _EndedEarlyError
                with self.duty.work():
                    begin_s = time.perf_counter()
                    progress = next(steps, None)
                    if progress is None:
                        return
                    self.durations.add(time.perf_counter() - begin_s)
                    yield progress
