"""Which kind of labelled data set lies at a path, and the pair of sets that a training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from robot_vision.data.labelled import LabelledSet, Part
from robot_vision.data.labelled_bag import open_labelled_bag
from robot_vision.data.labelled_coco import COCO_FILES, open_coco
from robot_vision.data.labelled_yolo import YOLO_FILES, open_yolo
from robot_vision.errors import BagError, InvalidValueError

Kind = Literal["COCO", "YOLO", "bag"]

_BAG_DESCRIPTION = "metadata.yaml"
_BAG_SUFFIXES = (".mcap", ".db3", ".bag")
_SHOWN_ENTRIES = 8
_GIVE = (
    f"give a COCO annotation file (.json) or a folder with {' or '.join(COCO_FILES)}, a YOLO {YOLO_FILES[0]} or its "
    f"folder, or a bag with ground truth (a folder, or a {', '.join(_BAG_SUFFIXES)} file)"
)


def open_labelled(path: Path, part: Part) -> LabelledSet:
    """Open the data set at a path, whatever its kind.

    Args:
        path: COCO folder or annotation file, YOLO folder or YAML file, or bag.
        part: What to take of a YOLO data set.

    Returns:
        The set.

    Raises:
        BagError: If nothing is there, it is of no known kind, damaged or contradicts itself.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
    """
    kind, place = _recognised(path)
    if kind == "COCO":
        return open_coco(place)
    return open_yolo(place, part) if kind == "YOLO" else open_labelled_bag(place)


def open_training_pair(data: Path, val: Path | None) -> tuple[LabelledSet, LabelledSet]:
    """Open what to learn from and what to measure on.

    Args:
        data: Training set.
        val: Held-out set; None takes the `val` of a YOLO data set.

    Returns:
        Both sets, with the class ids of the first.

    Raises:
        BagError: If a set is missing or damaged, or the held-out one has objects of classes that the other lacks.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        InvalidValueError: If no held-out set is given and `data` has none.
    """
    if val is None and _recognised(data)[0] != "YOLO":
        raise InvalidValueError(
            f"val: {data} has no held-out part; give other labelled images to measure on, of any of the three kinds"
        )
    training = open_labelled(data, "train")
    return training, open_labelled(val or data, "val").renumbered(training.class_names)


def _recognised(path: Path) -> tuple[Kind, Path]:
    """The kind and the file to read, or the folder of a bag."""
    if not path.exists():
        raise BagError(f"{path}: there is no such file or folder; {_GIVE}")
    if not path.is_dir():
        return _kind_of_file(path), path
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (("COCO", COCO_FILES), ("YOLO", YOLO_FILES))
    for kind, names in kinds:
        for name in names:
            if (path / name).is_file():
                return kind, path / name
    entries = sorted(path.iterdir())
    if any(entry.name == _BAG_DESCRIPTION or entry.suffix in _BAG_SUFFIXES[:2] for entry in entries):
        return "bag", path
    looked = ", ".join((*COCO_FILES, *YOLO_FILES, _BAG_DESCRIPTION, *(f"*{suffix}" for suffix in _BAG_SUFFIXES[:2])))
    shown = [entry.name for entry in entries if not entry.name.startswith(".")]
    held = ", ".join(shown[:_SHOWN_ENTRIES]) + (", …" if len(shown) > _SHOWN_ENTRIES else "")
    raise BagError(f"{path}: no labelled images; looked for {looked} and found {held or 'nothing'}; {_GIVE}")


def _kind_of_file(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return "COCO"
    if path.name == _BAG_DESCRIPTION or suffix in _BAG_SUFFIXES:
        return "bag"
    if suffix in (".yaml", ".yml"):
        return "YOLO"
    raise BagError(f"{path}: no labelled images in a file of this kind; {_GIVE}")
