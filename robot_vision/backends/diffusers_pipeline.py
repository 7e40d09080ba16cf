"""Images from a local pipeline of the diffusers library; the only code beside training that imports torch."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from robot_vision.backends.pipeline_folder import check_folder, identity_hash
from robot_vision.backends.stepwise import stepwise
from robot_vision.errors import InvalidValueError, ModelError, ProviderError
from robot_vision.generation.request import GenerationRequest, GeneratorDefaults, Progress
from robot_vision.types import UInt8Array

# Told to whoever writes programs with these libraries, paragraphs long.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"diffusers|transformers")

_LOG = logging.getLogger(__name__)
_GREY = 128
_FORMS = {
    "text": diffusers.AutoPipelineForText2Image,
    "image": diffusers.AutoPipelineForImage2Image,
    "mask": diffusers.AutoPipelineForInpainting,
}


class DiffusersGenerator:
    """A text-to-image or image-to-image pipeline that diffusers has saved, behind the interface of all generators.

    It runs in single precision with the scheduler and, where it has one, the safety checker that it was saved with;
    the network is never used. Image k of a request has the seed `seed + k`. Guidance is the pipeline's own
    `guidance_scale`: most take everything up to 1 for 1.

    Args:
        folder: Folder that `save_pretrained` has written, with weights in safetensors only.
        device: cpu, cuda, cuda:<number>, or auto for the first GPU if there is one.
        threads: CPU threads of torch in this process; 0 leaves them as they are.

    Attributes:
        name: Name of the folder.
        identity_hash: SHA-256 in hex over the folder's weights and configurations.
        defaults: What a request takes where it says nothing.
        class_names: Empty: such a model takes free text.
        device: Device in use, such as cpu or cuda:0.

    Raises:
        ModelError: If the folder is not usable, or diffusers cannot load it or step through it.
        InvalidValueError: If the device or the number of threads is none.
        ProviderError: If the device cannot be had.
    """

    def __init__(self, folder: str | Path, device: str = "auto", threads: int = 1) -> None:
        if threads < 0:
            raise InvalidValueError(f"threads: must be at least 0, got {threads}")
        self._folder = Path(folder).expanduser()
        index = check_folder(self._folder)
        self.device = _available(device)
        if threads:
            torch.set_num_threads(threads)
        self._forms = _forms(_load(self._folder, index, self.device))
        self.name = self._folder.resolve().name
        self.identity_hash = identity_hash(self._folder)
        self.class_names: tuple[str, ...] = ()
        self._pipeline = next(iter(self._forms.values()))
        self.defaults = _defaults(self._pipeline)
        # Copies, since `check` may be called while the pipeline runs, and a call leaves its settings in a tokenizer.
        parts = self._pipeline.components
        tokenizers = [part for name, part in parts.items() if name.startswith("tokenizer") and part is not None]
        self._tokenizers = copy.deepcopy(tokenizers)

    def check(self, request: GenerationRequest) -> None:
        """See that this pipeline can serve a request.

        Args:
            request: The request.

        Raises:
            InvalidValueError: If it has no such form (text, initial image, mask), makes no such size, would cut the
                prompt off, knows no guidance, or has no step to do.
        """
        form = _form_of(request)
        if form not in self._forms:
            raise InvalidValueError(_refusal(form, self._forms))
        factor = _size_factor(self._pipeline)
        for side, value in zip(("width", "height"), request.size_wh, strict=True):
            if value % factor:
                raise InvalidValueError(f"{side}: must be a multiple of {factor} for this model, got {value}")
        self._check_prompt(request.prompt)
        known = _parameters(self._forms[form])
        if "guidance_scale" not in known and request.guidance != 1:
            raise InvalidValueError(f"guidance: this model knows none, so it must be 1, got {request.guidance:g}")
        if form != "text" and "strength" in known and int(request.steps * request.strength) < 1:
            raise InvalidValueError(
                f"strength: of {request.steps} steps none is left, it must be at least {1 / request.steps:.3g}, got "
                f"{request.strength:g}"
            )

    def run(self, request: GenerationRequest) -> Iterator[Progress]:
        """Generate; nothing is computed after the iterator is closed.

        Args:
            request: A request that `check` accepts.

        Yields:
            One `Progress` a step. Its images before the last step are the noisy latents decoded, plain grey where a
            pipeline keeps its latents in a layout of its own.

        Raises:
            InvalidValueError: If `check` refuses the request.
            ModelError: If the pipeline fails.
        """
        self.check(request)
        return self._steps(request)

    def _steps(self, request: GenerationRequest) -> Iterator[Progress]:
        yield (yield from stepwise(partial(self._generate, request)))

    def _generate(self, request: GenerationRequest, report: Callable[[Progress], None]) -> Progress:
        """Run the pipeline, report each step but the last, and return that one with the result."""
        form = _form_of(request)
        pipeline = self._forms[form]
        total = 1

        def on_step_end(_pipeline: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal total
            total = int(getattr(pipeline, "num_timesteps", len(pipeline.scheduler.timesteps)))
            if index + 1 < total:
                report(Progress(index + 1, total, partial(self._decoded, pipeline, tensors["latents"], request)))
            return {}

        try:
            output = pipeline(
                **_arguments(request, _parameters(pipeline)), output_type="np", callback_on_step_end=on_step_end
            )
            images = _pixels(output.images)
        except Exception as error:  # as many kinds as there are pipelines
            raise ModelError(f"{self._folder}: the pipeline fails: {_one_line(error)}") from error
        shape = (request.count, request.size_wh[1], request.size_wh[0], 3)
        if images.shape != shape:
            raise ModelError(f"{self._folder}: expected images of shape {shape}, the pipeline made {images.shape}")
        images = request.with_kept_pixels(images)
        for number, flagged in enumerate(getattr(output, "nsfw_content_detected", None) or (), start=1):
            if flagged:
                _LOG.warning("image %d: withheld by the model's safety checker, which leaves it black", number)
        return Progress(total, total, lambda: images)

    def _check_prompt(self, prompt: str) -> None:
        """Refuse a prompt that every tokenizer of the pipeline would cut off."""
        lengths = [(len(one(prompt, verbose=False).input_ids), one.model_max_length) for one in self._tokenizers]
        if lengths and all(length > limit for length, limit in lengths):
            length, limit = max(lengths, key=lambda pair: pair[1])
            raise InvalidValueError(f"prompt: at most {limit} tokens, got {length}; make it shorter")

    def _decoded(self, pipeline: Any, latents: Any, request: GenerationRequest) -> UInt8Array:
        """A preview, which the safety checker sees like a result."""
        vae = getattr(pipeline, "vae", None)
        if vae is None or latents.ndim != 4 or latents.shape[1] != getattr(vae.config, "latent_channels", None):
            return np.full((request.count, request.size_wh[1], request.size_wh[0], 3), _GREY, np.uint8)
        with torch.no_grad():
            values = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)
            decoded = vae.decode(values.to(vae.dtype), return_dict=False)[0]
            images = _pixels(decoded.permute(0, 2, 3, 1).cpu().numpy() / 2 + 0.5)
            if getattr(pipeline, "safety_checker", None) is not None:
                _, flagged = pipeline.run_safety_checker(decoded, self.device, vae.dtype)
                images[np.asarray(flagged)] = 0
        return request.with_kept_pixels(images)


def _refusal(form: str, forms: Mapping[str, Any]) -> str:
    if form == "text":
        return "init_image: this model only changes images; give one to start from"
    if form == "mask":
        return "mask: this model cannot paint parts of images anew"
    if "mask" in forms:
        return "mask: this model only paints parts of images anew; say which"
    return "init_image: this model cannot start from an image"


def _form_of(request: GenerationRequest) -> str:
    if request.mask is not None:
        return "mask"
    return "text" if request.init_rgb is None else "image"


def _available(device: str) -> str:
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cpu" and not number:
        return device
    if kind != "cuda" or not (number or "0").isdecimal():
        raise InvalidValueError(f"device: must be auto, cpu, cuda or cuda:<number>, got {device!r}")
    wanted, found = int(number or 0), torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted >= found:
        raise ProviderError(
            f"device {device}: torch {torch.__version__} finds {found} CUDA devices here; install a build of torch for "
            "this GPU, or take the CPU"
        )
    return f"cuda:{wanted}"


def _load(folder: Path, index: Mapping[str, Any], device: str) -> Any:
    """The pipeline, after a look at who shall load its parts: a library's name in the index is imported as it is."""
    for name, part in index.items():
        library = part[0] if isinstance(part, list) and part else None
        if library not in (None, "diffusers", "transformers") and not _is_pipeline_module(str(library)):
            raise ModelError(f"{folder}: {name} wants {library}, and only diffusers and transformers are used")
    for library_logging in (diffusers.utils.logging, transformers.utils.logging):
        library_logging.disable_progress_bar()
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
        pipeline.to(device, torch.float32)
    except Exception as error:  # as many kinds as there are ways in which a folder can be damaged
        raise ModelError(f"{folder}: diffusers cannot load it: {_one_line(error)}") from error
    known = _parameters(pipeline)
    if "prompt" not in known or "callback_on_step_end" not in known:
        raise ModelError(
            f"{folder}: a {type(pipeline).__name__} does not make images from a prompt step by step, so it can be "
            "neither followed nor stopped; give a text-to-image or image-to-image pipeline"
        )
    return pipeline


