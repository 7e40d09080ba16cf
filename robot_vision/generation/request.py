"""What can be asked of an image generator, what it answers, and the check that every request passes."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError
from robot_vision.runtime.card_diffusion import MAX_GUIDANCE
from robot_vision.types import UInt8Array

MAX_SEED = 2**63 - 1
"""Far beyond what any model bears; keeps arithmetic in single precision finite."""
_SEEDS_DRAWN = 2**31
_SHOWN = 60


@dataclass(frozen=True, eq=False)
class GenerationRequest:
    """A request with every value decided; see `complete_request` for one with gaps.

    Attributes:
        prompt: What the images shall show, in words.
        seed: Seed of the random numbers, 0 to `MAX_SEED`: the same request gives the same images.
        steps: Denoising steps, at least 1.
        guidance: Weight of the prompt (classifier-free guidance), 0 to `MAX_GUIDANCE`; 1 samples the conditional model
            as it is.
        size_wh: Width and height of the images in pixels.
        count: How many images, at least 1.
        init_rgb: (H, W, 3) uint8 image to start from, of that size; None starts from noise.
        strength: How far to leave the initial image, in (0, 1].
        mask: (H, W) bool, True where the initial image shall be painted anew; None paints everywhere.

    Raises:
        InvalidValueError: If a value is outside its range, or image or mask have another size; it names the field.
    """

    prompt: str
    seed: int
    steps: int
    guidance: float
    size_wh: tuple[int, int]
    count: int = 1
    init_rgb: UInt8Array | None = None
    strength: float = 0.75
    mask: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise InvalidValueError(f"seed: must be within [0, {MAX_SEED}], got {self.seed}")
        for name, value in (("steps", self.steps), ("count", self.count), ("width", self.size_wh[0]),
                            ("height", self.size_wh[1])):  # fmt: skip
            if value < 1:
                raise InvalidValueError(f"{name}: must be at least 1, got {value}")
        if not 0 <= self.guidance <= MAX_GUIDANCE:
            raise InvalidValueError(f"guidance: must be within [0, {MAX_GUIDANCE:g}], got {self.guidance}")
        if not 0 < self.strength <= 1:
            raise InvalidValueError(f"strength: must be within (0, 1], got {self.strength}")
        if self.mask is not None and self.init_rgb is None:
            raise InvalidValueError("mask: needs an initial image, which init_image lacks")
        height, width = shape = self.size_wh[::-1]
        images = (("init_image", self.init_rgb, (*shape, 3), np.uint8), ("mask", self.mask, shape, np.bool_))
        for name, image, wanted, dtype in images:
            if image is not None and (image.shape != wanted or image.dtype != dtype):
                raise InvalidValueError(
                    f"{name}: must be {width}x{height} pixels as the images asked for, {np.dtype(dtype).name} of shape "
                    f"{wanted}, got {image.dtype.name} of shape {image.shape}"
                )

    def with_kept_pixels(self, images: UInt8Array) -> UInt8Array:
        """Images with the initial one's own pixels where nothing was to be painted.

        Args:
            images: (count, H, W, 3) uint8.

        Returns:
            The same shape; the images themselves where there is no mask.
        """
        if self.mask is None or self.init_rgb is None:
            return images
        return np.where(self.mask[..., None], images, self.init_rgb)


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a generation stands after one step.

    Attributes:
        step: Steps done, from 1.
        total: Steps in all.
        images: Gives the images as the model sees them now, (count, H, W, 3) uint8 RGB; after the last step, those of
            the result.
    """

    step: int
    total: int
    images: Callable[[], UInt8Array]


@dataclass(frozen=True)
class GeneratorDefaults:
    """What a request takes where it says nothing.

    Attributes:
        steps: Denoising steps.
        guidance: Weight of the prompt.
        size_wh: Width and height in pixels.
    """

    steps: int
    guidance: float
    size_wh: tuple[int, int]


class ImageGenerator(Protocol):
    """A model that makes images on request; for one request at a time.

    Attributes:
        name: Name for people and messages.
        identity_hash: SHA-256 in hex of weights and settings: equal where the same request gives the same images.
        defaults: What a request takes where it says nothing.
        class_names: Classes that can be asked for by name; empty for a model of free text.
        device: Device really in use, such as cpu or cuda:0.
    """

    name: str
    identity_hash: str
    defaults: GeneratorDefaults
    class_names: tuple[str, ...]
    device: str

    def check(self, request: GenerationRequest) -> None:
        """See that this model can serve a request.

        Args:
            request: The request.

        Raises:
            InvalidValueError: If it cannot, such as for a size it does not make or words it does not know.
        """

    def run(self, request: GenerationRequest) -> Iterator[Progress]:
        """Generate; nothing is computed after the iterator is closed, so it stops between any two steps.

        Args:
            request: A request that `check` accepts.

        Yields:
            One `Progress` a step.

        Raises:
            InvalidValueError: If `check` refuses the request.
            ModelError: If the network fails.
        """


