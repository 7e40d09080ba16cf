"""What the detection stage costs beside its bare network: milliseconds and ratios from one run, one thread.

    python bench/detector.py [MODEL ...] [--image FILE] [--rounds N] [--provider cpu]

Without arguments it takes the shipped detector on a frame of its sample and, where the folder of test data is there,
the networks in it that need no card on a photo. Each round runs everything that is compared one after the other, so
that all of it sees the same machine. A pass is one frame through the whole stage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector, Inference
from robot_vision.errors import ModelError, RobotVisionError
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.batching import SharedSession
from robot_vision.runtime.card import InputSpec, ModelCard, load_card
from robot_vision.runtime.layouts import Output
from robot_vision.runtime.session import OnnxSession, Outputs
from robot_vision.shipped import shared_file
from robot_vision.types import Float32Array, Frame

ResultT = TypeVar("ResultT")
Times = dict[str, list[float]]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE_WH = (640, 480)
SHIPPED = "simworld_yolo"
STEPS = ("bare network", "preprocess", "network", "postprocess", "whole stage")
CELLS, CLASSES = 8400, 80
"""Of a COCO network of the YOLOv8 layout with an input of 640×640."""


def main() -> int:
    """Measure each model, then the stage without a network.

    Returns:
        Exit status: 0, or 1 if there was no model to measure.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="shipped model's name, or path of an ONNX file or card"
    )
    parser.add_argument("--image", type=Path, help="photo to look at")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--provider", default="cpu", choices=("cpu", "cuda", "tensorrt"), help="what networks run on")
    arguments = parser.parse_args()
    # Threads would hide what a step costs; the network runs on one, too.
    cv2.setNumThreads(1)
    header = "".join(f"{step + ' ms':>18s}" for step in STEPS)
    print(f"{'model':24s}{header}{'rate / bare':>13s}{'2x2 slices':>12s}{'2 cameras':>11s}{'found':>7s}")
    session = SessionParams(provider=arguments.provider, threads=1)
    models = arguments.models or default_models()
    measured = [report(model, session, arguments.image, arguments.rounds) for model in models]
    report_without_network(arguments.rounds * 5)
    return 0 if any(measured) else 1


def default_models() -> list[str]:
    """The shipped detector, and test networks that describe themselves."""
    return [SHIPPED, *map(str, sorted((SHARED / "models").glob("yolov*w*.onnx")))]


def read_frame(model: str, path: Path | None) -> Frame:
    """The image in camera size; without one, what the model knows: a frame of the sample, or a photo if it is there."""
    if path is None and model == SHIPPED:
        return next(islice(open_source(shared_file("samples/simworld_handheld")).frames(), 50, None))
    bgr = cv2.imread(str(path or SHARED / "images" / "bus.jpg"))
    if bgr is None:
        bgr = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 5)
    return Frame(cv2.cvtColor(cv2.resize(bgr, SIZE_WH), cv2.COLOR_BGR2RGB), 0, "camera")


def report(model: str, session: SessionParams, image: Path | None, rounds: int) -> bool:
    """Measure one detector and print its line.

    Returns:
        Whether the model could be opened.
    """
    try:
        card = load_card(model)
        detector = Detector(card, session, DetectorParams())
    except ModelError as error:
        print(f"{model}: {str(error).splitlines()[0]}", file=sys.stderr)
        return False
    frame = read_frame(model, image)
    sliced = Detector(card, session, DetectorParams(slice_columns=2, slice_rows=2), detector.session)
    network = SharedSession(OnnxSession(card, session, max_batch=2, pixels=True))
    cameras = [Detector(card, session, DetectorParams(), network) for _ in range(2)]
    times: Times = {name: [] for name in (*STEPS, "sliced", "cameras")}
    found, ready = detector.detect(frame), detector.session.new_input()
    with ThreadPoolExecutor(len(cameras)) as threads:
        for _ in range(rounds):
            timed(times["bare network"], partial(detector.session.run, ready))
            prepared = timed(times["preprocess"], partial(detector.prepare, frame))
            inference = timed(times["network"], partial(detector.infer, prepared))
            timed(times["postprocess"], partial(detector.finish, inference))
            timed(times["whole stage"], partial(detector.detect, frame))
            timed(times["sliced"], partial(sliced.detect, frame))
            timed(times["cameras"], lambda: list(threads.map(lambda camera: camera.detect(frame), cameras)))
    medians = {name: float(np.median(values)) * 1e3 for name, values in times.items()}
    cells = "".join(f"{medians[step]:18.3f}" for step in STEPS)
    passes = [f"{ratio(times, name, 'whole stage'):.2f} pass" for name in ("sliced", "cameras")]
    rate = ratio(times, "bare network", "whole stage")
    print(f"{card.name:24s}{cells}{rate:13.3f}{passes[0]:>12s}{passes[1]:>11s}{len(found):7d}", flush=True)
    return True


