"""The decoder stage against ONNX Runtime run by hand, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.latent.decoder import Decoder
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard, load_card

CPU = SessionParams(provider="cpu")
LATENT = np.linspace(-1, 1, 32).astype(np.float32)


class FakeSession:
    """A decoder whose image is given."""

    provider = "cpu"
    device = "cpu"
    output_names = ("image",)

    def __init__(self, image: npt.NDArray[np.float32]) -> None:
        self._image = image

    def new_input(self) -> npt.NDArray[np.float32]:
        return np.zeros((1, 32), np.float32)

    def run(self, network_input: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], ...]:
        return (self._image,)


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_card("simworld_vae_decoder")


def test_an_image_is_the_networks_output_as_bytes(card):
    session = ort.InferenceSession(str(card.onnx_path), providers=["CPUExecutionProvider"])
    network_output = session.run(None, {"latent": LATENT[None]})[0]
    decoder = Decoder(card, CPU)
    rgb = decoder.decode(LATENT)
    assert (rgb.shape, rgb.dtype, decoder.size_wh, decoder.latent_size) == ((64, 64, 3), np.uint8, (64, 64), 32)
    assert np.abs(rgb.transpose(2, 0, 1) - network_output[0] * 255).max() <= 0.51


def test_bgr_output_with_mean_and_std_becomes_rgb_pixels(card):
    """Pixel = (value * std + mean) / scale, per channel of the network; here scale is 1, so values are 0 to 255."""
    spec = replace(card.input, colour="BGR", scale=1.0, mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0))
    values = np.empty((1, 3, 64, 64), np.float32)
    values[0, 0], values[0, 1], values[0, 2] = 5, 10, 20
    rgb = Decoder(replace(card, input=spec), CPU, FakeSession(values)).decode(LATENT)
    assert rgb[7, 11].tolist() == [20 * 4 + 30, 10 * 3 + 20, 5 * 2 + 10]


def test_values_beyond_black_and_white_are_clipped(card):
    values = np.full((1, 3, 64, 64), 1.2, np.float32)
    values[0, 1] = -0.2
    assert Decoder(card, CPU, FakeSession(values)).decode(LATENT)[0, 0].tolist() == [255, 0, 255]


@pytest.mark.parametrize("latent", [np.zeros(31, np.float32), np.zeros((1, 32), np.float32)])
def test_a_latent_of_another_shape_is_an_error(card, latent):
    with pytest.raises(InvalidValueError, match="expected 32 finite values, got shape"):
        Decoder(card, CPU, FakeSession(np.zeros((1, 3, 64, 64), np.float32))).decode(latent)


def test_a_latent_that_is_not_finite_is_an_error(card):
    with pytest.raises(InvalidValueError, match="not finite"):
        Decoder(card, CPU, FakeSession(np.zeros((1, 3, 64, 64), np.float32))).decode(np.full(32, np.nan, np.float32))


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (1, 3, 32, 32)])
def test_an_image_of_another_shape_than_the_card_says_is_an_error(card, shape):
    with pytest.raises(ModelError, match=r"expected finite values of shape \(1, 3, 64, 64\), got shape"):
        Decoder(card, CPU, FakeSession(np.zeros(shape, np.float32))).decode(LATENT)


def test_an_image_that_is_not_finite_is_an_error(card):
    with pytest.raises(ModelError, match="not finite"):
        Decoder(card, CPU, FakeSession(np.full((1, 3, 64, 64), np.inf, np.float32))).decode(LATENT)


def test_an_output_that_the_network_lacks_is_an_error_that_lists_what_it_has(card):
    with pytest.raises(ModelError, match="no output named picture; it has image"):
        Decoder(replace(card, input=replace(card.input, name="picture")), CPU)


def test_a_card_for_another_task_is_an_error():
    with pytest.raises(ModelError, match="latent_decoder, got latent_encoder"):
        Decoder(load_card("simworld_vae_encoder"), CPU)
