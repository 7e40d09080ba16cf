"""The launch files, run by the real launch on the installed package: results, arguments, and an end in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HOW = "run it in a colcon workspace with this package built and ROS 2 sourced"
pytest.importorskip("launch", reason=f"LAUNCH FILES ARE NOT TESTED: pip has no `launch`; {HOW}")
pytest.importorskip("launch_ros", reason=f"LAUNCH FILES ARE NOT TESTED: pip has no `launch_ros`; {HOW}")

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from generation_model import write_diffusion_model
from lifecycle_msgs.srv import GetState
from lifecycle_rig import Camera
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from robot_vision_msgs.srv import GenerateImage
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

END_S = 3.0
RUNNER = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [word.split(":=", 1) for word in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)
)
sys.exit(service.run())
"""


def installed() -> Path:
    """The share folder of the installed package."""
    try:
        prefix = Path(get_package_prefix("robot_vision"))
    except PackageNotFoundError:
        pytest.skip(f"LAUNCH FILES ARE NOT TESTED: robot_vision is not in the ament index; {HOW}")
    if not (prefix / "lib" / "robot_vision" / "perception_node").exists():
        pytest.skip(f"LAUNCH FILES ARE NOT TESTED: {prefix} holds no programs of robot_vision; {HOW}")
    return prefix / "share" / "robot_vision"


