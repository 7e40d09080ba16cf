"""Images from a latent diffusion model of this package, on ONNX Runtime.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022): a denoiser works on small latent
maps, which a decoder turns into images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.generation.prompt import Vocabulary
from robot_vision.generation.request import GenerationRequest, GeneratorDefaults, Progress, class_prompt
from robot_vision.generation.sampler import (
    Kept,
    SamplerName,
    clean_predictor,
    denoise,
    plan,
    require_sampler,
    standard_normal,
)
from robot_vision.generation.schedule import NoiseSchedule, add_noise
from robot_vision.params import SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import ModelCard, Task, load_card
from robot_vision.runtime.card_diffusion import PREDICTION, SAMPLE, TIMESTEP, TOKENS, DiffusionSpec
from robot_vision.runtime.outputs import decoded_image, finite_output, output_index, unit_to_rgb
from robot_vision.runtime.session import OnnxSession
from robot_vision.runtime.tensor_session import TensorSession, TensorSpec
from robot_vision.types import Float32Array, Int64Array, UInt8Array

_DECISIVE = ("prediction", "schedule", "timesteps", "latent_shape", "latent_limit", "words", "max_words")
"""What of a card's `diffusion` decides the images, besides the networks."""


class DiffusionGenerator:
    """A latent diffusion model behind the interface of all generators.

    Image i of a request depends on its seed and on i alone, not on how many are made with it, but for rounding: a
    network may add in another order when it has more rows.

    With an initial image (SDEdit, Meng et al. 2022) all of the steps are made, over the part of the time that
    `strength` says; fewer where that part has fewer time steps.

    Args:
        card: Card of task `diffusion`.
        session_params: Execution settings, of the encoder and the decoder too.
        sampler: How the network is followed from noise to image: `dpmpp_2m`, the fastest, `ddim` or `ddpm`.

    Attributes:
        name: Name for people and messages.
        identity_hash: SHA-256 in hex over networks, preprocessing and sampler.
        defaults: What a request takes where it says nothing.
        class_names: Classes that can be asked for by name.
        device: Device really in use, such as cpu or cuda:0.

    Raises:
        ModelError: If the card is for another task, or its networks are not what it says or do not fit together.
        InvalidValueError: If there is no such sampler.
        ProviderError: If the execution provider cannot be had.
    """

    def __init__(self, card: ModelCard, session_params: SessionParams, sampler: SamplerName = "dpmpp_2m") -> None:
        if card.task != "diffusion" or card.diffusion is None:
            raise ModelError(f"{card.name}: expected a card of task diffusion, got {card.task}")
        require_sampler(sampler)
        spec = card.diffusion
        self._card, self._spec, self._session_params, self._sampler = card, spec, session_params, sampler
        self._schedule = NoiseSchedule.named(spec.schedule, spec.timesteps)
        self._vocabulary = _vocabulary(card, spec)
        self._encoder_card = _matching(card, spec, "encoder")
        self._decoder_card = _matching(card, spec, "decoder")
        self._size_wh = self._decoder_card.input.size_wh
        if self._encoder_card.input.size_wh != self._size_wh:
            raise ModelError(
                f"{card.name}: its encoder takes images of {self._encoder_card.input.size_wh} pixels, but its decoder "
                f"gives {self._size_wh}"
            )
        output = PREDICTION, TensorSpec(spec.latent_shape)
        self._denoiser = TensorSession(card, session_params, _denoiser_inputs(spec), output)
        self._decoder = OnnxSession(self._decoder_card, session_params)
        self._decoder_output = output_index(self._decoder_card, self._decoder, self._decoder_card.input.name)
        # A decoder that does not fit is told now, not after all steps of a request.
        self._decoded(np.zeros(spec.latent_shape, np.float32))
        self._encoder: _Encoder | None = None
        self.name = card.name
        self.identity_hash = _identity_hash(spec, card, self._encoder_card, self._decoder_card, sampler)
        self.defaults = GeneratorDefaults(spec.steps, spec.guidance, self._size_wh)
        self.class_names = spec.class_names
        self.device = self._denoiser.device

    def check(self, request: GenerationRequest) -> None:
        """See that this model can serve a request.

        Args:
            request: The request.

        Raises:
            InvalidValueError: If it has another size than the model's, more steps than the model has time steps, or a
                prompt of unknown words, too many or none.
        """
        for name, value, only in zip(("width", "height"), request.size_wh, self._size_wh, strict=True):
            if value != only:
                field = name if request.init_rgb is None else f"init_image: {name}"
                raise InvalidValueError(f"{field}: this model makes images of {only} pixels only, got {value}")
        if request.steps > self._spec.timesteps:
            raise InvalidValueError(f"steps: this model has {self._spec.timesteps} time steps, got {request.steps}")
        if not self._vocabulary.tokens(request.prompt).any() and request.prompt.strip():
            raise InvalidValueError(f"prompt: holds no words, got {request.prompt!r}")

    def run(self, request: GenerationRequest) -> Iterator[Progress]:
        """Generate; nothing is computed after the iterator is closed.

        Args:
            request: A request that `check` accepts.

        Yields:
            One `Progress` a step. Its images are decoded when they are asked for: before the last step those that the
            model expects to come out.

        Raises:
            InvalidValueError: If `check` refuses the request.
            ModelError: If a network fails.
            ProviderError: If the execution provider cannot be had for the encoder, which only an initial image needs.
        """
        self.check(request)
        return self._steps(request)

    def _steps(self, request: GenerationRequest) -> Iterator[Progress]:
        spec, schedule = self._spec, self._schedule
        rngs = [_source(request.seed, number) for number in range(request.count)]
        start, kept = standard_normal(rngs, spec.latent_shape), None
        if request.init_rgb is None:
            steps = plan(self._sampler, schedule, request.steps)
        else:
            steps = plan(self._sampler, schedule, request.steps, request.strength)
            known = self._encoded(request.init_rgb)
            start = add_noise(known, start, float(steps.levels[0]))
            kept = None if request.mask is None else Kept(known, _kept_cells(request.mask, spec.latent_shape))
        tokens = np.tile(self._vocabulary.tokens(request.prompt), (request.count, 1))
        predict = clean_predictor(
            self._predict, tokens, schedule, spec.prediction, guidance=request.guidance, limit=spec.latent_limit
        )
        for number, step in enumerate(denoise(predict, start, steps, rngs, kept), start=1):
            yield Progress(number, len(steps.timesteps), partial(self._images, step.clean, request))

    def _predict(self, sample: Float32Array, timestep: float, tokens: Int64Array) -> Float32Array:
        times = np.full(len(sample), timestep, np.float32)
        return self._denoiser.run({SAMPLE: sample, TIMESTEP: times, TOKENS: tokens})

    def _encoded(self, rgb: UInt8Array) -> Float32Array:
        if self._encoder is None:
            self._encoder = _Encoder(self._encoder_card, self._session_params)
        return self._encoder.encode(rgb).reshape(self._spec.latent_shape)

    def _images(self, latents: Float32Array, request: GenerationRequest) -> UInt8Array:
        return request.with_kept_pixels(np.stack([unit_to_rgb(self._decoded(latent)) for latent in latents]))

    def _decoded(self, latent: Float32Array) -> Float32Array:
        return decoded_image(self._decoder_card, self._decoder.run(latent.reshape(1, -1))[self._decoder_output])


