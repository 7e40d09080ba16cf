"""Probes: how much of a known state can be read from latents, on frames that were held out.

A representation is judged by what a simple reader gets out of it: a linear map (Alain & Bengio, "Understanding
intermediate layers using linear classifier probes", 2016) or the nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsRegressor

from robot_vision.types import Float64Array, Int64Array

Probe = Literal["linear", "k-NN"]
PROBES: tuple[Probe, ...] = ("linear", "k-NN")
FOLDS = 5
LEAST_FRAMES = 50
NEIGHBOURS = 5
_PENALTIES = np.logspace(-2, 6, 17)


@dataclass(frozen=True, eq=False)
class ProbeErrors:
    """Squared errors on held-out frames, summed.

    Attributes:
        frames: Number of frames.
        probe: (T,) float64, of the probe for each value of the state.
        baseline: (T,) float64, of always answering the mean of the training frames.
    """

    frames: int
    probe: Float64Array
    baseline: Float64Array

    @property
    def r2(self) -> Float64Array:
        """(T,) coefficient of determination: 1 perfect, 0 the baseline, below 0 worse; NaN for a constant state."""
        share = np.full_like(self.probe, np.nan)
        np.divide(self.probe, self.baseline, out=share, where=self.baseline > 0)
        return 1 - share


def pooled(parts: Sequence[ProbeErrors]) -> ProbeErrors:
    """Errors of several probes for the same state together.

    Args:
        parts: At least one.
    """
    return ProbeErrors(
        sum(part.frames for part in parts),
        np.sum([part.probe for part in parts], axis=0),
        np.sum([part.baseline for part in parts], axis=0),
    )


def can_probe(groups: Int64Array) -> bool:
    """Whether there are enough frames, and groups of them to hold out.

    Args:
        groups: (N,) int64.
    """
    return len(groups) >= LEAST_FRAMES and len(np.unique(groups)) >= FOLDS


def probe_errors(latents: Float64Array, state: Float64Array, groups: Int64Array, probe: Probe) -> ProbeErrors:
    """Errors of a probe, each frame answered by one that learnt from other groups (five-fold cross-validation).

    Args:
        latents: (N, D) float64, as of `reduced`.
        state: (N, T) float64, finite.
        groups: (N,) int64; frames of one group are held out together.
        probe: `linear` is ridge regression on standardised latents, its penalty chosen on held-out groups of the
            training part; `k-NN` the mean of the five nearest latents (Euclidean, as they are).

    Returns:
        The errors.
    """
    errors, baseline = np.zeros(state.shape[1]), np.zeros(state.shape[1])
    for train, test in GroupKFold(FOLDS).split(latents, groups=groups):
        if probe == "linear":
            answer = _linear(latents[train], state[train], groups[train], latents[test])
        else:
            answer = KNeighborsRegressor(NEIGHBOURS).fit(latents[train], state[train]).predict(latents[test])
        errors += np.square(answer - state[test]).sum(axis=0)
        baseline += np.square(state[train].mean(axis=0) - state[test]).sum(axis=0)
    return ProbeErrors(len(state), errors, baseline)


def _linear(latents: Float64Array, state: Float64Array, groups: Int64Array, new: Float64Array) -> Float64Array:
    """Ridge regression with the penalty of each value of the state that is best on held-out groups."""
    errors = np.zeros((len(_PENALTIES), state.shape[1]))
    for train, test in GroupKFold(FOLDS - 1).split(latents, groups=groups):
        answers = ridge_answers(latents[train], state[train], latents[test], _PENALTIES)
        errors += np.square(answers - state[test]).sum(axis=1)
    answers = ridge_answers(latents, state, new, _PENALTIES)
    return np.stack([answers[best, :, value] for value, best in enumerate(errors.argmin(axis=0))], axis=1)


def ridge_answers(
    latents: Float64Array, state: Float64Array, new: Float64Array, penalties: Float64Array
) -> Float64Array:
    """Ridge regression in closed form, for several penalties from one decomposition.

    Hoerl & Kennard, "Ridge Regression" (1970): minimises |y - Xw|² + λ|w|², with columns of X at mean 0 and standard
    deviation 1 (as they are where constant), and y at mean 0.

    Args:
        latents: (N, D) float64.
        state: (N, T) float64.
        new: (M, D) float64 latents to answer for.
        penalties: (P,) float64, positive.

    Returns:
        (P, M, T) float64.
    """
    centre, spread = latents.mean(axis=0), latents.std(axis=0)
    spread[spread == 0] = 1
    left, singular, right = np.linalg.svd((latents - centre) / spread, full_matrices=False)
    targets = left.T @ (state - state.mean(axis=0))
    shrunk = singular / (singular**2 + penalties[:, None])
    rotated = (new - centre) / spread @ right.T
    return np.asarray((rotated * shrunk[:, None, :]) @ targets + state.mean(axis=0))


def reduced(latents: npt.NDArray[np.floating]) -> Float64Array:
    """The same points in no more dimensions than there are points: every distance stays.

    Args:
        latents: (N, D).

    Returns:
        (N, min(N, D)) float64: the latents, or where D is larger, their coordinates along the directions in which
        they differ.
    """
    values = np.asarray(latents, np.float64)
    if values.shape[1] <= len(values):
        return values
    left, singular, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return np.asarray(left * singular)
