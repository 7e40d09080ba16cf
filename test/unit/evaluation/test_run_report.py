"""A result bag against its source: drops, stamps, accuracy and latency are what was put in."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.sources import open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.errors import BagError, EvaluationError
from robot_vision.evaluation.latency import latency_of
from robot_vision.evaluation.pictures import contact_sheet, render_run, write_video
from robot_vision.evaluation.report import markdown, write_report
from robot_vision.evaluation.results import read_results
from robot_vision.evaluation.run import evaluate_run

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 50_000_000
WALL_NS = 5_000_000_000
FRAMES = 20


def make(msgtype: str, *values):
    package, name = msgtype.split("/")
    return ros_typestore().types[f"{package}/msg/{name}"](*values)


def header(stamp_ns: int):
    return make("std_msgs/Header", make("builtin_interfaces/Time", *divmod(stamp_ns, 10**9)), "cam")


def array(stamp_ns: int, objects):
    """A Detection2DArray of (class, id, score, x1, y1, x2, y2)."""
    zeros = [make("geometry_msgs/Point", 0.0, 0.0, 0.0), make("geometry_msgs/Quaternion", 0.0, 0.0, 0.0, 1.0)]
    pose = make("geometry_msgs/PoseWithCovariance", make("geometry_msgs/Pose", *zeros), np.zeros(36))
    detections = []
    for class_name, identity, score, x1, y1, x2, y2 in objects:
        hypothesis = make("vision_msgs/ObjectHypothesis", class_name, float(score))
        centre = make("vision_msgs/Pose2D", make("vision_msgs/Point2D", (x1 + x2) / 2, (y1 + y2) / 2), 0.0)
        box = make("vision_msgs/BoundingBox2D", centre, float(x2 - x1), float(y2 - y1))
        result = make("vision_msgs/ObjectHypothesisWithPose", hypothesis, pose)
        detections.append(make("vision_msgs/Detection2D", header(stamp_ns), [result], box, identity))
    return make("vision_msgs/Detection2DArray", header(stamp_ns), detections)


def truth_at(index: int):
    """A mug that moves right, a can that stands, and one can that need not be found."""
    x = 4 * index
    return [("mug", "7", 0.9, x, 10, x + 20, 40), ("can", "3", 1.0, 60, 50, 90, 80), ("can", "4", 0.0, 2, 90, 20, 110)]


def stamp(index: int) -> int:
    return START_NS + index * PERIOD_NS


@pytest.fixture(scope="module")
def source_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "cam"
    with BagWriter(path) as bag:
        bag.add_topic("/camera/image", "sensor_msgs/msg/Image")
        bag.add_topic("/camera/ground_truth", "vision_msgs/msg/Detection2DArray")
        for index in range(FRAMES):
            pixels = np.full((121, 161, 3), 90, np.uint8)
            image = make("sensor_msgs/Image", header(stamp(index)), 121, 161, "rgb8", 0, 483, pixels.reshape(-1))
            bag.write("/camera/image", stamp(index), image)
            bag.write("/camera/ground_truth", stamp(index), array(stamp(index), truth_at(index)))
    return path


def write_results(path: Path, *, processed=range(FRAMES), shift_ns: int = 0, empty: bool = False, name="class") -> Path:
    numbers = {"mug": "0", "can": "1"}
    with BagWriter(path, "sqlite3") as bag:
        for topic, msgtype in (
            ("/robot/detections", "vision_msgs/msg/Detection2DArray"),
            ("/robot/tracks", "vision_msgs/msg/Detection2DArray"),
            ("/robot/latent", "robot_vision_msgs/msg/LatentState"),
            ("/robot/label_info", "vision_msgs/msg/LabelInfo"),
            ("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
        ):
            bag.add_topic(topic, msgtype)
        classes = [make("vision_msgs/VisionClass", 0, "mug"), make("vision_msgs/VisionClass", 1, "can")]
        bag.write("/robot/label_info", WALL_NS, make("vision_msgs/LabelInfo", header(0), classes, 0.1))
        for index in processed:
            now_ns, captured_ns = WALL_NS + index * PERIOD_NS + 8_000_000, stamp(index) + shift_ns
            found = [] if empty else [
                (numbers[row[0]] if name == "index" else row[0], str(100 + int(row[1])), 0.8, *row[3:])
                for row in truth_at(index)[:2]
            ]  # fmt: skip
            bag.write("/robot/detections", now_ns, array(captured_ns, found))
            bag.write("/robot/tracks", now_ns, array(captured_ns, found))
            latent = make("robot_vision_msgs/LatentState", header(captured_ns), np.zeros(4, np.float32),
                          np.zeros(0, np.float32), "vae", "00", 0.5)  # fmt: skip
            bag.write("/robot/latent", now_ns, latent)
        for level, p50 in ((1, "9.000"), (0, "4.000")):
            pairs = {"model": "m", "p50_ms": p50, "p95_ms": "5.000", "p99_ms": "6.000", "latency_p50_ms": "7"}
            values = [make("diagnostic_msgs/KeyValue", key, value) for key, value in pairs.items()]
            status = make("diagnostic_msgs/DiagnosticStatus", level, "node: detector", "running", "", values)
            bag.write("/diagnostics", WALL_NS + 1 - level, make("diagnostic_msgs/DiagnosticArray", header(1), [status]))
    return path


def test_perfect_run_with_every_frame(source_path, tmp_path) -> None:
    report = evaluate_run(write_results(tmp_path / "out"), open_source(source_path))
    assert (report.source_frames, report.dropped_frames, report.problems) == (FRAMES, 0, [])
    assert {name: (o.topic, o.messages, o.frames, o.restamped) for name, o in report.outputs.items()} == {
        name: (f"/robot/{name}", FRAMES, FRAMES, 0) for name in ("detections", "tracks", "latent")
    }
    assert report.outputs["detections"].rate_hz == pytest.approx(20.0)
    assert (report.detection.ap50, report.detection.ap) == pytest.approx((1, 1))
    assert (report.tracking.hota, report.tracking.idf1, report.tracking.mota) == pytest.approx((1, 1, 1))
    assert (report.detected_objects, report.track_ids) == (2 * FRAMES, 2)
    assert report.truth_topic == "/camera/ground_truth"


def test_dropped_frames_are_counted_and_left_out_of_the_accuracy(source_path, tmp_path) -> None:
    report = evaluate_run(write_results(tmp_path / "out", processed=range(0, FRAMES, 4)), open_source(source_path))
    assert (report.dropped_frames, report.outputs["tracks"].frames, report.tracking.frames) == (15, 5, 5)
    assert (report.detection.ap50, report.tracking.hota) == pytest.approx((1, 1))
    assert "15 frames (75.0%) have no detections" in markdown(report)


def test_class_indices_are_named_by_the_label_info(source_path, tmp_path) -> None:
    report = evaluate_run(write_results(tmp_path / "out", name="index"), open_source(source_path))
    assert report.detection.ap50_by_class == pytest.approx({"mug": 1.0, "can": 1.0})


def test_latency_is_from_publication_to_recording(source_path, tmp_path) -> None:
    path = write_results(tmp_path / "out")
    sent = {stamp(index): WALL_NS + index * PERIOD_NS for index in range(FRAMES)}
    source = open_source(source_path)
    delays = evaluate_run(path, source, sent).end_to_end
    assert set(delays) == {"detections", "tracks", "latent"}
    latency = delays["tracks"]
    assert (latency.p50_ms, latency.p99_ms, latency.max_ms, latency.count) == pytest.approx((8, 8, 8, FRAMES))
    arrivals = {"tracks": {stamp(0): WALL_NS + 1_000_000, stamp(1): WALL_NS + PERIOD_NS + 3_000_000, 99: 5}}
    report = evaluate_run(path, source, sent, arrivals)
    assert set(report.end_to_end) == {"tracks"}
    assert (report.end_to_end["tracks"].p50_ms, report.end_to_end["tracks"].count) == (pytest.approx(2), 2)
    assert "image published to tracks received | 2.00" in markdown(report)
    assert evaluate_run(path, source).end_to_end == {}


def test_last_diagnostics_are_kept(tmp_path) -> None:
    (stage,) = read_results(write_results(tmp_path / "out")).stages
    assert (stage.name, stage.level, stage.message, stage.values["model"]) == ("node: detector", 0, "running", "m")
    assert set(stage.latencies) == {""}
    assert (stage.latencies[""].p50_ms, stage.latencies[""].p99_ms) == (4.0, 6.0)


def test_what_must_not_be_is_a_problem(source_path, tmp_path) -> None:
    source = open_source(source_path)
    empty = evaluate_run(write_results(tmp_path / "empty", empty=True), source)
    assert [*empty.problems] == [
        "no object was detected in any of 20 frames",
        "no object was tracked in any of 20 frames",
    ]
    silent = evaluate_run(write_results(tmp_path / "silent", processed=[]), source)
    assert [*silent.problems] == [f"nothing was published on {name}" for name in ("detections", "tracks", "latent")]
    assert (silent.detection, silent.tracking, silent.dropped_frames) == (None, None, FRAMES)
    assert "## Problems" in markdown(silent)
    half = evaluate_run(write_results(tmp_path / "half", shift_ns=10 * PERIOD_NS), source)
    assert half.outputs["detections"].restamped == 10
    assert any("10 of 20 messages on /robot/detections have a stamp" in problem for problem in half.problems)
    with pytest.raises(EvaluationError, match="none of the outputs has the stamp"):
        evaluate_run(write_results(tmp_path / "other", shift_ns=1), source)
    with pytest.raises(BagError, match="no such bag"):
        evaluate_run(tmp_path / "missing", source)


def test_two_messages_with_one_stamp_are_refused(tmp_path) -> None:
    with BagWriter(tmp_path / "twice") as bag:
        bag.add_topic("/tracks", "vision_msgs/msg/Detection2DArray")
        bag.write("/tracks", 1, array(5, []))
        bag.write("/tracks", 2, array(5, []))
    with pytest.raises(EvaluationError, match=r"/tracks have the stamp 5 ns"):
        read_results(tmp_path / "twice")


def test_report_files_hold_the_figures(source_path, tmp_path) -> None:
    report = evaluate_run(write_results(tmp_path / "out"), open_source(source_path))
    text_path, json_path = write_report(report, tmp_path)
    text = text_path.read_text()
    for part in ("mAP50", "HOTA", "IDF1", "MOTA", "1.000", "node: detector", "4.00", "0 frames (0.0%)", "20.0"):
        assert part in text
    figures = json.loads(json_path.read_text())
    assert figures["tracking"]["hota"] == pytest.approx(1.0)
    assert figures["dropped_frames"] == 0
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_report(report, tmp_path / "no such folder")


def test_recording_without_ground_truth_says_so(tmp_path) -> None:
    path = tmp_path / "cam"
    with BagWriter(path) as bag:
        bag.add_topic("/i", "sensor_msgs/msg/Image")
        for index in range(FRAMES):
            bag.write(
                "/i", 1, make("sensor_msgs/Image", header(stamp(index)), 1, 1, "mono8", 0, 1, np.zeros(1, np.uint8))
            )
    report = evaluate_run(write_results(tmp_path / "out"), open_source(path))
    assert (report.detection, report.tracking) == (None, None)
    assert "no ground truth" in markdown(report)


def test_percentiles_by_hand() -> None:
    latency = latency_of([value * 1_000_000 for value in range(101)])
    assert (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms) == pytest.approx((50, 95, 99, 100))
    with pytest.raises(EvaluationError):
        latency_of([])


# --- pictures --------------------------------------------------------------------------------------------------------


def test_video_and_sheet_show_the_boxes(source_path, tmp_path) -> None:
    results = read_results(write_results(tmp_path / "out", processed=range(0, FRAMES, 2)))
    video, sheet = render_run(open_source(source_path), results.arrays["tracks"], tmp_path, tiles=6)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["out", video.name, "contact_sheet.png"])
    frames = list(open_source(video).frames())
    assert len(frames) == FRAMES
    assert frames[0].size_wh == (162, 122)
    drawn = [np.abs(frame.rgb[50:80, 58:92].astype(int) - 90).max() > 60 for frame in frames]
    assert drawn == [index % 2 == 0 for index in range(FRAMES)]
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] in range(1800, 1921)
    assert picture.std() > 5


def test_nothing_to_show_is_an_error(source_path, tmp_path) -> None:
    with pytest.raises(EvaluationError, match="nothing to draw"):
        render_run(open_source(source_path), {}, tmp_path)
    with pytest.raises(EvaluationError, match="at least one picture"):
        write_video(tmp_path / "v", iter([]), 10.0)
    with pytest.raises(EvaluationError, match="at least one picture"):
        contact_sheet([])
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(EvaluationError, match="no such folder"):
        write_video(tmp_path / "no such folder" / "v", iter([picture]), 10.0)


def test_a_video_that_the_disk_cuts_off_is_an_error_and_leaves_nothing(tmp_path) -> None:
    """A limit on the size of files stands for the full disk; OpenCV itself reports neither."""
    rng = np.random.default_rng(0)
    pictures = (rng.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(60))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(EvaluationError, match="of 60 pictures could be written; is the disk full"):
            write_video(tmp_path / "v", pictures, 20.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_sheet_has_every_picture_in_reading_order() -> None:
    pictures = [np.full((30, 40, 3), 40 * number, np.uint8) for number in range(1, 6)]
    sheet = contact_sheet(pictures, width=300)
    rows, columns = [sheet.shape[0] // 4, 3 * sheet.shape[0] // 4], [50, 150, 250]
    assert [int(sheet[y, x, 0]) for y in rows for x in columns] == [40, 80, 120, 160, 200, 24]
