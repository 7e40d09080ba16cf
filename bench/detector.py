"""What the detection stage costs beside its bare network: milliseconds a step and ratios from one run, one thread.

    python bench/detector.py [MODEL ...] [--image FILE] [--rounds N]

Without arguments it takes the shipped detector and, where the folder of test data is there, the networks in it that
need no card. Each round runs the bare network on ready tensors and the whole stage one after the other, so that both
see the same machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from robot_vision.detection.yolo import Detector
from robot_vision.errors import ModelError, RobotVisionError
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import load_card
from robot_vision.types import Frame

ResultT = TypeVar("ResultT")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE_WH = (640, 480)
STEPS = ("bare network", "preprocess", "network", "postprocess", "whole stage")


def main() -> int:
    """Measure each model and print one line a model.

    Returns:
        Exit status: 0, or 1 if there was no model to measure.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="shipped model's name, or path of an ONNX file or card"
    )
    parser.add_argument("--image", type=Path, default=SHARED / "images" / "bus.jpg")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    # Threads would hide what a step costs; the network runs on one, too.
    cv2.setNumThreads(1)
    frame = read_frame(arguments.image)
    measured = 0
    print(f"{'model':24s}" + "".join(f"{step + ' ms':>18s}" for step in STEPS) + f"{'stage / bare':>14s}{'found':>7s}")
    for model in arguments.models or default_models():
        try:
            detector = Detector(load_card(model), SessionParams(provider="cpu", threads=1), DetectorParams())
        except ModelError as error:
            print(f"{model}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        report(detector, frame, arguments.rounds)
        measured += 1
    return 0 if measured else 1


def default_models() -> list[str]:
    """The shipped detector, and test networks that describe themselves."""
    return ["simworld_yolo", *map(str, sorted((SHARED / "models").glob("yolov*w*.onnx")))]


def read_frame(path: Path) -> Frame:
    """The image in camera size; smooth noise where there is no such file."""
    bgr = cv2.imread(str(path))
    if bgr is None:
        bgr = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 5)
    return Frame(cv2.cvtColor(cv2.resize(bgr, SIZE_WH), cv2.COLOR_BGR2RGB), 0, "camera")


def report(detector: Detector, frame: Frame, rounds: int) -> None:
    """Measure one detector and print its line."""
    times: dict[str, list[float]] = {step: [] for step in STEPS}
    found, ready = detector.detect(frame), detector.session.new_input()
    for _ in range(rounds):
        timed(times["bare network"], partial(detector.session.run, ready))
        prepared = timed(times["preprocess"], partial(detector.prepare, frame))
        inference = timed(times["network"], partial(detector.infer, prepared))
        timed(times["postprocess"], partial(detector.finish, inference))
        timed(times["whole stage"], partial(detector.detect, frame))
    medians = {step: float(np.median(values)) * 1e3 for step, values in times.items()}
    ratio = medians["whole stage"] / medians["bare network"]
    cells = "".join(f"{medians[step]:18.3f}" for step in STEPS)
    print(f"{detector.card.name:24s}{cells}{ratio:14.3f}{len(found):7d}", flush=True)


def timed(times: list[float], call: Callable[[], ResultT]) -> ResultT:
    """Result of a call, whose duration in seconds is appended."""
    start = time.perf_counter()
    result = call()
    times.append(time.perf_counter() - start)
    return result


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RobotVisionError as error:
        sys.exit(f"bench/detector.py: {error}")
