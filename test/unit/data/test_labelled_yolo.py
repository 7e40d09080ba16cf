"""YOLO data sets as they are found: where images and labels lie, what a line means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_files import contents, write_image, write_yolo

from robot_vision.data.labelled_sets import open_labelled
from robot_vision.errors import BagError

LABELS = ["1 0.5 0.5 0.25 0.4\n", None, ""]
EXPECTED = [(50, [[15, 6, 25, 14]], ["dog"], [False]), (51, [], [], []), (52, [], [], [])]


@pytest.mark.parametrize(
    "names",
    ["[cat, dog]", "{0: cat, 1: dog}", "{1: dog, 0: cat}"],
)
@pytest.mark.parametrize("given", [".", "data.yaml"])
def test_boxes_become_pixels_and_images_without_labels_stay(tmp_path: Path, names: str, given: str) -> None:
    """Of 40 x 20 pixels: the middle is 20, 10, a quarter of the width 10, four tenths of the height 8.

    Hidden files are no images.
    """
    write_image(tmp_path / "images" / "._0.png", 99)
    write_yolo(tmp_path, LABELS, f"names: {names}\ntrain: images\n")
    found = open_labelled(tmp_path / given, "train")
    assert (found.class_names, found.present, found.notes) == (("cat", "dog"), {1}, ())
    assert contents(found) == EXPECTED


@pytest.mark.parametrize(
    "yaml_text",
    [
        "path: .\ntrain: images\n",
        "path: inner\ntrain: images\n",
        "path: /moved/elsewhere\ntrain: inner/images\n",
        "train: ../inner/images\n",
        "train: [inner/images]\n",
        "train: inner/list.txt\n",
    ],
)
def test_paths_are_found_however_they_are_meant(tmp_path: Path, yaml_text: str) -> None:
    """Relative to `path`, to the file, with the `../` of Roboflow's exports, as list, and as text file of images."""
    root = tmp_path / "set"
    write_yolo(root / ("." if "path: .\n" in yaml_text else "inner"), LABELS)
    if "list.txt" in yaml_text:
        (root / "inner" / "list.txt").write_text("./images/0.png\n\nimages/1.png\nimages/2.png\n")
    (root / "data.yaml").write_text(f"names: [cat, dog]\n{yaml_text}")
    assert contents(open_labelled(root, "train")) == EXPECTED


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/0.png", "labels/train/0.txt"),
        ("train/images/0.png", "train/labels/0.txt"),
        ("images/images/0.png", "images/labels/0.txt"),
        ("train/0.png", "train/0.txt"),
        ("images/train/0.png", "images/train/0.txt"),
    ],
)
def test_labels_are_parallel_to_images_or_beside_them(tmp_path: Path, image: str, label: str) -> None:
    write_image(tmp_path / image, 50)
    (tmp_path / label).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / label).write_text(LABELS[0] or "")
    (tmp_path / "data.yaml").write_text(f"names: [cat, dog]\ntrain: {Path(image).parent}\n")
    assert contents(open_labelled(tmp_path, "train")) == EXPECTED[:1]


