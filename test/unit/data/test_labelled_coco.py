"""COCO data sets as they are found: where annotations and images lie, what counts, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from labelled_files import coco_content, contents, write_coco, write_image

from robot_vision.data.labelled_sets import open_labelled
from robot_vision.errors import BagError

EXPECTED = [(50, [[4, 5, 14, 13]], ["dog"], [False]), (60, [], [], [])]


@pytest.mark.parametrize(
    ("file", "images", "given"),
    [
        ("annotations.json", "images", "."),
        ("annotations.json", ".", "."),
        ("annotations.json", "images", "annotations.json"),
        ("_annotations.coco.json", ".", "."),
        ("annotations/instances_train2017.json", "train2017", "annotations/instances_train2017.json"),
        ("annotations/instances_train2017.json", "images/train2017", "annotations/instances_train2017.json"),
        ("annotations/labels.json", "images", "annotations/labels.json"),
    ],
)
def test_every_usual_layout_is_read(tmp_path: Path, file: str, images: str, given: str) -> None:
    """Categories are numbered by id, the unused one keeps its place, and an image without objects stays."""
    write_coco(tmp_path / file, tmp_path / images)
    found = open_labelled(tmp_path / given, "train")
    assert (found.class_names, found.present, found.notes) == (("cat", "dog"), {1}, ())
    assert contents(found) == EXPECTED


@pytest.mark.parametrize("names", [("left/0.png", "right/0.png"), ("left\\0.png", "right/0.png")])
def test_names_with_folders_are_not_flattened(tmp_path: Path, names: tuple[str, str]) -> None:
    """Two cameras that count their images from 0 give two different images, whichever slash was written."""
    file = write_coco(tmp_path / "annotations.json", tmp_path / "images", tuple(n.replace("\\", "/") for n in names))
    content = json.loads(file.read_text())
    for entry, name in zip(content["images"], names, strict=True):
        entry["file_name"] = name
    file.write_text(json.dumps(content))
    assert contents(open_labelled(tmp_path, "train")) == EXPECTED


def test_a_folder_that_was_not_copied_along_does_no_harm(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = "/elsewhere/data/a.png"

    write_coco(tmp_path / "annotations.json", tmp_path / "images", change=change)
    assert contents(open_labelled(tmp_path, "train")) == EXPECTED


def test_crowds_and_difficult_objects_are_ignored_and_empty_boxes_left_out(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        common = {"image_id": 8, "category_id": 2}
        content["annotations"] += [
            {"id": 12, "bbox": [0, 0, 5, 5], "iscrowd": 1, **common},
            {"id": 13, "bbox": [0, 0, 6, 6], "ignore": 1, **common},
            {"id": 14, "bbox": [3, 3, 0, 6], **common},
            {"id": 15, "bbox": [30, 10, 15, 4], **common},
        ]

    write_coco(tmp_path / "annotations.json", tmp_path, change=change)
    found = open_labelled(tmp_path, "train")
    assert found.notes == ("1 boxes without area left out",)
    _, boxes, names, ignored = contents(found)[0]
    assert boxes == [[4, 5, 14, 13], [0, 0, 5, 5], [0, 0, 6, 6], [30, 10, 40, 14]]
    assert (names, ignored) == (["dog", "cat", "cat", "cat"], [False, True, True, False])


def test_real_photographs_with_annotations_of_any_name(shared_data: Path) -> None:
    """Fifty labelled photographs; their 135 boxes are those that the file lists."""
    file = shared_data / "labelled" / "voc50_coco80_ids.json"
    found = open_labelled(file, "train")
    annotations = json.loads(file.read_text())["annotations"]
    boxes = np.concatenate([image.truth.boxes_xyxy for image in found.images()])
    listed = np.array([a["bbox"] for a in sorted(annotations, key=lambda a: (a["image_id"], a["id"]))])
    assert found.count == 50
    np.testing.assert_array_equal(boxes[:, :2], listed[:, :2])
    np.testing.assert_array_equal(boxes[:, 2:], listed[:, :2] + listed[:, 2:])


def _image(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["images"][0].update({key: value})


def _annotation(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["annotations"][0].update({key: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.pop("categories"), r"annotations\.json: lacks the list of categories"),
        (lambda c: c["images"].insert(0, "a.png"), "entry 0 of images is 'a.png'"),
        (lambda c: c["images"][1].pop("id"), "image number 1 of the list lacks id"),
        (lambda c: c["images"][0].pop("file_name"), "image 8 lacks file_name"),
        (lambda c: c["categories"][1].pop("name"), "category 2 lacks name"),
        (lambda c: c["annotations"][0].pop("bbox"), "annotation 11 lacks bbox"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 11 lacks image_id"),
        (lambda c: c["images"][1].update(id=8), "two entries for image 8"),
        (lambda c: c["categories"][1].update(name="dog"), "several classes are called dog"),
        (lambda c: c["annotations"].clear(), "no image has an object that is to be found"),
        (_image("file_name", "gone.png"), r"annotations\.json: image 8, gone\.png: missing; looked in"),
        (_image("width", 80), r"a\.png: has 40 x 20 pixels, .*annotations\.json says 80 x 20"),
        (_annotation("category_id", "5"), "annotation 11: category_id is '5'; it must be a whole number"),
        (_annotation("category_id", 99), "annotation 11 is of category 99, which is not listed"),
        (_annotation("image_id", 99), "annotation 11 is of image 99, which is not listed"),
        (_annotation("bbox", [1, 2, 3]), r"annotation 11: bbox is \[1, 2, 3\]; it must be four numbers"),
        (_annotation("bbox", [1, 2, -3, 4]), "annotation 11: bbox is .* must not be negative"),
        (_annotation("bbox", [1, 2, float("nan"), 4]), "annotation 11: bbox is .* finite"),
        (_annotation("bbox", [50, 2, 3, 4]), r"annotation 11: the box \(50, 2, 53, 6\) lies outside its image of 40 x"),
    ],
)
def test_what_contradicts_itself_is_named(tmp_path: Path, damage: Callable[[Any], Any], message: str) -> None:
    write_coco(tmp_path / "annotations.json", tmp_path, change=damage)
    with pytest.raises(BagError, match=message):
        contents(open_labelled(tmp_path, "train"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_text("{")
    with pytest.raises(BagError, match=r"annotations\.json: cannot be read as COCO annotations"):
        open_labelled(file, "train")
    write_coco(file, tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BagError, match=r"a\.png: missing or not an image"):
        contents(open_labelled(file, "train"))
    file.write_text(json.dumps({**coco_content(), "images": [], "annotations": []}))
    with pytest.raises(BagError, match="no image has an object"):
        open_labelled(file, "train")


def test_colours_are_rgb(tmp_path: Path) -> None:
    write_coco(tmp_path / "annotations.json", tmp_path)
    bgr = cv2.imread(str(write_image(tmp_path / "a.png")))
    bgr[:, :, 2] = 200
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    assert next(open_labelled(tmp_path, "train").images()).rgb[0, 0].tolist() == [200, 0, 0]
