"""From noise to samples, given a network that predicts the clean sample: DDPM, DDIM and DPM-Solver++ (2M).

Between two of the times it visits, each of these samplers is one weighted sum,

    x_next = a x + b x̂_0 + d (x̂_0 - x̂_0 of the step before) + c z        (z standard normal)

whose weights follow from ᾱ at both times alone. So a `Plan` is a table of weights, made once in double precision and
rounded to single, in which everything else is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.generation.schedule import NoiseSchedule, clean_from_prediction, even_log_snr, linspace, trailing
from robot_vision.runtime.card_diffusion import Prediction
from robot_vision.types import Float32Array, Float64Array, Int64Array

SamplerName = Literal["dpmpp_2m", "ddim", "ddpm"]

Denoiser = Callable[[Float32Array, float, Int64Array], Float32Array]
"""(N, C, h, w) float32 sample, time step and (N, L) int64 tokens to a prediction of the sample's shape."""
CleanPredictor = Callable[[Float32Array, int], Float32Array]
"""(N, C, h, w) float32 sample and time step to the predicted clean sample."""


class Weights(NamedTuple):
    """Weights of each step's sum.

    Attributes:
        sample: (n,) of x.
        clean: (n,) of x̂_0.
        change: (n,) of the change of x̂_0 since the step before; 0 in the first step.
        noise: (n,) of z.
    """

    sample: Float64Array
    clean: Float64Array
    change: Float64Array
    noise: Float64Array


def ddpm_weights(levels: Float64Array) -> Weights:
    """Ancestral sampling, on any sub-sequence of the time steps.

    The Gaussian posterior q(x_next | x, x_0), DDPM eq. 6 and 7, with the β of the jump, 1 - ᾱ / ᾱ_next (Nichol &
    Dhariwal 2021, eq. 19), and its variance β̃.

    Args:
        levels: (n + 1,) float64 rising ᾱ, the last of them 1 for a clean sample.

    Returns:
        Weights of the n steps.
    """
    now, after = levels[:-1], levels[1:]
    beta = 1 - now / after
    clean = np.sqrt(after) * beta / (1 - now)
    sample = np.sqrt(now / after) * (1 - after) / (1 - now)
    noise = np.sqrt(beta * (1 - after) / (1 - now))
    return Weights(sample, clean, np.zeros_like(now), noise)


def ddim_weights(levels: Float64Array) -> Weights:
    """Song et al., "Denoising Diffusion Implicit Models" (2021), eq. 12 with σ = 0: no noise after the first.

    Args:
        levels: (n + 1,) float64 rising ᾱ, the last of them 1 for a clean sample.

    Returns:
        Weights of the n steps.
    """
    now, after = levels[:-1], levels[1:]
    sample = np.sqrt((1 - after) / (1 - now))
    return Weights(sample, np.sqrt(after) - sample * np.sqrt(now), np.zeros_like(now), np.zeros_like(now))


def dpmpp_2m_weights(levels: Float64Array) -> Weights:
    """Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models" (2022), algorithm 2.

    Its first step, and one that ends at a clean sample, where the log-SNR λ is infinite, are of first order, which is
    DDIM (there section 4).

    Args:
        levels: (n + 1,) float64 rising ᾱ, the last of them 1 for a clean sample.

    Returns:
        Weights of the n steps.
    """
    first_order = ddim_weights(levels)
    change = np.zeros(len(levels) - 1)
    inner = levels[levels < 1]
    log_snr = (np.log(inner) - np.log1p(-inner)) / 2
    step = np.diff(log_snr)
    # x̂_0 is extrapolated by 1 / (2 r) of its change, r the ratio of the last step in λ to this one.
    change[1 : len(step)] = first_order.clean[1 : len(step)] * step[1:] / (2 * step[:-1])
    return Weights(first_order.sample, first_order.clean, change, first_order.noise)


_WEIGHTS = {"dpmpp_2m": dpmpp_2m_weights, "ddim": ddim_weights, "ddpm": ddpm_weights}


@dataclass(frozen=True, eq=False)
class Plan:
    """The times that a sampler visits, and what it does at each.

    Attributes:
        timesteps: (n,) int64, falling.
        levels: (n + 1,) float64, ᾱ at each time step and at the end.
        weights: (n,) float32 each.
    """

    timesteps: Int64Array
    levels: Float64Array
    weights: tuple[Float32Array, Float32Array, Float32Array, Float32Array]


def require_sampler(name: str) -> None:
    """See that there is a sampler of that name.

    Raises:
        InvalidValueError: If there is none.
    """
    names = get_args(SamplerName)
    if name not in names:
        raise InvalidValueError(f"sampler: must be one of {', '.join(names)}; got {name!r}")


