"""All figures of an encoder, from its latents and from what is known about the frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from robot_vision.evaluation.latent import (
    ClusterAgreement,
    DimensionStatistics,
    Smoothness,
    cluster_agreement,
    dimension_statistics,
    frechet_distance,
    gaussian_samples,
    novelty_auroc,
    pose_steps,
    smoothness,
)
from robot_vision.evaluation.latent_encoding import Encoded
from robot_vision.evaluation.latent_images import ImageError, principal_coordinates, thumbnail
from robot_vision.evaluation.latent_probes import (
    LEAST_FRAMES,
    PROBES,
    Probe,
    pooled,
    probe_errors,
    reduced,
)
from robot_vision.evaluation.latent_state import POSITION, KnownState, ProbedState
from robot_vision.latent.decoder import Decoder
from robot_vision.types import Float64Array, UInt8Array

SEED = 0
COMPONENTS = 20
MOST_SAMPLES = 500
_LEAST_IN_A_ROW = 4


@dataclass(frozen=True)
class SampleDistances:
    """How unlike real frames some images are: Fréchet distances over the real frames' total variance.

    Attributes:
        samples: Of decoded samples.
        reconstructions: Of the real frames' own reconstructions: what the decoder loses anyway.
        halves: Of one half of the real frames to the other: what chance and too few frames make.
    """

    samples: float
    reconstructions: float
    halves: float


@dataclass(frozen=True, eq=False)
class ModelFigures:
    """What one encoder is worth.

    Attributes:
        name: Name of the encoder in the report.
        images: Mean over frames of each figure; None without a decoder.
        probes: R² by probe, and by name of the state, one number each of its axes.
        clusters: None where no two kinds of scene are known.
        smoothness: By name of the recording.
        novelty: Area under the ROC curve; None where there is none.
        novelty_scores: Novelty of the data's and of the novel frames, where it is computed and asked for.
        dimensions: Statistics of the dimensions.
        distances: None without a decoder or with too few frames.
        gaps: What could not be measured, and why, a line each.
    """

    name: str
    images: ImageError | None
    probes: Mapping[Probe, Mapping[str, Float64Array]]
    clusters: ClusterAgreement | None
    smoothness: Mapping[str, Smoothness]
    novelty: float | None
    novelty_scores: tuple[Float64Array, Float64Array] | None
    dimensions: DimensionStatistics
    distances: SampleDistances | None
    gaps: tuple[str, ...]

    def position_r2(self, probe: Probe) -> float:
        """Mean R² of the positions of objects, over classes and the axes that vary; NaN if none was probed."""
        values = [r2 for name, r2 in self.probes[probe].items() if name.startswith(POSITION)]
        varying = np.ravel(values)[np.isfinite(np.ravel(values))]
        return float(varying.mean()) if len(varying) else math.nan


def model_figures(
    encoded: Encoded,
    state: KnownState,
    probed: Sequence[ProbedState],
    set_names: Sequence[str],
    novel: Encoded | None,
) -> ModelFigures:
    """Measure one encoder.

    Args:
        encoded: What it made of the frames.
        state: What is known about the frames.
        probed: States to read from the latents.
        set_names: Names of the sets that the frames come from.
        novel: What it made of novel frames; None if none were given.

    Returns:
        The figures.

    Raises:
        ModelError: If the decoder fails.
    """
    scores = None
    if novel is not None and encoded.novelty is not None and novel.novelty is not None:
        scores = encoded.novelty, novel.novelty
    latents = reduced(encoded.means)
    return ModelFigures(
        name=encoded.name,
        images=None if encoded.image_errors is None else _mean_error(encoded.image_errors),
        probes={probe: _probe(latents, probed, probe) for probe in PROBES},
        clusters=_clusters(latents, state.kinds),
        smoothness=_smoothness(latents, state, set_names),
        novelty=None if scores is None else novelty_auroc(*scores),
        novelty_scores=scores,
        dimensions=dimension_statistics(encoded.means, encoded.log_variances),
        distances=_distances(encoded, state),
        gaps=tuple(_gaps(encoded, novel is not None)),
    )


def _mean_error(errors: Float64Array) -> ImageError:
    # A column is all NaN where no frame has a box.
    known = np.isfinite(errors)
    sums = np.where(known, errors, 0).sum(axis=0)
    means = np.divide(sums, known.sum(axis=0), out=np.full(errors.shape[1], np.nan), where=known.any(axis=0))
    return ImageError(**{entry.name: float(value) for entry, value in zip(fields(ImageError), means, strict=True)})


def _probe(latents: Float64Array, probed: Sequence[ProbedState], probe: Probe) -> dict[str, Float64Array]:
    return {
        entry.name: pooled(
            [probe_errors(latents[rows], entry.values[rows], entry.groups[rows], probe) for rows in entry.parts]
        ).r2
        for entry in probed
    }


def _clusters(latents: Float64Array, kinds: Sequence[str]) -> ClusterAgreement | None:
    names = [kind for kind in kinds if kind]
    known = np.array([bool(kind) for kind in kinds])
    return cluster_agreement(latents[known], names) if len(set(names)) > 1 else None


def _smoothness(latents: Float64Array, state: KnownState, set_names: Sequence[str]) -> dict[str, Smoothness]:
    figures = {}
    for number in state.recordings:
        rows = np.flatnonzero(state.sources == number)
        if len(rows) >= _LEAST_IN_A_ROW:
            figures[set_names[number]] = smoothness(
                latents[rows], state.image_changes[rows[1:]], *pose_steps(state.poses[rows])
            )
    return figures


def smoothness_gaps(state: KnownState, set_names: Sequence[str]) -> list[str]:
    """Why smoothness is not measured, a line each.

    Args:
        state: What is known about the frames.
        set_names: Names of the sets that they come from.
    """
    if not state.recordings:
        return ["smoothness: not measured; no recording among the data"]
    counts = {number: int((state.sources == number).sum()) for number in state.recordings}
    return [
        f"smoothness along {set_names[number]}: not measured; {count} frames, at least {_LEAST_IN_A_ROW} are needed"
        for number, count in counts.items()
        if count < _LEAST_IN_A_ROW
    ]


def _gaps(encoded: Encoded, novel_given: bool) -> list[str]:
    gaps = []
    if encoded.decoder is None:
        gaps.append("the card names no decoder: no reconstructions, samples, traversals and interpolations")
    elif len(encoded.means) < LEAST_FRAMES:
        gaps.append(f"distance of samples from real frames: needs at least {LEAST_FRAMES} frames")
    if encoded.log_variances is None:
        samples = ", and samples come from a Gaussian fitted to its latents" if encoded.decoder is not None else ""
        gaps.append(f"the encoder has no log-variance: no KL{samples}")
    if novel_given and encoded.novelty is None:
        gaps.append("novelty is not computed: the card lacks a decoder or latent.novelty")
    return gaps


def sampled_latents(encoded: Encoded, count: int) -> Float64Array:
    """Latents to decode: from the prior N(0, I) of a variational encoder, else from a Gaussian fitted to its latents.

    Args:
        encoded: What an encoder made of frames.
        count: Number of samples.

    Returns:
        (count, D) float64.
    """
    rng = np.random.default_rng(SEED)
    if encoded.log_variances is not None:
        return rng.standard_normal((count, encoded.means.shape[1]))
    return gaussian_samples(encoded.means, count, rng)


def decoded_images(decoder: Decoder, latents: npt.NDArray[np.floating]) -> list[UInt8Array]:
    """Images of latents.

    Args:
        decoder: The decoder.
        latents: (N, D).

    Returns:
        (H, W, 3) uint8 each.

    Raises:
        ModelError: If the network fails.
    """
    return [decoder.decode(latent) for latent in np.asarray(latents, np.float32)]


def _distances(encoded: Encoded, state: KnownState) -> SampleDistances | None:
    if encoded.decoder is None or len(encoded.means) < LEAST_FRAMES:
        return None
    rows = np.linspace(0, len(encoded.means) - 1, min(len(encoded.means), MOST_SAMPLES)).round().astype(int)
    real = encoded.thumbnails[rows].reshape(len(rows), -1) / 255.0
    samples = _pixels(encoded.decoder, sampled_latents(encoded, len(rows)))
    again = _pixels(encoded.decoder, encoded.means[rows])
    real, samples, again = principal_coordinates(real, (samples, again), min(COMPONENTS, len(rows) // 5))
    # Halves of whole groups, as frames of one are alike.
    odd = np.unique(state.groups[rows], return_inverse=True)[1] % 2 == 1
    variance = float(real.var(axis=0).sum())
    if not variance or not 2 <= odd.sum() <= len(odd) - 2:
        return None
    pairs = ((samples, real), (again, real), (real[odd], real[~odd]))
    return SampleDistances(*(frechet_distance(*pair) / variance for pair in pairs))


def _pixels(decoder: Decoder, latents: npt.NDArray[np.floating]) -> Float64Array:
    return np.array([thumbnail(image).ravel() for image in decoded_images(decoder, latents)]) / 255.0