def ratio(times: Times, name: str, other: str) -> float:
    """Median over the rounds of one duration over the other."""
    return float(np.median(np.array(times[name]) / np.array(times[other])))


class NoNetwork:
    """Stands where a network is, for the measurements of everything else."""

    provider = device = "cpu"
    output_names = ("output0",)
    outputs = (Output("output0", (1, 4 + CLASSES, CELLS)),)
    max_batch = 1

    def new_input(self) -> Float32Array:
        """An input of 640×640."""
        return np.zeros((1, 3, 640, 640), np.float32)

    def new_outputs(self) -> None:
        """Nothing."""

    def run(self, _network_input: Float32Array, _into: Outputs | None = None) -> Outputs:
        """Nothing found."""
        return (np.zeros((1, 4 + CLASSES, CELLS), np.float32),)


def report_without_network(rounds: int) -> None:
    """Measure what is done before and after a network of 640×640 for a camera of 1280×720."""
    names = tuple(map(str, range(CLASSES)))
    card = ModelCard(
        "none", "detection", Path("none"), "0" * 64, InputSpec("images", (640, 640), "RGB", "letterbox", 114, 1 / 255),
        head="yolov8", class_names=names,
    )  # fmt: skip
    detector = Detector(card, SessionParams(), DetectorParams(), NoNetwork())
    rng = np.random.default_rng(0)
    frame = Frame(rng.integers(0, 256, (720, 1280, 3), np.uint8), 0, "camera")
    prepared = detector.prepare(frame)
    outputs = {"a usual scene": usual_scene(rng), "all candidates strong": strong_everywhere(rng)}
    times: Times = {name: [] for name in ("preprocess", *outputs)}
    for _ in range(rounds):
        timed(times["preprocess"], partial(detector.prepare, frame))
        for name, output in outputs.items():
            inference = Inference(((output,),), *prepared[1:])
            found = timed(times[name], partial(detector.finish, inference))
            assert len(found) <= detector.params.max_detections
    print(f"\nwithout a network, 1280x720 to 640x640, output [1, {4 + CLASSES}, {CELLS}]: median of {rounds} rounds")
    for name, values in times.items():
        print(f"  {name:24s}{float(np.median(values)) * 1e3:8.3f} ms")


def usual_scene(rng: np.random.Generator) -> Float32Array:
    """Twenty objects, each seen by a dozen cells; every other score is that of an empty cell."""
    output = weak_scores(rng)
    columns = rng.choice(CELLS, 240, replace=False).reshape(20, 12)
    for cells in columns:
        box = np.concatenate([rng.uniform(60, 580, 2), rng.uniform(20, 120, 2)])
        output[0, :4, cells] = box + rng.normal(0, 2, (len(cells), 4))
        output[0, 4 + rng.integers(CLASSES), cells] = rng.uniform(0.15, 0.95, len(cells))
    return output


def strong_everywhere(rng: np.random.Generator) -> Float32Array:
    """Every cell claims an object, as an untrained network or a threshold near zero would have it."""
    output = weak_scores(rng)
    output[0, :2] = rng.uniform(0, 640, (2, CELLS))
    output[0, 2:4] = rng.uniform(10, 100, (2, CELLS))
    output[0, 4 + rng.integers(CLASSES, size=CELLS), np.arange(CELLS)] = rng.uniform(0.2, 1, CELLS)
    return output


def weak_scores(rng: np.random.Generator) -> Float32Array:
    """An output in which no cell reaches the threshold."""
    output = rng.uniform(0, 0.02, (1, 4 + CLASSES, CELLS)).astype(np.float32)
    output[0, :4] += 10
    return output


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
