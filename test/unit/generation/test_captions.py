"""Captions name what is there, and the colours are those that people would say."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.generation.captions import COLOURS, Subject, caption, caption_words, colour_word
from robot_vision.generation.prompt import Vocabulary

RNG = np.random.default_rng(0)


def _pixels(*colours: tuple[int, int, int], count: int = 100) -> np.ndarray:
    return np.array(colours * count, np.uint8)


def test_equal_objects_are_counted_and_others_are_joined() -> None:
    subjects = [Subject("ball", "red"), Subject("mug"), Subject("ball", "red")]
    texts = {caption(subjects, "wood", np.random.default_rng(seed)) for seed in range(20)}
    assert texts == {"two red balls and a mug on wood", "a mug and two red balls on wood"}


def test_objects_of_one_class_in_two_colours_are_named_apart() -> None:
    text = caption([Subject("ball", "red"), Subject("ball", "blue")], "", RNG)
    assert set(text.split(" and ")) == {"a red ball", "a blue ball"}


def test_without_colours_they_are_counted_together() -> None:
    text = caption([Subject("ball", "red"), Subject("ball", "blue")], "grass", RNG, keep=0.0)
    assert text == "two balls"


@pytest.mark.parametrize(
    ("subjects", "text"),
    [
        ([Subject("box", "orange")], "an orange box"),
        ([Subject("box")] * 3, "three boxes"),
        ([Subject("mug")] * 30, "many mugs"),
        ([], ""),
    ],
)
def test_grammar(subjects: list[Subject], text: str) -> None:
    assert caption(subjects, "", RNG) == text


def test_every_caption_is_made_of_its_vocabulary() -> None:
    rng = np.random.default_rng(1)
    class_names, images = ("box", "traffic light"), []
    for _ in range(200):
        subjects = [Subject(str(rng.choice(class_names)), str(rng.choice(["", *COLOURS]))) for _ in range(8)]
        images.append((subjects[: rng.integers(1, 4)], "wet sand"))
    vocabulary = Vocabulary(caption_words(images), 30)
    used = set()
    for subjects, place in images * 3:
        used |= set(vocabulary.tokens(caption(subjects, place, rng, keep=0.9)).tolist())
    assert used - {0} == set(range(1, len(vocabulary.words) + 1)), "no word that captions never hold"
    assert {"three", "traffic", "wet"} <= set(vocabulary.words)
    assert "four" not in vocabulary.words


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        ((200, 30, 35), "red"), ((240, 120, 20), "orange"), ((245, 200, 10), "yellow"), ((45, 150, 60), "green"),
        ((25, 185, 185), "teal"), ((35, 90, 190), "blue"), ((90, 40, 150), "purple"), ((245, 150, 190), "pink"),
        ((110, 65, 35), "brown"), ((15, 15, 18), "black"), ((128, 128, 130), "grey"), ((240, 240, 235), "white"),
    ],
)  # fmt: skip
def test_colours_are_those_that_people_would_say(rgb: tuple[int, int, int], word: str) -> None:
    assert colour_word(_pixels(rgb)) == word


def test_what_has_no_one_colour_gets_no_word() -> None:
    assert colour_word(_pixels((200, 30, 35), (35, 90, 190))) == ""
    assert colour_word(np.zeros((0, 3), np.uint8)) == ""


def test_a_shadow_does_not_change_the_word() -> None:
    lit = np.array([(220, 40, 40)] * 70 + [(110, 18, 18)] * 30, np.uint8)
    assert colour_word(lit) == "red"
