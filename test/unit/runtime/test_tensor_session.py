"""Sessions of networks with several inputs: their rows are free, and what does not fit the card is an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_vision.errors import ModelError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import InputSpec, ModelCard
from robot_vision.runtime.tensor_session import TensorSession, TensorSpec

onnx = pytest.importorskip("onnx", reason="needs onnx: run the tests with `make test`")

CPU = SessionParams(provider="cpu")
INPUTS = {"x": TensorSpec((2, 3)), "number": TensorSpec((), np.int64)}
SHAPES: dict[str, list[Any]] = {"x": ["N", 2, 3], "number": ["N"], "y": ["N", 2, 3]}


def card(path: Path) -> ModelCard:
    return ModelCard("tiny", "diffusion", path, "0" * 64, InputSpec("x", (3, 2), "RGB", "stretch", 0, 1.0))


def write_sum(path: Path, shapes: Mapping[str, list[Any]] = SHAPES, number: str = "INT64", y: str = "y") -> ModelCard:
    """A network that adds a row's number to all of its values: y = x + number, then the absolute value's root."""
    make, proto = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Cast", ["number"], ["real"], to=proto.FLOAT),
        make.make_node("Unsqueeze", ["real", "axes"], ["column"]),
        make.make_node("Add", ["x", "column"], ["sum"]),
        make.make_node("Sqrt", ["sum"], [y]),
    ]
    inputs = [
        make.make_tensor_value_info("x", proto.FLOAT, shapes["x"]),
        make.make_tensor_value_info("number", getattr(proto, number), shapes["number"]),
    ]
    output = make.make_tensor_value_info(y, proto.FLOAT, shapes["y"])
    axes = onnx.numpy_helper.from_array(np.array([1, 2]), "axes")
    graph = make.make_graph(nodes, "sum", inputs, [output], [axes])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), path)
    return card(path)


def open_sum(network: ModelCard, inputs: Mapping[str, TensorSpec] = INPUTS) -> TensorSession:
    return TensorSession(network, CPU, inputs, ("y", TensorSpec((2, 3))))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_any_number_of_rows_runs_at_once(tmp_path, rows):
    session = open_sum(write_sum(tmp_path / "a.onnx"))
    x = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
    number = np.arange(rows)
    found = session.run({"x": x, "number": number})
    assert found.dtype == np.float32
    assert found**2 == pytest.approx(x + number[:, None, None], rel=1e-5)
    assert (session.provider, session.device) == ("cpu", "cpu")


def test_values_that_are_not_finite_are_an_error(tmp_path):
    session = open_sum(write_sum(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"a\.onnx: expected finite values of shape \(1, 2, 3\).*not finite"):
        session.run({"x": np.full((1, 2, 3), -1, np.float32), "number": np.zeros(1, np.int64)})


def test_a_run_that_fails_names_file_and_shapes(tmp_path):
    session = open_sum(write_sum(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"a\.onnx: the network loads but fails when it runs on x \(1, 2, 4\)"):
        session.run({"x": np.zeros((1, 2, 4), np.float32), "number": np.zeros(1, np.int64)})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": [1, 2, 3]}, r"input x: expected float32 of shape \('free', 2, 3\), the network has .*\(1, 2, 3\)"),
        ({"x": ["N", 2, 4], "y": ["N", 2, 4]}, r"input x: expected float32 of shape \('free', 2, 3\)"),
        ({"x": ["N", 3]}, r"input x: expected float32 of shape \('free', 2, 3\)"),
        ({"number": [1]}, r"input number: expected int64 of shape \('free',\), the network has .*\(1,\)"),
    ],
)
def test_tensors_of_other_shapes_are_an_error(tmp_path, shapes, message):
    with pytest.raises(ModelError, match=message):
        open_sum(write_sum(tmp_path / "a.onnx", {**SHAPES, **shapes}))


def test_a_tensor_of_another_type_is_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"input number: expected int64 .*, the network has tensor\(int32\)"):
        open_sum(write_sum(tmp_path / "a.onnx", number="INT32"))


def test_tensors_of_other_names_are_an_error_that_lists_what_there_is(tmp_path):
    with pytest.raises(ModelError, match="expected the output y, the network has z"):
        open_sum(write_sum(tmp_path / "a.onnx", y="z"))
    with pytest.raises(ModelError, match="expected the input x, the network has x, number"):
        open_sum(write_sum(tmp_path / "b.onnx"), {"x": INPUTS["x"]})


def test_a_file_that_is_no_network_is_an_error(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"a\.onnx: not a network that ONNX Runtime"):
        open_sum(card(tmp_path / "a.onnx"))
