"""Samplers against what is known in closed form: Gaussian data, whose clean samples can be predicted exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from robot_vision.errors import InvalidValueError
from robot_vision.generation.sampler import (
    Kept,
    SamplerName,
    clean_predictor,
    denoise,
    plan,
    plan_over,
    standard_normal,
)
from robot_vision.generation.schedule import NoiseSchedule, add_noise

MEAN = np.array([0.7, -0.4])
COVARIANCE = np.array([[0.5, 0.24], [0.24, 0.2]])
LINEAR = NoiseSchedule.named("linear", 1000)
SAMPLERS = get_args(SamplerName)


def exact(levels: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """E[x_0 | x_t] of data N(MEAN, COVARIANCE), by conditioning of the joint Gaussian; time steps index `levels`."""

    def predict(sample: np.ndarray, timestep: int) -> np.ndarray:
        level = levels[timestep]
        total = level * COVARIANCE + (1 - level) * np.eye(2)
        gain = np.sqrt(level) * COVARIANCE @ np.linalg.inv(total)
        return (MEAN + (sample - np.sqrt(level) * MEAN) @ gain.T).astype(np.float32)

    return predict


def last(steps):
    for step in steps:
        result = step
    return result


@pytest.mark.parametrize("steps", [1000, 333])
def test_ddpm_samples_have_the_mean_and_covariance_of_the_data(steps):
    """With all steps, and with an odd part of them."""
    rng = np.random.default_rng(1)
    start = rng.standard_normal((1, 40_000, 2), np.float32)
    found = last(denoise(exact(LINEAR.alphas_cumprod), start, plan("ddpm", LINEAR, steps), [rng])).sample[0]
    assert found.mean(axis=0) == pytest.approx(MEAN, abs=0.015)
    assert np.cov(found.T) == pytest.approx(COVARIANCE, abs=0.015)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddpm_goes_back_the_way_of_the_forward_process(steps, schedule):
    """With the clean sample known, each step's result is distributed as x_t is: DDPM eq. 4, for any sub-sequence."""
    rng = np.random.default_rng(2)
    clean = np.full((1, 30_000), 3, np.float32)
    steps_made = plan("ddpm", NoiseSchedule.named(schedule, 1000), steps)
    start = add_noise(clean, rng.standard_normal(clean.shape, np.float32), steps_made.levels[0])
    for step, level in zip(denoise(lambda *_: clean, start, steps_made, [rng]), steps_made.levels[1:], strict=True):
        assert step.sample.mean() == pytest.approx(3 * np.sqrt(level), abs=0.03)
        assert step.sample.var() == pytest.approx(1 - level, abs=0.04)


def beta_integral(time: float) -> float:
    """Integral of β(t) = 0.1 + 19.9 t, the variance-preserving SDE of Song et al. 2021, appendix C."""
    return 0.1 * time + 19.9 * time**2 / 2


def flow_end(start: np.ndarray, from_time: float, to_time: float) -> np.ndarray:
    """Where the probability-flow ODE (Song et al. 2021, eq. 13) of the Gaussian data goes from `start`."""

    def slope(time: float, flat: np.ndarray) -> np.ndarray:
        level = np.exp(-beta_integral(time))
        total = level * COVARIANCE + (1 - level) * np.eye(2)
        sample = flat.reshape(-1, 2)
        score = -(sample - np.sqrt(level) * MEAN) @ np.linalg.inv(total)
        return (-(0.1 + 19.9 * time) / 2 * (sample + score)).ravel()

    solution = solve_ivp(slope, (from_time, to_time), start.ravel(), rtol=1e-10, atol=1e-12)
    return solution.y[:, -1].reshape(start.shape)


def flow_error(sampler: SamplerName, steps: int) -> float:
    """Largest distance from the flow's end after so many steps, evenly spaced in time."""
    times = np.linspace(0.8, 0.02, steps + 1)
    levels = np.exp(-np.vectorize(beta_integral)(times))
    start = np.random.default_rng(3).standard_normal((50, 2), np.float32)
    route = plan_over(sampler, np.arange(steps), levels)
    found = last(denoise(exact(levels), start, route, [])).sample
    return float(np.abs(found - flow_end(start.astype(np.float64), 0.8, 0.02)).max())


def test_ddim_lands_where_the_probability_flow_does():
    assert flow_error("ddim", 2000) < 2e-3


@pytest.mark.parametrize(("sampler", "steps", "order"), [("ddim", 80, 1), ("dpmpp_2m", 40, 2)])
def test_errors_fall_with_the_order_of_the_method(sampler, steps, order):
    """DDIM is of first order, DPM-Solver++ (2M) of second: twice the steps, half or a quarter of the error."""
    coarse, fine = flow_error(sampler, steps), flow_error(sampler, 2 * steps)
    assert coarse / fine == pytest.approx(2**order, rel=0.2)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_fifteen_fast_steps_are_better_than_as_many_of_ddim(name):
    """Earth mover's distance of samples to data that has three narrow modes, as images have edges and flat parts."""
    modes, spread, share = np.array([-1.3, 0.2, 1.1]), np.array([0.15, 0.3, 0.1]), np.array([0.3, 0.4, 0.3])
    rng = np.random.default_rng(6)
    chosen = rng.choice(3, 20_000, p=share)
    data = np.sort(modes[chosen] + spread[chosen] * rng.standard_normal(20_000))
    schedule = NoiseSchedule.named(name, 1000)
    start = rng.standard_normal((1, 20_000), np.float32)

    def predict(sample: np.ndarray, timestep: int) -> np.ndarray:
        level = schedule.alphas_cumprod[timestep]
        total = level * spread**2 + 1 - level
        distance = sample.astype(np.float64)[..., None] - np.sqrt(level) * modes
        chances = share * np.exp(-(distance**2) / (2 * total)) / np.sqrt(total)
        expected = modes + np.sqrt(level) * spread**2 / total * distance
        return ((chances * expected).sum(-1) / chances.sum(-1)).astype(np.float32)

    def distance_to_data(sampler: SamplerName, steps: int) -> float:
        found = last(denoise(predict, start, plan(sampler, schedule, steps), [])).sample
        return float(np.abs(np.sort(found[0]) - data).mean())

    assert distance_to_data("dpmpp_2m", 15) < 0.8 * distance_to_data("ddim", 15)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 15, 999, 1000, 5000])
