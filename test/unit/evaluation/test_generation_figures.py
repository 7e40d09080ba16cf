"""Figures of image generation: what counts as an answer, and how distances behave."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.evaluation.generation import (
    LEAST_SCORE,
    Answered,
    Asked,
    answers,
    distances,
    on_canvas,
    prompts_of,
)
from robot_vision.evaluation.generation_report import GenerationFigures, write_generation_report
from robot_vision.generation.captions import COLOURS
from robot_vision.types import Detections

CLASSES = ("box", "ball", "can")


def _seen(*class_ids: int, score: float = 0.9) -> Detections:
    boxes = np.array([[0, 0, 9, 9]] * len(class_ids), np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(class_ids), score, np.float32), np.array(class_ids, np.int64))


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 80])
def test_prompts_go_evenly_over_classes_colours_and_numbers(classes: int) -> None:
    """Each with each, once in as many prompts as there are; colours are read from the words."""
    names = [f"thing{number}x" for number in range(classes)]
    asked = prompts_of(names, classes * 12 * 3)
    colours = [next(colour for colour in COLOURS if colour in one.prompt.split()) for one in asked]
    combinations = Counter((one.class_name, one.number, colour) for one, colour in zip(asked, colours, strict=True))
    assert combinations == Counter(product(names, (1, 2, 3), COLOURS))


def test_the_first_prompts_have_all_numbers_too() -> None:
    asked = prompts_of(CLASSES, 9)
    assert len({(one.class_name, one.number) for one in asked}) == 9


def test_colours_and_numbers_that_a_model_does_not_know_are_not_asked_for() -> None:
    known = {"a", "an", "two", "red", "green", "blue", *CLASSES, *(f"{name}s" for name in CLASSES), "boxes"}

    def check(prompt: str, words: set[str] = known) -> None:
        if not set(prompt.split()) <= words:
            raise InvalidValueError("unknown words")

    asked = prompts_of(CLASSES, 18, check)
    assert all(set(one.prompt.split()) <= known for one in asked)
    assert len({one.prompt for one in asked}) == 18, "three classes, three colours, two numbers, each once"
    assert {one.prompt for one in prompts_of(("ball",), 2, partial(check, words={"a", "ball"}))} == {"a ball"}


def test_finding_and_counting_are_told_apart_by_class() -> None:
    asked = [Asked("", "box", 2), Asked("", "box", 1), Asked("", "ball", 1), Asked("", "ball", 1)]
    found = [_seen(0, 0, 1), _seen(0, 0), _seen(1), _seen(2)]
    assert answers(asked, found, CLASSES) == {
        "box": Answered(2, 1.0, 0.5),
        "ball": Answered(2, 0.5, 0.5),
        "all": Answered(4, 0.75, 0.5),
    }


def test_what_the_detector_is_unsure_of_does_not_count() -> None:
    found = answers([Asked("", "box", 1)], [_seen(0, score=LEAST_SCORE - 0.01)], CLASSES)
    assert found["all"] == Answered(1, 0.0, 0.0)


def test_a_small_image_keeps_its_pixels_in_the_middle() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    canvas = on_canvas(rgb, (20, 16))
    assert canvas.shape == (16, 20, 3)
    np.testing.assert_array_equal(canvas[5:10, 6:14], rgb)
    assert set(np.unique(canvas[:5])) == {114}
    assert on_canvas(rgb, (7, 16)) is rgb


def test_the_nearer_images_have_the_smaller_distance_and_equal_ones_none() -> None:
    rng = np.random.default_rng(0)
    real = [rng.integers(0, 200, (4, 4, 3), np.uint8) for _ in range(60)]
    sources = {"same": real, "brighter": [image + 20 for image in real], "white": [image * 0 + 255 for image in real]}
    found = distances((real, real), sources, lambda rgb: rgb.reshape(-1)[:6].astype(np.float64))
    assert found.floor == pytest.approx(0, abs=1e-6)
    assert found.by_source["same"] == pytest.approx(0, abs=1e-6)
    assert found.by_source["brighter"] == pytest.approx(6 * 20**2)
    assert found.by_source["white"] > found.by_source["brighter"]


def test_the_report_names_every_class_and_set(tmp_path: Path) -> None:
    images = [np.full((8, 8, 3), 50 * i, np.uint8) for i in range(3)]
    asked = prompts_of(CLASSES, 3)
    shares = answers(asked, [_seen(0), _seen(1), _seen()], CLASSES)
    apart = distances((images, images), {"ddim:50": images}, lambda rgb: rgb[0, 0].astype(np.float64))
    figures = GenerationFigures(asked, images, shares, {}, apart, {"ddim:50": 0.25})
    written = write_generation_report(figures, tmp_path / "report", {"model": "m"})
    text = written[0].read_text()
    assert all(word in text for word in (*CLASSES, "all", "ddim:50", "250", "other real images"))
    assert all(path.stat().st_size for path in written)
