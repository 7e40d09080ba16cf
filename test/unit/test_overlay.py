"""Overlays show boxes where the objects are and leave the input alone."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.overlay import colour_of, draw
from robot_vision.types import Detections, Tracks


def detections(*boxes, class_id: int = 0) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 0.87, np.float32), np.full(count, class_id, np.int64)
    )


def tracks(ids) -> Tracks:
    count = len(ids)
    zeros = np.zeros(count, np.float32)
    boxes = np.tile(np.array([[40, 60, 90, 100]], np.float32), (count, 1))
    return Tracks(
        np.array(ids, np.int64), boxes, zeros + 0.5, np.zeros(count, np.int64), np.ones(count, np.int64),
        np.zeros((count, 2), np.float32), zeros, zeros, np.zeros((count, 4, 4), np.float32),
    )  # fmt: skip


def test_box_outline_has_the_colour_and_its_inside_stays() -> None:
    image = np.full((240, 320, 3), 30, np.uint8)
    image.flags.writeable = False
    drawn = draw(image, detections((40, 60, 90, 100)), ["mug"])
    colour = colour_of(0)
    for y, x in ((60, 70), (99, 70), (80, 40), (80, 89)):
        assert tuple(drawn[y, x]) == colour
    assert (drawn[62:98, 42:88] == 30).all()
    assert (drawn[105:] == 30).all()
    assert (image == 30).all()
    assert drawn.flags.writeable


def test_label_lies_above_the_box_or_inside_it_at_the_image_border() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    above = draw(image, detections((40, 60, 90, 100)), ["mug"])
    assert above[45:59].any()
    at_top = draw(image, detections((40, 0, 90, 100)), ["mug"])
    assert (at_top[2:12, 42:80] == colour_of(0)).all(axis=-1).any()


def test_track_colour_follows_the_id_and_ids_differ() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    seen = {tuple(draw(image, tracks([number]), ["mug"])[99, 70]) for number in range(1, 8)}
    assert len(seen) == 7
    np.testing.assert_array_equal(draw(image, tracks([5]), ["mug"]), draw(image, tracks([5]), ["mug"]))


def test_neighbouring_colours_are_far_apart_and_readable_under_black_text() -> None:
    colours = np.array([colour_of(number) for number in range(12)], float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 1e9 * np.eye(12)
    assert distance.min() > 40
    # Relative luminance by ITU-R BT.709 weights; black text needs a light ground.
    assert (colours @ [0.2126, 0.7152, 0.0722]).min() > 70


@pytest.mark.parametrize(
    "box",
    [(-1e9, -50, 1e9, 50), (300, 200, 900, 900), (0, 0, 0, 0), (50, 50, 20, 20), (np.nan, 0, 5, 5), (np.inf,) * 4],
)
def test_boxes_beyond_the_border_or_without_area_do_no_harm(box) -> None:
    assert draw(np.zeros((240, 320, 3), np.uint8), detections(box), ["mug"]).shape == (240, 320, 3)


def test_nothing_to_draw_gives_a_copy_and_missing_names_give_numbers() -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 5, 3), np.uint8)
    drawn = draw(image, Detections.empty(), [])
    np.testing.assert_array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)
    padded_rows = np.ndarray((4, 4, 3), np.uint8, bytes(4 * 20), 0, (20, 3, 1))
    assert draw(padded_rows, detections((0, 0, 3, 3), class_id=7), []).shape == (4, 4, 3)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"\(4, 4\)"):
        draw(np.zeros((4, 4), np.uint8), Detections.empty(), [])
