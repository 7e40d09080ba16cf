"""The generator over real DDS: results, feedback, cancellation, the queue, bad requests, the lifecycle."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from generation_model import IMAGE_SIDE
from generation_rig import ABORTED, CANCELLED, DONE, Rig, goal_message
from rclpy.qos import QoSProfile
from robot_vision_msgs.srv import GenerateImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from robot_vision.errors import RobotVisionError
from robot_vision.ros.convert import image_from_rgb
from robot_vision.ros.generation_client import GenerationClient

ENDLESS = 90
"""Steps of a request that a test does not wait for: 5 s and more."""


def picture(side: int = IMAGE_SIDE) -> Image:
    return image_from_rgb(np.full((side, side, 3), 90, np.uint8), Header())


def mono(side: int, encoding: str = "mono8") -> Image:
    data = bytes([0, 255] * (side * side // 2))
    return Image(encoding=encoding, width=side, height=side, step=side, data=data)


def pixels(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


@pytest.fixture
def rig(bench, tmp_path: Path) -> Rig:
    return Rig(bench, tmp_path).ready()


def test_a_goal_gives_feedback_previews_images_and_the_seed_that_gives_them_again(bench, rig) -> None:
    """The service gives the same for the same seed, and every result is on the topic."""
    published: list[Image] = []
    bench.node.create_subscription(Image, "/generated", published.append, QoSProfile(depth=10))
    bench.until(lambda: bench.node.count_publishers("/generated") == 1, "the topic")
    goal = rig.goal(prompt="Two red balls on wood", count=2, preview=True)
    status, result = goal.wait()
    assert (status, result.success) == (DONE, True), result.message
    bench.until(lambda: len(goal.feedback) == 10 and len(published) == 2, "all feedback and images")
    assert [(f.step, f.total) for f in goal.feedback] == [(n, 10) for n in range(1, 11)]
    sizes = [(f.preview.encoding, f.preview.width, f.preview.height) for f in goal.feedback]
    assert sizes == ([("", 0, 0)] * 4 + [("rgb8", IMAGE_SIDE, IMAGE_SIDE)]) * 2, "every fifth step"
    first, second = map(pixels, result.images)
    assert first.shape == second.shape == (IMAGE_SIDE, IMAGE_SIDE, 3)
    assert (first != second).any() and first.std() > 1
    assert [image.data for image in published] == [image.data for image in result.images]
    assert published[0].header.stamp.sec > 0
    assert len(result.model_hash) == 64 and 0 < result.seconds < 40
    again = rig.call(prompt="Two red balls on wood", count=2, seed=result.seed_used)
    assert again.success and [image.data for image in again.images] == [image.data for image in result.images]
    assert (again.seed_used, again.model_hash) == (result.seed_used, result.model_hash)
    assert rig.call(prompt="", class_name="mug").success
    rig.until_fact("done", "3")
    assert rig.facts["model"] == "tiny_diffusion" and rig.facts["model_hash"] == result.model_hash
    assert rig.facts["device"] == "cpu" and float(rig.facts["steps_per_s"]) > 1


def test_only_the_masked_part_of_an_initial_image_changes(rig) -> None:
    """Image and mask arrive in the model as they were sent; without a preview in the goal there is none."""
    reply = rig.call(init_image=picture(), mask=mono(IMAGE_SIDE), strength=0.5, seed=1)
    assert reply.success, reply.message
    made = pixels(reply.images[0])
    assert (made[:, ::2] == 90).all() and (made[:, 1::2] != 90).mean() > 0.5
    without = rig.call(init_image=picture(), strength=0.5, seed=1)
    assert without.success and without.images[0].data != reply.images[0].data
    goal = rig.goal(init_image=picture(), strength=0.5)
    assert goal.wait()[0] == DONE
    assert goal.feedback and not any(f.preview.data for f in goal.feedback)


def test_a_cancellation_takes_effect_within_one_step(rig) -> None:
    """Of the goal that runs and of one that waits; the next one then runs."""
    goal, waiting = rig.goal(steps=ENDLESS), rig.goal(steps=ENDLESS)
    goal.until_step(2)
    waiting.cancel()
    status, result = waiting.wait()
    assert (status, result.success, waiting.feedback) == (CANCELLED, False, [])
    step, begin_s = goal.step, time.monotonic()
    goal.cancel()
    status, result = goal.wait()
    assert time.monotonic() - begin_s < 1
    assert (status, result.success, result.message) == (CANCELLED, False, "cancelled by the client")
    assert not result.images and goal.step <= step + 2, "one that was on its way, and one that ran"
    assert rig.goal().wait()[0] == DONE
    rig.until_fact("cancelled", "2")


def test_what_does_not_fit_into_the_queue_is_refused_with_the_reason(bench, tmp_path) -> None:
    """One runs and one waits, in the order of arrival; a change of the size holds for the next request."""
    rig = Rig(bench, tmp_path, "generator.queue_size:=1").ready()
    running = rig.goal(steps=ENDLESS)
    running.until_step(1)
    waiting = rig.goal()
    status, result = rig.goal().wait()
    assert (status, result.success) == (ABORTED, False)
    assert "the queue is full: one request runs and 1 may wait (generator.queue_size)" in result.message
    assert "the queue is full" in rig.call().message
    assert rig.manager.set("generator.queue_size", 2) == (True, "")
    last = rig.goal()
    rig.until_fact("waiting", "2")
    assert (rig.facts["running"], rig.facts["refused"]) == ("1", "2")
    running.cancel()
    assert waiting.wait()[0] == DONE and not last.ended
    assert last.wait()[0] == DONE


BAD_REQUESTS: list[tuple[dict[str, object], str]] = [
    ({"width": 2**32 - 1}, "width: at most 1024"),
    ({"height": 33}, "height: this model makes images of 32 pixels only, got 33"),
    ({"steps": 10**6}, "steps: at most 100, got 1000000"),
    ({"guidance": math.nan}, "guidance: must be finite"),
    ({"guidance": math.inf}, "guidance: must be finite"),
    ({"seed": -2}, "seed: must be within"),
    ({"count": 0}, "count: must be at least 1"),
    ({"count": 17}, "count: at most 16, got 17"),
    ({"prompt": ""}, "prompt: is empty"),
    ({"prompt": "a ball " * 1000}, "prompt: at most 500 characters, got 7000"),
    ({"prompt": "a purple ball and a unicorn"}, "prompt: this model does not know purple, unicorn"),
    ({"prompt": "!?"}, "prompt: holds no words"),
    ({"class_name": "ball"}, "class_name: give either"),
    ({"prompt": "", "class_name": "x" * 100000}, "class_name: tiny_diffusion knows ball, mug"),
    ({"init_image": Image(encoding="nonsense" * 10000, width=4, height=4, step=4, data=bytes(16))}, "init_image: "),
    ({"init_image": Image(encoding="32FC1", width=4, height=4, step=16, data=bytes(64))}, "init_image: encoding 32FC1"),
    ({"init_image": Image(encoding="rgb8", width=32, height=32, step=96)}, "init_image: image of encoding rgb8, 32x32"),
    ({"init_image": Image(data=bytes(9))}, "init_image: unknown image encoding ''"),
    ({"init_image": picture(2000)}, "init_image: at most 1024 pixels wide and high, got 2000x2000"),
    ({"init_image": picture(64)}, "init_image: width: this model makes images of 32 pixels only, got 64"),
    ({"init_image": picture(64), "width": 32, "height": 32}, "init_image: must be 32x32 pixels"),
    ({"init_image": picture(), "strength": 0.0}, "strength: must be within (0, 1]"),
    ({"init_image": picture(), "strength": math.nan}, "strength: must be within (0, 1]"),
    ({"mask": mono(32)}, "mask: needs an initial image"),
    ({"init_image": picture(), "mask": mono(16)}, "mask: must be 32x32 pixels"),
    ({"init_image": picture(), "mask": picture()}, "mask: encoding must be mono8 or 8UC1, got 'rgb8'"),
]


def test_bad_requests_are_refused_by_field_and_limit(rig) -> None:
    """The same by action and service; no reply is long, whatever was sent; the next request is served."""
    for fields, said in BAD_REQUESTS:
        status, result = rig.goal(**fields).wait()
        assert (status, result.success, len(result.images)) == (ABORTED, False, 0), said
        assert result.message.startswith(said), result.message
        assert len(result.message) <= 2000
        reply = rig.call(**fields)
        assert (reply.success, reply.message) == (False, result.message)
    assert rig.call().success
    rig.until_fact("refused", str(2 * len(BAD_REQUESTS)))
    assert "Traceback" not in rig.bench.output("generator_node")


def test_requests_end_with_the_reason_when_the_node_is_deactivated(bench, rig) -> None:
    """Those that run and wait; later ones are refused until the node is active again; cleaned up, it is gone."""
    goals = [rig.goal(steps=ENDLESS) for _ in range(3)]
    called = rig.service.call_async(GenerateImage.Request(prompt="a ball"))
    goals[0].until_step(1)
    assert len(nice_threads(rig)) == 1
    rig.until_fact("waiting", "3")
    begin_s = time.monotonic()
    assert rig.manager.change("deactivate")
    assert time.monotonic() - begin_s < 2
    for goal in goals:
        status, result = goal.wait()
        assert (status, result.success) == (ABORTED, False)
        assert "the node was deactivated before the images were ready" in result.message
    bench.until(called.done, "the reply of the service")
    assert "the node was deactivated" in called.result().message
    bench.until(lambda: nice_threads(rig) == [], "the end of the thread")
    status, result = rig.goal().wait()
    assert (status, result.success) == (ABORTED, False)
    assert "/generator_node is not active" in result.message and "/generator_node is not active" in rig.call().message
    assert rig.manager.change("activate")
    assert rig.goal().wait()[0] == DONE
    assert len(nice_threads(rig)) == 1
    for transition in ("deactivate", "cleanup"):
        assert rig.manager.change(transition)
    bench.until(lambda: not (rig.client.server_is_ready() or rig.service.service_is_ready()), "the action to go")
    for transition in ("configure", "activate"):
        assert rig.manager.change(transition)
    rig.ready()
    assert rig.goal().wait()[0] == DONE


@pytest.mark.parametrize("how", ["shutdown", "interrupt"])
def test_a_node_that_ends_answers_first(bench, rig, how: str) -> None:
    """A running goal gets its reason, also when the next moment destroys the server."""
    goal, begin_s = rig.goal(steps=ENDLESS), time.monotonic()
    goal.until_step(1)
    if how == "shutdown":
        assert rig.manager.change("shutdown when active")
    else:
        bench.processes.clear()
        rig.manager.process.send_signal(signal.SIGINT)
    status, result = goal.wait()
    assert (status, "the node was deactivated" in result.message) == (ABORTED, True)
    if how == "shutdown":
        assert rig.manager.state() == "finalized"
        bench.until(lambda: bench.node.count_publishers("/generated") == 0, "the topic to go")
        return
    assert rig.manager.process.wait(10) == 0, bench.output("generator_node")
    assert time.monotonic() - begin_s < 5
    assert "Traceback" not in bench.output("generator_node")


def test_a_model_is_loaded_for_the_first_request_if_so_wished(bench, tmp_path) -> None:
    """Until then diagnostics say so; a model that is not there is the answer, and may be mended while the node runs."""
    rig = Rig(bench, tmp_path, "generator.load:=first_use", convolutions=1).ready()
    rig.until_fact("model", "not loaded yet")
    hidden = rig.card.rename(rig.card.with_suffix(".away"))
    reply = rig.call()
    assert not reply.success and str(rig.card) in reply.message
    hidden.rename(rig.card)
    assert rig.call(prompt="a unicorn").message.startswith("prompt: this model does not know unicorn")
    assert rig.call().success
    rig.until_fact("model", "tiny_diffusion")
    assert (rig.facts["failed"], rig.facts["refused"], rig.facts["done"]) == ("1", "1", "1")


def test_a_model_that_is_not_there_keeps_the_node_from_starting(bench) -> None:
    process = bench.start("generator_node", "generator.model:=/nowhere/model.yaml")
    bench.processes.clear()
    assert process.wait(20) == 1
    assert "cannot configure: /nowhere/model.yaml" in bench.output("generator_node")


def test_the_thread_that_generates_is_nice_and_keeps_to_its_share(bench, tmp_path) -> None:
    """Its priority is the system's own record; its share is the CPU time that it takes while it generates."""
    rig = Rig(bench, tmp_path, "generator.duty:=0.25", "generator.niceness:=7").ready()
    goal = rig.goal(steps=ENDLESS)
    goal.until_step(1)
    [worker] = nice_threads(rig)
    assert os.getpriority(os.PRIO_PROCESS, worker) == 7
    begin_s, used_s = time.monotonic(), cpu_s(rig.pid, worker)
    goal.until_step(9)
    share = (cpu_s(rig.pid, worker) - used_s) / (time.monotonic() - begin_s)
    assert 0.02 < share <= 0.3
    goal.cancel()
    assert goal.wait()[0] == CANCELLED, "not even a rest delays it"


def nice_threads(rig: Rig) -> list[int]:
    """The node's threads of lower priority."""
    return [thread for thread in rig.threads() if os.getpriority(os.PRIO_PROCESS, thread) > 0]


def cpu_s(pid: int, thread: int) -> float:
    fields = Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_client_with_a_deadline_gets_an_error_instead_of_waiting_for_ever(bench, rig) -> None:
    """There is no such server, the time is over, or the server ends under it."""
    with pytest.raises(RobotVisionError, match="no server was found"):
        GenerationClient(bench.node, "/not_there").generate(goal_message(), bench.rest, timeout_s=0.3)
    client = GenerationClient(bench.node)
    steps: list[int] = []
    assert client.generate(goal_message(), bench.rest, on_feedback=lambda f: steps.append(f.step)).success
    assert steps == list(range(1, 11))
    with pytest.raises(RobotVisionError, match="the time is over"):
        client.generate(goal_message(steps=ENDLESS), bench.rest, timeout_s=0.5)
    rig.until_fact("cancelled", "1")
