"""Embeddings of boxes against the network run by hand on what lies in them, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx_writer import write_network

from robot_vision.errors import FrameError, ModelError
from robot_vision.latent.crops import CropEncoder
from robot_vision.params import SessionParams
from robot_vision.runtime.card import InputSpec, LatentSpec, ModelCard, load_card
from robot_vision.types import Detections, Frame

CPU = SessionParams(provider="cpu")
SIDE = 8
RNG = np.random.default_rng(3)
FRAME = Frame(RNG.integers(0, 256, (120, 160, 3), dtype=np.uint8), 77, "camera")


def found(boxes: list[list[float]], scores: float | list[float] = 0.9) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.broadcast_to(np.float32(scores), count).copy(),
        np.zeros(count, np.int64),
    )


def card_of(path: Path, size: int = 3 * SIDE * SIDE) -> ModelCard:
    spec = InputSpec("images", (SIDE, SIDE), "RGB", "stretch", 0, 1 / 255)
    latent = LatentSpec(size, "look", None, None, None, None, None, None)
    return ModelCard("echo", "latent_encoder", path, "0" * 64, spec, latent=latent)


def echo(folder: Path, batch: int | str) -> CropEncoder:
    """An encoder whose embedding is its input."""
    card = card_of(write_network(folder / f"{batch}.onnx", [batch, 3, SIDE, SIDE], {"look": None}))
    return CropEncoder(card, CropEncoder.open_session(card, CPU))


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_each_box_is_embedded_alone_whatever_the_network_takes_at_once(tmp_path, batch, count):
    """Boxes of the network's size on whole pixels need no resizing: their pixels are the embedding, normalised."""
    encoder = echo(tmp_path, batch)
    assert encoder.session.max_batch == (1 if batch == 1 else 16)
    corners = RNG.integers(0, 100, (count, 2))
    embeddings = encoder.encode(FRAME, found([[x, y, x + SIDE, y + SIDE] for x, y in corners]), 0.2)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (count, 3 * SIDE * SIDE)
    for embedding, (x, y) in zip(embeddings, corners, strict=True):
        pixels = FRAME.rgb[y : y + SIDE, x : x + SIDE].transpose(2, 0, 1).reshape(-1) / 255
        np.testing.assert_allclose(embedding, pixels / np.linalg.norm(pixels), atol=1e-6)


def test_boxes_are_cut_at_the_border_and_hold_every_pixel_that_they_touch(tmp_path):
    encoder = echo(tmp_path, 1)
    cut = encoder.encode(FRAME, found([[-50, -20, SIDE, SIDE], [152.4, 112.9, 400, 300]]), 0.2)
    whole = encoder.encode(FRAME, found([[0, 0, SIDE, SIDE], [152, 112, 160, 120]]), 0.2)
    np.testing.assert_array_equal(cut, whole)


def test_what_is_not_looked_at_has_no_embedding(tmp_path):
    """Below the threshold, outside the image, without a size or without numbers: zeros, and the rest as ever."""
    encoder = echo(tmp_path, "batch")
    nan, inf, good = float("nan"), float("inf"), [10, 10, 40, 60]
    boxes = [good, good, [200, 10, 260, 60], [-40, 10, -5, 60], [40, 10, 10, 60], [20, nan, 20, 60], [-inf, 0, 0, 9]]
    embeddings = encoder.encode(FRAME, found(boxes, [0.9, 0.1] + [0.9] * 5), 0.2)
    assert embeddings.any(axis=1).tolist() == [True] + [False] * 6
    np.testing.assert_array_equal(encoder.encode(FRAME, found([good]), 0.2)[0], embeddings[0])


def test_the_shipped_encoder_gives_its_mean_as_by_hand():
    """The card alone decides on size, colour and scale."""
    card = load_card("simworld_vae_encoder")
    blocks = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    canvas = np.zeros((400, 400, 3), np.uint8)
    canvas[30:222, 50:242] = blocks.repeat(3, axis=0).repeat(3, axis=1)
    encoder = CropEncoder(card, CropEncoder.open_session(card, CPU))
    embedding = encoder.encode(Frame(canvas, 0, "camera"), found([[50, 30, 242, 222]]), 0.2)[0]
    session = ort.InferenceSession(str(card.onnx_path), providers=["CPUExecutionProvider"])
    image = (blocks / 255).astype(np.float32).transpose(2, 0, 1)[None]
    mean = session.run(["mean"], {session.get_inputs()[0].name: image})[0][0]
    np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-5)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


def test_several_cameras_share_a_network_from_threads_of_their_own(tmp_path):
    """Two at once, each many times: what each gets is what it gets alone."""
    first = echo(tmp_path, "batch")
    encoders = [first, CropEncoder(first.card, first.session)]
    boxes = [[[x, 20, x + 30, 70] for x in range(start, start + 60, 3)] for start in (0, 60)]
    alone = [encoder.encode(FRAME, found(own), 0.2) for encoder, own in zip(encoders, boxes, strict=True)]

    def again(camera: int) -> list[np.ndarray]:
        return [encoders[camera].encode(FRAME, found(boxes[camera]), 0.2) for _ in range(20)]

    with ThreadPoolExecutor(2) as threads:
        for embeddings, wanted in zip(threads.map(again, range(2)), alone, strict=True):
            for embedding in embeddings:
                np.testing.assert_array_equal(embedding, wanted)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-30, 0.0], [3e38, 3e38]])
def test_any_finite_output_becomes_unit_length_or_stays_zero(tmp_path, values):
    """Also where squares leave the range of single precision."""
    card = card_of(write_network(tmp_path / "n.onnx", [1, 3, SIDE, SIDE], {"look": np.array([values])}), size=2)
    embedding = CropEncoder(card, CropEncoder.open_session(card, CPU)).encode(FRAME, found([[0, 0, 9, 9]]), 0.2)[0]
    assert np.linalg.norm(embedding) == pytest.approx(float(any(values)), abs=1e-6)


def test_values_that_are_not_finite_are_an_error_that_names_the_frame(tmp_path):
    path = write_network(tmp_path / "n.onnx", [1, 3, SIDE, SIDE], {"look": np.array([[1.0, np.nan]])})
    card = card_of(path, size=2)
    encoder = CropEncoder(card, CropEncoder.open_session(card, CPU))
    with pytest.raises(FrameError, match=r"77 ns.*embedding with 1 values that are not finite"):
        encoder.encode(FRAME, found([[0, 0, 9, 9]]), 0.2)


def test_an_embedding_of_another_size_than_the_card_says_is_an_error(tmp_path):
    encoder = echo(tmp_path, 1)
    with pytest.raises(ModelError, match=r"192 values.*latent.size 5"):
        CropEncoder(replace(encoder.card, latent=replace(encoder.card.latent, size=5)), encoder.session)


def test_a_card_for_another_task_or_output_is_an_error(tmp_path):
    detector = load_card("simworld_yolo")
    with pytest.raises(ModelError, match="latent_encoder, got detection"):
        CropEncoder.open_session(detector, CPU)
    encoder = echo(tmp_path, 1)
    with pytest.raises(ModelError, match="latent_encoder, got detection"):
        CropEncoder(detector, encoder.session)
    with pytest.raises(ModelError, match="no output named mu; it has look"):
        CropEncoder(replace(encoder.card, latent=replace(encoder.card.latent, mean_output="mu")), encoder.session)
