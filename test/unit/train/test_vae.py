"""The whole command on a tiny data set: what it writes is what the encoder stage reads."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("onnx", reason="needs onnx: run `make train-env`")
pytest.importorskip("matplotlib", reason="needs matplotlib: run `make train-env`")

from robot_vision.latent.encoder import Encoder  # noqa: E402
from robot_vision.params import EncoderParams, SessionParams  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.train.vae import configure, run  # noqa: E402
from robot_vision.types import Frame  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    (folder / "frames").mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (96, 80))
        cv2.imwrite(str(folder / "frames" / f"{number:02}.png"), pixels)
    parser = argparse.ArgumentParser()
    configure(parser)
    options = ["--data", "frames", "--name", "tiny", "--out", "models", "--work", "work", "--threads", "1"]
    sizes = ["--epochs", "1", "--batch-size", "9", "--latent-size", "4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        threads = torch.get_num_threads()
        assert run(parser.parse_args([*options, *sizes])) == 0
        assert run(parser.parse_args([*options, *sizes, "--resume"])) == 0
        torch.set_num_threads(threads)
    return folder


def test_novelty_of_the_held_out_frames_has_mean_zero_and_deviation_one(folder):
    """The calibration of the card, read back through the deployed stage from the image files."""
    encoder = Encoder(
        load_card(folder / "models" / "tiny_encoder.yaml"), SessionParams(provider="cpu"), EncoderParams(novelty=True)
    )
    held_out = sorted((folder / "frames").iterdir())[27:]
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in held_out]
    latents = [encoder.encode(Frame(image, 0, "")) for image in images]
    novelty = [latent.novelty for latent in latents]
    assert np.mean(novelty) == pytest.approx(0, abs=1e-2)
    assert np.std(novelty) == pytest.approx(1, abs=1e-2)
    means = np.array([latent.mean for latent in latents])
    np.testing.assert_allclose(means.mean(axis=0), encoder.card.latent.statistics_mean, atol=1e-4)
    np.testing.assert_allclose(means.std(axis=0), encoder.card.latent.statistics_std, atol=1e-4)


def test_the_run_leaves_checkpoint_curves_and_reconstructions(folder):
    assert {path.name for path in (folder / "work").iterdir()} == {
        "cache",
        "curves.png",
        "reconstructions.png",
        "vae.pt",
    }


def test_the_cards_say_how_to_train_again_and_what_was_measured(folder):
    text = (folder / "models" / "tiny_encoder.yaml").read_text()
    for part in ("robot_vision train vae --data frames", "--latent-size 4", "pca_mse", "kl_per_dimension", "27 images"):
        assert part in text
