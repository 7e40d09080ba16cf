"""Captioned images: few objects, all well visible, whose labels, colours and places are true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from robot_vision.generation.captions import COLOURS
from robot_vision.sim.captioned import PLACES, CaptionedConfig
from robot_vision.sim.coco import write_dataset

IMAGES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captioned")
    write_dataset(CaptionedConfig(path, images=IMAGES, seed_base=7))
    return path


@pytest.fixture(scope="module")
def labels(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "annotations.json").read_text())
    return content


def test_images_show_one_to_three_objects_that_are_hardly_hidden(labels: dict[str, Any]) -> None:
    counts = np.bincount([row["image_id"] for row in labels["annotations"]], minlength=IMAGES + 1)[1:]
    assert len(labels["images"]) == IMAGES
    assert set(counts) <= {1, 2, 3}
    assert len(set(counts)) > 1
    assert all(row["occlusion"] <= 0.25 and row["truncation"] == 0 for row in labels["annotations"])


def test_boxes_lie_inside_the_small_image(labels: dict[str, Any]) -> None:
    for row in labels["annotations"]:
        x, y, width, height = row["bbox"]
        assert min(x, y) >= 0
        assert min(width, height) >= 3
        assert max(x + width, y + height) <= 64


def test_place_and_colour_are_words_of_their_lists(labels: dict[str, Any]) -> None:
    assert {image["place"] for image in labels["images"]} <= set(PLACES)
    assert {row["colour"] for row in labels["annotations"]} <= {"", *COLOURS}


def test_copies_of_an_object_have_the_same_colour(labels: dict[str, Any]) -> None:
    """Three copies follow each other by identity, so that two equal objects can be counted as such."""
    colours: dict[tuple[int, int], set[str]] = {}
    for row in labels["annotations"]:
        colours.setdefault((row["category_id"], (row["object_id"] - 1) // 3), set()).add(row["colour"])
    assert len(colours) > 1
    assert all(len(found - {""}) <= 1 for found in colours.values())


def test_the_box_holds_what_differs_from_the_ground(folder: Path, labels: dict[str, Any]) -> None:
    """The middle of a box looks unlike the image's edge for nearly all objects: the labels belong to the pixels."""
    unlike = []
    for image in labels["images"]:
        pixels = cv2.imread(str(folder / "images" / image["file_name"])).astype(float)
        ground = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
        for row in labels["annotations"]:
            if row["image_id"] == image["id"]:
                x, y, width, height = row["bbox"]
                middle = pixels[int(y + height / 2), int(x + width / 2)]
                unlike.append(np.abs(middle - ground).max() > 15)
    assert np.mean(unlike) > 0.8


def test_the_same_seed_gives_the_same_images(folder: Path, tmp_path: Path) -> None:
    write_dataset(CaptionedConfig(tmp_path, images=2, seed_base=7))
    for name in ("7_0.jpg", "7_1.jpg"):
        assert (tmp_path / "images" / name).read_bytes() == (folder / "images" / name).read_bytes()
