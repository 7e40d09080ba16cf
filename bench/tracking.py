"""What one tracker update costs by number of objects, beside other trackers that are installed, in one run on one core.

    python bench/tracking.py [--objects N ...] [--seconds S]

Peers are used as installed libraries with their defaults (`trackers`, `supervision`, `norfair`, `motpy`); the ones that
are missing are named. All trackers see the same frames, one after the other in every block of frames, so that they
share whatever else the machine does.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType

import numpy as np

from robot_vision.evaluation.synthetic_tracks import crowd, generate
from robot_vision.params import TrackerParams
from robot_vision.tracking.tracker import Tracker
from robot_vision.types import Detections

Update = Callable[[Detections, int], object]
OURS = "robot_vision"
OBJECTS = (10, 50, 300, 1000)
RATE_HZ = 30.0
WARM_UP = 10
BLOCK = 10
FRAMES = 600
TRACKERS_CLASSES = ("SORTTracker", "ByteTrackTracker", "OCSORTTracker", "BoTSORTTracker", "CBIoUTracker")


def main() -> int:
    """Measure every tracker at every size and print one table.

    Returns:
        Exit status 0.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--objects", type=int, nargs="+", default=OBJECTS, help="objects a frame")
    parser.add_argument("--seconds", type=float, default=4.0, help="time for each tracker at each size, about")
    arguments = parser.parse_args()
    # One core, so that threads inside the libraries do not hide what an update costs.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    factories, missing = installed_trackers()
    print("ms per update: median / 95th percentile (times ours)")
    print(f"{'objects':>8s}" + "".join(f"{name:>30s}" for name in factories))
    for count in arguments.objects:
        samples = measure({name: factory() for name, factory in factories.items()}, count, arguments.seconds)
        ours = float(np.median(samples[OURS]))
        cells = (
            f"{np.median(times):.3f} / {np.percentile(times, 95):.3f} ({np.median(times) / ours:.1f}x)"
            for times in samples.values()
        )
        print(f"{count:8d}" + "".join(f"{cell:>30s}" for cell in cells), flush=True)
    for line in missing:
        print(line, file=sys.stderr)
    return 0


def measure(updates: dict[str, Update], count: int, seconds: float) -> dict[str, list[float]]:
    """Times of single updates.

    Args:
        updates: Trackers by name.
        count: Objects a frame.
        seconds: Time after which a tracker gets no further frames.

    Returns:
        Milliseconds of each update after the first few, by name.
    """
    samples: dict[str, list[float]] = {name: [] for name in updates}
    scene = replace(crowd(count), seconds=FRAMES / RATE_HZ, rates_hz=(RATE_HZ,), hidden_from=math.inf)
    world = generate(scene, seed=count)
    number = 0
    while number < FRAMES and any(sum(times) < 1e3 * seconds for times in samples.values()):
        block = [frame.detections for frame in itertools.islice(world, BLOCK)]
        for name, update in updates.items():
            if len(samples[name]) > 2 * WARM_UP and sum(samples[name]) > 1e3 * seconds:
                continue
            for offset, found in enumerate(block):
                stamp_ns = round((number + offset) * 1e9 / RATE_HZ)
                started = time.perf_counter_ns()
                update(found, stamp_ns)
                samples[name].append((time.perf_counter_ns() - started) * 1e-6)
        number += BLOCK
    return {name: times[WARM_UP:] for name, times in samples.items()}


def installed_trackers() -> tuple[dict[str, Callable[[], Update]], list[str]]:
    """Factories of our tracker and of the peers that can be imported, and a line for each that cannot."""
    factories: dict[str, Callable[[], Update]] = {OURS: lambda: Tracker(TrackerParams()).update}
    missing = []
    for name, add in (
        ("trackers", _add_trackers), ("supervision", _add_supervision), ("norfair", _add_norfair), ("motpy", _add_motpy)
    ):  # fmt: skip
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            missing.append(f"not installed, so not measured: {name} ({error})")
            continue
        if not add(module, factories):
            missing.append(f"installed, but has no tracker that is known here: {name}")
    return factories, missing


def _add_trackers(module: ModuleType, factories: dict[str, Callable[[], Update]]) -> bool:
    supervision = importlib.import_module("supervision")

    def factory(name: str) -> Update:
        tracker = getattr(module, name)()
        return lambda found, _: tracker.update(_as_supervision(supervision, found))

    known = [name for name in TRACKERS_CLASSES if hasattr(module, name)]
    for name in known:
        factories[f"trackers {name.removesuffix('Tracker')}"] = partial(factory, name)
    return bool(known)


def _add_supervision(module: ModuleType, factories: dict[str, Callable[[], Update]]) -> bool:
    if not hasattr(module, "ByteTrack"):
        return False

    def factory() -> Update:
        tracker = module.ByteTrack()
        return lambda found, _: tracker.update_with_detections(_as_supervision(module, found))

    factories["supervision ByteTrack"] = factory
    return True


def _as_supervision(supervision: ModuleType, found: Detections) -> object:
    return supervision.Detections(xyxy=found.boxes_xyxy, confidence=found.scores, class_id=found.class_ids)


def _add_norfair(module: ModuleType, factories: dict[str, Callable[[], Update]]) -> bool:
    def factory() -> Update:
        tracker = module.Tracker(distance_function="iou", distance_threshold=0.7)

        def update(found: Detections, _: int) -> object:
            corners, scores = found.boxes_xyxy.reshape(-1, 2, 2), found.scores
            values = [
                module.Detection(corner, np.full(2, score)) for corner, score in zip(corners, scores, strict=True)
            ]
            return tracker.update(values)

        return update

    factories["norfair"] = factory
    return True


def _add_motpy(module: ModuleType, factories: dict[str, Callable[[], Update]]) -> bool:
    def factory() -> Update:
        tracker = module.MultiObjectTracker(dt=1 / RATE_HZ)

        def update(found: Detections, _: int) -> object:
            boxes, scores = found.boxes_xyxy, found.scores
            values = [module.Detection(box=box, score=score) for box, score in zip(boxes, scores, strict=True)]
            return tracker.step(values)

        return update

    factories["motpy"] = factory
    return True


if __name__ == "__main__":
    sys.exit(main())
