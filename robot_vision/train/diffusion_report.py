"""Sheets of samples, drawn while image generation is trained."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from robot_vision.evaluation.generation import prompts_of
from robot_vision.generation.sampler import clean_predictor, denoise, plan, standard_normal
from robot_vision.train.diffusion_autoencoder import decoding
from robot_vision.train.diffusion_data import DescribedSet
from robot_vision.train.diffusion_fit import DiffusionFit, denoising
from robot_vision.types import UInt8Array

_STEPS = 15
_GUIDANCE = 2.5
_LIMIT = 5.0
_COLUMNS = 7
_ROWS = 6


def write_samples(path: Path, fit: DiffusionFit, images: DescribedSet) -> None:
    """Images of prompts that go over all classes, colours and numbers, a class a column.

    Args:
        path: PNG to write.
        fit: The training as it stands; its averaged weights are used.
        images: Training images, for the names of the classes.
    """
    class_names = images.class_names()[:_COLUMNS]
    asked = prompts_of(class_names, len(class_names) * _ROWS, fit.vocabulary.tokens)
    tokens = np.stack([fit.vocabulary.tokens(one.prompt) for one in asked])
    rngs = [np.random.default_rng([fit.settings.seed, number]) for number in range(len(asked))]
    predict = clean_predictor(
        denoising(fit.average.network), tokens, fit.schedule, fit.settings.prediction,
        guidance=_GUIDANCE, limit=_LIMIT,
    )  # fmt: skip
    *_, last = denoise(predict, standard_normal(rngs, fit.latent_shape), plan("dpmpp_2m", fit.schedule, _STEPS), rngs)
    rgb = decoding(fit.autoencoder)(last.sample.reshape(len(asked), -1))
    sheet = np.concatenate([_strip(rgb[row : row + len(class_names)]) for row in range(0, len(rgb), len(class_names))])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(sheet[..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))


def _strip(images: UInt8Array) -> UInt8Array:
    return np.concatenate(list(images), axis=1)
