"""How well generated images show what was asked for, by a detector, and how near they are to real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from robot_vision.errors import InvalidValueError
from robot_vision.evaluation.latent import frechet_distance
from robot_vision.generation.captions import COLOURS, Subject, caption
from robot_vision.types import Detections, Float64Array, UInt8Array

MOST_OBJECTS = 3
LEAST_SCORE = 0.4
"""Smallest score of a detection that counts."""
_PADDING = 114


class Asked(NamedTuple):
    """One prompt and what an image of it must show.

    Attributes:
        prompt: The words.
        class_name: The class that must be there.
        number: How often.
    """

    prompt: str
    class_name: str
    number: int


class Answered(NamedTuple):
    """How often the images of some prompts show what was asked for.

    Attributes:
        images: Number of images.
        found: Share that shows the class.
        counted: Share that shows it as often as asked.
    """

    images: int
    found: float
    counted: float


def prompts_of(
    class_names: Sequence[str], count: int, check: Callable[[str], object] = lambda _prompt: None
) -> list[Asked]:
    """Prompts that go evenly over all classes, colours and numbers from one to three.

    Args:
        class_names: Classes that can be asked for.
        count: How many prompts.
        check: Raises `InvalidValueError` for a prompt whose words a model does not know; such colours and numbers are
            left out.

    Returns:
        The prompts, in a fixed order; any combination comes again after all others.
    """
    colours = [colour for colour in COLOURS if _passes(check, _prompt(class_names[0], colour, 1))] or [""]
    counts = range(1, MOST_OBJECTS + 1)
    numbers = [number for number in counts if _passes(check, _prompt(class_names[0], colours[0], number))] or [1]
    asked = []
    for place in range(count):
        turn, row = divmod(place, len(class_names))
        again, shade = divmod(turn, len(colours))
        objects = numbers[(again + shade + row) % len(numbers)]
        asked.append(Asked(_prompt(class_names[row], colours[shade], objects), class_names[row], objects))
    return asked


def _passes(check: Callable[[str], object], prompt: str) -> bool:
    try:
        check(prompt)
    except InvalidValueError:
        return False
    return True


def _prompt(class_name: str, colour: str, number: int) -> str:
    return caption([Subject(class_name, colour)] * number, "", np.random.default_rng(0))


def on_canvas(rgb: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    """A small image at its own size in the middle of a grey one, so that a detector does not enlarge it.

    Args:
        rgb: (H, W, 3) uint8; returned as it is if it does not fit.
        size_wh: Width and height in pixels.

    Returns:
        (h, w, 3) uint8.
    """
    rows, columns = size_wh[1] - rgb.shape[0], size_wh[0] - rgb.shape[1]
    if min(rows, columns) < 0:
        return rgb
    edges = (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    grey = (_PADDING, _PADDING, _PADDING)
    return np.asarray(cv2.copyMakeBorder(rgb, *edges, cv2.BORDER_CONSTANT, value=grey), np.uint8)


def answers(
    asked: Sequence[Asked], found: Iterator[Detections] | Sequence[Detections], class_names: Sequence[str]
) -> dict[str, Answered]:
    """How often images show what was asked for, by class and in all.

    Args:
        asked: A prompt an image.
        found: What a detector sees in each.
        class_names: The detector's classes by id.

    Returns:
        Figures by class name, and last under `all`.
    """
    rows: dict[str, list[tuple[bool, bool]]] = {}
    for wanted, detections in zip(asked, found, strict=True):
        sure = detections.class_ids[detections.scores >= LEAST_SCORE]
        seen = sum(class_names[number] == wanted.class_name for number in sure)
        for key in (wanted.class_name, "all"):
            rows.setdefault(key, []).append((seen > 0, seen == wanted.number))
    shares = {key: np.mean(entries, axis=0) for key, entries in rows.items()}
    order = sorted(shares, key=lambda key: (key == "all", key))
    return {key: Answered(len(rows[key]), float(shares[key][0]), float(shares[key][1])) for key in order}


class Distances(NamedTuple):
    """Squared Fréchet distances of images to real ones, on features of an encoder.

    Attributes:
        floor: Of other real images.
        by_source: Of each set of images, by its name.
    """

    floor: float
    by_source: dict[str, float]


def distances(
    real: tuple[Sequence[UInt8Array], Sequence[UInt8Array]],
    sources: dict[str, Sequence[UInt8Array]],
    features: Callable[[UInt8Array], Float64Array],
) -> Distances:
    """How near sets of images are to real ones (Heusel et al. 2017, with features of another network).

    Args:
        real: Two sets of real images of different scenes; the first is what all is measured against.
        sources: Sets of images by name.
        features: (K,) features of an image (H, W, 3) uint8.

    Returns:
        The distances.
    """
    reference, other = (np.array([features(image) for image in part]) for part in real)
    found = {name: np.array([features(image) for image in images]) for name, images in sources.items()}
    return Distances(
        frechet_distance(reference, other),
        {name: frechet_distance(reference, values) for name, values in found.items()},
    )