def test_every_number_of_steps_ends_at_the_predicted_clean_sample(sampler, schedule, steps):
    """Finite all the way, in single precision all the way, and with as many steps as there are time steps at most."""
    noise_schedule = NoiseSchedule.named(schedule, 1000)
    predict = exact(noise_schedule.alphas_cumprod)
    rng = np.random.default_rng(4)
    start = rng.standard_normal((3, 2), np.float32)
    asked = []

    def checked(sample: np.ndarray, timestep: int) -> np.ndarray:
        assert sample.dtype == np.float32
        asked.append(timestep)
        return predict(sample, timestep)

    taken = list(denoise(checked, start, plan(sampler, noise_schedule, steps), [rng] * 3))
    assert len(taken) == len(asked) == min(steps, 1000)
    assert asked[0] == 999
    assert all(step.sample.dtype == step.clean.dtype == np.float32 for step in taken)
    assert np.isfinite(taken[-1].sample).all()
    assert np.array_equal(taken[-1].sample, taken[-1].clean)


@pytest.mark.parametrize(("strength", "first"), [(1.0, 999), (0.5, 499), (0.0303, 29), (1e-9, 0)])
def test_strength_is_the_share_of_the_time_that_is_gone_back(strength, first):
    for sampler in SAMPLERS:
        steps = plan(sampler, LINEAR, 15, strength)
        assert steps.timesteps[0] == first
        assert len(steps.timesteps) == min(15, first + 1)
        assert steps.levels[-1] == 1


def test_the_known_part_has_the_noise_of_its_level_at_every_step():
    """And what comes out there is what was known, whatever the network says."""
    rng = np.random.default_rng(5)
    known, noise = rng.standard_normal((2, 4, 6), np.float32)
    where = np.arange(6) % 2 == 0
    for sampler in ("ddim", "dpmpp_2m"):
        route = plan(sampler, LINEAR, 9)
        start = add_noise(known, noise, route.levels[0])
        for step, level in zip(
            denoise(lambda sample, _: np.cos(sample), start, route, [], Kept(known, where)),
            route.levels[1:],
            strict=True,
        ):
            assert step.sample[:, where] == pytest.approx(add_noise(known, noise, level)[:, where], abs=1e-5)
            assert np.array_equal(step.clean[:, where], known[:, where])
            assert not np.isclose(step.clean[:, ~where], known[:, ~where]).all()


def test_nothing_is_computed_between_two_steps_or_after_the_end():
    calls = []

    def predict(sample: np.ndarray, timestep: int) -> np.ndarray:
        calls.append(timestep)
        return sample

    steps = denoise(predict, np.zeros((1, 2), np.float32), plan("ddim", LINEAR, 10), [])
    assert len(calls) == 0
    for wanted in (1, 2, 3):
        next(steps)
        assert len(calls) == wanted
    steps.close()
    assert len(calls) == 3


def test_noise_of_a_sample_depends_on_its_own_source_alone():
    def sources(numbers):
        return [np.random.default_rng(number) for number in numbers]

    three, one = standard_normal(sources([7, 8, 9]), (2, 5)), standard_normal(sources([9]), (2, 5))
    assert (three.shape, three.dtype) == ((3, 2, 5), np.float32)
    assert np.array_equal(three[2], one[0])
    assert not np.array_equal(three[0], three[1])


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InvalidValueError, match=r"^sampler: must be one of dpmpp_2m, ddim, ddpm; got 'euler'"):
        plan("euler", LINEAR, 10)


@pytest.mark.parametrize(("guidance", "rows"), [(0, 3), (1, 3), (2.5, 6)])
def test_guidance_costs_one_call_and_twice_the_rows_only_where_it_must(guidance, rows):
    """The noise of a prompt is 5, that without one is 2: guidance moves from the one through the other (eq. 6)."""
    calls = []

    def network(sample: np.ndarray, timestep: float, tokens: np.ndarray) -> np.ndarray:
        calls.append(len(sample))
        return np.where(tokens.any(axis=1), np.float32(5), np.float32(2))[:, None] * np.ones_like(sample)

    predict = clean_predictor(
        network, np.array([[1, 0]] * 3), LINEAR, "epsilon", guidance=guidance, limit=1e6
    )  # fmt: skip
    sample = np.zeros((3, 4), np.float32)
    clean = predict(sample, 500)
    level = LINEAR.alphas_cumprod[500]
    assert clean.dtype == np.float32
    assert calls == [rows]
    assert -clean * np.sqrt(level / (1 - level)) == pytest.approx(2 + guidance * 3, rel=1e-5)


def test_the_predicted_clean_sample_is_clipped():
    predict = clean_predictor(
        lambda sample, *_: -100 * sample, np.ones((2, 1), np.int64), LINEAR, "epsilon", guidance=1, limit=1.5
    )
    assert predict(np.float32([[1], [-1]]), 900).tolist() == [[1.5], [-1.5]]
