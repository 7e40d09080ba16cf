"""ONNX Runtime sessions of networks that take several named tensors, any number of rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from robot_vision.errors import ModelError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.outputs import finite_output
from robot_vision.runtime.providers import device_name, one_line, open_session, quiet_run_options
from robot_vision.types import Float32Array

_TYPES = {"tensor(float)": np.dtype(np.float32), "tensor(int64)": np.dtype(np.int64)}
_WARM_UP_ROWS = (1, 2)


class TensorSpec(NamedTuple):
    """A tensor whose first dimension is free.

    Attributes:
        shape: Its other dimensions.
        dtype: float32 or int64.
    """

    shape: tuple[int, ...]
    dtype: npt.DTypeLike = np.float32


class TensorSession:
    """One network with several inputs and one output, ready to run.

    As with `OnnxSession`, the constructor loads, checks and runs the network, so that one that cannot run is known at
    start-up, and worker threads do not spin while they wait.

    Args:
        card: The network.
        params: Provider, device and threads.
        inputs: Its inputs by name.
        output: Name and shape of its output, float32.

    Raises:
        ModelError: If the file is no network ONNX Runtime can load, its tensors are others, it takes a fixed number of
            rows, or fails at run.
        ProviderError: If the provider asked for cannot be had and `allow_cpu` is off.
    """

    def __init__(
        self, card: ModelCard, params: SessionParams, inputs: Mapping[str, TensorSpec], output: tuple[str, TensorSpec]
    ) -> None:
        self._path = card.onnx_path
        self._session, self.provider = open_session(card, params, 1)
        self.device = device_name(self.provider, params)
        self._run_options = quiet_run_options()
        self._output_name, self._output = output
        self._check("input", self._session.get_inputs(), inputs)
        self._check("output", self._session.get_outputs(), {self._output_name: self._output})
        for rows in _WARM_UP_ROWS:
            self.run({name: np.zeros((rows, *spec.shape), spec.dtype) for name, spec in inputs.items()})

    def run(self, tensors: dict[str, npt.NDArray[Any]]) -> Float32Array:
        """Run the network; releases the interpreter's lock meanwhile.

        Args:
            tensors: Each input by name, C-contiguous, all of the same number of rows; not changed.

        Returns:
            (rows, ...) float32, a new array.

        Raises:
            ModelError: If the network fails, or gives another shape or values that are not finite.
        """
        try:
            values = self._session.run([self._output_name], tensors, self._run_options)[0]
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
            raise ModelError(
                f"{self._path}: the network loads but fails when it runs on {shapes}; export it again for those "
                f"shapes. ONNX Runtime says: {one_line(error)}"
            ) from error
        shape = (len(next(iter(tensors.values()))), *self._output.shape)
        return finite_output(self._path, values, shape)

    def _check(self, kind: str, entries: list[ort.NodeArg], wanted: Mapping[str, TensorSpec]) -> None:
        found = {entry.name: entry for entry in entries}
        if set(found) != set(wanted):
            raise ModelError(
                f"{self._path}: expected the {kind} {', '.join(wanted)}, the network has {', '.join(found)}"
            )
        for name, spec in wanted.items():
            sides, dtype = found[name].shape, _TYPES.get(found[name].type)
            # A free dimension is a name or None in ONNX Runtime.
            fits = len(sides) == 1 + len(spec.shape) and all(
                have == want or not isinstance(have, int) for have, want in zip(sides[1:], spec.shape, strict=True)
            )
            if not fits or isinstance(sides[0], int) or dtype != spec.dtype:
                raise ModelError(
                    f"{self._path}: {kind} {name}: expected {np.dtype(spec.dtype).name} of shape "
                    f"{('free', *spec.shape)}, the network has {found[name].type} of shape {tuple(sides)}; correct the "
                    "card, or export the network with a free (dynamic) number of rows"
                )
