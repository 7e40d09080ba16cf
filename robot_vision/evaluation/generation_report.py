"""The report on image generation: tables, a sheet of samples, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robot_vision.evaluation.generation import Answered, Asked, Distances
from robot_vision.evaluation.pictures import contact_sheet, write_picture
from robot_vision.evaluation.report import table, write_texts
from robot_vision.evaluation.tracker_report import made_folder
from robot_vision.types import UInt8Array


@dataclass(frozen=True, eq=False)
class GenerationFigures:
    """What was measured.

    Attributes:
        asked: The prompts.
        images: An image of each, (H, W, 3) uint8.
        answers: How often images show what was asked for, by class and in all.
        real: The same of real images, which tells what the detector can see.
        distances: How near images are to real ones.
        seconds_per_image: Time on this machine, by the name of those sets whose images were generated.
    """

    asked: Sequence[Asked]
    images: Sequence[UInt8Array]
    answers: Mapping[str, Answered]
    real: Mapping[str, Answered]
    distances: Distances
    seconds_per_image: Mapping[str, float]


def answer_table(figures: GenerationFigures) -> str:
    """A row a class, as a Markdown table."""
    empty = Answered(0, float("nan"), float("nan"))
    rows = []
    for name, answered in figures.answers.items():
        real = figures.real.get(name, empty)
        shares = (answered.found, answered.counted, real.found, real.counted)
        rows.append([name, str(answered.images), *(f"{100 * share:.1f}" for share in shares)])
    return table(("class", "images", "class found %", "right count %", "real: found %", "real: count %"), rows)


def distance_table(figures: GenerationFigures) -> str:
    """A row a set of images, the nearest to real ones first, as a Markdown table."""
    rows = [["other real images", f"{figures.distances.floor:.4f}", ""]]
    for name, value in sorted(figures.distances.by_source.items(), key=lambda item: item[1]):
        seconds = figures.seconds_per_image.get(name)
        rows.append([name, f"{value:.4f}", "" if seconds is None else f"{1000 * seconds:.0f}"])
    return table(("images", "Fréchet distance", "ms an image"), rows)


def write_generation_report(figures: GenerationFigures, folder: Path, facts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write `report.md`, `report.json` and `samples.png`.

    Args:
        figures: What was measured.
        folder: Folder, which is made; older reports in it are replaced.
        facts: What was measured on, by name.

    Returns:
        Paths of the files.

    Raises:
        EvaluationError: If a file cannot be written.
    """
    text = "\n\n".join([
        "# Report on image generation",
        table(("what", "value"), [(key, f"`{value}`") for key, value in facts.items()]),
        "How often a detector finds the class that was asked for, and as many of it as were asked for; beside it the "
        "same for real images, which it cannot see perfectly either.",
        answer_table(figures),
        "Squared Fréchet distance of images to real ones, on features of an encoder.",
        distance_table(figures),
        "![samples](samples.png)",
    ])  # fmt: skip
    json_figures = {
        "facts": dict(facts),
        "answers": {name: answered._asdict() for name, answered in figures.answers.items()},
        "real": {name: answered._asdict() for name, answered in figures.real.items()},
        "distances": {"floor": figures.distances.floor, **figures.distances.by_source},
        "seconds_per_image": dict(figures.seconds_per_image),
    }
    written = write_texts(made_folder(folder), f"{text}\n", json_figures)
    sheet = folder / "samples.png"
    write_picture(sheet, contact_sheet(list(figures.images), width=None))
    return *written, sheet
