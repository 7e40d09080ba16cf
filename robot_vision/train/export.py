"""Networks to ONNX files with model cards, checked against torch."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from torch import Tensor, nn

from robot_vision.errors import ModelError
from robot_vision.runtime.card import file_sha256
from robot_vision.types import Float32Array

OPSET = 17
LICENCE = "Apache-2.0"


def export_onnx(
    network: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    path: Path,
    *,
    input_name: str | Sequence[str],
    output_names: Sequence[str],
    tolerance: float | Float32Array,
    metadata: Mapping[str, str] | None = None,
    free_batch: bool = False,
) -> float:
    """Write a network as one ONNX file and compare it with torch.

    Args:
        network: Network in evaluation mode.
        example: Input of the exported, fixed shape, or several; also the input of the comparison.
        path: File to write.
        input_name: Name of the input, or of each.
        output_names: Names of the outputs.
        tolerance: Largest allowed absolute difference between torch and ONNX Runtime; an array must broadcast with
            every output.
        metadata: Key-value pairs to store in the file.
        free_batch: Let the first dimension of inputs and outputs be any number, as several cameras need it.

    Returns:
        The largest absolute difference seen.

    Raises:
        ModelError: If the difference is above the tolerance.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    network = network.eval()
    examples = example if isinstance(example, tuple) else (example,)
    input_names = [input_name] if isinstance(input_name, str) else list(input_name)
    free = {name: {0: "batch"} for name in (*input_names, *output_names)} if free_batch else None
    torch.onnx.export(
        network, examples, str(path), input_names=input_names, output_names=list(output_names),
        opset_version=OPSET, dynamo=False, dynamic_axes=free,
    )  # fmt: skip
    with torch.no_grad():
        expected = network(*examples)
    model = onnx.load(path)
    if free_batch:
        _fix_all_but_batch(model, expected if isinstance(expected, tuple) else (expected,))
    onnx.helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    actual = session.run(None, {name: values.numpy() for name, values in zip(input_names, examples, strict=True)})
    wanted = expected if isinstance(expected, tuple) else (expected,)
    differences = [np.abs(want.numpy() - have) for want, have in zip(wanted, actual, strict=True)]
    # Written so that NaN fails too.
    if not all(bool(np.all(difference <= tolerance)) for difference in differences):
        largest = ", ".join(f"{name} {d.max():.2e}" for name, d in zip(output_names, differences, strict=True))
        raise ModelError(f"{path}: ONNX Runtime differs from torch by more than allowed: {largest}")
    return max(float(difference.max()) for difference in differences)


def _fix_all_but_batch(model: onnx.ModelProto, outputs: Sequence[Tensor]) -> None:
    """Write the outputs' sizes into the file, which torch forgets as soon as one dimension is free."""
    for info, values in zip(model.graph.output, outputs, strict=True):
        for dimension, size in list(zip(info.type.tensor_type.shape.dim, values.shape, strict=True))[1:]:
            dimension.Clear()
            dimension.dim_value = size


def write_card(onnx_path: Path, card: Mapping[str, Any]) -> Path:
    """Write the model card beside an ONNX file.

    Args:
        onnx_path: The network; its name and SHA-256 go into the card.
        card: Everything else.

    Returns:
        Path of the card.
    """
    identity = {
        "name": onnx_path.stem,
        "task": card["task"],
        "file": onnx_path.name,
        "sha256": file_sha256(onnx_path),
        "licence": LICENCE,
    }
    path = onnx_path.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**identity, **card}, sort_keys=False, width=120, default_flow_style=None))
    return path


def source_commit() -> str:
    """Git commit of the code that trains, with `+changes` for an unclean tree; `unknown` outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+changes" if changes else commit
