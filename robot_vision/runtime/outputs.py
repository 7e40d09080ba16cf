"""Outputs of networks: found, checked, and images among them brought back to pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import ModelError
from robot_vision.runtime.card import InputSpec, ModelCard
from robot_vision.runtime.session import Session
from robot_vision.types import Float32Array, UInt8Array


def output_index(card: ModelCard, session: Session, name: str) -> int:
    """Where an output stands among those of a session.

    Args:
        card: The network's card.
        session: The network.
        name: Name of the output; empty for that of a network with only one.

    Returns:
        Its index in what `run` returns.

    Raises:
        ModelError: If the network has no such output.
    """
    names = session.output_names
    if not name and len(names) == 1:
        return 0
    if name not in names:
        raise ModelError(
            f"{card.onnx_path}: no output named {name or '(any)'}; it has {', '.join(names)}: correct its card's output"
        )
    return names.index(name)


def finite_output(path: Path, output: npt.NDArray[Any], shape: tuple[int, ...]) -> Float32Array:
    """An output that is as it must be.

    Args:
        path: The network's file, for the message.
        output: What it gave.
        shape: Shape that it must have.

    Returns:
        The output as float32.

    Raises:
        ModelError: If it has another shape or values that are not finite.
    """
    finite = np.isfinite(output).all()
    if output.shape != shape or not finite:
        raise ModelError(
            f"{path}: expected finite values of shape {shape}, got shape {output.shape}"
            f"{'' if finite else ' with values that are not finite'}"
        )
    return np.asarray(output, np.float32)


def values_to_unit(values: Float32Array, spec: InputSpec) -> Float32Array:
    """Network values as an image.

    Args:
        values: (..., 3, H, W) float32 in the network's scaling and channel order.
        spec: Scaling and channel order.

    Returns:
        (..., 3, H, W) float32, RGB, black 0 and white 1, neither clipped nor rounded.
    """
    unit = np.float32(1 / (255 * spec.scale))
    gain = np.asarray(spec.std, np.float32)[:, None, None] * unit
    offset = np.asarray(spec.mean, np.float32)[:, None, None] * unit
    image: Float32Array = values * gain + offset
    return image if spec.colour == "RGB" else image[..., ::-1, :, :]


def unit_to_rgb(image: Float32Array) -> UInt8Array:
    """An image as pixels, clipped and rounded.

    Args:
        image: (3, H, W) float32, RGB, black 0 and white 1.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    pixels = np.rint(np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def decoded_image(card: ModelCard, output: npt.NDArray[Any]) -> Float32Array:
    """The image that a decoder gave.

    Args:
        card: Card of task `latent_decoder`.
        output: The network's output for one latent.

    Returns:
        (3, H, W) float32, RGB, black 0 and white 1, neither clipped nor rounded.

    Raises:
        ModelError: If the output is not of the card's shape, or has values that are not finite.
    """
    width, height = card.input.size_wh
    values = finite_output(card.onnx_path, output, (1, 3, height, width))
    return values_to_unit(values[0], card.input)
