"""Training is the same for the same seed, and the same with a stop in the middle."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.errors import ModelError  # noqa: E402
from robot_vision.train.vae_fit import Fit, kl_weight_at, reconstruct  # noqa: E402
from robot_vision.train.vae_settings import FitSettings  # noqa: E402

CPU = torch.device("cpu")
TINY = FitSettings(epochs=3, batch_size=4, latent_size=3, warmup_epochs=1, seed=7)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frames():
    """Twelve flat images of different colours."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 3, 1, 1), dtype=np.uint8)
    return np.broadcast_to(colours, (12, 3, 64, 64)).copy()


def trained(settings, frames, epochs):
    fit = Fit(settings, CPU)
    for _ in range(epochs):
        fit.run_epoch(frames, frames[:4, :3])
    return fit


def assert_same_weights(a, b):
    for name, value in a.networks.state_dict().items():
        assert torch.equal(value, b.networks.state_dict()[name]), name


def test_the_same_seed_gives_the_same_weights_whatever_the_global_generator_did(frames):
    first = trained(TINY, frames, 2)
    torch.rand(17)
    assert_same_weights(first, trained(TINY, frames, 2))


@pytest.mark.parametrize("kind", ["ae", "dae"])
def test_plain_and_denoising_autoencoders_are_the_same_for_a_seed_also_with_a_stop_in_the_middle(
    frames, tmp_path, kind
):
    settings = FitSettings(kind=kind, epochs=2, batch_size=4, latent_size=3, seed=7)
    whole = trained(settings, frames, 2)
    trained(settings, frames, 1).save(tmp_path / "fit.pt")
    resumed = Fit.load(tmp_path / "fit.pt", settings, CPU)
    resumed.run_epoch(frames, frames[:4])
    assert_same_weights(whole, resumed)
    assert "kl" not in whole.history[0]
    assert whole.networks.encoder.head.out_features == 3


def test_a_plain_autoencoder_takes_no_noise_and_a_denoising_one_does(frames):
    """They begin with the same weights; only what is done to the input differs."""
    sizes = {"epochs": 1, "batch_size": 4, "latent_size": 3, "augment": False}
    plain, denoising = (trained(FitSettings(kind=kind, **sizes), frames, 1) for kind in ("ae", "dae"))
    fresh = Fit(FitSettings(kind="ae", **sizes), CPU)
    assert torch.equal(Fit(FitSettings(kind="dae", **sizes), CPU).networks.decoder.stem[0].weight,
                       fresh.networks.decoder.stem[0].weight)  # fmt: skip
    assert not torch.equal(plain.networks.encoder.head.weight, denoising.networks.encoder.head.weight)


def test_coverage_everywhere_or_nowhere_trains_as_without(frames):
    """Weights have mean 1 in every image, so that even coverage changes nothing; uneven coverage does.

    Of images as they are: where augmentation interpolates, coverage of 1 is so but for the processor's roundings.
    """
    as_they_are = FitSettings(**{**vars(TINY), "augment": False})
    plain = trained(as_they_are, frames, 1).networks.encoder.head.weight
    salient = FitSettings(**{**vars(as_they_are), "saliency": 3.0})
    coverage = np.zeros((12, 1, 64, 64), np.uint8)
    coverage[:6] = 255
    even = trained(salient, np.concatenate([frames, coverage], axis=1), 1).networks.encoder.head.weight
    torch.testing.assert_close(even, plain)
    coverage[:, :, :32] = 128
    uneven = trained(salient, np.concatenate([frames, coverage], axis=1), 1).networks.encoder.head.weight
    assert not torch.allclose(uneven, plain, atol=1e-4)


