"""Curves of a training: a picture at every stage of it, with a line where there is something to draw."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib: run `make train-env`")

from robot_vision.train.curves import Panel, write_panels  # noqa: E402

PANELS = (Panel("loss", {"total": "loss"}), Panel("accuracy", {"mAP50": "map50"}, logarithmic=False))
BLUE_BGR = (180, 119, 31)
"""First colour of matplotlib's default cycle, tab:blue."""


def blue_columns(path: Path, panel: int) -> list[int]:
    """Columns of a panel in which the line is drawn."""
    picture = cv2.imread(str(path))
    assert picture.shape[:2] == (480, 1200)
    half = picture[:, 600 * panel : 600 * (panel + 1)]
    return np.flatnonzero((half == BLUE_BGR).all(axis=2).any(axis=0)).tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_epochs_without_a_validation_are_skipped(tmp_path: Path, epochs: int) -> None:
    """Accuracy is known of every third epoch; before the first, its panel is empty but for the legend."""
    history = [
        {"loss": 10.0 / epoch, **({"map50": epoch / 10} if epoch % 3 == 0 else {})} for epoch in range(1, epochs + 1)
    ]
    write_panels(tmp_path / "new" / "curves.png", history, PANELS)
    loss, accuracy = (blue_columns(tmp_path / "new" / "curves.png", panel) for panel in (0, 1))
    assert loss
    assert (len(accuracy) > 150) == (epochs == 7)
