"""Pages of pictures of what encoders keep: reconstructions, traversals, interpolations, samples, maps, dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.metrics import roc_curve

from robot_vision.evaluation.latent import DimensionStatistics
from robot_vision.evaluation.latent_encoding import Encoded, Encodings
from robot_vision.evaluation.latent_figures import ModelFigures, decoded_images, sampled_latents
from robot_vision.evaluation.latent_images import principal_coordinates
from robot_vision.evaluation.latent_probes import reduced
from robot_vision.latent.decoder import Decoder
from robot_vision.types import Float64Array, UInt8Array

Row = tuple[str, Sequence[UInt8Array]]

MOST_TRAVERSED = 32
_DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)
_STEPS = 9
_SAMPLES = 10
_TILE = 96
_GAP = 4


def write_picture_rows(path: Path, title: str, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Write pictures in rows with a name each.

    Args:
        path: PNG to write.
        title: Title of the page.
        rows: Name and pictures, (H, W, 3) uint8 each, as many in every row.
        columns: Names of the columns; none are written if there are none.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)

    sheet = np.concatenate([_row_of(pictures) for _, pictures in rows])
    width, height = sheet.shape[1] / _TILE, sheet.shape[0] / _TILE
    figure = Figure(figsize=(width + 1.6, height + 0.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest")
    step = _TILE + _GAP
    axes.set_yticks(step * np.arange(len(rows)) + _TILE / 2, [name for name, _ in rows], fontsize=8)
    axes.set_xticks(step * np.arange(len(columns)) + _TILE / 2, columns, fontsize=8)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=120)


def _row_of(pictures: Sequence[UInt8Array]) -> UInt8Array:
    row: UInt8Array = np.full((_TILE + _GAP, len(pictures) * (_TILE + _GAP), 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        ratio = _TILE / max(height, width)
        size_wh = max(1, round(width * ratio)), max(1, round(height * ratio))
        interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_NEAREST
        left, top = number * (_TILE + _GAP) + (_TILE - size_wh[0]) // 2, (_TILE - size_wh[1]) // 2
        tile = cv2.resize(picture, size_wh, interpolation=interpolation)
        row[top : top + size_wh[1], left : left + size_wh[0]] = tile
    return row


def with_decoder(models: Sequence[Encoded]) -> list[tuple[Encoded, Decoder]]:
    """The encoders that have a decoder, with it."""
    return [(entry, entry.decoder) for entry in models if entry.decoder is not None]


def write_reconstructions(path: Path, encodings: Encodings) -> None:
    """Some frames, and below them what each model makes of them.

    Args:
        path: PNG to write.
        encodings: At least one model has a decoder.
    """
    rows: list[Row] = [("original", encodings.shown_rgb)]
    for model, decoder in with_decoder(encodings.models):
        rows.append((model.name, decoded_images(decoder, model.means[list(encodings.shown)])))
    write_picture_rows(path, "Reconstructions", rows)


def write_interpolations(path: Path, encodings: Encodings) -> None:
    """The way between two frames in each latent space; of the originals a cross-fade to compare with.

    Args:
        path: PNG to write.
        encodings: At least one model has a decoder.
    """
    first, last = encodings.shown[0], encodings.shown[-1]
    shares = np.linspace(0, 1, _STEPS)
    end = encodings.shown_rgb[0].shape[1::-1]
    pair = (encodings.shown_rgb[0], np.asarray(cv2.resize(encodings.shown_rgb[-1], end), np.uint8))
    faded = [np.asarray(cv2.addWeighted(pair[0], 1 - share, pair[1], share, 0), np.uint8) for share in shares]
    rows: list[Row] = [("cross-fade", faded)]
    for model, decoder in with_decoder(encodings.models):
        way = model.means[first] + shares[:, None] * (model.means[last] - model.means[first])
        rows.append((model.name, decoded_images(decoder, way)))
    write_picture_rows(path, "From one frame to another", rows, [f"{share:.0%}" for share in shares])


def write_samples(path: Path, encodings: Encodings) -> None:
    """Decoded samples of each model below real frames.

    Args:
        path: PNG to write.
        encodings: At least one model has a decoder.
    """
    rows: list[Row] = [("real frames", _filled(encodings.shown_rgb))]
    for model, decoder in with_decoder(encodings.models):
        source = "prior" if model.log_variances is not None else "fitted Gaussian"
        rows.append((f"{model.name}\n({source})", decoded_images(decoder, sampled_latents(model, _SAMPLES))))
    write_picture_rows(path, "Samples", rows)


def _filled(pictures: Sequence[UInt8Array]) -> list[UInt8Array]:
    """As many pictures as there are samples, white where there are too few."""
    return [*pictures, *[np.full_like(pictures[0], 255)] * (_SAMPLES - len(pictures))]


def write_traversals(path: Path, model: Encoded, decoder: Decoder, statistics: DimensionStatistics, base: int) -> None:
    """What each dimension does to one frame: the most varying ones first, from -3 to 3 standard deviations.

    Args:
        path: PNG to write.
        model: The encoder's latents.
        decoder: Its decoder.
        statistics: Of its dimensions.
        base: Number of the frame whose other dimensions stay.
    """
    rows: list[Row] = []
    for dimension in np.argsort(-statistics.variance, kind="stable")[:MOST_TRAVERSED].tolist():
        latents = np.repeat(model.means[base][None].astype(np.float64), len(_DEVIATIONS), axis=0)
        deviation = float(np.sqrt(statistics.variance[dimension]))
        latents[:, dimension] = statistics.mean[dimension] + np.multiply(_DEVIATIONS, deviation)
        rows.append((f"{dimension}: std {deviation:.2g}", decoded_images(decoder, latents)))
    title = f"{model.name}: one dimension at a time, in standard deviations from its mean"
    write_picture_rows(path, title, rows, [f"{value:+d}" if value else "0" for value in _DEVIATIONS])


def write_maps(path: Path, encodings: Encodings) -> None:
    """Latents of each model in the plane of their first two principal components.

    Coloured by the kind of scene where there are several, else by the number of objects, else by the frame's number.

    Args:
        path: PNG to write.
        encodings: Latents of all models.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    models = encodings.models
    figure = Figure(figsize=(5.2 * len(models) + 1.5, 5), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    kinds = sorted(set(encodings.state.kinds))
    for axes, model in zip(panels, models, strict=True):
        places = _plane(model)
        if len(kinds) > 1:
            _kind_points(axes, places, encodings.state.kinds, kinds)
        else:
            colours, label = _colours(encodings.state.counts)
            points = axes.scatter(*places.T, c=colours, s=10, cmap="viridis")
            figure.colorbar(points, ax=axes, label=label, ticks=MaxNLocator(integer=True))
        axes.set(title=model.name, xlabel="first component", ylabel="second component")
    if len(kinds) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", title="kind of scene")
    figure.savefig(path, dpi=120)


def _plane(model: Encoded) -> Float64Array:
    (places,) = principal_coordinates(reduced(model.means), (), 2)
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _kind_points(axes: Any, places: Float64Array, kinds: Sequence[str], names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        chosen = places[np.array([kind == name for kind in kinds])]
        axes.scatter(*chosen.T, s=10, color=f"C{number % 10}", label=name or "unknown")


def _colours(counts: Float64Array) -> tuple[Float64Array, str]:
    if np.isfinite(counts).all():
        return counts, "number of objects"
    return np.arange(len(counts), dtype=np.float64), "number of the frame"


def write_dimensions(path: Path, figures: Sequence[ModelFigures]) -> None:
    """Variance and KL of each dimension, and the correlation of every pair, a row a model.

    Args:
        path: PNG to write.
        figures: Figures of all models.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)

    figure = Figure(figsize=(12, 3.6 * len(figures)), layout="constrained")
    panels = figure.subplots(len(figures), 2, squeeze=False, width_ratios=(2, 1))
    for (bars, square), entry in zip(panels, figures, strict=True):
        statistics = entry.dimensions
        numbers = np.arange(len(statistics.variance))
        bars.bar(numbers, statistics.variance, color="C0", label="variance over frames")
        if statistics.kl is not None:
            bars.plot(numbers, statistics.kl, "o", color="C1", markersize=4, label="KL from N(0, 1), nats")
        if statistics.variance.max() > 100 * max(float(np.median(statistics.variance)), 1e-12):
            bars.set_yscale("log")
        bars.set(title=entry.name, xlabel="dimension")
        bars.legend(fontsize="small")
        picture = square.imshow(statistics.correlation, cmap="RdBu_r", vmin=-1, vmax=1)
        square.set(title="correlation over frames", xlabel="dimension", ylabel="dimension")
        figure.colorbar(picture, ax=square, shrink=0.8)
    figure.savefig(path, dpi=120)


def write_novelty(path: Path, figures: Sequence[ModelFigures]) -> None:
    """Share of novel frames that are told from known ones, over the share of known ones that are taken for novel.

    Args:
        path: PNG to write.
        figures: Figures of all models; at least one has scores.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)

    figure = Figure(figsize=(11, 5), layout="constrained")
    roc_axes, score_axes = figure.subplots(1, 2)
    scored = [(entry, entry.novelty_scores) for entry in figures if entry.novelty_scores is not None]
    for number, (entry, (known, novel)) in enumerate(scored):
        false, true, _ = roc_curve(np.repeat([0, 1], [len(known), len(novel)]), np.concatenate([known, novel]))
        roc_axes.plot(false, true, color=f"C{number % 10}", label=f"{entry.name}: area {entry.novelty:.3f}")
        for scores, style in ((known, "-"), (novel, "--")):
            share = np.arange(1, len(scores) + 1) / len(scores)
            label = f"{entry.name}, {'given' if style == '-' else 'novel'}"
            score_axes.plot(np.sort(scores), share, style, color=f"C{number % 10}", label=label)
    roc_axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    roc_axes.set(xlabel="given frames taken for novel", ylabel="novel frames found", title="ROC of novelty")
    score_axes.set(xlabel="novelty", ylabel="share of frames below", title="Novelty of given and novel frames")
    for axes in (roc_axes, score_axes):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
