"""Execution providers of ONNX Runtime: which one is wanted, its options, and a network opened on it or an error."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnxruntime as ort

from robot_vision.errors import ModelError, ProviderError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.pixel_input import with_pixel_input

_LOG = logging.getLogger(__name__)
_PROVIDERS = {
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "cpu": ["CPUExecutionProvider"],
}
_LOG_ERRORS_ONLY = 3
_LOG_FATAL_ONLY = 4
_PROGRESS_PERIOD_S = 10.0

_TAKE_PIXELS = ("cuda",)
"""Where normalisation in the graph measured faster than on the CPU."""

Options = dict[str, str]


def open_session(
    card: ModelCard, params: SessionParams, max_batch: int, pixels: bool = False
) -> tuple[ort.InferenceSession, str]:
    """The card's network on the provider that was asked for.

    Args:
        card: The network.
        params: Provider, device and threads.
        max_batch: Most images that one run shall take.
        pixels: The network may be given the input `PIXELS`, if that is faster.

    Returns:
        The session and the provider really in use: tensorrt, cuda or cpu.

    Raises:
        ModelError: If the file is no network that ONNX Runtime can load.
        ProviderError: If the provider cannot be had and `allow_cpu` is off, or TensorRT's cache cannot be made.
    """
    wanted = _wanted_provider(params)
    if wanted != "cpu":
        # Releases that can also take CUDA as a plug-in warn, for each network, that they did not.
        ort.set_default_logger_severity(_LOG_ERRORS_ONLY)
        _load_cuda_libraries()
    with announced_build(card, params, wanted):
        session = _load(card, params, wanted, max_batch, pixels)
    if _PROVIDERS[wanted][0] in session.get_providers():
        return session, wanted
    problem = f"provider {wanted} was not obtained for {card.onnx_path}; ONNX Runtime took {session.get_providers()}"
    if params.provider != "auto" and not params.allow_cpu:
        raise ProviderError(
            f"{problem}. Check the driver and the CUDA libraries, or set session.allow_cpu, or session.provider: cpu"
        )
    _LOG.warning("%s: running on the CPU", problem)
    return _load(card, params, "cpu", max_batch, pixels), "cpu"


def open_network(
    path: Any, options: ort.SessionOptions, providers: list[tuple[str, Options]], content: bytes | None = None
) -> ort.InferenceSession:
    """An ONNX Runtime session whose failure is a `ModelError` that names the file.

    Args:
        path: The ONNX file.
        options: Session options.
        providers: Providers with their options, the wanted one first.
        content: What to load instead of the file.

    Returns:
        The session.

    Raises:
        ModelError: If the file is missing, empty, damaged, lacks the file of its weights, or holds something ONNX
            Runtime cannot run.
    """
    try:
        return ort.InferenceSession(content or str(path), sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        raise ModelError(
            f"{path}: not a network that ONNX Runtime {ort.__version__} can load (damaged, cut off, no ONNX file, made "
            f"for a newer release, or its weights' file is not beside it). ONNX Runtime says: {one_line(error)}"
        ) from error


def quiet_run_options() -> ort.RunOptions:
    """Options of runs whose failure is in the exception, without ONNX Runtime writing it to stderr as well."""
    options = ort.RunOptions()
    options.log_severity_level = _LOG_FATAL_ONLY
    return options


def device_name(provider: str, params: SessionParams) -> str:
    """Device that a provider runs on: cpu or cuda:<number>."""
    return "cpu" if provider == "cpu" else f"cuda:{params.device_id}"


def one_line(error: Exception) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def provider_options(
    provider: str, card: ModelCard, params: SessionParams, max_batch: int
) -> list[tuple[str, Options]]:
    """Providers in order of preference, each with its options.

    TensorRT compiles the network for the GPU at hand, which takes minutes; the result is kept in `engine_cache` and
    found again by network, GPU and TensorRT release.

    Args:
        provider: tensorrt, cuda or cpu.
        card: The network.
        params: Device, precision and cache.
        max_batch: Most images that one run shall take.

    Returns:
        What ONNX Runtime takes as `providers`.

    Raises:
        ProviderError: If the folder of the cache cannot be made.
    """
    device = {"device_id": str(params.device_id)}
    # Another number of cameras would otherwise start a search for the fastest algorithm in the middle of the work.
    options = {"CUDAExecutionProvider": {**device, "cudnn_conv_algo_search": "HEURISTIC"}}
    if provider == "tensorrt":
        cache = Path(params.engine_cache).expanduser()
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProviderError(f"session.engine_cache: the folder {cache} cannot be made: {error}") from error
        options["TensorrtExecutionProvider"] = {
            **device,
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
            "trt_fp16_enable": str(int(params.half_precision)),
            **_shape_profile(card, max_batch),
        }
    return [(name, options.get(name, {})) for name in _PROVIDERS[provider]]


def _shape_profile(card: ModelCard, max_batch: int) -> Options:
    """Batches up to the largest are compiled at once; without this, every new size would compile again."""
    if max_batch == 1 or not card.input_name:
        return {}
    smallest, largest = (
        f"{card.input_name}:" + "x".join(map(str, (batch, *card.input_shape[1:]))) for batch in (1, max_batch)
    )
    return {
        "trt_profile_min_shapes": smallest,
        "trt_profile_opt_shapes": largest,
        "trt_profile_max_shapes": largest,
    }


@contextmanager
def announced_build(
    card: ModelCard, params: SessionParams, provider: str, period_s: float = _PROGRESS_PERIOD_S
) -> Iterator[None]:
    """While TensorRT compiles, say so at once and then now and again, so that nobody takes the node for dead.

    Args:
        card: The network.
        params: Where the result is kept.
        provider: Nothing is said unless it is tensorrt.
        period_s: Seconds between two lines.

    Yields:
        Once.
    """
    if provider != "tensorrt":
        yield
        return
    done = threading.Event()
    begin_s = time.monotonic()

    def tell() -> None:
        while not done.wait(period_s):
            _LOG.warning("%s: TensorRT still compiles, %.0f s so far", card.onnx_path, time.monotonic() - begin_s)

    _LOG.warning(
        "%s: TensorRT compiles the network unless %s has it; the first time takes minutes", card.onnx_path,
        Path(params.engine_cache).expanduser(),
    )  # fmt: skip
    teller = threading.Thread(target=tell, name="engine build", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
    _LOG.warning("%s: TensorRT is ready after %.0f s", card.onnx_path, time.monotonic() - begin_s)


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


def _load_cuda_libraries() -> None:
    """CUDA and cuDNN that came as Python packages, where the system's loader does not look."""
    if preload := getattr(ort, "preload_dlls", None):
        with redirect_stdout(io.StringIO()) as said:
            preload()
        _LOG.debug("CUDA libraries: %s", said.getvalue().strip() or "loaded")


def _load(card: ModelCard, params: SessionParams, provider: str, max_batch: int, pixels: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = params.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = with_pixel_input(card) if pixels and provider in _TAKE_PIXELS else None
    return open_network(card.onnx_path, options, provider_options(provider, card, params, max_batch), content)
