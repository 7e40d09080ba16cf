"""Measures on latents against closed forms and known answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: run `make setup`")

from scipy.linalg import sqrtm

from robot_vision.evaluation.latent import (
    cluster_agreement,
    dimension_statistics,
    frechet_distance,
    gaussian_kl,
    gaussian_samples,
    novelty_auroc,
    pose_steps,
    smoothness,
)

UNKNOWN = np.full(9, np.nan)


def test_kl_is_the_integral_that_defines_it() -> None:
    """Two dimensions summed slowly over a fine grid."""
    means, log_variances = np.array([[0.7, -1.5]]), np.array([[-0.8, 0.4]])
    z = np.linspace(-20, 20, 400_001)
    for mean, log_variance, kl in zip(means[0], log_variances[0], gaussian_kl(means, log_variances)[0], strict=True):
        q = np.exp(-0.5 * (z - mean) ** 2 / np.exp(log_variance)) / np.sqrt(2 * np.pi * np.exp(log_variance))
        log_ratio = -0.5 * (z - mean) ** 2 / np.exp(log_variance) - 0.5 * log_variance + 0.5 * z**2
        assert kl == pytest.approx((q * log_ratio).sum() * (z[1] - z[0]), rel=1e-6)


def test_statistics_tell_collapsed_and_doubled_dimensions() -> None:
    """The second dimension mirrors the first, the third barely moves; with a prior, only that one has collapsed."""
    rng = np.random.default_rng(1)
    first, fourth = rng.standard_normal((2, 4000))
    latents = np.stack([first, -2 * first, 0.05 * rng.standard_normal(4000) + 3, fourth], axis=1).astype(np.float32)
    found = dimension_statistics(latents, np.zeros_like(latents))
    assert found.collapsed == (2,)
    assert found.correlation[0, 1] == pytest.approx(-1, abs=1e-5)
    assert abs(found.correlation[0, 3]) < 0.05
    np.testing.assert_allclose(found.variance, [1, 4, 0.0025, 1], rtol=0.06)
    assert found.kl is not None
    assert found.kl[2] == pytest.approx(4.5, abs=0.02), "half the squared mean, as the variance is one"
    assert dimension_statistics(latents, None).collapsed == (), "no prior says what is little"
    assert dimension_statistics(latents, None).kl is None


def test_a_dimension_that_never_moves_correlates_with_nothing() -> None:
    latents = np.stack([np.arange(9.0), np.full(9, 2.0)], axis=1)
    found = dimension_statistics(latents, None)
    assert found.collapsed == (1,)
    assert found.correlation[0, 1] == found.mean_correlation == 0
    assert found.effective == pytest.approx(1)


def test_effective_dimensions_count_independent_ones() -> None:
    """Ten equal ones, or one that is copied ten times."""
    points = np.random.default_rng(0).standard_normal((20_000, 10))
    assert dimension_statistics(points, None).effective == pytest.approx(10, rel=0.01)
    assert dimension_statistics(np.repeat(points[:, :1], 10, axis=1), None).effective == pytest.approx(1)


def test_steps_of_a_straight_line() -> None:
    """Of N points at equal distance two are (N + 1) / 3 steps apart in the mean."""
    line = np.arange(10.0)[:, None] * [3.0, 4.0]
    found = smoothness(line, np.full(9, 0.1), UNKNOWN, UNKNOWN)
    assert found.step_ratio == pytest.approx(3 / 11)
    correlations = (found.image_correlation, found.translation_correlation, found.rotation_correlation)
    assert np.isnan(correlations).all(), "nothing varies, or is known"


def test_noise_takes_steps_as_long_as_any_way() -> None:
    noise = np.random.default_rng(0).standard_normal((2500, 20))
    unknown = np.full(2499, np.nan)
    assert smoothness(noise, unknown, unknown, unknown).step_ratio == pytest.approx(1, abs=0.02)


def test_steps_are_compared_by_rank_with_what_changed() -> None:
    lengths = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    walk = np.cumsum([0, *lengths])[:, None]
    turned = np.array([0.5, 0.4, 0.3, 0.2, np.nan])
    found = smoothness(walk, lengths**3, np.array([2.0, 1.0, 4.0, 3.0, 5.0]), turned)
    assert found.image_correlation == pytest.approx(1)
    assert found.translation_correlation == pytest.approx(0.8), "1 - 6 Σd² / (n (n² - 1))"
    assert found.rotation_correlation == pytest.approx(-1), "without the step that is not known"


def test_latents_that_never_move_have_no_ratio() -> None:
    assert np.isnan(smoothness(np.ones((10, 2)), np.arange(9.0), UNKNOWN, UNKNOWN).step_ratio)


def test_way_and_angle_between_poses() -> None:
    """A quarter turn about z and then the same attitude with the other sign."""
    half = np.sqrt(0.5)
    poses = np.array([[0, 0, 0, 0, 0, 0, 1], [3, 4, 0, 0, 0, half, half], [3, 4, 2, 0, 0, -half, -half]])
    translation, rotation = pose_steps(poses)
    np.testing.assert_allclose(translation, [5, 2])
    np.testing.assert_allclose(rotation, [np.pi / 2, 0], atol=1e-7)
    assert np.isnan(pose_steps(np.full((2, 7), np.nan))[0]).all()


def test_clusters_that_are_the_kinds_and_clusters_that_are_not() -> None:
    rng = np.random.default_rng(0)
    kinds = ["room", "hall", "yard"] * 60
    centres = {"room": (0, 0), "hall": (20, 0), "yard": (0, 20)}
    points = np.array([centres[kind] for kind in kinds]) + rng.standard_normal((180, 2))
    right = cluster_agreement(points, kinds)
    assert (right.kinds, right.frames) == (3, 180)
    assert right.adjusted_rand == right.mutual_information == pytest.approx(1)
    shuffled = cluster_agreement(points, rng.permutation(kinds).tolist())
    assert abs(shuffled.adjusted_rand) < 0.03
    assert shuffled.mutual_information < 0.03


def test_area_under_the_roc_is_the_share_of_pairs_in_order() -> None:
    """Three of four pairs; a tie is half a pair."""
    assert novelty_auroc(np.array([0.1, 0.4]), np.array([0.35, 0.8])) == 0.75
    assert novelty_auroc(np.array([1.0]), np.array([1.0])) == 0.5
    assert novelty_auroc(np.array([5.0, 6.0]), np.array([1.0])) == 0


def test_frechet_distance_of_gaussians_along_the_axes() -> None:
    """(μ1 - μ2)² + (σ1 - σ2)² in each of them."""
    points = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    assert frechet_distance(points, points * [3, 5] + [0, 2]) == pytest.approx(2**2 + 4**2 + 2**2)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(points[:, :1], 2 * points[:, :1]) == pytest.approx(1)
    assert frechet_distance(points, np.full((2, 2), 3.0)) == pytest.approx(2 * 3**2 + 2), "all in one place"


def test_frechet_distance_of_any_gaussians() -> None:
    """Against the formula with scipy's matrix root."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4)) + rng.standard_normal(4) for _ in range(2))
    first, second = (np.cov(points.T, bias=True) for points in (a, b))
    root = sqrtm(first @ second).real
    expected = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_samples_have_the_mean_and_covariance_of_the_latents() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((300, 3)) @ [[2, 1, 0], [0, 1, 0], [0, 0, 0.1]] + [5, 0, -5]
    samples = gaussian_samples(latents, 40_000, rng)
    np.testing.assert_allclose(samples.mean(axis=0), latents.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(latents.T), rtol=0.05, atol=0.02)
