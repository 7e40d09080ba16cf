"""The encoder stage against ONNX Runtime run by hand, and what it refuses."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
import yaml
from onnx_writer import write_network

from robot_vision.errors import FrameError, ModelError
from robot_vision.latent.decoder import Decoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.runtime.card import ModelCard, load_card
from robot_vision.runtime.layouts import Output
from robot_vision.types import Frame

CPU = SessionParams(provider="cpu")
STAMP_NS = 1_234_567_890_123


class FakeSession:
    """A network whose outputs are given."""

    provider = "cpu"
    device = "cpu"

    def __init__(self, outputs: dict[str, npt.NDArray[Any]]) -> None:
        self.output_names = tuple(outputs)
        self.outputs = tuple(Output(name, values.shape) for name, values in outputs.items())
        self._outputs = tuple(outputs.values())

    def new_input(self) -> npt.NDArray[np.float32]:
        return np.zeros((1, 3, 64, 64), np.float32)

    def run(self, network_input: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], ...]:
        return self._outputs


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_card("simworld_vae_encoder")


@pytest.fixture(scope="module")
def blocks() -> npt.NDArray[np.uint8]:
    """A 64×64 image."""
    return np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def frame(blocks: npt.NDArray[np.uint8]) -> Frame:
    """The same image with every pixel repeated, so that any averaging resize gives exactly `blocks` back."""
    return Frame(blocks.repeat(3, axis=0).repeat(5, axis=1), STAMP_NS, "camera")


def by_hand(card: ModelCard, network_input: npt.NDArray[np.float32], output: str) -> npt.NDArray[Any]:
    session = ort.InferenceSession(str(card.onnx_path), providers=["CPUExecutionProvider"])
    return session.run([output], {session.get_inputs()[0].name: network_input})[0]


def test_mean_and_log_variance_are_those_of_the_network_run_by_hand(card, blocks, frame):
    image = (blocks / 255).astype(np.float32).transpose(2, 0, 1)[None]
    latent = Encoder(card, CPU, EncoderParams()).encode(frame)
    np.testing.assert_allclose(latent.mean, by_hand(card, image, "mean")[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(latent.log_variance, by_hand(card, image, "log_variance")[0], rtol=1e-4, atol=1e-5)


def test_a_latent_names_its_encoder_and_leaves_novelty_out_unless_asked(card, frame):
    encoder = Encoder(card, CPU, EncoderParams())
    latent = encoder.encode(frame)
    assert (latent.encoder, latent.encoder_hash) == ("simworld_vae_encoder", card.identity_hash)
    assert math.isnan(latent.novelty)
    assert not encoder.computes_novelty


def test_a_later_frame_does_not_change_an_earlier_latent(card, frame):
    encoder = Encoder(card, CPU, EncoderParams())
    first = encoder.encode(frame)
    kept = first.mean.copy()
    encoder.encode(Frame(np.zeros((48, 64, 3), np.uint8), 0, "camera"))
    np.testing.assert_array_equal(first.mean, kept)


@pytest.mark.parametrize(
    ("colour", "mean", "std"), [("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ("BGR", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))]
)
def test_novelty_is_the_standardised_error_in_unit_pixels_for_any_input_scaling(card, blocks, frame, colour, mean, std):
    spec = replace(card.input, colour=colour, mean=mean, std=std)
    spec_card = replace(card, input=spec)
    encoder = Encoder(spec_card, CPU, EncoderParams(novelty=True))
    latent = encoder.encode(frame)
    decoded = by_hand(load_card("simworld_vae_decoder"), latent.mean[None], "image")[0].transpose(1, 2, 0)
    error = float(np.mean((blocks / 255 - decoded) ** 2))
    expected = (error - card.latent.novelty_error_mean) / card.latent.novelty_error_std
    assert encoder.computes_novelty
    assert latent.novelty == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("missing", ["decoder", "novelty_error_mean"])
def test_novelty_is_nan_where_the_card_has_no_decoder_or_no_calibration(card, frame, missing):
    encoder = Encoder(replace(card, latent=replace(card.latent, **{missing: None})), CPU, EncoderParams(novelty=True))
    assert not encoder.computes_novelty
    assert math.isnan(encoder.encode(frame).novelty)


def own_card(folder: Path, features: npt.NDArray[np.float32], size: int) -> ModelCard:
    """What a user writes for an encoder of his own: the least that a card must hold."""
    path = write_network(folder / "own.onnx", [1, 3, 8, 8], {"features": features}, input_name="pixels")
    document = {
        "task": "latent_encoder",
        "file": "own.onnx",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {"size_wh": [8, 8], "colour": "RGB", "resize": "stretch", "scale": 1 / 255},
        "output": {"mean": "features"},
        "latent": {"size": size},
    }
    path.with_suffix(".yaml").write_text(yaml.safe_dump(document))
    return load_card(path)


@pytest.mark.parametrize("shape", [(1, 24), (24,), (1, 2, 3, 4), (1, 24, 1, 1), (1, 6, 4)])
def test_an_output_of_any_shape_is_a_latent_that_reshapes_to_it_again(tmp_path, frame, shape):
    """Vector, feature map and tokens of an encoder without log-variance, through ONNX Runtime and a card by hand."""
    features = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    latent = Encoder(own_card(tmp_path, features, 24), CPU, EncoderParams()).encode(frame)
    assert (latent.mean.shape, latent.log_variance.shape) == ((24,), (0,))
    np.testing.assert_array_equal(latent.mean.reshape(shape), features)
    if shape == (1, 2, 3, 4):
        assert latent.mean[1 * 12 + 2 * 4 + 3] == features[0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 24), (1, 2, 3, 4), (1, 6, 4)])
def test_a_card_of_another_size_is_an_error_at_start_that_says_what_to_write(tmp_path, shape):
    """The size of one channel or one token is the usual mistake."""
    card = own_card(tmp_path, np.zeros(shape, np.float32), 4)
    with pytest.raises(ModelError, match=r"features has 24 values \(shape .*latent.size 4; write latent.size: 24 "):
        Encoder(card, CPU, EncoderParams())


def test_twins_on_one_network_encode_in_two_threads_as_one_does_alone(card):
    """Each twin has buffers of its own, also those of novelty."""
    encoder = Encoder(card, CPU, EncoderParams(novelty=True))
    images = np.random.default_rng(2).integers(0, 256, (2, 96, 128, 3), dtype=np.uint8)
    frames = [Frame(image, 0, "camera") for image in images]
    alone = [encoder.encode(frame) for frame in frames]
    encoders = [encoder, encoder.twin()]
    with ThreadPoolExecutor(2) as threads:
        again = threads.map(lambda twin, frame: [twin.encode(frame) for _ in range(50)], encoders, frames)
        for found, wanted in zip(again, alone, strict=True):
            for latent in found:
                np.testing.assert_array_equal(latent.mean, wanted.mean)
                assert latent.novelty == wanted.novelty


def test_the_decoder_is_the_cards_and_with_novelty_the_one_that_is_loaded(card):
    latent = np.linspace(-1, 1, 32).astype(np.float32)
    wanted = Decoder(load_card("simworld_vae_decoder"), CPU).decode(latent)
    for novelty in (False, True):
        encoder = Encoder(card, CPU, EncoderParams(novelty=novelty))
        first, second = encoder.twin().open_decoder(), encoder.open_decoder()
        np.testing.assert_array_equal(first.decode(latent), wanted)
        assert (first.session is second.session) == novelty


def test_a_card_without_decoder_cannot_decode_and_says_so(card):
    encoder = Encoder(replace(card, latent=replace(card.latent, decoder=None)), CPU, EncoderParams())
    with pytest.raises(ModelError, match="simworld_vae_encoder: its card names no decoder"):
        encoder.open_decoder()


@pytest.mark.parametrize("output", ["mean", "log_variance"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_an_error_that_names_the_frame(card, frame, output, value):
    outputs = {name: np.zeros((1, 32), np.float32) for name in ("mean", "log_variance")}
    outputs[output][0, 3] = value
    with pytest.raises(FrameError, match=rf"{STAMP_NS} ns.*1 values that are not finite"):
        Encoder(card, CPU, EncoderParams(), FakeSession(outputs)).encode(frame)


@pytest.mark.parametrize("output", ["mean", "log_variance"])
def test_a_latent_whose_size_changes_from_frame_to_frame_is_an_error(card, frame, output):
    outputs = {name: np.zeros((1, 32), np.float32) for name in ("mean", "log_variance")}
    encoder = Encoder(card, CPU, EncoderParams(), FakeSession(outputs))
    encoder.session = FakeSession({**outputs, output: np.zeros((1, 31), np.float32)})
    with pytest.raises(ModelError, match=r"31 values.*latent.size 32"):
        encoder.encode(frame)


def test_an_output_that_the_network_lacks_is_an_error_that_lists_what_it_has(card):
    with pytest.raises(ModelError, match="no output named mu; it has mean, log_variance"):
        Encoder(replace(card, latent=replace(card.latent, mean_output="mu")), CPU, EncoderParams())


def test_a_card_for_another_task_is_an_error():
    with pytest.raises(ModelError, match="latent_encoder, got latent_decoder"):
        Encoder(load_card("simworld_vae_decoder"), CPU, EncoderParams())


def test_novelty_refuses_a_decoder_of_another_image_size(card):
    smaller = replace(card, input=replace(card.input, size_wh=(32, 32)))
    outputs = {name: np.zeros((1, 32), np.float32) for name in ("mean", "log_variance")}
    with pytest.raises(ModelError, match=r"\(32, 32\).*\(64, 64\)"):
        Encoder(smaller, CPU, EncoderParams(novelty=True), FakeSession(outputs))