def plan(sampler: SamplerName, schedule: NoiseSchedule, steps: int, strength: float = 1.0) -> Plan:
    """All steps from noise, or from a noisy image, to a clean sample.

    Args:
        sampler: Which one. DDPM visits `linspace` time steps, as it was published with, DDIM `trailing` ones, and
            DPM-Solver++ those of `even_log_snr`.
        schedule: How noise grows.
        steps: How many, at least 1; fewer are made where there are not as many time steps.
        strength: Share of the time that is gone back, in (0, 1].

    Returns:
        The plan; it begins at time step `strength * T - 1`, rounded, and ends at ᾱ = 1.

    Raises:
        InvalidValueError: If there is no such sampler, or no step.
    """
    require_sampler(sampler)
    span = max(1, round(strength * schedule.timesteps))
    count = min(steps, span)
    if sampler == "dpmpp_2m":
        timesteps = even_log_snr(count, schedule.alphas_cumprod[:span])
    else:
        timesteps = linspace(count, span) if sampler == "ddpm" else trailing(count, span)
    return plan_over(sampler, timesteps, np.append(schedule.alphas_cumprod[timesteps], 1.0))


def plan_over(sampler: SamplerName, timesteps: Int64Array, levels: Float64Array) -> Plan:
    """Steps over given times.

    Args:
        sampler: Which one.
        timesteps: (n,) int64, falling.
        levels: (n + 1,) float64 rising ᾱ, at each time step and at the end.

    Returns:
        The plan.
    """
    sample, clean, change, noise = (weights.astype(np.float32) for weights in _WEIGHTS[sampler](levels))
    return Plan(timesteps, levels, (sample, clean, change, noise))


class Step(NamedTuple):
    """Where sampling stands.

    Attributes:
        sample: (N, C, h, w) float32 after the step; after the last one, the result.
        clean: (N, C, h, w) float32, the clean sample as predicted before the step.
    """

    sample: Float32Array
    clean: Float32Array


class Kept(NamedTuple):
    """The part of samples that is known: inpainting.

    Attributes:
        clean: Clean sample, float32; its shape broadcasts with that of the samples.
        where: Bool, True where it is known; its shape broadcasts, too.
    """

    clean: Float32Array
    where: npt.NDArray[np.bool_]


def denoise(
    predict_clean: CleanPredictor,
    start: Float32Array,
    steps: Plan,
    rngs: Sequence[np.random.Generator],
    kept: Kept | None = None,
) -> Iterator[Step]:
    """Follow a plan; between two steps nothing is computed.

    With `kept`, the known part stands in for what is predicted there. That part then is what the forward process makes
    of it at every level, as in RePaint (Lugmayr et al. 2022, eq. 8a) without resampling, provided that `start` has it
    with noise added, too.

    Args:
        predict_clean: Predicts the clean sample; called once a step.
        start: (N, C, h, w) float32, noisy as the plan's first time step says; not changed.
        steps: The plan.
        rngs: For each of the N samples, where the noise of its steps comes from, so that it depends on no other sample.
        kept: What is known.

    Yields:
        A `Step` for each; arrays are not written to again.
    """
    sample, before = start, start
    for timestep, a, b, d, c in zip(steps.timesteps.tolist(), *steps.weights, strict=True):
        clean = predict_clean(sample, timestep)
        if kept is not None:
            clean = np.where(kept.where, kept.clean, clean)
        sample = a * sample + b * clean
        if d:
            sample += d * (clean - before)
        if c:
            sample += c * standard_normal(rngs, clean.shape[1:])
        before = clean
        yield Step(sample, clean)


def standard_normal(rngs: Sequence[np.random.Generator], shape: tuple[int, ...]) -> Float32Array:
    """Noise for several samples, each from a source of its own.

    Args:
        rngs: N sources.
        shape: Shape of one sample.

    Returns:
        (N, *shape) float32.
    """
    return np.stack([rng.standard_normal(shape, np.float32) for rng in rngs])


def clean_predictor(
    denoiser: Denoiser,
    tokens: Int64Array,
    schedule: NoiseSchedule,
    prediction: Prediction,
    *,
    guidance: float,
    limit: float,
) -> CleanPredictor:
    """A network with its prompts, as a sampler wants it.

    Classifier-free guidance (Ho & Salimans 2022, eq. 6, where `guidance` is 1 + w): away from what the network predicts
    without a prompt. Both predictions come from one call with 2 N rows; with a guidance of 1 only that with the prompt
    is needed, with 0 only that without.

    Args:
        denoiser: The network.
        tokens: (N, L) int64 prompts.
        schedule: How noise grows.
        prediction: What the network predicts.
        guidance: Weight of the prompt.
        limit: The clean sample is clipped to this absolute value.

    Returns:
        Predicts the clean sample.
    """
    levels = schedule.alphas_cumprod.tolist()
    weight = np.float32(guidance)
    if guidance in (0, 1):
        rows = tokens if guidance else np.zeros_like(tokens)
    else:
        rows = np.concatenate([tokens, np.zeros_like(tokens)])

    def predict(sample: Float32Array, timestep: int) -> Float32Array:
        if len(rows) == len(sample):
            predicted = denoiser(sample, timestep, rows)
        else:
            both = denoiser(np.concatenate([sample, sample]), timestep, rows)
            prompted, unprompted = both[: len(sample)], both[len(sample) :]
            predicted = unprompted + weight * (prompted - unprompted)
        clean = clean_from_prediction(prediction, sample, predicted, levels[timestep])
        return np.maximum(np.minimum(clean, limit, out=clean), -limit, out=clean)

    return predict
