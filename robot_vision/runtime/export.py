"""Bare exports: what an ONNX file without a card says about itself, or the card its user has to write."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import onnxruntime as ort

from robot_vision.errors import ModelError
from robot_vision.runtime.card import InputSpec, ModelCard, file_sha256
from robot_vision.runtime.layouts import Head, Layout, Output, Size, recognise_layout
from robot_vision.runtime.providers import open_network
from robot_vision.runtime.session import SIZE_INPUT

_LOG = logging.getLogger(__name__)

_EXPORT_SCALE = 1 / 255
_NANODET_MEAN = (103.53, 116.28, 123.675)
_NANODET_STD = (57.375, 57.12, 58.395)
_STRETCHED = ("detr", "detr_boxes")

COCO_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


def card_of_export(path: Path) -> ModelCard:
    """The card of an ONNX file that has none beside it.

    Exports of the YOLOv5, v8, v10 and v11 families carry class names and stride in their metadata and all take
    RGB in [0, 1], letterboxed in the centre on grey 114. YOLOX's raw grid is told by its output alone, and its exports
    all take BGR in 0 … 255, letterboxed at the top left; without names in the metadata, 80 classes are taken for
    COCO's, with a warning. Everything else needs a card.

    Args:
        path: The ONNX file.

    Returns:
        A detection card made from the metadata.

    Raises:
        ModelError: If the file cannot be loaded, its task is not detection, it takes no colour image or finds no
            classes, or its metadata does not tell how it wants to be used; the message then holds a card to complete.
    """
    facts = facts_of(path)
    task = facts.metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(f"{path}: its metadata says task {task!r}; only detection exports are supported")
    if hopeless := _hopeless(facts):
        raise ModelError(f"{path}: {hopeless}")
    class_names = facts.class_names or _assumed_names(facts)
    family_known = facts.head == "yolox" or (facts.head is not None and "stride" in facts.metadata)
    if facts.size_wh is None or not family_known or class_names is None:
        raise ModelError(_card_to_write(path, facts))
    if facts.class_names is None:
        _LOG.warning(
            "%s: neither card nor names in its metadata; taken for an export of YOLOX (BGR in 0 to 255, letterboxed at "
            "the top left) with the %d classes of COCO. Write %s if that is wrong",
            path, len(class_names), path.with_suffix(".yaml"),
        )  # fmt: skip
    return ModelCard(
        name=path.stem,
        task="detection",
        onnx_path=path,
        sha256=file_sha256(path),
        input=_usual_input(facts.head, facts.input_name, facts.size_wh),
        head=facts.head,
        class_names=class_names,
        licence=facts.metadata.get("license", "unknown"),
        source=facts.metadata.get("description", "export without a card"),
    )


def _hopeless(facts: Facts) -> str | None:
    """Why no card could make a detector of this network; None if one might."""
    shape = facts.image_shape
    if shape is not None and (len(shape) != 4 or shape[1] not in (3, None)):
        return (
            f"its input {facts.input_name} has shape {list(shape)}, and this package gives a network colour images of "
            "shape [1, 3, height, width]; export it for three channels, in the order batch, channels, height, width"
        )
    shapes = [output.shape for output in facts.outputs]
    if facts.layout is None and len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][1] == 4:
        return f"output {facts.outputs[0]} holds boxes and no class; train or export it with one class at least"
    return None


def _assumed_names(facts: Facts) -> tuple[str, ...] | None:
    is_coco = facts.layout is not None and facts.head == "yolox" and facts.layout.class_count == len(COCO_NAMES)
    return COCO_NAMES if is_coco else None


def _usual_input(head: Head | None, name: str, size_wh: Size) -> InputSpec:
    """What the exports of a family take."""
    if head == "yolox":
        return InputSpec(name, size_wh, "BGR", "letterbox_top_left", 114, 1.0)
    if head == "nanodet":
        return InputSpec(name, size_wh, "BGR", "letterbox", 0, 1.0, _NANODET_MEAN, _NANODET_STD)
    if head in _STRETCHED:
        return InputSpec(name, size_wh, "RGB", "stretch", 0, _EXPORT_SCALE)
    return InputSpec(name, size_wh, "RGB", "letterbox", 114, _EXPORT_SCALE)


@dataclass(frozen=True)
class Facts:
    """What an ONNX file says about itself.

    Attributes:
        metadata: Its own key-value pairs.
        inputs: Name, type and shape of each input, for people.
        input_name: Name of the image; empty if there is not exactly one candidate.
        image_shape: Its shape, None for a free dimension; None if there is not exactly one candidate.
        size_wh: Width and height of the image in pixels; None if the file does not tell.
        outputs: The outputs.
        layout: What they hold; None if they fit no layout.
        class_names: Names in the metadata; None if there are none.
    """

    metadata: Mapping[str, str]
    inputs: tuple[str, ...]
    input_name: str
    image_shape: tuple[int | None, ...] | None
    size_wh: Size | None
    outputs: tuple[Output, ...]
    layout: Layout | None
    class_names: tuple[str, ...] | None

    @property
    def head(self) -> Head | None:
        """Name of the layout."""
        return self.layout.head if self.layout else None


def facts_of(path: Path) -> Facts:
    """What an ONNX file says about itself; the network is loaded, but not run.

    Args:
        path: The ONNX file.

    Returns:
        The facts.

    Raises:
        ModelError: If the file cannot be loaded.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = open_network(path, options, [("CPUExecutionProvider", {})])
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    images = [entry for entry in session.get_inputs() if entry.name != SIZE_INPUT]
    size_wh = _image_size(list(images[0].shape), metadata) if len(images) == 1 else None
    outputs = tuple(Output(out.name, _with_free(out.shape), "int" in out.type) for out in session.get_outputs())
    return Facts(
        metadata=metadata,
        inputs=tuple(f"{entry.name} {entry.type} {entry.shape}" for entry in session.get_inputs()),
        input_name=images[0].name if len(images) == 1 else "",
        image_shape=_with_free(images[0].shape) if len(images) == 1 else None,
        size_wh=size_wh,
        outputs=outputs,
        layout=recognise_layout(outputs, size_wh) if size_wh else None,
        class_names=_class_names(metadata),
    )


