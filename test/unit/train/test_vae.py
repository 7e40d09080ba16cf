"""The whole command on tiny data sets, for every kind: what it writes is what the encoder stages read."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
import yaml
from frame_bags import COMPRESSED, patches, write_frames

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("onnx", reason="needs onnx: run `make train-env`")
pytest.importorskip("matplotlib", reason="needs matplotlib: run `make train-env`")

from train_command import run_training  # noqa: E402

from robot_vision.errors import InvalidValueError, ModelError  # noqa: E402
from robot_vision.latent.crops import CropEncoder  # noqa: E402
from robot_vision.latent.decoder import Decoder  # noqa: E402
from robot_vision.latent.encoder import Encoder  # noqa: E402
from robot_vision.params import EncoderParams, SessionParams  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.train import vae  # noqa: E402
from robot_vision.types import Detections, Frame  # noqa: E402

KINDS = ("vae", "ae", "dae", "pca")
CPU = SessionParams(provider="cpu")
OPTIONS = ["--out", "models", "--work", "work", "--threads", "1", "--latent-size", "4"]
FIT = ["--epochs", "1", "--batch-size", "9"]


def train(folder, *words):
    run_training(vae, folder, *OPTIONS, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 30 images, and every kind trained on its first 27."""
    folder = tmp_path_factory.mktemp("vae")
    (folder / "frames").mkdir()
    for number, rgb in enumerate(patches(30)):
        cv2.imwrite(str(folder / "frames" / f"{number:02}.png"), rgb[..., ::-1])
    train(folder, "--data", "frames", "--name", "tiny", *FIT)
    train(folder, "--data", "frames", "--name", "places", "--network", "places", *FIT)
    for kind in KINDS[1:]:
        train(folder, "--data", "frames", "--kind", kind, *([] if kind == "pca" else FIT))
    return folder


def card_of(folder, kind, part="encoder"):
    return load_card(folder / "models" / f"{'tiny' if kind == 'vae' else kind}_{part}.yaml")


@pytest.mark.parametrize("kind", [*KINDS, "places"])
def test_novelty_of_the_held_out_frames_has_mean_zero_and_deviation_one(folder, kind):
    """The calibration of the card, read back through the deployed stage from the image files."""
    encoder = Encoder(card_of(folder, kind), CPU, EncoderParams(novelty=True))
    latents = [encoder.encode(Frame(rgb, 0, "")) for rgb in patches(30)[27:]]
    novelty = [latent.novelty for latent in latents]
    assert np.mean(novelty) == pytest.approx(0, abs=1e-2)
    assert np.std(novelty) == pytest.approx(1, abs=1e-2)
    means = np.array([latent.mean for latent in latents])
    np.testing.assert_allclose(means.mean(axis=0), encoder.card.latent.statistics_mean, atol=1e-4)
    np.testing.assert_allclose(means.std(axis=0), encoder.card.latent.statistics_std, atol=1e-4)
    assert latents[0].log_variance.shape == ((4,) if kind in ("vae", "places") else (0,))
    assert Decoder(card_of(folder, kind, "decoder"), CPU).decode(latents[0].mean).shape == (64, 64, 3)


@pytest.mark.parametrize("kind", [*KINDS, "places"])
def test_crops_go_through_the_network_together_and_give_what_they_give_alone(folder, kind):
    card = card_of(folder, kind)
    encoder = CropEncoder(card, CropEncoder.open_session(card, CPU))
    assert encoder.session.max_batch == 16
    boxes = np.array([[x, 3, x + 30, 60] for x in range(0, 60, 3)], np.float32)
    detections = Detections(boxes, np.ones(20, np.float32), np.zeros(20, np.int64))
    rgb = patches(1)[0]
    together = encoder.encode(Frame(rgb, 0, ""), detections, 0.5)
    alone = Encoder(card, CPU, EncoderParams())
    for (left, top, right, bottom), embedding in zip(boxes.astype(int), together, strict=True):
        mean = alone.encode(Frame(np.ascontiguousarray(rgb[top:bottom, left:right]), 0, "")).mean
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-4)


