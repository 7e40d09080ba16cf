"""Recordings processed offline: the same bytes as live and as before, and one bad recording spoils nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from robot_vision_msgs.msg import LatentState, TrackArray
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2DArray

from robot_vision.cli.main import main
from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import BagReader
from robot_vision.data.sources import open_source
from robot_vision.data.typestore import ros_typestore
from robot_vision.ros.recorder import TOPICS
from robot_vision.shipped import shared_file

RESULTS = {
    "/detections": Detection2DArray, "/tracks": Detection2DArray, "/track_states": TrackArray, "/latent": LatentState,
}  # fmt: skip
FRAMES = 20


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the shipped sample, with something else in between."""
    path = tmp_path_factory.mktemp("recordings") / "drive"
    with BagReader(shared_file("samples/simworld_handheld")) as sample, BagWriter(path) as writer:
        image_topic = open_source(shared_file("samples/simworld_handheld")).topic
        writer.add_topic(image_topic, "sensor_msgs/msg/CompressedImage")
        writer.add_topic("/camera/ground_truth", "vision_msgs/msg/Detection2DArray")
        images = 0
        for message in sample.raw([image_topic, "/camera/ground_truth"]):
            if images == FRAMES:
                break
            writer.write(message.topic, message.stamp_ns, message.data)
            images += message.topic == image_topic
    return path


def results_of(bag: Path) -> list[tuple[str, int, bytes]]:
    with BagReader(bag) as reader:
        return [(message.topic, message.stamp_ns, bytes(message.data)) for message in reader.raw([*RESULTS])]


def without_padding(topic: str, data: bytes) -> bytes:
    """The middleware leaves what was in memory between the fields of a message."""
    store, msgtype = ros_typestore(), TOPICS[topic.strip("/")][1]
    return bytes(store.serialize_cdr(store.deserialize_cdr(data, msgtype), msgtype))


def process(out: Path, *words: object) -> int:
    return main(["process", *map(str, words), "--out", str(out)])


def test_equals_the_live_node_and_itself_byte_for_byte(bench, recording: Path, tmp_path: Path) -> None:
    assert process(tmp_path / "a", recording) == 0
    assert process(tmp_path / "b", recording) == 0
    offline = results_of(tmp_path / "a" / "drive")
    assert offline == results_of(tmp_path / "b" / "drive")
    assert len(offline) == len(RESULTS) * FRAMES

    live: dict[str, list[bytes]] = {topic: [] for topic in RESULTS}
    for topic, kind in RESULTS.items():
        bench.node.create_subscription(kind, topic, live[topic].append, 50, raw=True)
    bench.start("perception_node", "camera.image_transport:=compressed")
    publisher = bench.node.create_publisher(CompressedImage, "/camera/image/compressed", QoSProfile(depth=5))
    bench.until(lambda: publisher.get_subscription_count() == 1, "the node to subscribe")
    bench.until(lambda: all(bench.node.count_publishers(topic) for topic in RESULTS), "all result topics")
    bench.rest(1.0)
    for number, image in enumerate(open_source(recording).messages(), start=1):
        publisher.publish(deserialize_message(bytes(image.data), CompressedImage))
        bench.until(lambda n=number: all(len(live[topic]) == n for topic in RESULTS), f"results of image {number}")
    for topic in RESULTS:
        processed = [data for name, _, data in offline if name == topic]
        assert processed == [without_padding(topic, data) for data in live[topic]], topic


def test_results_lie_beside_the_inputs_at_the_time_of_the_image(recording: Path, tmp_path: Path) -> None:
    assert process(tmp_path, recording, "--with-inputs", "--video") == 0
    with BagReader(tmp_path / "drive") as bag, BagReader(recording) as original:
        inputs = [(m.topic, m.stamp_ns, bytes(m.data)) for m in original.raw()]
        assert [(m.topic, m.stamp_ns, bytes(m.data)) for m in bag.raw([*original.topics])] == inputs
        image_times = [stamp for topic, stamp, _ in inputs if topic == open_source(recording).topic]
        assert [m.stamp_ns for m in bag.raw(["/tracks"])] == image_times
        assert bag.topics["/label_info"].message_count == 1
    assert [path.name for path in tmp_path.glob("drive_tracks.*")] in (["drive_tracks.mp4"], ["drive_tracks.avi"])


