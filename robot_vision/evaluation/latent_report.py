"""The report on representations: a table of encoders, pages of pictures, Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robot_vision.errors import EvaluationError
from robot_vision.evaluation import latent_plots
from robot_vision.evaluation.latent import ACTIVE_VARIANCE, Smoothness
from robot_vision.evaluation.latent_encoding import Encodings
from robot_vision.evaluation.latent_figures import COMPONENTS, MOST_SAMPLES, SEED, ModelFigures
from robot_vision.evaluation.latent_probes import FOLDS, NEIGHBOURS, PROBES
from robot_vision.evaluation.latent_state import NUMBER, ProbedState
from robot_vision.evaluation.report import table, write_texts
from robot_vision.evaluation.tracker_report import made_folder

RECONSTRUCTIONS, INTERPOLATIONS, SAMPLES = "reconstructions.png", "interpolations.png", "samples.png"
MAPS, DIMENSIONS, NOVELTY, TRAVERSALS = "maps.png", "dimensions.png", "novelty.png", "traversals_{}.png"

_COLUMNS = (
    "dimensions", "PSNR dB", "SSIM", "PSNR in boxes", "SSIM in boxes", "R² position linear", "R² position k-NN",
    "R² number linear", "ARI", "step ratio", "AUROC", "collapsed", "effective dimensions",
)  # fmt: skip


def latent_table(figures: Sequence[ModelFigures]) -> str:
    """A row an encoder with its main figures, as a Markdown table; what was not measured is a dash.

    Args:
        figures: Figures of one encoder or more.
    """
    return table(("encoder", *_COLUMNS), [(entry.name, *_main_cells(entry)) for entry in figures])


def _main_cells(figures: ModelFigures) -> list[str]:
    images = figures.images.values() if figures.images else (math.nan,) * 4
    number = figures.probes["linear"].get(NUMBER)
    values = (
        *images, figures.position_r2("linear"), figures.position_r2("k-NN"),
        math.nan if number is None else float(number[0]),
        math.nan if figures.clusters is None else figures.clusters.adjusted_rand,
        mean_step_ratio(figures.smoothness), math.nan if figures.novelty is None else figures.novelty,
    )  # fmt: skip
    digits = (2, 3, 2, *[3] * 7)
    dimensions = figures.dimensions
    return [
        str(len(dimensions.variance)),
        *(_cell(value, count) for value, count in zip(values, digits, strict=True)),
        str(len(dimensions.collapsed)),
        f"{dimensions.effective:.1f}",
    ]


def mean_step_ratio(by_recording: Mapping[str, Smoothness]) -> float:
    """Mean over recordings of the step ratio; NaN if there is none."""
    values = [entry.step_ratio for entry in by_recording.values()]
    return sum(values) / len(values) if values else math.nan


def _cell(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def write_latent_report(
    figures: Sequence[ModelFigures],
    encodings: Encodings,
    probed: Sequence[ProbedState],
    folder: Path,
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> list[Path]:
    """Write `report.md`, `report.json` and the pictures.

    Args:
        figures: Figures of each encoder.
        encodings: The latents that they are of.
        probed: States that were read from the latents.
        folder: Created if missing; an older report in it is replaced.
        facts: What was evaluated on what, and how.
        notes: Sentences for the reader.

    Returns:
        Paths of the files.

    Raises:
        EvaluationError: If a file cannot be written.
        ModelError: If a decoder fails.
    """
    made_folder(folder)
    try:
        for old in (*folder.glob(TRAVERSALS.format("*")), *(folder / name for name in _page_names())):
            old.unlink(missing_ok=True)
        pages = _write_pages(figures, encodings, folder)
    except OSError as error:
        raise EvaluationError(f"{folder}: the report cannot be written: {error}") from error
    text, values = _markdown(figures, probed, facts, notes, pages), _json_figures(figures, probed, facts, notes)
    return [*write_texts(folder, text, values), *(folder / name for name in pages)]


def _page_names() -> tuple[str, ...]:
    return RECONSTRUCTIONS, INTERPOLATIONS, SAMPLES, MAPS, DIMENSIONS, NOVELTY


def _write_pages(figures: Sequence[ModelFigures], encodings: Encodings, folder: Path) -> dict[str, str]:
    """Write the pictures and return what each file shows."""
    pages = {}
    if latent_plots.with_decoder(encodings.models):
        latent_plots.write_reconstructions(folder / RECONSTRUCTIONS, encodings)
        latent_plots.write_interpolations(folder / INTERPOLATIONS, encodings)
        latent_plots.write_samples(folder / SAMPLES, encodings)
        pages = {
            RECONSTRUCTIONS: "Reconstructions",
            INTERPOLATIONS: "The way between two frames; above as a cross-fade of their pixels",
            SAMPLES: "Samples below real frames",
        }
    middle = encodings.shown[len(encodings.shown) // 2]
    for number, (model, entry) in enumerate(zip(encodings.models, figures, strict=True), start=1):
        if model.decoder is not None:
            name = TRAVERSALS.format(number)
            latent_plots.write_traversals(folder / name, model, model.decoder, entry.dimensions, middle)
            pages[name] = f"What each dimension of {model.name} does to a frame"
    latent_plots.write_maps(folder / MAPS, encodings)
    latent_plots.write_dimensions(folder / DIMENSIONS, figures)
    pages |= {MAPS: "Latents in the plane of their first two principal components", DIMENSIONS: "Dimensions"}
    if any(entry.novelty_scores is not None for entry in figures):
        latent_plots.write_novelty(folder / NOVELTY, figures)
        pages[NOVELTY] = "Novelty"
    return pages


_EXPLANATION = (
    "PSNR and SSIM are means over frames of the network's view of each, padding included; in boxes: over the pixels "
    "of the labelled objects. R² is on held-out frames: 1 is perfect, 0 is what always answering the training "
    "frames' mean gives, and below 0 is worse than that. Position is the mean over the classes and axes of the "
    "table of probes. ARI: adjusted Rand index of k-means clusters against the kinds of scene (a recording counts "
    "as a kind of its own). Step ratio: mean distance of successive latents over that of any two of the same "
    "recording. AUROC: novel frames against the given ones. Collapsed: variance of the mean at most "
    f"{ACTIVE_VARIANCE}, without a log-variance at most a millionth of the largest. Effective dimensions: "
    "participation ratio of the covariance's eigenvalues."
)


def _markdown(
    figures: Sequence[ModelFigures],
    probed: Sequence[ProbedState],
    facts: Mapping[str, str],
    notes: Sequence[str],
    pages: Mapping[str, str],
) -> str:
    sections = [
        "# Latent report",
        table(("what", "value"), [(key, f"`{value}`") for key, value in facts.items()]),
        latent_table(figures),
        _EXPLANATION,
        _gaps(figures, notes),
        _probes(figures, probed),
        _kinds(figures),
        _smoothness(figures),
        _samples(figures),
        _dimensions(figures),
        *(f"## {title}\n\n![{title}]({name})" for name, title in pages.items()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _gaps(figures: Sequence[ModelFigures], notes: Sequence[str]) -> str:
    lines = [*notes, *(f"{entry.name}: {gap}" for entry in figures for gap in entry.gaps)]
    return "\n".join(["## Not measured, and notes", "", *(f"- {line}" for line in lines)]) if lines else ""


def _probes(figures: Sequence[ModelFigures], probed: Sequence[ProbedState]) -> str:
    if not probed:
        return ""
    header = ("state", "frames", *(f"{entry.name} {probe}" for entry in figures for probe in PROBES))
    rows = [
        [f"{state.name} {axis}".strip(), str(state.frames), *_r2_cells(figures, state.name, index)]
        for state in probed
        for index, axis in enumerate(state.axes)
    ]
    text = (
        f"R² on held-out frames ({FOLDS} folds). Linear: ridge regression on standardised latents, its penalty "
        f"chosen within the training part. k-NN: mean of the {NEIGHBOURS} nearest latents. Frames of one scene are "
        f"held out together: a recording, or a fifth of one where there are fewer than {FOLDS} and for the camera; "
        "the images of one number of scene, or each image where none is written down. Positions are of frames that "
        "show exactly one of the class."
    )
    return f"## Probes\n\n{text}\n\n{table(header, rows)}"


def _r2_cells(figures: Sequence[ModelFigures], state: str, axis: int) -> list[str]:
    return [_cell(float(entry.probes[probe][state][axis])) for entry in figures for probe in PROBES]


def _kinds(figures: Sequence[ModelFigures]) -> str:
    found = [(entry.name, entry.clusters) for entry in figures if entry.clusters is not None]
    rows = [
        (name, str(c.kinds), str(c.frames), _cell(c.adjusted_rand), _cell(c.mutual_information)) for name, c in found
    ]
    text = "k-means with as many clusters as kinds; by chance the adjusted Rand index is 0."
    header = ("encoder", "kinds", "frames", "adjusted Rand index", "normalised mutual information")
    return f"## Kinds of scene\n\n{text}\n\n{table(header, rows)}" if rows else ""


def _smoothness(figures: Sequence[ModelFigures]) -> str:
    rows = [
        (entry.name, recording, *map(_cell, asdict(values).values()))
        for entry in figures
        for recording, values in entry.smoothness.items()
    ]
    header = ("encoder", "recording", "step ratio", "with image", "with translation", "with rotation")
    text = "Rank correlation of the distance between successive latents with what changed between the frames."
    return f"## Along recordings\n\n{text}\n\n{table(header, rows)}" if rows else ""


def _samples(figures: Sequence[ModelFigures]) -> str:
    found = [(entry.name, entry.distances) for entry in figures if entry.distances is not None]
    rows = [(name, *map(_cell, asdict(distances).values())) for name, distances in found]
    text = (
        f"Fréchet distance from real frames in up to {COMPONENTS} principal components of their pixels (no side above "
        f"64), over the real frames' variance in them: 0 is the same mean and covariance. As many samples as frames, "
        f"at most {MOST_SAMPLES}. It sees light, colour and layout, not detail. Reconstructions lose what the decoder "
        "cannot draw; halves are one half of the real frames' scenes against the other, the floor for so few frames."
    )
    header = ("encoder", "samples", "reconstructions", "halves of the real frames")
    return f"## How unlike real frames samples are\n\n{text}\n\n{table(header, rows)}" if rows else ""


def _dimensions(figures: Sequence[ModelFigures]) -> str:
    rows = []
    for entry in figures:
        kl, d = entry.dimensions.kl, entry.dimensions
        collapsed = ", ".join(map(str, d.collapsed[:20])) + (", …" if len(d.collapsed) > 20 else "")
        total = "-" if kl is None else f"{kl.sum():.2f}"
        rows.append((entry.name, total, collapsed or "none", f"{d.effective:.1f}", _cell(d.mean_correlation)))
    header = ("encoder", "KL nats", "collapsed", "effective dimensions", "mean correlation of two")
    return f"## Statistics of the dimensions\n\n{table(header, rows)}"


def _json_figures(
    figures: Sequence[ModelFigures], probed: Sequence[ProbedState], facts: Mapping[str, str], notes: Sequence[str]
) -> dict[str, Any]:
    return {
        "facts": dict(facts),
        "notes": list(notes),
        "probed": {state.name: {"frames": state.frames, "axes": list(state.axes)} for state in probed},
        "models": [_without_nan(_model_figures(entry)) for entry in figures],
        "seed": SEED,
    }


def _model_figures(figures: ModelFigures) -> dict[str, Any]:
    dimensions = figures.dimensions
    optional = {"reconstruction": figures.images, "clusters": figures.clusters, "distances": figures.distances}
    return {
        "name": figures.name,
        "gaps": list(figures.gaps),
        **{key: None if value is None else asdict(value) for key, value in optional.items()},
        "r2": {probe: {name: r2.tolist() for name, r2 in states.items()} for probe, states in figures.probes.items()},
        "smoothness": {name: asdict(values) for name, values in figures.smoothness.items()},
        "novelty_auroc": figures.novelty,
        "dimensions": {
            "mean": dimensions.mean.tolist(),
            "variance": dimensions.variance.tolist(),
            "kl": None if dimensions.kl is None else dimensions.kl.tolist(),
            "collapsed": list(dimensions.collapsed),
            "effective": dimensions.effective,
            "mean_correlation": dimensions.mean_correlation,
        },
    }


def _without_nan(value: Any) -> Any:
    """The same with null where a number is none, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
