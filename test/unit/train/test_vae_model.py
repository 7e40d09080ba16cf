"""The autoencoders' objective against numerical integration, torch's distributions and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.errors import InvalidValueError  # noqa: E402
from robot_vision.train.vae_data import pixel_weights  # noqa: E402
from robot_vision.train.vae_model import Autoencoder, VaeShape, gaussian_kl, gaussian_nll, negative_elbo  # noqa: E402

POSTERIORS = [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5), (0.1, 0.05)]


@pytest.mark.parametrize(("mean", "sigma"), POSTERIORS)
def test_kl_equals_the_integral_that_defines_it(mean, sigma):
    posterior, prior = stats.norm(mean, sigma), stats.norm(0, 1)
    integral, _ = integrate.quad(
        lambda z: posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)), mean - 12 * sigma, mean + 12 * sigma
    )
    kl = gaussian_kl(torch.tensor([[mean]]), torch.tensor([[2 * math.log(sigma)]]))
    assert kl.item() == pytest.approx(integral, abs=1e-5)


def test_kl_equals_torch_distributions_per_dimension():
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    posterior = torch.distributions.Normal(mean, log_variance.exp().sqrt())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)


def test_fixed_likelihood_equals_scipys_density():
    images, reconstructions = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    expected = -stats.norm(reconstructions.numpy(), 0.2).logpdf(images.numpy()).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(gaussian_nll(images, reconstructions, "fixed", 0.2).numpy(), expected, rtol=1e-4)


def test_optimal_likelihood_is_the_lowest_of_all_fixed_ones():
    images, reconstructions = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    optimal = gaussian_nll(images, reconstructions, "optimal", 0.0).mean()
    fixed = [gaussian_nll(images, reconstructions, "fixed", sigma).mean() for sigma in np.linspace(0.05, 1.5, 400)]
    assert optimal <= min(fixed) + 1e-3
    assert optimal.item() == pytest.approx(min(fixed).item(), abs=0.05)


def test_bound_equals_the_evidence_of_a_linear_gaussian_model_at_its_exact_posterior():
    """For x = w z + noise both are known in closed form, and there the bound is tight (Bishop 2006, section 12.2)."""
    weights, sigma = torch.tensor([0.7, -0.4, 1.1]), 0.5
    x = torch.tensor([0.3, 0.9, -0.2])
    variance = 1 / (1 + weights.square().sum() / sigma**2)
    mean = variance * (weights @ x) / sigma**2
    generator = torch.Generator().manual_seed(0)
    z = mean + variance.sqrt() * torch.randn(200_000, 1, generator=generator)
    reconstructions = (z * weights).view(-1, 3, 1, 1)
    objective = negative_elbo(
        x.view(1, 3, 1, 1).expand_as(reconstructions),
        reconstructions,
        (mean.expand(200_000, 1), variance.log().expand(200_000, 1)),
        likelihood="fixed",
        sigma=sigma,
    )
    covariance = np.outer(weights, weights) + sigma**2 * np.eye(3)
    evidence = stats.multivariate_normal(np.zeros(3), covariance).logpdf(x.numpy())
    assert -objective.loss.item() == pytest.approx(evidence, abs=0.02)


def test_perfect_reconstruction_at_the_prior_costs_the_constant_of_the_density_only():
    images = torch.rand(3, 3, 4, 4)
    zeros = torch.zeros(3, 5)
    objective = negative_elbo(images, images, (zeros, zeros), likelihood="fixed", sigma=1.0)
    assert objective.loss.item() == pytest.approx(48 * 0.5 * math.log(2 * math.pi), rel=1e-5)
    assert objective.kl_per_dimension.tolist() == [0.0] * 5


def test_beta_weighs_the_kl_and_free_bits_are_per_dimension():
    images = torch.zeros(1, 3, 2, 2)
    posterior = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)  # KL 2 nats and 0 nats
    base = negative_elbo(images, images, posterior, likelihood="fixed", beta=0.0).loss
    with_beta = negative_elbo(images, images, posterior, likelihood="fixed", beta=3.0).loss
    free = negative_elbo(images, images, posterior, likelihood="fixed", free_bits=0.5).loss
    assert (with_beta - base).item() == pytest.approx(6.0, abs=1e-5)
    assert (free - base).item() == pytest.approx(2.5, abs=1e-5)


def test_weights_of_one_leave_the_objective_as_it_is():
    images, reconstructions = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
    posterior = torch.randn(3, 2), torch.randn(3, 2)
    weights = pixel_weights(torch.rand(3, 1, 8, 8), 0.0)
    for likelihood in ("optimal", "fixed"):
        plain = negative_elbo(images, reconstructions, posterior, likelihood=likelihood)
        weighted = negative_elbo(images, reconstructions, posterior, weights=weights, likelihood=likelihood)
        assert torch.equal(plain.loss, weighted.loss)


def test_an_error_in_a_box_costs_more_and_one_outside_less_than_unweighted():
    """Against a sum over the pixels one by one, of an image with one box of weight 4 on a background of weight 1."""
    coverage = torch.zeros(1, 1, 4, 4)
    coverage[..., :2, :2] = 1.0
    weights = pixel_weights(coverage, 3.0)
    images, reconstructions = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    mean_weight = (4 * 4.0 + 12 * 1.0) / 16
    expected = 0.0
    for channel, row, column in np.ndindex(3, 4, 4):
        weight = (4.0 if row < 2 and column < 2 else 1.0) / mean_weight
        error = float(images[0, channel, row, column] - reconstructions[0, channel, row, column])
        expected += 0.5 * weight * error**2 / 0.2**2 + math.log(0.2) + 0.5 * math.log(2 * math.pi)
    objective = negative_elbo(images, reconstructions, None, weights=weights, likelihood="fixed", sigma=0.2)
    assert objective.loss.item() == pytest.approx(expected, rel=1e-5)
    assert objective.mse.item() == pytest.approx((images - reconstructions).square().mean().item())


def test_a_plain_autoencoder_decodes_its_mean_and_pays_for_the_error_only():
    networks = Autoencoder(VaeShape(latent_size=5, variational=False)).eval()
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        images, mean = networks(pixels, torch.randn(2, 5))
        torch.testing.assert_close(images, networks.decoder(mean))
    objective = negative_elbo(pixels, images, None)
    assert objective.kl_per_dimension is None
    assert torch.equal(objective.loss, objective.nll)


@pytest.mark.parametrize("network", ["convolution", "places"])
def test_networks_have_the_deployed_shapes_and_images_in_range(network):
    vae = Autoencoder(VaeShape(7, network=network))
    images, mean, log_variance = vae(torch.rand(2, 3, 64, 64), torch.randn(2, 7))
    assert (images.shape, mean.shape, log_variance.shape) == ((2, 3, 64, 64), (2, 7), (2, 7))
    assert 0 <= images.min() <= images.max() <= 1


def test_noise_reaches_the_reconstruction_scaled_by_the_posteriors_sigma():
    """Against a hand-made sample: z = mu + exp(log_variance / 2) * noise."""
    vae = Autoencoder(VaeShape(latent_size=4)).eval()
    pixels, noise = torch.rand(2, 3, 64, 64), torch.randn(2, 4)
    with torch.no_grad():
        images, mean, log_variance = vae(pixels, noise)
        by_hand = vae.decoder(torch.tensor(mean.numpy() + np.sqrt(np.exp(log_variance.numpy())) * noise.numpy()))
    torch.testing.assert_close(images, by_hand)


@pytest.mark.parametrize("network", ["convolution", "places"])
def test_shipped_sizes_stay_within_the_budget_of_a_robot(network):
    vae = Autoencoder(VaeShape(network=network))
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (vae.encoder, vae.decoder))
    assert encoder <= 600_000
    assert 4 * (encoder + decoder) <= 5e6


@pytest.mark.parametrize(
    "wrong", [{"latent_size": 0}, {"encoder_channels": (8, 8, 8)}, {"decoder_channels": (8, 8, 0, 8)}]
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        VaeShape(**wrong)
