"""Training steps of small networks on a GPU, where launching kernels one by one takes longer than running them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARMUP_STEPS = 3


class GraphedStep:
    """A training step that a GPU replays as one CUDA graph; on the CPU, the step itself.

    The step must not wait for the GPU, and takes and returns tensors whose shapes stay the same.
    """

    def __init__(self, step: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Nothing is captured before the first call.

        Args:
            step: Loss of some tensors; trains with `optimizer`.
            optimizer: AdamW or a relative, with `capturable`.
        """
        self._step = step
        self._optimizer = optimizer
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Train on some tensors; on a GPU, the first ones are learnt from a few times more, before the capture.

        Args:
            inputs: Of the step.

        Returns:
            What the step returns.
        """
        if not inputs[0].is_cuda:
            return self._step(*inputs)
        if self._graph is None:
            self._graph = self._captured(inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._result.clone()

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, also of a captured step.

        Args:
            rate: Learning rate.
        """
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _captured(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        """As in PyTorch's "CUDA semantics", whole-network capture: warm up on a side stream, then record."""
        device = inputs[0].device
        for group in self._optimizer.param_groups:
            group["capturable"], group["lr"] = True, torch.tensor(float(group["lr"]), device=device)
        for state in self._optimizer.state.values():
            state["step"] = state["step"].to(device)
        self._inputs = tuple(one.clone() for one in inputs)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARMUP_STEPS):
                self._step(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._result = self._step(*self._inputs)
        return graph


def uncaptured(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser whose state was loaded be used on any device, whatever it was saved on.

    Args:
        optimizer: Changed in place.
    """
    for group in optimizer.param_groups:
        group["capturable"], group["lr"] = False, float(group["lr"])
