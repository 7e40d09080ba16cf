"""`robot_vision record` over the middleware: what it finds, writes and refuses, and a replay of it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Goals
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot_vision_msgs.msg import LatentState, TrackArray
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from vision_msgs.msg import Detection2DArray, LabelInfo

from robot_vision.data.bags import BagReader
from robot_vision.shipped import shared_file

MAIN = [sys.executable, "-m", "robot_vision.cli.main"]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Recording:
    """A running `robot_vision record` and what it prints."""

    def __init__(self, bench, folder: Path, *words: str, **options) -> None:
        self.bag = folder / "recorded"
        self.log = folder / "record.log"
        command = [*MAIN, "record", "--out", str(self.bag), *words]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **options)
        self._bench = bench
        bench.processes.append(self.process)

    def waits_for(self, *topics: str) -> None:
        """Handle messages until these topics are being recorded."""
        lines = [f"recording {topic} (" for topic in topics]
        self._bench.until(lambda: all(line in self.log.read_text() for line in lines), f"recording of {topics}")
        # The publishers must know the subscription, too.
        self._bench.rest(0.5)

    def finish(self, end_signal: int | None = signal.SIGINT) -> str:
        """End the recording; what it printed."""
        self._bench.processes.remove(self.process)
        if end_signal is not None:
            self.process.send_signal(end_signal)
        self._bench.until(lambda: self.process.poll() is not None, "the end of the recording")
        output = self.log.read_text()
        assert "Traceback" not in output
        return output

    def messages(self) -> dict[str, list[bytes]]:
        """Recorded bytes by topic."""
        return messages_of(self.bag)


def messages_of(path: Path) -> dict[str, list[bytes]]:
    """Bytes of a bag's messages by topic, with the zeros that the middleware appends to a multiple of four bytes."""
    found: dict[str, list[bytes]] = defaultdict(list)
    with BagReader(path) as bag:
        for message in bag.raw():
            found[message.topic].append(bytes(message.data) + bytes(-len(message.data) % 4))
    return found


@pytest.mark.parametrize("end_signal", [signal.SIGINT, signal.SIGTERM])
def test_results_of_every_camera_are_recorded_whoever_comes_when(bench, tmp_path, end_signal) -> None:
    """Latched class names from before the recording, a publisher that comes late, two cameras; and nothing else."""
    node = bench.node
    node.create_publisher(LabelInfo, "/label_info", LATCHED).publish(LabelInfo(database_location="names"))
    kinds = {
        "/detections": Detection2DArray, "/front/tracks": Detection2DArray, "/track_states": TrackArray,
        "/rear/latent": LatentState, "/diagnostics": DiagnosticArray,
    }  # fmt: skip
    others = {"/chatter": String, "/front/image": Image, "/detections_of_others": Detection2DArray, "/a/latent": String}
    publishers = {topic: node.create_publisher(kind, topic, 10) for topic, kind in (kinds | others).items()}
    recording = Recording(bench, tmp_path)
    recording.waits_for("/label_info", *kinds)
    late = node.create_publisher(Detection2DArray, "/late/detections", BEST_EFFORT)
    recording.waits_for("/late/detections")
    before_ns = time.time_ns()
    for number in range(3):
        for topic, kind in (kinds | others).items():
            publishers[topic].publish(kind())
        late.publish(Detection2DArray(header=Header(frame_id=str(number))))
    bench.rest(0.5)
    output = recording.finish(end_signal)
    assert recording.process.returncode == 0, output
    expected = dict.fromkeys([*kinds, "/late/detections"], 3) | {"/label_info": 1}
    assert {topic: len(messages) for topic, messages in recording.messages().items()} == expected
    assert all(f"{count:7d}  {topic}" in output for topic, count in expected.items())
    with Reader(recording.bag) as reader:
        assert before_ns - 10 * 10**9 < reader.start_time < reader.end_time < time.time_ns()
        assert {connection.digest[:7] for connection in reader.connections} == {"RIHS01_"}
    text = (recording.bag / "metadata.yaml").read_text()
    assert all(key in text for key in ("storage_identifier: mcap", "version: 9", "starting_time:", "message_count: 19"))
    assert [entry.name for entry in tmp_path.iterdir() if "part" in entry.name] == []


