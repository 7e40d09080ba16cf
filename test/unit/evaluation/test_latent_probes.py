"""Probes recover what was planted in latents, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: run `make setup`")

from scipy.spatial.distance import pdist
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from robot_vision.evaluation.latent_probes import (
    PROBES,
    ProbeErrors,
    can_probe,
    pooled,
    probe_errors,
    reduced,
    ridge_answers,
)

EACH_ITS_OWN = np.arange(200)


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Latents of very different scales, and two states that are linear in them."""
    latents = rng.standard_normal((200, 8)) * np.logspace(-2, 2, 8)
    return latents, latents @ (rng.standard_normal((8, 2)) / np.logspace(-2, 2, 8)[:, None]) + 7


def test_the_linear_probe_recovers_a_planted_map() -> None:
    latents, state = planted(np.random.default_rng(0))
    errors = probe_errors(latents, state, EACH_ITS_OWN, "linear")
    assert errors.frames == 200
    assert (errors.r2 > 0.999).all()


def test_the_neighbours_recover_what_is_no_line() -> None:
    """A ring: the angle's double sine is smooth on it and has no linear part."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    latents, state = np.stack([np.cos(angle), np.sin(angle)], axis=1), np.sin(2 * angle)[:, None]
    assert probe_errors(latents, state, EACH_ITS_OWN, "k-NN").r2[0] > 0.97
    assert probe_errors(latents, state, EACH_ITS_OWN, "linear").r2[0] < 0.1


def test_noise_holds_nothing() -> None:
    """The linear probe falls back on the mean; five neighbours of noise are a fifth worse than it."""
    rng = np.random.default_rng(0)
    latents, state = rng.standard_normal((1000, 16)), rng.standard_normal((1000, 1))
    groups = np.arange(1000)
    assert probe_errors(latents, state, groups, "linear").r2[0] == pytest.approx(0, abs=0.02)
    assert probe_errors(latents, state, groups, "k-NN").r2[0] == pytest.approx(-0.2, abs=0.07)


@pytest.mark.parametrize("probe", PROBES)
def test_frames_of_one_scene_do_not_give_the_answer_away(probe) -> None:
    """Latents tell the scene and the state belongs to the scene by chance: known scenes help, a new one cannot."""
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(40), 5)
    latents = rng.standard_normal((40, 30))[scene] + 0.01 * rng.standard_normal((200, 30))
    state = rng.standard_normal((40, 1))[scene]
    assert probe_errors(latents, state, scene, probe).r2[0] < 0.05
    assert probe_errors(latents, state, EACH_ITS_OWN, "k-NN").r2[0] > 0.8


def test_the_baseline_is_the_mean_of_the_training_part() -> None:
    """With five frames of one group each, by hand."""
    state = np.array([[1.0], [2.0], [3.0], [4.0], [10.0]])
    others = [np.delete(state[:, 0], row).mean() for row in range(5)]
    errors = probe_errors(np.zeros((5, 1)), state, np.arange(5), "linear")
    assert errors.baseline[0] == pytest.approx(np.square(state[:, 0] - others).sum())
    assert errors.r2[0] == pytest.approx(0), "a latent that says nothing is the baseline"


def test_a_constant_state_has_no_r2() -> None:
    latents, state = planted(np.random.default_rng(0))
    state[:, 1] = 2
    r2 = probe_errors(latents, state, EACH_ITS_OWN, "linear").r2
    assert r2[0] > 0.99
    assert np.isnan(r2[1])


def test_pooled_errors_are_summed_before_they_are_compared() -> None:
    parts = [ProbeErrors(3, np.array([1.0]), np.array([2.0])), ProbeErrors(5, np.array([0.0]), np.array([6.0]))]
    assert pooled(parts).frames == 8
    assert pooled(parts).r2[0] == 1 - 1 / 8


def test_ridge_is_that_of_another_library() -> None:
    rng = np.random.default_rng(0)
    latents, state, new = rng.standard_normal((30, 50)), rng.standard_normal((30, 2)), rng.standard_normal((9, 50))
    latents[:, 3] = 4
    penalties = np.array([0.1, 10.0, 1e5])
    answers = ridge_answers(latents, state, new, penalties)
    scaler = StandardScaler().fit(latents)
    for penalty, answer in zip(penalties, answers, strict=True):
        other = Ridge(alpha=penalty).fit(scaler.transform(latents), state).predict(scaler.transform(new))
        np.testing.assert_allclose(answer, other, rtol=1e-8)


def test_reduced_latents_keep_every_distance() -> None:
    latents = np.random.default_rng(0).standard_normal((20, 300)).astype(np.float32)
    assert reduced(latents).shape == (20, 20)
    np.testing.assert_allclose(pdist(reduced(latents)), pdist(latents.astype(np.float64)), rtol=1e-9)
    np.testing.assert_array_equal(reduced(latents[:, :7]), latents[:, :7])


def test_too_few_frames_or_groups_are_not_probed() -> None:
    assert can_probe(np.arange(50))
    assert not can_probe(np.arange(49))
    assert not can_probe(np.repeat(np.arange(4), 100))
