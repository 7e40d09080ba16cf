"""Prompts as networks read them: the words of a small vocabulary, numbered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.types import Int64Array

_WORD = re.compile(r"[^\W_]+")
_SAME = {
    "an": "a", "one": "a", "1": "a", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "gray": "grey",
}  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model was trained with.

    Upper case, punctuation and the plural of a known word make no difference: `Two red balls!` is `two red ball`.

    Attributes:
        words: Different words in lower case; word i has the token i + 1.
        max_words: Most words of a prompt.

    Raises:
        InvalidValueError: If there are no words, one appears twice, or `max_words` is not positive.
    """

    words: tuple[str, ...]
    max_words: int

    def __post_init__(self) -> None:
        if not self.words or len(set(self.words)) < len(self.words):
            raise InvalidValueError(f"words: expected different words, got {list(self.words)}")
        if self.max_words < 1:
            raise InvalidValueError(f"max_words: must be at least 1, got {self.max_words}")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}

    def tokens(self, prompt: str) -> Int64Array:
        """Numbers of a prompt's words.

        Args:
            prompt: Words in any case, singular or plural.

        Returns:
            (max_words,) int64, filled up with 0; zeros alone for an empty prompt, which asks for nothing in particular.

        Raises:
            InvalidValueError: If words are unknown or too many.
        """
        given = words_of(prompt)
        numbers = [self._number(word) for word in given]
        unknown = sorted({word for word, number in zip(given, numbers, strict=True) if not number})
        if unknown:
            raise InvalidValueError(
                f"prompt: this model does not know {', '.join(unknown)}; it knows {', '.join(self.words)}"
            )
        if len(numbers) > self.max_words:
            raise InvalidValueError(f"prompt: at most {self.max_words} words, got {len(numbers)}")
        tokens = np.zeros(self.max_words, np.int64)
        tokens[: len(numbers)] = numbers
        return tokens

    def _number(self, word: str) -> int:
        """Number of a word or of its singular, 0 if it is not known."""
        forms = (word, word.removesuffix("s"), word.removesuffix("es"))
        return next((self._numbers[form] for form in forms if form in self._numbers), 0)


def words_of(text: str) -> list[str]:
    """Words of a text: lower case, without punctuation, numerals as captions have them, which never say `one`."""
    return [_SAME.get(word, word) for word in _WORD.findall(text.lower())]
