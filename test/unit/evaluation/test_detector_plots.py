"""The pictures of a detector's report show what they should, also of very little."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from robot_vision.evaluation.detector_curves import pair, precision_recall
from robot_vision.evaluation.detector_plots import ALL_CLASSES, mistake_tile, write_confusion, write_curves
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.pictures import contact_sheet
from robot_vision.overlay import colour_of
from robot_vision.types import Detections

GREEN, ORANGE, BLUE, PINK = (colour_of(number) for number in (2, 0, 4, 3))


def needs_matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: run `make setup`")


def test_a_tile_tells_right_from_wrong_by_colour() -> None:
    """Boxes follow the scaling of the image; above the objects, below the findings, nothing of what is ignored."""
    boxes = np.array([[10, 10, 20, 20], [30, 10, 40, 20], [50, 30, 60, 40]], np.float32)
    truth = LabelledBoxes(boxes, np.zeros(3, np.int64), np.arange(3), np.array([False, False, True]))
    places = np.array([[10, 10, 20, 20], [10, 30, 20, 40], [52, 30, 60, 40]], np.float32)
    found = Detections(places, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64))
    tile = mistake_tile(np.zeros((48, 64, 3), np.uint8), truth, found, pair(truth, found), ["mug"], "")
    assert tile.shape == (960, 640, 3)
    above, below = tile[:480], tile[480:]
    # The lower left corner of each box, which no label covers.
    corners = {"above": above[199, [100, 300, 500]], "below": below[[199, 399, 399], [100, 100, 520]]}
    assert corners["above"].tolist() == [list(GREEN), list(ORANGE), [0, 0, 0]]
    assert corners["below"].tolist() == [list(BLUE), list(PINK), [0, 0, 0]]


def test_a_sheet_can_leave_pictures_at_their_size() -> None:
    """Text that is drawn already would suffer from scaling."""
    picture = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    sheet = contact_sheet([picture, picture], width=None)
    np.testing.assert_array_equal(sheet[4:34, 28:48], picture)


def test_the_confusion_matrix_leaves_out_classes_that_do_not_occur(tmp_path) -> None:
    """80 names for two classes would be a wall of nothing."""
    needs_matplotlib()
    counts = np.zeros((81, 81), np.int64)
    counts[3, 3], counts[80, 7] = 5, 1
    write_confusion(tmp_path / "many.png", counts, [f"class{number}" for number in range(80)])
    write_confusion(tmp_path / "few.png", counts[np.ix_([3, 7, 80], [3, 7, 80])], ["class3", "class7"])
    many, few = (cv2.imread(str(tmp_path / name)) for name in ("many.png", "few.png"))
    np.testing.assert_array_equal(many, few)


@pytest.mark.filterwarnings("error")
def test_nothing_found_and_nothing_there_can_be_drawn(tmp_path) -> None:
    """A class without objects has no curve, one without findings an entry in the legend, and neither a warning."""
    needs_matplotlib()
    nothing = precision_recall([LabelledBoxes.empty()], [Detections.empty()])
    one = LabelledBoxes(np.ones((1, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, bool))
    missed = precision_recall([one], [Detections.empty()])
    write_curves(tmp_path / "curves.png", {ALL_CLASSES: missed, "mug": missed, "can": nothing})
    assert cv2.imread(str(tmp_path / "curves.png")).shape[0] == 600
    write_confusion(tmp_path / "confusion.png", np.zeros((1, 1), np.int64), [])
    assert cv2.imread(str(tmp_path / "confusion.png")) is not None
