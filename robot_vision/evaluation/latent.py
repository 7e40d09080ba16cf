"""Measures on the latents of many frames, as pure functions: dimensions, smoothness, clusters, novelty, samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score

from robot_vision.types import Float64Array

ACTIVE_VARIANCE = 0.01
_CONSTANT_SHARE = 1e-6
_MOST_FOR_PAIRS = 1000
_MOST_PAIRED = 512


@dataclass(frozen=True, eq=False)
class DimensionStatistics:
    """What the dimensions of a latent space carry.

    Attributes:
        mean: (D,) float64, mean over frames of each latent mean.
        variance: (D,) float64, variance over frames of each latent mean.
        kl: (D,) float64, mean over frames of the divergence from N(0, 1) in nats; None without a log-variance.
        collapsed: Dimensions that carry nothing.
        correlation: (K, K) float64 in [-1, 1], of every pair over frames; 0 with a dimension that does not vary. Of
            more than 512 dimensions only those with the largest variance are paired.
        effective: Participation ratio of the covariance's eigenvalues, (Σλ)² / Σλ²: D where all dimensions vary alike
            and independently, 1 where all vary together.
    """

    mean: Float64Array
    variance: Float64Array
    kl: Float64Array | None
    collapsed: tuple[int, ...]
    correlation: Float64Array
    effective: float

    @property
    def mean_correlation(self) -> float:
        """Mean absolute correlation over the pairs of different dimensions; NaN if there is one dimension."""
        pairs = np.abs(self.correlation[np.triu_indices(len(self.correlation), 1)])
        return float(pairs.mean()) if len(pairs) else math.nan


def dimension_statistics(
    means: npt.NDArray[np.floating], log_variances: npt.NDArray[np.floating] | None
) -> DimensionStatistics:
    """Statistics of each dimension and of every pair.

    A dimension has collapsed if the variance of its mean is at most 0.01, the criterion of Burda, Grosse &
    Salakhutdinov, "Importance Weighted Autoencoders" (2016), section 4.2. That means something where a prior sets the
    scale; without a log-variance only a dimension below a millionth of the largest variance counts as one.

    Args:
        means: (N, D) latent means.
        log_variances: (N, D) natural logarithms of the variances, or None.

    Returns:
        The statistics.
    """
    values = np.asarray(means, np.float64)
    variance = values.var(axis=0)
    threshold = ACTIVE_VARIANCE if log_variances is not None else _CONSTANT_SHARE * float(variance.max())
    kl = None if log_variances is None else gaussian_kl(values, np.asarray(log_variances, np.float64)).mean(axis=0)
    centred = values - values.mean(axis=0)
    paired = np.sort(np.argsort(-variance, kind="stable")[:_MOST_PAIRED])
    spread = np.sqrt(variance[paired])
    unit = np.divide(centred[:, paired], spread, out=np.zeros((len(values), len(paired))), where=spread > 0)
    collapsed = tuple(int(index) for index in np.flatnonzero(variance <= threshold))
    return DimensionStatistics(
        values.mean(axis=0), variance, kl, collapsed, unit.T @ unit / len(values), _participation_ratio(centred)
    )


def _participation_ratio(centred: Float64Array) -> float:
    eigenvalues = np.linalg.svd(centred, compute_uv=False) ** 2
    total = float(np.square(eigenvalues).sum())
    return float(eigenvalues.sum()) ** 2 / total if total else 0.0


def gaussian_kl(means: Float64Array, log_variances: Float64Array) -> Float64Array:
    """Divergence of N(mean, variance) from N(0, 1) in nats (Kingma & Welling 2014, appendix B).

    Args:
        means: Float64 of any shape.
        log_variances: Natural logarithms of the variances, of the same shape.

    Returns:
        Values of that shape.
    """
    return 0.5 * (np.square(means) + np.exp(log_variances) - 1 - log_variances)


@dataclass(frozen=True)
class Smoothness:
    """How latents move along a recording.

    Attributes:
        step_ratio: Mean distance between successive latents over the mean distance between any two; NaN if all are
            equal.
        image_correlation: Rank correlation of the distance between successive latents with the change of the image.
        translation_correlation: The same with the camera's way between the frames.
        rotation_correlation: The same with the angle that the camera turned by. All three are NaN where unknown or
            constant.
    """

    step_ratio: float
    image_correlation: float
    translation_correlation: float
    rotation_correlation: float


def smoothness(
    means: npt.NDArray[np.floating],
    image_change: Float64Array,
    translation_m: Float64Array,
    rotation_rad: Float64Array,
) -> Smoothness:
    """How latents move along one recording.

    Args:
        means: (N, D) latent means in the order of recording, at least two.
        image_change: (N - 1,) float64, change of the image from each frame to the next.
        translation_m: (N - 1,) float64, way of the camera in metres; NaN where unknown.
        rotation_rad: (N - 1,) float64, angle that it turned by; NaN where unknown.

    Returns:
        The figures.
    """
    values = np.asarray(means, np.float64)
    steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
    thinned = values[np.linspace(0, len(values) - 1, min(len(values), _MOST_FOR_PAIRS)).round().astype(int)]
    between = float(pdist(thinned).mean())
    ratio = float(steps.mean()) / between if between else math.nan
    changes = (image_change, translation_m, rotation_rad)
    return Smoothness(ratio, *(_rank_correlation(steps, change) for change in changes))


def _rank_correlation(steps: Float64Array, change: Float64Array) -> float:
    known = np.isfinite(change)
    if known.sum() < 3 or not np.ptp(steps[known]) or not np.ptp(change[known]):
        return math.nan
    return float(spearmanr(steps[known], change[known])[0])


def pose_steps(poses: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Way and angle between successive poses.

    Args:
        poses: (N, 7) float64, position x, y, z in metres and quaternion x, y, z, w; NaN where unknown.

    Returns:
        (N - 1,) metres and (N - 1,) radians from 0 to π.
    """
    translation = np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1)
    cosine = np.abs((poses[1:, 3:] * poses[:-1, 3:]).sum(axis=1))  # q and -q are the same rotation
    return translation, 2 * np.arccos(np.clip(cosine, 0, 1))


