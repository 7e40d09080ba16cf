"""Typed reading of a card's YAML: every mistake is an error that names file, key, expected and actual."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from robot_vision.errors import ModelError

_MISSING = object()


class CardFields:
    """One block of a card, read key by key.

    Args:
        values: The block as parsed from YAML.
        path: The card's file, for messages.
        prefix: Dotted path of the block inside the card; empty at the top.

    Raises:
        ModelError: If `values` is no mapping.
    """

    def __init__(self, values: Any, path: Path, prefix: str = "") -> None:
        if not isinstance(values, Mapping):
            raise ModelError(f"{path}: {prefix or 'the card'}: expected keys and values, got {_shown(values)}")
        self._values: Mapping[str, Any] = values
        self._path = path
        self._prefix = prefix

    def only(self, known: Iterable[str]) -> None:
        """Refuse keys that nothing reads: mostly a misspelt one.

        Args:
            known: Keys that may appear.

        Raises:
            ModelError: If there is another key.
        """
        names = list(known)
        for key in self._values:
            if key not in names:
                raise self.error(str(key), f"unknown key; known here are {', '.join(names)}")

    def error(self, key: str, problem: str) -> ModelError:
        """An error about one key, ready to raise.

        Args:
            key: Key inside this block.
            problem: What is wrong with it.

        Returns:
            The error with file and full key.
        """
        return ModelError(f"{self._path}: {self._name(key)}: {problem}")

    def has(self, key: str) -> bool:
        """Whether the block gives a value for the key; a null is none."""
        return self._values.get(key) is not None

    def block(self, key: str) -> CardFields:
        """A required sub-block.

        Raises:
            ModelError: If it is missing or no mapping.
        """
        return CardFields(self._get(key, "a block of keys"), self._path, self._name(key))

    def text(self, key: str, default: str | None = None) -> str:
        """A non-empty text.

        Raises:
            ModelError: If it is missing without a default, empty or no text.
        """
        if default is not None and not self.has(key):
            return default
        value = self._get(key, "text")
        if not isinstance(value, str) or not value:
            raise self.error(key, f"expected text, got {_shown(value)}")
        return value

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """One of the given words.

        Raises:
            ModelError: If it is missing without a default or another word.
        """
        allowed = list(choices)
        if default is not None and not self.has(key):
            return default
        value = self._get(key, " | ".join(allowed))
        if value not in allowed:
            raise self.error(key, f"expected one of {', '.join(allowed)}; got {_shown(value)}")
        return cast(str, value)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number.

        Raises:
            ModelError: If it is missing without a default or no finite number.
        """
        if default is not None and not self.has(key):
            return default
        return self._finite(key, self._get(key, "a number"))

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both inclusive.

        Raises:
            ModelError: If it is missing, no whole number or outside.
        """
        return self._whole(key, self._get(key, f"a whole number within [{low}, {high}]"), low, high)

    def integers(self, key: str, count: int, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers, each from `low` to `high`.

        Raises:
            ModelError: If it is missing, has another length or a wrong entry.
        """
        values = self._list(key, count, "whole numbers")
        return tuple(self._whole(f"{key}[{i}]", value, low, high) for i, value in enumerate(values))

    def numbers(self, key: str, count: int, default: float | None = None) -> tuple[float, ...]:
        """A list of finite numbers; the default, if any, is repeated.

        Raises:
            ModelError: If it is missing without a default, has another length or a wrong entry.
        """
        if default is not None and not self.has(key):
            return (default,) * count
        return tuple(self._finite(f"{key}[{i}]", value) for i, value in enumerate(self._list(key, count, "numbers")))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of at least one different texts.

        Raises:
            ModelError: If it is missing, empty, or an entry is no text or appears twice.
        """
        values = self._list(key, None, "texts")
        for i, value in enumerate(values):
            if not isinstance(value, str) or not value:
                hint = "; put it in quotes" if isinstance(value, (bool, int, float)) else ""
                raise self.error(f"{key}[{i}]", f"expected text, got {_shown(value)}{hint}")
            if value in values[:i]:
                raise self.error(f"{key}[{i}]", f"appears twice: {value}")
        if not values:
            raise self.error(key, "expected at least one entry, got none")
        return tuple(values)

    def _name(self, key: str) -> str:
        return f"{self._prefix}.{key}" if self._prefix else key

    def _get(self, key: str, expected: str) -> Any:
        value = self._values.get(key, _MISSING)
        if value is _MISSING or value is None:
            raise self.error(key, f"missing; expected {expected}")
        return value

    def _list(self, key: str, count: int | None, what: str) -> list[Any]:
        expected = f"a list of {what}" if count is None else f"a list of {count} {what}"
        value = self._get(key, expected)
        if not isinstance(value, list) or (count is not None and len(value) != count):
            raise self.error(key, f"expected {expected}, got {_shown(value)}")
        return value

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            hint = " (YAML needs the point: 1.0e-3)" if isinstance(value, str) and "e" in value else ""
            raise self.error(key, f"expected a finite number, got {_shown(value)}{hint}")
        return float(value)

    def _whole(self, key: str, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"expected a whole number within [{low}, {high}], got {_shown(value)}")
        return value


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