@dataclass(frozen=True)
class GenerationLimits:
    """The most that one request may ask for.

    Attributes:
        steps: Denoising steps.
        count: Images.
        side: Pixels of width or height.
        prompt_length: Characters.
    """

    steps: int
    count: int
    side: int
    prompt_length: int


def complete_request(  # noqa: PLR0913 - the fields of the messages, each by its name
    generator: ImageGenerator,
    limits: GenerationLimits,
    *,
    prompt: str = "",
    class_name: str = "",
    seed: int = -1,
    steps: int = 0,
    guidance: float = -1.0,
    width: int = 0,
    height: int = 0,
    count: int = 1,
    init_rgb: UInt8Array | None = None,
    strength: float = 0.75,
    mask: npt.NDArray[np.bool_] | None = None,
) -> GenerationRequest:
    """A request with its gaps filled, that keeps to the limits and that the generator accepts.

    Args:
        generator: Who shall serve it.
        limits: The most that may be asked for.
        prompt: What the images shall show.
        class_name: One of the generator's classes, instead of a prompt.
        seed: Seed of the random numbers; -1 draws one below 2**31.
        steps: Denoising steps; 0 takes the generator's default.
        guidance: Weight of the prompt; a negative number takes the generator's default.
        width: Pixels; 0 takes the initial image's width, or without one the generator's default.
        height: Pixels, as `width`.
        count: How many images.
        init_rgb: (H, W, 3) uint8 image to start from.
        strength: How far to leave it, in (0, 1].
        mask: (H, W) bool, True where it shall be painted anew.

    Returns:
        The request.

    Raises:
        InvalidValueError: If a value is wrong, beyond a limit or more than the generator can do; the message begins
            with the name of the field (`init_image` for `init_rgb`).
    """
    text = _prompt(generator, limits, prompt, class_name)
    if not math.isfinite(guidance):
        raise InvalidValueError(f"guidance: must be finite, got {guidance}")
    defaults = generator.defaults
    steps = steps or defaults.steps
    size_wh = _size_wh(defaults, width, height, init_rgb)
    for name, value, most in (("steps", steps, limits.steps), ("count", count, limits.count),
                              ("width", size_wh[0], limits.side), ("height", size_wh[1], limits.side)):  # fmt: skip
        if value > most:
            raise InvalidValueError(f"{name}: at most {most}, got {value}")
    request = GenerationRequest(
        prompt=text,
        seed=secrets.randbelow(_SEEDS_DRAWN) if seed == -1 else seed,
        steps=steps,
        guidance=defaults.guidance if guidance < 0 else guidance,
        size_wh=size_wh,
        count=count,
        init_rgb=init_rgb,
        strength=strength,
        mask=mask,
    )
    generator.check(request)
    return request


def class_prompt(class_name: str) -> str:
    """The prompt that a class stands for."""
    return f"a {class_name}"


def _prompt(generator: ImageGenerator, limits: GenerationLimits, prompt: str, class_name: str) -> str:
    if prompt.strip() and class_name:
        raise InvalidValueError("class_name: give either a prompt or a class, not both")
    if len(prompt) > limits.prompt_length:
        raise InvalidValueError(f"prompt: at most {limits.prompt_length} characters, got {len(prompt)}")
    if class_name:
        if class_name not in generator.class_names:
            known = ", ".join(generator.class_names) or "none, so give a prompt"
            raise InvalidValueError(f"class_name: {generator.name} knows {known}; got {class_name[:_SHOWN]!r}")
        return class_prompt(class_name)
    if not prompt.strip():
        raise InvalidValueError("prompt: is empty, and so is class_name; say what the images shall show")
    return prompt


def _size_wh(defaults: GeneratorDefaults, width: int, height: int, init_rgb: UInt8Array | None) -> tuple[int, int]:
    if init_rgb is None:
        usual = defaults.size_wh
    elif init_rgb.ndim == 3 and init_rgb.size:
        usual = init_rgb.shape[1], init_rgb.shape[0]
    else:
        raise InvalidValueError(f"init_image: must be of shape (H, W, 3) with pixels, got {init_rgb.shape}")
    return width or usual[0], height or usual[1]
