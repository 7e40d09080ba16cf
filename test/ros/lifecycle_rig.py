"""What tests of the lifecycle share: a manager of one node, a camera, and models of their own."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.task import Future
from robot_vision_msgs.msg import LatentState
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from robot_vision.data.sources import open_source
from robot_vision.ros.convert import image_from_rgb, stamp_ns
from robot_vision.runtime.card import load_card
from robot_vision.runtime.session import OnnxSession
from robot_vision.shipped import shared_file

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown when unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "shutdown when active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class Manager:
    """Drives a node as a lifecycle manager does."""

    def __init__(self, bench, name: str, *parameters: str) -> None:
        self.bench, self.name = bench, name
        self.process = bench.start(name, *parameters)
        self._change = bench.node.create_client(ChangeState, f"/{name}/change_state")
        self._get = bench.node.create_client(GetState, f"/{name}/get_state")
        self._set = bench.node.create_client(SetParameters, f"/{name}/set_parameters")
        for client in (self._change, self._get, self._set):
            bench.until(client.service_is_ready, f"{client.srv_name}")
        bench.meet(f"/{name}/get_state")

    def call(self, client, request):
        future = client.call_async(request)
        self.bench.until(future.done, f"the reply of {client.srv_name}")
        return future.result()

    def request(self, kind: type, name: str, **fields: object):
        """The reply of one of the node's services."""
        return self.call(self.bench.client(kind, name), kind.Request(**fields))

    def change(self, transition: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self.call(self._change, request).success

    def memory_mb(self) -> float:
        """What the node's process has in memory, in 10^6 bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def state(self) -> str:
        return self.call(self._get, GetState.Request()).current_state.label

    def begin_set(self, name: str, value: object) -> Future:
        """The reply to come of a change of a parameter."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        return self._set.call_async(SetParameters.Request(parameters=[parameter]))

    def set(self, name: str, value: object) -> tuple[bool, str]:
        pending = self.begin_set(name, value)
        self.bench.until(pending.done, f"the change of {name}")
        result = pending.result().results[0]
        return result.successful, result.reason


class Camera:
    """Sends images of the sample, each with a stamp of its own, and keeps what comes back for them."""

    def __init__(self, bench, name: str = "") -> None:
        self.bench = bench
        below = f"/{name}" if name else ""
        frames = open_source(shared_file("samples/simworld_handheld")).frames()
        self._frames = [frame for frame, _ in zip(frames, range(8), strict=False)]
        self._publisher = bench.node.create_publisher(Image, f"{below or '/camera'}/image", QoSProfile(depth=5))
        self.sent = 0
        self.found: dict[int, Detection2DArray] = {}
        self.tracks: dict[int, Detection2DArray] = {}
        self.latents: dict[int, LatentState] = {}
        for kind, topic, kept in (
            (Detection2DArray, "/detections", self.found),
            (Detection2DArray, "/tracks", self.tracks),
            (LatentState, "/latent", self.latents),
        ):
            bench.node.create_subscription(
                kind,
                below + topic,
                lambda message, kept=kept: kept.update({stamp_ns(message.header): message}),
                50,
            )

    @property
    def subscribers(self) -> int:
        return self._publisher.get_subscription_count()

    def image(self) -> Image:
        """The next image."""
        header = Header(frame_id="arm_camera")
        header.stamp.sec, header.stamp.nanosec = 100 + self.sent // 20, self.sent % 20 * 50_000_000
        self.sent += 1
        return image_from_rgb(self._frames[self.sent % len(self._frames)].rgb, header)

    def send(self) -> int:
        """Publish the next image; its stamp."""
        image = self.image()
        self._publisher.publish(image)
        return stamp_ns(image.header)

    def show(self) -> int:
        """Publish the next image until its results have come, the first ones while topics still find one another."""
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            stamp, wait_end_s = self.send(), time.monotonic() + 1
            while time.monotonic() < wait_end_s:
                self.bench.rest(0.01)
                if stamp in self.found and stamp in self.tracks and stamp in self.latents:
                    return stamp
        raise AssertionError("no results of any image")

    def labels(self, stamp: int) -> set[str]:
        return {detection.results[0].hypothesis.class_id for detection in self.found[stamp].detections}


def living_sessions() -> list[OnnxSession]:
    """The ONNX Runtime sessions of this process."""
    return [thing for thing in gc.get_objects() if type(thing) is OnnxSession]


def card_of(folder: Path, model: str, **changes: object) -> str:
    """A copy of a shipped model's card, with changes."""
    document = yaml.safe_load(shared_file(f"models/{model}.yaml").read_text())
    document |= {"file": str(load_card(model).onnx_path), **changes}
    if document.get("latent", {}).get("decoder"):
        document["latent"]["decoder"] = str(shared_file("models/simworld_vae_decoder.yaml"))
    path = folder / f"own_{model}.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)
