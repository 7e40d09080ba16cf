"""Writes the smallest ONNX files that tests need, byte by byte, so that tests do without the onnx package.

Field numbers are those of the ONNX specification's `onnx.proto`, the encoding is Protocol Buffers' wire format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FLOAT, UINT8, INT64, FLOAT16 = 1, 2, 7, 10
Dimensions = Sequence[int | str]


def write_network(
    path: Path,
    input_shape: Dimensions,
    outputs: Mapping[str, np.ndarray | str | None],
    *,
    input_name: str = "images",
    input_type: int = FLOAT,
    metadata: Mapping[str, str] | None = None,
    fails_at_run: bool = False,
    weights: str = "",
) -> Path:
    """A network whose outputs are constants, or (None) copies of its input, or copies of one more input of that name.

    That further input holds whole numbers of shape (1, 2).

    With `weights` the constants lie in a file of that name, which is not written.

    With `fails_at_run` one more node reshapes the input to a size it cannot have; a free dimension in `input_shape`
    keeps that from being noticed earlier.
    """
    nodes, initializers, infos = [], [], []
    for name, value in outputs.items():
        if isinstance(value, str):
            nodes.append(_node("Identity", [value], name))
            infos.append(_value_info(name, INT64, [1, 2]))
            continue
        nodes.append(_node("Identity", [input_name if value is None else f"{name}_value"], name))
        infos.append(
            _value_info(name, input_type if value is None else FLOAT, input_shape if value is None else value.shape)
        )
        if value is not None:
            initializers.append(_tensor(f"{name}_value", np.asarray(value, np.float32), FLOAT, weights))
    if fails_at_run:
        initializers.append(_tensor("wrong_shape", np.array([7], np.int64), INT64))
        nodes.append(_node("Reshape", [input_name, "wrong_shape"], "never"))
        infos.append(_value_info("never", FLOAT, [7]))
    graph = b"".join(
        [*(_message(1, node) for node in nodes), _text(2, "test"), *(_message(5, tensor) for tensor in initializers),
         _message(11, _value_info(input_name, input_type, input_shape)),
         *(_message(11, _value_info(value, INT64, [1, 2])) for value in outputs.values() if isinstance(value, str)),
         *(_message(12, info) for info in infos)]
    )  # fmt: skip
    properties = [_message(14, _text(1, key) + _text(2, value)) for key, value in (metadata or {}).items()]
    opset = _text(1, "") + _integer(2, 13)
    path.write_bytes(b"".join([_integer(1, 8), _message(7, graph), _message(8, opset), *properties]))
    return path


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _tensor(name: str, values: np.ndarray, data_type: int, file: str = "") -> bytes:
    dims = b"".join(_integer(1, n) for n in values.shape)
    if file:
        content = _message(13, _text(1, "location") + _text(2, file)) + _integer(14, 1)
    else:
        content = _message(9, values.tobytes())
    return dims + _integer(2, data_type) + _text(8, name) + content


def _node(operator: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)


def _value_info(name: str, data_type: int, shape: Dimensions) -> bytes:
    dims = b"".join(_message(1, _text(2, n) if isinstance(n, str) else _integer(1, n)) for n in shape)
    return _text(1, name) + _message(2, _message(1, _integer(1, data_type) + _message(2, dims)))
