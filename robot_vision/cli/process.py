"""`robot_vision process`: detections, tracks and latents for whole recordings, as fast as the machine goes."""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from robot_vision.cli.ending import TERMINATED, exit_on_sigterm
from robot_vision.data.parameter_file import read_parameters
from robot_vision.data.sources import open_source
from robot_vision.errors import BagError, InvalidValueError, MissingDependencyError, RobotVisionError
from robot_vision.params import stage_params

if TYPE_CHECKING:
    from robot_vision.ros.offline import Followed, OfflinePipeline

HELP = "detections, tracks and latents for bags and videos, written as bags"
NODE = "perception_node"
_REFRESH_S = 0.5
_WORST_PROBLEMS = 5
_RATES_HZ = (1.0, 240.0)
"""Slowest and fastest video."""


@dataclass(frozen=True)
class Task:
    """One recording to process.

    Attributes:
        recording: Bag or video.
        topic: Image topic of a bag; None takes the only one.
        bag: Bag to write.
        inputs: Whether the recording's own messages go into it, too.
        video: Whether a video of the tracks is written beside it.
    """

    recording: Path
    topic: str | None
    bag: Path
    inputs: bool
    video: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    Attributes:
        recording: Bag or video.
        frames: Number of frames with results.
        problems: What was left out, in words.
        error: Why there are no results; empty if there are.
    """

    recording: Path
    frames: int
    problems: tuple[str, ...]
    error: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision process`.
    """
    parser.add_argument("recordings", nargs="+", type=Path, metavar="BAG", help="ROS 1 or ROS 2 bags, or videos")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; each recording becomes a bag of its name there"
    )
    parser.add_argument("--params", type=Path, help=f"ROS parameter file, read as {NODE} reads it")
    parser.add_argument("--topic", help="image topic of the bags; needed only where a bag has several")
    parser.add_argument("--with-inputs", action="store_true", help="copy the recordings' own messages into the bags")
    parser.add_argument("--video", action="store_true", help="also write a video of the tracks beside each bag")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes that work on recordings side by side (default 1)"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", nargs="?", const="", help="work on a Ray cluster, which must have this package "
        "and see the same files; without an address on one that is started here with --jobs processes",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="leave out what is finished; without it that is an error")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status: 1 if a recording failed.

    Raises:
        InvalidValueError: If an argument or the parameter file is wrong.
        BagError: If results are there already, or would have the same name.
        ModelError: If a model cannot be used.
        ProviderError: If the execution provider cannot be had.
        MissingDependencyError: If Ray is asked for and not installed, or there is no cluster.
    """
    if args.jobs < 1:
        raise InvalidValueError(f"--jobs: must be at least 1, got {args.jobs}")
    # A value that JSON does not know, such as a date, is no setting of ours.
    settings = json.dumps(read_parameters(args.params, NODE) if args.params else {}, default=str)
    tasks = open_tasks(args)
    # Before anything else is done: a wrong model or setting is one error, not one a recording.
    open_pipeline(settings)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BagError(f"--out {args.out}: the folder cannot be made: {error.strerror}") from error
    exit_on_sigterm()
    frames = sum(map(_length, tasks))
    apart = args.ray is not None or (args.jobs > 1 and len(tasks) > 1)
    if apart:
        # The processes that do the work have networks of their own.
        open_pipeline.cache_clear()
    with tqdm(total=frames, unit="frame", disable=None) as bar:
        if args.ray is not None:
            outcomes = _on_ray(tasks, settings, args.ray, args.jobs, bar)
        elif apart:
            outcomes = _side_by_side(tasks, settings, args.jobs, bar)
        else:
            outcomes = [process(task, settings, bar.update) for task in tasks]
    return report(outcomes, args.out)


@lru_cache(maxsize=1)
def open_pipeline(settings: str) -> OfflinePipeline:
    """The networks, opened once a process.

    Args:
        settings: Departures from the defaults by parameter name, as JSON.

    Returns:
        The pipeline.

    Raises:
        RobotVisionError: If a setting is wrong or a model cannot be used.
    """
    from robot_vision.ros.offline import OfflinePipeline  # noqa: PLC0415 - --help needs no ROS

    return OfflinePipeline(stage_params(json.loads(settings)))


def open_tasks(args: argparse.Namespace) -> list[Task]:
    """What is to be done.

    Args:
        args: Parsed arguments.

    Returns:
        One task a recording that is not finished.

    Raises:
        BagError: If two recordings have one name, or results are there and `--resume` was not given.
    """
    tasks: dict[Path, Task] = {}
    for recording in args.recordings:
        name = recording.resolve().stem if recording.is_file() else recording.resolve().name
        bag = args.out / name
        if bag in tasks:
            raise BagError(f"{recording} and {tasks[bag].recording} would both become {bag}; process them apart")
        tasks[bag] = Task(recording, args.topic, bag, args.with_inputs, args.video)
    finished = [bag for bag in tasks if bag.exists()]
    if finished and not args.resume:
        raise BagError(f"{finished[0]}: exists already; remove it, choose another --out, or leave it out with --resume")
    for bag in tasks if args.video else ():
        if bool(_videos_of(bag)) != (bag in finished):
            raise BagError(f"{bag}: there is the bag or its video, but not the other; remove it")
    return [task for bag, task in tasks.items() if bag not in finished]


def _videos_of(bag: Path) -> list[Path]:
    return [path for path in bag.parent.glob(f"{bag.name}_tracks.*") if ".part" not in path.suffixes]


def process(task: Task, settings: str, on_frame: Callable[[], object] = lambda: None) -> Outcome:
    """Process one recording; what goes wrong with it is in the outcome.

    Args:
        task: What to do.
        settings: As for `open_pipeline`.
        on_frame: Called after each frame.

    Returns:
        What became of it.
    """
    problems: list[str] = []
    frames = 0

    def counted(followed: Iterator[Followed]) -> Iterator[Followed]:
        nonlocal frames
        for item in followed:
            frames += 1
            on_frame()
            yield item

    try:
        pipeline = open_pipeline(settings)
        source = open_source(task.recording, task.topic)
        if source.note:
            problems.append(f"{task.recording}: {source.note}")
        followed = counted(
            pipeline.process(source, task.bag, task.inputs, lambda problem: problems.append(str(problem)))
        )
        if task.video:
            _write_video(task.bag, followed, pipeline.labels, source.rate_hz)
        for _ in followed:
            pass
    except RobotVisionError as error:
        return Outcome(task.recording, frames, tuple(problems), str(error))
    except Exception as error:  # whatever a strange recording brings out must not stop the others
        return Outcome(task.recording, frames, tuple(problems), f"{task.recording}: {type(error).__name__}: {error}")
    return Outcome(task.recording, frames, tuple(problems), "")


def report(outcomes: Sequence[Outcome], out: Path) -> int:
    """Say what became of the recordings.

    Args:
        outcomes: One a recording.
        out: Folder of the results.

    Returns:
        Exit status: 1 if a recording failed.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in outcomes:
        for problem in outcome.problems[:_WORST_PROBLEMS]:
            print(f"note: {problem}", file=sys.stderr)
        if (more := len(outcome.problems) - _WORST_PROBLEMS) > 0:
            print(f"note: {outcome.recording}: {more} more of these", file=sys.stderr)
    done = [outcome for outcome in outcomes if not outcome.error]
    print(f"{len(done)} of {len(outcomes)} recordings, {sum(outcome.frames for outcome in done)} frames: {out}/")
    for outcome in failed:
        print(f"failed: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


def _length(task: Task) -> int:
    """Frames of a recording; 0 if it cannot be read, which `process` will say."""
    try:
        return open_source(task.recording, task.topic).count
    except Exception:  # as many kinds as there are ways in which a file can be damaged
        return 0


def _write_video(bag: Path, followed: Iterator[Followed], labels: Sequence[str], rate_hz: float) -> None:
    from robot_vision.evaluation.pictures import write_video  # noqa: PLC0415
    from robot_vision.overlay import draw  # noqa: PLC0415

    pictures = (draw(item.frame.rgb, item.tracks.confirmed(), labels) for item in followed)
    try:
        write_video(bag.with_name(f"{bag.name}_tracks"), pictures, min(max(rate_hz, _RATES_HZ[0]), _RATES_HZ[1]))
    except Exception:
        # The bag was finished with the last picture; alone it would look as if all had been done.
        shutil.rmtree(bag, ignore_errors=True)
        raise


def _side_by_side(tasks: Sequence[Task], settings: str, jobs: int, bar: Any) -> list[Outcome]:
    """Recordings in processes of their own."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("Q", 0)
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, _open_worker, (done,))
    try:
        coming = [pool.submit(_counted, task, settings) for task in tasks]
        pending = set(coming)
        while pending:
            _, pending = wait(pending, _REFRESH_S)
            bar.update(done.value - bar.n)
        return [_fetched(future.result, task) for future, task in zip(coming, tasks, strict=True)]
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_frames_done: Any = None
"""In a process of `_side_by_side`: the number of frames that all of them have processed."""


_stopping = False
"""In a process of `_side_by_side`: whether it was told to end."""


def _open_worker(done: Any) -> None:
    global _frames_done  # noqa: PLW0603 - the only place where a pool's process can keep something
    _frames_done = done
    # Ctrl-C reaches all processes; the first one tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_terminate)
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _on_terminate(*_: object) -> None:
    global _stopping  # noqa: PLW0603
    # An exception out of here could strike between the making of a file and the care for it.
    _stopping = True


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(TERMINATED)


def _end_if_told() -> None:
    """Leave the recording, whose unfinished bag is removed on the way, and those that the pool still holds."""
    if _stopping:
        sys.exit(TERMINATED)


def _counted(task: Task, settings: str) -> Outcome:
    _end_if_told()

    def count() -> None:
        with _frames_done.get_lock():
            _frames_done.value += 1
        _end_if_told()

    return process(task, settings, count)


def _on_ray(tasks: Sequence[Task], settings: str, address: str, jobs: int, bar: Any) -> list[Outcome]:
    """Recordings on the machines of a Ray cluster; one that a machine takes down with it is tried elsewhere."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingDependencyError("--ray: Ray is not installed; install it with: pip install ray") from error
    try:
        ray.init(**({"address": address} if address else {"num_cpus": jobs}), log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MissingDependencyError(f"--ray {address}: no cluster there: {error}") from error
    try:
        remote = ray.remote(max_retries=1)(process)
        # A worker has a working directory of its own.
        coming = {remote.remote(_absolute(task), settings): task for task in tasks}
        outcomes: dict[Task, Outcome] = {}
        pending = list(coming)
        while pending:
            ready, pending = ray.wait(pending)
            for reference in ready:
                task = coming[reference]
                outcomes[task] = _fetched(partial(ray.get, reference), task)
                bar.update(outcomes[task].frames)
        return [outcomes[task] for task in tasks]
    finally:
        ray.shutdown()


def _absolute(task: Task) -> Task:
    return replace(task, recording=task.recording.resolve(), bag=task.bag.resolve())


def _fetched(get: Callable[[], Outcome], task: Task) -> Outcome:
    try:
        return get()
    except Exception as error:  # the worker died, its environment lacks the package, …
        text = " ".join(str(error).split())
        return Outcome(task.recording, 0, (), f"{task.recording}: {text} Run again with --resume")
