"""Images of an environment as latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")

from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.rl.latent_image import LatentImage
from robot_vision.runtime.card import load_card
from robot_vision.types import Frame

MODEL = "simworld_vae_encoder"


class Pictures(gymnasium.Env):
    """Random pictures of a size that the network does not have."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space: Any = None) -> None:
        self.observation_space = space or gymnasium.spaces.Box(0, 255, (48, 96, 3), np.uint8)
        self.picture = np.random.default_rng(3).integers(0, 256, (48, 96, 3)).astype(np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.picture, {}

    def step(self, action):
        self.picture = self.picture[::-1].copy()
        return self.picture, 1.5, False, False, {"kept": True}


def test_the_agent_sees_what_the_node_would_publish() -> None:
    """The encoder stage's mean, and everything else of the step as it was; the picture stays writable."""
    encoder = Encoder(load_card(MODEL), SessionParams(provider="cpu"), EncoderParams())
    env = Pictures()
    wrapped = LatentImage(env, MODEL)
    first, _ = wrapped.reset(seed=0)
    np.testing.assert_array_equal(first, encoder.encode(Frame(env.picture.copy(), 0, "camera")).mean)
    second, *rest = wrapped.step(0)
    np.testing.assert_array_equal(second, encoder.encode(Frame(env.picture.copy(), 0, "camera")).mean)
    assert rest == [1.5, False, False, {"kept": True}]
    assert not np.array_equal(first, second)
    assert wrapped.observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (32,), np.float32)
    assert env.picture.flags.writeable


def test_an_encoder_can_be_shared() -> None:
    encoder = Encoder(load_card(MODEL), SessionParams(provider="cpu"), EncoderParams())
    assert LatentImage(Pictures(), encoder).encoder is encoder


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Box(-1, 1, (6,), np.float32),
        gymnasium.spaces.Box(0, 255, (3, 64, 64), np.uint8),
        gymnasium.spaces.Box(0, 1, (64, 64, 3), np.float32),
        gymnasium.spaces.Discrete(4),
    ],
)
def test_what_is_no_image_is_refused(space) -> None:
    with pytest.raises(InvalidValueError, match=r"expected observations of shape \(H, W, 3\) and type uint8, got"):
        LatentImage(Pictures(space), MODEL)


def test_a_network_of_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match="latent_encoder, got detection"):
        LatentImage(Pictures(), "simworld_yolo")
