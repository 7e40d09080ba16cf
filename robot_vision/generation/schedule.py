"""How an image turns into noise over time, and which times a sampler visits on the way back.

With x_0 the clean sample and ε standard normal noise, ᾱ is the share of the signal's variance left at a time:

    x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε        (DDPM eq. 4)

DDPM: Ho et al., "Denoising Diffusion Probabilistic Models" (2020). Time steps count from 0 here, from 1 in that paper.
Schedules are in double precision; samples are single precision and stay so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.runtime.card_diffusion import Prediction, ScheduleName
from robot_vision.types import Float32Array, Float64Array, Int64Array

_LINEAR_BETAS = (1e-4, 0.02)
_LINEAR_TIMESTEPS = 1000
_COSINE_OFFSET = 0.008
_LARGEST_BETA = 0.999
_LEAST_LOG_SNR = -5.1


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """How noise grows over the time steps.

    Attributes:
        alphas_cumprod: (T,) float64, ᾱ after each time step: falling, within (0, 1).

    Raises:
        InvalidValueError: If there are no steps, or ᾱ does not fall within (0, 1).
    """

    alphas_cumprod: Float64Array

    def __post_init__(self) -> None:
        levels = self.alphas_cumprod
        if levels.ndim != 1 or not levels.size or not (np.diff(levels, prepend=1.0, append=0.0) < 0).all():
            raise InvalidValueError(f"alphas_cumprod: must fall within (0, 1), got shape {levels.shape}: {levels}")

    @property
    def timesteps(self) -> int:
        """Number of time steps T."""
        return len(self.alphas_cumprod)

    @classmethod
    def named(cls, name: ScheduleName, timesteps: int) -> NoiseSchedule:
        """A schedule from the literature.

        - `linear`: β grows evenly from 1e-4 to 0.02 over 1000 steps (DDPM section 4); with another number of steps it
          is scaled by 1000 / T, so that as much noise is added in all.
        - `cosine`: ᾱ follows a squared cosine (Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic Models",
          2021, eq. 17).

        In both, β is at most 0.999 (the same, section 3.2).

        Args:
            name: Which one.
            timesteps: Number of time steps T.

        Returns:
            The schedule.

        Raises:
            InvalidValueError: If there is no such schedule, or no step.
        """
        if timesteps < 1:
            raise InvalidValueError(f"timesteps: must be at least 1, got {timesteps}")
        if name == "linear":
            first, last = (beta * _LINEAR_TIMESTEPS / timesteps for beta in _LINEAR_BETAS)
            betas = np.linspace(first, last, timesteps)
        elif name == "cosine":
            times = np.arange(timesteps + 1) / timesteps
            levels = np.cos((times + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * np.pi / 2) ** 2
            betas = 1 - levels[1:] / levels[:-1]
        else:
            raise InvalidValueError(f"schedule: must be linear or cosine, got {name!r}")
        return cls(np.cumprod(1 - np.minimum(betas, _LARGEST_BETA)))


def trailing(steps: int, timesteps: int) -> Int64Array:
    """Evenly spaced time steps, the noisiest among them.

    Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed" (2024), table 2: the first step must be
    told that it sees pure noise, which a spacing that begins at 0 does not do.

    Args:
        steps: How many, 1 to `timesteps`.
        timesteps: Number of time steps T.

    Returns:
        (steps,) int64, falling from T - 1; all different.

    Raises:
        InvalidValueError: If there are fewer than one or more than `timesteps`.
    """
    _check(steps, timesteps)
    left = np.arange(steps, 0, -1)
    # Whole numbers, because an interval such as 1000 / 7 is none.
    return (2 * timesteps * left + steps) // (2 * steps) - 1


def linspace(steps: int, timesteps: int) -> Int64Array:
    """Evenly spaced time steps, the noisiest and the cleanest among them.

    Nichol & Dhariwal (2021), section 4: K evenly spaced numbers between 1 and T inclusive, rounded.

    Args:
        steps: How many, 1 to `timesteps`; one alone is the noisiest.
        timesteps: Number of time steps T.

    Returns:
        (steps,) int64, falling from T - 1 to 0; all different.

    Raises:
        InvalidValueError: If there are fewer than one or more than `timesteps`.
    """
    _check(steps, timesteps)
    intervals = max(1, steps - 1)
    left = np.arange(intervals, intervals - steps, -1)
    return (2 * (timesteps - 1) * left + intervals) // (2 * intervals)


def even_log_snr(steps: int, alphas_cumprod: Float64Array) -> Int64Array:
    """Time steps between which the signal-to-noise ratio grows evenly on a logarithmic scale.

    Lu et al., "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps" (2022): the
    solver's error depends on its steps in λ = ½ log(ᾱ / (1 - ᾱ)). λ begins at -5.1, where they let the cosine schedule
    begin (at 0.9946 of the time), if it would begin lower; the first time step is the noisiest all the same.

    Args:
        steps: How many, 1 to T.
        alphas_cumprod: (T,) falling ᾱ after each time step.

    Returns:
        (steps,) int64, falling from T - 1; all different, one apart where they would be closer.

    Raises:
        InvalidValueError: If there are fewer than one or more than T.
    """
    timesteps = len(alphas_cumprod)
    _check(steps, timesteps)
    log_snr = np.log(alphas_cumprod / (1 - alphas_cumprod)) / 2
    wanted = np.linspace(max(log_snr[-1], min(_LEAST_LOG_SNR, log_snr[0])), log_snr[0], steps)
    nearest = np.interp(wanted, log_snr[::-1], np.arange(timesteps)[::-1]).round().astype(np.int64)
    found: Int64Array = np.maximum(nearest, np.arange(steps)[::-1])
    found[0] = timesteps - 1
    for number in range(1, steps):
        found[number] = min(found[number], found[number - 1] - 1)
    return found


def _check(steps: int, timesteps: int) -> None:
    if not 1 <= steps <= timesteps:
        raise InvalidValueError(f"steps: must be within [1, {timesteps}], got {steps}")


def add_noise(clean: Float32Array, noise: Float32Array, alpha_cumprod: float) -> Float32Array:
    """A noisy sample, DDPM eq. 4.

    Args:
        clean: x_0, any shape, float32.
        noise: ε, standard normal, float32 of the same shape.
        alpha_cumprod: ᾱ, in [0, 1].

    Returns:
        x_t, float32 of the same shape.
    """
    signal, spread = _signal_and_spread(alpha_cumprod)
    noisy: Float32Array = signal * clean + spread * noise
    return noisy


def clean_from_prediction(
    kind: Prediction, sample: Float32Array, prediction: Float32Array, alpha_cumprod: float
) -> Float32Array:
    """What a network's prediction says about the clean sample.

    From ε: DDPM eq. 15. From v = √ᾱ ε - √(1 - ᾱ) x_0: Salimans & Ho, "Progressive Distillation for Fast Sampling of
    Diffusion Models" (2022), section 4.

    Args:
        kind: What is predicted.
        sample: x_t, any shape, float32.
        prediction: ε or v, float32 of the same shape.
        alpha_cumprod: ᾱ at that time, in (0, 1].

    Returns:
        x_0, float32 of the same shape.
    """
    signal, spread = _signal_and_spread(alpha_cumprod)
    clean: Float32Array
    clean = (sample - spread * prediction) / signal if kind == "epsilon" else signal * sample - spread * prediction
    return clean


def _signal_and_spread(alpha_cumprod: float) -> tuple[np.float32, np.float32]:
    # The functions of math: numpy's take ten times as long for one number, and this runs between two network calls.
    return np.float32(math.sqrt(alpha_cumprod)), np.float32(math.sqrt(1 - alpha_cumprod))
