"""Curves over the epochs of a training, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

History = Sequence[Mapping[str, float]]


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
        label: What its vertical axis shows, with the unit.
        lines: Key of the history by the name in the legend.
        logarithmic: Whether that axis is logarithmic.
    """

    label: str
    lines: Mapping[str, str]
    logarithmic: bool = True


def write_panels(path: Path, history: History, panels: Sequence[Panel]) -> None:
    """Plot the history of a training, panels side by side.

    Args:
        path: PNG to write.
        history: One entry per epoch; a line has points where the entries have its key.
        panels: What to draw.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only needed here

    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, key in panel.lines.items():
            epochs = [epoch for epoch, entry in enumerate(history, start=1) if key in entry]
            axes.plot(epochs, [history[epoch - 1][key] for epoch in epochs], marker=".", label=name)
        axes.set(xlabel="epoch", ylabel=panel.label, yscale="log" if panel.logarithmic else "linear")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
