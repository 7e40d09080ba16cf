"""What every training run needs: seeds, schedules, averaged weights, checkpoints, the device and its precision."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from robot_vision.errors import ModelError


def seed_everything(seed: int) -> None:
    """Seed torch's global generator, which initialises weights.

    Data order and augmentation take generators of their own, so that a resumed run sees the same numbers.

    Args:
        seed: Any non-negative integer.
    """
    torch.manual_seed(seed)


def generator(*key: int) -> np.random.Generator:
    """A random generator that depends on its key only.

    Args:
        key: Non-negative integers, for example seed, epoch and index.

    Returns:
        A numpy generator.
    """
    return np.random.default_rng(list(key))


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, floor: float = 0.02) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine (SGDR, Loshchilov and Hutter, arXiv 1608.03983).

    Args:
        step: Number of the step, from 0.
        total_steps: Steps of the whole run.
        warmup_steps: Steps of the linear part.
        floor: Factor at the end.

    Returns:
        Factor in (0, 1].
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def pick_device() -> torch.device:
    """CUDA where there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def supports_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there, and so worth training in.

    Args:
        device: Where the training runs.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


class AveragedWeights:
    """Exponential moving average of a network's weights and statistics (Polyak averaging).

    The decay grows with the number of updates, so that the random first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the current weights.

        Args:
            network: The network in training, of the same architecture.
        """
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = network.state_dict()
        averages, values = [], []
        for name, average in self.network.state_dict().items():
            if average.dtype.is_floating_point:
                averages.append(average)
                values.append(current[name])
            else:
                average.copy_(current[name])
        # All in one go, or a GPU would wait for each.
        torch._foreach_lerp_(averages, values, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from saved state.

        Args:
            state: What `state_dict` returned.
        """
        self.network.load_state_dict(state["network"])
        self.updates = int(state["updates"])


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves either the old or the new one.

    Args:
        path: File to write; its folder is created.
        state: Tensors, numbers, strings and containers of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    torch.save(state, unfinished)
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are accepted.

    Args:
        path: A file that `save_checkpoint` wrote.

    Returns:
        The state, on the CPU.

    Raises:
        ModelError: If the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for every way in which a file can be damaged
        raise ModelError(f"{path}: cannot be read as a checkpoint ({error}); train without --resume") from error
    return state
