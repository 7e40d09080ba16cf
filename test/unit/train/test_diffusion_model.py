"""What the networks of image generation must do whatever their weights are."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.generation.schedule import NoiseSchedule, add_noise, clean_from_prediction  # noqa: E402
from robot_vision.train.diffusion_fit import COOLDOWN, WARMUP_STEPS, noised, rate_factor  # noqa: E402
from robot_vision.train.diffusion_model import Denoiser, DenoiserShape, ImageAutoencoder  # noqa: E402


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    network = Denoiser(DenoiserShape((4, 8, 8), words=9, max_words=6, width=8)).eval()
    for parameter in network.parameters():  # layers that start at zero would hide everything behind them
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def predict(denoiser, tokens, timestep=100.0):
    sample = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return denoiser(sample, torch.tensor([timestep]), torch.tensor([tokens]))


def test_words_their_order_and_the_time_matter(denoiser):
    base = predict(denoiser, [1, 2, 0, 0, 0, 0])
    for other in (predict(denoiser, [1, 3, 0, 0, 0, 0]), predict(denoiser, [2, 1, 0, 0, 0, 0]),
                  predict(denoiser, [1, 2, 0, 0, 0, 0], 400.0)):  # fmt: skip
        assert (base - other).abs().max() > 1e-4


def test_padding_is_not_looked_at(denoiser):
    base = predict(denoiser, [1, 2, 0, 0, 0, 0])
    with torch.no_grad():
        denoiser.text.embedding.weight[0] += 5
    torch.testing.assert_close(predict(denoiser, [1, 2, 0, 0, 0, 0]), base)


def test_an_untrained_denoiser_predicts_zeros():
    network = Denoiser(DenoiserShape((4, 8, 8), words=9, max_words=6, width=8))
    assert not predict(network, [1, 2, 0, 0, 0, 0]).any()


def test_rescaling_the_latents_changes_them_and_not_the_images():
    torch.manual_seed(0)
    networks = ImageAutoencoder(4, 32, width=16).eval()
    images = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        before = networks.decoder(networks.encoder(images))
        maps = networks.encoder(images).unflatten(1, (4, -1))
        for _ in range(2):  # a second time changes nothing
            maps = networks.encoder(images).unflatten(1, (4, -1))
            networks.set_scale(maps.mean(dim=(0, 2)), maps.std(dim=(0, 2)))
        after = networks.encoder(images)
        torch.testing.assert_close(networks.decoder(after), before, atol=1e-5, rtol=1e-5)
    maps = after.unflatten(1, (4, -1))
    torch.testing.assert_close(maps.mean(dim=(0, 2)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.std(dim=(0, 2)), torch.ones(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_what_is_learnt_is_what_the_sampler_takes_it_for(prediction):
    """A denoiser that answers exactly what training asks of it gives the sampler back the clean sample."""
    schedule = NoiseSchedule.named("cosine", 50)
    rng = np.random.default_rng(0)
    clean, noise = (rng.standard_normal((1, 2, 3, 3)).astype(np.float32) for _ in range(2))
    for step in (0, 20, 45):
        level = float(schedule.alphas_cumprod[step])
        levels = torch.tensor([level], dtype=torch.float64)
        noisy, target = noised(torch.from_numpy(clean), torch.from_numpy(noise), levels, prediction)
        np.testing.assert_allclose(noisy.numpy(), add_noise(clean, noise, level), atol=1e-6)
        recovered = clean_from_prediction(prediction, noisy.numpy(), target.numpy(), level)
        np.testing.assert_allclose(recovered, clean, atol=2e-5 / np.sqrt(level))


def test_the_rate_rises_stays_and_falls():
    total = 10 * WARMUP_STEPS
    rates = [rate_factor(step, total) for step in range(total)]
    fall = int((1 - COOLDOWN) * total)
    assert np.all(np.diff(rates[:WARMUP_STEPS]) > 0)
    assert set(rates[WARMUP_STEPS : fall + 1]) == {1.0}
    assert np.all(np.diff(rates[fall:]) < 0)
    assert 0 < rates[-1] < 0.05
