"""Layouts of detector outputs, told from names, shapes and types of the outputs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Head = Literal["yolov5", "yolov8", "yolov10", "yolox", "nms_rows", "nms_outputs", "detr", "detr_boxes", "nanodet"]
Shape = tuple[int | None, ...]
Size = tuple[int, int]

STRIDES = (8, 16, 32)
_GRIDS = (STRIDES, (4, *STRIDES), (*STRIDES, 64))
"""Levels that detectors predict on: the usual ones, those with one for small objects, those with one for large ones."""
_YOLOV5_ANCHORS = 3
_BOX = 4
_FINISHED_COLUMNS = 6
_NMS_COLUMNS = 7


@dataclass(frozen=True)
class Output:
    """One output of a network.

    Attributes:
        name: Its name.
        shape: Its shape; None where a dimension is free.
        is_integer: Whether it holds integers.
    """

    name: str
    shape: Shape
    is_integer: bool = False

    def __str__(self) -> str:
        return str(["free" if n is None else n for n in self.shape]).replace("'", "")


@dataclass(frozen=True)
class Layout:
    """What the outputs of a detector hold.

    Attributes:
        head: Name of the layout.
        order: Indices of the outputs in the order in which the layout's decoder takes them.
        class_count: Number of classes there is room for; None where the outputs do not tell.
        evidence: What it was recognised from, for people.
    """

    head: Head
    order: tuple[int, ...]
    class_count: int | None
    evidence: str


def recognise_layout(outputs: Sequence[Output], size_wh: Size) -> Layout | None:
    """The layout of a detector's outputs.

    - One output: see `_single`.
    - Four of suppressed boxes: number, boxes, scores and classes, as TensorRT's EfficientNMS plug-in gives them.
    - Three: labels, boxes and scores, as RT-DETR and D-FINE export them with their post-processing.
    - Two: raw class logits and normalised boxes of the DETR family.
    - Six: class scores and distance distributions of NanoDet at strides 8, 16 and 32.

    Args:
        outputs: The network's outputs.
        size_wh: Width and height of the network's input in pixels.

    Returns:
        The layout; None if the outputs fit none.
    """
    by_count = {1: _single, 2: _detr, 3: _detr_boxes, 4: _nms_outputs, 2 * len(STRIDES): _nanodet}
    recognise = by_count.get(len(outputs))
    return recognise(outputs, size_wh) if recognise else None


def layout_as_told(head: Head, outputs: Sequence[Output]) -> Layout | None:
    """The layout that a model card names, for outputs that are recognised as another one or as none.

    Args:
        head: What the card says.
        outputs: The network's outputs.

    Returns:
        The layout; None if the outputs cannot be that.
    """
    if len(outputs) != 1 or len(outputs[0].shape) != 3:
        return None
    _, rows, columns = outputs[0].shape
    if head == "yolov10":
        return Layout(head, (0,), None, "the card") if columns == _FINISHED_COLUMNS else None
    if head not in ("yolov5", "yolov8"):
        return None
    width, beside_classes = (columns, _BOX + 1) if head == "yolov5" else (rows, _BOX)
    return Layout(head, (0,), None if width is None else width - beside_classes, "the card")


def _single(outputs: Sequence[Output], size_wh: Size) -> Layout | None:
    """A network over strides 8, 16 and 32 has a known number of grid cells.

    So `[1, cells, 5 + C]` is YOLOX's raw grid, `[1, 3 · cells, 5 + C]` YOLOv5 with its three anchors a cell,
    `[1, 4 + C, cells]` the anchor-free YOLOv8 layout, and `[1, N, 6]` with any other N a list of finished boxes.
    `[N, 7]` is the list that YOLOv7 exports with suppression inside.
    """
    shape = outputs[0].shape
    if len(shape) == 2 and shape[1] == _NMS_COLUMNS:
        return Layout("nms_rows", (0,), None, f"output {outputs[0]}: rows of image, box, class and score")
    if len(shape) != 3:
        return None
    if (grid := _single_grid(outputs[0], size_wh)) is not None:
        return grid
    if shape[2] == _FINISHED_COLUMNS:
        return Layout("yolov10", (0,), None, f"output {outputs[0]}: rows of box, score and class")
    return None


def _single_grid(output: Output, size_wh: Size) -> Layout | None:
    """Layouts whose size follows from the number of grid cells."""
    _, rows, columns = output.shape
    for strides in _GRIDS:
        cells = sum(_cells(size_wh, strides))
        levels = f"{', '.join(map(str, strides[:-1]))} and {strides[-1]}"
        grid = f"output {output}, and an input of {size_wh[0]}x{size_wh[1]} has {cells} cells at strides {levels}"
        if columns == cells and rows is not None and rows > _BOX:
            return Layout("yolov8", (0,), rows - _BOX, f"{grid}: a column each, boxes and class scores")
        if columns is None or columns <= _BOX + 1:
            continue
        if rows == _YOLOV5_ANCHORS * cells:
            return Layout("yolov5", (0,), columns - _BOX - 1, f"{grid}: three rows each, with an objectness")
        if rows == cells and strides == STRIDES:
            return Layout("yolox", (0,), columns - _BOX - 1, f"{grid}: a row each, with an objectness")
    return None


def _detr(outputs: Sequence[Output], _size_wh: Size) -> Layout | None:
    if any(len(output.shape) != 3 for output in outputs) or outputs[0].shape[1] != outputs[1].shape[1]:
        return None
    boxes = [i for i, output in enumerate(outputs) if output.shape[2] == _BOX]
    if len(boxes) == 2:
        boxes = [i for i in boxes if "box" in outputs[i].name.lower()]
    if len(boxes) != 1:
        return None
    logits = outputs[1 - boxes[0]]
    evidence = f"outputs {logits.name} {logits} and {outputs[boxes[0]].name} {outputs[boxes[0]]}: logits and boxes"
    return Layout("detr", (1 - boxes[0], boxes[0]), logits.shape[2], evidence)


def _detr_boxes(outputs: Sequence[Output], _size_wh: Size) -> Layout | None:
    boxes = _boxes_of(outputs)
    vectors = [i for i, output in enumerate(outputs) if len(output.shape) == 2]
    if boxes is None or len(vectors) != 2:
        return None
    split = _classes_and_scores(outputs, vectors)
    if split is None:
        return None
    evidence = ", ".join(f"{outputs[i].name} {outputs[i]}" for i in (split[0], boxes, split[1]))
    return Layout("detr_boxes", (split[0], boxes, split[1]), None, f"outputs {evidence}: labels, boxes, scores")


def _nms_outputs(outputs: Sequence[Output], _size_wh: Size) -> Layout | None:
    boxes = _boxes_of(outputs)
    counts = [i for i, output in enumerate(outputs) if output.shape in ((1, 1), (1,), (None, 1)) and output.is_integer]
    if boxes is None or len(counts) != 1:
        return None
    split = _classes_and_scores(outputs, [i for i in range(len(outputs)) if i not in (boxes, counts[0])])
    if split is None:
        return None
    order = (counts[0], boxes, split[1], split[0])
    evidence = ", ".join(f"{outputs[i].name} {outputs[i]}" for i in order)
    return Layout("nms_outputs", order, None, f"outputs {evidence}: number, boxes, scores, classes")


def _nanodet(outputs: Sequence[Output], size_wh: Size) -> Layout | None:
    cells = _cells(size_wh, STRIDES)
    levels = [[i for i, output in enumerate(outputs) if output.shape[1:2] == (count,)] for count in cells]
    if len(set(cells)) < len(cells) or any(len(level) != 2 for level in levels):
        return None
    # Where both could be either, the scores come first, as in NanoDet's own exports.
    scores, distances = zip(*levels, strict=True)
    widths = [{outputs[i].shape[-1] for i in group} for group in (scores, distances)]
    if any(len(group) != 1 or None in group for group in widths):
        return None
    count, bins = (int(next(iter(group)) or 0) for group in widths)
    if bins % _BOX or bins < 2 * _BOX:
        return None
    evidence = f"outputs of {', '.join(map(str, cells))} cells with {count} class scores and {bins} distance bins each"
    return Layout("nanodet", (*scores, *distances), count, evidence)


def _boxes_of(outputs: Sequence[Output]) -> int | None:
    boxes = [i for i, output in enumerate(outputs) if len(output.shape) == 3 and output.shape[2] == _BOX]
    return boxes[0] if len(boxes) == 1 else None


def _classes_and_scores(outputs: Sequence[Output], vectors: Sequence[int]) -> tuple[int, int] | None:
    """Which of two vectors holds class numbers and which scores: told by type, or else by name."""
    if any(len(outputs[i].shape) != 2 for i in vectors):
        return None
    classes = [i for i in vectors if outputs[i].is_integer]
    if len(classes) != 1:
        classes = [i for i in vectors if any(word in outputs[i].name.lower() for word in ("class", "label"))]
    if len(classes) != 1:
        return None
    return classes[0], next(i for i in vectors if i != classes[0])


def _cells(size_wh: Size, strides: Sequence[int]) -> tuple[int, ...]:
    """Grid cells at each stride."""
    return tuple((size_wh[0] // stride) * (size_wh[1] // stride) for stride in strides)
