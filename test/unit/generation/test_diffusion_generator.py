"""The whole generator, with real networks whose data distribution is known in closed form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import onnxruntime as ort
import pytest
from gaussian_model import (
    FACTOR,
    GAIN,
    IMAGE_SIDE,
    MEANS,
    SIDE,
    STD,
    TIMESTEPS,
    latents_of,
    write_card,
    write_gaussian_model,
)

from robot_vision.errors import InvalidValueError, ModelError, ProviderError
from robot_vision.generation.diffusion import DiffusionGenerator
from robot_vision.generation.request import GenerationLimits, GenerationRequest, complete_request
from robot_vision.generation.sampler import SamplerName
from robot_vision.generation.schedule import NoiseSchedule
from robot_vision.params import SessionParams
from robot_vision.runtime.card import load_card
from robot_vision.runtime.session import OnnxSession
from robot_vision.runtime.tensor_session import TensorSession

CPU = SessionParams(provider="cpu")
SIZE_WH = (IMAGE_SIDE, IMAGE_SIDE)
REQUEST = GenerationRequest("red ball", seed=5, steps=15, guidance=1.0, size_wh=SIZE_WH, count=2)
INIT = np.random.default_rng(8).integers(60, 200, (IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
INIT_LATENT = (INIT.reshape(SIDE, FACTOR, SIDE, FACTOR, 3).mean(axis=(1, 3)).transpose(2, 0, 1) / 255 - 0.5) / GAIN
"""The mean over each cell's pixels, as the encoder sees it."""
SAMPLERS = get_args(SamplerName)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_gaussian_model(folder)
    return folder


@pytest.fixture(scope="module")
def generator(folder):
    return DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU)


@pytest.fixture
def calls(monkeypatch) -> list[dict[str, np.ndarray]]:
    """What the denoiser is given, call by call."""
    made: list[dict[str, np.ndarray]] = []
    run = TensorSession.run

    def recording(session: TensorSession, tensors: dict[str, np.ndarray]) -> Any:
        made.append(dict(tensors))
        return run(session, tensors)

    monkeypatch.setattr(TensorSession, "run", recording)
    return made


def images_of(generator: DiffusionGenerator, request: GenerationRequest = REQUEST) -> np.ndarray:
    *_, result = generator.run(request)
    return result.images()


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_images_have_the_distribution_that_the_networks_describe(tmp_path, prediction, schedule, sampler):
    """Mean and standard deviation of each channel, for a prompt and for none: 1600 values each."""
    generator = DiffusionGenerator(load_card(write_gaussian_model(tmp_path, prediction, schedule)), CPU, sampler)
    for prompt, mean in (("red", MEANS[2]), ("", MEANS[0])):
        found = latents_of(images_of(generator, replace(REQUEST, prompt=prompt, steps=TIMESTEPS, count=100)))
        assert found.mean(axis=(0, 2, 3)) == pytest.approx(mean, abs=0.08)
        assert found.std(axis=(0, 2, 3)) == pytest.approx(STD, rel=0.1)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 2.0])
def test_guidance_moves_the_mean_along_the_line_from_no_prompt_through_the_prompt(generator, guidance):
    """For Gaussians of one covariance the guided score is that of a Gaussian again, whose mean is known."""
    found = latents_of(images_of(generator, replace(REQUEST, prompt="red", guidance=guidance, steps=30, count=100)))
    wanted = MEANS[0] + guidance * (MEANS[2] - MEANS[0])
    assert found.mean(axis=(0, 2, 3)) == pytest.approx(wanted, abs=0.08)
    assert found.std(axis=(0, 2, 3)) == pytest.approx(STD, rel=0.1)


@pytest.mark.parametrize(("guidance", "rows"), [(0.0, 2), (1.0, 2), (3.0, 4)])
def test_the_network_is_called_once_a_step_in_single_precision(generator, calls, guidance, rows):
    steps = list(generator.run(replace(REQUEST, guidance=guidance, steps=7)))
    assert [(step.step, step.total) for step in steps] == [(n, 7) for n in range(1, 8)]
    assert len(calls) == 7
    for call in calls:
        assert {name: (values.dtype.name, len(values)) for name, values in call.items()} == {
            "sample": ("float32", rows),
            "timestep": ("float32", rows),
            "tokens": ("int64", rows),
        }
        assert call["tokens"].any() == (guidance > 0)
    times = [set(call["timestep"].tolist()) for call in calls]
    assert all(len(time) == 1 for time in times)
    assert times[0] == {TIMESTEPS - 1}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_image_depends_on_its_seed_and_number_alone(folder, sampler):
    generator = DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, sampler)
    first = images_of(generator, replace(REQUEST, count=3))
    assert (first.shape, first.dtype) == ((3, IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    assert np.array_equal(first, images_of(generator, replace(REQUEST, count=3)))
    other = DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, sampler)
    assert np.abs(images_of(other, replace(REQUEST, count=2)).astype(int) - first[:2]).max() <= 1
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, images_of(generator, replace(REQUEST, count=3, seed=6)))


