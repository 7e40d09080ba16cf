"""The reaching task: both libraries accept it, a seed decides it, it can be solved, and the image shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'robot_vision[rl]'")

from robot_vision.errors import InvalidValueError
from robot_vision.rl.latent_image import LatentImage
from robot_vision.rl.reach import ENV_ID
from robot_vision.rl.reach_scene import AREA_HALF_M, free_places

pytestmark = pytest.mark.usefixtures("simulator")

KINDS = ("state", "pixels", "latents")


def make(kind: str, **options: Any) -> Any:
    if kind != "latents":
        return gymnasium.make(ENV_ID, observation=kind, **options)
    return LatentImage(gymnasium.make(ENV_ID, observation="pixels", **options), "simworld_vae_encoder")


def episode(env: Any, seed: int, steps: int = 12) -> list[np.ndarray]:
    """Observations and rewards of an episode whose actions are decided by the seed, too."""
    rng = np.random.default_rng(seed)
    seen = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(-1, 1, 2).astype(np.float32))
        seen += [observation, np.array(reward)]
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_gymnasium_accepts_it(kind: str) -> None:
    """Spaces, types, determinism under a seed, rendering, closing twice."""
    from gymnasium.utils.env_checker import check_env

    env = make(kind, render_mode="rgb_array")
    check_env(env if kind == "latents" else env.unwrapped)
    assert env.unwrapped.render().shape == (64, 64, 3)
    env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_stable_baselines_accepts_it(kind: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    env = make(kind)
    checker.check_env(env)
    env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_the_episode_whatever_was_before(kind: str) -> None:
    """Exactly, down to pixels; in another environment, too; another seed gives another episode."""
    env, other = make(kind), make(kind)
    wanted = episode(env, 5)
    episode(env, 6, steps=30)
    for again in (episode(env, 5), episode(other, 5)):
        for value, value_again in zip(wanted, again, strict=True):
            np.testing.assert_array_equal(value, value_again)
    assert not np.array_equal(wanted[0], env.reset(seed=7)[0])
    assert not np.array_equal(env.reset()[0], env.reset()[0])
    env.close()
    other.close()


def test_driving_straight_to_the_can_solves_it_and_chance_does_not() -> None:
    """The reward is minus the distance, and one more at the can; the episode ends there or after 60 steps."""
    env = make("state")
    env.action_space.seed(0)
    solved = {"straight": 0, "random": 0}
    for name in solved:
        for seed in range(30):
            state, info = env.reset(seed=seed)
            assert info["distance_m"] > 0.25
            for number in range(1, 61):
                away = state[4:] - state[:2]
                straight = (away / np.abs(away).max()).astype(np.float32)
                state, reward, terminated, truncated, info = env.step(
                    straight if name == "straight" else env.action_space.sample()
                )
                distance_m = float(np.linalg.norm(state[4:] - state[:2])) * AREA_HALF_M
                assert reward == pytest.approx(-distance_m + terminated, abs=1e-5)
                assert info["is_success"] == terminated
                assert truncated == (number == 60)
                if terminated:
                    solved[name] += 1
                    break
            assert terminated or truncated
    env.close()
    assert solved["straight"] >= 28
    assert solved["random"] <= 6


def test_the_finger_moves_as_fast_as_it_is_told() -> None:
    """Half of 0.8 m/s for half a second, from wherever it has the room; it stops at the edge of its area."""
    env = make("state")
    start, _ = env.reset(seed=3)
    direction = -np.sign(start[:2])
    for _ in range(10):
        state, *_ = env.step((0.5 * direction).astype(np.float32))
    np.testing.assert_allclose(np.abs(state[:2] - start[:2]) * AREA_HALF_M, 0.2, atol=0.04)
    np.testing.assert_allclose(state[2:4], 0.5 * direction, atol=0.05)
    for _ in range(40):
        state, *_ = env.step(np.array([0.0, 1.0], np.float32))
    assert abs(state[1]) < 1.05
    env.close()


def test_the_image_shows_where_the_finger_is() -> None:
    """Driven along +x it goes right in the image, along +y away from the camera, so up."""

    def finger(image: np.ndarray) -> np.ndarray:
        red, green, blue = (image[..., channel].astype(int) for channel in range(3))
        rows, columns = np.nonzero((red > green + 60) & (blue > green + 60))
        assert len(rows) > 10
        return np.array([columns.mean(), rows.mean()])

    state_env, env = make("state", max_distractors=0), make("pixels", size_px=128, max_distractors=0)
    central = next(seed for seed in range(100) if (np.abs(state_env.reset(seed=seed)[0][:2]) < 0.2).all())
    for action, moved in (((1.0, 0.0), (1, 0)), ((0.0, 1.0), (0, -1)), ((-1.0, -1.0), (-1, 1))):
        before = finger(env.reset(seed=central)[0])
        for _ in range(5):
            image, *_ = env.step(np.array(action, np.float32))
        change = finger(image) - before
        for along, sign in zip(change, moved, strict=True):
            assert along * sign > 8 if sign else abs(along) < 5
    env.close()
    state_env.close()


def test_nothing_stands_in_anything_else() -> None:
    """Within reach of the finger, and the can at some distance from it."""
    radii_m = [0.04, 0.07, 0.16, 0.1, 0.1, 0.07]
    for seed in range(100):
        places = np.array(free_places(np.random.default_rng(seed), radii_m))
        assert (np.abs(places) <= AREA_HALF_M).all()
        for first, second in zip(*np.triu_indices(len(radii_m), 1), strict=True):
            assert np.linalg.norm(places[first] - places[second]) > radii_m[first] + radii_m[second]
        assert np.linalg.norm(places[0] - places[1]) > 0.25


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"observation": "smell"}, "observation: 'smell' is unknown; use one of state, pixels"),
        ({"size_px": 8}, "size_px: expected 16 to 1024 pixels, got 8"),
        ({"max_distractors": 6}, "max_distractors: expected 0 to 5, got 6"),
    ],
)
def test_settings_out_of_range_are_refused(options, said) -> None:
    with pytest.raises(InvalidValueError, match=said):
        gymnasium.make(ENV_ID, **options)


@pytest.mark.parametrize("action", [[0.0], [np.nan, 0.0], [[0.0, 0.0]]])
def test_an_action_that_is_none_is_refused(action) -> None:
    env = make("state").unwrapped
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="action: expected 2 finite numbers"):
        env.step(np.array(action, np.float32))