def test_the_networks_of_pca_reconstruct_held_out_frames_as_a_full_decomposition_does(folder):
    """Through the ONNX files and the stages, against numpy's singular value decomposition of the training frames."""
    encoder, decoder = (
        Encoder(card_of(folder, "pca"), CPU, EncoderParams()), Decoder(card_of(folder, "pca", "decoder"), CPU)
    )  # fmt: skip
    pixels = np.stack([cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA) for rgb in patches(30)])
    rows = pixels.transpose(0, 3, 1, 2).reshape(30, -1) / 255
    centre = rows[:27].mean(axis=0)
    basis = np.linalg.svd(rows[:27] - centre, full_matrices=False)[2][:4]
    for row, rgb in zip(rows[27:], patches(30)[27:], strict=True):
        image = decoder.decode_unit(encoder.encode(Frame(rgb, 0, "")).mean)
        expected = centre + (row - centre) @ basis.T @ basis
        # The deployed preprocessing averages in two steps, each rounded to a whole grey level.
        np.testing.assert_allclose(image.reshape(-1), expected, atol=1 / 255)


def test_the_run_leaves_checkpoint_curves_and_reconstructions_by_name(folder):
    iterated = [f"{name}{end}" for name in ("tiny", "places", "ae", "dae") for end in (".pt", "_curves.png")]
    pictures = [f"{name}_reconstructions.png" for name in ("tiny", "places", "ae", "dae", "pca")]
    assert {path.name for path in (folder / "work").iterdir()} == {"cache", *iterated, *pictures}


@pytest.mark.parametrize("kind", ["vae", "ae", "dae"])
def test_a_finished_run_that_is_resumed_exports_the_same_networks(folder, kind):
    path = card_of(folder, kind).onnx_path
    before = path.read_bytes()
    train(folder, "--data", "frames", "--name", "tiny" if kind == "vae" else kind, "--kind", kind, *FIT, "--resume")
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_kind_is_refused(folder):
    with pytest.raises(ModelError, match="was started with kind=vae"):
        train(folder, "--data", "frames", "--name", "tiny", "--kind", "ae", *FIT, "--resume")


def test_the_cards_say_how_to_train_again_on_what_and_what_was_measured(folder):
    cards = {kind: yaml.safe_load((card_of(folder, kind).onnx_path.with_suffix(".yaml")).read_text()) for kind in KINDS}
    for kind, card in cards.items():
        assert card["training"]["kind"] == kind
        assert card["training"]["command"].startswith("robot_vision train vae --data frames")
        assert card["training"]["data"] == "27 images, the first of folder frames"
        assert (
            ("kl_per_dimension" in card["measured"]) == ("collapsed_dimensions" in card["measured"]) == (kind == "vae")
        )
        assert ("pca_mse" in card["measured"]) == (kind != "pca")
    assert cards["dae"]["training"]["noise"] == "0.25 of the input's pixels black"
    assert cards["ae"]["measured"]["pca_mse"] == cards["pca"]["measured"]["mse"]
    frames = np.load(next((folder / "work" / "cache").iterdir()))
    for entry, part in (("training", frames[:27]), ("measured", frames[27:])):
        assert {card[entry]["data_sha256"] for card in cards.values()} == {hashlib.sha256(part.tobytes()).hexdigest()}


def test_bags_with_ground_truth_train_with_saliency_and_the_error_in_boxes_is_measured(tmp_path):
    boxes = [[(20.0, 20.0, 60.0, 60.0)]] * 12
    for name, seed in (("first", 0), ("second", 1), ("third", 2)):
        write_frames(tmp_path / name, patches(12, seed=seed), boxes=boxes, msgtype=COMPRESSED)
    train(tmp_path, "--data", "first", "second", "--data", "third", "--saliency", "3", *FIT)
    card = yaml.safe_load((tmp_path / "models" / "vae_encoder.yaml").read_text())
    assert card["training"]["data"] == "24 images of bag first, bag second"
    assert card["measured"]["data"] == "12 images of bag third"
    assert "--saliency 3.0" in card["training"]["command"]
    assert card["measured"]["salient_mse"] > 0


def test_more_latents_than_frames_are_refused_before_training(folder):
    with pytest.raises(InvalidValueError, match="latent_size: 27 principal components need more than 27"):
        train(folder, "--data", "frames", "--name", "wide", *FIT, "--latent-size", "27")
    assert not (folder / "work" / "wide.pt").exists()
