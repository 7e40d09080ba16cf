"""Principal component analysis by its defining properties, and what a linear autoencoder can reach."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.errors import InvalidValueError  # noqa: E402
from robot_vision.train.pca import LinearAutoencoder, principal_components  # noqa: E402
from robot_vision.train.vae_data import to_images  # noqa: E402
from robot_vision.train.vae_model import gaussian_nll  # noqa: E402


@pytest.fixture(scope="module")
def frames():
    """Sixty frames whose directions differ in variance, as those of a camera do."""
    rng = np.random.default_rng(1)
    patterns = rng.standard_normal((8, 3 * 6 * 6)) * np.array([9, 7, 5, 4, 3, 2, 1.5, 1])[:, None]
    values = 128 + 4 * rng.standard_normal((60, 8)) @ patterns / 3 + 3 * rng.standard_normal((60, 108))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(60, 3, 6, 6)


def test_components_are_orthonormal_eigenvectors_by_falling_variance(frames):
    components = principal_components(frames, 5)
    np.testing.assert_allclose(components.basis @ components.basis.T, np.eye(5), atol=1e-6)
    assert (np.diff(components.variances) < 0).all()
    deviations = frames.reshape(60, -1) / 255 - components.centre
    covariance = deviations.T @ deviations / 60
    np.testing.assert_allclose(
        components.basis @ covariance, components.variances[:, None] * components.basis, atol=1e-5
    )


def test_error_on_the_frames_themselves_equals_the_discarded_variance(frames):
    components = principal_components(frames, 5)
    eigenvalues = np.linalg.eigvalsh(np.cov(frames.reshape(60, -1) / 255, rowvar=False, bias=True))[::-1]
    images = to_images(frames)
    networks = LinearAutoencoder.of(components, (3, 6, 6))
    with torch.no_grad():
        (codes,) = networks.encoder(images)
        error = (networks.decoder(codes) - images).square().mean().item()
    assert error * 108 == pytest.approx(eigenvalues[5:].sum(), rel=1e-4)
    assert components.explained == pytest.approx(eigenvalues[:5].sum() / eigenvalues.sum(), rel=1e-4)
    np.testing.assert_allclose(codes.mean(dim=0).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(codes.numpy().var(axis=0), eigenvalues[:5], rtol=1e-4)


def test_the_same_frames_give_the_same_components_in_any_order(frames):
    first = principal_components(frames, 5)
    again, shuffled = principal_components(frames, 5), principal_components(frames[::-1], 5)
    np.testing.assert_array_equal(first.basis, again.basis)
    np.testing.assert_allclose(first.basis, shuffled.basis, atol=1e-4)


def test_frames_in_blocks_equal_frames_at_once(frames, monkeypatch):
    whole = principal_components(frames, 3)
    monkeypatch.setattr("robot_vision.train.pca._FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(principal_components(frames, 3).basis, whole.basis, atol=1e-4)


def test_a_linear_autoencoder_reaches_the_error_of_pca_and_not_less(frames):
    """Baldi & Hornik (1989): all minima of the linear autoencoder's squared error are those of PCA. Full batch."""
    images = to_images(frames)
    pca = LinearAutoencoder.of(principal_components(frames, 3), (3, 6, 6))
    with torch.no_grad():
        best = (pca.decoder(*pca.encoder(images)) - images).square().mean().item()
    torch.manual_seed(0)
    learned = LinearAutoencoder((3, 6, 6), 3)
    optimizer = torch.optim.LBFGS(learned.parameters(), max_iter=800, history_size=30, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = gaussian_nll(images, learned.decoder(*learned.encoder(images)), "fixed", 0.1).mean()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        reached = (learned.decoder(*learned.encoder(images)) - images).square().mean().item()
    assert best * 0.9999 <= reached <= best * 1.01


def test_too_few_frames_or_values_and_equal_frames_are_refused(frames):
    with pytest.raises(InvalidValueError, match="60 principal components need more than 60 training frames"):
        principal_components(frames, 60)
    with pytest.raises(InvalidValueError, match="108 principal components"):
        principal_components(np.concatenate([frames, frames, frames]), 108)
    with pytest.raises(InvalidValueError, match="all 9 training frames are equal"):
        principal_components(np.full((9, 3, 6, 6), 7, np.uint8), 2)
