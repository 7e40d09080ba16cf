"""`robot_vision replay` and `replay_node` over the middleware: what arrives, when, and on whose command."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags import rosbag1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.typestore import ros_typestore

MAIN = [sys.executable, "-m", "robot_vision.cli.main"]
START_NS = 1_700_000_000 * 10**9
PERIOD_NS = 33_333_333


def write_bag(path: Path, count: int, period_ns: int = PERIOD_NS) -> Path:
    """A latched text, then numbered headers at a steady pace."""
    types = ros_typestore().types
    with BagWriter(path) as bag:
        bag.add_topic("/words", "std_msgs/msg/String", latched=True)
        bag.add_topic("/head", "std_msgs/msg/Header")
        bag.write("/words", START_NS, types["std_msgs/msg/String"]("hello"))
        for index in range(count):
            stamp = types["builtin_interfaces/msg/Time"](index, 0)
            bag.write("/head", START_NS + index * period_ns, types["std_msgs/msg/Header"](stamp, "cam"))
    return path


def begin(bench, tmp_path: Path, *words: object) -> subprocess.Popen:
    """Start `robot_vision replay`; what it prints goes to replay.log."""
    with (tmp_path / "replay.log").open("wb") as log:
        process = subprocess.Popen([*MAIN, "replay", *map(str, words)], stdout=log, stderr=subprocess.STDOUT)
    bench.processes.append(process)
    return process


def finish(bench, process: subprocess.Popen, tmp_path: Path, timeout_s: float = 30.0) -> str:
    """Handle messages until a replay ends with success; what it printed."""
    bench.processes.remove(process)
    bench.until(lambda: process.poll() is not None, "the end of the replay", timeout_s)
    bench.rest(0.3)
    output = (tmp_path / "replay.log").read_text()
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def call(bench, name: str) -> str:
    """Call a service of the replay; its reply in words."""
    client = bench.client(Trigger, f"/replay_node/{name}")
    future = client.call_async(Trigger.Request())
    bench.until(future.done, f"a reply of {name}")
    assert future.result().success
    return future.result().message


@pytest.fixture
def headers(bench) -> list[int]:
    """Numbers of the headers that arrive on /head."""
    found: list[int] = []
    bench.node.create_subscription(Header, "/head", lambda message: found.append(message.stamp.sec), 100)
    return found


def test_steps_and_pauses_on_command(bench, tmp_path, headers) -> None:
    """Nothing before the first step, one message each step, the rest at its pace after resume."""
    bag = write_bag(tmp_path / "bag", 60, 50_000_000)
    process = begin(bench, tmp_path, bag, "--topics", "/head", "--start-paused")
    assert call(bench, "pause") == "paused"
    bench.rest(1.5)
    assert headers == []
    for number in (1, 2):
        assert call(bench, "step") == "one message more"
        bench.until(lambda number=number: len(headers) == number, "the message of a step")
        bench.rest(0.2)
        assert headers == list(range(number))
    assert call(bench, "resume") == "playing"
    bench.until(lambda: len(headers) >= 10, "some messages")
    call(bench, "pause")
    bench.rest(0.3)
    held = len(headers)
    bench.rest(0.5)
    assert len(headers) == held < 60
    call(bench, "resume")
    output = finish(bench, process, tmp_path)
    assert headers == list(range(60))
    assert "published 60 messages" in output


def test_a_pause_shifts_the_rest_and_does_not_bunch_it(bench, tmp_path, headers) -> None:
    """What was due during the pause does not come at once afterwards."""
    bag = write_bag(tmp_path / "bag", 30, 50_000_000)
    process = begin(bench, tmp_path, bag, "--topics", "/head", "--log", tmp_path / "log.json")
    bench.until(lambda: len(headers) >= 5, "some messages")
    call(bench, "pause")
    bench.rest(1.0)
    call(bench, "resume")
    finish(bench, process, tmp_path)
    gaps_s = np.diff([when for _, when in json.loads((tmp_path / "log.json").read_text())]) / 1e9
    assert len(gaps_s) == 29
    assert (gaps_s > 0.7).sum() == 1
    assert np.sort(gaps_s)[2] > 0.03


def test_messages_leave_at_their_time(bench, tmp_path, headers) -> None:
    """None before its time, however busy the machine is; how late they are is for bench/replay.py."""
    bag = write_bag(tmp_path / "bag", 60)
    finish(bench, begin(bench, tmp_path, bag, "--topics", "/head", "--log", tmp_path / "log.json"), tmp_path)
    log = np.array(json.loads((tmp_path / "log.json").read_text()))
    late_ms = ((log[:, 1] - log[0, 1]) - (log[:, 0] - log[0, 0])) / 1e6
    assert len(late_ms) == 60
    # A first message that was held up between its time and its publication makes all others look early.
    assert np.median(late_ms) > -5.0


def test_who_comes_late_gets_latched_messages(bench, tmp_path, headers) -> None:
    """Like those who came late to the recorded publisher."""
    bag = write_bag(tmp_path / "bag", 90)
    process = begin(bench, tmp_path, bag, "--all")
    bench.until(lambda: len(headers) > 5, "some messages")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    words: list[str] = []
    bench.node.create_subscription(String, "/words", lambda message: words.append(message.data), latched)
    bench.until(lambda: words == ["hello"], "the latched message")
    output = finish(bench, process, tmp_path)
    assert re.search(r"^ +90  /head\n +1  /words$", output, re.MULTILINE), output


def test_the_clock_runs_with_the_messages_and_back_in_a_loop(bench, tmp_path, headers) -> None:
    """Each message's own time is on /clock, with ticks between; a loop leads back to the recorded start."""
    bag = write_bag(tmp_path / "bag", 4, 200_000_000)
    clock: list[int] = []
    bench.node.create_subscription(
        Clock, "/clock", lambda message: clock.append(message.clock.sec * 10**9 + message.clock.nanosec), 100
    )
    process = begin(bench, tmp_path, bag, "--topics", "/head", "--clock", "20", "--loop")
    bench.until(lambda: len(headers) >= 10, "two loops")
    process.send_signal(signal.SIGINT)
    finish(bench, process, tmp_path)
    assert headers[:8] == [0, 1, 2, 3, 0, 1, 2, 3]
    back = [index for index, gap in enumerate(np.diff(clock)) if gap < 0]
    assert len(back) >= 2
    one_pass = clock[back[0] + 1 : back[1] + 1]
    assert one_pass[0] == START_NS
    assert one_pass[-1] == START_NS + 3 * 200_000_000
    assert set(START_NS + np.arange(4) * 200_000_000) <= set(one_pass)
    assert 11 <= len(one_pass) <= 14