@pytest.mark.parametrize("source", ["sample", "gen_person_raw_bgr8_mcap", "gen_person_compressed_db3",
                                    "ros_numpy_test_ros1.bag", "fiducials_aruco_marker_ros1.bag"])  # fmt: skip
def test_a_bag_that_is_replayed_and_recorded_is_the_same(bench, tmp_path, request, source) -> None:
    """Byte for byte and in order, topic by topic, from every storage."""
    sample = shared_file("samples/simworld_uav")
    path = sample if source == "sample" else request.getfixturevalue("shared_data") / "bags" / source
    topics = sorted(messages_of(path))
    recording = Recording(bench, tmp_path, "--topics", *topics)
    bench.until(lambda: ("record_node", "/") in bench.node.get_node_names_and_namespaces(), "the recorder")
    command = [*MAIN, "replay", str(path), "--all", "--rate", "2"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    bench.rest(0.5)
    output = recording.finish()
    assert recording.process.returncode == 0, output
    assert recording.messages() == messages_of(path)


def test_cameras_on_request_but_not_the_overlay(bench, tmp_path) -> None:
    """The overlay is drawn only for those who subscribe to it, so that nobody does."""
    publishers = {
        topic: bench.node.create_publisher(kind, topic, BEST_EFFORT)
        for topic, kind in (
            ("/cam/image", Image),
            ("/cam/image/compressed", CompressedImage),
            ("/annotated", Image),
            ("/cam/annotated/compressed", CompressedImage),
        )
    }
    recording = Recording(bench, tmp_path, "--images", "--duration", "1")
    recording.waits_for("/cam/image", "/cam/image/compressed")
    for overlay in ("/annotated", "/cam/annotated/compressed"):
        assert publishers[overlay].get_subscription_count() == 0
    publishers["/cam/image"].publish(Image(data=bytes(100)))
    publishers["/cam/image/compressed"].publish(CompressedImage(data=bytes(50)))
    began_s = time.monotonic()
    output = recording.finish(end_signal=None)
    assert 0.5 < time.monotonic() - began_s < 6.0
    assert recording.process.returncode == 0, output
    assert sorted(recording.messages()) == ["/cam/image", "/cam/image/compressed"]


def test_a_publisher_that_offers_less_is_heard_beside_one_that_offers_more(bench, tmp_path) -> None:
    """The subscription gives up what not all offer, and latched messages are not written twice."""
    first = bench.node.create_publisher(String, "/said", LATCHED)
    first.publish(String(data="before"))
    recording = Recording(bench, tmp_path, "--topics", "said")
    recording.waits_for("/said")
    second = bench.node.create_publisher(String, "/said", BEST_EFFORT)
    bench.until(lambda: second.get_subscription_count() == 1, "the second match")
    bench.rest(0.5)
    second.publish(String(data="second"))
    first.publish(String(data="first"))
    bench.rest(0.5)
    output = recording.finish()
    assert recording.process.returncode == 0, output
    texts = [data[8:].rstrip(b"\0").decode() for data in recording.messages()["/said"]]
    assert texts[0] == "before"
    assert sorted(texts[1:]) == ["first", "second"]


def test_a_type_that_only_this_installation_defines_is_recorded_with_its_definition(bench, tmp_path) -> None:
    """So that the bag can be read where the package is not: `nav_msgs/Goals` is newer than the rosbags library."""
    publisher = bench.node.create_publisher(Goals, "/goals", 10)
    recording = Recording(bench, tmp_path, "--topics", "/goals")
    recording.waits_for("/goals")
    publisher.publish(Goals(header=Header(frame_id="map"), goals=[PoseStamped(header=Header(frame_id="first"))]))
    bench.rest(0.3)
    output = recording.finish()
    assert recording.process.returncode == 0, output
    with BagReader(recording.bag) as bag:
        ((_, message),) = bag.messages("/goals")
    assert (message.header.frame_id, [goal.header.frame_id for goal in message.goals]) == ("map", ["first"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--all", "--images"], "--all: records every topic already"),
        (["--duration", "-1"], "--duration: must be within"),
        (["--topics", "/a b"], "topics: '/a b' is not a valid topic name"),
    ],
)
def test_wrong_use_is_told_and_leaves_nothing(tmp_path, words, reason) -> None:
    command = [*MAIN, "record", "--out", str(tmp_path / "bag"), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bag_is_refused(tmp_path) -> None:
    (tmp_path / "bag").mkdir()
    command = [*MAIN, "record", "--out", str(tmp_path / "bag")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "exists already and is not overwritten" in done.stderr


def test_a_recording_of_nothing_says_so(bench, tmp_path) -> None:
    """Better than an empty bag that is noticed at home."""
    recording = Recording(bench, tmp_path, "--topics", "/nobody")
    bench.until(lambda: ("record_node", "/") in bench.node.get_node_names_and_namespaces(), "the recorder")
    output = recording.finish()
    assert recording.process.returncode == 1
    assert "nothing was recorded, nobody published on /nobody" in output
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.log"]


def publish_until_ended(bench, recording: Recording) -> None:
    """Publish pictures of a hundred kilobytes until the recording gives up."""
    publisher = bench.node.create_publisher(Image, "/cam/image", 10)
    recording.waits_for("/cam/image")
    picture = Image(data=bytes(range(250)) * 400)
    deadline_s = time.monotonic() + 20
    while recording.process.poll() is None and time.monotonic() < deadline_s:
        publisher.publish(picture)
        time.sleep(0.005)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a small disk needs root and unshare")
def test_a_full_disk_ends_the_recording_with_a_whole_bag(bench, tmp_path) -> None:
    """A clear error, and everything until then in a bag that opens."""
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    script = f"mount -t tmpfs -o size=16m tmpfs {small} && {' '.join(MAIN)} record --images --out {small}/bag; " \
             f"status=$?; cp -r {small} {kept}; exit $status"  # fmt: skip
    with (tmp_path / "record.log").open("wb") as log:
        process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=log, stderr=subprocess.STDOUT)
    recording = Recording.__new__(Recording)
    recording.log, recording.process, recording._bench = tmp_path / "record.log", process, bench
    bench.processes.append(process)
    publish_until_ended(bench, recording)
    bench.processes.clear()
    output = recording.log.read_text()
    if "permission denied" in output:
        pytest.skip("mounting is not permitted here")
    assert process.returncode == 1, output
    assert "the disk is full" in output
    assert "the messages until then are in the bag" in output
    with BagReader(kept / "bag") as bag:
        assert f"recorded {sum(1 for _ in bag.raw())} messages" in output
        assert bag.topics["/cam/image"].message_count > 50
    assert [entry.name for entry in kept.iterdir()] == ["bag"]


def test_a_failing_disk_leaves_what_was_written(bench, tmp_path) -> None:
    """A limit that no free space announces: the bag ends with the last part that the disk took."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))  # noqa: E731
    recording = Recording(bench, tmp_path, "--images", preexec_fn=limit)
    publish_until_ended(bench, recording)
    bench.processes.clear()
    output = recording.log.read_text()
    assert recording.process.returncode == 1
    assert "File too large; the messages until then are in the bag" in output
    assert "Traceback" not in output
    messages = recording.messages()["/cam/image"]
    assert 25 < len(messages) < 40
    assert {len(message) for message in messages} == {len(messages[0])}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["record.log", "recorded"]