class _Encoder:
    """The mean latent of images, by a card that fits the decoder."""

    def __init__(self, card: ModelCard, session_params: SessionParams) -> None:
        assert card.latent is not None
        self._card, self._shape = card, (card.latent.size,)
        self._session = OnnxSession(card, session_params)
        self._output = output_index(card, self._session, card.latent.mean_output)
        self._input = self._session.new_input()
        self._preprocessor = Preprocessor(card.input)

    def encode(self, rgb: UInt8Array) -> Float32Array:
        self._preprocessor.fill(rgb, self._input)
        outputs = self._session.run(self._input)
        return finite_output(self._card.onnx_path, outputs[self._output].reshape(-1), self._shape)


def _vocabulary(card: ModelCard, spec: DiffusionSpec) -> Vocabulary:
    vocabulary = Vocabulary(spec.words, spec.max_words)
    try:
        for name in spec.class_names:
            vocabulary.tokens(class_prompt(name))
    except InvalidValueError as error:
        raise ModelError(f"{card.name}: diffusion.class_names: {name} cannot be asked for: {error}") from error
    return vocabulary


def _matching(card: ModelCard, spec: DiffusionSpec, part: str) -> ModelCard:
    """Card of the encoder or the decoder, whose latents must be as large as what is denoised."""
    task: Task = "latent_encoder" if part == "encoder" else "latent_decoder"
    try:
        found = load_card(spec.encoder if part == "encoder" else spec.decoder)
    except ModelError as error:
        raise ModelError(f"{card.name}: diffusion.{part}: {error}") from error
    size = int(np.prod(spec.latent_shape))
    if found.task != task or found.latent is None or found.latent.size != size:
        raise ModelError(
            f"{card.name}: diffusion.{part}: expected a card of task {task} with {size} latent values, "
            f"{found.name} is of task {found.task} with {found.latent.size if found.latent else 'none'}"
        )
    return found


def _source(seed: int, number: int) -> np.random.Generator:
    """Random numbers of one image."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def _denoiser_inputs(spec: DiffusionSpec) -> dict[str, TensorSpec]:
    types = {SAMPLE: np.float32, TIMESTEP: np.float32, TOKENS: np.int64}
    return {name: TensorSpec(shape, types[name]) for name, shape in spec.input_shapes.items()}


def _kept_cells(mask: npt.NDArray[np.bool_], latent_shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """(h, w) bool, True for the cells of a latent map in which no pixel is to be painted anew."""
    _, height, width = latent_shape
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share == 0)


def _identity_hash(
    spec: DiffusionSpec, denoiser: ModelCard, encoder: ModelCard, decoder: ModelCard, sampler: str
) -> str:
    canonical = {
        "denoiser": denoiser.sha256, "encoder": encoder.identity_hash, "decoder": decoder.identity_hash,
        "sampler": sampler, **{name: getattr(spec, name) for name in _DECISIVE},
    }  # fmt: skip
    return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