def test_with_saliency_a_small_object_is_kept_that_is_lost_without():
    """One latent dimension, and two facts of each frame: its large background and its small object."""
    rng = np.random.default_rng(0)
    images = np.repeat(rng.integers(90, 160, (16, 1, 1, 1)), 3, axis=1) * np.ones((1, 1, 64, 64))
    images[:, :, 20:32, 20:32] = np.tile([20, 235], 8)[:, None, None, None]
    frames = images.astype(np.uint8)
    coverage = np.zeros((16, 1, 64, 64), np.uint8)
    coverage[:, :, 20:32, 20:32] = 255
    errors = []
    for saliency in (0.0, 50.0):
        settings = FitSettings(
            kind="ae", epochs=20, batch_size=8, latent_size=1, augment=False, saliency=saliency, learning_rate=3e-3
        )
        fit = trained(settings, np.concatenate([frames, coverage], axis=1), 20)
        shown = reconstruct(fit.networks, frames)[2][:, :, 20:32, 20:32]
        errors.append((shown - torch.from_numpy(frames[:, :, 20:32, 20:32]) / 255).square().mean().item())
    assert errors[1] < 0.5 * errors[0]


def test_another_seed_gives_other_weights(frames):
    other = FitSettings(epochs=3, batch_size=4, latent_size=3, warmup_epochs=1, seed=8)
    first, second = trained(TINY, frames, 1), trained(other, frames, 1)
    assert not torch.equal(first.networks.encoder.head.weight, second.networks.encoder.head.weight)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(frames, tmp_path):
    whole = trained(TINY, frames, 3)
    trained(TINY, frames, 1).save(tmp_path / "vae.pt")
    resumed = Fit.load(tmp_path / "vae.pt", TINY, CPU)
    assert resumed.epochs_done == 1
    for _ in range(2):
        resumed.run_epoch(frames, frames[:4])
    assert_same_weights(whole, resumed)


def test_resuming_with_other_settings_is_refused_by_name(frames, tmp_path):
    trained(TINY, frames, 1).save(tmp_path / "vae.pt")
    with pytest.raises(ModelError, match=r"was started with beta=1\.0"):
        Fit.load(tmp_path / "vae.pt", FitSettings(**{**vars(TINY), "beta": 2.0}), CPU)


def test_a_missing_or_foreign_checkpoint_is_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"vae\.pt"):
        Fit.load(tmp_path / "vae.pt", TINY, CPU)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "vae.pt")
    with pytest.raises(ModelError, match="no checkpoint of an encoder's training"):
        Fit.load(tmp_path / "vae.pt", TINY, CPU)


def test_diverging_training_stops_with_an_error(frames):
    fit = Fit(TINY, CPU)
    with torch.no_grad():
        fit.networks.encoder.head.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="diverged in epoch 1"):
        fit.run_epoch(frames, frames[:4])


def test_the_kl_weight_rises_linearly_to_beta():
    settings = FitSettings(warmup_epochs=4, beta=2.0)
    assert [kl_weight_at(progress, settings) for progress in (0, 1, 4, 9)] == [0.0, 0.5, 2.0, 2.0]
    assert kl_weight_at(0, FitSettings(warmup_epochs=0, beta=2.0)) == 2.0


def test_training_keeps_the_one_number_that_grey_images_differ_in():
    levels = np.linspace(10, 245, 12).astype(np.uint8)[:, None, None, None]
    greys = np.broadcast_to(levels, (12, 3, 64, 64)).copy()
    settings = FitSettings(epochs=40, batch_size=4, latent_size=3, warmup_epochs=0, augment=False)
    fit = trained(settings, greys, 40)
    _, _, images = reconstruct(fit.networks, greys)
    truth = torch.from_numpy(greys) / 255
    assert (images - truth).square().mean() < 0.1 * truth.var(dim=0, correction=0).mean()


def test_reconstruction_in_pieces_equals_reconstruction_at_once(frames):
    fit = Fit(TINY, CPU)
    for pieces, whole in zip(reconstruct(fit.networks, frames, 5), reconstruct(fit.networks, frames), strict=True):
        torch.testing.assert_close(pieces, whole)
