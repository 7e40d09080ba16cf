"""Noise schedules against published figures, conversions against their definitions, and spacings of time steps."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.generation.schedule import (
    NoiseSchedule,
    add_noise,
    clean_from_prediction,
    even_log_snr,
    linspace,
    trailing,
)


def even_on_linear(steps, timesteps):
    return even_log_snr(steps, NoiseSchedule.named("linear", timesteps).alphas_cumprod)


def even_on_cosine(steps, timesteps):
    return even_log_snr(steps, NoiseSchedule.named("cosine", timesteps).alphas_cumprod)


SPACINGS = (trailing, linspace, even_on_linear, even_on_cosine)


def test_the_linear_schedule_is_that_of_the_ddpm_paper():
    """Section 4 and 3.4: β from 1e-4 to 0.02, and a KL to pure noise of about 1e-5 bits a dimension at the end."""
    levels = NoiseSchedule.named("linear", 1000).alphas_cumprod
    betas = 1 - levels / np.append(1, levels[:-1])
    assert betas[[0, -1]] == pytest.approx([1e-4, 0.02])
    assert np.diff(betas) == pytest.approx(0.0199 / 999)
    assert levels[-1] == pytest.approx(4.0358e-5, rel=1e-4)
    # For data of unit variance and mean square 1, as in the paper's estimate: (ᾱ - ᾱ - ln(1 - ᾱ) + ᾱ) / 2 nats at most.
    assert -np.log1p(-levels[-1]) / 2 / np.log(2) < 5e-5


def test_the_cosine_schedule_is_that_of_the_paper():
    """Nichol & Dhariwal 2021, section 3.2: √β_0 is a little below a pixel's step of 1/127.5; β is at most 0.999."""
    levels = NoiseSchedule.named("cosine", 1000).alphas_cumprod
    betas = 1 - levels / np.append(1, levels[:-1])
    assert betas[0] == pytest.approx(4.1284e-5, rel=1e-4)
    assert 0.7 / 127.5 < np.sqrt(betas[0]) < 1 / 127.5
    assert betas[-1] == pytest.approx(0.999)
    # Half-way, a quarter turn's middle but for the offset of 0.008.
    assert levels[499] == pytest.approx(np.cos(np.pi / 4 * 1.016 / 1.008) ** 2, rel=1e-3)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("timesteps", [1, 7, 10, 1000, 4001])
def test_a_schedule_of_any_length_falls_from_one_to_nothing(name, timesteps):
    levels = NoiseSchedule.named(name, timesteps).alphas_cumprod
    assert (levels.shape, levels.dtype) == ((timesteps,), np.float64)
    assert (np.diff(levels) < 0).all()
    assert 0 < levels[-1] <= levels[0] < 1
    if timesteps >= 10:
        assert levels[-1] < 1e-3


@pytest.mark.parametrize(("name", "timesteps", "field"), [("cosine", 0, "timesteps"), ("quadratic", 10, "schedule")])
def test_a_schedule_that_there_is_not_is_refused(name, timesteps, field):
    with pytest.raises(InvalidValueError, match=f"^{field}: must be"):
        NoiseSchedule.named(name, timesteps)


@pytest.mark.parametrize("levels", [[], [0.5, 0.5], [1.0, 0.5], [0.5, 0.0], [[0.5]], [0.5, np.nan]])
def test_levels_that_do_not_fall_within_bounds_are_refused(levels):
    with pytest.raises(InvalidValueError, match=r"^alphas_cumprod: must fall"):
        NoiseSchedule(np.array(levels, np.float64))


def test_noise_is_added_in_the_shares_that_the_level_says():
    """DDPM eq. 4 at ᾱ = 0.64 is a 3-4-5 triangle."""
    noisy = add_noise(np.float32([[10, -10]]), np.float32([[1, 2]]), 0.64)
    assert noisy.dtype == np.float32
    assert noisy == pytest.approx(np.array([[8 + 0.6, -8 + 1.2]]))


@pytest.mark.parametrize("kind", ["epsilon", "v"])
def test_the_clean_sample_follows_from_either_prediction(kind):
    """V is 0.8 ε - 0.6 x_0 by its definition (Salimans & Ho 2022, section 4)."""
    clean, noise = np.float32([3, -1, 0.5]), np.float32([0.25, -2, 1])
    sample = add_noise(clean, noise, 0.64)
    prediction = {"epsilon": noise, "v": np.float32(0.8) * noise - np.float32(0.6) * clean}[kind]
    found = clean_from_prediction(kind, sample, prediction, 0.64)
    assert found.dtype == np.float32
    assert found == pytest.approx(clean, abs=1e-6)


def test_spacings_of_the_paper():
    """Lin et al. 2024, table 2: T = 1000, S = 10."""
    assert trailing(10, 1000).tolist() == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert linspace(10, 1000).tolist() == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]


def test_even_log_snr_puts_equal_ratios_between_time_steps():
    """ᾱ / (1 - ᾱ) falls by a factor of two a step here, so that every third step is what ten of thirty are."""
    ratios = 2.0 ** -np.arange(-14, 14)
    found = even_log_snr(10, ratios / (1 + ratios))
    assert found.tolist() == [27, 24, 21, 18, 15, 12, 9, 6, 3, 0]


def test_even_log_snr_leaves_out_what_is_noise_alone_but_for_the_first_step():
    """On the cosine schedule the second step sees λ of about -5.1 plus an interval, not the last one's -10."""
    schedule = NoiseSchedule.named("cosine", 1000)
    levels = schedule.alphas_cumprod[even_log_snr(15, schedule.alphas_cumprod)]
    log_snr = np.log(levels / (1 - levels)) / 2
    assert log_snr[0] < -7
    steps = np.diff(log_snr[1:])
    assert log_snr[1] - (-5.1) == pytest.approx(np.median(steps), rel=0.1)
    assert steps == pytest.approx(np.median(steps), rel=0.2)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("timesteps", [1, 2, 50, 101])
def test_every_number_of_steps_gives_different_time_steps_from_the_noisiest_down(spacing, timesteps):
    for steps in range(1, timesteps + 1):
        found = spacing(steps, timesteps)
        assert (found.shape, found.dtype, found[0]) == ((steps,), np.int64, timesteps - 1)
        assert (np.diff(found) < 0).all()
        assert found[-1] >= 0


@pytest.mark.parametrize("timesteps", [2, 50, 101])
def test_even_spacings_are_within_a_rounding_of_even(timesteps):
    for steps in range(2, timesteps + 1):
        for spacing, last in ((trailing, timesteps / steps - 1), (linspace, 0)):
            even = np.linspace(timesteps - 1, last, steps)
            assert np.abs(spacing(steps, timesteps) - even).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_steps_are_all_time_steps(spacing):
    assert spacing(1000, 1000).tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_no_step_or_more_than_there_are_is_refused(spacing, steps):
    with pytest.raises(InvalidValueError, match=rf"^steps: must be within \[1, 1000\], got {steps}"):
        spacing(steps, 1000)