def _is_pipeline_module(name: str) -> bool:
    return name.isidentifier() and find_spec(f"diffusers.pipelines.{name}") is not None


def _forms(pipeline: Any) -> dict[str, Any]:
    """The pipeline by what it starts from, that of its own first, and its relatives with the same networks."""
    known = _parameters(pipeline)
    own = "mask" if "mask_image" in known else "image" if "image" in known else "text"
    forms = {own: pipeline}
    # A network that takes more channels than latents have was trained for one purpose.
    vae, unet = getattr(pipeline, "vae", None), getattr(pipeline, "unet", None)
    special = vae is not None and unet is not None and unet.config.in_channels != vae.config.latent_channels
    for form, family in _FORMS.items():
        if form == own or special:
            continue
        try:
            forms[form] = family.from_pipe(pipeline)
        except ValueError:  # has no such relative
            continue
    for entry in forms.values():
        entry.set_progress_bar_config(disable=True)
    return forms


def _parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(pipeline.__call__).parameters


def _size_factor(pipeline: Any) -> int:
    """What width and height must be multiples of; pipelines that pack latents tell their image processor."""
    processor = getattr(pipeline, "image_processor", None)
    if processor is not None:
        return int(processor.config.vae_scale_factor)
    return int(getattr(pipeline, "vae_scale_factor", 1))


