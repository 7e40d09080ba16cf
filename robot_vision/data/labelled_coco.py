"""COCO object detection annotations (https://cocodataset.org/#format-data) as a labelled set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robot_vision.data.image_file import read_rgb
from robot_vision.data.labelled import ImageLabels, LabelledImage, LabelledSet, drop_empty, labels_of
from robot_vision.errors import BagError

COCO_FILES = ("annotations.json", "_annotations.coco.json")
"""What the annotation file of a folder is called; the second name is that of Roboflow's exports."""


def open_coco(file: Path) -> LabelledSet:
    """Read annotations and find their images.

    Images lie at their `file_name` in the file's folder, in `images/`, or in a folder of the file name's last word as
    in COCO's own `annotations/instances_train2017.json` and `train2017/`, all of them also one folder further up;
    where a `file_name` with folders is not there, its last part is looked for in the same places.

    Args:
        file: The JSON file.

    Returns:
        The set; categories are numbered in the order of their ids, also those without objects.

    Raises:
        BagError: If the file is damaged or contradicts itself, or an image is missing.
    """
    content = _content(file)
    ids, class_names = _categories(file, content["categories"])
    pictures = _by_id(file, "image", content["images"])
    rows = _rows_by_image(file, content["annotations"], pictures, ids)
    name = f"COCO data set {file.resolve().parent.name if file.name in COCO_FILES else file.name}"
    found = [labels_of(f"{file}, annotation", rows[image_id]) for image_id in pictures]
    labels, present, notes = drop_empty(name, found)
    roots = _image_roots(file)
    paths = [_image_path(file, roots, picture) for picture in pictures.values()]
    sizes_wh = [(picture.get("width"), picture.get("height")) for picture in pictures.values()]
    titles = tuple(path.name for path in paths)
    return LabelledSet(name, class_names, present, titles, notes, lambda: _images(file, paths, sizes_wh, labels))


def _content(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BagError(f"{file}: cannot be read as COCO annotations: {error}; export it again") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not (isinstance(content, dict) and isinstance(content.get(key), list))]
    if missing:
        raise BagError(f"{file}: lacks the list of {', '.join(missing)}; COCO annotations need {', '.join(keys)}")
    for key in keys:
        for number, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise BagError(f"{file}: entry {number} of {key} is {entry!r}; it must be an object with keys")
    return {key: content[key] for key in keys}


def _by_id(file: Path, kind: str, entries: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        key = _integer(entry, "id", f"{file}: {kind} number {number} of the list")
        if key in found:
            raise BagError(f"{file}: two entries for {kind} {key}; give every {kind} an id of its own")
        found[key] = entry
    return found


def _categories(file: Path, entries: Sequence[dict[str, Any]]) -> tuple[dict[int, int], tuple[str, ...]]:
    categories = _by_id(file, "category", entries)
    order = sorted(categories)
    names = tuple(str(_value(categories[key], "name", f"{file}: category {key}")) for key in order)
    return {key: number for number, key in enumerate(order)}, names


def _rows_by_image(
    file: Path, annotations: Sequence[dict[str, Any]], pictures: Mapping[int, Any], ids: Mapping[int, int]
) -> dict[int, list[tuple[int, list[float], int, bool]]]:
    rows: dict[int, list[tuple[int, list[float], int, bool]]] = {image_id: [] for image_id in pictures}
    for number, entry in enumerate(annotations):
        written = entry.get("id", number)
        where = f"{file}: annotation {written}"
        image_id, category_id = _integer(entry, "image_id", where), _integer(entry, "category_id", where)
        if image_id not in pictures:
            raise BagError(f"{where} is of image {image_id}, which is not listed; list the image or remove it")
        if category_id not in ids:
            raise BagError(f"{where} is of category {category_id}, which is not listed; list the category or remove it")
        # `ignore` marks the difficult objects of data sets that were converted from Pascal VOC.
        ignored = bool(entry.get("iscrowd", 0)) or bool(entry.get("ignore", 0))
        rows[image_id].append((written, _box_xyxy(entry, where), ids[category_id], ignored))
    return rows


def _box_xyxy(entry: dict[str, Any], where: str) -> list[float]:
    bbox = _value(entry, "bbox", where)
    try:
        x, y, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError) as error:
        raise BagError(f"{where}: bbox is {bbox!r}; it must be four numbers x, y, width, height in pixels") from error
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) < 0:
        raise BagError(f"{where}: bbox is {bbox!r}; width and height must not be negative, and all four finite")
    return [x, y, x + width, y + height]


def _value(entry: dict[str, Any], key: str, where: str) -> Any:
    if key not in entry:
        raise BagError(f"{where} lacks {key}; add it")
    return entry[key]


def _integer(entry: dict[str, Any], key: str, where: str) -> int:
    value = _value(entry, key, where)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BagError(f"{where}: {key} is {value!r}; it must be a whole number")
    return value


def _image_roots(file: Path) -> list[Path]:
    folder = file.resolve().parent
    split = file.stem.rpartition("_")[2]
    return [root / inside for root in (folder, folder.parent) for inside in ("", "images", split, f"images/{split}")]


def _image_path(file: Path, roots: Sequence[Path], picture: dict[str, Any]) -> Path:
    written = str(_value(picture, "file_name", f"{file}: image {picture['id']}"))
    relative = Path(written.replace("\\", "/"))
    for candidate in (relative, Path(relative.name)):
        for root in roots:
            if (root / candidate).is_file():
                return root / candidate
    looked = ", ".join(str(root) for root in roots[:2])
    raise BagError(
        f"{file}: image {picture['id']}, {written}: missing; looked in {looked} and around; "
        "put the images there, or remove the entry"
    )


def _images(
    file: Path,
    paths: Sequence[Path],
    sizes_wh: Sequence[tuple[Any, Any]],
    labels: Sequence[ImageLabels],
) -> Iterator[LabelledImage]:
    for path, size_wh, entry in zip(paths, sizes_wh, labels, strict=True):
        rgb = read_rgb(path)
        actual_wh = (rgb.shape[1], rgb.shape[0])
        if None not in size_wh and size_wh != actual_wh:
            raise BagError(
                f"{path}: has {actual_wh[0]} x {actual_wh[1]} pixels, {file} says {size_wh[0]} x {size_wh[1]}; "
                "the boxes do not fit it; give the images that were labelled"
            )
        yield entry.on(rgb)
