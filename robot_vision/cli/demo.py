"""`robot_vision demo`: plays a recording into the live pipeline and leaves video, pictures, result bag and report."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from robot_vision.data.sources import ImageSource, open_source
from robot_vision.errors import RobotVisionError
from robot_vision.shipped import shared_file

HELP = "play a bag or video into the pipeline and report what it found"
SAMPLE = "samples/simworld_handheld"
MARK = ".robot_vision_demo"
"""File by which a folder of results is known, so that nothing else is ever emptied."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision demo`.
    """
    parser.add_argument(
        "--bag", default="", help="ROS 2 bag (mcap or sqlite3) or video; the shipped sample if not given"
    )
    parser.add_argument("--model", default="", help="detector: a shipped model's name or an ONNX file")
    parser.add_argument("--params", type=Path, help="ROS parameter file for the pipeline, such as config/uav.yaml")
    parser.add_argument("--topic", default=None, help="image topic of the bag; needed only if it has several")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the results; emptied first")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: If a file is missing or a stage produced nothing.
    """
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    if args.params and not args.params.is_file():
        raise RobotVisionError(f"--params {args.params}: there is no such file")
    source = open_source(args.bag or _sample(), args.topic)
    if source.note:
        print(source.note)
    export_fastdds_profile()
    _empty(args.out)
    from robot_vision.evaluation.pictures import render_run  # noqa: PLC0415
    from robot_vision.evaluation.report import write_report  # noqa: PLC0415
    from robot_vision.evaluation.results import read_results  # noqa: PLC0415
    from robot_vision.evaluation.run import evaluate_run  # noqa: PLC0415
    from robot_vision.ros.demo import run_pipeline  # noqa: PLC0415 (loads the middleware, after its profile is set)

    parameters: dict[str, Any] = {"encoder.novelty": "true"}
    if args.model:
        parameters["detector.model"] = args.model
    demo = run_pipeline(source, parameters, args.params, args.out / "results", Table(source))
    received = demo.recorder.received
    arrivals = {topic: received[topic].arrivals_ns for topic in ("detections", "tracks", "latent")}
    report = evaluate_run(args.out / "results", source, demo.published_ns, arrivals)
    text, _ = write_report(report, args.out)
    render_run(source, read_results(args.out / "results").arrays["tracks"], args.out)
    written = sorted(path.name for path in args.out.iterdir() if path.name != MARK)
    print(f"\n{text.read_text()}\nResults: {', '.join(written)} in {args.out}/")
    if report.problems:
        raise RobotVisionError("; ".join(report.problems))
    if report.detected_objects == 0:
        raise RobotVisionError("the detector found no object in any frame; does it fit this recording?")
    return 0


class Table:
    """Prints the live state: in place on a terminal, a line every few seconds elsewhere."""

    def __init__(self, source: ImageSource) -> None:
        """Start.

        Args:
            source: The recording that is played.
        """
        self._total = source.count
        self._calls = 0
        self._live = sys.stdout.isatty()

    def __call__(self, recorder: Any) -> None:
        """Print the present state.

        Args:
            recorder: What has arrived so far.
        """
        self._calls += 1
        if not self._live and self._calls % 6:
            return
        received, line = recorder.received, ""
        newest = max(received["detections"].messages, default=None)
        if newest is not None:
            tracks = received["tracks"].messages.get(newest)
            latent = next(reversed(received["latent"].messages.values()), None)
            camera: dict[str, str] = recorder.camera()
            norm, novelty = _latent_figures(latent)
            line = (
                f"frames {received['detections'].count}/{self._total}"
                f" | {camera.get('rate_out_hz', '-')} Hz out of {camera.get('rate_in_hz', '-')}"
                f" | node p50 {camera.get('latency_p50_ms', '-')} p99 {camera.get('latency_p99_ms', '-')} ms"
                f" | dropped {camera.get('frames_dropped', '-')} bad {camera.get('bad_frames', '-')}"
                f" | objects {len(received['detections'].messages[newest].detections)}"
                f" tracks {len(tracks.detections) if tracks else '-'} | latent norm {norm} novelty {novelty}"
            )
        text = line or "waiting for the first result"
        print(f"\r\033[K{text}" if self._live else text, end="" if self._live else "\n", flush=True)


def _latent_figures(latent: Any) -> tuple[str, str]:
    if latent is None:
        return "-", "-"
    return f"{float(np.linalg.norm(latent.mean)):.2f}", f"{latent.novelty:.2f}"


def _sample() -> Path:
    sample = shared_file(SAMPLE)
    if sample is None:
        raise RobotVisionError(f"the shipped recording {SAMPLE} is not installed; give one with --bag")
    return sample


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise RobotVisionError(f"{folder} was not written by a demo and is not empty; give another --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
