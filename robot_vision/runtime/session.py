"""ONNX Runtime sessions: a network that fits its card, warmed up, run on one input or several at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from robot_vision.errors import ModelError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.layouts import Output
from robot_vision.runtime.pixel_input import PIXELS
from robot_vision.runtime.providers import device_name, one_line, open_session, quiet_run_options

_LOG = logging.getLogger(__name__)
SIZE_INPUT = "orig_target_sizes"
_INPUT_TYPES: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_SIZE_TYPES: dict[str, npt.DTypeLike] = {"tensor(int64)": np.int64, "tensor(float)": np.float32}

Outputs = tuple[npt.NDArray[Any], ...]
"""What one run gives for one input, in the order of `output_names`."""
NetworkInput = npt.NDArray[Any]
"""What one run takes: normalised values, float32, or the uint8 pixels of a network that normalises them itself."""


class Session(Protocol):
    """What a stage needs of a network; tests pass a fake."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which `run` returns them."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs with the shapes that the warm-up run gave them."""

    @property
    def provider(self) -> str:
        """Provider really in use: tensorrt, cuda or cpu."""

    @property
    def device(self) -> str:
        """Device really in use, such as cpu or cuda:0."""

    @property
    def max_batch(self) -> int:
        """Most inputs that the network takes in one run."""

    def new_input(self) -> NetworkInput:
        """An array for `run`, zero and C-contiguous, for a `Preprocessor` to fill again and again."""

    def new_outputs(self) -> Outputs | None:
        """Arrays that `run` may write into; None where their shapes differ from run to run."""

    def run(self, network_input: NetworkInput, into: Outputs | None = None) -> Outputs:
        """Run the network.

        Args:
            network_input: From `new_input`.
            into: From `new_outputs`; may be overwritten.

        Returns:
            One array an output: new ones, or those of `into`.

        Raises:
            ModelError: If the network fails.
        """


class OnnxSession:
    """One network on ONNX Runtime, ready to run.

    The constructor loads, checks the input against the card, and runs once for every number of inputs it shall take,
    so that the first frame is as fast as the others and a network that cannot run is known at start-up. Worker threads
    do not spin while they wait: on a robot the cores belong to somebody else between two frames.

    Args:
        card: The network and its input.
        params: Provider, device and threads.
        max_batch: Most inputs that one run shall take; a network whose batch is fixed takes one all the same.
        pixels: Let the network normalise 8-bit pixels itself where that is faster, which is on a GPU.

    Raises:
        ModelError: If the file is no network ONNX Runtime can load, its input is not the card's, or it fails at run.
        ProviderError: If the provider asked for cannot be had and `allow_cpu` is off.
    """

    def __init__(self, card: ModelCard, params: SessionParams, max_batch: int = 1, pixels: bool = False) -> None:
        self._card = card
        self._session, self._provider = open_session(card, params, max_batch, pixels)
        self._device = device_name(self._provider, params)
        self._input = _checked_input(self._session, card)
        self._size_inputs = {
            entry.name: _SIZE_TYPES.get(entry.type, np.int64)
            for entry in self._session.get_inputs()
            if entry.name == SIZE_INPUT
        }
        self._run_options = quiet_run_options()
        first = self.run(self.new_input())
        self._outputs = tuple(
            Output(entry.name, values.shape, np.issubdtype(values.dtype, np.integer))
            for entry, values in zip(self._session.get_outputs(), first, strict=True)
        )
        self._shapes = [values.shape for values in first]
        self._reusable = _reusable(self._session, self._input)
        self._max_batch = self._tried_batch(max_batch)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which `run` returns them."""
        return tuple(output.name for output in self._outputs)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs with the shapes that the warm-up run gave them."""
        return self._outputs

    @property
    def provider(self) -> str:
        """Provider really in use: tensorrt, cuda or cpu."""
        return self._provider

    @property
    def device(self) -> str:
        """Device really in use: cpu or cuda:<number>."""
        return self._device

    @property
    def max_batch(self) -> int:
        """Most inputs that `run_batch` hands to the network at once."""
        return self._max_batch

    def new_input(self) -> NetworkInput:
        """An array for `run`, zero and C-contiguous.

        (1, 3, H, W) float32, for a decoder (1, D); (1, H, W, 3) uint8 where the network normalises pixels itself.
        """
        return self._zeros(1)

    def new_outputs(self) -> Outputs | None:
        """Float32 arrays that `run` may write into; None if an output has another type or no fixed shape."""
        if not self._reusable:
            return None
        return tuple(np.zeros(shape, np.float32) for shape in self._shapes)

    def run(self, network_input: NetworkInput, into: Outputs | None = None) -> Outputs:
        """Run the network; releases the interpreter's lock meanwhile.

        Args:
            network_input: From `new_input`; not changed.
            into: From `new_outputs`; overwritten and returned. Spares the network fresh memory in every run.

        Returns:
            One array an output, in the order of `output_names`; new ones without `into`.

        Raises:
            ModelError: If the network fails.
        """
        try:
            if into is None:
                return self._run(network_input)
            self._run_bound(network_input, into)
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise self._failure(network_input.shape, error) from error
        return into

    def run_batch(self, network_inputs: Sequence[NetworkInput]) -> list[Outputs]:
        """Run the network on several inputs, together as far as it takes them together.

        Args:
            network_inputs: Each from `new_input`; not changed.

        Returns:
            The outputs of each, as `run` returns them.

        Raises:
            ModelError: If the network fails.
        """
        results: list[Outputs] = []
        for start in range(0, len(network_inputs), self._max_batch):
            part = network_inputs[start : start + self._max_batch]
            if len(part) == 1:
                results.append(self.run(part[0]))
                continue
            joined = np.concatenate(part)
            try:
                outputs = self._run(joined)
            except Exception as error:
                raise self._failure(joined.shape, error) from error
            results += [tuple(values[row : row + 1] for values in outputs) for row in range(len(part))]
        return results

    def _zeros(self, batch: int) -> NetworkInput:
        # Half precision is the network's own affair: it is given single precision.
        dtype = np.uint8 if self._input.dtype is np.uint8 else np.float32
        return np.zeros((batch, *self._input.shape), dtype)

    def _run(self, network_input: NetworkInput) -> Outputs:
        feed = {
            self._input.name: network_input.astype(self._input.dtype, copy=False),
            **self._sizes(len(network_input)),
        }
        return tuple(map(_single_precision, self._session.run(None, feed, self._run_options)))

    def _run_bound(self, network_input: NetworkInput, into: Outputs) -> None:
        binding = self._session.io_binding()
        for name, values in self._sizes(1).items():
            binding.bind_cpu_input(name, values)
        binding.bind_cpu_input(self._input.name, network_input)
        for output, values in zip(self._outputs, into, strict=True):
            binding.bind_output(output.name, "cpu", 0, values.dtype, values.shape, values.ctypes.data)
        self._session.run_with_iobinding(binding, self._run_options)

    def _sizes(self, batch: int) -> dict[str, npt.NDArray[Any]]:
        """What RT-DETR and D-FINE exports ask for besides the images: the size that their boxes are scaled to."""
        size_wh = self._card.input.size_wh
        return {name: np.array([size_wh] * batch, dtype) for name, dtype in self._size_inputs.items()}

    def _tried_batch(self, wanted: int) -> int:
        """How many inputs the network really takes together: it has run, and gave each input outputs of its own."""
        if wanted > 1 and not self._input.fixed_batch:
            try:
                runs = [self._run(self._zeros(n)) for n in range(2, wanted + 1)]
            except Exception as error:  # a free batch may be declared and not meant
                _LOG.warning("%s: fails on %d inputs at once: %s", self._card.onnx_path, wanted, one_line(error))
                return 1
            if all(shape[:1] == (1,) for shape in self._shapes) and all(
                [values.shape for values in run] == [(n, *shape[1:]) for shape in self._shapes]
                for n, run in enumerate(runs, start=2)
            ):
                return wanted
        if wanted > 1:
            _LOG.warning(
                "%s: the network takes one image a run, so inputs take turns; export it with a free (dynamic) batch "
                "to run them together", self._card.onnx_path,
            )  # fmt: skip
        return 1

    def _failure(self, shape: tuple[int, ...], error: Exception) -> ModelError:
        return ModelError(
            f"{self._card.onnx_path}: the network loads but fails when it runs on an input of shape {shape}; export it "
            f"again for that size, or correct input.size_wh in its card. ONNX Runtime says: {one_line(error)}"
        )


class _Input(NamedTuple):
    """The tensor that takes the image or latent: name, type, shape of one, and whether the number of them is fixed."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    fixed_batch: bool


