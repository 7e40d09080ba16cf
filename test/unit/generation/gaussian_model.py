"""A diffusion model with exact networks: its data are Gaussian, their mean follows from the prompt's first word."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robot_vision.generation.schedule import NoiseSchedule

onnx = pytest.importorskip("onnx", reason="needs onnx: run the tests with `make test`")

CHANNELS, SIDE, FACTOR = 3, 4, 2
IMAGE_SIDE = SIDE * FACTOR
LATENT = CHANNELS * SIDE * SIDE
TIMESTEPS = 200
WORDS = ("a", "red", "green", "ball")
STD = np.array([0.4, 0.6, 0.8])
MEANS = np.array([[0, 0, 0], [0.2, 0.2, 0.2], [1.5, -1, 0], [0, 1.5, -0.5], [-0.5, 0.5, 1]])
"""(words + 1, 3): of no prompt, then of each word."""
GAIN = 0.1
"""The decoder gives `0.5 + GAIN * latent` for each pixel of a cell; the encoder inverts that."""


def latents_of(images_rgb: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 → (N, 3, h, w), as the decoder was given them but for rounding to 8 bits."""
    small = images_rgb[:, ::FACTOR, ::FACTOR].transpose(0, 3, 1, 2) / 255
    return (small - 0.5) / GAIN


def write_gaussian_model(folder: Path, prediction: str = "epsilon", schedule: str = "cosine", **entries: Any) -> Path:
    """Denoiser, encoder and decoder with their cards; the path of the denoiser's card."""
    _save(folder / "tiny.onnx", *_denoiser(prediction, schedule))
    _save(folder / "tiny_encoder.onnx", *_encoder())
    _save(folder / "tiny_decoder.onnx", *_decoder())
    image = {"name": "image", "size_wh": [IMAGE_SIDE, IMAGE_SIDE], "colour": "RGB", "scale": 1 / 255}
    latent = {"size": LATENT}
    write_card(folder, "tiny_encoder", task="latent_encoder", input={**image, "resize": "stretch"},
               output={"mean": "mean"}, latent=latent)  # fmt: skip
    write_card(folder, "tiny_decoder", task="latent_decoder", output=image, latent=latent)
    spec = {
        "prediction": prediction, "schedule": schedule, "timesteps": TIMESTEPS, "latent_shape": [CHANNELS, SIDE, SIDE],
        "latent_limit": 6.0, "words": list(WORDS), "max_words": 3, "class_names": ["ball"],
        "encoder": "tiny_encoder.yaml", "decoder": "tiny_decoder.yaml", "steps": 15, "guidance": 1.0,
    }  # fmt: skip
    return write_card(folder, "tiny", task="diffusion", diffusion={**spec, **entries})


def write_card(folder: Path, name: str, **entries: Any) -> Path:
    """A card for the network of that name."""
    digest = hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "file": f"{name}.onnx", "sha256": digest, **entries}))
    return path


def _save(path: Path, nodes: list[Any], inputs: list[Any], output: Any, constants: dict[str, np.ndarray]) -> None:
    initializers = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = onnx.helper.make_graph(nodes, path.stem, inputs, [output], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _node(line: str, **attributes: Any) -> Any:
    """One node, written as `output = Operator input input`."""
    output, expression = line.split(" = ")
    operator, *inputs = expression.split()
    return onnx.helper.make_node(operator, inputs, [output], **attributes)


def _tensor(name: str, shape: list[Any], kind: str = "FLOAT") -> Any:
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)


def _denoiser(prediction: str, schedule: str) -> tuple[list[Any], list[Any], Any, dict[str, np.ndarray]]:
    """With `x = signal x_0 + spread ε`, x_0 ~ N(m, s²): E[ε | x] = spread (x - signal m) / (signal² s² + spread²)."""
    levels = NoiseSchedule.named(schedule, TIMESTEPS).alphas_cumprod.reshape(-1, 1, 1, 1)
    constants = {
        "signals": np.sqrt(levels).astype(np.float32), "spreads": np.sqrt(1 - levels).astype(np.float32),
        "means": MEANS[:, :, None, None].astype(np.float32), "zero": np.array(0, np.int64),
        "variance": (STD**2)[None, :, None, None].astype(np.float32),
    }  # fmt: skip
    lines = [
        "signal = Gather signals index", "spread = Gather spreads index", "mean = Gather means word",
        "shift = Mul signal mean", "centred = Sub sample shift",
        "signal2 = Mul signal signal", "spread2 = Mul spread spread", "kept = Mul signal2 variance",
        "total = Add kept spread2", "ratio = Div centred total",
    ]  # fmt: skip
    if prediction == "epsilon":
        lines += ["prediction = Mul spread ratio"]
    else:
        # E[v | x] = signal E[ε | x] - spread E[x_0 | x]
        lines += [
            "noise = Mul spread ratio", "pull = Mul signal ratio", "moved = Mul pull variance",
            "clean = Add mean moved", "first = Mul signal noise", "second = Mul spread clean",
            "prediction = Sub first second",
        ]  # fmt: skip
    nodes = [
        _node("index = Cast timestep", to=onnx.TensorProto.INT64), _node("word = Gather tokens zero", axis=1),
        *map(_node, lines),
    ]  # fmt: skip
    shape = ["N", CHANNELS, SIDE, SIDE]
    inputs = [_tensor("sample", shape), _tensor("timestep", ["N"]), _tensor("tokens", ["N", 3], "INT64")]
    return nodes, inputs, _tensor("prediction", shape), constants


def _encoder() -> tuple[list[Any], list[Any], Any, dict[str, np.ndarray]]:
    nodes = [
        _node("small = AveragePool image", kernel_shape=[FACTOR] * 2, strides=[FACTOR] * 2),
        _node("centred = Sub small half"), _node("scaled = Div centred gain"), _node("mean = Flatten scaled"),
    ]  # fmt: skip
    constants = {"half": np.array(0.5, np.float32), "gain": np.array(GAIN, np.float32)}
    image = _tensor("image", [1, 3, IMAGE_SIDE, IMAGE_SIDE])
    return nodes, [image], _tensor("mean", [1, LATENT]), constants


def _decoder() -> tuple[list[Any], list[Any], Any, dict[str, np.ndarray]]:
    nodes = [
        _node("map = Reshape latent shape"),
        onnx.helper.make_node("Resize", ["map", "", "scales"], ["large"], mode="nearest"),
        _node("scaled = Mul large gain"), _node("image = Add scaled half"),
    ]  # fmt: skip
    constants = {
        "shape": np.array([-1, CHANNELS, SIDE, SIDE]), "scales": np.array([1, 1, FACTOR, FACTOR], np.float32),
        "half": np.array(0.5, np.float32), "gain": np.array(GAIN, np.float32),
    }  # fmt: skip
    output = _tensor("image", ["N", 3, IMAGE_SIDE, IMAGE_SIDE])
    return nodes, [_tensor("latent", ["N", LATENT])], output, constants