def _with_free(shape: list[Any]) -> tuple[int | None, ...]:
    """A shape in which ONNX Runtime's names of free dimensions are None."""
    return tuple(n if isinstance(n, int) else None for n in shape)


def _image_size(shape: list[Any], metadata: Mapping[str, str]) -> Size | None:
    if len(shape) != 4 or shape[1] != 3:
        return None
    size_hw = shape[2:]
    if not all(isinstance(n, int) for n in size_hw):
        size_hw = _literal(metadata.get("imgsz", ""))
    is_size = isinstance(size_hw, list) and len(size_hw) == 2 and all(isinstance(n, int) and n > 0 for n in size_hw)
    return (size_hw[1], size_hw[0]) if is_size else None


def _class_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names by id, written as a list or as a mapping 0, 1, 2, … to name, in Python's or JSON's notation."""
    names = _literal(metadata.get("names", ""))
    if isinstance(names, dict):
        by_id = {int(key): name for key, name in names.items() if str(key).isdecimal()}
        names = [by_id.get(i) for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        return None
    return tuple(names)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _card_to_write(path: Path, facts: Facts) -> str:
    shapes = ", ".join(map(str, facts.outputs))
    if facts.layout is None and (len(facts.outputs) != 1 or len(facts.outputs[0].shape) not in (2, 3)):
        return f"{path}: outputs {shapes} fit none of the supported layouts, {', '.join(get_args(Head))}"
    recognised = f"recognised as layout {facts.head}: {facts.layout.evidence}" if facts.layout else f"output {shapes}"
    size = list(facts.size_wh) if facts.size_wh else "[WIDTH, HEIGHT]"
    own = {"yolox": "YOLOX", "nanodet": "NanoDet"}.get(facts.head or "")
    usual = f"what {own}'s own exports take" if own else "a usual choice, to be checked"
    spec = _usual_input(facts.head, facts.input_name, facts.size_wh or (0, 0))
    count = facts.layout.class_count if facts.layout else None
    if facts.class_names:
        names = json.dumps(facts.class_names)
    elif count == len(COCO_NAMES):
        names = f"{json.dumps(COCO_NAMES)}  # COCO's, because the output has room for {count} classes"
    else:
        names = f"[]  # {count or 'all'} names, in the order of their ids"
    return f"""{path}: no card beside it, and its metadata does not say how it wants to be used ({recognised}). \
Write {path.with_suffix(".yaml")} like this and check every line below `input`:

name: {path.stem}
task: detection
file: {path.name}
sha256: {file_sha256(path)}
licence: unknown
source: unknown
input:  # {usual}
  name: {facts.input_name}
  size_wh: {size}
  colour: {spec.colour}  # RGB | BGR
  resize: {spec.resize}  # letterbox | letterbox_top_left | stretch
  pad_value: {spec.pad_value}
  scale: {spec.scale!r}  # x = (pixel * scale - mean) / std
  mean: {list(spec.mean)}
  std: {list(spec.std)}
output:
  head: {facts.head or "HEAD"}  # {" | ".join(get_args(Head))}
class_names: {names}
"""
