"""A small model of latent diffusion that was never trained: real networks with cards, written in a moment."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import yaml

CHANNELS, SIDE, FACTOR = 4, 8, 4
SIZE = CHANNELS * SIDE * SIDE
IMAGE_SIDE = SIDE * FACTOR
WORDS = ("a", "and", "two", "red", "blue", "ball", "mug", "on", "wood")
CLASS_NAMES = ("ball", "mug")
MAX_WORDS = 8
WIDTH = 128


def write_diffusion_model(folder: Path, convolutions: int = 1, name: str = "tiny_diffusion") -> Path:
    """A denoiser, an encoder and a decoder of 32x32 images; the card's path.

    Args:
        folder: Where to write.
        convolutions: How deep the denoiser is: 10 ms of one core or less for each.
        name: Name of the model.
    """
    rng = np.random.default_rng(3)
    _write(folder / f"{name}.onnx", _denoiser(rng, convolutions))
    _write(folder / f"{name}_encoder.onnx", _encoder(rng))
    _write(folder / f"{name}_decoder.onnx", _decoder(rng))
    image = {"name": "image", "size_wh": [IMAGE_SIDE, IMAGE_SIDE], "colour": "RGB", "scale": 1 / 255}
    _write_card(
        folder, f"{name}_encoder", task="latent_encoder", input={**image, "resize": "stretch"},
        output={"mean": "mean"}, latent={"size": SIZE, "decoder": f"{name}_decoder.yaml"},
    )  # fmt: skip
    _write_card(folder, f"{name}_decoder", task="latent_decoder", output=image, latent={"size": SIZE})
    return _write_card(
        folder, name, task="diffusion",
        diffusion={
            "prediction": "epsilon", "schedule": "cosine", "timesteps": 1000, "latent_shape": [CHANNELS, SIDE, SIDE],
            "latent_limit": 4.0, "words": list(WORDS), "max_words": MAX_WORDS, "class_names": list(CLASS_NAMES),
            "encoder": f"{name}_encoder.yaml", "decoder": f"{name}_decoder.yaml", "steps": 10, "guidance": 2.0,
        },
    )  # fmt: skip


def _write_card(folder: Path, name: str, **entries: object) -> Path:
    digest = hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "file": f"{name}.onnx", "sha256": digest, **entries}))
    return path


def _write(path: Path, graph: object) -> None:
    import onnx

    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _denoiser(rng: np.random.Generator, convolutions: int) -> object:
    """The noise is the sample itself, less a little that depends on words, time and neighbourhood."""
    import onnx

    make, kinds = onnx.helper, onnx.TensorProto
    value, node = make.make_tensor_value_info, make.make_node
    square = partial(node, "Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    weights = {
        "inward": rng.normal(0, 0.3, (WIDTH, CHANNELS, 3, 3)),
        "within": rng.normal(0, 0.05, (WIDTH, WIDTH, 3, 3)),
        "outward": rng.normal(0, 0.02, (CHANNELS, WIDTH, 3, 3)),
        "embedding": np.vstack([np.zeros(CHANNELS), rng.normal(0, 1, (len(WORDS), CHANNELS))]),
        "per_step": np.array(1e-4),
        "share": np.array(0.9),
    }
    nodes = [square(["sample", "inward"], ["h0"])]
    for number in range(convolutions):
        nodes += [
            square([f"h{number}", "within"], [f"c{number}"]),
            node("Tanh", [f"c{number}"], [f"h{number + 1}"]),
        ]
    nodes += [
        square([f"h{convolutions}", "outward"], ["seen"]),
        node("Gather", ["embedding", "tokens"], ["words"]),
        node("ReduceMean", ["words"], ["meaning"], axes=[1], keepdims=0),
        node("Unsqueeze", ["meaning", "last_two"], ["wanted"]),
        node("Mul", ["timestep", "per_step"], ["late"]),
        node("Unsqueeze", ["late", "last_three"], ["when"]),
        node("Mul", ["sample", "share"], ["most"]),
        node("Add", ["most", "seen"], ["first"]),
        node("Sub", ["first", "wanted"], ["second"]),
        node("Add", ["second", "when"], ["prediction"]),
    ]
    shape = ["N", CHANNELS, SIDE, SIDE]
    inputs = [
        value("sample", kinds.FLOAT, shape), value("timestep", kinds.FLOAT, ["N"]),
        value("tokens", kinds.INT64, ["N", MAX_WORDS]),
    ]  # fmt: skip
    constants = [*_floats(weights), *_whole(last_two=[2, 3], last_three=[1, 2, 3])]
    return make.make_graph(nodes, "denoiser", inputs, [value("prediction", kinds.FLOAT, shape)], constants)


def _encoder(rng: np.random.Generator) -> object:
    import onnx

    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("AveragePool", ["image"], ["small"], kernel_shape=[FACTOR] * 2, strides=[FACTOR] * 2),
        make.make_node("Conv", ["small", "mixing"], ["map"], kernel_shape=[1, 1]),
        make.make_node("Flatten", ["map"], ["mean"]),
    ]
    image = make.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, IMAGE_SIDE, IMAGE_SIDE])
    mean = make.make_tensor_value_info("mean", kinds.FLOAT, ["N", SIZE])
    constants = _floats({"mixing": rng.normal(0, 1, (CHANNELS, 3, 1, 1))})
    return make.make_graph(nodes, "encoder", [image], [mean], constants)


def _decoder(rng: np.random.Generator) -> object:
    import onnx

    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Reshape", ["latent", "map_shape"], ["map"]),
        make.make_node("Conv", ["map", "mixing"], ["colours"], kernel_shape=[1, 1]),
        make.make_node("Sigmoid", ["colours"], ["small"]),
        make.make_node("Resize", ["small", "", "scales"], ["image"], mode="nearest"),
    ]
    latent = make.make_tensor_value_info("latent", kinds.FLOAT, ["N", SIZE])
    image = make.make_tensor_value_info("image", kinds.FLOAT, ["N", 3, IMAGE_SIDE, IMAGE_SIDE])
    constants = [
        *_floats({"mixing": rng.normal(0, 1, (3, CHANNELS, 1, 1)), "scales": np.array([1, 1, FACTOR, FACTOR])}),
        *_whole(map_shape=[-1, CHANNELS, SIDE, SIDE]),
    ]
    return make.make_graph(nodes, "decoder", [latent], [image], constants)


def _floats(arrays: dict[str, np.ndarray]) -> list[object]:
    import onnx

    return [onnx.numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()]


def _whole(**lists: list[int]) -> list[object]:
    import onnx

    return [onnx.numpy_helper.from_array(np.array(numbers, np.int64), name) for name, numbers in lists.items()]