def test_processes_side_by_side_give_the_same(recording: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(recording, tmp_path / "in" / name) for name in ("one", "two")]
    assert process(tmp_path / "alone", recording) == 0
    assert process(tmp_path / "both", *copies, "--jobs", 2) == 0
    for name in ("one", "two"):
        assert results_of(tmp_path / "both" / name) == results_of(tmp_path / "alone" / "drive")


def test_a_ray_cluster_gives_the_same(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    copies = [shutil.copytree(recording, tmp_path / "in" / name) for name in ("one", "two")]
    assert process(tmp_path / "alone", recording) == 0
    assert process(tmp_path / "ray", *copies, tmp_path / "absent", "--ray", "--jobs", 2) == 1
    assert f"failed: {tmp_path / 'absent'}" in capsys.readouterr().err
    for name in ("one", "two"):
        assert results_of(tmp_path / "ray" / name) == results_of(tmp_path / "alone" / "drive")


def test_a_bad_recording_stops_no_other_and_is_listed(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(next(recording.glob("*.mcap")).read_bytes()[:20_000])
    assert process(tmp_path / "out", cut, tmp_path / "absent", recording) == 1
    said = capsys.readouterr()
    assert "1 of 3 recordings" in said.out
    assert f"failed: {cut}" in said.err
    assert f"failed: {tmp_path / 'absent'}" in said.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["drive"], "what failed leaves nothing"
    assert len(results_of(tmp_path / "out" / "drive")) == len(RESULTS) * FRAMES


def test_finished_recordings_are_left_out_only_on_request(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert process(tmp_path, recording) == 0
    before = next((tmp_path / "drive").glob("*.mcap")).stat().st_mtime_ns
    assert process(tmp_path, recording) == 1
    assert "exists already" in capsys.readouterr().err
    assert process(tmp_path, recording, "--resume") == 0
    assert next((tmp_path / "drive").glob("*.mcap")).stat().st_mtime_ns == before


def _hear_interrupts() -> None:
    """As from a terminal: programs that a script starts in the background ignore SIGINT, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_on_request_comes_soon_and_leaves_nothing(
    recording: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Neither unfinished bags and videos, nor processes that go on with the next recording."""
    copies = [str(shutil.copytree(recording, tmp_path / "in" / name)) for name in "abcdef"]
    out = tmp_path / "out"
    words = ["process", *copies, "--out", str(out), "--jobs", "2", "--video"]
    running = subprocess.Popen(
        [sys.executable, "-m", "robot_vision.cli.main", *words],
        start_new_session=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 - it calls nothing that a thread could hold a lock for
    )
    deadline_s = time.monotonic() + 60
    while len(list(out.glob("*.part"))) < 2:
        assert running.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.02)
    os.killpg(running.pid, number) if number == signal.SIGINT else running.terminate()
    assert running.wait(20) == status
    assert not [path.name for path in out.iterdir() if ".part" in path.name]
    assert len(list(out.iterdir())) < len(copies)


def test_what_cannot_be_copied_is_named_and_latched_topics_stay_so(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "drive.v1"
    with BagReader(recording) as bag, BagWriter(path) as writer:
        topic = open_source(recording).topic
        writer.add_topic(topic, "sensor_msgs/msg/CompressedImage")
        writer.add_topic("/map_name", "std_msgs/msg/String", latched=True)
        writer.add_topic("/tracks", "std_msgs/msg/String")
        text = ros_typestore().types["std_msgs/msg/String"](data="hall")
        for message in bag.raw([topic]):
            writer.write(topic, message.stamp_ns, message.data)
            for name in ("/map_name", "/tracks"):
                writer.write(name, message.stamp_ns, text)
    assert process(tmp_path / "out", path, "--with-inputs", "--video") == 0
    assert "/tracks is not copied: the results have a topic of that name" in capsys.readouterr().err
    with BagReader(tmp_path / "out" / "drive.v1") as bag:
        assert bag.topics["/map_name"].latched and not bag.topics[topic].latched
        assert bag.topics["/tracks"].message_count == FRAMES
    assert [entry.stem for entry in (tmp_path / "out").glob("*_tracks.*")] == ["drive.v1_tracks"]


def test_wrong_settings_are_one_error_before_any_work(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("/**: {ros__parameters: {detector: {model: none_such}}}")
    assert process(tmp_path / "out", recording, "--params", params) == 1
    assert "none_such" in capsys.readouterr().err
    assert process(tmp_path / "out", recording, recording) == 1
    assert "would both become" in capsys.readouterr().err
    assert process(tmp_path / "out", recording, "--jobs", 0) == 1
    assert not (tmp_path / "out").exists()
