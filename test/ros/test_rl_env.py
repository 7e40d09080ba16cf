"""Observations and environments over real topics: real latents, the time of images, silence, another encoder."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rclpy.exceptions import InvalidTopicNameException
from rclpy.serialization import deserialize_message
from robot_vision_msgs.msg import LatentState, Track, TrackArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Float32MultiArray
from std_srvs.srv import Trigger

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")

from robot_vision.data.sources import open_source
from robot_vision.errors import (
    EncoderMismatchError,
    InvalidValueError,
    RobotVisionError,
    StaleObservationError,
)
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.rl.env import RosEnvParams, RosLatentEnv
from robot_vision.rl.features import TrackFeatures
from robot_vision.rl.observation import LatentObservation, Observation
from robot_vision.ros.convert import frame_from_compressed, stamp_ns
from robot_vision.ros.qos import RESULT_QOS
from robot_vision.runtime.card import load_card
from robot_vision.shipped import shared_file

SAMPLE = "samples/simworld_handheld"
ACTIONS = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
TICK_NS = 20_000_000
START_NS = 1_000 * 10**9
SOON_S = 0.4
ENV_ID = "test/Distance-v0"


class Distance(RosLatentEnv):
    """The agent is to bring the first latent variable to zero."""

    def reward(self, observation: Observation, action: Any) -> float:
        return -abs(float(observation.latent[0]))


def latent(
    stamp_ns: int, values: tuple[float, ...] = (1.0, 2.0), encoder_hash: str = "a" * 64, encoder: str = "vae"
) -> LatentState:
    message = LatentState(mean=array("f", values), encoder=encoder, encoder_hash=encoder_hash, novelty=math.nan)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


gymnasium.register(ENV_ID, entry_point=Distance, nondeterministic=True)


class World:
    """A robot behind topics: its own `/clock`, and a latent of every tick that arrives one tick late."""

    def __init__(self, bench, make: Callable[[int], LatentState] = latent) -> None:
        self.make = make
        self.silent = False
        self.actions: list[list[float]] = []
        self.resets = 0
        self.refusal = ""
        self._clock = bench.node.create_publisher(Clock, "/clock", 1)
        self.latents = bench.node.create_publisher(LatentState, "latent", RESULT_QOS)
        bench.node.create_subscription(Float32MultiArray, "action", lambda m: self.actions.append(list(m.data)), 10)
        bench.node.create_service(Trigger, "new_episode", self._on_reset)

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.resets += 1
        response.success, response.message = not self.refusal, self.refusal
        return response

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ticks in real time, in a thread of its own."""
        end = threading.Event()

        def tick() -> None:
            now_ns = START_NS
            while not end.wait(TICK_NS / 1e9):
                now_ns += TICK_NS
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(now_ns, 10**9)
                self._clock.publish(message)
                if not self.silent:
                    self.latents.publish(self.make(now_ns - TICK_NS))

        thread = threading.Thread(target=tick)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


@contextmanager
def environment(**params: Any) -> Iterator[Distance]:
    """An environment that is closed."""
    settings = RosEnvParams(**{"latent_size": 2, "use_sim_time": True, "timeout_s": 10.0, **params})
    env = gymnasium.make(ENV_ID, action_space=ACTIONS, params=settings).unwrapped
    try:
        yield env
    finally:
        env.close()


@pytest.fixture
def spun(bench) -> Any:
    """A bench whose node is spun by a thread."""
    thread = threading.Thread(target=bench._executor.spin, daemon=True)
    thread.start()
    yield bench
    bench._executor.shutdown()
    thread.join()


def publish(node, topic: str, messages: list[Any], subscribers: int = 1) -> Any:
    """Publish once somebody listens; the publisher stays."""
    publisher = node.create_publisher(type(messages[0]), topic, RESULT_QOS)
    deadline_s = time.monotonic() + 10
    while publisher.get_subscription_count() < subscribers:
        assert time.monotonic() < deadline_s, f"nobody subscribed to {topic}"
        time.sleep(0.02)
    for message in messages:
        publisher.publish(message)
    return publisher


