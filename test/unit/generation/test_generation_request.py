"""Requests: gaps are filled from the generator, and whatever is wrong is refused by the name of its field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.generation.request import (
    MAX_SEED,
    GenerationLimits,
    GenerationRequest,
    GeneratorDefaults,
    complete_request,
)

LIMITS = GenerationLimits(steps=50, count=4, side=512, prompt_length=40)
IMAGE = np.zeros((48, 64, 3), np.uint8)
MASK = np.ones((48, 64), np.bool_)


class Generator:
    """Takes even sizes and knows no dragons."""

    name = "tiny"
    identity_hash = "0" * 64
    defaults = GeneratorDefaults(steps=15, guidance=3.0, size_wh=(96, 64))
    class_names = ("ball", "mug")
    device = "cpu"

    def check(self, request: GenerationRequest) -> None:
        for name, value in zip(("width", "height"), request.size_wh, strict=True):
            if value % 2:
                raise InvalidValueError(f"{name}: must be even, got {value}")
        if "dragon" in request.prompt:
            raise InvalidValueError("prompt: this model does not know dragon")


def complete(**fields: Any) -> GenerationRequest:
    fields.setdefault("prompt", "" if "class_name" in fields else "a mug")
    return complete_request(Generator(), LIMITS, **fields)


def test_gaps_are_filled_from_the_generator():
    request = complete()
    assert (request.prompt, request.steps, request.guidance) == ("a mug", 15, 3.0)
    assert (request.size_wh, request.count, request.strength) == ((96, 64), 1, 0.75)
    assert request.init_rgb is None
    assert request.mask is None


def test_what_is_given_is_taken():
    request = complete(seed=7, steps=3, guidance=0.0, width=128, height=32, count=2)
    assert (request.seed, request.steps, request.guidance) == (7, 3, 0.0)
    assert (request.size_wh, request.count) == ((128, 32), 2)


def test_a_seed_that_is_not_given_is_drawn():
    seeds = {complete().seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert complete(seed=0).seed == 0
    assert complete(seed=MAX_SEED).seed == MAX_SEED


def test_a_class_is_asked_for_by_a_prompt():
    assert complete(class_name="ball").prompt == "a ball"


def test_images_are_as_large_as_the_initial_one():
    request = complete(init_rgb=IMAGE, mask=MASK)
    assert request.size_wh == (64, 48)
    assert request.init_rgb is IMAGE
    assert request.mask is MASK
    assert complete(init_rgb=IMAGE, width=64, height=48).size_wh == (64, 48)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": ""}, "prompt: is empty, and so is class_name"),
        ({"prompt": " \n"}, "prompt: is empty, and so is class_name"),
        ({"prompt": "a" * 41}, "prompt: at most 40 characters, got 41"),
        ({"prompt": "a dragon"}, "prompt: this model does not know dragon"),
        ({"prompt": "a mug", "class_name": "mug"}, "class_name: give either a prompt or a class, not both"),
        ({"class_name": "dragon"}, "class_name: tiny knows ball, mug; got 'dragon'"),
        ({"class_name": "x" * 10_000}, f"class_name: tiny knows ball, mug; got '{'x' * 60}'"),
        ({"seed": -2}, "seed: must be within [0, 9223372036854775807], got -2"),
        ({"seed": MAX_SEED + 1}, "seed: must be within"),
        ({"steps": -1}, "steps: must be at least 1, got -1"),
        ({"steps": 51}, "steps: at most 50, got 51"),
        ({"steps": 10**6}, "steps: at most 50, got 1000000"),
        ({"guidance": math.nan}, "guidance: must be finite, got nan"),
        ({"guidance": math.inf}, "guidance: must be finite, got inf"),
        ({"guidance": -math.inf}, "guidance: must be finite, got -inf"),
        ({"guidance": 1e30}, "guidance: must be within [0, 100], got 1e+30"),
        ({"width": -64}, "width: must be at least 1, got -64"),
        ({"width": 513}, "width: at most 512, got 513"),
        ({"width": 65}, "width: must be even, got 65"),
        ({"height": -1}, "height: must be at least 1, got -1"),
        ({"height": 2**32 - 1}, "height: at most 512, got 4294967295"),
        ({"height": 47}, "height: must be even, got 47"),
        ({"count": 0}, "count: must be at least 1, got 0"),
        ({"count": -1}, "count: must be at least 1, got -1"),
        ({"count": 5}, "count: at most 4, got 5"),
        ({"init_rgb": IMAGE, "strength": 0.0}, "strength: must be within (0, 1], got 0.0"),
        ({"init_rgb": IMAGE, "strength": 1.01}, "strength: must be within (0, 1], got 1.01"),
        ({"init_rgb": IMAGE, "strength": math.nan}, "strength: must be within (0, 1], got nan"),
        ({"init_rgb": IMAGE, "width": 32}, "init_image: must be 32x48 pixels as the images asked for"),
        ({"init_rgb": IMAGE.astype(np.float32)}, "init_image: must be 64x48 pixels as the images asked for, uint8"),
        ({"init_rgb": IMAGE[..., 0]}, "init_image: must be of shape (H, W, 3) with pixels, got (48, 64)"),
        ({"init_rgb": IMAGE[:0]}, "init_image: must be of shape (H, W, 3) with pixels, got (0, 64, 3)"),
        ({"init_rgb": np.zeros((48, 64, 4), np.uint8)}, "init_image: must be 64x48 pixels as the images asked for"),
        ({"init_rgb": np.zeros((514, 64, 3), np.uint8)}, "height: at most 512, got 514"),
        ({"mask": MASK}, "mask: needs an initial image"),
        ({"init_rgb": IMAGE, "mask": MASK[:-1]}, "mask: must be 64x48 pixels as the images asked for"),
        ({"init_rgb": IMAGE, "mask": MASK.T}, "mask: must be 64x48 pixels as the images asked for"),
        ({"init_rgb": IMAGE, "mask": MASK.astype(np.uint8)}, "mask: must be 64x48 pixels as the images asked for"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_its_name_with_the_limit(fields, message):
    with pytest.raises(InvalidValueError) as caught:
        complete(**fields)
    assert str(caught.value).startswith(message)
