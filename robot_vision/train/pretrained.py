"""Weights of an exported network as the start of a new training, so that fine-tuning needs nothing but the ONNX file.

An export has its batch normalisations folded into the convolutions. They are unfolded again by what the convolutions
give on the new images: each normalisation takes the mean and variance seen there and the scale and shift that undo
them, so that the network says the same as the file, in training mode too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from robot_vision.errors import ModelError
from robot_vision.types import Float32Array

Folded = tuple[Float32Array, Float32Array | None]
"""Weight and bias of a convolution."""


def start_from(network: nn.Module, path: Path, batches: Iterable[Tensor]) -> tuple[int, int]:
    """Give a network the convolutions of an exported one where name and shape agree; the others stay as they are.

    Args:
        network: The network to change, of convolutions that may be followed by batch normalisation.
        path: ONNX file of a network of this package.
        batches: Images of the new training as the network takes them; a few dozen images do.

    Returns:
        Number of convolutions taken over, and of all.

    Raises:
        ModelError: If the file cannot be read or has no convolution that fits.
    """
    stored = read_convolutions(path)
    modules = dict(network.named_modules())
    convolutions = {name: module for name, module in modules.items() if isinstance(module, nn.Conv2d)}
    taken = {
        name: stored[name] for name, module in convolutions.items()
        if name in stored and stored[name][0].shape == tuple(module.weight.shape)
    }  # fmt: skip
    if not taken:
        raise ModelError(f"{path}: none of its convolutions fits this network; give a detector that this package made")
    with torch.no_grad():
        for name, (weight, bias) in taken.items():
            convolution = convolutions[name]
            convolution.weight.copy_(torch.from_numpy(weight))
            if convolution.bias is not None and bias is not None:
                convolution.bias.copy_(torch.from_numpy(bias))
    _unfold(network, {name: bias for name, (_, bias) in taken.items()}, batches)
    return len(taken), len(convolutions)


def read_convolutions(path: Path) -> dict[str, Folded]:
    """Every convolution of an ONNX file that torch exported, by the name its module has.

    Args:
        path: The file.

    Returns:
        Weight and bias by module name, without the name of the wrapper that was exported.

    Raises:
        ModelError: If the file is missing or is not an ONNX network.
    """
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf and onnx raise many types for a damaged file
        raise ModelError(f"{path}: cannot be read as an ONNX network: {error}") from error
    values = {tensor.name: tensor for tensor in graph.initializer}
    # Equal tensors are stored once; the others are named after them.
    values |= {
        node.output[0]: values[node.input[0]]
        for node in graph.node
        if node.op_type == "Identity" and node.input[0] in values
    }
    found: dict[str, Folded] = {}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in values:
            arrays = [numpy_helper.to_array(values[name]).astype(np.float32) for name in node.input[1:]]
            found[_module_name(node.name)] = (arrays[0], arrays[1] if len(arrays) > 1 else None)
    return found


def _module_name(node_name: str) -> str:
    """`/network/stem/stem.0/stem.0.1/Conv` is module `stem.0.1` of the exported wrapper's only member."""
    scopes = node_name.split("/")[2:-1]
    followed_by = [*scopes[1:], ""]
    return ".".join(
        scope for scope, after in zip(scopes, followed_by, strict=True) if not after.startswith(f"{scope}.")
    )


def _unfold(network: nn.Module, biases: dict[str, Float32Array | None], batches: Iterable[Tensor]) -> None:
    """Set every normalisation that follows one of the convolutions so that it adds the folded bias, no more."""
    names = {module: name for name, module in network.named_modules()}
    chains = [module for module in network.modules() if isinstance(module, nn.Sequential)]
    followers = {
        names[first]: norm
        for chain in chains
        for first, norm in pairwise(chain)
        if isinstance(norm, nn.BatchNorm2d) and names[first] in biases
    }
    sums: dict[str, list[Tensor]] = {name: [] for name in followers}

    def watch(name: str) -> None:
        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            values = output.double()
            sums[name].append(torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))]))

        hooks.append(network.get_submodule(name).register_forward_hook(keep))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    with torch.no_grad():
        for name, norm in followers.items():
            bias = biases[name]
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)
            norm.bias.copy_(torch.zeros_like(norm.bias) if bias is None else torch.from_numpy(bias))
            watch(name)
        training = network.training
        network.eval()
        for images in batches:
            network(images)
        network.train(training)
        for hook in hooks:
            hook.remove()
        for name, norm in followers.items():
            mean, square = torch.stack(sums[name]).mean(dim=0)
            variance = (square - mean.square()).clamp(min=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.add_(mean.float())
