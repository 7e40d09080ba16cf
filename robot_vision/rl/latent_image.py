"""A Gymnasium wrapper that shows an agent the latents of images instead of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robot_vision.errors import InvalidValueError
from robot_vision.latent.encoder import Encoder, latent_space
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.runtime.card import load_card
from robot_vision.types import Float32Array, Frame, UInt8Array


class LatentImage(gymnasium.ObservationWrapper[Float32Array, Any, UInt8Array], gymnasium.utils.RecordConstructorArgs):
    """Replaces each image by its latent mean, computed by the encoder stage that `encoder_node` runs.

    Args:
        env: Environment whose observation is an (H, W, 3) uint8 RGB image.
        encoder: An encoder; or a shipped model's name or the path of an ONNX file, to be run on one CPU thread.

    Raises:
        InvalidValueError: If the environment observes something else.
        ModelError: If the network or its card cannot be used.
    """

    def __init__(self, env: gymnasium.Env[UInt8Array, Any], encoder: Encoder | str | Path) -> None:
        space = env.observation_space
        if not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)):
            raise InvalidValueError(
                f"LatentImage: expected observations of shape (H, W, 3) and type uint8, got {space}"
            )
        # So that the specification of the wrapped environment can make another one.
        gymnasium.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, encoder=encoder)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.encoder = encoder if isinstance(encoder, Encoder) else _open(encoder)
        size = latent_space(self.encoder.card).size
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def observation(self, observation: UInt8Array) -> Float32Array:
        """The latent of one image.

        Args:
            observation: (H, W, 3) uint8, RGB.

        Returns:
            (D,) float32, the mean.

        Raises:
            FrameError: If the network gives values that are not finite.
        """
        # A view, because a frame marks its array as read-only.
        return self.encoder.encode(Frame(observation.view(), 0, "camera")).mean


def _open(model: str | Path) -> Encoder:
    return Encoder(load_card(model), SessionParams(provider="cpu"), EncoderParams(model=str(model)))
