"""The rendered data sets that the shipped networks are trained and measured on."""

from __future__ import annotations

from pathlib import Path

SIMULATED_SETS = {"training": (6000, 100_000), "held_out": (1000, 900_000)}
"""Images and seed of the first scene; the scenes of the two sets have no seed in common."""


def render(folder: Path, name: str, jobs: int) -> Path:
    """Render one of the sets, or what is missing of it.

    Args:
        folder: Where the sets are kept; the set goes into a sub-folder of its name.
        name: `training` or `held_out`.
        jobs: Processes that render.

    Returns:
        The set's folder: `images/` and `annotations.json`.

    Raises:
        MissingDependencyError: If the renderer is missing.
    """
    from robot_vision.sim.coco import DatasetConfig, write_dataset  # noqa: PLC0415 - needs MuJoCo

    images, seed_base = SIMULATED_SETS[name]
    write_dataset(DatasetConfig(folder / name, images, seed_base, jobs=jobs))
    return folder / name


def description(name: str) -> str:
    """The command that renders a set, for model cards.

    Args:
        name: `training` or `held_out`.
    """
    images, seed_base = SIMULATED_SETS[name]
    return f"robot_vision sim dataset --images {images} --seed-base {seed_base}"