def test_an_environment_on_the_real_encoder_passes_both_checks(bench) -> None:
    """`encoder_node` on the replayed sample: what an agent sees are the latents that the encoder stage computes."""
    from gymnasium.utils.env_checker import check_env

    sb3 = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    encoder = Encoder(load_card("simworld_vae_encoder"), SessionParams(provider="cpu"), EncoderParams())
    params = RosEnvParams(latent_size=32, encoder_hash=encoder.card.identity_hash, timeout_s=30.0, max_age_s=math.inf)
    bench.start("encoder_node", "camera.image_transport:=compressed")
    bench.until(lambda: bench.node.count_publishers("/latent") == 1, "the encoder")
    env = gymnasium.make(ENV_ID, action_space=ACTIONS, params=params).unwrapped
    words = ["replay", str(shared_file(SAMPLE)), "--rate", "0.7"]
    replay = subprocess.Popen([sys.executable, "-m", "robot_vision.cli.main", *words])
    try:
        env.reset(seed=1)
        seen = [env.step(ACTIONS.sample()) for _ in range(5)]
        check_env(env)
        sb3.check_env(env)
    finally:
        replay.terminate()
        replay.wait(10)
        env.close()
    images = [
        deserialize_message(bytes(raw.data), CompressedImage) for raw in open_source(shared_file(SAMPLE)).messages()
    ]
    by_stamp = {stamp_ns(image.header): image for image in images}
    assert len({info["stamp_ns"] for *_, info in seen}) == len(seen)
    for observation, reward, terminated, truncated, info in seen:
        wanted = encoder.encode(frame_from_compressed(by_stamp[info["stamp_ns"]])).mean
        np.testing.assert_allclose(observation, wanted, atol=1e-5)
        assert (reward, terminated, truncated) == (-abs(float(observation[0])), False, False)


def test_a_step_ends_with_an_image_taken_after_the_action(spun) -> None:
    """In simulated time, with latents that arrive a tick late: the first to arrive is of before the action."""
    world, sent_ns = World(spun), []

    class Noting(Distance):
        def publish_action(self, action: Any) -> None:
            sent_ns.append(self.node.get_clock().now().nanoseconds)
            super().publish_action(action)

    env = Noting(ACTIONS, RosEnvParams(latent_size=2, use_sim_time=True, timeout_s=10.0))
    with world.running():
        env.reset(seed=0)
        for number in range(8):
            _, _, _, _, info = env.step(np.array([number / 8, -1.0], np.float32))
            assert info["stamp_ns"] > sent_ns[-1] >= START_NS
            assert 0 <= info["age_s"] < 0.5
        deadline_s = time.monotonic() + 5
        while len(world.actions) < 8 and time.monotonic() < deadline_s:
            time.sleep(0.02)
    env.close()
    assert world.actions == [[number / 8, -1.0] for number in range(8)]


def test_a_step_of_fixed_length_takes_that_long(spun) -> None:
    world = World(spun)
    with environment(step_period_s=0.15) as env, world.running():
        env.reset()
        start_s = time.monotonic()
        for _ in range(4):
            env.step(ACTIONS.sample())
        assert 0.6 <= time.monotonic() - start_s < 1.5


def test_a_reset_calls_the_service_and_reports_its_refusal(spun) -> None:
    """An episode does not begin where the world has not been reset."""
    world = World(spun)
    with environment(reset_service="new_episode") as env, world.running():
        env.reset()
        env.reset()
        assert world.resets == 2
        world.refusal = "the arm is blocked"
        with pytest.raises(RobotVisionError, match="new_episode: reset failed: the arm is blocked"):
            env.reset()
    no_service = pytest.raises(RobotVisionError, match="nowhere: no such service within")
    with environment(reset_service="nowhere", timeout_s=SOON_S) as env, no_service:
        env.reset()


