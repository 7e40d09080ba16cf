"""One network for several threads: everyone gets the answer to their own input, in turn, together where possible."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx_writer import write_network

from robot_vision.errors import ModelError
from robot_vision.params import SessionParams
from robot_vision.runtime.batching import SharedSession
from robot_vision.runtime.card import InputSpec, ModelCard
from robot_vision.runtime.session import OnnxSession, Outputs
from robot_vision.types import Float32Array

SPEC = InputSpec("images", (8, 4), "RGB", "stretch", 0, 1.0)


def open_copying(folder: Path, batch: int | str, max_batch: int) -> OnnxSession:
    """A network that gives its input back."""
    path = write_network(folder / "copy.onnx", [batch, 3, 4, 8], {"copy": None})
    card = ModelCard("copy", "detection", path, "0" * 64, SPEC, class_names=("cat",))
    return OnnxSession(card, SessionParams(provider="cpu"), max_batch)


class Recorded:
    """The real session; notes which inputs ran together, and waits at a gate before each run."""

    def __init__(self, session: OnnxSession, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[list[float]] = []
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        real = session.run_batch

        def run_batch(inputs: Sequence[Float32Array]) -> list[Outputs]:
            self.entered.release()
            assert self.gate.acquire(timeout=10)
            self.batches.append([float(values.flat[0]) for values in inputs])
            return real(inputs)

        monkeypatch.setattr(session, "run_batch", run_batch)


def filled(session: SharedSession, value: float) -> Float32Array:
    network_input = session.new_input()
    network_input[...] = value
    return network_input


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("did not happen within 10 s")


def test_outputs_of_a_batch_are_those_of_single_runs(tmp_path: Path) -> None:
    session = open_copying(tmp_path, "n", 3)
    assert session.max_batch == 3
    inputs = [np.full((1, 3, 4, 8), value, np.float32) for value in range(5)]
    for network_input, (copy,) in zip(inputs, session.run_batch(inputs), strict=True):
        np.testing.assert_array_equal(copy, network_input)


def test_a_network_of_one_image_a_run_says_so_and_still_serves_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_copying(tmp_path, 1, 2)
    assert session.max_batch == 1
    assert "inputs take turns; export it with a free (dynamic) batch" in caplog.text
    shared = SharedSession(session)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda value: shared.run(filled(shared, value))[0].flat[0], range(40)))
    assert answers == list(range(40))


def test_outputs_that_do_not_follow_the_batch_are_not_batched(tmp_path: Path) -> None:
    """An export with suppression inside gives [n, 7] for all images together: they cannot be told apart by rows."""
    path = write_network(tmp_path / "rows.onnx", ["n", 3, 4, 8], {"rows": np.ones((2, 7))})
    card = ModelCard("rows", "detection", path, "0" * 64, SPEC, class_names=("cat",))
    assert OnnxSession(card, SessionParams(provider="cpu"), 2).max_batch == 1


def test_what_waits_runs_together_in_order_of_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While 0 runs, 1, 2 and 3 come: two of them run next, the third after them; each gets its own answer."""
    session = open_copying(tmp_path, "n", 2)
    record = Recorded(session, monkeypatch)
    shared = SharedSession(session)
    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(shared.run, filled(shared, 0))]
        assert record.entered.acquire(timeout=10)
        for value in (1, 2, 3):
            runs.append(threads.submit(shared.run, filled(shared, value)))
            wait_for(lambda count=value: len(shared._waiting) == count)
        for _ in range(3):
            record.gate.release()
        answers = [float(run.result(timeout=10)[0].flat[0]) for run in runs]
    assert record.batches == [[0], [1, 2], [3]]
    assert answers == [0, 1, 2, 3]


def test_a_camera_that_never_rests_does_not_starve_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three greedy threads on a network of one image a run: between two turns of one, the others have theirs."""
    session = open_copying(tmp_path, 1, 3)
    record = Recorded(session, monkeypatch)
    shared = SharedSession(session)

    def greedy(value: int) -> None:
        for _ in range(10):
            shared.run(filled(shared, value))

    threads = [threading.Thread(target=greedy, args=(value,)) for value in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        # Let everyone who can ask have asked before the next run is let through.
        assert record.entered.acquire(timeout=10)
        wait_for(lambda: len(shared._waiting) + 1 == _still_asking(record.batches))
        record.gate.release()
    for thread in threads:
        thread.join(10)
    order = [batch[0] for batch in record.batches]
    assert all(sorted(order[start : start + 3]) == [0, 1, 2] for start in range(0, 30, 3))


def _still_asking(batches: list[list[float]]) -> int:
    served = [batch[0] for batch in batches]
    return sum(served.count(value) < 10 for value in range(3))


def test_a_failure_reaches_everyone_in_the_batch_and_the_next_run_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_copying(tmp_path, "n", 2)
    shared = SharedSession(session)
    with monkeypatch.context() as broken:
        broken.setattr(session, "run_batch", lambda _inputs: (_ for _ in ()).throw(ModelError("out of memory")))
        with ThreadPoolExecutor(2) as threads:
            for run in [threads.submit(shared.run, filled(shared, value)) for value in (1, 2)]:
                with pytest.raises(ModelError, match="out of memory"):
                    run.result(timeout=10)
    assert shared.run(filled(shared, 5))[0].flat[0] == 5


def test_results_written_into_given_arrays(tmp_path: Path) -> None:
    """Reused buffers hold what a plain run returns, run after run, for a free batch too."""
    for batch in (1, "n"):
        session = open_copying(tmp_path, batch, 1)
        into = session.new_outputs()
        assert into is not None
        for value in (1, 2):
            network_input = np.full((1, 3, 4, 8), value, np.float32)
            returned = session.run(network_input, into)
            assert returned[0] is into[0]
            np.testing.assert_array_equal(into[0], session.run(network_input)[0])


def test_outputs_of_changing_shape_have_no_arrays_to_reuse(tmp_path: Path) -> None:
    path = write_network(tmp_path / "free.onnx", [1, 3, "h", "w"], {"copy": None})
    card = ModelCard("free", "detection", path, "0" * 64, SPEC, class_names=("cat",))
    assert OnnxSession(card, SessionParams(provider="cpu")).new_outputs() is None