class Launched:
    """A launch in a process group of its own, as a terminal gives it."""

    def __init__(self, bench, name: str, *arguments: str) -> None:
        self._log = bench._folder / "launch.log"
        command = [sys.executable, "-c", RUNNER, str(installed() / "launch" / f"{name}.launch.py"), *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        bench.processes.append(self.process)
        self._bench = bench

    @property
    def output(self) -> str:
        return self._log.read_text()

    def members(self) -> list[int]:
        """Process ids of the group without the launch itself."""
        group = os.getpgid(self.process.pid)
        return [pid for pid in processes() if pid != self.process.pid and group_of(pid) == group]

    def interrupt(self) -> None:
        """Ctrl-C in the terminal: everything ends in time, with status 0 and without a traceback."""
        nodes = self.members()
        begin_s = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(20) == 0, self.output
        took_s = time.monotonic() - begin_s
        self._bench.processes.remove(self.process)
        assert took_s < END_S, f"took {took_s:.1f} s"
        assert nodes
        assert not [pid for pid in nodes if pid in processes()], "left over"
        assert "Traceback" not in self.output
        assert "has died" not in self.output


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def ask(bench, kind: type, name: str, **fields: object):
    """The reply of a service."""
    future = bench.client(kind, name).call_async(kind.Request(**fields))
    bench.until(future.done, f"the reply of {name}")
    return future.result()


def parameters(bench, node: str, *names: str) -> list[object]:
    found = ask(bench, GetParameters, f"{node}/get_parameters", names=names).values
    return [parameter_value_to_python(value) for value in found]


@pytest.mark.parametrize("composed", ["true", "false"])
def test_the_pipeline_gives_results_and_ends_with_ctrl_c(bench, composed: str) -> None:
    launched = Launched(bench, "perception", f"composed:={composed}", "image:=/camera/image")
    Camera(bench).show()
    assert len(launched.members()) == (1 if composed == "true" else 3)
    launched.interrupt()


def test_the_demo_ends_with_its_replay(bench) -> None:
    """With results in the namespace that was asked for, on the recording's clock."""
    arrived: list[Detection2DArray] = []
    bench.node.create_subscription(Detection2DArray, "/robot/detections", arrived.append, 50)
    demo = Launched(
        bench, "demo", "end_with_replay:=true", "duration:=2", "rate:=2", "use_sim_time:=true", "namespace:=robot"
    )
    bench.processes.remove(demo.process)
    bench.until(lambda: demo.process.poll() is not None, "the end")
    assert demo.process.returncode == 0, demo.output
    assert "published 40 images" in demo.output
    assert arrived
    assert all(message.header.frame_id == "camera_optical_frame" for message in arrived)
    assert "Traceback" not in demo.output


def test_a_demo_without_an_end_ends_with_ctrl_c(bench) -> None:
    """One node per stage beside the replay, which begins again and again."""
    arrived: list[Detection2DArray] = []
    bench.node.create_subscription(Detection2DArray, "/tracks", arrived.append, 50)
    demo = Launched(bench, "demo", "loop:=true", "duration:=1", "composed:=false")
    bench.until(lambda: len(arrived) > 40, "tracks of more than one turn")
    assert len(demo.members()) == 4
    demo.interrupt()


def test_a_recording_that_is_not_there_is_named(bench) -> None:
    demo = Launched(bench, "demo", "bag:=/nowhere")
    assert demo.process.wait(20) == 1
    bench.processes.remove(demo.process)
    assert "/nowhere: there is no such bag" in demo.output


def test_arguments_become_parameters_and_what_is_not_given_stays_as_the_nodes_have_it(bench) -> None:
    launched = Launched(
        bench, "perception", "namespace:=robot", "image_transport:=compressed", "provider:=cpu", "use_sim_time:=true",
        "autostart:=false", "log_level:=debug",
    )  # fmt: skip
    names = ("camera.image_transport", "session.provider", "use_sim_time", "autostart", "detector.model")
    found = parameters(bench, "/robot/perception_node", *names)
    assert found == ["compressed", "cpu", True, False, "simworld_yolo"]
    state = ask(bench, GetState, "/robot/perception_node/get_state").current_state.label
    assert state == "unconfigured"
    assert "[DEBUG]" in launched.output
    launched.interrupt()


def test_values_of_a_parameter_file_give_way_to_arguments_alone(bench, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("/**:\n  ros__parameters:\n    session.provider: auto\n    tracker.lost_time: 3.0\n")
    launched = Launched(bench, "perception", f"params_file:={file}", "provider:=cpu")
    assert parameters(bench, "/perception_node", "session.provider", "tracker.lost_time") == ["cpu", 3.0]
    bench.until(lambda: bench.node.count_publishers("/detections") == 1, "the node to be configured")
    launched.interrupt()


def test_several_cameras_have_the_topics_that_were_named(bench) -> None:
    launched = Launched(bench, "multi_camera", "cameras:=front=/camera/image,rear")
    publisher = bench.node.create_publisher(Image, "/rear/image", QoSProfile(depth=1))
    bench.until(lambda: publisher.get_subscription_count() == 1, "a subscription to the rear camera's own topic")
    bench.until(lambda: bench.node.count_subscribers("/camera/image") == 1, "one to the front camera's remapped topic")
    assert bench.node.count_publishers("/front/detections") == 1
    launched.interrupt()


def test_generation_answers_with_the_model_that_was_named_and_ends_with_ctrl_c(bench, tmp_path: Path) -> None:
    model = write_diffusion_model(tmp_path)
    launched = Launched(bench, "generation", f"generator_model:={model}", "duty:=0.9", "namespace:=robot")
    assert parameters(bench, "/robot/generator_node", "generator.duty") == [0.9]
    reply = ask(bench, GenerateImage, "/robot/generate", prompt="a red ball", steps=2, count=2)
    assert reply.success, reply.message
    assert len(reply.images) == 2
    launched.interrupt()


def test_a_node_that_is_killed_comes_back_with_respawn(bench) -> None:
    launched = Launched(bench, "perception", "respawn:=true", "image:=/camera/image")
    camera = Camera(bench)
    camera.show()
    [first] = launched.members()
    os.kill(first, signal.SIGKILL)
    bench.until(lambda: launched.members() not in ([], [first]), "another process")
    camera.found.clear()
    camera.show()
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.process.wait(20) == 0, launched.output
    bench.processes.remove(launched.process)
