"""A Gymnasium environment over ROS topics: latents in, actions out."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gymnasium
import numpy as np
from gymnasium import spaces

from robot_vision.errors import InvalidValueError, RobotVisionError, StaleObservationError
from robot_vision.rl.features import TRACK_FEATURES, TrackFeatures
from robot_vision.rl.observation import LatentObservation, Observation

ActionT = TypeVar("ActionT")


@dataclass(frozen=True)
class RosEnvParams:
    """How an environment meets ROS.

    Attributes:
        latent_size: Number of latent variables, `ModelCard.latent.size` of the encoder.
        encoder_hash: `ModelCard.identity_hash` of the encoder that the agent is made for; None takes the first seen.
        latent_topic: Topic of `robot_vision_msgs/LatentState`.
        track_features: Also observe tracks, as this array; None observes latents alone.
        tracks_topic: Topic of `robot_vision_msgs/TrackArray`.
        action_topic: Topic for actions as `std_msgs/Float32MultiArray`; empty where `publish_action` is overridden.
        reset_service: Service of `std_srvs/Trigger` that begins an episode; empty for none.
        step_period_s: Wall-clock seconds after an action, at whose end the newest latent counts; None waits for the
            first latent whose image was taken after the action.
        timeout_s: Longest wait for a latent, and for the reset service, in wall-clock seconds.
        max_age_s: Largest age of an observation in seconds, by the node's clock. Infinity is for stamps that have
            nothing to do with that clock, as those of a recording; the next latent to arrive then counts as the next.
        truncate_when_stale: End the episode where observations fail to come, instead of raising an error.
        use_sim_time: Take the time from `/clock`.

    Raises:
        InvalidValueError: If a number is not positive.
    """

    latent_size: int
    encoder_hash: str | None = None
    latent_topic: str = "latent"
    track_features: TrackFeatures | None = None
    tracks_topic: str = "track_states"
    action_topic: str = "action"
    reset_service: str = ""
    step_period_s: float | None = None
    timeout_s: float = 2.0
    max_age_s: float = 0.5
    truncate_when_stale: bool = False
    use_sim_time: bool = False

    def __post_init__(self) -> None:
        for name in ("latent_size", "step_period_s", "timeout_s", "max_age_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidValueError(f"RosEnvParams.{name}: expected more than 0, got {value}")


class RosLatentEnv(gymnasium.Env[Any, ActionT], Generic[ActionT]):
    """Base of environments on a robot or in a simulator behind ROS topics; override `reward`, and `terminated`.

    An observation is the latent mean, (D,) float32; with tracks a dictionary of `latent`, `tracks` and `track_mask`.
    The environment has a context, a node and a thread that spins it, all its own: callbacks of subscriptions that a
    subclass adds to `node` run in that thread, `reward`, `terminated` and `publish_action` in the caller's.

    Time passes while the agent thinks, and a seed does not decide what the world does, so register subclasses with
    `gymnasium.register(name, entry_point=…, nondeterministic=True, max_episode_steps=…)`.

    Attributes:
        node: The node, for further subscriptions and publishers.

    Args:
        action_space: Space of the actions.
        params: How to meet ROS.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(self, action_space: spaces.Space[ActionT], params: RosEnvParams) -> None:
        import rclpy  # noqa: PLC0415
        from rclpy.context import Context  # noqa: PLC0415
        from rclpy.executors import SingleThreadedExecutor  # noqa: PLC0415
        from rclpy.node import Node  # noqa: PLC0415
        from rclpy.parameter import Parameter  # noqa: PLC0415

        self.params = params
        self.action_space = action_space
        self.observation_space = _observation_space(params)
        self._last: Observation | None = None
        with ExitStack() as stack:
            context = Context()
            rclpy.init(context=context)
            stack.callback(context.try_shutdown)
            sim_time = Parameter("use_sim_time", value=params.use_sim_time)
            # Without its log topic, whose name environments side by side would contend for.
            self.node = Node("latent_env", context=context, parameter_overrides=[sim_time], enable_rosout=False)
            stack.callback(self.node.destroy_node)
            self._open_topics()
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(self.node)
            thread = threading.Thread(target=executor.spin, name="latent_env", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(executor.shutdown)
            self._resources = stack.pop_all()

    def _open_topics(self) -> None:
        from std_msgs.msg import Float32MultiArray  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
        from std_srvs.srv import Trigger  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

        params = self.params
        self._latents = LatentObservation(
            self.node,
            params.latent_topic,
            latent_size=params.latent_size,
            encoder_hash=params.encoder_hash,
            track_features=params.track_features,
            tracks_topic=params.tracks_topic,
        )
        self._action_type = Float32MultiArray
        self._action_publisher: Any = None
        if params.action_topic:
            self._action_publisher = self.node.create_publisher(Float32MultiArray, params.action_topic, 1)
        self._reset_request = Trigger.Request()
        self._reset_client: Any = None
        if params.reset_service:
            self._reset_client = self.node.create_client(Trigger, params.reset_service)

    def publish_action(self, action: ActionT) -> None:
        """Send an action; override it for another message type, with an empty `action_topic`.

        Args:
            action: Element of the action space.

        Raises:
            NotImplementedError: If there is no `action_topic`.
        """
        if self._action_publisher is None:
            raise NotImplementedError("override publish_action, or set action_topic")
        values = np.asarray(action, np.float32).ravel()
        self._action_publisher.publish(self._action_type(data=values.tolist()))

    def reward(self, observation: Observation, action: ActionT) -> float:
        """Reward of a step; must be overridden.

        Args:
            observation: What the agent saw at the end of the step.
            action: What it did.

        Returns:
            The reward.

        Raises:
            NotImplementedError: If it is not overridden.
        """
        raise NotImplementedError("override reward")

    def terminated(self, observation: Observation) -> bool:  # noqa: ARG002 (for those that override it)
        """Whether the episode is over; never, unless overridden.

        Args:
            observation: What the agent saw at the end of a step.
        """
        return False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Call the reset service, if there is one, and wait for the next latent.

        Args:
            seed: Seeds `np_random`; the world behind the topics does not know it.
            options: Not used.

        Returns:
            Observation and `stamp_ns`, `age_s` and `novelty`.

        Raises:
            StaleObservationError: If no latent that is new enough comes in time.
            EncoderMismatchError: If the latents are of another encoder.
            RobotVisionError: If the reset service is not there, does not answer in time or reports a failure.
        """
        super().reset(seed=seed, options=options)
        self._call_reset()
        self._last = self._next(self._now_ns())
        return self._result(self._last)

    def step(self, action: ActionT) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send an action and see what comes of it.

        Args:
            action: Element of the action space.

        Returns:
            Observation, reward, terminated, truncated, and the information of `reset`. Where observations fail to come
            and `truncate_when_stale` is set: the last observation, no reward, truncated, and the reason as `stale`.

        Raises:
            StaleObservationError: If no latent that is new enough comes in time, unless `truncate_when_stale`.
            EncoderMismatchError: If the latents are of another encoder.
            gymnasium.error.ResetNeeded: If there was no reset before.
        """
        if self._last is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        self.publish_action(action)
        sent_ns = self._now_ns()
        try:
            seen = self._next(sent_ns) if self.params.step_period_s is None else self._newest(self.params.step_period_s)
        except StaleObservationError as error:
            if not self.params.truncate_when_stale:
                raise
            values, info = self._result(self._last)
            return values, 0.0, False, True, {**info, "stale": str(error)}
        self._last = seen
        values, info = self._result(seen)
        return values, float(self.reward(seen, action)), bool(self.terminated(seen)), False, info

    def close(self) -> None:
        """End the thread, the node and the context; may be called twice."""
        self._resources.close()

    def _now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def _next(self, after_ns: int) -> Observation:
        if math.isfinite(self.params.max_age_s):
            return self._latents.observe(self.params.timeout_s, self.params.max_age_s, after_ns)
        self._latents.forget()
        return self._latents.observe(self.params.timeout_s)

    def _newest(self, period_s: float) -> Observation:
        time.sleep(period_s)
        return self._latents.observe(self.params.timeout_s, self.params.max_age_s)

    def _result(self, seen: Observation) -> tuple[Any, dict[str, Any]]:
        info = {"stamp_ns": seen.stamp_ns, "age_s": seen.age_s, "novelty": seen.novelty}
        if self.params.track_features is None:
            return seen.latent, info
        return {"latent": seen.latent, "tracks": seen.tracks, "track_mask": seen.track_mask}, info

    def _call_reset(self) -> None:
        if self._reset_client is None:
            return
        name, timeout_s = self._reset_client.srv_name, self.params.timeout_s
        if not self._reset_client.wait_for_service(timeout_s):
            raise RobotVisionError(f"{name}: no such service within {timeout_s:g} s; it begins an episode")
        answered = threading.Event()
        future = self._reset_client.call_async(self._reset_request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout_s):
            raise RobotVisionError(f"{name}: no answer within {timeout_s:g} s")
        response = future.result()
        if response is None or not response.success:
            raise RobotVisionError(f"{name}: reset failed: {response and response.message}")


def _observation_space(params: RosEnvParams) -> spaces.Space[Any]:
    latent = spaces.Box(-np.inf, np.inf, (params.latent_size,), np.float32)
    if params.track_features is None:
        return latent
    rows = params.track_features.max_tracks
    tracks = spaces.Box(-np.inf, np.inf, (rows, len(TRACK_FEATURES)), np.float32)
    return spaces.Dict({"latent": latent, "tracks": tracks, "track_mask": spaces.MultiBinary(rows)})
