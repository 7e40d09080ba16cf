"""Networks that take 8-bit pixels: normalisation becomes part of the graph, so that a GPU does it.

A quarter of the bytes go to the device, and the CPU neither splits channels nor multiplies.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from robot_vision.runtime.card import InputSpec, ModelCard

PIXELS = "robot_vision_pixels"
"""Name of the input (B, H, W, 3) uint8 RGB."""
_LARGEST_BYTES = 2**31 - 1
"""What one protobuf message can hold."""


def with_pixel_input(card: ModelCard) -> bytes | None:
    """The card's network with the normalisation of its input in front of it.

    Args:
        card: A network that takes images.

    Returns:
        The ONNX file's content; None if the package `onnx` is not installed, or the network's input is none that the
        card describes, which whoever opens the file itself will say.
    """
    try:
        onnx = importlib.import_module("onnx")
        model = onnx.load(str(card.onnx_path))
    except Exception:  # not installed, or one of the many ways in which a file can be damaged
        return None
    image = _image_input(model.graph, card)
    if image is None or model.ByteSize() > _LARGEST_BYTES:
        return None
    _put_in_front(onnx, model, image, card.input)
    return bytes(model.SerializeToString())


def _image_input(graph: Any, card: ModelCard) -> Any | None:
    """The input that takes the image, if its shape is what the card says."""
    weights = {entry.name for entry in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in weights]
    for entry in inputs:
        # A free dimension has the value 0.
        sides = [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        wanted = card.input_shape
        fits = len(sides) == len(wanted) and all(a in (0, b) for a, b in zip(sides, wanted, strict=True))
        if fits and (entry.name == card.input_name or (not card.input_name and len(inputs) == 1)):
            return entry
    return None


def _put_in_front(onnx: Any, model: Any, image: Any, spec: InputSpec) -> None:
    """Replace the input `image` by pixels, and the nodes that make the one from the other."""
    helper, name, proto = onnx.helper, image.name, onnx.TensorProto
    factors, shifts = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in spec.normalisation)
    # Operation, its second input, its attributes.
    steps: list[tuple[str, Any, dict[str, Any]]] = [
        ("Cast", None, {"to": proto.FLOAT}),
        ("Transpose", None, {"perm": (0, 3, 1, 2)}),
        ("Mul", factors, {}),
    ]
    if spec.colour == "BGR":
        steps.insert(0, ("Gather", np.array([2, 1, 0], np.int64), {"axis": 3}))
    if shifts.any():
        steps.append(("Add", shifts, {}))
    steps.append(("Cast", None, {"to": image.type.tensor_type.elem_type}))
    nodes, value, graph = [], PIXELS, model.graph
    for number, (operation, constant, attributes) in enumerate(steps, start=1):
        inputs = [value]
        if constant is not None:
            inputs.append(f"{PIXELS}_constant_{number}")
            graph.initializer.append(onnx.numpy_helper.from_array(constant, inputs[1]))
        value = name if number == len(steps) else f"{PIXELS}_{number}"
        nodes.append(helper.make_node(operation, inputs, [value], **attributes))
    first = image.type.tensor_type.shape.dim[0]
    width, height = spec.size_wh
    shape = [first.dim_value or first.dim_param or None, height, width, 3]
    graph.input.remove(image)
    graph.input.append(helper.make_tensor_value_info(PIXELS, proto.UINT8, shape))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