def test_nothing_is_computed_before_the_first_step_or_after_closing(generator, calls):
    steps = generator.run(REQUEST)
    assert len(calls) == 0
    next(steps)
    next(steps)
    steps.close()
    assert len(calls) == 2


def test_a_preview_costs_nothing_unless_it_is_looked_at(generator, monkeypatch):
    decoded = []
    run = OnnxSession.run
    monkeypatch.setattr(OnnxSession, "run", lambda self, *a: decoded.append(1) or run(self, *a))
    steps = list(generator.run(REQUEST))
    assert len(decoded) == 0
    early, late = steps[0].images(), steps[-1].images()
    assert len(decoded) == 2 * REQUEST.count
    # With the noisiest sample all that is known is the mean that the prompt asks for.
    assert latents_of(early).mean(axis=(0, 2, 3)) == pytest.approx(MEANS[2], abs=0.1)
    assert np.array_equal(late, images_of(generator))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_initial_image_is_left_as_far_as_strength_says(folder, sampler):
    generator = DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, sampler)
    distances = []
    for strength in (0.02, 0.3, 0.6, 1.0):
        found = images_of(generator, replace(REQUEST, init_rgb=INIT, strength=strength, count=20))
        distances.append(np.abs(latents_of(found) - INIT_LATENT).mean())
    assert distances == sorted(distances)
    assert distances[0] < 0.1
    assert distances[-1] > 1


def test_full_strength_forgets_the_initial_image(generator):
    found = latents_of(images_of(generator, replace(REQUEST, init_rgb=INIT, strength=1.0, steps=40, count=100)))
    assert found.mean(axis=(0, 2, 3)) == pytest.approx(MEANS[2], abs=0.08)


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_mask_keeps_every_pixel_outside_it(folder, sampler, strength):
    """Also at the border, where a cell of the latent map is painted anew in part only; in previews as in results."""
    generator = DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, sampler)
    mask = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.bool_)
    mask[1:6, 3:] = True
    for step in generator.run(replace(REQUEST, init_rgb=INIT, mask=mask, strength=strength, steps=9)):
        images = step.images()
        assert images.dtype == np.uint8
        assert (images[:, ~mask] == INIT[~mask]).all()
        assert (images[:, mask] != INIT[mask]).mean() > 0.5


def test_the_network_sees_the_kept_part_with_the_noise_of_its_time(generator, calls):
    """Both images' kept cells, less what remains of the initial image, are the same noise at every step."""
    mask = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.bool_)
    mask[:, :3] = True
    list(generator.run(replace(REQUEST, init_rgb=INIT, mask=mask, strength=1.0)))
    levels = NoiseSchedule.named("cosine", TIMESTEPS).alphas_cumprod
    noise = []
    for call in calls:
        level = levels[int(call["timestep"][0])]
        noise.append((call["sample"] - np.sqrt(level) * INIT_LATENT)[..., 2:] / np.sqrt(1 - level))
    assert np.allclose(noise, noise[0], atol=1e-3)
    assert np.std(noise[0]) == pytest.approx(1, abs=0.2)


def test_the_encoder_is_opened_when_an_initial_image_comes_and_not_before(tmp_path):
    """A robot that generates from words alone neither waits for it nor stumbles over it."""
    card = write_gaussian_model(tmp_path)
    (tmp_path / "tiny_encoder.onnx").write_bytes(b"no network")
    encoder = {"task": "latent_encoder", "output": {"mean": "mean"}, "latent": {"size": 48}}
    image = {"size_wh": [IMAGE_SIDE, IMAGE_SIDE], "colour": "RGB", "scale": 1.0, "resize": "stretch"}
    write_card(tmp_path, "tiny_encoder", **encoder, input=image)
    generator = DiffusionGenerator(load_card(card), CPU)
    assert len(images_of(generator)) == 2
    with pytest.raises(ModelError, match=r"tiny_encoder\.onnx: not a network"):
        images_of(generator, replace(REQUEST, init_rgb=INIT))


def test_what_the_card_says_is_what_the_generator_offers(folder, generator):
    assert (generator.name, generator.class_names, generator.device) == ("tiny", ("ball",), "cpu")
    defaults = generator.defaults
    assert (defaults.steps, defaults.guidance, defaults.size_wh) == (15, 1.0, SIZE_WH)
    limits = GenerationLimits(steps=100, count=4, side=512, prompt_length=100)
    assert len(images_of(generator, complete_request(generator, limits, class_name="ball"))) == 1