def _defaults(pipeline: Any) -> GeneratorDefaults:
    known = _parameters(pipeline)

    def default(name: str, otherwise: float) -> float:
        value = known[name].default if name in known else None
        return value if isinstance(value, (int, float)) else otherwise

    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    latent = getattr(pipeline, "default_sample_size", None) or getattr(network and network.config, "sample_size", None)
    latent_hw = latent if isinstance(latent, (list, tuple)) else (latent, latent)
    scale = getattr(pipeline, "vae_scale_factor", 1)
    height, width = (int(side) * scale if side else 512 for side in latent_hw)
    return GeneratorDefaults(
        steps=int(default("num_inference_steps", 25)),
        guidance=float(default("guidance_scale", 7.5)) if "guidance_scale" in known else 1.0,
        size_wh=(int(default("width", width)), int(default("height", height))),
    )


def _arguments(request: GenerationRequest, known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The request in the pipeline's words, as far as it knows them; one entry an image."""
    count = request.count
    arguments: dict[str, Any] = {
        "prompt": [request.prompt] * count,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "width": request.size_wh[0],
        "height": request.size_wh[1],
        # Of the CPU, so that the noise is the same on every device.
        "generator": [torch.Generator("cpu").manual_seed(request.seed + number) for number in range(count)],
    }
    if request.init_rgb is not None:
        arguments |= {"image": [Image.fromarray(request.init_rgb)] * count, "strength": request.strength}
    if request.mask is not None:
        arguments["mask_image"] = [Image.fromarray(request.mask.astype(np.uint8) * 255)] * count
    return {name: value for name, value in arguments.items() if name in known}


def _pixels(values: Any) -> UInt8Array:
    """(N, H, W, 3) uint8 from floats in [0, 1]."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