def test_silence_ends_the_episode_or_is_an_error(spun) -> None:
    """Never an old observation that looks like a new one."""
    world = World(spun)
    with environment(truncate_when_stale=True) as env, world.running():
        first, _ = env.reset()
        world.silent = True
        env.params = replace(env.params, timeout_s=SOON_S)
        observation, reward, terminated, truncated, info = env.step(ACTIONS.sample())
        assert (reward, terminated, truncated) == (0.0, False, True)
        np.testing.assert_array_equal(observation, first)
        assert "1 publisher, the last message arrived" in info["stale"]
        env.params = replace(env.params, truncate_when_stale=False)
        with pytest.raises(StaleObservationError, match=r"stamp .* s old|its image was taken"):
            env.step(ACTIONS.sample())
        with pytest.raises(StaleObservationError, match="waited"):
            env.reset()


def test_a_step_before_the_first_reset_is_an_error() -> None:
    with environment() as env, pytest.raises(gymnasium.error.ResetNeeded):
        env.step(ACTIONS.sample())


def test_closing_ends_the_thread_and_twice_is_no_error() -> None:
    before = threading.active_count()
    env = Distance(ACTIONS, RosEnvParams(latent_size=2))
    assert threading.active_count() == before + 1
    env.close()
    env.close()
    assert threading.active_count() == before


def test_what_cannot_be_opened_leaves_nothing_behind() -> None:
    """A topic name that ROS refuses: neither thread nor node stays."""
    before = threading.active_count()
    with pytest.raises(InvalidTopicNameException):
        Distance(ACTIONS, RosEnvParams(latent_size=2, latent_topic="not a topic"))
    assert threading.active_count() == before


def test_what_a_subclass_must_override_says_so(spun) -> None:
    """No reward and no way to send an action are errors, not zeros and silence."""
    world = World(spun)
    env = RosLatentEnv(ACTIONS, RosEnvParams(latent_size=2, action_topic="", use_sim_time=True, timeout_s=10.0))
    with world.running():
        env.reset()
        with pytest.raises(NotImplementedError, match="override publish_action, or set action_topic"):
            env.step(ACTIONS.sample())
        env.publish_action = lambda action: None
        with pytest.raises(NotImplementedError, match="override reward"):
            env.step(ACTIONS.sample())
    env.close()


def test_numbers_that_are_not_positive_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"RosEnvParams.max_age_s: expected more than 0, got 0.0"):
        RosEnvParams(latent_size=2, max_age_s=0.0)


def test_the_reason_why_nothing_comes_is_told(spun) -> None:
    """No publisher, a silent one, one that fell silent or left, and stamps of another time are told apart."""
    latents = LatentObservation(spun.node, "silence")
    with pytest.raises(StaleObservationError, match="/silence: no publisher"):
        latents.observe(SOON_S)
    publisher = spun.node.create_publisher(LatentState, "silence", RESULT_QOS)
    with pytest.raises(StaleObservationError, match="/silence: 1 publisher and no message"):
        latents.observe(SOON_S)
    publish(spun.node, "silence", [latent(7 * 10**9)])
    assert latents.observe(5.0).stamp_ns == 7 * 10**9
    with pytest.raises(StaleObservationError, match=r"stamp .* s old by the node's clock, allowed 1 s; 2 publishers"):
        latents.observe(SOON_S, max_age_s=1.0)
    with pytest.raises(StaleObservationError, match=r"its image was taken 3 s before; .*arrived \d"):
        latents.observe(SOON_S, after_ns=10**10)
    latents.forget()
    with pytest.raises(StaleObservationError, match="no message"):
        latents.observe(SOON_S)
    spun.node.destroy_publisher(publisher)


def test_the_age_is_that_of_the_image_by_the_clock_of_the_node(spun) -> None:
    """Not the time since the message arrived."""
    latents = LatentObservation(spun.node, "aged")
    now_ns = spun.node.get_clock().now().nanoseconds
    publisher = publish(spun.node, "aged", [latent(now_ns - 3 * 10**9)])
    observation = latents.observe(5.0, max_age_s=60.0)
    assert 3.0 <= observation.age_s < 8.0
    assert observation.latent.dtype == np.float32
    assert math.isnan(observation.novelty)
    latents.close()
    deadline_s = time.monotonic() + 5
    while publisher.get_subscription_count() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert publisher.get_subscription_count() == 0


