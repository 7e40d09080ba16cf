"""Images with text labels in the YOLO format, described by a YAML file, as a labelled set.

The format: the YAML file holds `names` (a list, or a mapping from number to name), `train` and `val` (a folder of
images, a text file that lists images, or several of these) and optionally `path`, which they are relative to. Labels of
`images/a.jpg` are in `labels/a.txt`, an object a line: class number and the box's centre x, y, width and height as
shares of the image's sides, or class number and the x, y of a polygon's corners. An image without labels has no
objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from robot_vision.data.image_file import IMAGE_SUFFIXES, read_rgb
from robot_vision.data.labelled import ImageLabels, LabelledImage, LabelledSet, Part, drop_empty, labels_of
from robot_vision.errors import BagError

YOLO_FILES = ("data.yaml", "data.yml")
OUTSIDE_TOLERANCE = 0.01
"""How far a box may reach beyond its image, as a share of the side: labelling tools round, and count pixels from 1."""
_EXPECTED = "expected `class cx cy width height`, or a class and at least three corners `x y`"


def open_yolo(file: Path, part: Part) -> LabelledSet:
    """Read the labels of one part and find its images.

    Args:
        file: The YAML file.
        part: Which of its parts.

    Returns:
        The set.

    Raises:
        BagError: If a file is missing or damaged, or does not have that part.
    """
    content = _content(file)
    class_names = _class_names(file, content.get("names"))
    paths = _image_paths(file, content, part)
    name = f"YOLO data set {file.resolve().parent.name} ({part})"
    files = [_label_file(path) for path in paths]
    if not any(label_file.is_file() for label_file in files):
        raise BagError(f"{file}: none of the {len(paths)} images of {part} has labels; looked for {files[0]} and so on")
    labels, present, notes = drop_empty(name, [_labels(label_file, len(class_names)) for label_file in files])
    titles = tuple(path.name for path in paths)
    return LabelledSet(name, class_names, present, titles, notes, lambda: _images(paths, labels))


def _content(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BagError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise BagError(f"{file}: describes no data set; it needs names, train and val")
    if "kpt_shape" in content:
        raise BagError(f"{file}: its labels hold keypoints (kpt_shape); export boxes only")
    return content


def _class_names(file: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise BagError(f"{file}: names is {names!r}; write a list of class names, or a mapping from 0, 1, … to them")
    if any(not isinstance(name, (str, int, float)) or isinstance(name, bool) for name in names):
        raise BagError(f"{file}: names has {names!r}; put names such as on, off, yes and no in quotes")
    return tuple(str(name) for name in names)


def _image_paths(file: Path, content: dict[str, Any], part: Part) -> list[Path]:
    entries = content.get(part)
    if not entries:
        raise BagError(f"{file}: names no {part}; write `{part}: FOLDER`, with the folder of its images")
    found: list[Path] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        place = _place(file, content, part, str(entry))
        found += _listed(place) if place.is_file() else _images_in(place)
    return found


def _place(file: Path, content: dict[str, Any], part: Part, entry: str) -> Path:
    """The folder or list that an entry means; the file's own folder is tried, too, as data sets get moved."""
    folder = file.resolve().parent
    # Roboflow writes `../train/images` for a folder beside the file.
    candidates = [folder / str(content.get("path") or "") / entry, folder / entry, folder / entry.removeprefix("../")]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    looked = ", ".join(str(candidate) for candidate in dict.fromkeys(candidates))
    raise BagError(f"{file}: {part} is {entry}, which is not there; looked for {looked}; correct path or {part}")


def _images_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    # Archives made on a Mac hold `._a.jpg`, which is no image, beside `a.jpg`.
    paths = [path for path in found if not path.name.startswith(".")]
    if not paths:
        raise BagError(f"{folder}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def _listed(file: Path) -> list[Path]:
    """Images that a text file lists, relative to its folder."""
    paths = []
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            paths.append(file.parent / line.strip())
            if not paths[-1].is_file():
                raise BagError(f"{file}, line {number}: {paths[-1]} is missing; correct the line or remove it")
    if not paths:
        raise BagError(f"{file}: lists no images; write one path a line")
    return paths


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BagError(f"{file}: cannot be read as text: {error}; export it again") from error


def _label_file(image: Path) -> Path:
    """Where the labels of an image are: in `labels` instead of the last `images`, or beside it."""
    parts = list(image.parts)
    beside = image.with_suffix(".txt")
    if "images" not in parts[:-1]:
        return beside
    place = len(parts) - 2 - parts[-2::-1].index("images")
    parallel = Path(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
    return beside if beside.is_file() and not parallel.is_file() else parallel


def _labels(file: Path, classes: int) -> ImageLabels:
    lines = _lines(file) if file.is_file() else []
    rows = [(n, *_object(f"{file}, line {n}", line, classes)) for n, line in enumerate(lines, 1) if line.strip()]
    return labels_of(f"{file}, line", rows)


def _object(where: str, line: str, classes: int) -> tuple[list[float], int, bool]:
    try:
        number, *values = (float(word) for word in line.split())
    except ValueError as error:
        raise BagError(f"{where}: {line.strip()!r} is not all numbers; {_EXPECTED}") from error
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise BagError(f"{where}: has {len(values) + 1} values; {_EXPECTED}")
    if number not in range(classes):
        raise BagError(f"{where}: class {number:g} is none of 0 to {classes - 1}; correct the line or names")
    if not all(map(math.isfinite, values)) or (len(values) == 4 and min(values[2:]) < 0):
        raise BagError(f"{where}: {line.strip()!r} has a negative size or a value that is not finite; correct the line")
    box_xyxy = _box_xyxy(values)
    if min(box_xyxy) < -OUTSIDE_TOLERANCE or max(box_xyxy) > 1 + OUTSIDE_TOLERANCE:
        corners = ", ".join(f"{value:g}" for value in box_xyxy)
        raise BagError(
            f"{where}: the box reaches from x, y to x, y = {corners}, outside [0, 1]; values are shares of the image's "
            "width and height, not pixels"
        )
    return box_xyxy, int(number), False


def _box_xyxy(values: Sequence[float]) -> list[float]:
    if len(values) == 4:
        cx, cy, width, height = values
        return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2]
    xs, ys = values[::2], values[1::2]
    return [min(xs), min(ys), max(xs), max(ys)]


def _images(paths: Sequence[Path], labels: Sequence[ImageLabels]) -> Iterator[LabelledImage]:
    for path, entry in zip(paths, labels, strict=True):
        yield entry.on(read_rgb(path), shares=True)
