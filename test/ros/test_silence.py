"""When nothing comes in: the node says why, and goes on reporting and obeying whatever the clock does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from robot_vision.ros.fastdds_profile import PROFILE_VARIABLES, profile_variables


def watch(bench) -> dict[str, DiagnosticStatus]:
    """The newest status of each part, by the last word of its name."""
    found: dict[str, DiagnosticStatus] = {}

    def keep(message: DiagnosticArray) -> None:
        found.update({status.name.split(": ")[1]: status for status in message.status})

    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    return found


@pytest.mark.parametrize("name", ["perception_node", "tracker_node"])
def test_simulated_time_that_stands_still_stops_neither_diagnostics_nor_shutdown(bench, name: str) -> None:
    """A paused simulator or a finished `ros2 bag play --clock`."""
    status = watch(bench)
    process = bench.start(name, "use_sim_time:=true")
    bench.until(lambda: "tracker" in status, "diagnostics")
    assert status["tracker"].level == DiagnosticStatus.WARN
    assert "nothing processed yet" in status["tracker"].message
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    bench.processes.clear()


@pytest.mark.parametrize(
    ("kind", "topic", "said"),
    [
        (CompressedImage, "/camera/image", "type mismatch: /camera/image carries sensor_msgs/msg/CompressedImage"),
        (
            CompressedImage,
            "/camera/image/compressed",
            "to mend it: ros2 run robot_vision detector_node --ros-args -r image:=/camera/image "
            "-p camera.image_transport:=compressed",
        ),
        (
            Image,
            "/robot/camera/image",
            "no publisher on /camera/image, but /robot/camera/image has sensor_msgs/msg/Image, which differs in its "
            "namespace only; to mend it: ros2 run robot_vision detector_node --ros-args -r image:=/robot/camera/image",
        ),
        (Image, "/camera/image", "publisher exists but is silent: no message from /bench in "),
    ],
)
def test_the_reason_why_no_frame_comes_is_told(bench, kind: type, topic: str, said: str) -> None:
    """In the log, once a reason, and in diagnostics as an error."""
    status = watch(bench)
    bench.node.create_publisher(kind, topic, QoSProfile(depth=1))
    bench.start("detector_node", "camera.stall_timeout:=0.5")
    bench.until(lambda: "camera" in status and said in status["camera"].message, "the reason in diagnostics")
    bench.until(lambda: status["camera"].level == DiagnosticStatus.ERROR, "an error")
    bench.until(lambda: said in bench.output("detector_node"), "the warning in the log")


def test_frames_that_are_lost_in_transport_are_told_from_silence(bench) -> None:
    """The middleware counts what it misses, also where nothing arrives: the remedy is the profile for the camera."""
    status = watch(bench)
    program = (
        "import array, time, rclpy; from rclpy.qos import QoSProfile, ReliabilityPolicy; "
        "from sensor_msgs.msg import Image; rclpy.init(); node = rclpy.create_node('camera'); "
        "p = node.create_publisher(Image, '/camera/image', QoSProfile(depth=1, "
        "reliability=ReliabilityPolicy.BEST_EFFORT)); "
        "m = Image(width=1920, height=1080, step=5760, encoding='bgr8', data=array.array('B', bytes(1080 * 5760)))\n"
        "while True: p.publish(m); time.sleep(0.05)"
    )
    environ = {**os.environ, **dict.fromkeys(PROFILE_VARIABLES, "")}
    bench.processes.append(subprocess.Popen([sys.executable, "-c", program], env=environ))
    bench.start("detector_node", "camera.stall_timeout:=0.5")
    said = "frames lost in transport"
    bench.until(lambda: "camera" in status and said in status["camera"].message, "the reason in diagnostics")
    assert f"export {profile_variables()[0]}=" in status["camera"].message

    bench.until(lambda: said in bench.output("detector_node"), "the warning in the log, also if a frame came through")


def test_a_camera_that_does_not_stamp_its_images_still_gives_tracks_that_end(bench) -> None:
    """Tracks then live by the time of arrival, and diagnostics count the messages without a stamp."""
    status = watch(bench)
    sizes: list[int] = []
    bench.node.create_subscription(
        Detection2DArray, "tracks", lambda message: sizes.append(len(message.detections)), 50
    )
    publisher = bench.node.create_publisher(Detection2DArray, "detections", QoSProfile(depth=10))
    bench.start("tracker_node")
    bench.until(lambda: publisher.get_subscription_count() == 1, "the node to subscribe")
    bench.until(lambda: bench.node.count_publishers("/tracks") == 1, "tracks")
    bench.rest(0.5)
    for number in range(20):
        detection = Detection2D(results=[ObjectHypothesisWithPose()])
        detection.results[0].hypothesis.class_id, detection.results[0].hypothesis.score = "ball", 0.9
        detection.bbox.center.position.x = detection.bbox.center.position.y = 100.0 + 100 * number
        detection.bbox.size_x = detection.bbox.size_y = 20.0
        publisher.publish(Detection2DArray(detections=[detection]))
        bench.until(lambda number=number: len(sizes) == number + 1, "tracks of each message")
    assert max(sizes) == 1
    values = {}
    bench.until(lambda: "tracker" in status and status["tracker"].level == DiagnosticStatus.OK, "diagnostics")
    bench.rest(1.2)
    values = {pair.key: pair.value for pair in status["tracker"].values}
    assert (values["unstamped_messages"], values["frames"]) == ("20", "20")


def test_a_remapping_to_the_compressed_topic_itself_is_answered_with_the_name_to_take(bench) -> None:
    """`image` is the base name; the transport's name is added by the node, as image_transport does."""
    status = watch(bench)
    bench.node.create_publisher(CompressedImage, "/camera/image/compressed", QoSProfile(depth=1))
    bench.start(
        "detector_node", "camera.stall_timeout:=0.5", "camera.image_transport:=compressed",
        topic="/camera/image/compressed",
    )  # fmt: skip
    said = "detector_node --ros-args -r image:=/camera/image -p camera.image_transport:=compressed"
    bench.until(lambda: "camera" in status and said in status["camera"].message, "the advice")


def test_a_topic_that_is_only_called_compressed_ends_nothing(bench) -> None:
    status = watch(bench)
    bench.start("detector_node", "camera.stall_timeout:=0.2", topic="/compressed")
    bench.until(lambda: "camera" in status and "no publisher on /compressed" in status["camera"].message, "the reason")


def test_the_stall_timeout_is_live_in_the_log_too(bench) -> None:
    bench.start("detector_node", "camera.stall_timeout:=1000.0")
    client = bench.client(SetParameters, "/detector_node/set_parameters")
    change = Parameter("camera.stall_timeout", value=0.5).to_parameter_msg()
    future = client.call_async(SetParameters.Request(parameters=[change]))
    bench.until(future.done, "the reply")
    assert future.result().results[0].successful
    bench.until(lambda: "no frame yet on /camera/image" in bench.output("detector_node"), "the warning in the log")