def test_topics_are_remapped_and_the_part_is_that_asked_for(bench, tmp_path) -> None:
    found: list[int] = []
    bench.node.create_subscription(Header, "/other/name", lambda message: found.append(message.stamp.sec), 100)
    bag = write_bag(tmp_path / "bag", 10, 100_000_000)
    words = ["--topics", "/head", "--remap", "/head:=/other/name", "--start", "0.35", "--duration", "0.3"]
    output = finish(bench, begin(bench, tmp_path, bag, *words), tmp_path)
    assert found == [4, 5, 6]
    assert "3  /other/name" in output


def test_an_interrupt_ends_at_once_and_says_what_was_published(bench, tmp_path, headers) -> None:
    """In the middle of a long gap, too."""
    bag = write_bag(tmp_path / "bag", 3, 60 * 10**9)
    process = begin(bench, tmp_path, bag, "--all")
    bench.until(lambda: len(headers) == 1, "the first message")
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    output = finish(bench, process, tmp_path, timeout_s=5.0)
    assert time.monotonic() - began_s < 3.0
    assert "published 2 messages" in output


def test_what_would_be_misread_or_is_not_installed_is_named_and_skipped(bench, tmp_path, headers) -> None:
    """A type of a package that is not there, and one whose fields have changed since the recording."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("int32 x", "absent_msgs/msg/Thing"))
    store.register(get_types_from_msg("string old\nint32 number", "vision_msgs/msg/Point2D"))
    store.register(get_types_from_msg("builtin_interfaces/Time stamp\nstring frame_id", "std_msgs/msg/Header"))
    store.register(get_types_from_msg("int32 sec\nuint32 nanosec", "builtin_interfaces/msg/Time"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, msgtype, values in (
            ("/gone", "absent_msgs/msg/Thing", (5,)),
            ("/changed", "vision_msgs/msg/Point2D", ("a", 1)),
            ("/head", "std_msgs/msg/Header", (store.types["builtin_interfaces/msg/Time"](7, 0), "cam")),
        ):
            connection = writer.add_connection(topic, msgtype, typestore=store)
            writer.write(connection, START_NS, store.serialize_cdr(store.types[msgtype](*values), msgtype))
    output = finish(bench, begin(bench, tmp_path, tmp_path / "bag", "--all"), tmp_path)
    assert headers == [7]
    assert "absent_msgs/msg/Thing is not installed; install absent_msgs (`sudo apt install ros-" in output
    assert "skipped /changed (vision_msgs/msg/Point2D, 1 messages): recorded with another definition" in output
    assert "`string old` in the recording, `double x` as installed" in output


def test_real_bags_of_ros_1_are_published_by_their_own_names(bench, tmp_path, shared_data) -> None:
    """Nine types of a real recording, among them a point cloud and a map."""
    bag = shared_data / "bags" / "ros_numpy_test_ros1.bag"
    output = finish(bench, begin(bench, tmp_path, bag, "--all", "--wait", "0", "--rate", "0"), tmp_path)
    assert "published 9 messages" in output
    assert "skipped" not in output


def test_a_type_that_changed_since_ros_1_is_skipped_and_the_others_are_not(bench, tmp_path, headers) -> None:
    """ROS 2 gave `sensor_msgs/Range` a variance; a relative topic name is completed."""
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    head = types["std_msgs/msg/Header"](3, types["builtin_interfaces/msg/Time"](9, 0), "cam")
    with rosbag1.Writer(tmp_path / "old.bag") as writer:
        for topic, msgtype, message in (
            ("/sonar", "sensor_msgs/msg/Range", types["sensor_msgs/msg/Range"](head, 0, 0.1, 0.2, 3.0, 1.0)),
            ("head", "std_msgs/msg/Header", head),
        ):
            connection = writer.add_connection(topic, msgtype, typestore=store)
            writer.write(connection, START_NS, store.serialize_ros1(message, msgtype))
    output = finish(bench, begin(bench, tmp_path, tmp_path / "old.bag", "--all"), tmp_path)
    assert headers == [9]
    assert "sensor_msgs/msg/Range has 6 fields in the recording, 7 as installed" in output
    assert "head is published as /head" in output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--topics", "/nope"], "no message on topic /nope in this bag; its topics with messages are: /head"),
        (["--all", "--rate", "-1"], "--rate: must be within [0, 1e+06]"),
        (["--all", "--topic", "/x"], "a remapping (from:=to) changes it"),
        (["--all", "--remap", "/head=/x"], "remap: expected rules from:=to with valid topic names, got /head=/x"),
        (["--all", "--start", "100"], "nothing is recorded from 100 s on"),
        (["--topics", "/head", "--wait", "0.1"], "nobody subscribed to /head within 0.1 s"),
        ([], "this bag holds no images"),
    ],
)
def test_wrong_use_is_told_in_one_line(tmp_path, words, reason) -> None:
    words = words if "--wait" in words else [*words, "--wait", "0"]
    command = [*MAIN, "replay", str(write_bag(tmp_path / "bag", 2)), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_keys_of_a_terminal_step_and_end(bench, tmp_path, headers) -> None:
    """And the terminal is left as it was."""
    leader, follower = pty.openpty()
    before = termios.tcgetattr(follower)
    bag = write_bag(tmp_path / "bag", 60, 10**9)

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    command = [*MAIN, "replay", str(bag), "--topics", "/head", "--start-paused"]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, preexec_fn=take_terminal  # noqa: PLW1509
    )  # fmt: skip
    printed = b""
    while b"space: pause" not in printed:
        printed += os.read(leader, 1000)
    bench.until(lambda: bench.node.count_publishers("/head") == 1, "the publisher")
    for number, key in enumerate((b"s", b"\x1b[C", b"s"), start=1):
        os.write(leader, key)
        bench.until(lambda number=number: len(headers) == number, "the message of a step")
    os.write(leader, b"q")
    assert process.wait(10) == 0
    assert headers == [0, 1, 2]
    assert termios.tcgetattr(follower) == before


def test_the_node_takes_its_settings_as_parameters(bench, tmp_path, headers) -> None:
    """As a launch file gives them, remapping included."""
    bag = write_bag(tmp_path / "bag", 5)
    found: list[int] = []
    bench.node.create_subscription(Header, "/renamed", lambda message: found.append(message.stamp.sec), 100)
    command = [sys.executable, "-m", "robot_vision.ros.replay_node", "--ros-args", "-r", "/head:=/renamed"]
    command += ["-p", f"bag:={bag}", "-p", "topics:=[/head]", "-p", "rate:=2", "-p", "clock:=10.0"]
    with (tmp_path / "replay.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    bench.processes.append(process)
    output = finish(bench, process, tmp_path)
    assert found == [0, 1, 2, 3, 4]
    assert "5  /renamed" in output


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ([], "parameter bag: give the recording to publish"),
        (["bag:=/nowhere"], "/nowhere: there is no such bag"),
        (["bag:=/nowhere", "rate:=fast"], "rate: expected float, got str 'fast'"),
        (["bag:=/nowhere", "rate:=-1.0"], "rate"),
    ],
)
def test_the_node_refuses_what_it_cannot_play(parameters, reason) -> None:
    words = [word for parameter in parameters for word in ("-p", parameter)]
    command = [sys.executable, "-m", "robot_vision.ros.replay_node", "--ros-args", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
