"""What lies at a path is recognised, a pair of sets shares its classes, and what is not recognised is explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_files import contents, write_coco, write_truth_bag, write_yolo

from robot_vision.data.labelled_sets import open_labelled, open_training_pair
from robot_vision.errors import BagError, InvalidValueError

DOG = ("dog", 1.0, (20.0, 10.0, 10.0, 8.0))
DOG_LINE = "1 0.5 0.5 0.25 0.4\n"


def test_each_kind_is_told_from_what_lies_there(tmp_path: Path) -> None:
    paths = {
        "COCO data set labels.json": write_coco(tmp_path / "labels.json", tmp_path / "images"),
        "COCO data set coco": write_coco(tmp_path / "coco" / "annotations.json", tmp_path / "coco").parent,
        "YOLO data set yolo (val)": write_yolo(tmp_path / "yolo", [DOG_LINE]).parent,
        "bag recording": write_truth_bag(tmp_path / "recording", [[DOG]]),
        "bag recording.mcap": tmp_path / "recording" / "recording.mcap",
    }
    assert {name: open_labelled(path, "val").name for name, path in paths.items()} == {name: name for name in paths}


def test_one_data_yaml_is_training_and_held_out_set(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, [DOG_LINE, None])
    training, held_out = open_training_pair(file, None)
    assert (training.name[-7:], held_out.name[-5:]) == ("(train)", "(val)")
    assert contents(training) == contents(held_out)


def test_held_out_classes_take_the_numbers_of_the_training_set(tmp_path: Path) -> None:
    """A bag knows only the dog; of the YOLO set it is class 1, behind the cat. Kinds may be mixed."""
    yolo = write_yolo(tmp_path / "yolo", [DOG_LINE])
    bag = write_truth_bag(tmp_path / "bag", [[DOG, ("dog", 0.0, (4.0, 4.0, 4.0, 4.0))], []])
    _, held_out = open_training_pair(yolo, bag)
    assert (held_out.class_names, held_out.present) == (("cat", "dog"), {1})
    assert [image.truth.class_ids.tolist() for image in held_out.images()] == [[1, 1], []]


def test_held_out_classes_that_were_not_trained_are_named(tmp_path: Path) -> None:
    """Only those with objects: a class of the list that no image shows does no harm."""
    training = write_truth_bag(tmp_path / "training", [[DOG]])
    assert open_training_pair(training, write_coco(tmp_path / "annotations.json", tmp_path))[1].class_names == ("dog",)
    other = write_truth_bag(tmp_path / "other", [[DOG, ("owl", *DOG[1:]), ("cow", *DOG[1:])]])
    with pytest.raises(BagError, match=r"bag other: has objects .* training data lacks: cow, owl; .* has dog"):
        open_training_pair(training, other)


def test_a_set_without_held_out_part_needs_another(tmp_path: Path) -> None:
    bag = write_truth_bag(tmp_path / "bag", [[DOG]])
    with pytest.raises(InvalidValueError, match=r"val: .*bag has no held-out part; give other labelled images"):
        open_training_pair(bag, None)
    yolo = write_yolo(tmp_path / "yolo", [DOG_LINE], "names: [cat, dog]\ntrain: images\n")
    with pytest.raises(BagError, match=r"data\.yaml: names no val"):
        open_training_pair(yolo, None)


def test_what_is_not_recognised_is_explained(tmp_path: Path) -> None:
    """The path, what was looked for, what is there, and what to give."""
    with pytest.raises(BagError, match="nowhere: there is no such file or folder; give a COCO annotation file"):
        open_labelled(tmp_path / "nowhere", "train")
    with pytest.raises(BagError, match=r"looked for annotations\.json, .*data\.yaml, .*\*\.mcap.* and found nothing"):
        open_labelled(tmp_path, "train")
    for number in range(9):
        (tmp_path / f"{number}.xml").touch()
    with pytest.raises(BagError, match=r"found 0\.xml, .*, 7\.xml, …; give a COCO"):
        open_labelled(tmp_path, "train")
    with pytest.raises(BagError, match=r"0\.xml: no labelled images in a file of this kind; give a COCO"):
        open_labelled(tmp_path / "0.xml", "train")