def test_the_identity_tells_samplers_and_networks_apart(folder, generator, tmp_path):
    same = DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU)
    others = [
        DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, "ddim"),
        DiffusionGenerator(load_card(write_gaussian_model(tmp_path, latent_limit=5.0)), CPU),
        DiffusionGenerator(load_card(write_gaussian_model(tmp_path, schedule="linear")), CPU),
    ]
    assert same.identity_hash == generator.identity_hash
    assert len({generator.identity_hash, *(other.identity_hash for other in others)}) == 4
    defaults_only = DiffusionGenerator(load_card(write_gaussian_model(tmp_path, steps=20, guidance=2.0)), CPU)
    assert defaults_only.identity_hash == generator.identity_hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size_wh": (8, 16)}, r"^height: this model makes images of 8 pixels only, got 16"),
        ({"size_wh": (7, 8)}, r"^width: this model makes images of 8 pixels only, got 7"),
        (
            {"size_wh": (16, 8), "init_rgb": np.zeros((8, 16, 3), np.uint8)},
            r"^init_image: width: this model makes images of 8 pixels only, got 16",
        ),
        ({"steps": TIMESTEPS + 1}, r"^steps: this model has 200 time steps, got 201"),
        ({"prompt": "red dragon and ball"}, r"^prompt: .*does not know and, dragon; it knows a, red, green, ball"),
        ({"prompt": "a red green ball"}, r"^prompt: at most 3 words, got 4"),
        ({"prompt": "?!"}, r"^prompt: holds no words, got '\?!'"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_anything_runs(generator, calls, changes, message):
    request = replace(REQUEST, **changes)
    for refuse in (generator.check, generator.run):
        with pytest.raises(InvalidValueError, match=message):
            refuse(request)
    assert not calls


def test_a_prediction_that_is_not_finite_is_an_error(generator, monkeypatch):
    class Broken:
        def run(self, *_: Any) -> list[np.ndarray]:
            return [np.full((2, 3, 4, 4), np.nan, np.float32)]

    monkeypatch.setattr(generator._denoiser, "_session", Broken())
    with pytest.raises(ModelError, match=r"tiny\.onnx: expected finite values .* not finite"):
        images_of(generator)


def test_a_provider_that_cannot_be_had_is_an_error(folder):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(ProviderError, match="cuda is not in the installed ONNX Runtime"):
        DiffusionGenerator(load_card(folder / "tiny.yaml"), SessionParams(provider="cuda"))


def test_an_unknown_sampler_is_an_error(folder):
    with pytest.raises(InvalidValueError, match=r"^sampler: must be one of .*got 'euler'"):
        DiffusionGenerator(load_card(folder / "tiny.yaml"), CPU, "euler")


def test_a_card_of_another_task_is_an_error(folder):
    with pytest.raises(ModelError, match="tiny_decoder: expected a card of task diffusion, got latent_decoder"):
        DiffusionGenerator(load_card(folder / "tiny_decoder.yaml"), CPU)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"decoder": "tiny_encoder.yaml"}, r"diffusion\.decoder: expected .*latent_decoder with 48 .*latent_encoder"),
        ({"encoder": "tiny_decoder.yaml"}, r"diffusion\.encoder: expected .*latent_encoder with 48 .*latent_decoder"),
        ({"encoder": "absent.yaml"}, r"diffusion\.encoder: .*absent\.yaml: no such file"),
        ({"latent_shape": [3, 2, 4]}, r"diffusion\.encoder: expected .* 24 latent values, .* 48"),
        ({"latent_shape": [4, 3, 4]}, r"input sample: expected float32 of shape \('free', 4, 3, 4\)"),
        ({"max_words": 4}, r"input tokens: expected int64 of shape \('free', 4\)"),
        ({"class_names": ["dog"]}, r"diffusion\.class_names: dog cannot be asked for: prompt: .*does not know dog"),
    ],
)
def test_networks_that_do_not_fit_together_are_an_error(tmp_path, entries, message):
    with pytest.raises(ModelError, match=message):
        DiffusionGenerator(load_card(write_gaussian_model(tmp_path, **entries)), CPU)


def test_a_decoder_that_gives_another_size_than_its_card_says_is_told_at_once(tmp_path):
    card = write_gaussian_model(tmp_path)
    image = {"name": "image", "size_wh": [16, 16], "colour": "RGB", "scale": 1.0}
    write_card(tmp_path, "tiny_decoder", task="latent_decoder", output=image, latent={"size": 48})
    write_card(tmp_path, "tiny_encoder", task="latent_encoder", output={"mean": "mean"}, latent={"size": 48},
               input={**image, "resize": "stretch"})  # fmt: skip
    with pytest.raises(ModelError, match=r"tiny_decoder\.onnx: expected .* \(1, 3, 16, 16\), got shape \(1, 3, 8, 8\)"):
        DiffusionGenerator(load_card(card), CPU)


def test_an_encoder_of_another_image_size_is_an_error(tmp_path):
    card = write_gaussian_model(tmp_path)
    image = {"size_wh": [16, 8], "colour": "RGB", "scale": 1.0, "resize": "stretch"}
    write_card(tmp_path, "tiny_encoder", task="latent_encoder", output={"mean": "mean"}, latent={"size": 48},
               input=image)  # fmt: skip
    with pytest.raises(
        ModelError, match=r"its encoder takes images of \(16, 8\) pixels, but its decoder gives \(8, 8\)"
    ):
        DiffusionGenerator(load_card(card), CPU)