@dataclass(frozen=True)
class ClusterAgreement:
    """How well clusters of latents are kinds of scene.

    Attributes:
        kinds: Number of kinds, and of clusters.
        frames: Number of frames.
        adjusted_rand: Adjusted Rand index: 1 for the same partition, 0 for chance.
        mutual_information: Normalised mutual information in [0, 1].
    """

    kinds: int
    frames: int
    adjusted_rand: float
    mutual_information: float


def cluster_agreement(means: npt.NDArray[np.floating], kinds: Sequence[str]) -> ClusterAgreement:
    """Cluster latents with k-means and compare the clusters with known kinds.

    Indices of Hubert & Arabie, "Comparing partitions" (1985), and of Strehl & Ghosh, "Cluster ensembles" (2002), the
    latter with the arithmetic mean, by scikit-learn; k-means with ten starts from seed 0.

    Args:
        means: (N, D) latent means.
        kinds: N names, at least two different ones and no more than frames.

    Returns:
        The agreement.
    """
    count = len(set(kinds))
    found = KMeans(count, n_init=10, random_state=0).fit_predict(np.asarray(means, np.float64))
    return ClusterAgreement(
        count, len(means), float(adjusted_rand_score(kinds, found)), float(normalized_mutual_info_score(kinds, found))
    )


def novelty_auroc(known: Float64Array, novel: Float64Array) -> float:
    """Chance that a novel frame scores higher than a known one, ties half: the area under the ROC curve.

    Args:
        known: (N,) float64 scores, at least one.
        novel: (M,) float64 scores, at least one.

    Returns:
        From 0 to 1; 0.5 says nothing.
    """
    labels = np.repeat([0, 1], [len(known), len(novel)])
    return float(roc_auc_score(labels, np.concatenate([known, novel])))


def frechet_distance(a: Float64Array, b: Float64Array) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of points.

    Dowson & Landau, "The Fréchet distance between multivariate normal distributions" (1982): |μa - μb|² + tr(A + B -
    2 (A B)^½).

    Args:
        a: (N, K) float64, at least two points.
        b: (M, K) float64, at least two points.

    Returns:
        0 or more, in squared units of the points.
    """
    first, second = (np.atleast_2d(np.cov(points, rowvar=False, bias=True)) for points in (a, b))
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # A^½ B A^½ has the eigenvalues of A B and is symmetric, so that they stay real where directions are missing.
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0))
    shift = float(np.square(a.mean(axis=0) - b.mean(axis=0)).sum())
    return max(0.0, shift + float(np.trace(first) + np.trace(second) - 2 * shared.sum()))


def gaussian_samples(means: npt.NDArray[np.floating], count: int, rng: np.random.Generator) -> Float64Array:
    """Samples of the Gaussian with the mean and covariance of latents.

    Args:
        means: (N, D) latent means.
        count: Number of samples.
        rng: Source of chance.

    Returns:
        (count, D) float64.
    """
    centred = np.asarray(means, np.float64) - means.mean(axis=0, dtype=np.float64)
    # Random weights on the frames themselves have their covariance, without a D × D matrix to factorise.
    weights = rng.standard_normal((count, len(centred))) / math.sqrt(len(centred))
    samples: Float64Array = weights @ centred + means.mean(axis=0, dtype=np.float64)
    return samples
