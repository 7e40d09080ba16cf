"""Captioned sets are read as they were written, and told from other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from robot_vision.data.captioned import captioned_images, is_captioned
from robot_vision.errors import BagError
from robot_vision.generation.captions import Subject


def _write(folder: Path, content: Any) -> Path:
    (folder / "images").mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((4, 6, 3), 40 * number, np.uint8))
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def _content() -> dict[str, Any]:
    return {
        "categories": [{"id": 0, "name": "box"}, {"id": 4, "name": "mug"}],
        "images": [{"id": 7, "file_name": "1.png", "place": "wood"}, {"id": 9, "file_name": "0.png", "place": ""}],
        "annotations": [
            {"image_id": 9, "category_id": 4, "colour": "red"},
            {"image_id": 7, "category_id": 0, "colour": ""},
            {"image_id": 9, "category_id": 0, "colour": "blue"},
        ],
    }


def test_objects_and_places_belong_to_their_images(tmp_path: Path) -> None:
    folder = _write(tmp_path, _content())
    assert is_captioned(folder)
    first, second = captioned_images(folder)
    assert (first.subjects, first.place, first.rgb[0, 0, 0]) == ((Subject("box", ""),), "wood", 40)
    assert (second.subjects, second.place, second.rgb[0, 0, 0]) == (
        (Subject("mug", "red"), Subject("box", "blue")), "", 0,
    )  # fmt: skip


def test_ordinary_labels_and_folders_without_are_not_captioned(tmp_path: Path) -> None:
    content = _content()
    del content["images"][0]["place"]
    assert not is_captioned(_write(tmp_path, content))
    assert not is_captioned(tmp_path / "images")


def test_a_record_without_a_colour_and_a_missing_image_are_named(tmp_path: Path) -> None:
    content = _content()
    del content["annotations"][0]["colour"]
    folder = _write(tmp_path, content)
    with pytest.raises(BagError, match=r"annotations\.json: is no file of .*'colour'"):
        list(captioned_images(folder))
    content = _content()
    content["images"][0]["file_name"] = 5
    (folder / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(BagError, match=r"annotations\.json: is no file of .*'int'"):
        list(captioned_images(folder))
    (folder / "annotations.json").write_text(json.dumps(_content()))
    (folder / "images" / "0.png").unlink()
    with pytest.raises(BagError, match=r"0\.png: missing"):
        list(captioned_images(folder))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{")
    with pytest.raises(BagError, match=r"annotations\.json: cannot be read as JSON"):
        is_captioned(tmp_path)