def _checked_input(session: ort.InferenceSession, card: ModelCard) -> _Input:
    inputs = {entry.name: entry for entry in session.get_inputs() if entry.name != SIZE_INPUT}
    if PIXELS in inputs:
        return _Input(PIXELS, np.uint8, tuple(inputs[PIXELS].shape[1:]), isinstance(inputs[PIXELS].shape[0], int))
    name = card.input_name or (next(iter(inputs)) if len(inputs) == 1 else "")
    where = f"{card.onnx_path}: input"
    if name not in inputs or len(inputs) != 1:
        raise ModelError(
            f"{where}: expected one input named {card.input_name or '(any)'}, the network has {', '.join(inputs)}"
        )
    dtype = _INPUT_TYPES.get(inputs[name].type)
    if dtype is None:
        raise ModelError(f"{where} {name}: expected {' or '.join(_INPUT_TYPES)}, the network takes {inputs[name].type}")
    shape = inputs[name].shape
    # A free dimension is a name or None in ONNX Runtime.
    fits = len(shape) == len(card.input_shape) and all(
        have == want or not isinstance(have, int) for have, want in zip(shape, card.input_shape, strict=False)
    )
    if not fits:
        raise ModelError(
            f"{where} {name}: the card says shape {card.input_shape}, the network takes {tuple(shape)}; correct "
            "input.size_wh in the card, or export the network for a batch of 1 or free and for three channels"
        )
    return _Input(name, dtype, card.input_shape[1:], isinstance(shape[0], int))


def _reusable(session: ort.InferenceSession, network_input: _Input) -> bool:
    """Whether all outputs are single precision and of one shape as long as one image goes in."""
    inputs = {entry.name: entry for entry in session.get_inputs()}
    batch = inputs[network_input.name].shape[0]
    return network_input.dtype is not np.float16 and all(
        entry.type == "tensor(float)"
        and entry.shape
        and (isinstance(entry.shape[0], int) or entry.shape[0] == batch)
        and all(isinstance(side, int) for side in entry.shape[1:])
        for entry in session.get_outputs()
    )


def _single_precision(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
