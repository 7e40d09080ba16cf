"""The nodes' lifecycle through its services, as Nav2's lifecycle manager calls them."""

from __future__ import annotations

import gc
import hashlib
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_rig import TRANSITIONS, Camera, Manager, card_of, living_sessions
from rclpy.executors import SingleThreadedExecutor
from robot_vision_msgs.srv import Decode, Detect, Encode
from std_srvs.srv import Trigger

from robot_vision.ros.detector_node import Detection
from robot_vision.ros.lifecycle import StageNode

NODES = ["perception_node", "detector_node", "tracker_node", "encoder_node", "generator_node"]


def endless_encoder(folder: Path) -> str:
    """Card of an encoder that returns for a black image, such as that of its first run, and never for a bright one."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: run the tests with `make test`")
    make, kinds = onnx.helper, onnx.TensorProto
    value = partial(make.make_tensor_value_info, elem_type=kinds.FLOAT)
    body = make.make_graph(
        [make.make_node("Identity", ["going"], ["goes_on"]), make.make_node("Identity", ["before"], ["after"])],
        "body",
        [make.make_tensor_value_info("number", kinds.INT64, []), make.make_tensor_value_info("going", kinds.BOOL, []),
         value("before", shape=[1, 32])],
        [make.make_tensor_value_info("goes_on", kinds.BOOL, []), value("after", shape=[1, 32])],
    )  # fmt: skip
    nodes = [
        make.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        make.make_node("Mul", ["brightest", "many"], ["rounds"]),
        make.make_node("Cast", ["rounds"], ["count"], to=kinds.INT64),
        make.make_node("Loop", ["count", "", "nothing"], ["mean"], body=body),
    ]
    constants = [
        make.make_tensor("many", kinds.FLOAT, [], [1e15]),
        make.make_tensor("nothing", kinds.FLOAT, [1, 32], [0.0] * 32),
    ]
    image, mean = value("image", shape=[1, 3, 64, 64]), value("mean", shape=[1, 32])
    graph = make.make_graph(nodes, "endless", [image], [mean], constants)
    path = folder / "endless.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return card_of(
        folder, "simworld_vae_encoder", file=str(path), sha256=digest, output={"mean": "mean"}, latent={"size": 32}
    )


@pytest.mark.parametrize("name", NODES)
def test_a_manager_takes_every_node_through_all_states(bench, name: str) -> None:
    """Up and down twice, then to the end; topics of results exist from configure to cleanup."""
    results = {"tracker_node": "/tracks", "encoder_node": "/latent", "generator_node": "/generated"}
    topic = results.get(name, "/detections")
    manager = Manager(bench, name, "autostart:=false")
    assert manager.state() == "unconfigured"
    for _ in range(2):
        assert not manager.change("activate"), "an unconfigured node has nothing to activate"
        for transition, state, topics in (
            ("configure", "inactive", 1), ("activate", "active", 1), ("deactivate", "inactive", 1),
            ("activate", "active", 1), ("deactivate", "inactive", 1), ("cleanup", "unconfigured", 0),
        ):  # fmt: skip
            assert manager.change(transition), transition
            assert manager.state() == state
            bench.until(lambda n=topics: bench.node.count_publishers(topic) == n, f"{topic} after {transition}")
    assert manager.change("configure") and manager.change("activate")
    assert manager.change("shutdown when active")
    assert manager.state() == "finalized"
    bench.until(lambda: bench.node.count_publishers(topic) == 0, "the topic to go")
    assert "Traceback" not in bench.output(name)


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active", "finalized"])
def test_an_interrupt_ends_the_node_in_every_state(bench, state: str) -> None:
    """Within three seconds, with exit status 0, without a traceback."""
    manager = Manager(bench, "perception_node", "autostart:=false")
    path = {"unconfigured": [], "finalized": ["shutdown when unconfigured"]}.get(state, ["configure"])
    for transition in [*path, *(["activate"] if state == "active" else [])]:
        assert manager.change(transition)
    assert manager.state() == state
    bench.processes.clear()
    begin_s = time.monotonic()
    manager.process.send_signal(signal.SIGINT)
    assert manager.process.wait(10) == 0, bench.output("perception_node")
    assert time.monotonic() - begin_s < 3
    assert "Traceback" not in bench.output("perception_node")


def test_a_network_that_does_not_return_finalizes_the_node(bench, tmp_path) -> None:
    """The deactivation fails with the reason in the log; an end of the process is then one without that thread."""
    camera = Camera(bench)
    manager = Manager(bench, "encoder_node", f"encoder.model:={endless_encoder(tmp_path)}")
    bench.until(lambda: camera.subscribers == 1, "the subscription")
    bench.rest(1.0)
    for _ in range(3):
        camera.send()
        bench.rest(0.1)
    assert not manager.change("deactivate")
    assert manager.state() == "finalized"
    assert "a network does not return" in bench.output("encoder_node")
    bench.processes.clear()
    manager.process.terminate()
    assert manager.process.wait(15) == 1
    assert "a network does not return; ending without it" in bench.output("encoder_node")
    assert "Traceback" not in bench.output("encoder_node")


def test_results_flow_only_while_the_node_is_active(bench) -> None:
    """An inactive node is not subscribed to the camera; its services say why they refuse; its topics stay."""
    camera = Camera(bench)
    manager = Manager(bench, "perception_node", "autostart:=false")
    assert manager.change("configure")
    for _ in range(2):
        bench.until(lambda: camera.subscribers == 0, "no subscription")
        arrived = len(camera.found), len(camera.tracks), len(camera.latents)
        for _ in range(5):
            camera.send()
            bench.rest(0.05)
        assert (len(camera.found), len(camera.tracks), len(camera.latents)) == arrived
        for kind, service, fields in (
            (Detect, "/detect", {"image": camera.image(), "score_threshold": -1.0, "iou_threshold": -1.0}),
            (Encode, "/encode", {"image": camera.image()}), (Decode, "/decode", {}), (Trigger, "/reset_tracks", {}),
        ):  # fmt: skip
            reply = manager.request(kind, service, **fields)
            assert not reply.success
            assert "/perception_node is not active" in reply.message
        assert bench.node.count_publishers("/detections") == 1
        assert manager.change("activate")
        bench.until(lambda: camera.subscribers == 1, "the subscription")
        for _ in range(3):
            camera.show()
        reply = manager.request(Detect, "/detect", image=camera.image(), score_threshold=-1.0, iou_threshold=-1.0)
        assert reply.success and reply.detections.detections
        assert manager.change("deactivate")


def test_every_activation_begins_a_new_sequence(bench) -> None:
    """Tracks end with the deactivation, and their ids are not used again, though the images go on as before."""
    camera, ids = Camera(bench), []
    manager = Manager(bench, "perception_node")
    for _ in range(2):
        bench.until(lambda: camera.subscribers == 1, "the subscription")
        stamps = [camera.show() for _ in range(6)]
        ids.append({detection.id for stamp in stamps for detection in camera.tracks[stamp].detections})
        assert manager.change("deactivate")
        bench.until(lambda: camera.subscribers == 0, "no subscription")
        assert manager.change("activate")
    assert ids[0] and ids[1]
    assert not ids[0] & ids[1]


def test_diagnostics_do_not_call_an_inactive_node_stalled(bench) -> None:
    """Silence is an error of an active node only, counted from its activation."""
    camera, health = Camera(bench), {}

    def keep(message: DiagnosticArray) -> None:
        health.update({status.name.split(": ")[1]: (status.level, status.message) for status in message.status})

    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    manager = Manager(bench, "perception_node", "camera.stall_timeout:=2.0")
    camera.show()
    assert manager.change("deactivate")
    health.clear()
    bench.rest(2.5)
    assert health["camera"] == (b"\x00", "the node is not active")
    assert health["detector"] == (b"\x00", "the node is not active")
    assert manager.change("activate")
    health.clear()
    bench.until(lambda: "camera" in health, "diagnostics")
    assert health["camera"][0] == b"\x01" and "no frame yet" in health["camera"][1]
    bench.until(lambda: health["camera"][0] == b"\x02", "an error after the timeout")


def test_a_model_that_fails_leaves_the_node_unconfigured_and_another_one_helps(bench) -> None:
    """The log says why, in a line; the parameter can be set, and the next configure takes it."""
    manager = Manager(bench, "detector_node", "autostart:=false", "detector.model:=/nowhere/net.onnx")
    for _ in range(2):
        assert not manager.change("configure")
        assert manager.state() == "unconfigured"
    assert "cannot configure: /nowhere/net.onnx: no such file" in bench.output("detector_node")
    assert "Traceback" not in bench.output("detector_node")
    assert bench.node.count_publishers("/detections") == 0
    assert manager.set("detector.model", "simworld_yolo") == (True, "")
    assert manager.change("configure")
    assert manager.change("activate")
    assert manager.state() == "active"


def test_settings_that_are_not_live_change_between_cleanup_and_configure(bench) -> None:
    """While the node is configured they are refused with the way out, except for the value that they have."""
    manager = Manager(bench, "detector_node")
    bench.until(lambda: bench.node.count_publishers("/detections") == 1, "the topic")
    accepted, reason = manager.set("camera.names", ["front", "rear"])
    assert not accepted
    assert "camera.names: changes only while the node is unconfigured" in reason
    assert "ros2 lifecycle set /detector_node cleanup" in reason
    assert manager.set("detector.class_id_format", "name") == (True, "")
    assert manager.change("deactivate")
    assert not manager.set("detector.class_id_format", "index")[0]
    assert manager.change("cleanup")
    assert manager.set("camera.names", ["front", "rear"]) == (True, "")
    assert manager.set("detector.class_id_format", "number")[0] is False, "ranges hold in every state"
    assert manager.change("configure")
    bench.until(lambda: bench.node.count_publishers("/rear/detections") == 1, "the topic of a camera")
    assert bench.node.count_publishers("/detections") == 0
    assert manager.set("autostart", False)[0] is False


def test_cycles_leave_threads_and_memory_as_they_were(bench) -> None:
    """Ten times up and down with one camera and with two: half of one network a cycle would be too much."""
    manager = Manager(bench, "perception_node", "autostart:=false")
    tasks = Path(f"/proc/{manager.process.pid}/task")
    threads, memory_mb = [], []
    for number in range(10):
        assert manager.set("camera.names", ["front", "rear"][: number % 3] or [""])[0]
        for transition in ("configure", "activate", "deactivate", "activate", "deactivate", "cleanup"):
            assert manager.change(transition), transition
        manager.state()  # the node has spun since the cleanup
        bench.rest(0.2)
        threads.append(len(list(tasks.iterdir())))
        memory_mb.append(manager.memory_mb())
    assert max(threads) == min(threads), threads
    assert memory_mb[9] - memory_mb[3] < 25, memory_mb


def test_cleanup_frees_the_networks() -> None:
    """The ONNX Runtime session itself is gone when the node has spun once more; nothing waits for a collection."""
    gc.collect()
    others = len(living_sessions())
    rclpy.init()
    gc.disable()
    try:
        node, driver = StageNode("freed", ("camera", "session", "detector"), Detection), rclpy.create_node("driver")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.add_node(driver)
        client = driver.create_client(ChangeState, "/freed/change_state")
        assert client.wait_for_service(20)
        for transition, count in (("configure", 1), ("activate", 1), ("deactivate", 1), ("cleanup", 0)):
            future = client.call_async(ChangeState.Request(transition=Transition(id=TRANSITIONS[transition])))
            executor.spin_until_future_complete(future, 20)
            assert future.result().success
            for _ in range(5):
                executor.spin_once(0.1)
            assert len(living_sessions()) == others + count
        assert node.close()
    finally:
        gc.enable()
        rclpy.shutdown()
