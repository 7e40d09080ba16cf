"""Image sets of `robot_vision sim captioned`, which say what their images show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from robot_vision.data.image_file import read_rgb
from robot_vision.errors import BagError
from robot_vision.generation.captions import Subject
from robot_vision.types import UInt8Array

_FILE = "annotations.json"


class Described(NamedTuple):
    """One image.

    Attributes:
        rgb: (H, W, 3) uint8.
        subjects: Its objects.
        place: Where they are; empty if unknown.
    """

    rgb: UInt8Array
    subjects: tuple[Subject, ...]
    place: str


def is_captioned(folder: Path) -> bool:
    """Whether a folder is such a set: COCO labels whose images have a place each."""
    if not (folder / _FILE).is_file():
        return False
    content = _content(folder)
    pictures = content.get("images", ()) if isinstance(content, dict) else ()
    return bool(pictures) and all(isinstance(entry, dict) and "place" in entry for entry in pictures)


def captioned_images(folder: Path) -> Iterator[Described]:
    """Images of such a set in the order of its file.

    Args:
        folder: The set.

    Yields:
        One image at a time.

    Raises:
        BagError: If the labels or an image cannot be read.
    """
    content = _content(folder)
    try:
        names = {entry["id"]: entry["name"] for entry in content["categories"]}
        subjects: dict[int, list[Subject]] = {picture["id"]: [] for picture in content["images"]}
        for entry in content["annotations"]:
            subjects[entry["image_id"]].append(Subject(names[entry["category_id"]], entry["colour"]))
        pictures = [
            (folder / "images" / entry["file_name"], entry["id"], entry["place"]) for entry in content["images"]
        ]
    except (KeyError, TypeError) as error:
        raise BagError(f"{folder / _FILE}: is no file of `robot_vision sim captioned`: {error!r}") from error
    for path, number, place in pictures:
        yield Described(read_rgb(path), tuple(subjects[number]), place)


def _content(folder: Path) -> Any:
    try:
        return json.loads((folder / _FILE).read_text())
    except (OSError, ValueError) as error:
        raise BagError(f"{folder / _FILE}: cannot be read as JSON: {error}") from error
