"""Latent states, and tracks if wanted, from ROS topics as arrays with their age; raises where they fail to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import EncoderMismatchError, StaleObservationError
from robot_vision.rl.features import TRACK_FEATURES, TrackFeatures, track_rows
from robot_vision.types import Float32Array

if TYPE_CHECKING:
    from rclpy.node import Node


@dataclass(frozen=True, eq=False)
class Observation:
    """What an agent sees.

    Attributes:
        latent: (D,) float32, the mean.
        stamp_ns: Capture time of the latent's image in integer nanoseconds.
        age_s: Time since then by the node's clock, in seconds.
        novelty: As in `robot_vision_msgs/LatentState`; NaN when it was not computed.
        tracks: (max_tracks, 8) float32 as `TrackFeatures` describes; no rows if tracks were not asked for.
        track_mask: (max_tracks,) int8, 1 where a row holds a track.
        tracks_age_s: As `age_s`, for the tracks; NaN if they were not asked for.
    """

    latent: Float32Array
    stamp_ns: int
    age_s: float
    novelty: float
    tracks: Float32Array
    track_mask: npt.NDArray[np.int8]
    tracks_age_s: float


class LatentObservation:
    """Keeps the newest latent of a topic and hands it out; another thread spins the node.

    A latent that is not finite is skipped and counted, as `encoder_node` does with the frame that gives one. A latent
    of another encoder than expected makes every `observe` fail from then on. Tracks are the newest of their own topic,
    not necessarily of the latent's image.

    Attributes:
        skipped: Number of latents that were not finite.

    Args:
        node: Node that owns the subscriptions; its clock tells the age, so that `use_sim_time` works.
        topic: Topic of `robot_vision_msgs/LatentState`.
        latent_size: Number of values that the agent was made for; None takes that of the first latent.
        encoder_hash: The encoder's `ModelCard.identity_hash` that the agent was made for; None takes that of the first.
        track_features: Also subscribe to tracks, and turn them into this array.
        tracks_topic: Topic of `robot_vision_msgs/TrackArray`.
    """

    def __init__(
        self,
        node: Node,
        topic: str = "latent",
        *,
        latent_size: int | None = None,
        encoder_hash: str | None = None,
        track_features: TrackFeatures | None = None,
        tracks_topic: str = "track_states",
    ) -> None:
        from robot_vision_msgs.msg import (  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
            LatentState,
            TrackArray,
        )

        self.skipped = 0
        self._node, self._features = node, track_features
        self._expected = (latent_size, encoder_hash)
        self._mismatch = ""
        self._arrived = threading.Condition()
        self._latents = _Newest(node, LatentState, topic, self._arrived, self._accept)
        self._tracks: _Newest | None = None
        if track_features is not None:
            self._tracks = _Newest(node, TrackArray, tracks_topic, self._arrived)

    def forget(self) -> None:
        """Drop what has arrived, so that only what arrives from now on counts."""
        with self._arrived:
            for topic in self._topics():
                topic.message = None

    def close(self) -> None:
        """End the subscriptions."""
        for topic in self._topics():
            self._node.destroy_subscription(topic.subscription)

    def observe(self, timeout_s: float, max_age_s: float = np.inf, after_ns: int | None = None) -> Observation:
        """The newest observation, waited for if it is not there yet.

        Args:
            timeout_s: Longest wait in seconds, by the wall clock.
            max_age_s: Largest difference between stamp and node's clock, in seconds; infinity for recordings that are
                played without their time.
            after_ns: Only images taken after this time of the node's clock, such as that of an action.

        Returns:
            The observation.

        Raises:
            StaleObservationError: If none that is new enough came in time; the message says why, as far as is known.
            EncoderMismatchError: If a latent's size or encoder is another than expected.
            InvalidValueError: If a track's class is not among those given.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._arrived:
            while True:
                if self._mismatch:
                    raise EncoderMismatchError(self._mismatch)
                late = [why for topic in self._topics() if (why := topic.lateness(max_age_s, after_ns))]
                if not late:
                    return self._observation()
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    skipped = f"; {self.skipped} latents skipped, not finite" if self.skipped else ""
                    raise StaleObservationError(f"waited {timeout_s:g} s in vain for {'; '.join(late)}{skipped}")
                self._arrived.wait(left_s)

    def _topics(self) -> list[_Newest]:
        return [self._latents] if self._tracks is None else [self._latents, self._tracks]

    def _accept(self, message: Any) -> bool:
        found = (len(message.mean), message.encoder_hash)
        size, encoder_hash = self._expected
        self._expected = (found[0] if size is None else size, found[1] if encoder_hash is None else encoder_hash)
        if found != self._expected:
            self._mismatch = (
                f"{self._latents.name}: expected latents of {self._expected[0]} values with encoder_hash "
                f"{self._expected[1]}, got {found[0]} values of {message.encoder} with encoder_hash {found[1]}; "
                "run the encoder that the agent was trained with"
            )
        is_finite = bool(np.isfinite(message.mean).all())
        self.skipped += not is_finite
        return is_finite

    def _observation(self) -> Observation:
        message = self._latents.message
        tracks, mask, tracks_age_s = np.zeros((0, len(TRACK_FEATURES)), np.float32), np.zeros(0, np.int8), np.nan
        if self._tracks is not None and self._features is not None:
            tracks, mask = self._features.array(track_rows(self._tracks.message, self._features.class_names))
            tracks_age_s = self._tracks.age_s()
        return Observation(
            np.array(message.mean, np.float32),
            self._latents.stamp_ns(),
            self._latents.age_s(),
            float(message.novelty),
            tracks,
            mask,
            tracks_age_s,
        )


class _Newest:
    """The newest message of a topic whose messages have a header."""

    def __init__(
        self,
        node: Node,
        kind: Any,
        name: str,
        arrived: threading.Condition,
        accept: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        from robot_vision.ros.qos import RESULT_QOS  # noqa: PLC0415

        self.message: Any = None
        self._node, self._arrived, self._accept = node, arrived, accept
        self._arrival_s = 0.0
        self.subscription = node.create_subscription(kind, name, self._on_message, RESULT_QOS)
        self.name = self.subscription.topic_name

    def stamp_ns(self) -> int:
        from robot_vision.ros.convert import stamp_ns  # noqa: PLC0415

        return stamp_ns(self.message.header)

    def age_s(self) -> float:
        return (self._node.get_clock().now().nanoseconds - self.stamp_ns()) / 1e9

    def lateness(self, max_age_s: float, after_ns: int | None) -> str:
        """Why the newest message cannot be used; empty if it can."""
        count = self._node.count_publishers(self.name)
        publishers = f"{count} publisher{'' if count == 1 else 's'}" if count else "no publisher"
        if self.message is None:
            return f"{self.name}: {publishers} and no message" if count else f"{self.name}: no publisher"
        silence = f"{publishers}, the last message arrived {time.monotonic() - self._arrival_s:.3g} s ago"
        age_s = self.age_s()
        if abs(age_s) > max_age_s:
            return f"{self.name}: stamp {age_s:.3g} s old by the node's clock, allowed {max_age_s:g} s; {silence}"
        if after_ns is not None and self.stamp_ns() <= after_ns:
            return f"{self.name}: its image was taken {(after_ns - self.stamp_ns()) / 1e9:.3g} s before; {silence}"
        return ""

    def _on_message(self, message: Any) -> None:
        with self._arrived:
            if self._accept(message):
                self.message, self._arrival_s = message, time.monotonic()
            self._arrived.notify_all()