def test_each_part_has_its_own_images(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val")):
        write_image(tmp_path / "images" / part / "0.png", 50 + number)
        (tmp_path / "labels" / part).mkdir(parents=True)
        (tmp_path / "labels" / part / "0.txt").write_text(f"{number} .5 .5 .5 .5")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/val\n")
    assert contents(open_labelled(tmp_path, "train")) == [(50, [[10, 5, 30, 15]], ["cat"], [False])]
    assert contents(open_labelled(tmp_path, "val")) == [(51, [[10, 5, 30, 15]], ["dog"], [False])]


def test_polygons_become_their_bounding_boxes_and_empty_boxes_are_counted(tmp_path: Path) -> None:
    """Blank lines, a byte order mark and class numbers such as `1.0` are harmless."""
    polygon = "1.0 0.1 0.2 0.5 0.1 0.3 0.9"
    write_yolo(tmp_path, [f"\ufeff{polygon}\n\n0 0.5 0.5 0 0.2\n0 0.25 0.5 0.5 1\n"])
    found = open_labelled(tmp_path, "train")
    assert found.notes == ("1 boxes without area left out",)
    assert contents(found) == [(50, [[4, 2, 20, 18], [0, 0, 20, 20]], ["dog", "cat"], [False, False])]


def test_a_box_slightly_outside_is_cut(tmp_path: Path) -> None:
    """Labelling tools round; half a percent of the width is 0.2 pixels."""
    write_yolo(tmp_path, ["0 0.12 0.5 0.25 0.5\n"])
    assert contents(open_labelled(tmp_path, "train"))[0][1] == [[0, 5, 9.8, 15]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 2: has 4 values; expected `class cx cy width height`"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 2: has 6 values; expected"),
        ("0 0.1 0.1 0.2 0.2 0.9 0.9 0.4", "line 2: has 8 values; expected"),
        ("dog 0.5 0.5 0.2 0.2", "line 2: 'dog 0.5 0.5 0.2 0.2' is not all numbers"),
        ("2 0.5 0.5 0.2 0.2", "line 2: class 2 is none of 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", "line 2: class -1 is none of 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.2", "line 2: class 0.5 is none of 0 to 1"),
        ("0 0.5 0.5 -0.2 0.2", "line 2: .* has a negative size"),
        ("0 nan 0.5 0.2 0.2", "line 2: .* is not finite"),
        ("0 20 10 8 6", r"line 2: the box reaches .* = 16, 7, 24, 13, outside \[0, 1\]; .* not pixels"),
        ("0 0.9 0.5 0.3 0.2", r"line 2: the box reaches .* outside \[0, 1\]"),
        ("0 0.1 0.1 0.2 0.2 1.2 0.9", r"line 2: the box reaches .* outside \[0, 1\]"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_yolo(tmp_path, [f"0 0.5 0.5 0.2 0.2\n{line}\n"])
    with pytest.raises(BagError, match=rf"labels/0\.txt, {message}"):
        open_labelled(tmp_path, "train")


@pytest.mark.parametrize(
    ("yaml_text", "message"),
    [
        ("names: [", r"data\.yaml: cannot be read as YAML"),
        ("- names", r"data\.yaml: describes no data set"),
        ("train: images", r"data\.yaml: names is None; write a list of class names"),
        ("names: 3\ntrain: images", r"data\.yaml: names is 3; write a list of class names"),
        ("names: {1: cat, 2: dog}\ntrain: images", r"data\.yaml: names is \{1: 'cat', 2: 'dog'\}; .* from 0, 1"),
        ("names: [on, off]\ntrain: images", r"data\.yaml: names has \[True, False\]; put .* in quotes"),
        ("names: [cat, cat]\ntrain: images", "several classes are called cat"),
        ("names: [cat, dog]\nval: images", r"data\.yaml: names no train; write `train: FOLDER`"),
        ("names: [cat, dog]\ntrain: gone\npath: sub", r"data\.yaml: train is gone, which is not there; .*/sub/gone, "),
        ("names: [cat, dog]\ntrain: labels", "labels: holds no images"),
        ("names: [cat, dog]\ntrain: images\nkpt_shape: [17, 3]", r"data\.yaml: its labels hold keypoints"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, yaml_text: str, message: str) -> None:
    write_yolo(tmp_path, LABELS, yaml_text)
    with pytest.raises(BagError, match=message):
        open_labelled(tmp_path, "train")


def test_lists_and_labels_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_yolo(tmp_path, LABELS, "names: [cat, dog]\ntrain: list.txt\nval: images\n")
    (tmp_path / "list.txt").write_text("images/0.png\nimages/9.png\n")
    with pytest.raises(BagError, match=r"list\.txt, line 2: .*9\.png is missing"):
        open_labelled(tmp_path, "train")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(BagError, match=r"list\.txt: lists no images"):
        open_labelled(tmp_path, "train")
    (tmp_path / "labels" / "0.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BagError, match=r"0\.txt: cannot be read as text"):
        open_labelled(tmp_path, "val")


def test_a_set_without_any_label_is_refused(tmp_path: Path) -> None:
    """The labels were left behind or lie elsewhere: learning that there is nothing would be a waste of hours."""
    write_yolo(tmp_path, [None, None])
    with pytest.raises(BagError, match=r"none of the 2 images of train has labels; looked for .*labels/0\.txt"):
        open_labelled(tmp_path, "train")
    (tmp_path / "labels" / "0.txt").write_text("")
    with pytest.raises(BagError, match="no image has an object that is to be found"):
        open_labelled(tmp_path, "train")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_yolo(tmp_path, LABELS)
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(BagError, match=r"1\.png: missing or not an image"):
        contents(open_labelled(tmp_path, "train"))
