"""Prompts become numbers in one way, and what a model cannot know is named."""

from __future__ import annotations

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.generation.prompt import Vocabulary

WORDS = Vocabulary(("a", "two", "red", "grey", "ball", "box", "glass"), 5)


def test_words_are_numbered_from_one_and_filled_up() -> None:
    tokens = WORDS.tokens("a red ball")
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [1, 3, 5, 0, 0]


@pytest.mark.parametrize("text", ["Two RED balls!", "2 red ball", "two, red; balls."])
def test_case_plural_digits_and_punctuation_make_no_difference(text: str) -> None:
    assert WORDS.tokens(text).tolist() == WORDS.tokens("two red ball").tolist()


def test_plurals_in_es_and_words_that_end_in_s() -> None:
    assert WORDS.tokens("two boxes").tolist() == WORDS.tokens("two box").tolist()
    assert WORDS.tokens("a glass").tolist() == [1, 7, 0, 0, 0]
    assert WORDS.tokens("one red ball").tolist() == WORDS.tokens("1 red ball").tolist() == [1, 3, 5, 0, 0]
    assert WORDS.tokens("an gray ball").tolist() == WORDS.tokens("a grey ball").tolist()


def test_no_words_ask_for_nothing_in_particular() -> None:
    assert not WORDS.tokens("  ").any()


def test_unknown_words_are_all_named_with_what_is_known() -> None:
    with pytest.raises(InvalidValueError, match=r"prompt: .*not know dragon, purple; it knows a, two, red"):
        WORDS.tokens("a purple dragon")


def test_too_many_words_are_refused_with_the_limit() -> None:
    with pytest.raises(InvalidValueError, match="prompt: at most 5 words, got 6"):
        WORDS.tokens("a a a a a a")


@pytest.mark.parametrize(
    ("words", "most", "problem"),
    [((), 5, "words: expected"), (("a", "a"), 5, "words: expected"), (("a",), 0, "max_words: must be at least 1")],
)
def test_a_vocabulary_that_makes_no_sense_is_refused(words: tuple[str, ...], most: int, problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem):
        Vocabulary(words, most)
