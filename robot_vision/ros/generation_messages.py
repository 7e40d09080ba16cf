"""Requests for images as messages and as values; the action's messages and the service's have the same fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image

from robot_vision.errors import FrameError, InvalidValueError
from robot_vision.generation.request import GenerationLimits, GenerationRequest, ImageGenerator, complete_request
from robot_vision.params import GeneratorParams
from robot_vision.ros.convert import frame_from_image
from robot_vision.ros.generation_queue import Outcome
from robot_vision.types import UInt8Array

LONGEST_MESSAGE = 2000
"""Characters: what a strange request holds must not come back in full."""
_MASK_ENCODINGS = ("mono8", "8UC1")


def read_request(message: Any, params: GeneratorParams) -> Callable[[ImageGenerator], GenerationRequest]:
    """Take a request out of its message, whose images may be thrown away then.

    Args:
        message: Goal of the action or request of the service.
        params: The limits.

    Returns:
        What checks the request against a generator and fills its gaps; raises InvalidValueError to refuse it.

    Raises:
        InvalidValueError: If an image is of no use; it names the field.
    """
    limits = GenerationLimits(params.max_steps, params.max_count, params.max_side, params.max_prompt_length)
    mask = _pixels(message.mask, "mask", limits.side)
    return partial(
        complete_request, limits=limits, prompt=message.prompt, class_name=message.class_name, seed=message.seed,
        steps=message.steps, guidance=message.guidance, width=message.width, height=message.height,
        count=message.count, init_rgb=_pixels(message.init_image, "init_image", limits.side),
        strength=message.strength, mask=None if mask is None else _marked(mask),
    )  # fmt: skip


def fill_reply(reply: Any, outcome: Outcome, images: Sequence[Image]) -> None:
    """Write an outcome into a message.

    Args:
        reply: Result of the action or response of the service.
        outcome: How the request ended.
        images: Its images as messages.
    """
    reply.success = outcome.success
    reply.message = shortened(outcome.message)
    reply.images = list(images)
    reply.seed_used = outcome.seed
    reply.model_hash = outcome.model_hash
    reply.seconds = outcome.seconds


def shortened(text: str) -> str:
    """A text of at most `LONGEST_MESSAGE` characters."""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 3]}..."


def _pixels(message: Image, field: str, max_side: int) -> UInt8Array | None:
    """(H, W, 3) uint8 RGB copy of an image; None where the message holds none."""
    if not (message.width or message.height or message.data):
        return None
    if max(message.width, message.height) > max_side:
        raise InvalidValueError(
            f"{field}: at most {max_side} pixels wide and high, got {message.width}x{message.height}"
        )
    if field == "mask" and message.encoding not in _MASK_ENCODINGS:
        raise InvalidValueError(f"mask: encoding must be {' or '.join(_MASK_ENCODINGS)}, got {message.encoding!r}")
    try:
        return frame_from_image(message).rgb.copy()
    except FrameError as error:
        raise InvalidValueError(f"{field}: {error}") from error


def _marked(mask_rgb: UInt8Array) -> npt.NDArray[np.bool_]:
    return mask_rgb[..., 0] != 0
