"""Captions from what is known about an image: `two red balls and a mug on wood`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from robot_vision.generation.prompt import words_of
from robot_vision.types import Int64Array, UInt8Array

COLOURS = (
    "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "grey", "white",
)  # fmt: skip
"""Basic colour terms, and teal between green and blue."""
NUMERALS = ("a", "two", "three", "four", "five", "six", "many")
_GLUE = ("and", "on")
_LEAST_SHARE = 0.55
_HUE_ENDS_DEG = (12, 38, 66, 155, 195, 255, 290, 345, 361)
_HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "red")


@dataclass(frozen=True)
class Subject:
    """An object to be named in a caption.

    Attributes:
        class_name: Its class.
        colour: One of `COLOURS`; empty if it has no one colour.
    """

    class_name: str
    colour: str = ""


def caption_words(images: Iterable[tuple[Sequence[Subject], str]]) -> tuple[str, ...]:
    """Every word that captions of these images may hold, and no other, in a fixed order and once each.

    Args:
        images: Objects and place of each.
    """
    most, colours, names, places = 1, set(), set(), set()
    for subjects, place in images:
        most = max([most, *Counter(one.class_name for one in subjects).values()])
        colours |= {one.colour for one in subjects}
        names |= {one.class_name for one in subjects}
        places |= {place}
    named = [word for name in (*sorted(names), *sorted(places)) for word in words_of(name)]
    spoken = [colour for colour in COLOURS if colour in colours]
    return tuple(dict.fromkeys([*_GLUE, *NUMERALS[:most], *spoken, *named]))


def caption(subjects: Sequence[Subject], place: str, rng: np.random.Generator, keep: float = 1.0) -> str:
    """What an image shows, in words.

    Args:
        subjects: Its objects; equal ones are counted together. Of a class whose objects are not all named by the same
            colour, each colour is named apart.
        place: Where they are; empty if unknown.
        rng: Decides the order, and what is left out.
        keep: Chance that colours are named, and that the place is; a model that has seen both learns either.

    Returns:
        Words in lower case; empty where there is nothing to say.
    """
    with_colour = rng.random() < keep
    counts = Counter((one.class_name, one.colour if with_colour else "") for one in subjects)
    groups = [_group(*kind, count) for kind, count in counts.items()]
    order = rng.permutation(len(groups))
    text = " and ".join(groups[i] for i in order)
    return f"{text} on {place}".strip() if place and rng.random() < keep else text


def _group(class_name: str, colour: str, count: int) -> str:
    named = f"{colour} {class_name}".strip()
    if count == 1:
        return f"{'an' if named[:1] in 'aeiou' else 'a'} {named}"
    return f"{NUMERALS[min(count, len(NUMERALS)) - 1]} {named}{'es' if named.endswith(('x', 's', 'ch')) else 's'}"


def colour_word(pixels_rgb: UInt8Array) -> str:
    """The colour that most of an object's pixels have.

    Args:
        pixels_rgb: (N, 3) uint8.

    Returns:
        One of `COLOURS`, or nothing where none holds more than half of the pixels by a margin.
    """
    if not len(pixels_rgb):
        return ""
    counts = np.bincount(_colour_numbers(pixels_rgb), minlength=len(COLOURS))
    best = int(counts.argmax())
    return COLOURS[best] if counts[best] >= _LEAST_SHARE * len(pixels_rgb) else ""


def _colour_numbers(pixels_rgb: UInt8Array) -> Int64Array:
    hsv = cv2.cvtColor(pixels_rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[0]
    hue, saturation, value = hsv.T
    numbers = {name: number for number, name in enumerate(COLOURS)}
    found = np.array([numbers[name] for name in _HUES])[np.searchsorted(_HUE_ENDS_DEG, hue, side="right")]
    warm = (hue < _HUE_ENDS_DEG[1]) | (hue >= _HUE_ENDS_DEG[7])
    found[warm & (hue >= 8) & (value < 0.55)] = numbers["brown"]
    found[(warm | (hue >= _HUE_ENDS_DEG[6])) & (saturation < 0.45) & (value > 0.75)] = numbers["pink"]
    pale = saturation < np.where(value < 0.35, 0.4, 0.22)
    found[pale] = np.where(value < 0.25, numbers["black"], np.where(value > 0.72, numbers["white"], numbers["grey"]))[
        pale
    ]
    found[value < 0.12] = numbers["black"]
    return np.asarray(found, np.int64)
