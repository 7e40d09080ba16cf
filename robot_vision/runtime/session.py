"""ONNX Runtime sessions: the provider that was asked for or an error, and a warm-up run."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from robot_vision.errors import ModelError, ProviderError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.layouts import Output
from robot_vision.types import Float32Array

_LOG = logging.getLogger(__name__)
_PROVIDERS = {
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "cpu": ["CPUExecutionProvider"],
}
SIZE_INPUT = "orig_target_sizes"
_INPUT_TYPES: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_SIZE_TYPES: dict[str, npt.DTypeLike] = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
_LOG_ERRORS_ONLY = 3
_LOG_FATAL_ONLY = 4


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

    def new_input(self) -> Float32Array:
        """An array for `run`, of the input's shape, zero and C-contiguous; to be filled again and again."""

    def run(self, network_input: Float32Array) -> tuple[npt.NDArray[Any], ...]:
        """Run the network.

        Args:
            network_input: From `new_input`.

        Returns:
            One array an output.

        Raises:
            ModelError: If the network fails.
        """


class OnnxSession:
    """One network on ONNX Runtime, ready to run.

    The constructor loads, checks the input against the card, and runs once, so that the first frame is as fast as the
    others and a network that cannot run is known at start-up. Worker threads do not spin while they wait: on a robot
    the cores belong to somebody else between two frames.

    Args:
        card: The network and its input.
        params: Provider, device and threads.

    Raises:
        ModelError: If the file is no network ONNX Runtime can load, its input is not the card's, or it fails at run.
        ProviderError: If the provider asked for cannot be had and `allow_cpu` is off.
    """

    def __init__(self, card: ModelCard, params: SessionParams) -> None:
        self._card = card
        self._session, self._provider = _open(card, params)
        self._device = "cpu" if self._provider == "cpu" else f"cuda:{params.device_id}"
        self._input = _checked_input(self._session, card)
        self._constants = _constant_inputs(self._session, card)
        # What goes wrong in a run is in the exception; ONNX Runtime would write it to stderr as well.
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = _LOG_FATAL_ONLY
        self._outputs = tuple(
            Output(entry.name, values.shape, np.issubdtype(values.dtype, np.integer))
            for entry, values in zip(self._session.get_outputs(), self.run(self.new_input()), strict=True)
        )

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

    def new_input(self) -> Float32Array:
        """An array for `run`: (1, 3, H, W) float32 (for a decoder (1, D)), zero and C-contiguous."""
        return np.zeros(self._card.input_shape, np.float32)

    def run(self, network_input: Float32Array) -> tuple[npt.NDArray[Any], ...]:
        """Run the network; releases the interpreter's lock meanwhile.

        Args:
            network_input: From `new_input`; not changed.

        Returns:
            One new array an output, in the order of `output_names`.

        Raises:
            ModelError: If the network fails.
        """
        try:
            feed = {self._input.name: network_input.astype(self._input.dtype, copy=False), **self._constants}
            return tuple(map(_single_precision, self._session.run(None, feed, self._run_options)))
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise ModelError(
                f"{self._card.onnx_path}: the network loads but fails when it runs on an input of shape "
                f"{self._card.input_shape}; export it again for that size, or correct input.size_wh in its card. "
                f"ONNX Runtime says: {_reason(error)}"
            ) from error


def _open(card: ModelCard, params: SessionParams) -> tuple[ort.InferenceSession, str]:
    wanted = _wanted_provider(params)
    session = _load(card, params, wanted)
    if _PROVIDERS[wanted][0] in session.get_providers():
        return session, wanted
    problem = f"provider {wanted} was not obtained for {card.onnx_path}; ONNX Runtime took {session.get_providers()}"
    if params.provider != "auto" and not params.allow_cpu:
        raise ProviderError(
            f"{problem}. Check the driver and the CUDA libraries, or set session.allow_cpu, or session.provider: cpu"
        )
    _LOG.warning("%s: running on the CPU", problem)
    return (_load(card, params, "cpu"), "cpu")


def _wanted_provider(params: SessionParams) -> str:
    available = ort.get_available_providers()
    if params.provider == "auto":
        return "cuda" if _PROVIDERS["cuda"][0] in available else "cpu"
    if _PROVIDERS[params.provider][0] in available:
        return params.provider
    problem = (
        f"session.provider: {params.provider} is not in the installed ONNX Runtime {ort.__version__} ({available})"
    )
    if not params.allow_cpu:
        raise ProviderError(f"{problem}. Install onnxruntime-gpu, or set session.allow_cpu, or session.provider: cpu")
    _LOG.warning("%s: running on the CPU", problem)
    return "cpu"


def _load(card: ModelCard, params: SessionParams, provider: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = params.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    device = {"device_id": str(params.device_id)}
    providers = [(name, {} if name.startswith("CPU") else device) for name in _PROVIDERS[provider]]
    return open_network(card.onnx_path, options, providers)


def open_network(
    path: Any, options: ort.SessionOptions, providers: list[tuple[str, dict[str, str]]]
) -> ort.InferenceSession:
    """An ONNX Runtime session whose failure is a `ModelError` that names the file.

    Args:
        path: The ONNX file.
        options: Session options.
        providers: Providers with their options, the wanted one first.

    Returns:
        The session.

    Raises:
        ModelError: If the file is missing, empty, damaged, or holds something ONNX Runtime cannot run.
    """
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        raise ModelError(
            f"{path}: not a network that ONNX Runtime {ort.__version__} can load (damaged, cut off, no ONNX file, or "
            f"made for a newer release). "
            f"ONNX Runtime says: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Input(NamedTuple):
    """The tensor that takes the image or latent: its name and type."""

    name: str
    dtype: npt.DTypeLike


def _checked_input(session: ort.InferenceSession, card: ModelCard) -> _Input:
    inputs = {entry.name: entry for entry in session.get_inputs() if entry.name != SIZE_INPUT}
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
        raise ModelError(f"{where} {name}: the card says shape {card.input_shape}, the network takes {tuple(shape)}")
    return _Input(name, dtype)


def _constant_inputs(session: ort.InferenceSession, card: ModelCard) -> dict[str, npt.NDArray[Any]]:
    """What RT-DETR and D-FINE exports ask for besides the image: the size that their boxes are scaled to."""
    wanted = [entry for entry in session.get_inputs() if entry.name == SIZE_INPUT]
    return {entry.name: np.array([card.input.size_wh], _SIZE_TYPES.get(entry.type, np.int64)) for entry in wanted}


def _single_precision(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values