@pytest.mark.parametrize(
    ("given", "messages", "said"),
    [
        ({}, [latent(1), latent(2, (1.0, 2.0, 3.0))], "expected latents of 2 values .* got 3 values of vae"),
        ({}, [latent(1), latent(2, encoder_hash="b" * 64)], "encoder_hash a{64}, got .* b{64}; run the encoder"),
        ({"latent_size": 32}, [latent(1)], "expected latents of 32 values .* got 2"),
        ({"encoder_hash": "c" * 64}, [latent(1)], "encoder_hash c{64}, got"),
    ],
)
def test_latents_of_another_encoder_are_an_error(spun, given, messages, said) -> None:
    """Whether they change on the way or are others than the agent was made for; and it stays one."""
    latents = LatentObservation(spun.node, "other", **given)
    publish(spun.node, "other", [*messages, latent(3)])
    time.sleep(0.5)
    for _ in range(2):
        with pytest.raises(EncoderMismatchError, match=said):
            latents.observe(5.0)


def test_a_latent_that_is_not_finite_never_reaches_the_agent(spun) -> None:
    """It is skipped and counted, and said where nothing else comes."""
    latents = LatentObservation(spun.node, "broken")
    publisher = publish(spun.node, "broken", [latent(1, (1.0, math.nan)), latent(2, (math.inf, 0.0))])
    with pytest.raises(StaleObservationError, match="2 latents skipped, not finite"):
        latents.observe(SOON_S)
    publisher.publish(latent(3, (5.0, 6.0)))
    assert latents.observe(5.0).latent.tolist() == [5.0, 6.0]
    assert latents.skipped == 2


def track(class_id: str, x: float, age_s: float) -> Track:
    message = Track(id="1", class_id=class_id, velocity_x=64.0, velocity_y=-24.0, age=age_s)
    message.bbox.center.position.x, message.bbox.center.position.y = x, 120.0
    message.bbox.size_x, message.bbox.size_y = 32.0, 24.0
    return message


def test_tracks_come_as_rows_of_shares_of_the_image(spun) -> None:
    """640×480 pixels; the older track first; what is not there is zero and masked."""
    features = TrackFeatures((640, 480), ("box", "ball"), max_tracks=3)
    latents = LatentObservation(spun.node, "seen", track_features=features, tracks_topic="seen_tracks")
    publish(spun.node, "seen", [latent(5)])
    with pytest.raises(StaleObservationError, match="/seen_tracks: no publisher"):
        latents.observe(SOON_S)
    tracks = TrackArray(tracks=[track("ball", 64.0, 0.5), track("box", 320.0, 2.0)])
    publisher = publish(spun.node, "seen_tracks", [tracks])
    observation = latents.observe(5.0)
    wanted = [[0.5, 0.25, 0.05, 0.05, 0.1, -0.05, 0, 2], [0.1, 0.25, 0.05, 0.05, 0.1, -0.05, 1, 0.5], [0] * 8]
    np.testing.assert_allclose(observation.tracks, wanted, rtol=1e-6)
    assert observation.track_mask.tolist() == [1, 1, 0]
    publisher.publish(TrackArray(tracks=[track("dragon", 1.0, 1.0)]))
    time.sleep(0.3)
    with pytest.raises(InvalidValueError, match="tracks of class dragon: not among the class_names given, box, ball"):
        latents.observe(5.0)


def test_an_environment_with_tracks_passes_both_checks(spun) -> None:
    """Its observations are dictionaries."""
    from gymnasium.utils.env_checker import check_env

    sb3 = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    tracks = spun.node.create_publisher(TrackArray, "track_states", RESULT_QOS)

    def both(stamp: int) -> LatentState:
        message = TrackArray(tracks=[track("box", 320.0, 2.0)])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        tracks.publish(message)
        return latent(stamp)

    world = World(spun, both)
    with environment(track_features=TrackFeatures((640, 480), ("box",), 2)) as env, world.running():
        check_env(env)
        sb3.check_env(env)
        observation, _ = env.reset()
        assert observation["track_mask"].tolist() == [1, 0]
