"""`robot_vision demo`: plays a recording into the live pipeline and leaves video, pictures, a result bag and a report."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from robot_vision.data.sources import ImageSource, open_source
from robot_vision.errors import RobotVisionError
from robot_vision.overlay import box_label, draw_boxes

if TYPE_CHECKING:
    from robot_vision.evaluation.ground_truth import RecordedArray

HELP = "play a bag or video into the pipeline and report what it found"
SAMPLE = "samples/simworld_handheld"
SHEET_TILES = 9
SHEET_TILE_WIDTH = 480


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision demo`.
    """
    parser.add_argument(
        "--bag", default="", help="ROS 2 bag (mcap or sqlite3) or video; the shipped sample if not given"
    )
    parser.add_argument("--model", default="", help="detector: a shipped model's name or an ONNX file")
    parser.add_argument("--topic", default=None, help="image topic of the bag; needed only if it has several")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the results; emptied first")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: If a stage produced nothing.
    """
    from robot_vision.ros.spin import export_fastdds_profile  # noqa: PLC0415

    source = open_source(args.bag or _sample(), args.topic)
    if source.note:
        print(source.note)
    export_fastdds_profile()
    _empty(args.out)
    from robot_vision.ros.demo import run_pipeline  # noqa: PLC0415 (loads the middleware, after its profile is set)

    parameters: dict[str, Any] = {"encoder.novelty": "true"}
    if args.model:
        parameters["detector.model"] = args.model
    demo = run_pipeline(source, parameters, args.out / "results", Table(source))
    received = demo.recorder.received
    silent = [topic for topic in ("detections", "tracks", "latent", "label_info") if received[topic].count == 0]
    if silent:
        raise RobotVisionError(f"nothing arrived on {', '.join(silent)}: a stage produced no result")
    return _report(source, args, demo)


def _report(source: ImageSource, args: argparse.Namespace, demo: Any) -> int:
    from robot_vision.data.bags import BagReader  # noqa: PLC0415
    from robot_vision.evaluation.ground_truth import read_arrays  # noqa: PLC0415
    from robot_vision.evaluation.summary import RunResults, summarise, write_summary  # noqa: PLC0415

    received = demo.recorder.received
    with BagReader(args.out / "results") as bag:
        detections, tracks = read_arrays(bag, "/detections"), read_arrays(bag, "/tracks")
    info = next(iter(received["label_info"].messages.values()))
    arrivals = {topic: received[topic].arrivals_ns for topic in ("detections", "tracks", "latent")}
    names = tuple(entry.class_name for entry in info.class_map)
    results = RunResults(
        Path(source.path), args.model or "the shipped detector", demo.published_ns, arrivals, detections, tracks, names
    )
    summary = summarise(results)
    report = write_summary(summary, args.out)
    _draw(source, tracks, args.out)
    print(f"\n{report.read_text()}\nResults: {', '.join(sorted(p.name for p in args.out.iterdir()))} in {args.out}/")
    if summary["boxes"] == 0:
        raise RobotVisionError("the detector found no object in any frame; does it fit this recording?")
    return 0


def _draw(source: ImageSource, tracks: dict[int, RecordedArray], folder: Path) -> None:
    width, height = next(iter(source.frames())).size_wh
    video = cv2.VideoWriter(
        str(folder / "annotated.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), max(source.rate_hz, 1.0), (width, height)
    )
    chosen = set(np.linspace(0, max(0, source.count - 1), SHEET_TILES).astype(int).tolist())
    tiles = []
    for number, frame in enumerate(source.frames()):
        rgb = frame.rgb
        found = tracks.get(frame.stamp_ns)
        if found is not None:
            rows = zip(found.class_names, found.ids, found.scores, strict=True)
            labels = [box_label(name, identity, float(score)) for name, identity, score in rows]
            rgb = draw_boxes(rgb, found.boxes_xyxy, labels, [int(identity) for identity in found.ids])
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        video.write(bgr)
        if number in chosen:
            tile_height = round(SHEET_TILE_WIDTH * height / width)
            tiles.append(cv2.resize(bgr, (SHEET_TILE_WIDTH, tile_height), interpolation=cv2.INTER_AREA))
    video.release()
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 3)
    rows_of_tiles = [np.hstack(tiles[start : start + 3]) for start in range(0, len(tiles), 3)]
    cv2.imwrite(str(folder / "contact_sheet.png"), np.vstack(rows_of_tiles))


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
            camera = next((v for name, v in recorder.diagnostics.items() if name.endswith("camera")), {})
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
    from robot_vision.shipped import shared_file  # noqa: PLC0415

    sample = shared_file(SAMPLE)
    if sample is None:
        raise RobotVisionError(f"the shipped recording {SAMPLE} is not installed; give one with --bag")
    return sample


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / "report.json").exists():
        raise RobotVisionError(f"{folder} holds something else than results of a demo; give another --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
