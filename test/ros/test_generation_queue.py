"""What happens to requests between those who ask and the thread that generates, without ROS."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.generation.request import GenerationRequest
from robot_vision.ros.generation_queue import Job, JobQueue, Outcome
from robot_vision.ros.generation_worker import Duty, Generation, be_nice

REQUEST = GenerationRequest("a ball", 1, 3, 1.0, (4, 4))


class Step:
    def __init__(self, step: int) -> None:
        self.step, self.total = step, 3

    def images(self) -> np.ndarray:
        return np.zeros((1, 4, 4, 3), np.uint8)


class Model:
    """Three steps, of which one may fail."""

    name, identity_hash = "model", "hash"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, False

    def run(self, _request: GenerationRequest):
        try:
            for step in (1, 2, 3):
                if self.error is not None and step == 2:
                    raise self.error
                yield Step(step)
        finally:
            self.closed = True


def a_job(answers: list[Outcome], report=lambda _progress: None) -> Job:
    return Job(lambda _model: REQUEST, report, answers.append)


def test_one_runs_and_as_many_wait_as_may() -> None:
    """With no place to wait, an idle generator still takes one."""
    queue, answers = JobQueue(), []
    first, second, third = (a_job(answers) for _ in range(3))
    assert queue.put(first, 0) and not queue.put(second, 0)
    assert queue.take() is first and (queue.running, queue.waiting) == (1, 0)
    assert queue.put(second, 1) and not queue.put(third, 1)
    queue.finish(first, Outcome("made", "done"))
    assert queue.take() is second and [outcome.kind for outcome in answers] == ["done"]


def test_closed_it_answers_who_waits_stops_who_runs_and_opens_again() -> None:
    queue, answers = JobQueue(), []
    running, waiting = a_job(answers), a_job(answers)
    assert queue.put(running, 1) and queue.take() is running and queue.put(waiting, 1)
    queue.close()
    assert [outcome.kind for outcome in answers] == ["stopped"] and running.early is not None
    assert queue.take() is None and not queue.put(a_job(answers), 9)
    queue.reopen()
    assert queue.put(waiting, 9)


@pytest.mark.parametrize(
    ("error", "message"), [(ModelError("the network failed"), "the network failed"), (KeyError("x"), "KeyError: 'x'")]
)
def test_whatever_a_model_raises_is_answered(error: Exception, message: str) -> None:
    queue, answers = JobQueue(), []
    generation = Generation(queue, lambda: Model(error), 0, 1.0)
    job = a_job(answers)
    assert queue.put(job, 0) and queue.take() is job
    if isinstance(error, ModelError):
        generation.handle(job)
    else:
        with pytest.raises(KeyError):
            generation.handle(job)
    assert [(outcome.kind, outcome.message) for outcome in answers] == [("failed", message)]
    assert queue.running == 0


def test_nothing_is_computed_after_a_job_was_told_to_end() -> None:
    """Told within a step, the model is closed before its next; a refusal is not a failure."""
    queue, answers, model = JobQueue(), [], Model()
    generation = Generation(queue, lambda: model, 0, 1.0)
    steps: list[int] = []

    def report(progress: Step) -> None:
        steps.append(progress.step)
        queue.end(job, Outcome("cancelled by the client", "cancelled"))

    job = a_job(answers, report)
    assert queue.put(job, 0) and queue.take() is job
    generation.handle(job)
    assert (steps, answers[0].kind, model.closed) == ([1], "cancelled", True)

    def refuse(_model: Model) -> GenerationRequest:
        raise InvalidValueError("steps: too many")

    refused = Job(refuse, report, answers.append)
    assert queue.put(refused, 0) and queue.take() is refused
    generation.handle(refused)
    assert (answers[1].kind, answers[1].message) == ("refused", "steps: too many")


def test_a_thread_that_is_nicer_already_stays_so() -> None:
    """A node started with `nice -n 15` may not become less nice, unless it is root's."""
    found: list[int] = []

    def work() -> None:
        for niceness in (15, 10):
            be_nice(niceness)
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] >= 15 and found[1] == found[0]


def test_rest_is_in_proportion_to_work() -> None:
    """A quarter of the time: three times as long as it worked; at 1 none."""
    duty = Duty(0.25)
    with duty.work():
        time.sleep(0.05)
    assert 0.13 < duty.rest_s < 0.3
    duty = Duty(1.0)
    with duty.work():
        time.sleep(0.01)
    assert duty.rest_s <= 0
